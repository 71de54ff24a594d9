//! Archives of wimlib-imagex (small fixtures, and others that the tests make), and invalid archives.

use super::*;
use crate::files::Files;
use hivewright_fixtures::wim::{self, Node, REPARSE_POINT};
use hivewright_storage::memory::Memory;
use std::path::{Path, PathBuf};
use std::process::Command;

const SYSTEM: &str = r"\Windows\System32\config\SYSTEM";

fn open(bytes: Vec<u8>) -> Result<Arc<Archive>> {
    Archive::open(vec![Arc::new(Memory::new(bytes))])
}

fn read(archive: &Arc<Archive>, image: u32, path: &str) -> Result<Vec<u8>> {
    let image = archive.image(image)?;
    let file = image.open(path)?.ok_or_else(|| Error::new(Kind::NotFound, Code::NoFile, "it is not there"))?;
    let mut bytes = vec![0; usize::try_from(file.facts().len).unwrap().min(1 << 24)];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Returns the archives of the same files, which are also seeds of the fuzzer.
fn kept() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/wim");
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    assert!(all.len() > 4);
    all.into_iter().map(|path| (path.display().to_string(), std::fs::read(path).unwrap())).collect()
}

#[test]
fn all_compressions_have_the_same_files() {
    let hive = std::fs::read(hivewright_fixtures::folder::home().join("windows/win10/SYSTEM")).unwrap();
    for (name, bytes) in kept() {
        let archive = open(bytes).unwrap();
        assert!(read(&archive, 1, SYSTEM).unwrap() == hive, "{name}");
        assert_eq!(archive.described(1).name.as_deref(), Some("Name"));
        assert_eq!(read(&archive, 1, "code.bin").unwrap().len(), 18648);
        assert!(read(&archive, 1, "LICENSE.txt").unwrap().starts_with(b" "));
        assert_eq!(archive.image(2).map(drop).unwrap_err().code(), Code::NoImage);
    }
}

#[test]
fn a_damaged_byte_is_an_error_or_has_no_effect() {
    for (name, bytes) in kept() {
        let sound = read(&open(bytes.clone()).unwrap(), 1, SYSTEM).unwrap();
        // All bytes of the header, and some of the others.
        let places = (0..208).chain((208..bytes.len()).step_by(bytes.len() / 250));
        for at in places {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            if let Ok(found) = open(damaged).and_then(|archive| read(&archive, 1, SYSTEM)) {
                assert!(found == sound, "{name} {at}");
            }
        }
        for len in (0..bytes.len()).step_by(bytes.len() / 50) {
            if let Ok(found) = open(bytes[..len].to_vec()).and_then(|archive| read(&archive, 1, SYSTEM)) {
                // The integrity table is at the end.
                assert!(found == sound && len > bytes.len() - 40, "{name} {len}");
            }
        }
    }
}

#[test]
fn names_are_compared_without_regard_to_case() {
    let nodes = [
        Node::windows(Node::file("SYSTEM", b"hive")),
        Node::file("..", b"dots"),
        Node::folder("Gr\u{fc}n", vec![Node::file("\u{e4}", b"umlaut")]),
        Node { link: 0xa000_0003, attributes: REPARSE_POINT | wim::FOLDER, ..Node::folder("Link", Vec::new()) },
        Node { link: 0x8000_0017, attributes: REPARSE_POINT, ..Node::file("Wof", b"packed") },
        Node { streams: vec!["Zone".into()], ..Node::file("Streams", b"own") },
    ];
    let archive = open(wim::archive(&[&nodes])).unwrap();
    assert_eq!(read(&archive, 1, "windows/SYSTEM32\\Config/system").unwrap(), b"hive");
    assert_eq!(read(&archive, 1, "..").unwrap(), b"dots");
    assert_eq!(read(&archive, 1, "GR\u{dc}N\\\u{c4}").unwrap(), b"umlaut");
    assert_eq!(read(&archive, 1, "Streams").unwrap(), b"own");
    for (path, code) in [
        ("..\\..\\Windows", Code::NoFile),
        ("Windows\\..\\Streams", Code::NoFile),
        ("Windows", Code::FileIsFolder),
        ("Link\\SYSTEM", Code::FileReparse),
        ("Link", Code::FileReparse),
        ("Wof", Code::FileFiltered),
        ("Streams\\Zone", Code::NoFile),
    ] {
        assert_eq!(read(&archive, 1, path).unwrap_err().code(), code, "{path}");
    }
    let names: Vec<_> = archive.image(1).unwrap().list("").unwrap().unwrap().into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["..", "Gr\u{fc}n", "Link", "Streams", "Windows", "Wof"]);
    assert!(archive.image(1).unwrap().list("Nowhere").unwrap().is_none());
}

