//! Every image of the corpus: the facts of its manifest, and unchanged bytes after all reads.

use std::fs;
use std::path::Path;

use super::fixtures::reads_only;
use super::{json, run, sha256};
use crate::corpus;
use crate::support::hex;

/// An image, and with Windows: its hive, the number of the next boot, and the service that reads it.
type Image = (&'static str, Option<(&'static str, Option<u64>, &'static str)>);

const IMAGES: &[Image] = &[
    ("ntfs_testfs1.raw", None),
    ("synthetic_win81_volume.raw", Some(("synthetic/hvle_two_logs/SYSTEM", Some(2), "PolicyAgent"))),
    ("synthetic_xp_mbr.raw", Some(("system/xp_sp2_pyregedit/SYSTEM", None, "IPSec"))),
    ("synthetic_xp_mbr.qcow2", Some(("system/xp_sp2_pyregedit/SYSTEM", None, "IPSec"))),
    ("windows_volume.qcow2", None),
];

/// Returns the hash of a file in the manifest, by its name without `.zst`.
fn manifest(corpus: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(corpus.join("MANIFEST.tsv")).unwrap();
    let row = text
        .lines()
        .map(|line| line.split('\t').collect::<Vec<_>>())
        .find(|row| row[0].trim_end_matches(".zst") == name);
    row.map(|row| row[1].to_owned())
}

#[test]
fn images_are_read_and_never_written() {
    let test = "images_are_read_and_never_written";
    let Some(corpus) = corpus::folder(test).filter(|_| corpus::can_unpack(test)) else { return };
    let stored = fs::read_dir(corpus.join("images")).unwrap().count();
    assert_eq!(stored, IMAGES.len(), "the corpus has images that this test does not know");
    let mut seen = 0;
    for (name, windows) in IMAGES {
        let bytes = corpus::read(&corpus, &format!("images/{name}.zst")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (folder, path) = (folder.path(), folder.path().join(name));
        fs::write(&path, bytes).unwrap();
        let sum = sha256(&path);
        assert_eq!(Some(&sum), manifest(&corpus, &format!("images/{name}")).as_ref(), "{name}");
        let codes = reads_only(folder, name);
        let get = run(folder, &["get", "--json", name]);
        let told = json(&get);
        if told["error"]["code"] == "container" {
            hivewright_fixtures::skip::missing(format_args!("{name}: images of this format are not read"));
            continue;
        }
        seen += 1;
        let Some((hive, number, service)) = windows else {
            assert_eq!((get.code, &told["error"]["code"]), (2, &"no-installation".into()), "{name}");
            assert_eq!(codes[4..6], [1, 1], "{name}: info finds no Windows");
            continue;
        };
        assert_eq!(codes[4..6], [0, 0], "{name}: info");
        // The writes of set and recover: a read-only format refuses them.
        let may_refuse = !name.ends_with(".raw");
        assert!(codes[6..].iter().all(|&code| code == 0 || (may_refuse && code == 3)), "{name}: {codes:?}");
        let found = (told["at_next_boot"]["value"].as_u64(), told["windows"]["service"].as_str());
        assert_eq!(found, (*number, Some(*service)), "{name}: {told}");
        let disk = hivewright::internals::locate::Disk::open(&path).unwrap().unwrap();
        let inside = disk.system_hive(&hivewright::internals::locate::Choice::default()).unwrap();
        let inside = hex::sha256(inside.whole().unwrap());
        assert_eq!(Some(inside), manifest(&corpus, hive), "{name}: the hive in it");
        assert_eq!(sha256(&path), sum, "{name}");
    }
    println!("{seen} images read");
    assert!(seen >= 3);
}
