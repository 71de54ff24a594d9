//! Images that qemu-nbd opens for us: what is read of them before it is started, which it never is here.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use hivewright_disk::container::{FORMATS, Opening, PathPolicy, Probe, open_layer};
use hivewright_storage::memory::Memory;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let head = &data[..data.len().min(Probe::HEAD)];
    let probe = Probe { head, tail: &[], len: data.len() as u64, name: "image" };
    let engine = |name: &str| ["qed", "qcow", "parallels"].contains(&name);
    let Some(format) = FORMATS.iter().find(|format| engine(format.name) && (format.is)(&probe)) else { return };
    let mut policy = PathPolicy::shut();
    policy.qemu_nbd = Some("/nowhere/qemu-nbd".into());
    policy.writing = data.len().is_multiple_of(2);
    let file = Arc::new(Memory::new(data.to_vec()));
    let opening = Opening::of(&policy, file, Path::new("/nowhere/image"));
    let Err(error) = open_layer(opening, Some(format.name)) else { panic!("it opened without an engine") };
    let known = ["no-qemu-nbd", "no-file", "backing-name", "encrypted", "outside-folder", "too-large", "io"];
    assert!(known.contains(&error.code().as_str()) || error.code().as_str().starts_with(format.name), "{error}");
});
