//! The tree of an image without the protection of a hash: cyclic folders, truncated names and streams.
#![no_main]

// Not all of it is used here.
#[allow(dead_code)]
#[path = "poked.rs"]
mod poked;

use std::sync::Arc;

use hivewright_disk::wim::{Archive, Replacement};
use hivewright_fixtures::wim;
use hivewright_storage::memory::Memory;
use hivewright_storage::recorder::Recorder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = wim::of_parts(&[data.to_vec()], &[b"hive".to_vec(), b"x".to_vec()]);
    let file = Arc::new(Recorder::new(Arc::new(Memory::new(bytes))).unwrap());
    let archive = Archive::open(vec![file]).unwrap();
    poked::ask_all(archive.image(1));
    let path = r"\Windows\System32\config\SYSTEM";
    let _ = archive.replace(&[Replacement { image: 1, path, bytes: b"another hive" }], None);
});
