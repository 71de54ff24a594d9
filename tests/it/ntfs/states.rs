//! States of volumes and files, patched into volumes byte by byte.

use hivewright_error::Code;
use std::fs;
use std::process::Command;

use hivewright_disk::files::{Files, Hibernation, Journal};
use hivewright_disk::ntfs::Ntfs;
use hivewright_fixtures::disks::ntfs::{attribute, restart_page};
use hivewright_storage::Storage;

use super::{all_bytes, open};
use crate::support::memory::Memory;
use crate::support::ntfs_volume::{NtfsVolume, noise};
use crate::support::tools::{have, output};

fn volume(bytes: &[u8]) -> Ntfs {
    Ntfs::open(Memory::new(bytes.to_vec())).unwrap()
}

/// Returns the offset of record `id` in the volume.
fn record(bytes: &[u8], id: u64) -> usize {
    let table = volume(bytes).open("$MFT").unwrap().unwrap();
    table.locate(id * 1024)[0].offset as usize
}

#[test]
fn the_journal_is_judged_like_in_ntfs_3g() {
    let Some(made) = NtfsVolume::make(16, &[]).filter(|_| have(&["ntfs-3g.probe"])) else { return };
    let clean = made.bytes();
    let log = volume(&clean).open("$LogFile").unwrap().unwrap();
    let (at, len) = (log.locate(0)[0].offset as usize, log.len().unwrap());
    // ntfs-3g.probe: 0 writable, 14 a saved session, 15 a journal with operations to redo.
    for (pages, version, is_clean, verdict) in [
        ([((1, 1), false, 0), ((1, 1), false, 0)], (1, 1), true, 0),
        ([((1, 1), true, 2), ((1, 1), true, 2)], (1, 1), true, 0),
        ([((1, 1), true, 0), ((1, 1), true, 0)], (1, 1), false, 15),
        ([((2, 0), true, 0), ((2, 0), true, 0)], (2, 0), false, 14),
        ([((2, 0), false, 0), ((2, 0), false, 0)], (2, 0), true, 14),
        // The second copy has the higher sequence number.
        ([((1, 1), true, 0), ((1, 1), false, 0)], (1, 1), true, 0),
    ] {
        let mut bytes = clean.clone();
        for (i, (version, is_held, flags)) in pages.into_iter().enumerate() {
            let page = restart_page(version, is_held, flags, i as u8 + 1, len);
            bytes[at + i * 4096..][..4096].copy_from_slice(&page);
        }
        let journal = volume(&bytes).state().unwrap().journal;
        assert_eq!(journal, Journal::Restart { version, clean: is_clean });
        fs::write(made.path(), &bytes).unwrap();
        let probe = Command::new("ntfs-3g.probe").arg("--readwrite").arg(made.path()).output().unwrap();
        assert_eq!(probe.status.code(), Some(verdict), "{journal:?}");
        let may_write = !journal.is_unclean() && !journal.may_be_cached();
        assert_eq!(may_write, verdict == 0, "{journal:?}");
    }
    let mut torn = clean.clone();
    torn[at..at + 4096].copy_from_slice(&restart_page((1, 1), false, 0, 1, len));
    torn[at + 1022] = 9;
    assert_eq!(volume(&torn).state().unwrap().journal, Journal::Unreadable(Code::NtfsLogTorn));
    torn[at..at + 4].copy_from_slice(b"what");
    assert_eq!(volume(&torn).state().unwrap().journal, Journal::Unreadable(Code::NtfsLog));
}

