//! WIM archives with the command: read without unpacking, edited without other changes, judged by wimlib-imagex and 7z.

use std::fs;
use std::path::Path;

use hivewright::{Code, Data, Image};
use hivewright_fixtures::wim::{self, Node};
use hivewright_fixtures::{Release, SystemHive};
use serde_json::Value;

use crate::command::{Run, hivewright_in};
use crate::support::hex::sha256;
use crate::support::ntfs_volume::NtfsVolume;
use crate::support::tools::{have, output};

const HIVE: &str = "Windows/System32/config/SYSTEM";

fn hive() -> Vec<u8> {
    SystemHive::new(Release::Win10).build().bytes
}

fn run(folder: &Path, args: &[&str]) -> Run {
    hivewright_in(folder, args)
}

fn json(run: &Run) -> Value {
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

fn wimlib(folder: &Path, args: &[&str]) -> String {
    let folder = folder.to_str().unwrap();
    let args: Vec<&str> = [&["-C", folder, "wimlib-imagex"], args].concat();
    String::from_utf8_lossy(&output("env", &args)).into_owned()
}

/// Creates an archive in memory with Windows in its first and third image.
fn three_images() -> Vec<u8> {
    let windows = || [Node::windows(Node::file("SYSTEM", &hive()))];
    wim::archive(&[&windows(), &[Node::file("setup.exe", b"MZ")], &windows()])
}

#[test]
fn all_images_are_read_unless_one_is_selected() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.wim"), three_images()).unwrap();
    let set = run(folder, &["set", "2", "a.wim", "--image", "Image 3", "--json"]);
    assert_eq!((set.code, json(&set)["commit"]["how"].as_str()), (0, Some("in-place")), "{set:?}");
    let all = run(folder, &["get", "a.wim", "--value"]);
    assert_eq!((all.code, &*all.out), (1, "1\t\n3\t2\n"));
    for (image, value) in [("3", "2\n"), ("image 3", "2\n"), ("1", "")] {
        assert_eq!(run(folder, &["get", "a.wim", "--value", "--image", image]).out, value);
    }
    let key = r"HKLM\SYSTEM\Select";
    let lines = run(folder, &["reg", "query", "a.wim", key, "-v", "Current", "--json"]);
    let images: Vec<u64> =
        lines.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["image"].as_u64().unwrap()).collect();
    assert_eq!((lines.code, images), (0, vec![1, 3]));
    let exported = run(folder, &["reg", "export", "a.wim", key]);
    assert_eq!(exported.out.matches("Windows Registry Editor").count(), 2);
    assert_eq!(run(folder, &["check", "a.wim"]).code, 0);
    let info = json(&run(folder, &["info", "a.wim", "--json"]));
    assert_eq!((info["scheme"].as_str(), info["partitions"].as_array().unwrap().len()), (Some("wim"), 3));
    assert_eq!(info["partitions"][2]["image"]["name"], "Image 3");
    let found = |at: usize| info["volumes"][at]["installations"].as_array().unwrap().len();
    assert_eq!([found(0), found(1), found(2)], [1, 0, 1]);
    let hive = &info["volumes"][0]["installations"][0]["hives"][0];
    let packed = &hive["packed"];
    assert_eq!(
        (hive["extents"].as_u64(), packed["uses"].as_u64(), packed["len"].as_u64()),
        (Some(0), Some(1), hive["size"].as_u64())
    );
    let audit = run(folder, &["audit", ".", "--json"]);
    let records: Vec<Value> = audit.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let places: Vec<(&str, u64, &str)> = records
        .iter()
        .filter_map(|it| Some((it["container"].as_str()?, it["partition"].as_u64()?, it["partition_name"].as_str()?)))
        .collect();
    assert_eq!(places, [("wim", 1, "Image 1"), ("wim", 3, "Image 3")], "{audit:?}");
}

