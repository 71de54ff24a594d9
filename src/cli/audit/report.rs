//! The report that `--report` asks for.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::audit::Record;
use crate::audit::report::html;
use crate::audit::run::Summary;
use hivewright_storage::fresh::Fresh;

/// A report that is being written. That it cannot be does not take the records along.
pub(super) struct Report {
    path: PathBuf,
    /// None once it could not be written.
    file: Option<Fresh>,
}

impl Report {
    /// # Errors
    /// It cannot be written, as far as that can be known before the audit.
    pub(super) fn begin(path: &Path) -> anyhow::Result<Self> {
        let mut file = Fresh::begin(path, html::BEGINNING.as_bytes())?;
        let begun = html::begin(&mut file).and_then(|()| file.flush());
        begun.map_err(|e| Error::io(format!("cannot write the report {}: {e}", path.display()), e))?;
        Ok(Report { path: path.to_owned(), file: Some(file) })
    }

    pub(super) fn record(&mut self, record: &Record) {
        if let Some(file) = &mut self.file
            && let Err(error) = html::record(record, file)
        {
            self.give_up(&error);
        }
    }

    /// Gives it its name; whether there is one now.
    pub(super) fn end(mut self, summary: &Summary) -> bool {
        let Some(mut file) = self.file.take() else { return false };
        let ended = html::end(summary, &mut file).map_err(|e| Error::io(e.to_string(), e)).and_then(|()| file.finish());
        ended.map_err(|error| self.give_up(&error.what())).is_ok()
    }

    /// What was written of it goes.
    fn give_up(&mut self, why: &dyn std::fmt::Display) {
        self.file = None;
        let what = format!("there will be no report {}: {why}; the records are not affected", self.path.display());
        let advice = "make room, then run it again with --report, and with --resume where the records are JSON Lines";
        super::super::warn_and_advise(&what, advice);
    }
}

/// Why records cannot be printed, and what became of the audit.
pub(super) fn unprinted(error: io::Error, became: &str) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return error.into();
    }
    let what = format!("cannot print the records: {error}");
    Error::io(what, error)
        .adding(became)
        .advise("make room, then run it again; with --resume, if what is there are JSON Lines, it goes on from them")
        .into()
}
