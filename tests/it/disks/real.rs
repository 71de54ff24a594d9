//! Every real SYSTEM hive of the corpus inside a disk: the same answers as the bare hive, and the same edits.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{json, run, sha256};
use crate::corpus;
use crate::support::disk::mbr;
use crate::support::ntfs_volume::NtfsVolume;

const LOGS: [&str; 3] = ["SYSTEM.LOG", "SYSTEM.LOG1", "SYSTEM.LOG2"];

/// Removes the place and the costs of the hive from an answer.
fn answer(folder: &Path, target: &str) -> (i32, Value) {
    let get = run(folder, &["get", "--json", target]);
    let mut answer = json(&get);
    let fields = answer.as_object_mut().unwrap();
    ["target", "file", "partition", "hive", "bytes_read", "hibernated", "software", "hives_agree"]
        .iter()
        .for_each(|field| drop(fields.remove(*field)));
    if let Some(error) = fields.get("error") {
        return (get.code, error["code"].clone());
    }
    (get.code, answer)
}

#[test]
fn answers_and_edits_are_those_of_the_bare_hive() {
    let test = "answers_and_edits_are_those_of_the_bare_hive";
    let Some(corpus) = corpus::folder(test).filter(|_| corpus::can_unpack(test)) else { return };
    let (mut seen, mut changed, mut most) = (0, 0, 0);
    for entry in fs::read_dir(corpus.join("system")).unwrap() {
        let from = entry.unwrap().path();
        let Some(hive) = corpus::find(&from, "SYSTEM") else { continue };
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("SYSTEM"), &hive).unwrap();
        let Some(volume) = NtfsVolume::make((hive.len() as u64 >> 19) + 24, &[]) else { return };
        let made = volume.fill(|root| {
            let config = root.join("Windows/System32/config");
            fs::create_dir_all(&config).unwrap();
            fs::write(config.join("SYSTEM"), &hive).unwrap();
            for (name, bytes) in LOGS.iter().filter_map(|name| Some((name, corpus::find(&from, name)?))) {
                fs::write(folder.join(name), &bytes).unwrap();
                fs::write(config.join(name), bytes).unwrap();
            }
        });
        if made.is_none() {
            return;
        }
        let name = from.file_name().unwrap().to_string_lossy().into_owned();
        let path = folder.join("d");
        mbr(&volume.bytes(), &path);
        drop(volume);
        let sum = sha256(&path);
        assert_eq!(answer(folder, "d"), answer(folder, "SYSTEM"), "{name}");
        let read = json(&run(folder, &["get", "--json", "d"]));
        if read["hive_state"] == "clean" {
            let bytes = read["bytes_read"].as_u64().unwrap();
            assert!(bytes < 4 << 20, "{name}: {bytes} bytes read");
            most = most.max(bytes);
        }
        assert_eq!(sha256(&path), sum, "{name}: reading wrote");
        let (bare, inside) =
            (run(folder, &["set", "2", "SYSTEM", "--json"]), run(folder, &["set", "2", "d", "--json"]));
        let (bare_told, told) = (json(&bare), json(&inside));
        seen += 1;
        if told["error"]["code"] == "no-room" || told["error"]["code"] == "file-not-valid" {
            assert_eq!(sha256(&path), sum, "{name}: a refusal wrote");
            println!("{name}: {}", told["error"]["message"]);
            continue;
        }
        assert_eq!(
            (bare.code, &bare_told["error"]["code"]),
            (inside.code, &told["error"]["code"]),
            "{name}: {inside:?}"
        );
        let Some(undo) = told["commit"]["undo"].as_str() else {
            assert_eq!(sha256(&path), sum, "{name}: {told}");
            continue;
        };
        changed += 1;
        assert_eq!(run(folder, &["get", "--value", "d"]).out, "2\n", "{name}");
        assert_eq!(run(folder, &["undo", undo]).code, 0, "{name}");
        assert_eq!(sha256(&path), sum, "{name}");
    }
    println!("{seen} hives in disks, {changed} changed and restored, at most {most} bytes read for a clean one");
    assert!(seen > 10 && changed > 5);
}
