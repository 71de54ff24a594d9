//! Security descriptors of real hives: conversion to text and back keeps every bit, others read the same, and a new key
//! inherits the same descriptor as in Windows.

use std::collections::BTreeSet;
use std::path::Path;

use hivewright_fixtures::{HiveSpec, Minor};
use hivewright_hive::security_descriptor::{AceBody, AceType, SecurityDescriptor};
use hivewright_hive::{Hive, HiveBytes, Key, Opened};

use crate::corpus;
use crate::support::tools;

fn each_key<B: HiveBytes>(hive: &Hive<B>, mut see: impl FnMut(&Key<'_, B>)) {
    let mut rest: Vec<_> = hive.root().into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(key) = rest.pop() {
        if seen.insert(key.at()) {
            see(&key);
            rest.extend(key.subkeys().into_iter().flatten().flatten());
        }
    }
}

/// The hives of the corpus, by name.
fn hives(folder: &Path) -> impl Iterator<Item = (String, Opened<Vec<u8>>)> {
    let truth: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let names: Vec<String> = truth["files"].as_object().unwrap().keys().cloned().collect();
    let folder = folder.to_owned();
    names.into_iter().filter_map(move |name| {
        let opened = Hive::open(corpus::find(&folder, &name)?).ok()?;
        Some((name, opened))
    })
}

#[test]
fn real_descriptors_survive_bytes_and_text() {
    let Some(folder) = corpus::folder("security_descriptors") else { return };
    if !corpus::can_unpack("security_descriptors") {
        return;
    }
    let mut seen = BTreeSet::new();
    let mut whole = 0;
    for (name, hive) in hives(&folder) {
        each_key(hive.primary_alone(), |key| {
            let Ok(bytes) = key.security_descriptor() else { return };
            if !seen.insert(bytes.to_vec()) {
                return;
            }
            let read = SecurityDescriptor::from_bytes(&bytes).unwrap();
            let written = read.to_bytes().unwrap();
            assert_eq!(SecurityDescriptor::from_bytes(&written).unwrap(), read, "{name} {}", key.name());
            let sddl = read.to_sddl().unwrap();
            let back = SecurityDescriptor::from_sddl(&sddl.text).unwrap();
            assert_eq!(back.to_sddl().unwrap().text, sddl.text);
            if sddl.omitted.is_empty() {
                assert_eq!(back, read, "{name} {}", key.name());
                whole += 1;
            }
        });
    }
    assert!(seen.len() > 1000 && whole > 500, "{} {whole}", seen.len());
}

/// Keys that programs created in a running Windows, and whose parents have not changed since: by LocalService below a
/// list marked as inherited, by setup below one that is not, and in boot configuration data without inheritable
/// entries.
const MADE: [(&str, &str); 4] = [
    (
        "system/win10_21h2/SYSTEM",
        r"ControlSet001\Services\SharedAccess\Parameters\FirewallPolicy\RestrictedServices\Configurable",
    ),
    (
        "system/win81_dirty_nologs/SYSTEM",
        r"ControlSet001\Services\SharedAccess\Parameters\FirewallPolicy\RestrictedServices\Configurable",
    ),
    ("system/win10_21h2/SYSTEM", r"Setup\Timers"),
    ("edge/bcd/BCD-Template_win10", "Description"),
];

#[test]
fn a_new_key_inherits_the_same_descriptor_as_in_windows() {
    let Some(folder) = corpus::folder("security_descriptors") else { return };
    for (name, path) in MADE {
        let Some(bytes) = corpus::find(&folder, name) else { return };
        let opened = Hive::open(bytes).unwrap();
        let key = opened.primary_alone().key(path).unwrap().unwrap();
        let made = SecurityDescriptor::from_bytes(&key.security_descriptor().unwrap()).unwrap();
        let parent = key.parent().unwrap().unwrap().security_descriptor().unwrap();
        let mut parent = SecurityDescriptor::from_bytes(&parent).unwrap();
        // These two are from the program's token.
        (parent.owner, parent.group) = (made.owner.clone(), made.group.clone());
        assert_eq!(parent.for_new_key(), made, "{name} {path}");
    }
}

/// Formats a list like reglookup.
fn shown(descriptor: &SecurityDescriptor) -> String {
    const RIGHTS: [(u32, &str); 19] = [
        (0x1, "QRY_VAL"),
        (0x2, "SET_VAL"),
        (0x4, "CREATE_KEY"),
        (0x8, "ENUM_KEYS"),
        (0x10, "NOTIFY"),
        (0x20, "CREATE_LNK"),
        (0x100, "WOW64_64"),
        (0x200, "WOW64_32"),
        (0x1_0000, "DELETE"),
        (0x2_0000, "R_CONT"),
        (0x4_0000, "W_DAC"),
        (0x8_0000, "W_OWNER"),
        (0x10_0000, "SYNC"),
        (0x100_0000, "SYS_SEC"),
        (0x200_0000, "MAX_ALLWD"),
        (0x1000_0000, "GEN_A"),
        (0x2000_0000, "GEN_X"),
        (0x4000_0000, "GEN_W"),
        (0x8000_0000, "GEN_R"),
    ];
    const FLAGS: [(u8, &str); 5] = [(1, "OI"), (2, "CI"), (4, "NP"), (8, "IO"), (16, "IA")];
    let entry = |ace: &hivewright_hive::security_descriptor::Ace| {
        let AceBody::Rights { mask, sid, .. } = &ace.body else { panic!() };
        let kind = if ace.ace_type == AceType::ALLOWED { "ALLOW" } else { "DENY" };
        let rights: Vec<_> = RIGHTS.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name).collect();
        let flags: Vec<_> = FLAGS.iter().filter(|(bit, _)| ace.flags & bit != 0).map(|(_, name)| *name).collect();
        format!("{sid}:{kind}:{}:{}", rights.join(" "), flags.join(" "))
    };
    let entries: Vec<String> = descriptor.dacl.iter().flat_map(|acl| &acl.aces).map(entry).collect();
    let [owner, group] = [&descriptor.owner, &descriptor.group].map(|sid| sid.as_ref().unwrap().to_string());
    format!("{owner},{group},{}", entries.join("|"))
}

