//! The lowest storey: the image file and whatever belongs to it, opened for reading and counted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hivewright_disk::container::{self, Gate, Image, Opener, Role};
use hivewright_error::Result;
use hivewright_storage::counting::Counting;
use hivewright_storage::folder::{EntryKind, kind_of};
use hivewright_storage::{Access, Host, Storage};

/// How an image is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// The format of the image, whatever its bytes look like.
    pub format: Option<String>,
    /// Folders outside of the image's own from which it may name files.
    pub allow: Vec<PathBuf>,
    /// Where qemu-nbd is, if not on PATH.
    pub qemu_nbd: Option<PathBuf>,
    /// Whether a block device may be written to.
    pub device: bool,
    /// Whether the log of an image is brought to its places before anything else is written to it.
    pub replay_log: bool,
}

impl ImageOptions {
    /// A gate for one image.
    pub(crate) fn gate(&self, opener: Arc<dyn Opener>) -> Gate {
        let mut gate = Gate::new(opener, &self.allow);
        gate.qemu_nbd.clone_from(&self.qemu_nbd);
        gate.replay_log = self.replay_log;
        gate
    }
}

/// Opens for reading, and counts what is read of all files together.
pub(crate) struct Reader<H> {
    pub(crate) host: H,
    pub(crate) read: Arc<AtomicU64>,
}

impl<H: Host> Opener for Reader<H> {
    fn open(&self, path: &Path, _: Role) -> Result<Arc<dyn Storage>> {
        let file = Box::new(self.host.open(path, Access::Read)?);
        Ok(Arc::new(Counting::into_total(file, self.read.clone())))
    }
}

/// Opens the image at `path` through `gate`. A hive is none, and neither is what is too short.
pub(super) fn open(gate: &Gate, path: &Path, options: &ImageOptions) -> Result<Option<Image>> {
    if options.format.is_none() && !matches!(kind_of(path)?, EntryKind::File | EntryKind::Device) {
        return Ok(None);
    }
    container::open(gate, path, options.format.as_deref())
}