#[test]
fn cyclic_folders_end() {
    let file = Node { link: 7, ..Node::file("f", b"x") };
    let mut metadata = wim::metadata(&[Node::folder("a", vec![Node::folder("b", vec![file])])]);
    let archive = |metadata: &[u8]| open(wim::of_parts(&[metadata.to_vec()], &[b"x".to_vec()])).unwrap();
    let root = archive(&metadata).metadata(1).unwrap();
    let a = root.find("a").unwrap().unwrap();
    let b = root.find("a\\b").unwrap().unwrap();
    assert_eq!(root.links(7).unwrap().len(), 1);
    // `b` has the entries of the root: `a` again.
    let first = a.at as u64;
    metadata[b.at + 16..b.at + 24].copy_from_slice(&first.to_le_bytes());
    let circular = archive(&metadata);
    let deep = "a\\b\\".repeat(500);
    assert!(circular.image(1).unwrap().list(&deep).unwrap().is_some());
    assert_eq!(circular.metadata(1).unwrap().links(7).map(drop).unwrap_err().code(), Code::WimMetadata);
    // Offsets before the root, or past the end, have no entries.
    for at in [0, 8, u64::MAX, u64::MAX - 7, metadata.len() as u64] {
        metadata[b.at + 16..b.at + 24].copy_from_slice(&at.to_le_bytes());
        assert!(matches!(circular_list(&archive(&metadata)), Ok(Some(0)) | Err(_)), "{at}");
    }
}

fn circular_list(archive: &Arc<Archive>) -> Result<Option<usize>> {
    Ok(archive.image(1)?.list("a\\b")?.map(|entries| entries.len()))
}

#[test]
fn a_delta_archive_is_reported() {
    let nodes = [Node::windows(Node::file("SYSTEM", b"hive"))];
    let archive = open(wim::of_parts(&[wim::metadata(&nodes)], &[])).unwrap();
    assert_eq!(read(&archive, 1, SYSTEM).unwrap_err().code(), Code::WimBlobMissing);
}

#[test]
fn false_sizes_allocate_no_memory() {
    let nodes = [Node::windows(Node::file("SYSTEM", b"hive"))];
    let bytes = wim::archive(&[&nodes]);
    let table = u64_at(&bytes, header::TABLE_AT + 8) as usize;
    let lie = |at: usize, number: u64| {
        let mut bytes = bytes.clone();
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        open(bytes).and_then(|archive| read(&archive, 1, SYSTEM)).unwrap_err().code()
    };
    for number in [1 << 40, (1 << 56) - 1, u64::MAX, 1 << 32] {
        // Lengths and offsets of the table, the description, the metadata and the hive.
        for at in
            [header::TABLE_AT, header::XML_AT, table, table + blobs::ENTRY].iter().flat_map(|at| [*at, at + 8, at + 16])
        {
            let code = lie(at, number);
            let expected =
                [Code::WimBlob, Code::TooLarge, Code::WimTable, Code::WimVersion, Code::WimBlobMissing, Code::WimXml];
            assert!(expected.contains(&code), "{at} {number:#x}: {code}");
        }
    }
}

