//! What the fuzzers of image formats share: an image in memory, read and written to in pieces.

use std::path::Path;
use std::sync::Arc;

use hivewright::container::{Gate, Opener, Opening, Role, open_layer};
use hivewright::storage::Storage;
use hivewright::storage::memory::Memory;
use hivewright::storage::recorder::Recorder;

/// Names in an image lead nowhere.
struct Nothing;

impl Opener for Nothing {
    fn open(&self, _: &Path, _: Role) -> hivewright::Result<Arc<dyn Storage>> {
        Err(hivewright::Error::new(hivewright::Kind::NotFound, "no-file", "there is nothing"))
    }
}

/// Pieces of the disk that are read and written.
const PIECES: [usize; 4] = [1, 512, 700, 70_001];

/// Opens `bytes` as an image of the format; what is written is there to be read, and no other byte changed.
pub fn run(bytes: Vec<u8>, format: &str) {
    let file = Arc::new(Recorder::new(Arc::new(Memory::new(bytes))).unwrap());
    let gate = Gate::new(Arc::new(Nothing), &[]);
    let opening = Opening { gate: &gate, file, path: Path::new("/nowhere/image"), role: Role::Image, depth: 0 };
    let Ok(Some(image)) = open_layer(opening, Some(format)) else { return };
    let disk = image.disk;
    let len = disk.len().unwrap();
    let ends = [0, 1000, 4095, len / 2, len.saturating_sub(70_002)];
    let read = |at: u64, len: usize| {
        let mut buf = vec![0; len];
        disk.read_at(at, &mut buf).ok().map(|()| buf)
    };
    for at in ends {
        disk.locate(at);
        for piece in PIECES {
            let before = read(at, piece + 1);
            let new: Vec<u8> = (0..piece).map(|i| (i as u64 ^ at) as u8).collect();
            if disk.write_at(at, &new).is_ok()
                && let Some(mut before) = before
            {
                before[..piece].copy_from_slice(&new);
                assert!(read(at, piece + 1) == Some(before), "{at:#x} {piece}");
            }
        }
    }
    disk.flush().unwrap();
}
