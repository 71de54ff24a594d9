//! Replays of logs at the user's request.

use std::collections::BTreeMap;

use hivewright_storage::recorder::Written;

use super::log::{LOG, entries, maker};
use super::maker::{Change, Entry, put, put_log};
use super::*;
use crate::containers::fixtures::{Unpacked, raw_disk as fixture_disk};
use crate::containers::open_to_write;
use crate::support::tools::succeeds;

/// Returns the disk without a replay in the file.
fn guest(vhdx: &Path) -> Vec<u8> {
    let (image, _) = open(vhdx).unwrap();
    let mut disk = vec![0; image.disk.len().unwrap() as usize];
    image.disk.read_at(0, &mut disk).unwrap();
    disk
}

/// Opens the image with a replay of its log. Returns the writes.
fn replayed(vhdx: &Path) -> (Image, Arc<Recording>, Vec<Written>) {
    let (image, recording) = open_to_write(vhdx, true).unwrap();
    assert_eq!(image.about.refusal, None);
    let written = recording.0.lock().unwrap()[0].2.take().unwrap().1;
    (image, recording, written)
}

#[test]
fn a_replay_is_that_of_qemu() {
    for (from, first) in [(0, 1), (100, 5), (10, 0xffff_ffff), (253, 9), (255, 2)] {
        let folder = tempfile::tempdir().unwrap();
        let (vhdx, copy) = (folder.path().join("disk.vhdx"), folder.path().join("copy.vhdx"));
        let mut bytes = maker().build();
        let entries = entries(&bytes, from, first);
        put_log(&mut bytes, LOG, from, &entries);
        fs::write(&vhdx, &bytes).unwrap();
        fs::write(&copy, &bytes).unwrap();
        let raw = folder.path().join("disk.raw");
        fs::write(&raw, guest(&vhdx)).unwrap();
        let newest = headers(&vhdx).map(|header| header.0).into_iter().max().unwrap();

        let (image, recording) = open_to_write(&vhdx, true).unwrap();
        assert_eq!(image.about.refusal, None);
        assert_same(&image, &raw);
        // Only the log was written: the identifier of the data is unchanged until a write.
        recording.write_whole();
        let after = headers(&vhdx);
        assert_eq!(after.each_ref().map(|header| header.0).into_iter().max(), Some(newest + 2));
        assert!(after.iter().any(|header| header.3 == [0; 16]) && after[0].2 == after[1].2);
        assert!(after.iter().all(|header| header.1 != [0x11; 16]), "the identifier of the file is the old one");

        write(&image, &raw, 2 << 20, b"changed");
        recording.write_whole();
        assert!(headers(&vhdx).iter().all(|header| header.3 == [0; 16]), "a header is left whose log counts");
        let again = open(&vhdx).unwrap().0;
        assert_eq!((again.about.refusal.as_ref(), again.about.remarks.len()), (None, 0));
        assert_same(&again, &raw);
        if from < 250 && have(&["qemu-img"]) {
            check_with_qemu(&vhdx, &raw);
            // The same bytes in every block and in the table, except the seven that changed.
            let _ = succeeds("qemu-img", &["check", "-q", "-r", "all", text(&copy)]);
            let (mut ours, theirs) = (fs::read(&vhdx).unwrap(), fs::read(&copy).unwrap());
            put(&mut ours, 6 << 20, &theirs[6 << 20..(6 << 20) + 7]);
            assert!(ours.len() == theirs.len() && ours[2 * MIB..] == theirs[2 * MIB..]);
            assert!(headers(&copy).iter().any(|header| header.3 == [0; 16]));
        }
    }
}

