//! References of images, descriptors and Parallels bundles to other files, and the search of dependents before a write.
//! Only the file that has a reference may become a child of another file, or the image of which it is a part.
//!
//! An input is the index of a name, and the bytes of the file with that name.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use hivewright_disk::container::{find_dependents, in_bundle, last_part, references};
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 4] = ["DiskDescriptor.xml", "image.vmdk", "image.ova", "image.qcow2"];
/// Files that the names in a fuzzed file may refer to.
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
