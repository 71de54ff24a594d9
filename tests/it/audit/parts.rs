//! Files that an image names as its parts: read with it, or reported themselves.

use std::fs;
use std::path::Path;

use hivewright_fixtures::{Release, SystemHive};
use serde_json::Value;

use super::{audit, of, records, steady};
use crate::support::disk::{mbr, windows_volume};
use crate::support::tools::{have, output};

/// Returns a disk with a Windows whose setting has that number.
fn disk(path: &Path, value: u32) -> Option<()> {
    let hive = SystemHive::new(Release::Win10).with_right_setting(1, value).build().bytes;
    mbr(&windows_volume(8, &hive, |_| {})?.bytes(), path);
    Some(())
}

/// Returns the results of a folder, without its name: targets, with their status or number. Asserts that a second run,
/// which reuses the records, has the same results.
fn results(home: &Path, folder: &str) -> Vec<(String, String)> {
    let run = audit(home, &["--json", folder]);
    fs::write(home.join("r.jsonl"), &run.out).unwrap();
    let again = audit(home, &["--json", "--resume", "r.jsonl", folder]);
    let all = records(&run.out);
    assert_eq!(steady(records(&again.out)), steady(all.clone()), "{folder}");
    assert_eq!(again.code, run.code, "{folder}");
    let brief = |record: &Value| match record["at_next_boot"]["value"].as_u64() {
        Some(value) => value.to_string(),
        None => record["status"].as_str().unwrap().to_owned(),
    };
    all.iter().map(|((name, _), record)| (name[folder.len() + 1..].to_owned(), brief(record))).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter().map(|&(name, what)| (name.to_owned(), what.to_owned())).collect()
}

fn descriptor(extents: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n{extents}\n\
        ddb.adapterType = \"ide\"\n"
    )
}

#[test]
fn no_image_hides_other_files_by_naming_them() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    if !have(&["qemu-img"]) {
        return;
    }
    for folder in ["zeros", "pieces", "hive", "raw", "blank", "mixed"] {
        fs::create_dir(at(folder)).unwrap();
    }
    let Some(()) = disk(&at("dc.raw"), 2) else { return };
    disk(&at("mine.raw"), 1).unwrap();
    let sectors = |name: &str| fs::metadata(at(name)).unwrap().len() / 512;
    let qcow2 = |name: &str, base: Option<(&str, &str)>| {
        let path = at(name);
        match base {
            None => {
                output("qemu-img", &["convert", "-O", "qcow2", at("dc.raw").to_str().unwrap(), path.to_str().unwrap()])
            }
            Some((base, format)) => output(
                "qemu-img",
                &["create", "-q", "-f", "qcow2", "-b", base, "-F", format, path.to_str().unwrap(), "9M"],
            ),
        }
    };
    // A descriptor without Windows, and one with another Windows, both with a part of the other file.
    for folder in ["zeros", "pieces", "mixed"] {
        fs::copy(at("dc.raw"), at(folder).join("dc.raw")).unwrap();
    }
    fs::write(at("zeros/x.vmdk"), descriptor("RW 8 FLAT \"dc.raw\" 2040\nRW 20480 ZERO")).unwrap();
    assert_eq!(results(home.path(), "zeros"), pairs(&[("dc.raw", "2"), ("x.vmdk", "no-windows")]));
    fs::copy(at("mine.raw"), at("pieces/mine.raw")).unwrap();
    let whole = sectors("mine.raw");
    let lines = format!("RW {whole} FLAT \"mine.raw\" 0\nRW 8 FLAT \"dc.raw\" 0");
    fs::write(at("pieces/x.vmdk"), descriptor(&lines)).unwrap();
    assert_eq!(results(home.path(), "pieces"), pairs(&[("dc.raw", "2"), ("x.vmdk", "1")]));
    // A hive, and a name that is not opened.
    fs::copy(at("mine.raw"), at("hive/mine.raw")).unwrap();
    fs::write(at("hive/SYSTEM"), SystemHive::new(Release::Win10).with_right_setting(1, 0).build().bytes).unwrap();
    let lines = format!("RW {whole} FLAT \"mine.raw\" 0\nRW 8 FLAT \"SYSTEM\" 0");
    fs::write(at("hive/x.vmdk"), descriptor(&lines)).unwrap();
    assert_eq!(results(home.path(), "hive"), pairs(&[("SYSTEM", "0"), ("x.vmdk", "1")]));
    // A golden image that is named as raw, and one below a layer of zeros.
    qcow2("raw/golden.qcow2", None);
    qcow2("raw/top.qcow2", Some(("golden.qcow2", "raw")));
    assert_eq!(results(home.path(), "raw"), pairs(&[("golden.qcow2", "2"), ("top.qcow2", "no-windows")]));
    qcow2("blank/golden.qcow2", None);
    qcow2("blank/top.qcow2", Some(("golden.qcow2", "qcow2")));
    if have(&["qemu-io"]) {
        let top = at("blank/top.qcow2");
        output("qemu-io", &["-c", "write -z 0 9M", top.to_str().unwrap()]);
        assert_eq!(results(home.path(), "blank"), pairs(&[("golden.qcow2", "2"), ("top.qcow2", "no-windows")]));
    }
    // An image with an installation, and a file that it names but does not use.
    qcow2("mixed/top.qcow2", Some(("dc.raw", "raw")));
    assert_eq!(results(home.path(), "mixed"), pairs(&[("dc.raw", "2"), ("top.qcow2", "2")]), "each of a chain");
    qcow2("mixed/golden.qcow2", None);
    let top = at("mixed/top.qcow2");
    output("qemu-img", &["rebase", "-u", "-f", "qcow2", "-b", "golden.qcow2", "-F", "raw", top.to_str().unwrap()]);
    let found = results(home.path(), "mixed");
    assert!(found.contains(&("golden.qcow2".to_owned(), "2".to_owned())), "{found:?}");
}

