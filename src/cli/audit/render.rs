//! How records become output: a door with one room for each format.

mod plain;

use std::io::{self, Write};

use hivewright::fleet::Record;
use hivewright::fleet::run::Summary;

use super::args::Format;
use crate::cli::report::Style;

/// Turns records into output, one after the other, in the order in which they come. What it writes in one call reaches
/// the operating system in one call, if it ends a line.
pub(super) trait Renderer {
    /// Before the first record.
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let _ = out;
        Ok(())
    }

    /// One record.
    fn record(&mut self, record: &Record, out: &mut dyn Write) -> io::Result<()>;

    /// After the last record, also of a run that was stopped.
    fn end(&mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        let _ = (summary, out);
        Ok(())
    }
}

/// The renderer of a format.
pub(super) fn of(format: Format) -> Box<dyn Renderer> {
    match format {
        Format::Jsonl => Box::new(Lines),
        Format::Table => Box::new(plain::Plain::new(Style::of_stdout())),
    }
}

/// JSON Lines.
struct Lines;

impl Renderer for Lines {
    fn record(&mut self, record: &Record, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&record.line())
    }
}
