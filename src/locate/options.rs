//! The lowest layer: opens the files of an image for reading and counts their bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use hivewright_disk::container::{self, Image, Opener, PathPolicy, Role};
use hivewright_error::Result;
use hivewright_storage::counting::Counting;
use hivewright_storage::probe::{EntryKind, kind_of};
use hivewright_storage::{Access, Host, Storage};

/// Options for opening an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ImageOptions {
    /// The format of the image, whatever its bytes.
    pub format: Option<String>,
    /// Folders outside the image's folder from which it may name files.
    pub allow: Vec<PathBuf>,
    /// The path of qemu-nbd, if it is not on PATH.
    pub qemu_nbd: Option<PathBuf>,
    /// Whether a block device may be written to.
    pub device: bool,
    /// Whether the log of an image is replayed in the image before anything else is written.
    pub replay_log: bool,
    /// Bytes at most of a temporary file into which a compressed image (gzip, zstd, xz) is unpacked; `None` refuses
    /// such images.
    pub unpack: Option<u64>,
    /// Whether hives that are files of the host are read through memory maps, which is the fastest way to read much of
    /// them. The process ends if another program truncates such a file meanwhile. Changes are made without maps.
    pub mapped: bool,
}

impl ImageOptions {
    /// Returns a policy for one image.
    pub(crate) fn policy(&self, opener: Arc<dyn Opener>) -> PathPolicy {
        let mut policy = PathPolicy::new(opener, &self.allow);
        policy.qemu_nbd.clone_from(&self.qemu_nbd);
        policy.replay_log = self.replay_log;
        policy.unpack = self.unpack;
        policy
    }
}

/// Opens files for reading, and counts the bytes read of all of them.
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

/// Opens the image at `path` through `policy`. `None` for a hive, and for a file that is too short.
pub(super) fn open(policy: &PathPolicy, path: &Path, options: &ImageOptions) -> Result<Option<Image>> {
    if options.format.is_none() && !matches!(kind_of(path)?, EntryKind::File | EntryKind::Device) {
        return Ok(None);
    }
    container::open(policy, path, options.format.as_deref())
}
