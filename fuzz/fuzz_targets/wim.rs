//! WIM archives: all reads of each image, and the replacement of a hive in each. Only the header of the old bytes
//! changes.
#![no_main]

#[path = "opened.rs"]
mod opened;
// Not all of it is used here.
#[allow(dead_code)]
#[path = "poked.rs"]
mod poked;

use std::sync::Arc;

use hivewright_disk::files::Files;
use hivewright_disk::wim::{Archive, HEADER_SIZE, Replacement};
use hivewright_storage::Storage;
use hivewright_storage::memory::Memory;
use hivewright_storage::recorder::Recorder;
use libfuzzer_sys::fuzz_target;

const SYSTEM: &str = r"\Windows\System32\config\SYSTEM";
/// Maximum number of images that are read.
const MOST: u32 = 4;

fuzz_target!(|data: &[u8]| {
    let file = Arc::new(Recorder::new(Arc::new(Memory::new(data.to_vec()))).unwrap());
    let Some(archive) = opened::open(file.clone(), "wim", false).and_then(|image| image.archive) else { return };
    for number in 1..=archive.images().min(MOST) {
        poked::ask_all(archive.image(number));
    }
    let bytes = [number_of(data); 5000];
    if archive.replace(&[Replacement { image: 1, path: SYSTEM, bytes: &bytes }], Some(1 << 40)).is_err() {
        return;
    }
    let header = usize::try_from(HEADER_SIZE).unwrap();
    let mut after = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    file.read_at(0, &mut after).unwrap();
    assert!(after[header..data.len()] == data[header..]);
    let again = Archive::open(vec![file]).unwrap();
    let mut there = vec![0; bytes.len()];
    again.image(1).unwrap().open(SYSTEM).unwrap().unwrap().read_at(0, &mut there).unwrap();
    assert!(there == bytes);
});

/// Returns a byte that depends on the input.
fn number_of(data: &[u8]) -> u8 {
    data.iter().fold(0, |sum, byte| sum ^ byte)
}