#[test]
fn hibernation_is_reported() {
    let Some(made) = NtfsVolume::make(16, &[]) else { return };
    let fill = |content: &[u8]| made.fill(|root| fs::write(root.join("hiberfil.sys"), content).unwrap());
    if fill(&[[b'Z'; 4096], [0; 4096]].concat()).is_none() {
        return;
    }
    let clean = made.bytes();
    let at = volume(&clean).open("HIBERFIL.SYS").unwrap().unwrap().locate(0)[0].offset as usize;
    for (first, expected) in [
        (b"hibr", Hibernation::Saved),
        (b"HIBR", Hibernation::Saved),
        (b"wake", Hibernation::Resumed),
        (&[0; 4], Hibernation::Zeros),
        (b"RSTR", Hibernation::Other(*b"RSTR")),
    ] {
        let mut bytes = clean.clone();
        bytes[at..at + 4].copy_from_slice(first);
        let state = volume(&bytes).state().unwrap();
        assert_eq!((state.hibernation, state.journal), (expected, Journal::Empty));
    }
    if fill(b"short").is_some() {
        assert_eq!(open(&made.path()).state().unwrap().hibernation, Hibernation::Short(5));
    }
}

#[test]
fn flags_and_lengths_of_a_file_are_respected() {
    let Some(made) = NtfsVolume::make(16, &[]).filter(|_| have(&["ntfscat", "icat"])) else { return };
    let content = noise(50_000, 3);
    if made.fill(|root| fs::write(root.join("file"), &content).unwrap()).is_none() {
        return;
    }
    let clean = made.bytes();
    let id = volume(&clean).open("file").unwrap().unwrap().facts().id;
    let data = attribute(&clean, record(&clean, id), 0x80);
    let patched = |at: usize, new: &[u8]| {
        let mut bytes = clean.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    // A valid length below the length: the rest reads as zeros and is not written.
    let bytes = patched(data + 56, &20_000u64.to_le_bytes());
    let file = volume(&bytes).open("file").unwrap().unwrap();
    let read = all_bytes(&file);
    assert!(read[..20_000] == content[..20_000] && read[20_000..].iter().all(|&byte| byte == 0));
    fs::write(made.path(), &bytes).unwrap();
    assert!(read == output("ntfscat", &["-f", made.path().to_str().unwrap(), "file"]));
    assert_eq!(file.write_at(19_999, b"xy").unwrap_err().code(), "file-not-valid");
    // Encrypted: found, but neither read nor written.
    let file = volume(&patched(data + 12, &[0, 0x40])).open("file").unwrap().unwrap();
    assert_eq!(file.read_at(0, &mut [0]).unwrap_err().code(), "file-encrypted");
    assert_eq!(file.write_at(0, b"x").unwrap_err().code(), "file-encrypted");
    // Sparse.
    let file = volume(&patched(data + 12, &[0, 0x80])).open("file").unwrap().unwrap();
    assert_eq!(file.write_at(0, b"x").unwrap_err().code(), "file-sparse");
    assert!(all_bytes(&file) == content);
    // Impossible lengths.
    for (at, new, code) in [
        (data + 48, u64::MAX, "ntfs-stream-size"),
        (data + 48, i64::MAX as u64, "ntfs-stream-short"),
        (data + 56, 50_001, "ntfs-stream-size"),
        (data + 16, 1, "ntfs-attribute-list"),
        (data + 24, i64::MAX as u64, "ntfs-runs"),
        (data + 24, 11, "ntfs-runs"),
    ] {
        let error = volume(&patched(at, &new.to_le_bytes())).open("file").map(|file| file.is_some());
        // Without its first part, there is no data.
        let code = if code == "ntfs-attribute-list" { "ntfs-no-data" } else { code };
        assert_eq!(error.unwrap_err().code(), code);
    }
}

#[test]
fn a_file_in_free_clusters_is_detected() {
    let Some(made) = NtfsVolume::make(16, &["-c", "4096"]) else { return };
    if made.fill(|root| fs::write(root.join("file"), noise(50_000, 3)).unwrap()).is_none() {
        return;
    }
    let mut bytes = made.bytes();
    let sound = volume(&bytes);
    let file = sound.open("file").unwrap().unwrap();
    sound.confirm(&file).unwrap();
    let cluster = file.locate(30_000)[0].offset as usize / 4096;
    let map = sound.open("$Bitmap").unwrap().unwrap().locate(0)[0].offset as usize;
    assert!(bytes[map + cluster / 8] >> (cluster % 8) & 1 == 1);
    bytes[map + cluster / 8] ^= 1 << (cluster % 8);
    let error = volume(&bytes).confirm(&file).unwrap_err();
    assert_eq!(error.code(), "file-clusters-free");
    assert_eq!(error.trail()[0].offset as usize, cluster * 4096);
}

#[test]
fn a_file_of_a_volume_with_a_damaged_table_of_letters_is_not_confirmed() {
    let Some(made) = NtfsVolume::make(16, &[]) else { return };
    if made.fill(|root| fs::write(root.join("file"), noise(50_000, 3)).unwrap()).is_none() {
        return;
    }
    let mut bytes = made.bytes();
    let table = volume(&bytes).open("$UpCase").unwrap().unwrap();
    // The upper case of the letter i is different.
    bytes[table.locate(2 * u64::from(b'i'))[0].offset as usize] = b'J';
    let damaged = volume(&bytes);
    let file = damaged.open("FILE").unwrap().unwrap();
    assert_eq!(damaged.confirm(&file).unwrap_err().code(), "ntfs-upcase");
    // A look-up that needs the table does not trust it.
    assert_eq!(damaged.open("f\u{e4}le").unwrap_err().code(), "ntfs-upcase");
}

#[test]
fn case_sensitive_folders_are_respected() {
    let Some(made) = NtfsVolume::make(16, &[]) else { return };
    let filled = made.fill(|root| {
        for folder in ["plain", "plain/sub", "twins"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        // ntfs-3g allows names that differ only by case, as POSIX programs need.
        for (name, content) in [("plain/Name", "1"), ("twins/name", "2"), ("twins/NAME", "3")] {
            fs::write(root.join(name), content).unwrap();
        }
    });
    if filled.is_none() {
        return;
    }
    let read = |volume: &Ntfs, path: &str| volume.open(path).map(|file| file.map(|file| all_bytes(&file)));
    let mut bytes = made.bytes();
    let plain = volume(&bytes);
    assert_eq!(read(&plain, "PLAIN\\nAME").unwrap(), Some(b"1".to_vec()));
    assert_eq!(read(&plain, "twins\\name").unwrap(), Some(b"2".to_vec()));
    assert_eq!(read(&plain, "twins\\NAME").unwrap(), Some(b"3".to_vec()));
    assert_eq!(read(&plain, "twins\\Name").unwrap_err().code(), "file-ambiguous");
    let id = plain.list("").unwrap().unwrap().iter().find(|entry| entry.name == "plain").unwrap().id;
    let information = attribute(&bytes, record(&bytes, id), 0x10);
    bytes[information + 24 + 40] = 1;
    let minding = volume(&bytes);
    assert_eq!(read(&minding, "Plain\\Name").unwrap(), Some(b"1".to_vec()));
    assert_eq!(read(&minding, "Plain\\name").unwrap(), None);
}

#[test]
fn short_names_lead_to_the_file_and_are_not_listed() {
    let Some(made) = NtfsVolume::make(16, &[]) else { return };
    let filled = made.fill(|root| {
        fs::create_dir(root.join("Program Files")).unwrap();
        fs::write(root.join("Program Files/Long name of a file.text"), "here").unwrap();
        for (path, short) in [("Program Files/Long name of a file.text", "LONGNA~1.TEX"), ("Program Files", "PROGRA~1")]
        {
            let at = root.join(path);
            output("setfattr", &["-h", "-n", "system.ntfs_dos_name", "-v", short, at.to_str().unwrap()]);
        }
    });
    if filled.is_none() {
        return;
    }
    let volume = open(&made.path());
    for path in
        ["progra~1/longna~1.tex", "Program Files\\LONG NAME of a file.TEXT", "PROGRA~1/Long name of a file.text"]
    {
        assert_eq!(all_bytes(&volume.open(path).unwrap().unwrap()), b"here", "{path}");
    }
    let names: Vec<_> = volume.list("Progra~1").unwrap().unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["Long name of a file.text"]);
    let file = volume.open("progra~1/longna~1.tex").unwrap().unwrap();
    assert_eq!(file.facts().links, 2, "a short name counts as a link");
}
