//! An image with dependent images is not written, and the dependents are found without being trusted.

use std::collections::BTreeSet;
use std::fs::{self, File};
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use hivewright_disk::container::find_dependents;
use serde_json::Value;

use super::fixtures::{Unpacked, raw_disk};
use crate::command::hivewright_in;
use crate::support::real::Real;
use crate::support::tools::{have, output, succeeds};

/// Creates an empty image with the backing file `base`, under the given name in its header.
fn make(folder: &Path, format: &str, name: &str, backing: &str) {
    let path = folder.join(name);
    let all = ["create", "-q", "-f", format, "-u", "-b", backing, "-F", "raw", path.to_str().unwrap(), "6M"];
    output("qemu-img", &all);
}

fn code(told: &Value) -> &str {
    told["error"]["code"].as_str().unwrap_or("none")
}

/// Returns the names of the dependents that are found.
fn found(image: &Unpacked) -> BTreeSet<String> {
    let path = image.path().real();
    let names = find_dependents(std::slice::from_ref(&path), &path)
        .children
        .into_iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn an_image_with_dependents_is_not_written() {
    if !have(&["qemu-img"]) {
        return;
    }
    let image = Unpacked::named("qcow2");
    let folder = image.folder.path();
    let option = "--ignore-children";
    make(folder, "qcow2", "snapshot.qcow2", "disk.qcow2");
    let before = image.hashes();
    for (verb, more) in [("set", &[][..]), ("set", &["--dry-run"]), ("unset", &[])] {
        let verbs = if verb == "set" { vec!["set", "2", "IMAGE"] } else { vec!["unset", "IMAGE"] };
        let run = image.run(&[&verbs[..], more].concat());
        assert_eq!(run.code, 3, "{run:?}");
        for part in ["snapshot.qcow2 depends on disk.qcow2", "edit the image at the top of the chain", option] {
            assert!(run.err.contains(part), "{part}: {}", run.err);
        }
        assert_eq!(code(&image.json(&[&verbs[..], more].concat())), "has-children");
    }
    assert!(image.hashes() == before);
    let info = image.json(&["info", "IMAGE"]);
    assert_eq!(info["obstacles"][0]["code"], "has-children", "{info}");
    // A copy, no change, and the dependent itself are allowed.
    assert_eq!(image.run(&["set", "2", "IMAGE", "--output", "copy.qcow2"]).code, 0);
    assert_eq!(image.run(&["set", "1", "IMAGE"]).code, 0);
    assert!(before.iter().all(|(name, hash)| image.hashes()[name] == *hash));
    // The base of a chain has dependents, its top has none.
    assert_eq!(image.run(&["set", "2", "IMAGE", option]).code, 0);
    let undo = "disk.qcow2.hivewright-undo";
    let refused = image.run(&["undo", undo]);
    assert!(refused.code == 3 && refused.err.contains("snapshot.qcow2"), "{refused:?}");
    assert_eq!(image.run(&["undo", undo, option]).code, 0);
    assert!(before.iter().all(|(name, hash)| image.hashes()[name] == *hash));
    fs::remove_file(folder.join("snapshot.qcow2")).unwrap();
    assert_eq!(image.run(&["set", "2", "IMAGE"]).code, 0);
    assert_eq!(image.run(&["undo", "disk.qcow2.hivewright-undo.1"]).code, 0);
}

#[test]
fn the_top_of_a_chain_has_no_children_and_the_rest_has() {
    for (name, file, expected) in [
        ("qcow2-chain", "base.raw", &["middle.qcow2"][..]),
        ("qcow2-chain", "middle.qcow2", &["top.qcow2"]),
        ("qcow2-chain", "top.qcow2", &[]),
        ("vmdk-delta", "base.vmdk", &["top.vmdk"]),
        ("vmdk-delta", "top.vmdk", &[]),
    ] {
        let image = Unpacked::named(name);
        let path = image.folder.path().real().join(file);
        let found = find_dependents(std::slice::from_ref(&path), &path).children;
        assert_eq!(found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect::<Vec<_>>(), expected);
    }
    let image = Unpacked::named("vmdk-delta");
    let before = image.hashes();
    assert_eq!(code(&image.json(&["set", "2", "base.vmdk"])), "has-children");
    assert!(image.hashes() == before);
}

/// A link to an image in another folder: dependents beside the link are found too.
// Links need privileges on Windows.
#[cfg(unix)]
#[test]
fn children_are_found_beside_the_name_that_the_user_gave() {
    if !have(&["qemu-img"]) {
        return;
    }
    let image = Unpacked::named("qcow2");
    let at = |name: &str| image.folder.path().join(name);
    fs::create_dir(at("vm")).unwrap();
    symlink("../disk.qcow2", at("vm/golden.qcow2")).unwrap();
    make(&at("vm"), "qcow2", "child.qcow2", "golden.qcow2");
    symlink("vm", at("alias")).unwrap();
    fs::create_dir(at("far")).unwrap();
    symlink("../alias/golden.qcow2", at("far/link.qcow2")).unwrap();
    symlink("far/link.qcow2", at("first.qcow2")).unwrap();
    for name in ["vm/golden.qcow2", "alias/golden.qcow2", "far/link.qcow2", "first.qcow2"] {
        assert_eq!(code(&image.json(&["set", "2", name])), "has-children", "{name}");
    }
    let run = crate::command::hivewright_in(&at("vm"), ["set", "2", "golden.qcow2"]);
    assert!(run.code == 3 && run.has("has-children") && run.err.contains("child.qcow2"), "{run:?}");
    // By its own name, the dependents in the other folder are not found.
    assert_eq!(image.run(&["set", "2", "IMAGE"]).code, 0);
    assert_eq!(
        code(&image.json(&["undo", "disk.qcow2.hivewright-undo", "--target", "vm/golden.qcow2"])),
        "has-children"
    );
    // The other hard links of a file cannot be found.
    let image = Unpacked::named("qcow2");
    fs::create_dir(image.folder.path().join("vm")).unwrap();
    fs::hard_link(image.path(), image.folder.path().join("vm/golden.qcow2")).unwrap();
    let run = image.run(&["set", "2", "IMAGE"]);
    assert!(run.code == 0 && run.out.contains("has 2 hard links"), "{run:?}");
    // An extent that is a link, beside the descriptor that names it.
    let image = Unpacked::named("vmdk-flat");
    let at = |name: &str| image.folder.path().join(name);
    fs::create_dir(at("vm")).unwrap();
    fs::rename(at("disk.vmdk"), at("vm/disk.vmdk")).unwrap();
    symlink("../disk-flat.vmdk", at("vm/disk-flat.vmdk")).unwrap();
    assert_eq!(code(&image.json(&["set", "2", "vm/disk-flat.vmdk"])), "part-of-image");
}

/// A dependent may use any name that leads to the same file.
// Links need privileges on Windows.
#[cfg(unix)]
#[test]
fn a_child_is_known_by_the_file_that_its_name_leads_to() {
    if !have(&["qemu-img"]) {
        return;
    }
    let image = Unpacked::named("split-raw");
    let folder = image.folder.path();
    fs::write(folder.join("other.raw"), b"x").unwrap();
    symlink("disk.001", folder.join("current")).unwrap();
    fs::hard_link(folder.join("disk.001"), folder.join("alias")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(folder, elsewhere.path().join("here")).unwrap();
    let through = elsewhere.path().join("here/disk.001");
    let absolute = folder.join("disk.001");
    let names = [
        ("qcow2", "disk.001", true),
        ("qcow", "./disk.001", true),
        ("qed", "disk.001", true),
        ("qcow2", absolute.to_str().unwrap(), true),
        ("qcow2", through.to_str().unwrap(), true),
        ("qcow2", "current", true),
        ("qed", "alias", true),
        ("qcow2", "file:disk.001", true),
        ("qcow2", r#"json:{"driver":"raw","file":{"driver":"file","filename":"disk.001"}}"#, true),
        // A name from another machine: its folder does not exist here, and this may be a copy.
        ("qcow2", "/no/such/folder/disk.001", true),
        ("qcow2", "other.raw", false),
        ("qcow2", "missing", false),
        ("qcow2", "/dev/null", false),
        ("qcow2", "nbd://localhost/disk.001x", false),
    ];
    let mut expected = BTreeSet::new();
    for (i, (format, name, is)) in names.iter().enumerate() {
        let child = format!("child{i:02}.{format}");
        make(folder, format, &child, name);
        if *is {
            expected.insert(child);
        }
    }
    assert_eq!(found(&image), expected);
    let refused = image.run(&["set", "2", "disk.001"]);
    assert!(refused.code == 3 && refused.err.contains(" and 5 more depend on disk.001"), "{refused:?}");
    // A part of the image is one of its files too.
    make(folder, "qcow2", "of-part.qcow2", "disk.003");
    expected.iter().for_each(|child| fs::remove_file(folder.join(child)).unwrap());
    let run = image.run(&["set", "2", "disk.001"]);
    assert!(run.has("has-children") && run.err.contains("of-part.qcow2"), "{run:?}");
}

/// Hostile files in the folder: no blocking, no special files opened, no large reads.
// Links, sockets and permission bits of Unix.
#[cfg(unix)]
#[test]
fn hostile_files_in_the_folder_do_no_harm() {
    if !have(&["qemu-img", "mkfifo"]) {
        return;
    }
    let image = Unpacked::named("qcow2");
    let folder = image.folder.path();
    let at = |name: &str| folder.join(name);
    let secret = tempfile::NamedTempFile::new().unwrap();
    symlink(secret.path(), at("a-link")).unwrap();
    symlink("a-loop", at("a-loop")).unwrap();
    symlink("/dev/zero", at("a-device")).unwrap();
    output("mkfifo", &[at("a-pipe").to_str().unwrap()]);
    // If it can be created, which is not possible everywhere.
    let _ = succeeds("mknod", &[at("a-node").to_str().unwrap(), "c", "1", "5"]);
    let _socket = std::os::unix::net::UnixListener::bind(at("a-socket")).unwrap();
    fs::create_dir(at("a-folder")).unwrap();
    File::create(at("a-giant")).unwrap().set_len(1 << 40).unwrap();
    fs::write(at("unreadable"), b"QFI\xfb").unwrap();
    fs::set_permissions(at("unreadable"), std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
    for (i, magic) in
        [&b"QFI\xfb\0\0\0\x03"[..], b"QFI\xfb\0\0\0\x01", b"QED\0", b"KDMV", b"vhdxfile", b"cxsparse", b"conectix"]
            .iter()
            .enumerate()
    {
        fs::write(at(&format!("short{i}")), magic).unwrap();
        fs::write(at(&format!("ones{i}")), [magic, &[0xff; 5000][..]].concat()).unwrap();
        let large = File::create(at(&format!("large{i}"))).unwrap();
        crate::support::file_ext::FileExt::write_all_at(&large, magic, 0).unwrap();
        large.set_len(1 << 40).unwrap();
    }
    fs::write(at("text.vmdk"), ["# Disk DescriptorFile\n", &"x".repeat(1 << 20)].concat()).unwrap();
    for name in ["/dev/zero", "a-pipe", "/proc/self/mem", "../../../etc/passwd", "a-loop", "a-folder"] {
        make(folder, "qcow2", &format!("names-{}.qcow2", name.replace('/', "_")), name);
    }
    assert_eq!(found(&image), BTreeSet::new());
    let begun = std::time::Instant::now();
    assert_eq!(image.run(&["set", "2", "IMAGE"]).code, 0);
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

/// Every file in the listing of a folder is examined, up to a bound; those with a similar name come first.
#[test]
fn a_folder_of_thousands_costs_little_and_hides_no_similar_name() {
    if !have(&["qemu-img"]) {
        return;
    }
    let image = Unpacked::named("qcow2");
    let folder = image.folder.path();
    (0..3000).for_each(|i| fs::write(folder.join(format!("a{i}")), b"x").unwrap());
    make(folder, "qcow2", "disk-snapshot.qcow2", "disk.qcow2");
    assert_eq!(found(&image).len(), 1);
}

/// The search for dependents reads the other files of a folder once, for all images of it that are named.
#[test]
fn an_audit_of_named_images_opens_each_a_few_times() {
    const COUNT: usize = 40;
    if !have(&["strace"]) {
        return;
    }
    let image = Unpacked::named("qcow2");
    let folder = image.folder.path();
    let names: Vec<String> = (0..COUNT).map(|i| format!("copy-{i}.qcow2")).collect();
    for name in &names {
        fs::copy(image.path(), folder.join(name)).unwrap();
    }
    let log = folder.join("trace");
    let mut arguments = vec!["-f", "-e", "trace=open,openat", "-o", log.to_str().unwrap()];
    arguments.extend([env!("CARGO_BIN_EXE_hivewright"), "audit", "--json"]);
    let paths: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
    arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));
    let records = output("strace", &arguments);
    assert_eq!(records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), COUNT);
    let opened = fs::read_to_string(&log).unwrap().lines().filter(|line| line.contains("/copy-")).count();
    assert!((COUNT..COUNT * 8).contains(&opened), "{opened}");
}

/// Reading commands do not search, and the search opens only regular files in the folder.
// Links need privileges on Windows.
#[cfg(unix)]
#[test]
fn the_search_opens_nothing_elsewhere_and_a_check_does_not_search() {
    if !have(&["qemu-img", "strace", "mkfifo"]) {
        return;
    }
    let image = Unpacked::named("qcow2");
    let folder = image.folder.path().real();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let secret = elsewhere.path().to_str().unwrap();
    symlink(secret, folder.join("link")).unwrap();
    output("mkfifo", &[folder.join("pipe").to_str().unwrap()]);
    make(&folder, "qcow2", "neighbour.qcow2", secret);
    make(&folder, "qcow2", "of-link.qcow2", "link");
    let log: PathBuf = folder.join("trace");
    let trace = |arguments: &[&str]| -> String {
        let path = image.path();
        let all = ["-f", "-e", "trace=open,openat", "-s", "4096", "-o", log.to_str().unwrap()];
        let ours = [&[env!("CARGO_BIN_EXE_hivewright")], arguments, &[path.to_str().unwrap()]].concat();
        assert!(succeeds("strace", &[&all[..], &ours].concat()));
        fs::read_to_string(&log).unwrap()
    };
    for verb in [&["check"][..], &["audit", "--json"]] {
        let seen = trace(verb);
        let is_audit = verb[0] == "audit";
        assert!(seen.contains("disk.qcow2") && (is_audit || !seen.contains("neighbour.qcow2")), "{verb:?}");
    }
    for verb in [&["get"][..], &["info"], &["set", "2"]] {
        let seen = trace(verb);
        assert!(seen.contains("neighbour.qcow2\""), "{verb:?}: the trace does not see it look");
        for line in seen.lines().filter(|line| line.contains("open")) {
            assert!(![secret, "/link\"", "/pipe\""].iter().any(|name| line.contains(name)), "{verb:?}: {line}");
        }
    }
}

#[test]
fn a_part_is_not_written_to_past_its_image() {
    for (name, part, whole) in
        [("vmdk-flat", "disk-flat.vmdk", "disk.vmdk"), ("qcow2-data-file-raw", "disk.data", "disk.qcow2")]
    {
        let image = Unpacked::named(name);
        let before = image.hashes();
        for arguments in [&["set", "2", part][..], &["unset", part], &["set", "2", part, "--dry-run"]] {
            let run = image.run(arguments);
            assert!(run.code == 3 && run.err.contains(&format!("name {whole} instead")), "{name}: {run:?}");
            assert_eq!(code(&image.json(arguments)), "part-of-image", "{name}");
        }
        assert_eq!(image.json(&["info", part])["obstacles"][0]["code"], "part-of-image", "{name}");
        assert!(image.hashes() == before);
        // No change, and a copy, are allowed.
        assert_eq!(image.run(&["set", "1", part]).code, 0);
        assert_eq!(image.run(&["set", "2", part, "--output", "copy"]).code, 0);
        assert_eq!(image.run(&["get", "--value", "copy"]).out, "2\n");
        fs::remove_file(image.folder.path().join("copy")).unwrap();
        assert_eq!(image.run(&["set", "2", part, "--ignore-children"]).code, 0);
        // An undo would damage the dependents of the whole image too.
        let over = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=2\ncreateType=\"vmfsSparse\"\n";
        if name == "vmdk-flat" {
            let text = format!("{over}parentFileNameHint=\"disk.vmdk\"\nRW 12288 VMFSSPARSE \"over-delta.vmdk\"\n");
            fs::write(image.folder.path().join("over.vmdk"), text).unwrap();
            let refused = image.run(&["undo", "disk-flat.vmdk.hivewright-undo"]);
            assert!(
                refused.code == 3 && refused.has("has-children") && refused.err.contains("over.vmdk"),
                "{refused:?}"
            );
            fs::remove_file(image.folder.path().join("over.vmdk")).unwrap();
        }
        assert_eq!(image.run(&["undo", &format!("{part}.hivewright-undo")]).code, 0);
        fs::remove_file(image.folder.path().join(format!("{part}.hivewright-undo"))).unwrap();
        // By its own name, the image is writable.
        assert_eq!(image.run(&["set", "2", whole]).code, 0);
        assert_eq!(image.run(&["undo", &format!("{whole}.hivewright-undo")]).code, 0);
    }
}

/// A dependent with another name after hundreds of images; and more images than are examined.
#[test]
fn hundreds_of_images_hide_no_child() {
    if !have(&["qemu-img"]) {
        return;
    }
    let image = Unpacked::named("qcow2");
    let folder = image.folder.path();
    make(folder, "qcow2", "a.qcow2", "missing");
    let other = fs::read(folder.join("a.qcow2")).unwrap();
    (0..1000).for_each(|i| fs::write(folder.join(format!("b{i:04}")), &other).unwrap());
    make(folder, "qcow2", "web.qcow2", "disk.qcow2");
    assert_eq!(found(&image), BTreeSet::from(["web.qcow2".to_owned()]));
    fs::remove_file(folder.join("web.qcow2")).unwrap();
    assert_eq!(code(&image.json(&["set", "2", "IMAGE", "--dry-run"])), "none");
    (1000..4100).for_each(|i| fs::write(folder.join(format!("b{i:04}")), &other).unwrap());
    let run = image.run(&["set", "2", "IMAGE"]);
    assert!(run.code == 3 && run.has("has-children"), "{run:?}");
    assert_eq!(image.run(&["set", "2", "IMAGE", "--ignore-children"]).code, 0);
}

/// VirtualBox stores dependents of a machine's disks in a subfolder.
#[test]
fn a_child_in_the_folder_of_snapshots_is_found() {
    if !have(&["qemu-img"]) {
        return;
    }
    let image = Unpacked::named("qcow2");
    let snapshots = image.folder.path().join("Snapshots");
    fs::create_dir(&snapshots).unwrap();
    for (name, backing, is) in
        [("one", "../disk.qcow2", true), ("other", "../a.qcow2", false), ("two", "disk.qcow2", true)]
    {
        make(&snapshots, "qcow2", name, backing);
        assert_eq!(found(&image).contains(name), is, "{name}");
    }
    assert_eq!(code(&image.json(&["set", "2", "IMAGE"])), "has-children");
}

// Windows has no permission bits.
#[cfg(unix)]
#[test]
fn an_unreadable_file_may_be_a_child() {
    if !have(&["qemu-img", "setpriv"]) {
        return;
    }
    let image = Unpacked::named("qcow2");
    let folder = image.folder.path();
    let mode =
        |path: &Path, mode| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(folder, 0o777);
    mode(&image.path(), 0o666);
    let (path, program) = (image.path(), env!("CARGO_BIN_EXE_hivewright"));
    // Root can open every file.
    let run = || {
        let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", program, "set", "2", "--dry-run"];
        std::process::Command::new("setpriv").args(nobody).arg(&path).output().unwrap()
    };
    if run().status.code() != Some(0) {
        hivewright_fixtures::skip::impossible("another user cannot run the program here");
        return;
    }
    for (name, counts) in [("web.vmdk", true), ("disk.snap1", true), ("disk.log", false), ("notes", false)] {
        fs::write(folder.join(name), b"QFI").unwrap();
        mode(&folder.join(name), 0o600);
        let out = run();
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(if counts { 3 } else { 0 }), "{name}: {told}");
        assert_eq!(told.contains(&format!("{name} may depend on disk.qcow2")), counts, "{name}: {told}");
        fs::remove_file(folder.join(name)).unwrap();
    }
}

/// The descriptor in a sparse VMDK contains the original name of the file, also in a copy.
#[test]
fn a_copy_of_a_vmdk_is_neither_a_child_nor_a_whole() {
    let image = Unpacked::named("vmdk-sparse");
    let at = |name: &str| image.folder.path().join(name);
    let text = fs::read(image.path()).unwrap();
    assert!(text.windows(9).any(|bytes| bytes == b"disk.vmdk"), "the descriptor names its own file");
    fs::copy(image.path(), at("backup.vmdk")).unwrap();
    let info = image.json(&["info", "IMAGE"]);
    assert_eq!(info["obstacles"].as_array().map_or(0, Vec::len), 0, "{info}");
    for (name, other) in [("disk.vmdk", "backup.vmdk"), ("backup.vmdk", "disk.vmdk")] {
        let before = image.hashes();
        let run = image.run(&["set", "2", name]);
        assert_eq!(run.code, 0, "{run:?}");
        assert_eq!(image.run(&["get", "--value", name]).out, "2\n");
        assert!(before[other] == image.hashes()[other], "{name}");
    }
}

/// Tools describe a raw image as a whole device (VBoxManage internalcommands createrawvmdk): that description is an
/// editable image that contains a content identifier. The raw image by its own name is a part of it.
#[test]
fn a_raw_image_described_as_a_device_is_edited_by_the_description() {
    let folder = raw_disk();
    let at = |name: &str| folder.path().join(name);
    let len = fs::metadata(at("disk.raw")).unwrap().len() / 512;
    for kind in ["fullDevice", "partitionedDevice"] {
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID=5e1c6b2c\nparentCID=ffffffff\ncreateType=\"{kind}\"\n\n\
             # Extent description\nRW {len} FLAT \"disk.raw\" 0\n\n#DDB\nddb.adapterType = \"ide\"\n"
        );
        fs::write(at("pc.vmdk"), &text).unwrap();
        let run = |arguments: &[&str]| hivewright_in(folder.path(), arguments);
        let refused: Value = serde_json::from_str(&run(&["set", "2", "disk.raw", "--json"]).out).unwrap();
        assert_eq!(code(&refused), "part-of-image");
        let other = refused["error"]["advice"].as_str().unwrap().split(' ').nth(1).unwrap().to_owned();
        assert_eq!(other, "pc.vmdk");
        let before = fs::read(at("disk.raw")).unwrap();
        assert_eq!(run(&["set", "2", &other]).code, 0);
        assert_eq!(
            (run(&["get", "--value", &other]).out, run(&["get", "--value", "disk.raw"]).out),
            ("2\n".into(), "2\n".into())
        );
        assert_ne!(fs::read_to_string(at("pc.vmdk")).unwrap(), text, "it has a new content identifier");
        assert_eq!(run(&["undo", "pc.vmdk.hivewright-undo"]).code, 0);
        assert!(fs::read(at("disk.raw")).unwrap() == before && fs::read_to_string(at("pc.vmdk")).unwrap() == text);
        fs::remove_file(at("pc.vmdk.hivewright-undo")).unwrap();
    }
}
