//! Writes the edited file elsewhere; the original stays unchanged.

use std::path::{Path, PathBuf};

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::{Access, Host, HostFile, Storage};

use crate::locate::changed_since;
use crate::transaction::New;
use crate::transaction::Overlaid;
use crate::transaction::Proof;
use crate::transaction::{Staged, folder_of, same_bytes};

/// Writes the new file `output`. Never overwrites.
pub(super) fn write<H: Host>(
    host: &H,
    target: &Path,
    output: &Path,
    before: &Overlaid<'_>,
    new: &New<'_>,
) -> Result<PathBuf> {
    let path = resolve_output(host, output)?;
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
    publish(host, &mut staged, &path)?;
    same_bytes(host, &path, new.bytes)?;
    Ok(path)
}

/// Writes `bytes` to the new file `output`. Never overwrites.
pub(super) fn write_alone<H: Host>(host: &H, output: &Path, bytes: &[u8], proof: Proof<'_>) -> Result<PathBuf> {
    /// Permissions of any new file.
    const MODE: u32 = 0o644;
    let (path, bytes) = (resolve_output(host, output)?, Overlaid::plain(bytes));
    let mut staged = Staged::new(host, &path, MODE)?;
    staged.fill_and_prove(&bytes, proof, &|| Ok(()))?;
    publish(host, &mut staged, &path)?;
    same_bytes(host, &path, &bytes)?;
    Ok(path)
}

/// Returns the resolved path of the new file `output`, whose folder exists.
pub(super) fn resolve_output<H: Host>(host: &H, output: &Path) -> Result<PathBuf> {
    let folder = host.resolve(folder_of(output)).map_err(|error| match error.kind() {
        Kind::NotFound => error.becoming(Kind::NotFound, Code::OutputFolder).advise("create the folder first"),
        _ => error,
    })?;
    let path = folder.join(output.file_name().ok_or_else(|| exists(output))?);
    if host.exists(&path)? { Err(exists(&path)) } else { Ok(path) }
}

/// Gives a complete and durable file its name.
pub(super) fn publish<H: Host>(host: &H, staged: &mut Staged<'_, H>, path: &Path) -> Result<()> {
    if !staged.place(path)? {
        return Err(exists(path));
    }
    host.sync_folder(folder_of(path)).map_err(|e| {
        e.adding("the output is complete, but a power loss may remove it").becoming(Kind::Io, Code::NotDurable)
    })
}

fn exists(path: &Path) -> Error {
    Error::refused(Code::OutputExists, format!("{} already exists", path.display()))
        .advise("name a file that does not exist")
}
