//! Backing files and parents are images themselves, and their records list the dependent images.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use hivewright_fixtures::{Release, SystemHive};
use serde_json::{Value, json};

use super::{audit, of, records, slashed, steady};
use crate::support::disk::{mbr, windows_volume};
use crate::support::tools::{have, output};

/// Returns the dependents of each target of a run.
fn dependents(all: &BTreeMap<(String, u64), Value>) -> Vec<(&str, Value)> {
    let names = |list: &Value| list.as_array().unwrap().iter().map(|name| slashed(name.as_str().unwrap())).collect();
    all.iter().map(|((name, _), record)| (name.as_str(), names(&record["dependents"]))).collect()
}

fn windows(path: &Path, value: Option<u32>) -> Option<()> {
    let hive = SystemHive::new(Release::Win10);
    let hive = match value {
        Some(value) => hive.with_right_setting(1, value),
        None => hive,
    };
    mbr(&windows_volume(8, &hive.build().bytes, |_| {})?.bytes(), path);
    Some(())
}

fn qemu_img(args: &[&str]) {
    output("qemu-img", args);
}

/// An unset golden image with dependent images in which the value is set.
#[test]
fn an_image_with_dependents_is_compared_with_the_expectation() {
    let home = tempfile::tempdir().unwrap();
    if !have(&["qemu-img"]) {
        return;
    }
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (Some(()), Some(())) = (windows(Path::new(&at("unset")), None), windows(Path::new(&at("set")), Some(2))) else {
        return;
    };
    for (format, ending) in [("qcow2", "qcow2"), ("vmdk", "vmdk")] {
        let folder = at(ending);
        fs::create_dir(&folder).unwrap();
        let file = |name: &str| format!("{folder}/{name}.{ending}");
        qemu_img(&["convert", "-O", format, &at("unset"), &file("golden")]);
        for top in ["a", "b"] {
            // The differences from the golden image, as a machine would write them.
            let raw = format!("{folder}/raw");
            fs::copy(at("set"), &raw).unwrap();
            qemu_img(&["create", "-q", "-f", format, "-b", &file("golden"), "-F", format, &file(top)]);
            if !have(&["qemu-io"]) {
                return;
            }
            write_over(&file(top), format, &fs::read(at("unset")).unwrap(), &fs::read(&raw).unwrap());
            fs::remove_file(&raw).unwrap();
        }
        let run = audit(home.path(), &["--json", "--expect", "2", ending]);
        let all = records(&run.out);
        let target = |name: &str| format!("{ending}/{name}.{ending}");
        let compliant = |name: &str| of(&all, &target(name))[0]["compliant"].clone();
        assert_eq!((run.code, all.len()), (1, 3), "{}", run.err);
        assert_eq!(["a", "b", "golden"].map(compliant), [json!(true), json!(true), json!(false)]);
        let golden = &of(&all, &target("golden"))[0];
        assert_eq!(golden["dependents"], json!([target("a"), target("b")]));
        assert_eq!(golden["obstacles"][0]["code"], "has-children");
        for format in ["csv", "table", "junit"] {
            let told = audit(home.path(), &["--format", format, ending]).out;
            let words = match format {
                "csv" => format!("{};{}", target("a"), target("b")),
                "junit" => format!("dependent image: {}", target("b")),
                _ => "2 dependent images".to_owned(),
            };
            assert_eq!(told.matches(&words).count(), 1, "{format}: {told}");
        }
    }
}

/// Writes the sectors of `new` that differ from those of `old` to the image.
fn write_over(image: &str, format: &str, old: &[u8], new: &[u8]) {
    let home = tempfile::tempdir().unwrap();
    let mut commands = Vec::new();
    for (i, (a, b)) in old.chunks(4096).zip(new.chunks(4096)).enumerate().filter(|(_, (a, b))| a != b) {
        let piece = home.path().join(i.to_string());
        fs::write(&piece, b).unwrap();
        commands.push(format!("write -s {} {} {}", piece.display(), i * 4096, a.len()));
    }
    assert!(!commands.is_empty());
    let mut command = Command::new("qemu-io");
    command.args(commands.iter().flat_map(|line| ["-c", line]));
    let done = command.args(["-f", format, image]).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Each image of a chain lists the next as its dependent, whatever the format calls its parent.
#[test]
fn each_image_of_a_chain_lists_the_next() {
    let home = tempfile::tempdir().unwrap();
    let mut seen = 0;
    for image in hivewright_fixtures::images::IMAGES.iter().filter(|image| image.file.starts_with("top")) {
        let folder = home.path().join("all").join(image.name);
        fs::create_dir_all(&folder).unwrap();
        image.unpack(&hivewright_fixtures::folder::home(), &folder).unwrap();
        let run = audit(home.path(), &["--json", &format!("all/{}", image.name)]);
        let all = records(&run.out);
        let top = format!("all/{}/{}", image.name, image.file);
        let mut below: BTreeMap<&str, Value> = dependents(&all).into_iter().collect();
        // From the top on, each names the previous one.
        let mut one = Some((top.as_str(), json!([])));
        let mut count = 0;
        while let Some((name, above)) = one {
            assert_eq!(below.remove(name), Some(above), "{}: {name}", image.name);
            count += 1;
            one = below.iter().find(|(_, above)| **above == json!([name])).map(|(name, above)| (*name, above.clone()));
        }
        assert!(below.is_empty() && count > 1, "{}: {below:?}", image.name);
        seen += 1;
    }
    assert!(seen > 4, "{seen}");
}

/// A new dependent image causes the image to be read again.
#[test]
fn a_new_dependent_invalidates_a_record() {
    let home = tempfile::tempdir().unwrap();
    if !have(&["qemu-img"]) {
        return;
    }
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(at("all")).unwrap();
    qemu_img(&["create", "-q", "-f", "qcow2", &at("all/base.qcow2"), "8M"]);
    let run = |args: &[&str]| audit(home.path(), &[&["--json", "all"], args].concat());
    fs::write(at("r.jsonl"), run(&[]).out).unwrap();
    assert!(run(&["--resume", "r.jsonl"]).err.contains("1 reused"));
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", &at("all/top.qcow2")]);
    let again = run(&["--resume", "r.jsonl"]);
    assert!(!again.err.contains("reused"), "{}", again.err);
    assert_eq!(
        dependents(&records(&again.out)),
        [("all/base.qcow2", json!(["all/top.qcow2"])), ("all/top.qcow2", json!([]))]
    );
    fs::write(at("r.jsonl"), &again.out).unwrap();
    let kept = run(&["--resume", "r.jsonl"]);
    assert!(kept.err.contains("2 reused"), "{}", kept.err);
    assert_eq!(steady(records(&kept.out)), steady(records(&run(&[]).out)));
    // The same with a named target, and with its snapshots in a subfolder.
    fs::create_dir(at("all/Snapshots")).unwrap();
    qemu_img(&["create", "-q", "-f", "qcow2", "-b", "../base.qcow2", "-F", "qcow2", &at("all/Snapshots/s.qcow2")]);
    for target in ["all", "all/base.qcow2"] {
        let found = audit(home.path(), &["--json", "--allow-path", "all", target]);
        let base = &of(&records(&found.out), "all/base.qcow2")[0];
        let above: Vec<&str> = base["dependents"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        assert_eq!(above.len(), 2, "{target}: {above:?}");
        assert!(above.iter().any(|name| name.ends_with("all/Snapshots/s.qcow2")), "{target}: {above:?}");
        assert!(above.iter().any(|name| name.ends_with("all/top.qcow2")), "{target}: {above:?}");
    }
}
