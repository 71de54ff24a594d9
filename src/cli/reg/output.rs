//! The output of reading subcommands: standard output, or a new file.

use std::io::{BufWriter, Write};
use std::path::Path;

use hivewright_error::{Error, Result};
use hivewright_hive::reg_text::{Form, Writer};
use hivewright_storage::new_file::NewFile;

/// Writer of a registration file to any sink.
pub(super) type RegWriter<'s> = Writer<&'s mut dyn FnMut(&[u8]) -> Result<()>>;

/// Writes to standard output or to a new file, which has its name only after it is complete.
pub(super) fn to<T>(file: Option<&Path>, write: impl FnOnce(&mut dyn Write) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let Some(path) = file else {
        let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
        let done = write(&mut out)?;
        out.flush()?;
        return Ok(done);
    };
    let mut fresh = NewFile::begin(path, None)?;
    let done = write(&mut fresh).map_err(|error| match error.downcast::<std::io::Error>() {
        Ok(error) => Error::io(format!("cannot write {}: {error}", path.display()), error).of_file(path).into(),
        Err(other) => other,
    })?;
    fresh.finish()?;
    Ok(done)
}

/// Writes a registration file to `out`.
pub(super) fn registration_file<T>(
    out: &mut dyn Write,
    form: Form,
    write: impl FnOnce(&mut RegWriter<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let mut failed = None;
    let mut sink = |piece: &[u8]| {
        out.write_all(piece).map_err(|error| {
            let cause = Error::io("cannot write", std::io::Error::from(error.kind()));
            failed = Some(error);
            cause
        })
    };
    let all = || {
        let mut writer: RegWriter<'_> = Writer::new(form, &mut sink as &mut dyn FnMut(&[u8]) -> Result<()>)?;
        let done = write(&mut writer)?;
        writer.finish()?;
        anyhow::Ok(done)
    };
    let done = all();
    // The caller adds the name of the output.
    match failed {
        Some(error) => Err(error.into()),
        None => done,
    }
}
