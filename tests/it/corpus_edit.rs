//! Edits of real hives, judged by other programs: one value changes, and undo restores every byte.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::command::hivewright_in;
use crate::corpus;
use crate::judges::{Judge, has, hivexget};

const TEST: &str = "corpus_edit";
const SETTING: &str = "AssumeUDPEncapsulationContextOnSendRule";

/// SYSTEM hives of the corpus that `set` refuses, with exit code and code. All others must be edited.
const REFUSED: [(&str, i32, &str); 25] = [
    // Windows NT 4.0 and files made from it: the setting does not exist there.
    ("system/nt40_server/SYSTEM", 3, "windows-unknown"),
    ("synthetic/damaged/cycle_to_ancestor", 3, "windows-unknown"),
    ("synthetic/damaged/hbin_sig_broken", 3, "windows-unknown"),
    ("synthetic/damaged/nk_name_beyond_cell", 3, "windows-unknown"),
    ("synthetic/damaged/subkey_count_huge", 3, "windows-unknown"),
    ("synthetic/damaged/trailing_garbage", 3, "windows-unknown"),
    ("synthetic/damaged/v16_flag", 3, "windows-unknown"),
    ("synthetic/damaged/vlist_out_of_file", 3, "windows-unknown"),
    ("synthetic/damaged/root_offset_bad", 2, "cell-reference"),
    ("synthetic/damaged/truncated_ragged", 2, "length-past-end"),
    // Made by other tools for their tests: a handful of keys.
    ("system/synthetic_libguestfs/SYSTEM", 3, "windows-unknown"),
    ("system/synthetic_libguestfs_old/SYSTEM", 3, "select-missing"),
    ("system/vgi_clean/SYSTEM", 3, "select-missing"),
    ("synthetic/values/no_select", 3, "select-missing"),
    // Both service keys, and with them the evidence of the Windows, were deleted.
    ("synthetic/values/no_policyagent", 3, "windows-unknown"),
    ("system/xp_sp3_corrupted/SYSTEM", 2, "unreadable"),
    // Dirty, without their logs.
    ("system/vgi_dirty/SYSTEM", 3, "dirty"),
    ("system/win10_1709_dirty/SYSTEM", 3, "dirty"),
    ("system/win81_dirty_nologs/SYSTEM", 3, "dirty"),
    ("synthetic/damaged/bad_checksum", 3, "dirty"),
    ("synthetic/dirt_grow/SYSTEM", 3, "dirty"),
    ("synthetic/dirt_inplace/SYSTEM", 3, "dirty"),
    ("synthetic/dirt_torn/SYSTEM", 3, "dirty"),
    ("synthetic/hvle_bad_third/SYSTEM", 3, "dirty"),
    ("synthetic/hvle_two_logs/SYSTEM", 3, "dirty"),
];

/// A hive of the corpus in all its states.
struct Edited {
    name: String,
    folder: TempDir,
    /// Keys whose value is set.
    keys: Vec<String>,
    /// Those of them in which it was 2 before.
    already: Vec<String>,
    /// Whether a value or subkey with the setting's name was in one of the keys before.
    had: bool,
    size: usize,
}

impl Edited {
    fn at(&self, state: &str) -> PathBuf {
        self.folder.path().join(state)
    }
}

