//! `recover` of a read-only image writes the recovered hive to a file.

use std::fs;

use crate::command::{Run, hivewright_in};
use crate::containers::fixtures::Unpacked;
use crate::disks::faults::volume_of;
use crate::support::dirty_place::named;
use crate::support::tools::{have, output};

#[test]
fn a_dirty_hive_is_recovered_from_a_read_only_image() {
    if !have(&["qemu-img"]) {
        return;
    }
    for name in ["new-two-logs", "new-growth", "old-one-log"] {
        let (place, folder) = (named(name), tempfile::tempdir().unwrap());
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("raw"), volume_of(&place)).unwrap();
        let convert = ["convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized"];
        output("qemu-img", &[&convert[..], &[&at("raw"), &at("d.vmdk")]].concat());
        let before = fs::read(at("d.vmdk")).unwrap();
        let run = |args: &[&str]| -> Run { hivewright_in(folder.path(), [args, &["--json"]].concat()) };
        let done = run(&["recover", "d.vmdk", "--output", "out"]);
        let document = done.json();
        assert_eq!((done.code, &document["commit"]["how"]), (0, &"output-hive".into()), "{name}: {done:?}");
        assert_eq!(place.run(&["recover", "SYSTEM", "--output", "out"]).code, 0, "{name}");
        assert!(fs::read(at("out")).unwrap() == place.read("out"), "{name}: not as the hive by itself is recovered");
        assert_eq!(run(&["get", "out"]).json()["hive_state"], "clean");
        // Never overwrites, and no other command writes.
        assert_eq!(run(&["recover", "d.vmdk", "--output", "out"]).json()["error"]["code"], "output-exists");
        for args in [
            &["recover", "d.vmdk"][..],
            &["recover", "d.vmdk", "--dry-run"],
            &["set", "1", "d.vmdk", "--output", "other"],
            &["set", "1", "d.vmdk"],
        ] {
            run(args).failed_as_json(3, "vmdk-stream");
        }
        assert!(fs::read(at("d.vmdk")).unwrap() == before && fs::metadata(at("other")).is_err());
    }
}

#[test]
fn a_clean_hive_is_copied_unchanged() {
    for (name, code) in [("ewf", "ewf-evidence"), ("ewf-segments", "ewf-evidence"), ("ova", "ova-read-only")] {
        let image = Unpacked::named(name);
        let before = image.hashes();
        let document = image.json(&["recover", "IMAGE", "--output", "out"]);
        assert_eq!(
            (&document["commit"]["how"], &document["changed_bytes"]),
            (&"output-hive".into(), &0.into()),
            "{name}"
        );
        let rule = |document: serde_json::Value| document["at_next_boot"].clone();
        let out = hivewright_in(image.folder.path(), ["get", "--json", "out"]).json();
        assert_eq!(rule(out), rule(image.json(&["get", "IMAGE"])), "{name}");
        image.run(&["recover", "IMAGE", "--json"]).failed_as_json(3, code);
        let mut after = image.hashes();
        after.remove("out");
        assert_eq!(after, before, "{name}");
    }
}
