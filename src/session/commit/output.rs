//! The edited file elsewhere; the original stays as it is.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::storage::{Access, Host, HostFile, Storage};

use super::change::changed_since;
use super::overlaid::Overlaid;
use super::replace::New;
use super::staged::{Staged, folder_of, same_bytes};

/// Writes the new file `output`. Never overwrites.
pub(super) fn write<H: Host>(
    host: &H,
    target: &Path,
    output: &Path,
    before: &Overlaid<'_>,
    new: &New<'_>,
) -> Result<PathBuf> {
    let path = host.resolve(folder_of(output))?.join(output.file_name().ok_or_else(|| exists(output))?);
    if host.exists(&path)? {
        return Err(exists(&path));
    }
    let original = host.open(&host.resolve(target)?, Access::Read)?;
    let times = original.times()?;
    if before.first_difference(&original)?.is_some() {
        return Err(changed_since(target));
    }
    let mut staged = Staged::new(host, &path, original.about()?.mode)?;
    staged.fill_and_prove(new.bytes, new.proof, &|| Ok(()))?;
    if new.keep_times {
        staged.file.take_times(&times)?;
        staged.file.flush()?;
    }
    if !staged.place(&path)? {
        return Err(exists(&path));
    }
    host.sync_folder(folder_of(&path)).map_err(|e| {
        e.adding("the output is complete, but may be gone after a power loss").becoming(Kind::Io, "not-durable")
    })?;
    same_bytes(host, &path, new.bytes)?;
    Ok(path)
}

pub(super) fn exists(path: &Path) -> Error {
    Error::refused("output-exists", format!("{} exists already", path.display()))
        .advise("name a file that does not exist")
}
