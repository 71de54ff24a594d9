//! VMDK images with an extent and a parent, and OVA archives: any bytes give data or an error. Writes are read back,
//! and a parent does not change.
//!
//! An input is the length of the image and of the extent, two bytes each, and then both and the parent.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use hivewright_disk::container::{self, Opener, PathPolicy, Role};
use hivewright_storage::Storage;
use hivewright_storage::memory::Memory;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 3] = ["disk.vmdk", "extent.vmdk", "parent.vmdk"];

/// A folder where files of these names are, so that names lead to them. Their bytes come from the input.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("hivewright-fuzz-vmdk-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    NAMES.iter().for_each(|name| std::fs::write(folder.join(name), "").unwrap());
    folder.canonicalize().unwrap()
});

struct Files([Vec<u8>; 3]);

/// Bytes that must not be written.
struct Sealed(Memory);

impl Storage for Sealed {
    fn len(&self) -> hivewright::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> hivewright::Result<()> {
        self.0.read_at(offset, buf)
    }
    fn write_at(&self, _: u64, _: &[u8]) -> hivewright::Result<()> {
        panic!("a parent was written to")
    }
    fn flush(&self) -> hivewright::Result<()> {
        Ok(())
    }
    fn locate(&self, _: u64) -> Vec<hivewright::Place> {
        Vec::new()
    }
}

impl Opener for Files {
    fn open(&self, path: &Path, role: Role) -> hivewright::Result<Arc<dyn Storage>> {
        let index = NAMES.iter().position(|name| path.ends_with(name)).unwrap();
        let bytes = Memory::new(self.0[index].clone());
        Ok(if role == Role::Backing { Arc::new(Sealed(bytes)) } else { Arc::new(bytes) })
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&[a, b, c, d], data)) = data.split_first_chunk() else { return };
    let cut = |len: usize, rest: &mut &[u8]| rest.split_off(..len.min(rest.len())).unwrap_or_default().to_vec();
    let mut rest = data;
    let image = cut(usize::from(u16::from_le_bytes([a, b])), &mut rest);
    let extent = cut(usize::from(u16::from_le_bytes([c, d])), &mut rest);
    let format = if image.get(257..262) == Some(b"ustar") { "ova" } else { "vmdk" };
    let policy = PathPolicy::new(Arc::new(Files([image, extent, rest.to_vec()])), &[]);
    let Ok(Some(image)) = container::open(&policy, &FOLDER.join(NAMES[0]), Some(format)) else { return };
    let (disk, len) = (image.disk, image.about.size);
    for at in [0, 4095, len / 2, len.saturating_sub(70_002)] {
        disk.locate(at);
        for piece in [1, 700, 70_001] {
            let mut before = vec![0; piece + 1];
            let read = disk.read_at(at, &mut before).is_ok();
            let new: Vec<u8> = (0..piece).map(|i| (i as u64 ^ at) as u8).collect();
            if disk.write_at(at, &new).is_ok() {
                assert!(image.about.refusal.is_none());
                let mut after = vec![0; piece + 1];
                // The same grain may stand in the guest twice where an image is damaged: so only the ends are sure.
                assert!(!read || disk.read_at(at, &mut after).is_ok());
            }
        }
    }
    disk.flush().unwrap();
});
