//! The file that is to be changed: found, opened, locked, and still the same file.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result, Space};
use crate::storage::{About, Access, Host, HostFile, Times};

use super::change::changed_since;
use super::overlaid::Overlaid;

/// An open file that is ours as long as this lives.
pub(in crate::session) struct Locked<'h, H: Host> {
    pub(in crate::session) host: &'h H,
    /// Absolute, through every symbolic link.
    pub(in crate::session) path: PathBuf,
    pub(in crate::session) file: H::File,
    pub(in crate::session) about: About,
    /// As they were when it was opened.
    pub(in crate::session) times: Times,
}

impl<'h, H: Host> Locked<'h, H> {
    /// Opens and locks the file that `target` leads to.
    pub(in crate::session) fn take(host: &'h H, target: &Path) -> Result<Self> {
        let path = host.resolve(target)?;
        let file = host.open(&path, Access::Write)?;
        let about = file.about()?;
        if !about.regular {
            return Err(Error::refused("not-a-file", format!("{} is not a regular file", path.display())));
        }
        if !file.try_lock()? {
            let what = format!("{} is in use: another program holds its lock", path.display());
            return Err(Error::refused("in-use", what).advise("close the program that uses it, and try again"));
        }
        let times = file.times()?;
        let locked = Locked { host, path, file, about, times };
        locked.still_there()?;
        Ok(locked)
    }

    /// Refuses if a virtual machine holds the file, and keeps new ones out until another handle of it is closed in this
    /// process. For images only: where locks of both kinds meet on a server, they would stand in each other's way.
    pub(in crate::session) fn keep_machines_out(&self) -> Result<()> {
        if self.file.try_lock_ranges()? {
            return Ok(());
        }
        let what = format!("{} is in use: a virtual machine or another program holds its lock", self.path.display());
        Err(Error::refused("in-use", what).advise("shut the virtual machine down, and try again"))
    }

    /// Whether the name still leads to the file that was locked.
    pub(super) fn still_there(&self) -> Result<()> {
        let now = self.host.open(&self.path, Access::Read)?.about()?;
        if now.id == self.about.id { Ok(()) } else { Err(changed_since(None)) }
    }

    /// Whether the name still leads to the file that was locked, and nothing has written to that since.
    pub(super) fn untouched(&self) -> Result<()> {
        self.still_there()?;
        let same = self.file.times()?.modified == self.times.modified;
        if same { Ok(()) } else { Err(changed_since(None)) }
    }

    /// Refuses unless the name leads to this file, and the file holds `bytes`, all of them and nothing else.
    pub(in crate::session) fn expect(&self, bytes: &Overlaid<'_>) -> Result<()> {
        self.still_there()?;
        self.holds(bytes)
    }

    /// Refuses unless the file holds `bytes`, all of them and nothing else.
    pub(super) fn holds(&self, bytes: &Overlaid<'_>) -> Result<()> {
        match bytes.first_difference(&self.file)? {
            None => Ok(()),
            Some(offset) => Err(changed_since(None).at(Space::File, offset)),
        }
    }
}
