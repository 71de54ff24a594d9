//! A refusal of one command is mentioned by the others with the same code, and a dry run ends like the real run; for
//! images and for folders of the host.

mod in_hive;

use std::any::Any;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use hivewright_fixtures::disks::ntfs::{DATA, attribute, put, records};
use serde_json::Value;
use tempfile::TempDir;

use super::elsewhere::Loop;
use super::fixtures::bytes_of;
use super::writing::Qemu;
use super::{hive, run};
use crate::command::Run;
use crate::containers::fixtures::Unpacked;
use crate::containers::guest;
use crate::containers::open;
use crate::support::tools::{have, output, succeeds};

/// An obstacle to a write.
struct Row {
    name: String,
    /// The target on the command line, relative to the folder.
    target: String,
    /// Further arguments of the writing commands.
    options: &'static [&'static str],
    /// The code and exit status of the refusal; `None` if the target is writable.
    refused: Refused,
    /// Exit status of `get`, and of `audit`.
    reads: [i32; 2],
    folder: TempDir,
    /// Objects that keep the state alive.
    _held: Box<dyn Any>,
}

impl Row {
    fn image(name: impl Into<String>, bytes: &[u8], refused: Refused) -> Row {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("disk"), bytes).unwrap();
        Row {
            name: name.into(),
            target: "disk".into(),
            options: &[],
            refused,
            reads: [0; 2],
            folder,
            _held: Box::new(()),
        }
    }

    /// Creates a volume of the host, whose hibernation file has these bytes.
    fn mounted(name: impl Into<String>, hiberfil: Option<&[u8]>, refused: Refused) -> Row {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("mnt/Windows/System32/config");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("SYSTEM"), hive()).unwrap();
        if let Some(bytes) = hiberfil {
            fs::write(folder.path().join("mnt/HiberFil.sys"), bytes).unwrap();
        }
        Row {
            name: name.into(),
            target: "mnt".into(),
            options: &[],
            refused,
            reads: [0; 2],
            folder,
            _held: Box::new(()),
        }
    }

    fn held(self, held: impl Any) -> Row {
        Row { _held: Box::new(held), ..self }
    }

    fn file(&self) -> PathBuf {
        let hive = if self.target == "mnt" { "mnt/Windows/System32/config/SYSTEM" } else { &self.target };
        self.folder.path().join(hive)
    }

    fn run(&self, verb: &[&str], more: &[&str]) -> Run {
        run(self.folder.path(), &[verb, &[&self.target, "--json"], more].concat())
    }

    fn check(&self) {
        let before = fs::read(self.file()).unwrap();
        let ends = |more: &[&str]| {
            let ran = self.run(&["set", "2"], &[self.options, more].concat());
            let told: Value = serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{}: {e}: {ran:?}", self.name));
            (told["error"]["code"].as_str().map(str::to_owned), ran.code)
        };
        let wanted = self.refused.map_or((None, 0), |(code, exit)| (Some(code.to_owned()), exit));
        assert_eq!(ends(&["--dry-run"]), wanted, "{}: the dry run", self.name);
        assert!(fs::read(self.file()).unwrap() == before, "{}: it was written to", self.name);
        let mentioned = self.mentioned();
        for (verb, codes) in &mentioned {
            match self.refused {
                Some((code, _)) => assert!(codes.contains(code), "{}: {verb}: {codes:?}", self.name),
                None => assert!(codes.is_empty(), "{}: {verb}: {codes:?}", self.name),
            }
        }
        assert!(mentioned.windows(2).all(|pair| pair[0].1 == pair[1].1), "{}: {mentioned:?}", self.name);
        assert_eq!(ends(&[]), wanted, "{}: the real run", self.name);
        assert_eq!(fs::read(self.file()).unwrap() == before, self.refused.is_some(), "{}", self.name);
    }

    /// Returns the obstacles that the reading commands mention.
    fn mentioned(&self) -> Vec<(&'static str, BTreeSet<String>)> {
        let of = |verb: &str, code: i32| -> Value {
            let ran = self.run(&[verb], &[]);
            assert_eq!(ran.code, code, "{}: {ran:?}", self.name);
            serde_json::from_str(&ran.out).unwrap()
        };
        let (get, info, audit) = (of("get", self.reads[0]), of("info", 0), of("audit", self.reads[1]));
        vec![
            ("get", codes(&get["obstacles"])),
            ("info", under(&info, "obstacles")),
            ("audit", codes(&audit["obstacles"])),
        ]
    }
}

fn codes(list: &Value) -> BTreeSet<String> {
    list.as_array().unwrap().iter().map(|it| it["code"].as_str().unwrap().to_owned()).collect()
}

/// Returns the codes of all lists of that name, at any depth.
fn under(document: &Value, name: &str) -> BTreeSet<String> {
    match document {
        Value::Object(fields) => {
            let own = fields.get(name).map(codes).unwrap_or_default();
            fields.values().flat_map(|field| under(field, name)).chain(own).collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| under(item, name)).collect(),
        _ => BTreeSet::new(),
    }
}

