//! Shared code of the fuzzers of image formats: an image in memory, which is read and written in pieces.

#[path = "opened.rs"]
mod opened;

use std::sync::Arc;

use hivewright_storage::memory::Memory;
use hivewright_storage::recorder::Recorder;

/// Pieces of the disk that are read and written.
const PIECES: [usize; 4] = [1, 512, 700, 70_001];

/// Opens `bytes` as an image of the format, and checks that writes are read back and change no other bytes.
pub fn run(bytes: Vec<u8>, format: &str) {
    let file = Arc::new(Recorder::new(Arc::new(Memory::new(bytes))).unwrap());
    let Some(image) = opened::open(file, format, false) else { return };
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