/// Runs wimlib-imagex; `None`, with a message, if it is not installed.
fn wimlib(folder: &Path, args: &[&str]) -> Option<()> {
    let Ok(output) = Command::new("wimlib-imagex").args(args).current_dir(folder).output() else {
        hivewright_fixtures::skip::missing(format_args!("wimlib-imagex is not installed"));
        return None;
    };
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

/// Returns bytes of several kinds: text, code, records, noise and zeros.
fn sources(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let noise = |len: u32| (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
    let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let code = &own[own.len() / 3..][..400_000];
    let text: String = (0..40_000).map(|i| format!("{i} ")).collect();
    let records: Vec<u8> = (0..30_000u32).flat_map(|i| (i * 12).to_le_bytes()).collect();
    let files = [
        ("code", code.to_vec()),
        ("text", text.into_bytes()),
        ("records", records),
        ("noise", noise(70_000).collect()),
        ("zeros", vec![0; 100_000]),
        ("empty", Vec::new()),
        ("one", vec![7]),
    ];
    for (name, bytes) in &files {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    files.map(|(name, bytes)| (name.to_owned(), bytes)).to_vec()
}

#[test]
fn files_of_every_kind_equal_those_that_wimlib_stored() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let files = sources(&source);
    let forms: [&[&str]; 13] = [
        &["--compress=none"],
        &["--compress=xpress", "--chunk-size=4K"],
        &["--compress=xpress", "--chunk-size=64K", "--check"],
        &["--compress=lzx", "--chunk-size=32K"],
        &["--compress=lzx", "--chunk-size=64K"],
        &["--compress=lzx", "--chunk-size=2M"],
        &["--compress=lzms", "--chunk-size=32K"],
        &["--compress=lzms", "--chunk-size=1M"],
        &["--solid"],
        &["--solid", "--solid-compress=lzx", "--solid-chunk-size=128K"],
        &["--solid", "--solid-compress=xpress", "--solid-chunk-size=32K"],
        &["--pipable"],
        &["--pipable", "--compress=none"],
    ];
    for form in forms {
        let Some(()) =
            wimlib(place.path(), &[&["capture", "source", "archive.wim", "Name", "--threads=1"], form].concat())
        else {
            return;
        };
        let path = place.path().join("archive.wim");
        let archive = open(std::fs::read(&path).unwrap()).unwrap();
        for (name, bytes) in &files {
            assert!(read(&archive, 1, name).unwrap() == *bytes, "{form:?} {name}");
        }
        assert_eq!(archive.refusal().map(|it| it.code), form.contains(&"--pipable").then_some(Code::WimPipable));
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_split_archive_is_opened_from_all_parts() {
    let place = tempfile::tempdir().unwrap();
    let source = place.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let files = sources(&source);
    let Some(()) = wimlib(place.path(), &["capture", "source", "archive.wim", "Name", "--compress=none"]) else {
        return;
    };
    wimlib(place.path(), &["split", "archive.wim", "part.swm", "0.2"]).unwrap();
    let part = |number: usize| {
        let name = if number == 1 { "part.swm".to_owned() } else { format!("part{number}.swm") };
        std::fs::read(place.path().join(name)).ok().map(|bytes| Arc::new(Memory::new(bytes)) as Arc<dyn Storage>)
    };
    let parts: Vec<_> = (1..).map_while(part).collect();
    assert!(parts.len() > 1);
    assert_eq!(PartOf::read(&*parts[1]).unwrap().number, 2);
    let archive = Archive::open(parts.clone()).unwrap();
    for (name, bytes) in &files {
        assert!(read(&archive, 1, name).unwrap() == *bytes, "{name}");
    }
    assert_eq!(archive.refusal().unwrap().code, Code::WimSplit);
    let missing = parts[1..].to_vec();
    let doubled = vec![parts[0].clone(); parts.len()];
    for wrong in [missing, parts[..1].to_vec(), doubled] {
        assert_eq!(Archive::open(wrong).map(drop).unwrap_err().code(), Code::WimParts);
    }
}

mod writing;
