//! How records become output: a door with one room for each format.

mod cells;
mod plain;
mod table;

use std::io::{self, IsTerminal, Write};

use crate::audit::Record;
use crate::audit::report::csv;
use crate::audit::report::junit::Suite;
use crate::audit::run::Summary;

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
        Format::Csv => Box::new(Csv),
        Format::Junit => Box::new(Junit(Some(Suite::begin()))),
        Format::Table if io::stdout().is_terminal() => {
            Box::new(table::Table::new(Style::of_stdout(), table::of_terminal()))
        }
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

/// CSV.
struct Csv;

impl Renderer for Csv {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        csv::begin(out)
    }

    fn record(&mut self, record: &Record, out: &mut dyn Write) -> io::Result<()> {
        csv::record(record, out)
    }
}

/// JUnit: nothing is printed before the end.
struct Junit(Option<Suite>);

impl Renderer for Junit {
    fn record(&mut self, record: &Record, _: &mut dyn Write) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |suite| suite.record(record))
    }

    fn end(&mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        self.0.take().map_or(Ok(()), |suite| suite.end(summary, out))
    }
}
