//! E01 images against ewfacquire, which makes them.

use std::process::Command;

use hivewright_disk::container::verify;
use hivewright_error::Code;

use super::*;
use crate::support::tools::have;

/// Creates `disk.raw` of 6 MiB, not a multiple of chunks, and acquires it as `image.E01` ..., in segments of 1 MiB.
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
fn damaged_data_is_not_returned() {
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
        // Without its signature, it is a raw disk.
        for offset in (13..sound.len()).step_by(sound.len() / 300) {
            let mut bytes = sound.clone();
            bytes[offset] ^= 0x20;
            fs::write(&path, &bytes).unwrap();
            let mut found = vec![0; raw.len()];
            match open(&path).and_then(|(image, _)| image.disk.read_at(0, &mut found)) {
                Ok(()) => assert!(found == raw, "byte {offset} of {}", sound.len()),
                Err(error) => {
                    assert!(matches!(error.code(), Code::EwfSegment | Code::EwfKind | Code::NoFile), "{error}");
                    caught += 1;
                }
            }
        }
        assert!(caught > 200, "{caught}");
    }
}

/// Creates a sparse image of a few KiB: tables of many chunks of zeros, with valid checksums.
fn sparse(path: &Path, tables: u32, count: u32) {
    let summed = |bytes: &[u8]| [bytes, &simd_adler32::adler32(&bytes).to_le_bytes()].concat();
    let file = File::create(path).unwrap();
    let mut at = 13;
    let mut section = |kind: &str, contents: &[u8], hole: u64| {
        let size = 76 + contents.len() as u64 + hole;
        let mut head = vec![0; 72];
        head[..kind.len()].copy_from_slice(kind.as_bytes());
        head[16..24].copy_from_slice(&(if kind == "done" { at } else { at + size }).to_le_bytes());
        head[24..32].copy_from_slice(&size.to_le_bytes());
        file.write_all_at(&[summed(&head), contents.to_vec()].concat(), at).unwrap();
        at += size;
        at
    };
    let mut volume = vec![0; 1048];
    let sectors = u64::from(tables) * u64::from(count) * 2;
    for (at, n) in [(4, tables * count), (8, 2), (12, 512), (16, sectors as u32), (20, (sectors >> 32) as u32)] {
        volume[at..at + 4].copy_from_slice(&n.to_le_bytes());
    }
    file.write_all_at(b"EVF\x09\x0d\x0a\xff\0\x01\x01\0\0\0", 0).unwrap();
    section("volume", &summed(&volume), 0);
    let entries = u64::from(count) * 4;
    for _ in 0..tables {
        let mut head = vec![0; 20];
        head[..4].copy_from_slice(&count.to_le_bytes());
        let end = section("table", &summed(&head), entries + 4);
        // Checksum of zeros: their number in the upper half, 1 in the lower.
        let sum = ((entries % 65521) as u32) << 16 | 1;
        file.write_all_at(&sum.to_le_bytes(), end - 4).unwrap();
    }
    section("done", &[], 0);
}

// Windows has no limit of the address space.
#[cfg(target_os = "linux")]
#[test]
fn the_memory_of_tables_is_bounded_by_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.E01");
    for (tables, count, code) in [(1, 500_000_000, "ewf-table"), (20, 1 << 24, "ewf-segment")] {
        sparse(&path, tables, count);
        for verb in ["get", "info", "check"] {
            let script = format!("ulimit -v 100000; ulimit -t 20; exec \"$0\" {verb} --json \"$1\"");
            let began = std::time::Instant::now();
            let mut shell = Command::new("sh");
            let shell = shell.args(["-c", &script, env!("CARGO_BIN_EXE_hivewright")]).arg(&path);
            let out = shell.output().unwrap();
            let said = String::from_utf8_lossy(&out.stdout);
            assert!(said.contains(code), "{verb}, {count}: {out:?}");
            assert!(out.status.code() == Some(2) && began.elapsed().as_secs() < 20, "{verb}, {count}: {out:?}");
        }
    }
}

/// --verify compares the hashes, with or without a Windows.
#[test]
fn to_verify_a_disk_without_windows_is_an_answer() {
    if !have(&["ewfacquire"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    acquire(folder.path(), "-f encase6 -c none -d sha1");
    let run = |arguments: &[&str]| crate::command::hivewright_in(folder.path(), arguments).code;
    assert_eq!((run(&["info", "image.E01"]), run(&["info", "image.E01", "--verify"])), (1, 0));
    let part = File::options().write(true).open(folder.path().join("image.E03")).unwrap();
    part.write_all_at(&[0x5a; 16], 500_000).unwrap();
    assert!(matches!(run(&["info", "image.E01", "--verify"]), 1 | 2));
}