/// The disk is the same after any prefix of the writes: either the log counts, or it has been replayed.
#[test]
fn every_prefix_of_a_replay_is_the_same_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (vhdx, torn) = (folder.path().join("disk.vhdx"), folder.path().join("torn.vhdx"));
    let mut before = maker().build();
    let log = entries(&before, 30, 4);
    put_log(&mut before, LOG, 30, &log);
    fs::write(&vhdx, &before).unwrap();
    let expected = guest(&vhdx);
    let (_, recording, written) = replayed(&vhdx);
    let len = recording.0.lock().unwrap()[0].2.len().unwrap() as usize;
    let mut epochs: BTreeMap<u32, Vec<Written>> = BTreeMap::new();
    written.into_iter().for_each(|w| epochs.entry(w.epoch).or_default().push(w));
    assert_eq!(epochs.keys().copied().collect::<Vec<_>>(), [0, 1, 2], "a header, what is logged, a header");
    let mut tried = 0;
    let mut so_far = before.clone();
    for (epoch, writes) in &epochs {
        // All, none, any one or all but one of an epoch; complete, in its first half, and as garbage.
        for pick in 0..writes.len() {
            for (others, keep, garbage) in [(false, 1, 1), (true, 1, 1), (false, 2, 1), (true, 2, 1), (true, 1, 0)] {
                let mut bytes = so_far.clone();
                bytes.resize(len.max(bytes.len()), 0);
                for (i, w) in writes.iter().enumerate() {
                    let at = w.offset as usize;
                    match (i == pick, others) {
                        // New space is not garbage: the next run truncates it first.
                        (true, _) if garbage == 0 && !w.old.is_empty() => bytes[at..at + w.new.len()].fill(0xa7),
                        (true, _) => put(&mut bytes, at, &w.new[..w.new.len() / keep]),
                        (false, true) => put(&mut bytes, at, &w.new),
                        (false, false) => {}
                    }
                }
                fs::write(&torn, &bytes).unwrap();
                assert!(guest(&torn) == expected, "epoch {epoch}, write {pick}, {others}, 1/{keep}, {garbage}");
                // The next run replays the rest.
                let (image, ..) = replayed(&torn);
                let mut disk = vec![0; expected.len()];
                image.disk.read_at(0, &mut disk).unwrap();
                assert!(disk == expected, "epoch {epoch}, write {pick}: replayed again");
                tried += 1;
            }
        }
        so_far.resize(len.max(so_far.len()), 0);
        writes.iter().for_each(|w| put(&mut so_far, w.offset as usize, &w.new));
    }
    println!("{tried} torn replays");
    assert!(tried >= 25);
}

#[test]
fn invalid_images_are_refused_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let vhdx = folder.path().join("disk.vhdx");
    let clean = maker().build();
    let refusal = |change: Change, last: u64| {
        let mut bytes = clean.clone();
        let entry = Entry { sequence: 1, tail: 0, flushed: 0, last, changes: vec![change] };
        put_log(&mut bytes, LOG, 0, &[entry]);
        fs::write(&vhdx, &bytes).unwrap();
        let (image, recording) = open_to_write(&vhdx, true).unwrap();
        assert!(recording.0.lock().unwrap()[0].2.take().unwrap().1.is_empty(), "something was written");
        image.about.refusal
    };
    let mib = MIB as u64;
    for (change, last, why) in [
        (Change::Zeros(64 << 10, 4096), 0, "overwrite the headers"),
        (Change::Zeros(0, 4096), 0, "overwrite the headers"),
        (Change::Sector(128 << 10, vec![7; 4096]), 0, "overwrite the headers"),
        (Change::Zeros(2 * mib - 4096, 4096), 0, "overwrite the headers or the log"),
        (Change::Zeros(mib - 4096, 8192), 0, "overwrite the headers or the log"),
        (Change::Zeros(8 * mib, 1 << 40), 0, "exceed the limit"),
        (Change::Zeros(5 * mib, 4096), u64::MAX, "exceed the limit"),
        (Change::Zeros(5 * mib, 4096), 1 << 33, "exceed the limit"),
    ] {
        let refusal = refusal(change, last).expect(why);
        assert!(refusal.code == "vhdx-log" && refusal.what.contains(why), "{refusal:?}");
        assert!(!refusal.advice.contains("--replay-image-log"), "{refusal:?}");
    }
}