/// The code and exit status of a refusal.
type Refused = Option<(&'static str, i32)>;

const SAVED: Refused = Some(("volume-hibernated", 3));
const UNKNOWN: Refused = Some(("volume-hibernation-unknown", 3));

/// The first bytes of a hibernation file, and their consequences.
const SIGNATURES: [(&[u8; 4], Refused); 8] = [
    (b"hibr", SAVED),
    (b"HIBR", SAVED),
    (b"wake", None),
    (b"WAKE", None),
    (&[0; 4], None),
    (b"RSTR", UNKNOWN),
    (b"link", UNKNOWN),
    (&[0xff; 4], UNKNOWN),
];

#[test]
fn hibernation_in_an_image() {
    let image = bytes_of("hibernated");
    let at = image.windows(8).position(|bytes| bytes == b"HIBR\0\0\0\0").unwrap();
    for (first, refused) in SIGNATURES {
        let mut bytes = image.clone();
        bytes[at..at + 4].copy_from_slice(first);
        Row::image(first.escape_ascii().to_string(), &bytes, refused).check();
    }
    let mut short = image.clone();
    let data = attribute(&short, records(&image, "hiberfil.sys")[0], DATA);
    put(&mut short, data + 48, &4095u64.to_le_bytes());
    put(&mut short, data + 56, &4095u64.to_le_bytes());
    Row::image("short", &short, UNKNOWN).check();
}

#[test]
fn hibernation_in_a_folder() {
    for (first, refused) in SIGNATURES {
        let name = first.escape_ascii().to_string();
        Row::mounted(name, Some(&[&first[..], &[0; 4092]].concat()), refused).check();
    }
    Row::mounted("short", Some(&[0; 4095]), UNKNOWN).check();
    Row::mounted("none", None, None).check();
    // The hive itself is named, and is in a volume all the same.
    let named = Row::mounted("by its name", Some(&[&b"hibr"[..], &[0; 4092]].concat()), SAVED);
    Row { target: "mnt/Windows/System32/config/SYSTEM".into(), ..named }.check();
}

#[test]
fn the_state_of_a_volume() {
    for (name, code) in [
        ("dirty-volume", "volume-dirty"),
        ("unclean-journal", "volume-journal"),
        ("fast-startup", "volume-fast-startup"),
        ("compressed", "file-compressed"),
        ("sparse", "file-sparse"),
    ] {
        Row::image(name, &bytes_of(name), Some((code, 3))).check();
    }
    Row::image("a sound one", &bytes_of("superfloppy"), None).check();
}

/// A way in which a program keeps a file, and its name.
type Keeper = (&'static str, fn(&Path) -> File);

/// The ways in which other programs of the system keep a file that others may read.
#[cfg(unix)]
const KEEPERS: [Keeper; 1] = [("locked", |path| {
    let file = File::open(path).unwrap();
    file.lock().unwrap();
    file
})];
#[cfg(windows)]
const KEEPERS: [Keeper; 3] = [
    ("kept from writers", |path| sharing(path, 1)),
    ("written", |path| File::options().write(true).open(path).unwrap()),
    ("locked for readers", |path| {
        let file = File::open(path).unwrap();
        file.try_lock_shared().unwrap();
        file
    }),
];

#[cfg(windows)]
fn sharing(path: &Path, share: u32) -> File {
    std::os::windows::fs::OpenOptionsExt::share_mode(File::options().read(true), share).open(path).unwrap()
}

#[test]
fn a_target_in_use() {
    let (image, refused) = (bytes_of("superfloppy"), Some(("in-use", 3)));
    for (way, keep) in KEEPERS {
        let name = |of: &str| format!("{of} that is {way}");
        for row in [Row::image(name("an image"), &image, refused), Row::mounted(name("a hive"), None, refused)] {
            let held = keep(&row.file());
            row.held(held).check();
        }
    }
    if have(&["qemu-io"]) {
        let row = Row::image("an image that QEMU has open", &image, refused);
        let qemu = Qemu::open(&row.file());
        row.held(qemu).check();
    }
}

/// Every command refuses a file that nobody else may read. Wine lets others read locked bytes; then all commands report
/// the lock.
#[cfg(windows)]
#[test]
fn a_target_that_excludes_readers() {
    let (image, refused) = (bytes_of("superfloppy"), Some(("in-use", 3)));
    let locked = |path: &Path| {
        let file = File::open(path).unwrap();
        file.try_lock().unwrap();
        file
    };
    let keepers: [&dyn Fn(&Path) -> File; 2] = [&|path| sharing(path, 0), &locked];
    for keep in keepers {
        for row in [Row::image("an image", &image, refused), Row::mounted("a hive", None, refused)] {
            let before = fs::read(row.file()).unwrap();
            let held = keep(&row.file());
            if fs::read(row.file()).is_ok() {
                row.held(held).check();
                continue;
            }
            for verb in [&["get"][..], &["info"], &["set", "2", "--dry-run"], &["set", "2"]] {
                let ran = row.run(verb, &[]);
                let told: Value = serde_json::from_str(&ran.out).unwrap();
                assert_eq!(
                    (told["error"]["code"].as_str(), ran.code),
                    refused.map(|(code, exit)| (Some(code), exit)).unwrap(),
                    "{verb:?}"
                );
            }
            drop(held);
            assert!(fs::read(row.file()).unwrap() == before, "{}", row.name);
        }
    }
}

#[test]
fn an_image_with_children() {
    if !have(&["qemu-img"]) {
        return;
    }
    let row = Row::image("children", &bytes_of("superfloppy"), Some(("has-children", 3)));
    let child = row.folder.path().join("child.qcow2");
    let base = row.file();
    output(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-b", base.to_str().unwrap(), "-F", "raw", child.to_str().unwrap()],
    );
    row.check();
}

/// Removes all blocks of a differencing image. Returns whether it is one.
fn emptied(format: &str, bytes: &mut [u8]) -> bool {
    let big = |at: usize| u32::from_be_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let little = |at: usize| u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize;
    let (kind, table, count) = match format {
        "vhd" => (big(60), big(512 + 20), big(512 + 28)),
        _ => (little(0x4c), little(0x154), little(0x180)),
    };
    if kind == 4 {
        bytes[table..][..4 * count].fill(0xff);
    }
    kind == 4
}

/// An image whose parent contains the hive, in a format without a place for it in the child.
#[test]
fn a_hive_in_the_parent() {
    for name in ["vhd-differencing", "vdi-differencing", "vmdk-delta-empty"] {
        let image = Unpacked::named(name);
        let (path, format) = (image.path(), name.split('-').next().unwrap());
        if format != "vmdk" {
            let disk = guest(&path);
            for file in fs::read_dir(image.folder.path()).unwrap().map(|entry| entry.unwrap().path()) {
                let mut bytes = fs::read(&file).unwrap();
                if emptied(format, &mut bytes) {
                    fs::write(&file, bytes).unwrap();
                    continue;
                }
                let (base, recording) = open(&file).unwrap();
                base.disk.write_at(0, &disk).unwrap();
                recording.bring_to_disk();
            }
            assert!(guest(&path) == disk, "{name}");
        }
        let target = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (refused, folder) = (Some(("not-allocated", 3)), image.folder);
        Row { name: name.into(), target, options: &[], refused, reads: [0; 2], folder, _held: Box::new(()) }.check();
    }
}

/// Prevents even root from writing to a file, until it is dropped.
struct Immutable(PathBuf);

impl Immutable {
    fn make(path: &Path) -> Option<Immutable> {
        let is_made = succeeds("chattr", &["+i", path.to_str().unwrap()]);
        if !is_made {
            hivewright_fixtures::skip::impossible("no file can be made immutable here");
        }
        is_made.then(|| Immutable(path.to_owned()))
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let _ = succeeds("chattr", &["-i", self.0.to_str().unwrap()]);
    }
}

#[test]
fn a_target_without_write_permission() {
    let image = bytes_of("superfloppy");
    for (code, of_folder) in [("read-only", false), ("folder-read-only", true)] {
        let refused = Some((code, 2));
        for row in [Row::image(code, &image, refused), Row::mounted(code, None, refused)] {
            let file = row.file();
            let Some(held) = Immutable::make(if of_folder { file.parent().unwrap() } else { &file }) else { return };
            row.check();
            drop(held);
        }
    }
}

// Loop devices of Linux.
#[cfg(unix)]
#[test]
fn a_device_claimed_as_by_a_mount() {
    const O_EXCL: i32 = 0o200;
    let row = Row::image("device", &bytes_of("superfloppy"), None);
    let Some(device) = Loop::of(&row.file()) else { return };
    let target = device.0.to_str().unwrap().to_owned();
    let claimed = {
        use std::os::unix::fs::OpenOptionsExt;
        File::options().read(true).custom_flags(O_EXCL).open(&device.0).unwrap()
    };
    let row = Row { target, options: &["--device"], refused: Some(("in-use", 3)), ..row };
    let (get, of) = (row.mentioned(), |code: &str| code.to_owned());
    for (verb, codes) in get {
        assert_eq!(codes, [of("device-read-only"), of("in-use")].into(), "{verb}");
    }
    let before = fs::read(&device.0).unwrap();
    for more in [&["--dry-run"][..], &[]] {
        for (options, code) in [(&["--device"][..], "in-use"), (&[], "device-read-only")] {
            let ran = row.run(&["set", "2"], &[options, more].concat());
            let told: Value = serde_json::from_str(&ran.out).unwrap();
            assert_eq!((ran.code, &told["error"]["code"]), (3, &Value::from(code)), "{more:?}");
        }
    }
    assert!(fs::read(&device.0).unwrap() == before);
    drop(claimed);
}
