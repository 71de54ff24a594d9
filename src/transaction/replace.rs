//! A new file in the place of the old one.

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::{Carried, Host, HostFile, Storage};

use super::Proof;
use super::locked::Locked;
use super::overlaid::Overlaid;
use super::staged::{Staged, folder_of, same_bytes};

/// What became of a try to replace a file.
pub(crate) enum Tried {
    /// It is replaced, durably.
    Done,
    /// A new file would not be the same; nothing was changed.
    Lost(String),
}

/// What a new file shall be.
#[derive(Clone, Copy)]
pub(crate) struct New<'a> {
    /// All its bytes.
    pub(crate) bytes: &'a Overlaid<'a>,
    /// Whether it takes over the times of the old one.
    pub(crate) keep_times: bool,
    /// What has to pass before it takes a name.
    pub(crate) proof: Proof<'a>,
}

impl<'a> New<'a> {
    /// Bytes that need no proof, since they were there before.
    pub(crate) fn known(bytes: &'a Overlaid<'a>, keep_times: bool) -> Self {
        New { bytes, keep_times, proof: &|| Ok(()) }
    }
}

/// Puts a new file in the place of the locked one, which holds `before`. `ready` runs when the new file is complete,
/// durable and proven, and before anything is changed.
pub(crate) fn replace<H: Host>(
    target: &Locked<'_, H>,
    before: &Overlaid<'_>,
    new: &New<'_>,
    ready: impl FnOnce() -> Result<()>,
) -> Result<Tried> {
    let mut staged = match stage(target, new, Some(before))? {
        Ok(staged) => staged,
        Err(lost) => return Ok(Tried::Lost(lost)),
    };
    ready()?;
    target.untouched()?;
    if let Err(error) = staged.replace(&target.path) {
        // A network file system can fail to say that it did it.
        if target.still_there().is_ok() {
            return Err(error);
        }
    }
    let durable = target.host.sync_folder(folder_of(&target.path));
    // The bytes were read back before; what is left to see is that the name leads to them.
    if let Err(error) = staged.is_at(&target.path, new.bytes.len()) {
        return Err(put_back(target, before, error));
    }
    durable.map_err(not_durable)?;
    if new.keep_times {
        // Reading back may have touched the time of access; what matters of it is durable already.
        let _ = staged.file.take_times(&target.times);
    }
    Ok(Tried::Done)
}

/// A complete, durable file with the metadata of the target, beside it, once the target was seen to hold `before`.
/// `Err`: what it cannot take over.
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
    // The lock that others will look for once the new file has its place. Nobody else knows of it yet.
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
        .adding("the new file is in its place and complete, but after a power loss the old one may be back")
        .becoming(Kind::Unfinished, Code::NotDurable)
        .advise("see what ails the file system, then look which of the two is there")
}

/// The new file does not read back: the old bytes, which are still in memory, get a file of their own.
fn put_back<H: Host>(target: &Locked<'_, H>, before: &Overlaid<'_>, error: Error) -> Error {
    let again = || -> Result<bool> {
        let Ok(mut staged) = stage(target, &New::known(before, true), None)? else { return Ok(false) };
        staged.replace(&target.path)?;
        target.host.sync_folder(folder_of(&target.path))?;
        same_bytes(target.host, &target.path, before)?;
        Ok(true)
    };
    if matches!(again(), Ok(true)) {
        return error.adding("the old file was put back").becoming(Kind::Io, Code::ReadBack);
    }
    error
        .adding("the old file could not be put back")
        .becoming(Kind::Unfinished, Code::ReadBack)
        .advise("the medium fails: restore the file from a backup, or with the undo file if one was asked for")
}
