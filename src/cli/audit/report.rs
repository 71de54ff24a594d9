//! The report that `--report` asks for.

use std::io;
use std::path::Path;

use anyhow::Context;
use hivewright::fleet::Record;
use hivewright::fleet::report::html;
use hivewright::fleet::run::Summary;
use hivewright::storage::fresh::Fresh;

/// A report that is being written.
pub(super) struct Report(Fresh);

impl Report {
    pub(super) fn begin(path: &Path) -> anyhow::Result<Self> {
        let mut file = Fresh::begin(path, html::BEGINNING.as_bytes())?;
        html::begin(&mut file).context("writing the report")?;
        Ok(Report(file))
    }

    pub(super) fn record(&mut self, record: &Record) -> io::Result<()> {
        html::record(record, &mut self.0)
    }

    pub(super) fn end(mut self, summary: &Summary) -> anyhow::Result<()> {
        html::end(summary, &mut self.0).context("writing the report")?;
        Ok(self.0.finish()?)
    }
}
