//! Refusals: exit code 3, with the reason and advice, and no change.

use std::fs::File;

use hivewright_fixtures::windows::service_path;
use hivewright_fixtures::{Release, SystemHive};

use crate::copies::Copied;

#[test]
fn an_ambiguous_windows() {
    let spec = SystemHive::new(Release::XpSp3).spec();
    let spec = spec.at(&service_path(1, "PolicyAgent"), |key| {
        key.without_value("ImagePath").expand_sz("ImagePath", "%SystemRoot%\\agent.exe")
    });
    let copy = Copied::with(spec.build().bytes);
    let run = copy.run(["set", "2", "SYSTEM"]).failed(3, "does not show its version of Windows");
    assert!(run.err.contains("--windows"), "{}", run.err);
    copy.run(["unset", "SYSTEM", "--json"]).failed_as_json(3, "windows-unknown");
    copy.assert_untouched("windows-unknown");
    copy.run(["set", "2", "SYSTEM", "--windows", "xp"]).done();
}

#[test]
fn windows_2000_is_distinguished() {
    let copy = Copied::of("windows/win2000-sp4");
    copy.run(["set", "2", "SYSTEM"]).failed(3, "Windows 2000");
    let run = copy.run(["get", "SYSTEM"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out.starts_with("unknown at next boot"), "{}", run.out);
    copy.assert_untouched("windows 2000");
}

#[test]
fn a_hive_in_use() {
    let copy = Copied::of("windows/win10");
    let held = File::options().read(true).write(true).open(&copy.hive).unwrap();
    // On Windows, opening a file for writing is a claim, and a lock excludes readers too.
    #[cfg(unix)]
    held.try_lock().unwrap();
    copy.run(["set", "2", "SYSTEM"]).failed(3, "in use");
    copy.run(["set", "2", "SYSTEM", "--json"]).failed_as_json(3, "in-use");
    copy.run(["set", "2", "SYSTEM", "--in-place"]).failed(3, "in use");
    copy.assert_untouched("in use");
    // Reading needs no lock.
    assert_eq!(copy.run(["get", "SYSTEM"]).code, 1);
    // The lock is released explicitly, since a forked child of another test may have the file open.
    #[cfg(unix)]
    held.unlock().unwrap();
    drop(held);
    copy.run(["set", "2", "SYSTEM"]).done();
}

#[test]
fn a_dirty_hive_without_usable_logs() {
    for (name, says) in [
        ("dirty/new-no-logs", "the hive is dirty"),
        ("check/dirty-sequence", "the hive is dirty"),
        ("check/base-checksum", "the checksum of the base block is wrong"),
    ] {
        let copy = Copied::of(name);
        for extra in [None, Some("--force"), Some("--dry-run")] {
            copy.run(["set", "2", "SYSTEM"].into_iter().chain(extra)).failed(3, says);
        }
        copy.run(["unset", "SYSTEM"]).failed(3, says);
        copy.run(["unset", "SYSTEM", "--json"]).failed_as_json(3, "dirty");
        copy.assert_untouched(name);
    }
}

#[test]
fn damage_stops_an_edit_until_force_and_damage_that_is_touched_stops_force_too() {
    // Damage of other keys.
    for code in ["subkey-hash", "value-signature", "key-parent", "cell-shared", "list-signature"] {
        let copy = Copied::of(&format!("check/{code}"));
        let run = copy.run(["set", "2", "SYSTEM"]).failed(3, &format!("{code}: "));
        assert!(run.err.contains("--force"), "{}", run.err);
        copy.run(["set", "2", "SYSTEM", "--json"]).failed_as_json(3, "damaged");
        copy.assert_untouched(code);
        let before = copy.run(["check", "--json", "SYSTEM"]).json();
        copy.run(["set", "2", "SYSTEM", "--force"]).done();
        assert_eq!(copy.run(["get", "--value", "SYSTEM"]).done().out, "2\n", "{code}");
        let after = copy.run(["check", "--json", "SYSTEM"]).json();
        assert_eq!(before["counts"], after["counts"], "{code}");
    }
    // Damage of the edited key: its count of subkeys is too high by one.
    let mut bytes = crate::copies::fixture("windows/win10");
    let json = Copied::with(bytes.clone()).run(["get", "--json", "SYSTEM"]).json();
    let key = json["control_sets"][0]["services"][0]["key_cell"].as_u64().unwrap() as usize;
    // Cell offset, base block, size of the cell, maximum size of subkeys' class names.
    let stands = 4096 + key + 4;
    assert_eq!(&bytes[stands..stands + 2], b"nk");
    // The reference to the key's security descriptor (44) is invalid.
    bytes[stands + 44..stands + 48].copy_from_slice(&0xFFFF_FFF0_u32.to_le_bytes());
    let copy = Copied::with(bytes);
    let check = copy.run(["check", "--json", "SYSTEM"]).json();
    assert_eq!(check["counts"]["key-security"], 1, "{check}");
    copy.run(["set", "2", "SYSTEM"]).failed(3, "the check finds damage");
    copy.run(["set", "2", "SYSTEM", "--force"]).failed(3, "the edit would touch damage");
    copy.assert_untouched("touched damage");
}

#[test]
fn warnings_and_notes_of_the_check_do_not_stop_an_edit() {
    for code in ["max-value-name", "ragged-end", "duplicate-value", "unreferenced-cell", "adjacent-free-cells"] {
        let copy = Copied::of(&format!("check/{code}"));
        copy.run(["set", "2", "SYSTEM"]).done();
        assert_eq!(copy.run(["get", "--value", "SYSTEM"]).done().out, "2\n", "{code}");
    }
}

#[test]
fn a_refusal_of_a_dry_run_is_the_same() {
    for (name, text) in [
        ("shapes/no-select", "the hive has no key Select"),
        ("shapes/select-zero", "is 0, which is not a control set"),
        ("shapes/select-nowhere", "there is no ControlSet002"),
        ("shapes/no-policyagent", "there is no key ControlSet001\\Services\\PolicyAgent"),
        ("check/subkey-hash", "subkey-hash: "),
    ] {
        let copy = Copied::of(name);
        let wet = copy.run(["set", "2", "SYSTEM"]).failed(3, text);
        let dry = copy.run(["set", "2", "SYSTEM", "--dry-run"]).failed(3, text);
        assert_eq!(wet.err, dry.err, "{name}");
        assert!(wet.err.contains("\n  advice: "), "{name}: no advice: {}", wet.err);
        copy.assert_untouched(name);
    }
}
