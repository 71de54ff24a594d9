//! qcow2: any bytes are an error or a disk. Writes are read back, also through a new opening, and change no other
//! bytes.
#![no_main]

mod opened;

use std::sync::Arc;

use hivewright_disk::container::Image;
use hivewright_storage::Storage;
use hivewright_storage::memory::Memory;
use hivewright_storage::recorder::Recorder;
use libfuzzer_sys::fuzz_target;

/// Some of the disk, from its start, middle and end; `None` where it cannot be read.
fn pieces(image: &Image) -> Vec<(u64, Option<Vec<u8>>)> {
    let len = image.about.size;
    let piece = len.min(16 << 10);
    let read = |at: u64| {
        let mut bytes = vec![0; piece as usize];
        image.disk.read_at(at, &mut bytes).ok().map(|()| bytes)
    };
    [0, len / 2 - piece / 2, len - piece].into_iter().map(|at| (at, read(at))).collect()
}

fuzz_target!(|data: &[u8]| {
    let Ok(file) = Recorder::new(Arc::new(Memory::new(data.to_vec()))).map(Arc::new) else { return };
    let Some(image) = opened::open(file.clone(), "qcow2", true) else { return };
    let before = pieces(&image);
    assert!(file.take().unwrap().1.is_empty());
    let mut written = Vec::new();
    for at in [1, 700, 5000, image.about.size / 2, image.about.size.saturating_sub(1)] {
        let _ = image.disk.locate(at);
        match image.disk.write_at(at, &[0x5c]) {
            Ok(()) => written.push(at),
            Err(_) => break,
        }
    }
    if image.disk.flush().is_err() || written.is_empty() {
        return;
    }
    let after = pieces(&image);
    for ((start, before), (_, after)) in before.iter().zip(&after) {
        let (Some(before), Some(after)) = (before, after) else { continue };
        for (i, (a, b)) in before.iter().zip(after).enumerate() {
            let expected = if written.contains(&(start + i as u64)) { 0x5c } else { *a };
            assert_eq!(*b, expected, "byte {:#x} of the disk", start + i as u64);
        }
    }
    let mut whole = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut whole).unwrap();
    let again =
        opened::open(Arc::new(Memory::new(whole)), "qcow2", true).expect("what was flushed is no image any more");
    assert!(pieces(&again) == after);
});