#[test]
fn ambiguous_and_missing_images_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let before = three_images();
    fs::write(folder.join("a.wim"), &before).unwrap();
    fs::write(folder.join("SYSTEM"), hive()).unwrap();
    for (args, code) in [
        (&["set", "2", "a.wim"][..], "several-installations"),
        (&["set", "2", "a.wim", "--image", "2"], "no-installation"),
        (&["set", "2", "a.wim", "--image", "4"], "no-image"),
        (&["set", "2", "a.wim", "--image", "Image"], "no-image"),
        (&["get", "a.wim", "--partition", "7"], "no-partition"),
        (&["set", "2", "SYSTEM", "--image", "1"], "not-a-disk"),
    ] {
        let refused = run(folder, &[args, &["--json"]].concat());
        assert_eq!(json(&refused)["error"]["code"], code, "{args:?}");
    }
    assert_eq!(run(folder, &["reg", "export", "a.wim", "--output", "x.reg", r"HKLM\SYSTEM"]).code, 3);
    assert!(fs::read(folder.join("a.wim")).unwrap() == before);
    // Marks of other programs.
    for (flag, code) in [(0x04, "wim-read-only"), (0x08, "wim-split"), (0x40, "wim-unfinished")] {
        let mut marked = before.clone();
        marked[16] |= flag;
        fs::write(folder.join("a.wim"), &marked).unwrap();
        let refused = run(folder, &["set", "2", "a.wim", "--image", "1", "--json"]);
        assert_eq!((refused.code, json(&refused)["error"]["code"].as_str()), (3, Some(code)));
        assert_eq!(run(folder, &["get", "a.wim", "--image", "1", "--json"]).code, 1);
    }
}

#[test]
fn a_transaction_changes_an_image_and_undo_reverts_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.wim");
    let before = three_images();
    fs::write(&path, &before).unwrap();
    let image = Image::open(&path).unwrap();
    let mut edit = image.transaction();
    edit.set_value(r"HKLM\SYSTEM\Setup", "Example", Data::Dword(7)).unwrap();
    assert_eq!(edit.prepare().map(drop).unwrap_err().code(), Code::SeveralInstallations);
    edit.archive_image("1").keep_timestamps();
    let committed = edit.prepare().unwrap().commit().unwrap();
    let again = Image::open(&path).unwrap();
    let values: Vec<bool> = again
        .installations()
        .unwrap()
        .iter()
        .map(|windows| {
            let system = windows.hive(hivewright::HiveKind::System).unwrap();
            system.key("Setup").unwrap().is_some_and(|key| key.value("Example").unwrap().is_some())
        })
        .collect();
    assert_eq!(values, [true, false]);
    let after = fs::read(&path).unwrap();
    assert!(after[208..before.len()] == before[208..]);
    // The undo file has only the hash of the hive's bytes.
    let undo = committed.undo.unwrap();
    let lines: Vec<Value> =
        fs::read_to_string(&undo).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let appended: u64 = lines.iter().filter_map(|line| line["appended"].as_u64().and(line["len"].as_u64())).sum();
    assert_eq!(lines[0]["hivewright_undo"], 4);
    assert!(appended as usize > hive().len() / 2 && fs::metadata(&undo).unwrap().len() < 40_000, "{appended}");
    let mut changed = after.clone();
    changed[before.len() + 5000] ^= 1;
    fs::write(&path, changed).unwrap();
    assert_eq!(hivewright::undo(&undo, None).unwrap_err().code(), Code::ChangedSince);
    fs::write(&path, after).unwrap();
    hivewright::undo(&undo, None).unwrap();
    assert!(fs::read(&path).unwrap() == before);
}

/// Creates a volume with access control lists, a hard link to the hive, a stream and a symbolic link.
fn source() -> Option<NtfsVolume> {
    let volume = NtfsVolume::make(12, &[])?;
    volume.fill(|root| {
        crate::support::ntfs_volume::windows(root, &hive(), 40);
        fs::write(root.join("streams"), b"own").unwrap();
        let streams = root.join("streams");
        output("setfattr", &["-n", "user.more", "-v", "stream", streams.to_str().unwrap()]);
        #[cfg(unix)]
        std::os::unix::fs::symlink("Windows", root.join("symbolic")).unwrap();
    })?;
    Some(volume)
}

/// Returns the entries of `dir --detailed` of an image: all except those of the hive, which has two names; and those.
fn entries(folder: &Path, archive: &str, image: &str) -> (Vec<String>, Vec<String>) {
    let text = wimlib(folder, &["dir", archive, image, "--detailed"]);
    let blocks = text.split("----------------------------------------------------------------------------");
    let is_hive = |block: &String| block.contains("/config/SYSTEM\"") || block.contains("\"/link\"");
    blocks.map(str::to_owned).partition(|block| !is_hive(block))
}

