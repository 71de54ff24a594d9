//! Replaces a file by a new one.

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::{Carried, Host, HostFile, Storage};

use super::Proof;
use super::locked::Locked;
use super::overlaid::Overlaid;
use super::staged::{Staged, folder_of, same_bytes};

/// The result of an attempt to replace a file.
pub(crate) enum Replaced {
    /// The file is replaced, durably.
    Done,
    /// A new file would lose this metadata; nothing was changed.
    Lost(String),
}

/// The new file.
#[derive(Clone, Copy)]
pub(crate) struct New<'a> {
    /// All its bytes.
    pub(crate) bytes: &'a Overlaid<'a>,
    /// Whether it keeps the times of the old one.
    pub(crate) keep_times: bool,
    /// The proof that must succeed before the file gets its name.
    pub(crate) proof: Proof<'a>,
}

impl<'a> New<'a> {
    /// Returns bytes that need no proof, because the file had them before.
    pub(crate) fn known(bytes: &'a Overlaid<'a>, keep_times: bool) -> Self {
        New { bytes, keep_times, proof: &|| Ok(()) }
    }
}

/// Replaces the locked file, which has the bytes `before`, by a new one. `ready` runs when the new file is complete,
/// durable and proven, before anything is changed.
pub(crate) fn replace<H: Host>(
    target: &Locked<'_, H>,
    before: &Overlaid<'_>,
    new: &New<'_>,
    ready: impl FnOnce() -> Result<()>,
) -> Result<Replaced> {
    let mut staged = match stage(target, new, Some(before))? {
        Ok(staged) => staged,
        Err(lost) => return Ok(Replaced::Lost(lost)),
    };
    ready()?;
    target.untouched()?;
    if let Err(error) = staged.replace(&target.path) {
        // A network file system may rename the file and still return an error.
        if target.still_there().is_ok() {
            return Err(error);
        }
    }
    let durable = target.host.sync_folder(folder_of(&target.path));
    // The bytes were read back before; now the name must lead to them.
    if let Err(error) = staged.is_at(&target.path, new.bytes.len()) {
        return Err(put_back(target, before, error));
    }
    durable.map_err(not_durable)?;
    if new.keep_times {
        // Reading back may have changed the access time; everything important is already durable.
        let _ = staged.file.take_times(&target.times);
    }
    Ok(Replaced::Done)
}

/// Writes a complete, durable file with the metadata of the target beside it, after checking that the target holds
/// `before`. `Err` names the metadata that cannot be carried over.
fn stage<'h, H: Host>(
    target: &Locked<'h, H>,
    new: &New<'_>,
    before: Option<&Overlaid<'_>>,
) -> Result<std::result::Result<Staged<'h, H>, String>> {
    const PRIVATE: u32 = 0o600;
    let staged = Staged::new(target.host, &target.path, PRIVATE)?;
    // Before the bytes: some flags can only be set on an empty file.
    if let Carried::Lost(what) = target.host.carry_metadata(&target.file, &staged.file)? {
        return Ok(Err(format!("a new file would lose {what}")));
    }
    // The lock that others check once the new file has its name. No other program knows the file yet.
    staged.file.try_lock()?;
    let seen = || before.map_or(Ok(()), |before| target.holds(before));
    staged.fill_and_prove(new.bytes, new.proof, &seen)?;
    if new.keep_times {
        staged.file.take_times(&target.times)?;
        staged.file.flush()?;
    }
    Ok(Ok(staged))
}

fn not_durable(error: Error) -> Error {
    error
        .adding("the new file is complete, but a power loss may bring the old one back")
        .becoming(Kind::Unfinished, Code::NotDurable)
        .advise("find the fault of the file system, then check which of the two files exists")
}

/// Restores the old bytes, which are still in memory, by another new file after the read-back failed.
fn put_back<H: Host>(target: &Locked<'_, H>, before: &Overlaid<'_>, error: Error) -> Error {
    let again = || -> Result<bool> {
        let Ok(mut staged) = stage(target, &New::known(before, true), None)? else { return Ok(false) };
        staged.replace(&target.path)?;
        target.host.sync_folder(folder_of(&target.path))?;
        same_bytes(target.host, &target.path, before)?;
        Ok(true)
    };
    if matches!(again(), Ok(true)) {
        return error.adding("the old file was restored").becoming(Kind::Io, Code::ReadBack);
    }
    error
        .adding("the old file could not be restored")
        .becoming(Kind::Unfinished, Code::ReadBack)
        .advise("the medium fails: restore the file from a backup, or with the undo file if there is one")
}