/// A fixture whose table lacks the block of the hive; the log has it, and enlarges the file.
fn unclosed() -> Unpacked {
    let unpacked = Unpacked::named("vhdx-dynamic");
    let mut bytes = fs::read(unpacked.path()).unwrap();
    let region = (192 << 10) + 16;
    let is_table = |at: &usize| bytes[*at..*at + 4] == [0x66, 0x77, 0xc2, 0x2d];
    let entry = [region, region + 32].into_iter().find(is_table).unwrap();
    let at = u64::from_le_bytes(bytes[entry + 16..entry + 24].try_into().unwrap()) as usize;
    let sector = bytes[at..at + 4096].to_vec();
    put(&mut bytes, at + 4 * 8, &[0; 8]);
    let len = bytes.len() as u64;
    let entry = Entry {
        sequence: 3,
        tail: 0,
        flushed: len,
        last: len + 4096,
        changes: vec![Change::Sector(at as u64, sector)],
    };
    put_log(&mut bytes, LOG, 0, &[entry]);
    let logs = [64 << 10, 128 << 10].map(|at| u64::from_le_bytes(bytes[at + 72..at + 80].try_into().unwrap()));
    assert!(logs == [MIB as u64; 2], "the log is not where the maker puts one");
    fs::write(unpacked.path(), bytes).unwrap();
    unpacked
}

#[test]
fn the_command_replays_on_request_and_undoes_it() {
    let unpacked = unclosed();
    let before = unpacked.hashes();
    for arguments in [&["set", "2", "IMAGE"][..], &["unset", "IMAGE"], &["set", "2", "IMAGE", "--dry-run"]] {
        let run = unpacked.run(arguments);
        assert_eq!(run.code, 3, "{run:?}");
        assert!(run.err.contains("--replay-image-log"), "{run:?}");
        assert_eq!(unpacked.json(arguments)["error"]["code"], "vhdx-log");
    }
    let info = unpacked.json(&["info", "IMAGE"]);
    assert_eq!(info["container"]["refusal"]["code"], "vhdx-log", "{info}");
    let run = unpacked.run(&["set", "2", "IMAGE", "--replay-image-log", "--dry-run"]);
    assert!(run.code == 0 && run.has("vhdx-log-waits"), "{run:?}");
    let run = unpacked.run(&["get", "--value", "IMAGE"]);
    assert!(run.out == "1\n" && run.has("vhdx-log-waits"), "{run:?}");
    assert!(unpacked.hashes() == before, "something was written");

    let folder = fixture_disk();
    let raw = folder.path().join("disk.raw");
    let run = crate::command::hivewright_in(folder.path(), ["set", "2", "disk.raw", "--keep-timestamps"]);
    assert_eq!(run.code, 0, "{run:?}");
    let set = ["set", "2", "IMAGE", "--replay-image-log", "--keep-timestamps"];
    let run = unpacked.run(&[&set[..], &["--output", "copy.vhdx"]].concat());
    assert!(run.code == 0 && run.out.contains("the log of the image was replayed"), "{run:?}");
    assert_eq!(unpacked.hashes()["disk.vhdx"], before["disk.vhdx"]);
    let run = unpacked.run(&[&set[..], &["--undo", "undo"]].concat());
    assert!(run.code == 0 && run.out.contains("the log of the image was replayed"), "{run:?}");
    assert_eq!(unpacked.run(&["get", "--value", "IMAGE"]).out, "2\n");
    for name in ["disk.vhdx", "copy.vhdx"] {
        let path = unpacked.folder.path().join(name);
        assert!(headers(&path).iter().all(|header| header.3 == [0; 16]), "{name}: its log still counts");
        if have(&["qemu-img"]) {
            check_with_qemu(&path, &raw);
        }
    }
    let run = unpacked.run(&["set", "1", "IMAGE", "--undo", "second"]);
    assert!(run.code == 0 && !run.out.contains("log"), "no log, no option: {run:?}");
    for undo in ["second", "undo"] {
        assert_eq!(unpacked.run(&["undo", undo]).code, 0);
    }
    assert_eq!(unpacked.hashes()["disk.vhdx"], before["disk.vhdx"]);
    // An equal setting changes nothing, and the log stays.
    let run = unpacked.run(&["set", "1", "IMAGE", "--replay-image-log"]);
    assert!(run.code == 0 && run.has("vhdx-log-waits"), "{run:?}");
    assert_eq!(unpacked.hashes()["disk.vhdx"], before["disk.vhdx"]);
    // Without a log, nothing is mentioned.
    let closed = Unpacked::named("vhdx-dynamic");
    let run = closed.run(&["set", "1", "IMAGE", "--replay-image-log"]);
    assert!(run.code == 0 && !run.has("vhdx-log-waits"), "{run:?}");
}