#[test]
fn an_edit_changes_the_hive_and_nothing_else() {
    if !have(&["wimlib-imagex", "7z"]) {
        return;
    }
    let Some(volume) = source() else { return };
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::write(folder.join("v"), volume.bytes()).unwrap();
    fs::write(
        folder.join("more.reg"),
        "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SYSTEM\\Setup]\r\n\"Example\"=dword:00000007\r\n",
    )
    .unwrap();
    let forms: [&[&str]; 5] = [
        &["--compress=none", "--check"],
        &["--compress=xpress", "--chunk-size=4K"],
        &["--compress=lzx", "--check"],
        &["--compress=lzms", "--chunk-size=64K"],
        &["--solid", "--check"],
    ];
    for form in forms {
        let capture = [&["capture", "v", "a.wim", "First"], form].concat();
        wimlib(folder, &capture);
        // The second image shares all bytes with the first.
        wimlib(folder, &["export", "a.wim", "1", "a.wim", "Second"]);
        let path = folder.join("a.wim");
        let original = fs::read(&path).unwrap();
        let before = entries(folder, "a.wim", "2");
        let set = run(folder, &["set", "2", "a.wim", "--image", "Second", "--json"]);
        assert_eq!(set.code, 0, "{form:?} {set:?}");
        let after = entries(folder, "a.wim", "2");
        assert!(before.0 == after.0 && before.1 != after.1 && before.1.len() == 2, "{form:?}");
        // In the entries of the hive, the hash and the sizes differ.
        for (before, after) in before.1.iter().zip(&after.1) {
            let differ = before.lines().zip(after.lines()).filter(|(before, after)| before != after);
            let allowed =
                ["Hash", "Compressed size", "Uncompressed size", "Offset", "Solid", "Raw", "Flags", "Reference"];
            for (line, _) in differ {
                assert!(allowed.iter().any(|word| line.trim_start().starts_with(word)), "{form:?} {line}");
            }
        }
        wimlib(folder, &["verify", "a.wim"]);
        output("7z", &["t", path.to_str().unwrap()]);
        assert_eq!(run(folder, &["get", "a.wim", "--value"]).out, "1\t\n2\t2\n", "{form:?}");
        let import =
            run(folder, &["reg", "import", "a.wim", "more.reg", "--image", "2", "--json", "--undo", "second.undo"]);
        assert_eq!(import.code, 0, "{form:?} {import:?}");
        wimlib(folder, &["verify", "a.wim"]);
        // The hive that wimlib extracts is the one that is read here.
        assert_eq!(
            run(folder, &["reg", "extract", "a.wim", r"HKLM\SYSTEM", "--image", "2", "--output", "ours"]).code,
            0
        );
        wimlib(folder, &["extract", "a.wim", "2", HIVE, "--dest-dir=theirs", "--no-acls"]);
        assert!(fs::read(folder.join("ours")).unwrap() == fs::read(folder.join("theirs/SYSTEM")).unwrap(), "{form:?}");
        wimlib(folder, &["extract", "a.wim", "1", HIVE, "--dest-dir=first", "--no-acls"]);
        assert!(fs::read(folder.join("first/SYSTEM")).unwrap() == hive(), "{form:?}");
        for undo in ["second.undo", json(&set)["commit"]["undo"].as_str().unwrap()] {
            assert_eq!(run(folder, &["undo", undo]).code, 0, "{form:?}");
        }
        assert!(fs::read(&path).unwrap() == original, "{form:?}");
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (name, path) = (entry.file_name(), entry.path());
            match name.to_str() {
                Some("v" | "more.reg") => {}
                _ if path.is_dir() => fs::remove_dir_all(path).unwrap(),
                _ => fs::remove_file(path).unwrap(),
            }
        }
    }
}

