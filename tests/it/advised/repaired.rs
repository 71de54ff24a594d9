//! Trials of commands that repair tables and volumes, and of commands that list their contents.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command as Process, Stdio};

use hivewright_fixtures::skip;
use hivewright_storage::advised::Command;

use super::{Trial, container_error, edited_after, guest, set_byte};
use crate::command::hivewright_in;
use crate::containers::fixtures::{raw, raw_disk};
use crate::disks::fixtures::bytes_of;
use crate::disks::volumes::fat_with_windows;
use crate::support::disk::mbr;
use crate::support::hex::sha256;
use crate::support::tools::{have, output, succeeds};

/// As [`super::trial`].
pub(super) fn trial(name: &str, command: Command) -> Option<()> {
    let here = |more: &[&str]| have(&[&[command.program()], more].concat()).then_some(());
    let folder = raw_disk();
    let (folder, path) = (folder.path(), folder.path().join("disk.raw"));
    let trial = Trial::new(command, folder);
    match name {
        "MEND_GPT" => {
            here(&[])?;
            // The header, its checksum, an entry.
            for at in [512, 528, 1044] {
                fs::write(&path, raw()).unwrap();
                set_byte(&path, at, b"\xa5");
                refuses(folder, "disk.raw", "table-damaged", &command);
                trial.run(&[("IMAGE", "disk.raw")]);
                edited_after(folder, "disk.raw");
                fs::remove_file(folder.join("disk.raw.hivewright-undo")).unwrap();
            }
        }
        "FIND_VOLUMES" => {
            here(&["script"])?;
            let end = path.metadata().unwrap().len() - 33 * 512;
            for at in [512, end] {
                set_byte(&path, at, &[0; 33 * 512]);
            }
            refuses(folder, "disk.raw", "gpt-damaged", &command);
            on_a_terminal(folder, &trial.line(&[("IMAGE", "disk.raw")]));
            edited_after(folder, "disk.raw");
        }
        "DELETE_PARTITION" => {
            here(&[])?;
            mbr(&bytes_of("superfloppy"), &path);
            // The second entry begins inside the first partition.
            let entry = [&[0, 0, 0, 0, 0x83, 0, 0, 0][..], &4096_u32.to_le_bytes(), &64_u32.to_le_bytes()].concat();
            set_byte(&path, 446 + 16, &entry);
            refuses(folder, "disk.raw", "partitions-overlap", &command);
            trial.run(&[("IMAGE", "disk.raw"), ("NUMBER", "2")]);
            edited_after(folder, "disk.raw");
        }
        "SETTLE_NTFS" => {
            here(&[])?;
            for (name, code) in [("dirty-volume", "volume-dirty"), ("unclean-journal", "volume-journal")] {
                fs::write(folder.join(name), bytes_of(name)).unwrap();
                refuses(folder, name, code, &command);
                trial.run(&[("VOLUME", name)]);
                edited_after(folder, name);
            }
        }
        "SETTLE_FAT" => {
            here(&["mkfs.fat", "mmd", "mcopy"])?;
            for (bits, at) in [("16", 37), ("32", 65)] {
                fat_with_windows(&folder.join(bits), bits);
                set_byte(&folder.join(bits), at, &[1]);
                refuses(folder, bits, "volume-dirty", &command);
                // It ends with 1 after a repair.
                trial.ends(&[("VOLUME", bits)], &[0, 1]);
                edited_after(folder, bits);
            }
        }
        "REBASE" => {
            here(&["qemu-nbd"])?;
            let image = folder.join("top.qed");
            let image_name = image.to_str().unwrap();
            output("qemu-img", &["create", "-q", "-f", "qed", "-b", "disk.raw", "-F", "raw", image_name]);
            let made = fs::read(&image).unwrap();
            let at = made.windows(8).position(|bytes| bytes == b"disk.raw").unwrap();
            set_byte(&image, at as u64, b"d\xfcsk");
            fs::rename(&path, folder.join(OsStr::from_bytes(b"d\xfcsk.raw"))).unwrap();
            assert!(container_error(&image).contains(command.line));
            fs::rename(folder.join(OsStr::from_bytes(b"d\xfcsk.raw")), folder.join("base.raw")).unwrap();
            trial.run(&[("FORMAT", "raw"), ("NAME", "base.raw"), ("IMAGE", "top.qed")]);
            assert!(guest(&image) == raw());
            edited_after(folder, "top.qed");
        }
        "HASH" => {
            here(&[])?;
            let ran = hivewright_in(folder, ["info", "--verify", "--json", "disk.raw"]);
            assert!(ran.json()["error"]["advice"].as_str().unwrap().contains(command.line), "{ran:?}");
            assert!(trial.run(&[("IMAGE", "disk.raw")]).0.starts_with(&sha256(&raw())));
        }
        "LIST_FLAGS" => {
            here(&["chattr"])?;
            let image = path.to_str().unwrap();
            if !succeeds("chattr", &["+i", image]) {
                skip::impossible("no file can be made immutable here");
                return None;
            }
            let ran = hivewright_in(folder, ["set", "2", "--json", "disk.raw"]);
            let (said, _) = trial.run(&[("FILE", "disk.raw")]);
            output("chattr", &["-i", image]);
            assert!(ran.json()["error"]["advice"].as_str().unwrap().contains(command.line), "{ran:?}");
            assert!(said.split(' ').next().unwrap().contains('i'), "{said}");
        }
        _ => panic!("{name} ({command}) has no trial: write one, or name the source that describes it"),
    }
    Some(())
}

/// Asserts that `set` is refused with that code, and that its advice contains the command.
fn refuses(folder: &Path, name: &str, code: &str, command: &Command) {
    let error = hivewright_in(folder, ["set", "2", "--json", name]).json()["error"].clone();
    assert!(error["code"] == code && error["advice"].as_str().unwrap().contains(command.line), "{name}: {error}");
}

/// Runs a program that asks questions on a terminal, and answers yes to all.
fn on_a_terminal(folder: &Path, line: &str) {
    let keys = "i=0; while [ $i -lt 300 ]; do sleep 0.2; printf 'Y\\r' || exit 0; i=$((i + 1)); done";
    let script = format!("({keys}) 2>/dev/null | TERM=xterm script -qec '{line}' /dev/null");
    let ran = Process::new("sh").args(["-c", &script]).current_dir(folder).stdout(Stdio::null()).status().unwrap();
    assert!(ran.success(), "{line}");
}
