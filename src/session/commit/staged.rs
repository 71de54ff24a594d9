//! A new file under a name of its own, until it takes its place.

use std::path::{Path, PathBuf};

use crate::error::{Error, Kind, Result};
use crate::storage::{Access, Host, HostFile, Storage};

use super::Proof;
use super::overlaid::Overlaid;

/// A new file; removed when dropped before it took its place.
pub(in crate::session) struct Staged<'h, H: Host> {
    host: &'h H,
    /// Its name for the time being; `None` once it took its place.
    path: Option<PathBuf>,
    pub(in crate::session) file: H::File,
}

impl<'h, H: Host> Staged<'h, H> {
    /// An empty file in the folder of `beside`.
    pub(in crate::session) fn new(host: &'h H, beside: &Path, mode: u32) -> Result<Self> {
        let (path, file) = host.create_temporary(beside, mode)?;
        Ok(Staged { host, path: Some(path), file })
    }

    /// Writes `bytes`, flushes them, and reads them back through another opening.
    pub(in crate::session) fn fill(&self, bytes: &Overlaid<'_>) -> Result<()> {
        bytes.write_to(&self.file)?;
        self.file.flush()?;
        match &self.path {
            Some(path) => same_bytes(self.host, path, bytes),
            None => Ok(()),
        }
    }

    /// [`Staged::fill`], while the proofs run beside it: all have to succeed.
    pub(super) fn fill_and_prove(&self, bytes: &Overlaid<'_>, proofs: &[Proof<'_>]) -> Result<()> {
        if !H::CONCURRENT {
            return proofs.iter().try_for_each(|proof| proof()).and_then(|()| self.fill(bytes));
        }
        std::thread::scope(|scope| {
            let start = |proof| std::thread::Builder::new().spawn_scoped(scope, proof);
            let proving: Vec<_> = proofs.iter().map(|&proof| (proof, start(proof))).collect();
            let filled = self.fill(bytes);
            let proven = proving.into_iter().map(|(proof, thread)| match thread {
                Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                // No thread to be had: one after the other.
                Err(_) => proof(),
            });
            proven.fold(Ok(()), Result::and).and(filled)
        })
    }

    /// Takes the place of the file at `to`. In one step: `to` is the old file or the new one at any moment.
    pub(super) fn replace(&mut self, to: &Path) -> Result<()> {
        if let Some(path) = &self.path {
            self.host.rename(path, to)?;
            self.path = None;
        }
        Ok(())
    }

    /// Whether the name `at` leads to this very file, with `len` bytes. Where the host cannot tell files apart, the
    /// length has to do.
    pub(super) fn is_at(&self, at: &Path, len: u64) -> Result<()> {
        let there = self.host.open(at, Access::Read)?;
        if there.about()?.id == self.file.about()?.id && there.len()? == len {
            return Ok(());
        }
        let what = format!("{} is not the file that was put there", at.display());
        Err(Error::new(Kind::Io, "read-back", what))
    }

    /// Takes the name `to` if it is free. `false`: it is not.
    pub(in crate::session) fn place(&mut self, to: &Path) -> Result<bool> {
        match &self.path {
            Some(path) if !self.host.rename_new(path, to)? => Ok(false),
            _ => {
                self.path = None;
                Ok(true)
            }
        }
    }
}

impl<H: Host> Drop for Staged<'_, H> {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What cannot be removed is litter, not harm.
            let _ = self.host.remove(path);
        }
    }
}

/// Reads `path` back through a fresh opening and compares.
pub(in crate::session) fn same_bytes<H: Host>(host: &H, path: &Path, bytes: &Overlaid<'_>) -> Result<()> {
    match bytes.first_difference(&host.open(path, Access::Read)?)? {
        None => Ok(()),
        Some(offset) => {
            let what = format!("{} does not read back as it was written", path.display());
            Err(Error::new(Kind::Io, "read-back", what).at(crate::error::Space::File, offset))
        }
    }
}

/// The folder that holds the name `path`.
pub(in crate::session) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}
