//! Parallels stores snapshots as separate images, and their relations in a descriptor.

use serde_json::Value;

use super::fixtures::Unpacked;
use super::*;
use crate::command::{Run, hivewright_in};
use crate::support::tools::{have, output};

const BASE: &str = "vm.hdd.0.{5fbaabe3-6958-40ff-92a7-860e329aab41}.hds";
const DELTA: &str = "vm.hdd.0.{11112222-6958-40ff-92a7-860e329aab41}.hds";

/// Returns a descriptor of the base, and of the delta if there is one.
fn descriptor(with_delta: bool) -> String {
    let image = |name: &str| {
        let guid = &name[name.find('{').unwrap()..=name.find('}').unwrap()];
        (format!("<Image><GUID>{guid}</GUID><Type>Compressed</Type><File>{name}</File></Image>"), guid.to_owned())
    };
    let ((base, base_guid), (delta, delta_guid)) = (image(BASE), image(DELTA));
    let shot = |guid: &str, parent: &str| format!("<Shot><GUID>{guid}</GUID><ParentGUID>{parent}</ParentGUID></Shot>");
    let root = shot(&base_guid, "{00000000-0000-0000-0000-000000000000}");
    let (delta, shots) =
        if with_delta { (delta, shot(&delta_guid, &base_guid) + &root) } else { (String::new(), root) };
    format!(
        "<?xml version='1.0' encoding='UTF-8'?>\n<Parallels_disk_image Version=\"1.0\">\
         <StorageData><Storage><Start>0</Start>{base}{delta}</Storage></StorageData>\
         <Snapshots>{shots}</Snapshots></Parallels_disk_image>"
    )
}

/// Creates a folder with the bundle `vm.hdd`.
fn bundle(with_delta: bool) -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let vm = home.path().join("vm.hdd");
    fs::create_dir(&vm).unwrap();
    fs::copy(Unpacked::named("parallels").path(), vm.join(BASE)).unwrap();
    if with_delta {
        output("qemu-img", &["create", "-q", "-f", "parallels", vm.join(DELTA).to_str().unwrap(), "12M"]);
    }
    fs::write(vm.join("DiskDescriptor.xml"), descriptor(with_delta)).unwrap();
    home
}

fn run(home: &tempfile::TempDir, args: &[&str]) -> Run {
    hivewright_in(&home.path().join("vm.hdd"), args)
}

fn json(home: &tempfile::TempDir, args: &[&str]) -> Value {
    serde_json::from_str(&run(home, &[args, &["--json"]].concat()).out).unwrap()
}

#[test]
fn a_base_is_distinguished_from_the_disk_and_not_written() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let home = bundle(true);
    let before = fs::read(home.path().join("vm.hdd").join(BASE)).unwrap();
    let get = run(&home, &["get", "--value", BASE]);
    assert!(get.code < 2 && get.has("parallels-snapshots") && get.err.contains(DELTA), "{get:?}");
    let delta = run(&home, &["get", DELTA]).failed(2, "prl_disk_tool merge");
    assert!(delta.err.contains(BASE), "{}", delta.err);
    run(&home, &["get", DELTA, "--json"]).failed_as_json(2, "parallels-snapshot");
    for args in [&["set", "2", BASE][..], &["set", "2", "--dry-run", BASE], &["unset", BASE]] {
        let refused = run(&home, args);
        assert!(refused.code == 3 && refused.err.contains(&format!("{DELTA} depends on {BASE}")), "{refused:?}");
    }
    run(&home, &["set", "2", BASE, "--json"]).failed_as_json(3, "has-children");
    assert!(fs::read(home.path().join("vm.hdd").join(BASE)).unwrap() == before);
    assert_eq!(json(&home, &["info", BASE])["obstacles"][0]["code"], "has-children");
    // The user may override this, and undo it; in another folder, the others are unknown.
    let set = run(&home, &["set", "2", BASE, "--ignore-children"]);
    assert_eq!(set.code, 0, "{set:?}");
    let undo = format!("{BASE}.hivewright-undo");
    assert_eq!(run(&home, &["undo", &undo]).code, 3);
    assert_eq!(run(&home, &["undo", &undo, "--ignore-children"]).code, 0);
    assert!(fs::read(home.path().join("vm.hdd").join(BASE)).unwrap() == before);
    let broken = descriptor(true).replace("</Parallels_disk_image>", "");
    fs::write(home.path().join("vm.hdd/DiskDescriptor.xml"), broken).unwrap();
    run(&home, &["get", BASE, "--json"]).failed_as_json(2, "parallels-descriptor");
}