#[test]
fn images_in_several_files_count_once() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    let Some(()) = disk(&at("dc.raw"), 2) else { return };
    for folder in ["flat", "split", "empty"] {
        fs::create_dir(at(folder)).unwrap();
    }
    let bytes = fs::read(at("dc.raw")).unwrap();
    let sectors = bytes.len() / 512;
    fs::copy(at("dc.raw"), at("flat/pc-flat.vmdk")).unwrap();
    fs::write(at("flat/pc.vmdk"), descriptor(&format!("RW {sectors} FLAT \"pc-flat.vmdk\" 0"))).unwrap();
    assert_eq!(results(home.path(), "flat"), pairs(&[("pc.vmdk", "2")]));
    let (first, rest) = bytes.split_at(4 << 20);
    fs::write(at("split/pc-f001.vmdk"), first).unwrap();
    fs::write(at("split/pc-f002.vmdk"), rest).unwrap();
    let lines =
        format!("RW {} FLAT \"pc-f001.vmdk\" 0\nRW {} FLAT \"pc-f002.vmdk\" 0", first.len() / 512, rest.len() / 512);
    fs::write(at("split/pc.vmdk"), descriptor(&lines)).unwrap();
    assert_eq!(results(home.path(), "split"), pairs(&[("pc.vmdk", "2")]));
    if have(&["qemu-img"]) {
        let make = |args: &[&str]| output("qemu-img", &[&["create", "-q", "-f", "qcow2"], args].concat());
        let path = |name: &str| at(name).to_str().unwrap().to_owned();
        make(&[&path("empty/base.qcow2"), "8M"]);
        make(&["-b", "base.qcow2", "-F", "qcow2", &path("empty/top.qcow2")]);
        let both = [("base.qcow2", "no-windows"), ("top.qcow2", "no-windows")];
        assert_eq!(results(home.path(), "empty"), pairs(&both));
        // Dependents of an image are reported if the image is named.
        make(&["-b", &path("dc.raw"), "-F", "raw", &path("child.qcow2")]);
        let run = audit(home.path(), &["--json", "dc.raw"]);
        let record = &of(&records(&run.out), "dc.raw")[0];
        let codes: Vec<_> = record["obstacles"].as_array().unwrap().iter().map(|it| it["code"].clone()).collect();
        assert_eq!((run.code, codes), (0, vec!["has-children".into()]));
    }
}
