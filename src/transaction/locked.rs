//! A file to be changed: opened, locked, and verified to be still the same file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hivewright_error::{Code, Error, Result, Space};
use hivewright_storage::joined::Joined;
use hivewright_storage::{About, Access, Host, HostFile, Storage, Times};

use super::members::Member;
use super::overlaid::Overlaid;
use crate::locate::changed_since;
use hivewright_storage::availability::vmware_is_out;

/// An open, locked file.
pub(crate) struct Locked<'h, H: Host> {
    pub(crate) host: &'h H,
    /// The absolute path, with symbolic links resolved.
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<H::File>,
    pub(crate) about: About,
    /// Its times when it was opened.
    pub(crate) times: Times,
    /// The other files of the same image.
    others: Vec<Locked<'h, H>>,
}

/// The files that change together, in the order of their addresses. Empty for a single target.
pub(crate) type Arrangement = [Member];

impl<'h, H: Host> Locked<'h, H> {
    /// Opens and locks the file at `target`.
    pub(crate) fn take(host: &'h H, target: &Path) -> Result<Self> {
        Self::take_one(host, target, false)
    }

    fn take_one(host: &'h H, target: &Path, may_be_device: bool) -> Result<Self> {
        let path = host.resolve(target)?;
        let file = Arc::new(host.open(&path, Access::Write)?);
        let about = file.about()?;
        if !(about.regular || about.device && may_be_device) {
            return Err(Error::refused(Code::NotAFile, format!("{} is not a regular file", path.display())));
        }
        if !file.try_lock()? {
            let what = format!("{} is in use: another program holds its lock", path.display());
            return Err(Error::refused(Code::InUse, what).advise("close the program that uses it, and try again"));
        }
        let times = file.times()?;
        let locked = Locked { host, path, file, about, times, others: Vec::new() };
        locked.still_there()?;
        Ok(locked)
    }

    /// Opens and locks `target`, which may be a block device, and the other files of its image.
    pub(crate) fn take_all(host: &'h H, target: &Path, files: &Arrangement) -> Result<Self> {
        let mut locked = Self::take_one(host, target, true)?;
        for file in files {
            let path = host.resolve(&file.path)?;
            if locked.all().all(|known| known.path != path) {
                let other = Self::take(host, &path)?;
                locked.others.push(other);
            }
        }
        Ok(locked)
    }

    /// Returns all locked files, the target first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// Returns the locked files as one address space.
    ///
    /// # Errors
    /// `changed-since`: a file has another length; the last one may have grown.
    pub(crate) fn storage_of(&self, files: &Arrangement) -> Result<Arc<dyn Storage>> {
        let file = |path: &Path| -> Result<Arc<dyn Storage>> {
            let path = self.host.resolve(path)?;
            let known = self.all().find(|known| known.path == path);
            Ok(known.ok_or_else(|| changed_since(&path))?.file.clone())
        };
        if files.len() < 2 {
            return Ok(self.file.clone());
        }
        Ok(Arc::new(arranged(files, file)?))
    }

    /// As [`Locked::storage_of`], if `target`, the file that the change to `files` names as its target, is any of the
    /// locked files.
    ///
    /// # Errors
    /// As [`Locked::storage_of`]; `changed-since` if `target` is not among them.
    pub(crate) fn storage_at(&self, target: &Path, files: &Arrangement) -> Result<Arc<dyn Storage>> {
        let own = self.all().find(|known| known.path == *target).ok_or_else(|| changed_since(target))?;
        if files.len() < 2 { Ok(own.file.clone()) } else { self.storage_of(files) }
    }

    /// Opens the files again, as one address space.
    pub(crate) fn reopen(&self, files: &Arrangement) -> Result<Box<dyn Storage>> {
        Ok(Box::new(reopened(self.host, &self.path, files)?))
    }

    /// Refuses if a virtual machine uses the file, and excludes new ones. Only for images: on some servers both kinds
    /// of locks would conflict.
    pub(crate) fn keep_machines_out(&self) -> Result<()> {
        for Locked { file, path, .. } in self.all() {
            vmware_is_out(self.host, path)?;
            if !file.try_lock_ranges()? {
                let what = format!("{} is in use: a virtual machine or another program holds its lock", path.display());
                return Err(Error::refused(Code::InUse, what).advise("shut down the virtual machine, and try again"));
            }
        }
        Ok(())
    }

    /// Checks that the path still leads to the locked file.
    pub(crate) fn still_there(&self) -> Result<()> {
        let now = self.host.open(&self.path, Access::Read)?.about()?;
        if now.id == self.about.id { Ok(()) } else { Err(changed_since(&self.path)) }
    }

    /// Checks that the path still leads to the locked file, and that it was not written to.
    pub(crate) fn untouched(&self) -> Result<()> {
        self.still_there()?;
        let same = self.file.times()?.modified == self.times.modified;
        if same { Ok(()) } else { Err(changed_since(&self.path)) }
    }

    /// Refuses unless the path leads to this file, and its contents are exactly `bytes`.
    pub(crate) fn expect(&self, bytes: &Overlaid<'_>) -> Result<()> {
        self.still_there()?;
        self.holds(bytes)
    }

    /// Refuses unless the contents of the file are exactly `bytes`.
    pub(crate) fn holds(&self, bytes: &Overlaid<'_>) -> Result<()> {
        match bytes.first_difference(&*self.file)? {
            None => Ok(()),
            Some(offset) => Err(changed_since(&self.path).at(Space::File, offset)),
        }
    }
}

/// Opens the file at `target`, or the `files` of its image, for reading.
pub(crate) fn reopened<H: Host>(host: &H, target: &Path, files: &Arrangement) -> Result<Joined<Arc<dyn Storage>>> {
    let open = |path: &Path| -> Result<Arc<dyn Storage>> { Ok(Arc::new(host.open(path, Access::Read)?)) };
    if files.len() < 2 {
        return Joined::new(vec![open(target)?]);
    }
    arranged(files, open)
}

/// Joins the files. The addresses of a file depend on the lengths of those before it.
fn arranged(files: &Arrangement, open: impl Fn(&Path) -> Result<Arc<dyn Storage>>) -> Result<Joined<Arc<dyn Storage>>> {
    let mut storages = Vec::new();
    let several_grow = files.iter().any(|file| file.grown.is_some());
    for (i, member) in files.iter().enumerate() {
        let Member { path, len, .. } = member;
        let file = open(path)?;
        let actual = file.len()?;
        if i + 1 < files.len() && member.grown.is_none() && actual != *len {
            return Err(changed_since(path).expected(format_args!("{len} bytes"), actual));
        }
        storages.push((file, member.room()));
    }
    if several_grow {
        return Joined::with_room(storages);
    }
    Joined::new(storages.into_iter().map(|(file, _)| file).collect())
}
