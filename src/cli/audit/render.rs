//! The output formats of records.

mod cells;
mod plain;
mod table;

use std::io::{self, IsTerminal, Write};

use crate::audit::Record;
use crate::audit::report::csv;
use crate::audit::report::junit::Suites;
use crate::audit::report::markdown::Markdown;
use crate::audit::report::sarif::Log;
use crate::audit::run::Summary;

use super::args::Format;
use crate::cli::report::Style;
use crate::policy::Policy;

/// Writes records, one after the other, in the order of the calls. One write call reaches the operating system as one
/// call if it ends with a line feed.
pub(super) trait Renderer {
    /// Writes the beginning, before the first record.
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let _ = out;
        Ok(())
    }

    /// Writes one record.
    fn record(&mut self, record: &Record, out: &mut dyn Write) -> io::Result<()>;

    /// Writes the end, after the last record, also of an interrupted run.
    fn end(&mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        let _ = (summary, out);
        Ok(())
    }
}

/// Returns the renderer of a format, for audits with this policy.
pub(super) fn of(format: Format, policy: &Policy) -> Box<dyn Renderer> {
    match format {
        Format::Jsonl => Box::new(Lines),
        Format::Csv => Box::new(Csv),
        Format::Junit => Box::new(Junit(Some(Suites::default()))),
        Format::Sarif => Box::new(Sarif(Log::new(policy))),
        Format::Markdown => Box::new(Summarised(Some(Markdown::default()))),
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
struct Junit(Option<Suites>);

impl Renderer for Junit {
    fn record(&mut self, record: &Record, _: &mut dyn Write) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |suites| suites.record(record))
    }

    fn end(&mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        self.0.take().map_or(Ok(()), |suites| suites.end(summary, out))
    }
}

/// SARIF: results as they are read, rules at the end.
struct Sarif(Log);

impl Renderer for Sarif {
    fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.0.begin(out)
    }

    fn record(&mut self, record: &Record, out: &mut dyn Write) -> io::Result<()> {
        self.0.record(record, out)
    }

    fn end(&mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        self.0.end(summary, out)
    }
}

/// Markdown: nothing is printed before the end.
struct Summarised(Option<Markdown>);

impl Renderer for Summarised {
    fn record(&mut self, record: &Record, _: &mut dyn Write) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), |summary| {
            summary.record(record);
            Ok(())
        })
    }

    fn end(&mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        self.0.take().map_or(Ok(()), |markdown| markdown.end(summary, out))
    }
}
