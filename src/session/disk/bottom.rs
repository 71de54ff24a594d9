//! The lowest storey: the image file and whatever belongs to it, opened for reading and counted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::container::{self, Gate, Image, Opener, Role};
use crate::error::Result;
use crate::storage::counting::Counting;
use crate::storage::folder::{EntryKind, kind_of};
use crate::storage::{FileStorage, Storage};

/// How an image is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// The format of the image, whatever its bytes look like.
    pub format: Option<String>,
    /// Folders outside of the image's own from which it may name files.
    pub allow: Vec<PathBuf>,
    /// Where qemu-nbd is, if not on PATH.
    pub qemu_nbd: Option<PathBuf>,
}

impl ImageOptions {
    /// A gate for one image.
    pub(in crate::session) fn gate(&self, opener: Arc<dyn Opener>) -> Gate {
        let mut gate = Gate::new(opener, &self.allow);
        gate.qemu_nbd.clone_from(&self.qemu_nbd);
        gate
    }
}

/// Opens for reading, and counts what is read of all files together.
#[derive(Default)]
pub(in crate::session) struct Reader {
    read: Arc<AtomicU64>,
}

impl Reader {
    pub(super) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

impl Opener for Reader {
    fn open(&self, path: &Path, _: Role) -> Result<Arc<dyn Storage>> {
        Ok(Arc::new(Counting::into_total(Box::new(FileStorage::open(path)?), self.read.clone())))
    }
}

/// Whether `path` may be a disk: neither a hive nor a folder nor too short. `true` for a block device too.
pub(super) fn may_be_a_disk(path: &Path) -> Result<bool> {
    match kind_of(path)? {
        EntryKind::File => {}
        EntryKind::Device => return Ok(true),
        EntryKind::Folder | EntryKind::Other => return Ok(false),
    }
    let mut magic = [0; 4];
    let file = FileStorage::open(path)?;
    if file.len()? < 72 {
        return Ok(false);
    }
    file.read_at(0, &mut magic)?;
    Ok(magic != *b"regf")
}

/// Opens the image at `path` through `gate`.
pub(super) fn open(gate: &Gate, path: &Path, options: &ImageOptions) -> Result<Option<Image>> {
    if options.format.is_none() && !may_be_a_disk(path)? {
        return Ok(None);
    }
    container::open(gate, path, options.format.as_deref())
}
