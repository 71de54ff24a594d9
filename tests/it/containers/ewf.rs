//! E01 images against ewfacquire, which makes them.

use std::process::Command;

use hivewright::container::verify;

use super::*;
use crate::support::tools::have;

/// `disk.raw` of 6 MiB, not whole chunks, acquired as `image.E01` and on, in segments of 1 MiB.
fn acquire(folder: &Path, options: &str) {
    raw_disk(&folder.join("disk.raw"), 6);
    let raw = File::options().write(true).open(folder.join("disk.raw")).unwrap();
    raw.set_len((6 << 20) + 1536).unwrap();
    raw.write_all_at(&[0xa5; 700], (6 << 20) + 700).unwrap();
    let fixed = "-u -t image -S 1MiB -C case7 -D disk -e Examiner -E 1/7 -N notes";
    let words = fixed.split(' ').chain(options.split(' ')).chain(["disk.raw"]);
    let out = Command::new("ewfacquire").args(words).current_dir(folder).output().unwrap();
    assert!(out.status.success(), "{options}: {}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn reads_what_others_acquired_and_never_writes() {
    if !have(&["ewfacquire"]) {
        return;
    }
    for format in ["ewf", "smart", "ftk", "encase1", "encase5", "encase6", "encase7", "linen5"] {
        for compression in ["none", "fast", "best", "empty-block"] {
            if !matches!((format, compression), ("encase6", _) | (_, "none" | "best")) {
                continue;
            }
            let folder = tempfile::tempdir().unwrap();
            let at = folder.path();
            acquire(at, &format!("-f {format} -c {compression} -d sha1"));
            let names: Vec<PathBuf> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()).collect();
            let first = names
                .iter()
                .find(|name| name.extension().is_some_and(|e| ["E01", "e01", "s01"].iter().any(|first| e == *first)))
                .unwrap();
            let (image, recording) = open(first).unwrap();
            println!("{format} {compression}: {:?}", image.about);
            assert_eq!(image.about.size, (6 << 20) + 1536);
            assert_same(&image, &at.join("disk.raw"));
            let hashes = verify(&*image.disk, &image.about).unwrap();
            assert!(!hashes.is_empty() && hashes.iter().all(|hash| hash.holds()), "{hashes:?}");
            let has = |fact: (&'static str, &str)| image.about.facts.contains(&(fact.0, fact.1.to_owned()));
            assert!(has(("case-number", "case7")) && has(("examiner", "Examiner")), "{:?}", image.about.facts);
            assert_eq!(image.disk.write_at(0, &[1]).unwrap_err().code(), "ewf-evidence");
            assert_eq!(image.about.refusal.as_ref().unwrap().code, "ewf-evidence");
            recording.bring_to_disk();
        }
    }
}

#[test]
fn segments_are_found_from_any_of_them() {
    if !have(&["ewfacquire"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    acquire(at, "-f encase6 -c none");
    let (image, _) = open(&at.join("image.E03")).unwrap();
    assert_same(&image, &at.join("disk.raw"));
    assert!(image.about.variant.starts_with('7'), "{}", image.about.variant);
    fs::remove_file(at.join("image.E05")).unwrap();
    assert_eq!(open(&at.join("image.E01")).map(|_| ()).unwrap_err().code(), "no-file");
    fs::copy(at.join("image.E04"), at.join("image.E05")).unwrap();
    assert_eq!(open(&at.join("image.E01")).map(|_| ()).unwrap_err().code(), "ewf-segment");
}

#[test]
fn damage_is_not_handed_out() {
    if !have(&["ewfacquire"]) {
        return;
    }
    for compression in ["none", "best"] {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        acquire(at, &format!("-f encase6 -c {compression}"));
        let raw = fs::read(at.join("disk.raw")).unwrap();
        let path = at.join("image.E01");
        let sound = fs::read(&path).unwrap();
        let mut caught = 0;
        // Without its magic it is no image any more, but a raw disk.
        for offset in (13..sound.len()).step_by(sound.len() / 300) {
            let mut bytes = sound.clone();
            bytes[offset] ^= 0x20;
            fs::write(&path, &bytes).unwrap();
            let mut found = vec![0; raw.len()];
            match open(&path).and_then(|(image, _)| image.disk.read_at(0, &mut found)) {
                Ok(()) => assert!(found == raw, "byte {offset} of {}", sound.len()),
                Err(error) => {
                    assert!(matches!(error.code(), "ewf-segment" | "ewf-kind" | "no-file"), "{error}");
                    caught += 1;
                }
            }
        }
        assert!(caught > 200, "{caught}");
    }
}
