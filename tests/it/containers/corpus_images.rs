//! The images of the corpus: their format, and their disk according to another reader.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{assert_same, open};
use crate::command::hivewright_in;
use crate::corpus;
use crate::support::tools::{have, output};

/// Extensions, our name of the format, and QEMU's; E01 is libewf's.
const FORMATS: [(&str, &str, &str); 9] = [
    ("raw", "raw", "raw"),
    ("dd", "raw", "raw"),
    ("qcow2", "qcow2", "qcow2"),
    ("vhd", "vhd", "vpc"),
    ("vhdx", "vhdx", "vhdx"),
    ("vmdk", "vmdk", "vmdk"),
    ("vdi", "vdi", "vdi"),
    ("E01", "ewf", ""),
    ("qed", "qed", "qed"),
];

/// Returns the disk according to another reader.
fn as_others_read(image: &Path, qemu: &str) -> Option<PathBuf> {
    let (raw, from) = (image.with_extension("as-raw"), image.to_str().unwrap());
    let to = raw.to_str().unwrap();
    if !qemu.is_empty() {
        have(&["qemu-img"]).then(|| output("qemu-img", &["convert", "-f", qemu, "-O", "raw", from, to]))?;
        return Some(raw);
    }
    // Its name for one whole raw file has the suffix `.raw`.
    have(&["ewfexport"]).then(|| output("ewfexport", &["-q", "-u", "-f", "raw", "-S", "0", "-t", to, from]))?;
    Some(PathBuf::from(format!("{to}.raw")))
}

#[test]
fn images_of_the_corpus_are_the_disks_that_others_see() {
    let test = "images_of_the_corpus_are_the_disks_that_others_see";
    let Some(corpus) = corpus::folder(test).filter(|_| corpus::can_unpack(test)) else { return };
    let mut seen = BTreeSet::new();
    for entry in fs::read_dir(corpus.join("images")).unwrap() {
        let stored = entry.unwrap().file_name().into_string().unwrap();
        let name = stored.trim_end_matches(".zst");
        let (_, format, qemu) = FORMATS
            .into_iter()
            .find(|(ending, ..)| Path::new(name).extension().is_some_and(|e| e == *ending))
            .unwrap_or_else(|| panic!("{name}: a container that this test does not know"));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, corpus::read(&corpus, &format!("images/{stored}")).unwrap()).unwrap();
        let info = hivewright_in(folder.path(), ["info", "--json", name]);
        let told: serde_json::Value = serde_json::from_str(&info.out).unwrap_or_else(|e| panic!("{e}: {info:?}"));
        assert_eq!(told["container"]["format"], format, "{name}: {told}");
        let (image, _) = open(&path).unwrap();
        let Some(raw) = as_others_read(&path, qemu) else { continue };
        assert_eq!(image.disk.len().unwrap(), fs::metadata(&raw).unwrap().len(), "{name}");
        assert_same(&image, &raw);
        println!("{name}: {format}, {} bytes as another reader sees them", image.about.size);
        seen.insert(format);
    }
    let missing: BTreeSet<&str> =
        FORMATS.into_iter().map(|(_, format, _)| format).filter(|f| !seen.contains(f)).collect();
    hivewright_fixtures::skip::impossible(format_args!("{test}: the corpus has no image of {missing:?}"));
}
