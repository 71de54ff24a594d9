//! Packed images: any stream is unpacked within the limit, and the result is opened.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use hivewright_disk::container::{Opening, PathPolicy, open_layer};
use hivewright_storage::memory::Memory;
use libfuzzer_sys::fuzz_target;

/// Maximum size of an unpacked stream in bytes.
const MOST: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut policy = PathPolicy::shut();
    policy.unpack = Some(MOST);
    let opening = Opening::of(&policy, Arc::new(Memory::new(data.to_vec())), Path::new("/disk.raw.gz"));
    if let Ok(Some(image)) = open_layer(opening, None)
        && image.about.facts.iter().any(|(name, _)| *name == "packed")
        && image.about.format == "raw"
    {
        let len = image.disk.len().unwrap();
        assert!(len <= MOST);
        image.disk.read_at(0, &mut vec![0; usize::try_from(len).unwrap()]).unwrap();
    }
});