/// Names without regard to case, as on the systems of such bundles; a file that the descriptor does not name may be any
/// of its images.
#[test]
fn a_base_under_another_name_is_known_or_refused() {
    if !have(&["qemu-img", "qemu-nbd"]) {
        return;
    }
    let home = bundle(true);
    let at = |name: &str| home.path().join("vm.hdd").join(name);
    for (now, listed) in
        [("Joe's PC.hds", "Joe&#39;s PC.hds"), ("WinXP.hds", "winxp.HDS"), ("\u{e9}.hds", "&#xE9;.hds")]
    {
        let file = |name: &str| format!("<File>{name}</File>");
        fs::write(at("DiskDescriptor.xml"), descriptor(true).replace(&file(BASE), &file(listed))).unwrap();
        fs::rename(at(BASE), at(now)).unwrap();
        let refused = run(&home, &["set", "2", now]);
        assert!(refused.code == 3 && refused.err.contains("prl_disk_tool merge"), "{now}: {refused:?}");
        fs::rename(at(now), at(BASE)).unwrap();
    }
    fs::rename(at(BASE), at("other.hds")).unwrap();
    for args in [&["get", "other.hds"][..], &["set", "2", "other.hds"]] {
        run(&home, &[args, &["--json"]].concat()).failed_as_json(2, "parallels-descriptor");
    }
}

#[test]
fn a_copy_of_a_bundle_without_snapshots_goes_anywhere() {
    if !have(&["qemu-nbd"]) {
        return;
    }
    let home = bundle(false);
    let set = run(&home, &["set", "2", BASE, "--output", "../copy.hds"]);
    assert_eq!(set.code, 0, "{set:?}");
    assert_eq!(hivewright_in(home.path(), ["get", "--value", "copy.hds"]).out, "2\n");
}

#[test]
fn a_bundle_without_snapshots_is_one_file() {
    if !have(&["qemu-nbd"]) {
        return;
    }
    let home = bundle(false);
    for (folder, args, code) in [
        ("vm.hdd", ["get", "."], "no-installation"),
        (".", ["get", "vm.hdd"], "no-installation"),
        ("vm.hdd", ["get", "DiskDescriptor.xml"], "parallels-bundle"),
    ] {
        let told = hivewright_in(&home.path().join(folder), args);
        assert!(told.code == 2 && told.has(code), "{told:?}");
        assert!(told.err.contains(BASE), "{told:?}");
    }
    assert_eq!(run(&home, &["set", "2", BASE]).code, 0);
    let get = run(&home, &["get", "--value", BASE]);
    assert_eq!((get.out.as_str(), get.err.as_str()), ("2\n", ""));
    // Its folder is one target.
    let audit = hivewright_in(home.path(), ["audit", "--json", "."]);
    assert_eq!(audit.out.lines().count(), 1, "{}", audit.out);
}

#[test]
fn a_bundle_with_snapshots_must_be_merged() {
    if !have(&["qemu-img"]) {
        return;
    }
    let home = bundle(true);
    for args in [["get", "vm.hdd"], ["get", "vm.hdd/DiskDescriptor.xml"]] {
        let told = hivewright_in(home.path(), args);
        assert!(told.code == 2 && told.err.contains("prl_disk_tool merge"), "{told:?}");
    }
    let split = descriptor(true).replace("</Storage>", "</Storage><Storage></Storage>");
    fs::write(home.path().join("vm.hdd/DiskDescriptor.xml"), split).unwrap();
    run(&home, &["get", BASE, "--json"]).failed_as_json(2, "parallels-split");
    let told = hivewright_in(home.path(), ["get", "vm.hdd"]);
    assert!(told.has("no-installation"), "{told:?}");
    // The base of a bundle may be plain.
    fs::write(home.path().join("vm.hdd").join(BASE), [1; 1 << 20]).unwrap();
    run(&home, &["get", BASE, "--json"]).failed_as_json(2, "parallels-split");
}
