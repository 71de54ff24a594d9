//! FAT: any volume gives a result or an error, after a bounded amount of reading. An input whose first byte is 0 has
//! changes of a FAT32 volume of the fixtures. Any other input is a volume after that byte.
#![no_main]

mod poked;

use std::sync::{Arc, LazyLock};

use hivewright_disk::fat::Fat;
use hivewright_storage::memory::Memory;
use libfuzzer_sys::fuzz_target;
use poked::{Poked, ask_all, fixture};

static FAT32: LazyLock<(&[u8], Vec<usize>)> = LazyLock::new(|| {
    let volume = &fixture("fat32-xp")[63 * 512..];
    let field = |at: usize, len: usize| volume[at..at + len].iter().rev().fold(0, |sum, &b| sum << 8 | usize::from(b));
    // Reserved sectors, then both tables, then the clusters, of which the first ones are folders.
    let fats = field(14, 2) * 512;
    let data = fats + 2 * field(36, 4) * 512;
    (volume, vec![0, 512, fats, data, data + 4096, data + 8192])
});

fuzz_target!(|data: &[u8]| match data {
    [0, pokes @ ..] => ask_all(Fat::open(Arc::new(Poked::new(FAT32.0, &FAT32.1, pokes)))),
    [_, volume @ ..] => ask_all(Fat::open(Arc::new(Memory::new(volume.to_vec())))),
    [] => {}
});
