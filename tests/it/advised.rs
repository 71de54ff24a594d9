//! Tests of advice: every command of other programs in a message is run, if its program is installed, and the result is
//! compared with the bytes of the guest, or read and edited.
//!
//! A new command in `error::advised` needs a trial in [`trial`], or a source that describes it.

mod repaired;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};

use hivewright_disk::container::{self, PathPolicy};
use hivewright_storage::advised::{ALL, Command};

use crate::command::hivewright_in;
use crate::containers::fixtures::{Unpacked, raw, raw_disk};
use crate::containers::{guest, open};
use crate::support::file_ext::FileExt;
use crate::support::tools::{have, output};

/// A command as data, and the folder of its trial.
struct Trial {
    command: Command,
    folder: PathBuf,
}

impl Trial {
    fn new(command: Command, folder: &Path) -> Self {
        Trial { command, folder: folder.to_owned() }
    }

    /// Returns the command line with `words` in place of the words in capitals.
    fn line(&self, words: &[(&str, &str)]) -> String {
        words.iter().fold(self.command.line.to_owned(), |line, (word, with)| line.replace(word, with))
    }

    /// Runs the command line of [`Trial::line`]. Returns its output and the files that it created.
    fn run(&self, words: &[(&str, &str)]) -> (String, Vec<PathBuf>) {
        self.ends(words, &[0])
    }

    /// As [`Trial::run`], with one of these exit statuses.
    fn ends(&self, words: &[(&str, &str)], codes: &[i32]) -> (String, Vec<PathBuf>) {
        let names = || fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path()).collect::<BTreeSet<_>>();
        let line = self.line(words);
        let before = names();
        let out =
            Process::new("sh").args(["-ec", &line]).current_dir(&self.folder).stdin(Stdio::null()).output().unwrap();
        let (said, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.code().is_some_and(|code| codes.contains(&code)), "{line}: {said}{errors}");
        (said.into_owned(), names().difference(&before).cloned().collect())
    }

    /// As [`Trial::run`], and asserts that the created file has the same disk as `image`.
    fn makes_the_disk_of(&self, image: &Unpacked, more: &[(&str, &str)]) -> PathBuf {
        let (expected, path) = (guest(&image.path()), image.path());
        let name = path.file_name().unwrap().to_str().unwrap();
        let (_, made) = self.run(&[&[("IMAGE", name)][..], more].concat());
        let made = made.into_iter().find(|path| path.metadata().unwrap().len() > 4096 || is_descriptor(path)).unwrap();
        assert!(guest(&made) == expected, "{}: another disk", self.command);
        made
    }
}

fn is_descriptor(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "vmdk") && !path.to_string_lossy().contains("-flat")
}

/// Asserts that `set 2` is refused with the command as advice, and succeeds after it.
fn refused_before(image: &Unpacked, command: &Command) {
    let error = image.json(&["set", "2", "IMAGE"])["error"].clone();
    assert!(error["advice"].as_str().unwrap().contains(command.line), "{error}");
}

fn edited_after(folder: &Path, name: &str) {
    assert_eq!(hivewright_in(folder, ["set", "2", name]).code, 0, "{name}");
    assert_eq!(hivewright_in(folder, ["get", "--value", name]).out, "2\n", "{name}");
}

/// Asserts that the command extracts the disk from a file that is refused with this advice.
fn unpacks(command: Command, folder: &Path, file: &str, words: &[(&str, &str)], disk: &str) {
    let error = container_error(&folder.join(file));
    assert!(error.contains(command.line), "{file}: {error}");
    Trial::new(command, folder).run(&[&[("FILE", file)][..], words].concat());
    assert!(fs::read(folder.join(disk)).unwrap()[..raw().len()] == raw(), "{command}");
    edited_after(folder, disk);
}

fn container_error(path: &Path) -> String {
    let opened =
        container::open(&PathPolicy::new(std::sync::Arc::<crate::containers::Recording>::default(), &[]), path, None);
    opened.map(|_| ()).unwrap_err().advice().unwrap().to_owned()
}

