//! The HTML report of `--report`.

use hivewright_error::Code;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::Error;
use crate::audit::Record;
use crate::audit::report::html::{self, Page};
use crate::audit::run::Summary;
use crate::policy::Policy;
use hivewright_storage::new_file::NewFile;

/// A report in progress. A failure to write it does not affect the records.
pub(super) struct Report {
    path: PathBuf,
    /// `None` after a failure.
    file: Option<NewFile>,
    page: Page,
}

impl Report {
    /// # Errors
    /// The file cannot be created.
    pub(super) fn begin(path: &Path, policy: &Policy) -> anyhow::Result<Self> {
        let page = Page::new(policy);
        let mut file = NewFile::begin(path, Some(html::BEGINNING.as_bytes()))?;
        let begun = page.begin(&mut file).and_then(|()| file.flush());
        begun.map_err(|e| Error::io(format!("cannot write the report {}: {e}", path.display()), e))?;
        Ok(Report { path: path.to_owned(), file: Some(file), page })
    }

    pub(super) fn record(&mut self, record: &Record) {
        if let Some(file) = &mut self.file
            && let Err(error) = self.page.record(record, file)
        {
            self.discard(Code::Io, &error);
        }
    }

    /// Completes the report and gives it its name. Returns whether that succeeded.
    pub(super) fn end(mut self, summary: &Summary) -> bool {
        let Some(mut file) = self.file.take() else { return false };
        let ended =
            self.page.end(summary, &mut file).map_err(|e| Error::io(e.to_string(), e)).and_then(|()| file.finish());
        ended.map_err(|error| self.discard(error.code(), &error.what())).is_ok()
    }

    /// Discards the report.
    fn discard(&mut self, code: Code, why: &dyn std::fmt::Display) {
        self.file = None;
        let what = format!("cannot write the report {}: {why}; the records are not affected", self.path.display());
        let advice = "free space, then run it again with --report, and with --resume if the records are JSON Lines";
        super::super::warn_and_advise(code, &what, advice);
    }
}

/// Returns the error of an output that failed, with the consequence for the audit.
pub(super) fn unprinted(error: io::Error, consequence: &str) -> anyhow::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return error.into();
    }
    let what = format!("cannot print the records: {error}");
    Error::io(what, error)
        .adding(consequence)
        .advise("free space, then run it again; with --resume, it continues from JSON Lines")
        .into()
}
