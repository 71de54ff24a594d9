//! A new file with a temporary name, until it replaces its target.

use std::path::{Path, PathBuf};

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::{Access, Host, HostFile, Storage};

use super::Proof;
use super::overlaid::Overlaid;

/// A new file. Dropping it before it has its final name removes it.
pub(crate) struct Staged<'h, H: Host> {
    host: &'h H,
    /// The temporary name; `None` once it has its final name.
    path: Option<PathBuf>,
    pub(crate) file: H::File,
}

impl<'h, H: Host> Staged<'h, H> {
    /// Makes an empty file in the folder of `beside`.
    pub(crate) fn new(host: &'h H, beside: &Path, mode: u32) -> Result<Self> {
        let (path, file) = host.create_temporary(beside, mode)?;
        Ok(Staged { host, path: Some(path), file })
    }

    /// Returns the temporary name.
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Writes `bytes`, flushes them, and reads them back through another opening.
    pub(crate) fn fill(&self, bytes: &Overlaid<'_>) -> Result<()> {
        self.fill_and_see(bytes, &|| Ok(()))
    }

    /// As [`Staged::fill`]; runs `see` while the medium works, since reads come from memory, flushed or not.
    fn fill_and_see(&self, bytes: &Overlaid<'_>, see: Proof<'_>) -> Result<()> {
        let read_back = || self.path.as_ref().map_or(Ok(()), |path| same_bytes(self.host, path, bytes));
        if !H::CONCURRENT {
            see()?;
            bytes.write_to(&self.file)?;
            return self.file.flush().and_then(|()| read_back());
        }
        bytes.write_to(&self.file)?;
        beside(&[see, &read_back], || self.file.flush())
    }

    /// As [`Staged::fill`], with `proof` in parallel, and then `see`: all must succeed.
    pub(crate) fn fill_and_prove(&self, bytes: &Overlaid<'_>, proof: Proof<'_>, see: Proof<'_>) -> Result<()> {
        if !H::CONCURRENT {
            return proof().and_then(|()| self.fill_and_see(bytes, see));
        }
        beside(&[proof], || self.fill_and_see(bytes, see))
    }

    /// Replaces the file at `to` atomically.
    pub(crate) fn replace(&mut self, to: &Path) -> Result<()> {
        if let Some(path) = &self.path {
            self.host.rename(path, to)?;
            self.path = None;
        }
        Ok(())
    }

    /// Checks that the name `at` leads to this file, with `len` bytes. Where the host has no file identities, only the
    /// length is compared.
    pub(crate) fn is_at(&self, at: &Path, len: u64) -> Result<()> {
        let there = self.host.open(at, Access::Read)?;
        if there.about()?.id == self.file.about()?.id && there.len()? == len {
            return Ok(());
        }
        let what = format!("{} is not the file that was created", at.display());
        Err(Error::new(Kind::Io, Code::ReadBack, what))
    }

    /// Gives the file the name `to`. Returns `false` if that is in use.
    pub(crate) fn place(&mut self, to: &Path) -> Result<bool> {
        match &self.path {
            Some(path) if !self.host.rename_new(path, to)? => Ok(false),
            _ => {
                self.path = None;
                Ok(true)
            }
        }
    }
}

/// Runs `work`, and each of `others` on another thread. All must succeed; the errors of the others come first.
fn beside(others: &[Proof<'_>], work: impl FnOnce() -> Result<()>) -> Result<()> {
    std::thread::scope(|scope| {
        let start = |other| std::thread::Builder::new().spawn_scoped(scope, other);
        let started: Vec<_> = others.iter().map(|&other| (other, start(other))).collect();
        let worked = work();
        let done = started.into_iter().map(|(other, thread)| match thread {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // If no thread can be started, they run one after the other.
            Err(_) => other(),
        });
        done.fold(Ok(()), Result::and).and(worked)
    })
}

impl<H: Host> Drop for Staged<'_, H> {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // A file that cannot be removed is harmless.
            let _ = self.host.remove(path);
        }
    }
}

/// Opens `path` again, reads it and compares.
pub(crate) fn same_bytes<H: Host>(host: &H, path: &Path, bytes: &Overlaid<'_>) -> Result<()> {
    match bytes.first_difference(&host.open(path, Access::Read)?)? {
        None => Ok(()),
        Some(offset) => {
            let what = format!("{} differs from the written bytes when read back", path.display());
            Err(Error::new(Kind::Io, Code::ReadBack, what).at(hivewright_error::Space::File, offset))
        }
    }
}

/// Returns the folder of `path`.
pub(crate) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
