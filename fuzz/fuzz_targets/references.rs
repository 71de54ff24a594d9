//! What an image, a descriptor or a Parallels bundle says of other files, and what is made of it before a write: whatever
//! they hold, nobody but the file that says so is taken for a child of another, or for the whole that it is a part of.
//!
//! An input is the number of a name, and the bytes of the file that is called so.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use hivewright_disk::container::{find_dependents, in_bundle, last_part, references};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 4] = ["DiskDescriptor.xml", "image.vmdk", "image.ova", "image.qcow2"];
/// What the names of a fuzzed file may lead to.
const BESIDE: &str = "disk.hds";

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("hivewright-fuzz-references-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let folder = folder.canonicalize().unwrap();
    std::fs::write(folder.join(BESIDE), "WithoutFreeSpace").unwrap();
    folder
});

fuzz_target!(|data: &[u8]| {
    let Some((&number, bytes)) = data.split_first() else { return };
    let file = FOLDER.join(NAMES[usize::from(number) % NAMES.len()]);
    std::fs::write(&file, bytes).unwrap();
    let said = references(&file);
    said.parents.iter().chain(&said.parts).for_each(|name| drop(last_part(name)));
    let beside = FOLDER.join(BESIDE);
    let found = find_dependents(std::slice::from_ref(&beside), &beside);
    let others = found.wholes.iter().chain(&found.children).filter(|other| **other != file);
    // A bundle's descriptor may name any file as a child.
    let is_bundle = usize::from(number) % NAMES.len() == 0;
    assert!(is_bundle || others.count() == 0, "{found:?}");
    if is_bundle {
        in_bundle(&FOLDER);
    }
    std::fs::remove_file(&file).unwrap();
});