#[test]
fn an_applied_image_has_the_edited_hive_with_its_old_access_list_and_times() {
    if !have(&["wimlib-imagex", "ntfscat", "ntfsinfo"]) {
        return;
    }
    let Some(volume) = source() else { return };
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::write(folder.join("v"), volume.bytes()).unwrap();
    wimlib(folder, &["capture", "v", "a.wim", "Name", "--compress=xpress"]);
    // The output of ntfsinfo for the hive's file, without the places of its clusters.
    let applied = |name: &str| {
        let new = NtfsVolume::make(12, &[]).unwrap();
        fs::write(folder.join(name), new.bytes()).unwrap();
        wimlib(folder, &["apply", "a.wim", "1", name]);
        let path = folder.join(name);
        let path = path.to_str().unwrap();
        let facts = String::from_utf8(output("ntfsinfo", &["-f", "-F", HIVE, path])).unwrap();
        let kept = ["Time", "time", "Security ID", "File attributes", "Hard link", "Filename"];
        let facts = facts.lines().filter(|line| kept.iter().any(|word| line.contains(word))).map(str::to_owned);
        // The time of the record belongs to the volume, not to the archive.
        let facts: Vec<String> = facts.filter(|line| !line.contains("MFT Changed")).collect();
        (output("ntfscat", &["-f", path, HIVE]), facts)
    };
    let (old, facts) = applied("before");
    assert!(old == hive() && facts.len() > 4, "{facts:?}");
    assert_eq!(run(folder, &["set", "2", "a.wim"]).code, 0);
    let (new, after) = applied("after");
    assert_eq!(facts, after);
    fs::write(folder.join("SYSTEM"), new).unwrap();
    assert_eq!(run(folder, &["get", "--value", "SYSTEM"]).out, "2\n");
}

#[test]
fn split_archives_and_those_for_pipes_are_read_and_not_written() {
    if !have(&["wimlib-imagex"]) {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    fs::create_dir_all(folder.join("c/Windows/System32/config")).unwrap();
    fs::write(folder.join("c").join(HIVE), hive()).unwrap();
    fs::write(folder.join("c/noise"), crate::support::ntfs_volume::noise(300_000, 3)).unwrap();
    wimlib(folder, &["capture", "c", "a.wim", "Name"]);
    fs::create_dir(folder.join("parts")).unwrap();
    wimlib(folder, &["split", "a.wim", "parts/a.swm", "0.1"]);
    wimlib(folder, &["export", "a.wim", "1", "pipable.wim", "--pipable"]);
    let parts = folder.join("parts");
    for (folder, name, code) in
        [(&*parts, "a.swm", "wim-split"), (&*parts, "a2.swm", "wim-split"), (folder, "pipable.wim", "wim-pipable")]
    {
        let get = run(folder, &["get", name, "--json"]);
        assert_eq!(json(&get)["at_next_boot"]["state"], "unset", "{name} {get:?}");
        let refused = run(folder, &["set", "2", name, "--json"]);
        assert_eq!((refused.code, json(&refused)["error"]["code"].as_str()), (3, Some(code)), "{name}");
    }
    let audit = run(&parts, &["audit", ".", "--json"]);
    assert_eq!(audit.out.lines().count(), 1, "{audit:?}");
    fs::remove_file(parts.join("a2.swm")).unwrap();
    let missing = run(&parts, &["get", "a.swm", "--json"]);
    assert_eq!(json(&missing)["error"]["code"], "wim-parts");
    // A copy is written elsewhere.
    let before = sha256(&fs::read(folder.join("a.wim")).unwrap());
    assert_eq!(run(folder, &["set", "2", "a.wim", "--output", "copy.wim"]).code, 0);
    wimlib(folder, &["verify", "copy.wim"]);
    assert_eq!(run(folder, &["get", "--value", "copy.wim"]).out, "2\n");
    assert_eq!(sha256(&fs::read(folder.join("a.wim")).unwrap()), before);
}

#[test]
fn a_dirty_hive_is_recovered_in_its_archive() {
    let place = crate::support::dirty_place::named("new-two-logs");
    let files = std::iter::once(("SYSTEM".to_owned(), place.primary.clone())).chain(place.logs.clone());
    let nodes = files.map(|(name, bytes)| Node::file(&name, &bytes)).collect();
    let config = Node::folder("config", nodes);
    let windows = Node::folder("Windows", vec![Node::folder("System32", vec![config])]);
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let before = wim::archive(&[&[windows]]);
    fs::write(folder.join("a.wim"), &before).unwrap();
    let set = run(folder, &["set", "1", "a.wim", "--truncate-logs", "--json"]);
    assert_eq!(set.code, 0, "{set:?}");
    let get = json(&run(folder, &["get", "a.wim", "--json"]));
    assert_eq!((get["hive_state"].as_str(), get["at_next_boot"]["value"].as_u64()), (Some("clean"), Some(1)), "{get}");
    let undo = json(&set)["commit"]["undo"].as_str().unwrap().to_owned();
    assert_eq!(run(folder, &["undo", &undo]).code, 0);
    assert!(fs::read(folder.join("a.wim")).unwrap() == before);
}