/// Creates a folder with `disk.raw` and the output of a tool.
fn made(line: &str) -> tempfile::TempDir {
    let folder = raw_disk();
    let out = Process::new("sh").args(["-ec", line]).current_dir(folder.path()).stdin(Stdio::null()).output().unwrap();
    assert!(out.status.success(), "{line}: {}", String::from_utf8_lossy(&out.stderr));
    folder
}

fn set_byte(path: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

/// Runs one command in its folder; `None` if a requirement is missing.
fn trial(name: &str, command: Command) -> Option<()> {
    let here = |more: &[&str]| have(&[&[command.program()], more].concat()).then_some(());
    let on = |image: &str| {
        let image = Unpacked::named(image);
        let trial = Trial::new(command, image.folder.path());
        (image, trial)
    };
    match name {
        "TO_RAW" => {
            here(&[])?;
            for image in
                ["vhdx-dynamic", "vdi-dynamic", "vmdk-split-flat", "vmdk-delta", "parallels", "qed", "qcow2-chain"]
            {
                let (image, trial) = on(image);
                let made = trial.makes_the_disk_of(&image, &[]);
                edited_after(image.folder.path(), made.file_name().unwrap().to_str().unwrap());
            }
        }
        "TO_QCOW2" => {
            here(&[])?;
            let (image, trial) = on("qcow2-chain");
            trial.makes_the_disk_of(&image, &[]);
            edited_after(image.folder.path(), "COPY.qcow2");
        }
        "TO_SPARSE_VMDK" | "TO_FLAT_VMDK" => {
            here(&[])?;
            for image in ["vmdk-stream", "vmdk-delta", "vmdk-esx-delta", "vmdk-sesparse"] {
                let (image, trial) = on(image);
                trial.makes_the_disk_of(&image, &[]);
                edited_after(image.folder.path(), "NEW.vmdk");
            }
        }
        "UNPACK_VHD" | "UNPACK_VHDX" => {
            here(&[])?;
            let kind = if name == "UNPACK_VHD" { "vhd" } else { "vhdx" };
            for image in [format!("{kind}-differencing"), format!("{kind}-dynamic")] {
                let (image, trial) = on(&image);
                let made = trial.makes_the_disk_of(&image, &[]);
                edited_after(image.folder.path(), made.file_name().unwrap().to_str().unwrap());
            }
        }
        "CHECK_REPAIR" => {
            here(&["qemu-nbd"])?;
            // Flags of images that were not closed: QEMU's docs/interop, qcow2 (dirty), qed (need check), parallels (in
            // use).
            for (image, at, mark) in [("qcow2", 79, &[1][..]), ("qed", 16, &[2]), ("parallels", 44, b"Yno\x74")] {
                let (image, trial) = on(image);
                let mark = if at == 44 { 0x746f_6e59_u32.to_le_bytes().to_vec() } else { mark.to_vec() };
                set_byte(&image.path(), at, &mark);
                refused_before(&image, &command);
                let name = image.path().file_name().unwrap().to_str().unwrap().to_owned();
                trial.run(&[("IMAGE", &name)]);
                edited_after(image.folder.path(), &name);
            }
        }
        "CHECK" => {
            here(&[])?;
            let (_image, trial) = on("qcow2");
            assert!(!trial.run(&[("IMAGE", "disk.qcow2")]).0.is_empty());
        }
        "SHOW_CHAIN" => {
            here(&[])?;
            let (_image, trial) = on("qcow2-chain");
            let said = trial.run(&[("IMAGE", "top.qcow2")]).0;
            assert!(["top.qcow2", "middle.qcow2", "base.raw"].iter().all(|name| said.contains(name)), "{said}");
        }
        "SHOW" | "REMOVE_BITMAP" => {
            here(&[])?;
            let (image, trial) = on("qcow2");
            output("qemu-img", &["bitmap", "--add", image.path().to_str().unwrap(), "since-monday"]);
            refused_before(&image, &command);
            let said = trial.run(&[("IMAGE", "disk.qcow2"), ("BITMAP", "since-monday")]).0;
            match name {
                "SHOW" => assert!(said.contains("since-monday"), "{said}"),
                _ => edited_after(image.folder.path(), "disk.qcow2"),
            }
        }
        "DECRYPT_QCOW2" | "DECRYPT_QCOW" | "DECRYPT_LUKS" => {
            here(&[])?;
            let (to, disk) = match name {
                "DECRYPT_QCOW2" => (
                    "-O qcow2 -o encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10 disk.raw FILE",
                    "COPY.qcow2",
                ),
                "DECRYPT_QCOW" => ("-O qcow -o encrypt.format=aes,encrypt.key-secret=k disk.raw FILE", "DISK.raw"),
                _ => ("-O luks -o key-secret=k,iter-time=10 disk.raw FILE", "DISK.raw"),
            };
            let make = format!("printf secret > key; qemu-img convert --object secret,id=k,file=key -f raw {to}");
            let folder = made(&make.replace("FILE", "disk.locked"));
            assert!(container_error(&folder.path().join("disk.locked")).contains(command.line));
            let words = [("KEYFILE", "key"), ("PASSWORD", "key"), ("IMAGE", "disk.locked"), ("FILE", "disk.locked")];
            Trial::new(command, folder.path()).run(&words);
            assert!(guest(&folder.path().join(disk)) == raw());
            edited_after(folder.path(), disk);
        }
        "EXPORT_EWF" => {
            here(&[])?;
            let (image, trial) = on("ewf");
            refused_before(&image, &command);
            let made = trial.makes_the_disk_of(&image, &[("NAME", "disk")]);
            edited_after(image.folder.path(), made.file_name().unwrap().to_str().unwrap());
        }
        "UNTAR" | "LIST_TAR" => {
            here(&[])?;
            let (image, trial) = on("ova");
            let ova = image.path().file_name().unwrap().to_str().unwrap().to_owned();
            let (said, made) = trial.run(&[("FILE", &ova)]);
            match name {
                "LIST_TAR" => assert!(said.contains(".ovf") && said.contains(".vmdk"), "{said}"),
                _ => {
                    refused_before(&image, &command);
                    let disk = made.iter().find(|path| is_descriptor(path)).unwrap();
                    assert!(guest(disk) == guest(&image.path()));
                }
            }
        }
        "GUNZIP" | "UNZSTD" | "UNXZ" | "BUNZIP2" | "UNLZ4" => {
            here(&[])?;
            let folder = made(&format!("{} -c < disk.raw > disk.packed", command.program()));
            unpacks(command, folder.path(), "disk.packed", &[], "DISK");
        }
        "UNPACK" | "UNZIP" => {
            here(&["7z"])?;
            let kinds = if name == "UNZIP" { &["zip"][..] } else { &["7z"] };
            for kind in kinds {
                let folder = made(&format!("7z a -mx1 -t{kind} disk.packed disk.raw && rm disk.raw"));
                unpacks(command, folder.path(), "disk.packed", &[], "disk.raw");
            }
            if name == "UNPACK" && have(&["genisoimage"]) {
                let folder = made("genisoimage -quiet -J -o disk.iso disk.raw && rm disk.raw");
                unpacks(command, folder.path(), "disk.iso", &[], "disk.raw");
            }
        }
        "EXPORT_WIM" | "JOIN_WIM" | "EXPORT_DELTA" | "VERIFY_WIM" => {
            here(&[])?;
            let folder = tempfile::tempdir().unwrap();
            let config = folder.path().join("c/Windows/System32/config");
            fs::create_dir_all(&config).unwrap();
            fs::copy(crate::command::fixtures().join("windows/win10/SYSTEM"), config.join("SYSTEM")).unwrap();
            let noise = (0..300_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>();
            fs::write(folder.path().join("c/noise"), noise).unwrap();
            let make = |line: &str| output("sh", &["-ec", &format!("cd {} && {line}", folder.path().display())]);
            make("wimlib-imagex capture c a.wim Name --compress=none >&2");
            let said = |args: &[&str]| {
                let run = hivewright_in(folder.path(), [args, &["--json"]].concat());
                let document: serde_json::Value = serde_json::from_str(&run.out).unwrap();
                document["error"]["advice"].as_str().unwrap_or_default().to_owned()
            };
            let trial = Trial::new(command, folder.path());
            match name {
                "EXPORT_WIM" => {
                    make("wimlib-imagex export a.wim 1 pipable.wim --pipable >&2");
                    assert!(said(&["set", "2", "pipable.wim"]).contains(command.line));
                    trial.run(&[("FILE", "pipable.wim")]);
                    edited_after(folder.path(), "COPY.wim");
                }
                "JOIN_WIM" => {
                    make("wimlib-imagex split a.wim part.swm 0.1 >&2");
                    assert!(said(&["set", "2", "part.swm"]).contains(command.line));
                    trial.run(&[("PARTS", "part*.swm")]);
                    edited_after(folder.path(), "WHOLE.wim");
                }
                "EXPORT_DELTA" => {
                    make("cp -r c d && touch d/new && wimlib-imagex capture d delta.wim Name --delta-from=a.wim >&2");
                    assert!(said(&["set", "2", "delta.wim"]).contains(command.line));
                    trial.run(&[("FILE", "delta.wim"), ("BASE", "a.wim")]);
                    edited_after(folder.path(), "WHOLE.wim");
                }
                _ => {
                    // The first bytes after the header are those of a file.
                    let (_, hive) = (0, fs::read(folder.path().join("a.wim")).unwrap());
                    let at = hive.windows(4).position(|bytes| bytes == b"regf").unwrap();
                    trial.run(&[("FILE", "a.wim")]);
                    set_byte(&folder.path().join("a.wim"), at as u64 + 600, b"damage");
                    assert!(said(&["get", "a.wim"]).contains(command.line));
                    trial.ends(&[("FILE", "a.wim")], &[28]);
                }
            }
        }
        "UNSQUASH" => {
            here(&["mksquashfs"])?;
            let folder = made("mksquashfs disk.raw disk.sqfs -quiet -no-progress >/dev/null");
            unpacks(command, folder.path(), "disk.sqfs", &[("FOLDER", "out")], "out/disk.raw");
        }
        "EXPORT_AFF" => {
            here(&["affconvert"])?;
            let folder = made("affconvert -q -o disk.aff disk.raw >/dev/null");
            unpacks(command, folder.path(), "disk.aff", &[], "DISK");
        }
        "CONVERT_DMG" => {
            here(&[])?;
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("disk.dmg"), dmg(&raw())).unwrap();
            unpacks(command, folder.path(), "disk.dmg", &[], "DISK.raw");
        }
        "COPY_ALL" => {
            here(&[])?;
            let (image, trial) = on("vmdk-flat");
            fs::create_dir(image.folder.path().join("copy")).unwrap();
            trial.run(&[("FILES", "disk.vmdk disk-flat.vmdk"), ("FOLDER", "copy")]);
            edited_after(&image.folder.path().join("copy"), "disk.vmdk");
        }
        _ => return repaired::trial(name, command),
    }
    Some(())
}

/// Creates a DMG with one raw chunk (J. Metz, "Mac OS disk image types": the table of blocks, and the trailer).
fn dmg(disk: &[u8]) -> Vec<u8> {
    let (sectors, len) = ((disk.len() / 512) as u64, disk.len() as u64);
    let chunk = |kind: u32, sector: u64, count: u64, at: u64, len: u64| {
        [&kind.to_be_bytes()[..], &[0; 4], &[sector, count, at, len].map(u64::to_be_bytes).concat()].concat()
    };
    let mut table = b"mish\0\0\0\x01".to_vec();
    table.extend([0, sectors, 0].map(u64::to_be_bytes).concat());
    table.resize(200, 0);
    table.extend(2_u32.to_be_bytes());
    table.extend([chunk(1, 0, sectors, 0, len), chunk(0xffff_ffff, sectors, 0, len, 0)].concat());
    let xml = format!(
        "<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>resource-fork</key><dict><key>blkx</key><array><dict>\
         <key>Data</key>\n<data>\n{}\n</data>\n</dict></array></dict></dict></plist>",
        base64(&table)
    );
    let mut trailer = b"koly\0\0\0\x04\0\0\x02\0\0\0\0\x01".to_vec();
    // The offset of the data at 24, that of the property list at 216, and the number of sectors at 492.
    trailer.extend([0, 0, len, 0, 0].map(u64::to_be_bytes).concat());
    trailer.resize(216, 0);
    trailer.extend([len, xml.len() as u64].map(u64::to_be_bytes).concat());
    trailer.resize(492, 0);
    trailer.extend(sectors.to_be_bytes());
    trailer.resize(512, 0);
    [disk, xml.as_bytes(), &trailer].concat()
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = (0..3).fold(0, |number, i| number << 8 | u32::from(three.get(i).copied().unwrap_or(0)));
        for i in 0..4 {
            let letter = LETTERS[(number >> (18 - 6 * i) & 63) as usize];
            text.push(if i > three.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

/// The tests divide the commands, so that they run in parallel.
fn try_part(part: usize) {
    for (name, command) in ALL.iter().skip(part).step_by(PARTS).filter(|(_, command)| command.source.is_none()) {
        let begun = std::time::Instant::now();
        let tried = trial(name, *command).is_some();
        println!("{name}: {tried} in {:?}", begun.elapsed());
    }
}

const PARTS: usize = 6;

#[test]
fn commands_have_their_effect_1() {
    try_part(0);
}

#[test]
fn commands_have_their_effect_2() {
    try_part(1);
}

#[test]
fn commands_have_their_effect_3() {
    try_part(2);
}

#[test]
fn commands_have_their_effect_4() {
    try_part(3);
}

#[test]
fn commands_have_their_effect_5() {
    try_part(4);
}

#[test]
fn commands_have_their_effect_6() {
    try_part(5);
}

/// `qemu-img` converts only the child of a differencing VHD, so it is never advised for one.
#[test]
fn advice_for_a_differencing_vhd_includes_its_parents() {
    for (image, unpack) in [("vhd-differencing", "UNPACK_VHD"), ("vhdx-differencing", "UNPACK_VHDX")] {
        let image = Unpacked::named(image);
        let path = image.path();
        let (opened, _) = open(&path).unwrap();
        let mut byte = [0];
        let refusal = (0..guest(&path).len() as u64).step_by(512).find_map(|at| {
            opened.disk.read_at(at, &mut byte).unwrap();
            opened.disk.write_at(at, &byte).err()
        });
        let advice = refusal.unwrap().advice().unwrap().to_owned();
        let (_, command) = ALL.iter().find(|(name, _)| *name == unpack).unwrap();
        assert!(advice.contains(command.line) && !advice.contains("qemu-img"), "{advice}");
    }
}

/// Commands are only in the table, so that every command in a message was tested.
#[test]
fn messages_take_their_commands_from_the_table() {
    fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() { sources(&entry, into) } else { into.push(entry) }
        }
    }
    let mut all = Vec::new();
    ["src", "crates"].iter().for_each(|name| sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name), &mut all));
    let beginnings: BTreeSet<String> =
        ALL.iter().map(|(_, command)| command.line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert!(all.len() > 250 && beginnings.len() > 15);
    // Only programs with unambiguous names are searched.
    let words =
        ["7z", "bzip2", "compact", "cp", "gzip", "lz4", "qemu-img", "shutdown", "tar", "unzip", "vma", "xz", "zstd"];
    let programs: BTreeSet<&str> =
        ALL.iter().map(|(_, command)| command.program()).filter(|program| !words.contains(program)).collect();
    assert!(programs.len() > 15);
    for path in all {
        let is_of_tests = ["/advised.rs", "against_", "hostile", "tests.rs", "/tests/"]
            .iter()
            .any(|name| path.to_string_lossy().contains(name));
        if is_of_tests || path.extension().is_none_or(|ending| ending != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for line in text.split("#[cfg(test)]\nmod tests").next().unwrap().lines() {
            let is_comment = line.trim_start().starts_with("//");
            let found = beginnings.iter().find(|command| line.contains(command.as_str()));
            assert!(is_comment || found.is_none(), "{}: {line}", path.display());
            let is_word = |word: &str| programs.contains(word);
            let mut named = line.split(|c: char| !c.is_alphanumeric() && !"-._".contains(c));
            assert!(is_comment || !named.any(is_word), "{}: {line}", path.display());
        }
    }
}
