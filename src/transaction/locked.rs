//! The file that is to be changed: found, opened, locked, and still the same file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hivewright_error::{Code, Error, Result, Space};
use hivewright_storage::joined::Joined;
use hivewright_storage::{About, Access, Host, HostFile, Storage, Times};

use super::members::Member;
use super::overlaid::Overlaid;
use crate::locate::changed_since;
use hivewright_storage::availability::vmware_is_out;

/// An open file that is ours as long as this lives.
pub(crate) struct Locked<'h, H: Host> {
    pub(crate) host: &'h H,
    /// Absolute, through every symbolic link.
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<H::File>,
    pub(crate) about: About,
    /// As they were when it was opened.
    pub(crate) times: Times,
    /// The other files of the same image.
    others: Vec<Locked<'h, H>>,
}

/// The files that change together, in the order of their addresses. None where the target is all there is.
pub(crate) type Arrangement = [Member];

impl<'h, H: Host> Locked<'h, H> {
    /// Opens and locks the file that `target` leads to.
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

    /// Every file that is locked, the target first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// What is locked as one run of addresses.
    ///
    /// # Errors
    /// `changed-since` where a file has another length; the last one may have grown.
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

    /// The same, where `target` is the file that was named when the change to `files` was made: any of those locked.
    ///
    /// # Errors
    /// As [`Locked::storage_of`]; `changed-since` where it is not among them.
    pub(crate) fn storage_at(&self, target: &Path, files: &Arrangement) -> Result<Arc<dyn Storage>> {
        let own = self.all().find(|known| known.path == *target).ok_or_else(|| changed_since(target))?;
        if files.len() < 2 { Ok(own.file.clone()) } else { self.storage_of(files) }
    }

    /// The same, opened anew.
    pub(crate) fn reopen(&self, files: &Arrangement) -> Result<Box<dyn Storage>> {
        Ok(Box::new(reopened(self.host, &self.path, files)?))
    }

    /// Refuses if a virtual machine holds the file, and keeps new ones out. For images only: where locks of both kinds meet
    /// on a server, they could stand in each other's way.
    pub(crate) fn keep_machines_out(&self) -> Result<()> {
        for Locked { file, path, .. } in self.all() {
            vmware_is_out(self.host, path)?;
            if !file.try_lock_ranges()? {
                let what = format!("{} is in use: a virtual machine or another program holds its lock", path.display());
                return Err(Error::refused(Code::InUse, what).advise("shut the virtual machine down, and try again"));
            }
        }
        Ok(())
    }

    /// Whether the name still leads to the file that was locked.
    pub(crate) fn still_there(&self) -> Result<()> {
        let now = self.host.open(&self.path, Access::Read)?.about()?;
        if now.id == self.about.id { Ok(()) } else { Err(changed_since(&self.path)) }
    }

    /// Whether the name still leads to the file that was locked, and nothing has written to that since.
    pub(crate) fn untouched(&self) -> Result<()> {
        self.still_there()?;
        let same = self.file.times()?.modified == self.times.modified;
        if same { Ok(()) } else { Err(changed_since(&self.path)) }
    }

    /// Refuses unless the name leads to this file, and the file holds `bytes`, all of them and nothing else.
    pub(crate) fn expect(&self, bytes: &Overlaid<'_>) -> Result<()> {
        self.still_there()?;
        self.holds(bytes)
    }

    /// Refuses unless the file holds `bytes`, all of them and nothing else.
    pub(crate) fn holds(&self, bytes: &Overlaid<'_>) -> Result<()> {
        match bytes.first_difference(&*self.file)? {
            None => Ok(()),
            Some(offset) => Err(changed_since(&self.path).at(Space::File, offset)),
        }
    }
}

/// The file at `target`, or the `files` of its image, opened for reading.
pub(crate) fn reopened<H: Host>(host: &H, target: &Path, files: &Arrangement) -> Result<Joined<Arc<dyn Storage>>> {
    let open = |path: &Path| -> Result<Arc<dyn Storage>> { Ok(Arc::new(host.open(path, Access::Read)?)) };
    if files.len() < 2 {
        return Joined::new(vec![open(target)?]);
    }
    arranged(files, open)
}

/// The addresses of what follows depend on the lengths of all but the last.
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