/// Returns owner, group and rights of every key according to `reglookup -s`.
fn reglookup(path: &Path) -> Vec<String> {
    let out = String::from_utf8(tools::output("reglookup", &["-s", path.to_str().unwrap()])).unwrap();
    let mut lines: Vec<String> = out
        .lines()
        .map(|line| line.split(',').collect::<Vec<_>>())
        .filter(|fields| fields.get(1) == Some(&"KEY"))
        .map(|fields| format!("{},{},{}", fields[4], fields[5], fields[7]))
        .collect();
    lines.sort();
    lines
}

#[test]
fn reglookup_reads_the_same() {
    if !tools::have(&["reglookup"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hive");
    let spec = HiveSpec::new(Minor::V5).key("Select", |key| key).key("Setup", |key| key.key("Below", |key| key));
    let mut hives = vec![spec.build().bytes];
    if let Some(folder) = corpus::folder("security_descriptors") {
        hives.extend(["system/win10_21h2/SYSTEM", "edge/ez/SAM"].iter().filter_map(|name| corpus::find(&folder, name)));
    }
    for bytes in hives {
        std::fs::write(&path, &bytes).unwrap();
        let opened = Hive::open(bytes).unwrap();
        let mut ours = Vec::new();
        each_key(opened.primary_alone(), |key| {
            ours.push(shown(&SecurityDescriptor::from_bytes(&key.security_descriptor().unwrap()).unwrap()));
        });
        ours.sort();
        assert_eq!(ours, reglookup(&path));
    }
}