#[test]
fn one_value_changes_and_undo_restores_every_byte() {
    let Some(folder) = corpus::folder(TEST) else { return };
    if !corpus::can_unpack(TEST) {
        return;
    }
    let truth: Value = serde_json::from_slice(&fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let (mut edited, mut refused) = (Vec::new(), 0);
    for (name, entry) in truth["files"].as_object().unwrap() {
        if entry["control_sets"].is_null() {
            continue;
        }
        let bytes = corpus::read(&folder, entry["stored"].as_str().unwrap()).unwrap();
        match REFUSED.iter().find(|(refused, ..)| refused == name) {
            Some(&(_, exit, code)) => {
                refuse(name, &bytes, exit, code);
                refused += 1;
            }
            None => edited.push(edit(name, &bytes)),
        }
    }
    assert_eq!(refused, REFUSED.len(), "a hive that should be refused is missing");
    assert!(edited.len() >= 14, "only {} hives were edited", edited.len());
    let judges = judge(&folder, &edited);
    println!("{} hives edited, {refused} refused as expected; {}", edited.len(), judges.join(", "));
}

fn refuse(name: &str, bytes: &[u8], exit: i32, code: &str) {
    let folder = tempfile::tempdir().unwrap();
    let hive = folder.path().join("SYSTEM");
    fs::write(&hive, bytes).unwrap();
    let run = hivewright_in(folder.path(), ["set", "2", "SYSTEM", "--json"]);
    assert_eq!(run.code, exit, "{name}: {}{}", run.out, run.err);
    assert_eq!(run.json()["error"]["code"], code, "{name}: {}", run.err);
    assert!(fs::read(&hive).unwrap() == bytes, "{name}: refused, and changed");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{name}: something was left behind");
}

/// Sets, unsets and undoes; `old`, `set` and `unset` remain for the judges.
fn edit(name: &str, bytes: &[u8]) -> Edited {
    let folder = tempfile::tempdir().unwrap();
    let at = |state: &str| folder.path().join(state);
    let run = |args: &[&str]| hivewright_in(folder.path(), args);
    fs::write(at("old"), bytes).unwrap();
    fs::write(at("SYSTEM"), bytes).unwrap();
    let json = run(&["set", "2", "SYSTEM", "--undo", "U", "--json"]);
    assert_eq!(json.code, 0, "{name}: {}", json.err);
    let json = json.json();
    let mut edited =
        Edited { name: name.to_owned(), keys: vec![], already: vec![], had: false, size: bytes.len(), folder };
    for place in json["changes"].as_array().unwrap() {
        let key = place["key"].as_str().unwrap().to_owned();
        edited.had |= !place["before"].as_array().unwrap().is_empty();
        if place["changes"] == false {
            edited.already.push(key.clone());
        }
        edited.keys.push(key);
    }
    let at = |state: &str| edited.at(state);
    let run = |args: &[&str]| hivewright_in(edited.folder.path(), args);
    assert_eq!(run(&["get", "--value", "SYSTEM"]).done().out, "2\n", "{name}");
    fs::copy(at("SYSTEM"), at("set")).unwrap();
    // Unset.
    fs::copy(at("SYSTEM"), at("unset")).unwrap();
    assert_eq!(run(&["unset", "unset"]).code, 0, "{name}");
    // Undo.
    if edited.keys == edited.already {
        assert!(fs::read(at("SYSTEM")).unwrap() == bytes, "{name}: written without need");
    } else {
        assert_eq!(run(&["undo", "U"]).code, 0, "{name}");
        let back = Sha256::digest(fs::read(at("SYSTEM")).unwrap());
        assert_eq!(back, Sha256::digest(bytes), "{name}: undo did not bring back the very bytes");
    }
    fs::remove_file(at("SYSTEM")).unwrap();
    edited
}

/// Prints the participation of each judge.
fn judge(corpus: &Path, edited: &[Edited]) -> Vec<String> {
    let mut told = Vec::new();
    if let Some(oracle) = Judge::oracle(corpus, TEST) {
        let jobs: Vec<Vec<Value>> = edited.iter().map(oracle_jobs).collect();
        // Large and small hives for each process.
        let halves = [0, 1].map(|half| jobs.iter().skip(half).step_by(2).flatten().cloned().collect::<Vec<_>>());
        let [mut first, mut second] = oracle.ask_both([&halves[0], &halves[1]]).map(Vec::into_iter);
        for (i, hive) in edited.iter().enumerate() {
            let side = if i % 2 == 0 { &mut first } else { &mut second };
            let answers: Vec<Value> = side.by_ref().take(jobs[i].len()).collect();
            compare_with_oracle(hive, &answers);
        }
        told.push(format!("oracle {}", edited.len()));
    }
    for reader in Judge::readers(TEST) {
        let read = |(hive, key): (&Edited, &String)| json!(["read", hive.at("set"), key, SETTING]);
        let places: Vec<(&Edited, &String)> = edited.iter().flat_map(|h| h.keys.iter().map(move |k| (h, k))).collect();
        let answers = reader.ask(&places.iter().copied().map(read).collect::<Vec<_>>());
        for ((hive, key), answer) in places.iter().zip(&answers) {
            assert_eq!(answer["ok"], 2, "{}: {key}: {} reads {answer}", hive.name, reader.name());
        }
        told.push(format!("{} {} keys", reader.name(), places.len()));
    }
    if has("hivexget", TEST) {
        let mut read = 0;
        for hive in edited {
            for key in &hive.keys {
                assert_eq!(hivexget(&hive.at("set"), key, SETTING), "2", "{}: {key}", hive.name);
                read += 1;
            }
        }
        told.push(format!("hivexget {read} keys"));
    }
    told
}

/// Size in bytes from which the oracle takes seconds for each hive; then it judges `set`, and `unset` only for smaller
/// hives.
const LARGE: usize = 4 << 20;

fn oracle_jobs(hive: &Edited) -> Vec<Value> {
    let (old, set, unset) = (hive.at("old"), hive.at("set"), hive.at("unset"));
    let mut jobs = vec![json!(["diff", old, set]), json!(["new_faults", old, set])];
    if hive.size < LARGE {
        jobs.extend([json!(["new_faults", old, unset]), json!(["diff", old, unset])]);
    }
    jobs
}

fn compare_with_oracle(hive: &Edited, answers: &[Value]) {
    let name = &hive.name;
    for answer in answers.iter().skip(1).take(2) {
        assert_eq!(answer["ok"], json!({}), "{name}: the oracle finds what it did not find before: {answer}");
    }
    let rows = |answer: &Value| answer["ok"].as_array().unwrap_or_else(|| panic!("{name}: {answer}")).clone();
    let place = |row: &Value| {
        assert_eq!(row["value"], SETTING.to_uppercase(), "{name}: {row}");
        row["key"].as_str().unwrap().trim_start_matches('\\').to_owned()
    };
    let upper = |keys: &mut dyn Iterator<Item = &String>| -> Vec<String> {
        let mut keys: Vec<String> = keys.map(|key| key.to_uppercase()).collect();
        keys.sort();
        keys
    };
    // Exactly the one value of each key that is set.
    let set = rows(&answers[0]);
    for row in &set {
        assert_eq!((&row["new"]["type"], &row["new"]["data"]), (&4.into(), &"02000000".into()), "{name}: {row}");
    }
    let changed = upper(&mut hive.keys.iter().filter(|key| !hive.already.contains(key)));
    assert_eq!(set.iter().map(place).collect::<Vec<_>>(), changed, "{name}");
    // After unset, there is no difference if the original had no such value, else the value is gone.
    let Some(unset) = answers.get(3).map(rows) else { return };
    assert!(unset.iter().all(|row| row["new"].is_null()), "{name}: {unset:?}");
    assert_eq!(unset.is_empty(), !hive.had, "{name}: {unset:?}");
    let keys = upper(&mut hive.keys.iter());
    assert!(unset.iter().map(place).all(|key| keys.contains(&key)), "{name}: {unset:?}");
}
