//! The contents of records.

use std::fs;

use hivewright_fixtures::{HiveSpec, Minor, Release, SystemHive};
use serde_json::{Value, json};

use super::{audit, of, records};
use crate::command::fixtures;
use crate::support::disk::windows_volume;

fn software(build: &str) -> Vec<u8> {
    let version = |k: hivewright_fixtures::KeySpec| {
        k.sz("ProductName", "Windows 10 Pro")
            .sz("CurrentBuildNumber", build)
            .sz("EditionID", "Professional")
            .sz("DisplayVersion", "23H2")
            .sz("InstallationType", "Client")
            .dword("CurrentMajorVersionNumber", 10)
            .dword("CurrentMinorVersionNumber", 0)
            .dword("UBR", 3007)
    };
    HiveSpec::new(Minor::V5).file_name("SOFTWARE").at("Microsoft\\Windows NT\\CurrentVersion", version).build().bytes
}

fn system(value: u32) -> Vec<u8> {
    SystemHive::new(Release::Win10).with_right_setting(1, value).build().bytes
}

fn knows_the_product(record: &Value) {
    let fields = ["product", "version", "build", "revision", "release", "edition", "installation_type", "hives_agree"];
    let found: Vec<&Value> = fields.iter().map(|field| &record[field]).collect();
    let expected = json!(["Windows 11 Pro", "10.0", 22631, 3007, "23H2", "Professional", "Client", true]);
    assert_eq!(json!(found), expected);
}

#[test]
fn a_windows_folder_is_one_target_with_all_that_is_in_it() {
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("mnt/WINDOWS/system32/Config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("System"), system(2)).unwrap();
    fs::write(config.join("SOFTWARE"), software("22631")).unwrap();
    fs::write(home.path().join("mnt/hiberfil.sys"), [b"HIBR".to_vec(), vec![0; 5000]].concat()).unwrap();
    let run = audit(home.path(), &["--json", "--sha256", "--expect", "2", "mnt"]);
    let all = records(&run.out);
    assert_eq!((run.code, all.len()), (0, 1), "{}", run.err);
    let record = &of(&all, "mnt/WINDOWS")[0];
    knows_the_product(record);
    assert_eq!(record["container"], "folder");
    assert_eq!((&record["hibernated"], &record["obstacles"][0]["code"]), (&json!(true), &json!("volume-hibernated")));
    assert_eq!((&record["host_name"], &record["architecture"]), (&json!("FIXTURE"), &json!("AMD64")));
    let set = &record["control_sets"][0];
    assert_eq!(set["roles"], json!(["current", "default", "last_known_good"]));
    assert_eq!(
        (&set["data_type"], &set["data_hex"], &set["value"]),
        (&json!("REG_DWORD"), &json!("02000000"), &json!(2))
    );
    assert!(set["key_last_written"].as_str().unwrap().ends_with('Z'));
    assert_eq!(record["hive_sha256"], crate::disks::sha256(&config.join("System")).as_str());
    assert_eq!(record["compliant"], true);
    // Named by its hive, it is the same file.
    let named = audit(home.path(), &["--json", "mnt/WINDOWS/system32/Config/System", "mnt"]);
    assert_eq!(records(&named.out).len(), 1);
    knows_the_product(records(&named.out).values().next().unwrap());
    let other = audit(home.path(), &["--json", "mnt/WINDOWS/system32/Config/SOFTWARE"]);
    assert_eq!(records(&other.out).values().next().unwrap()["error"]["code"], "not-system");
}

#[test]
fn every_installation_on_a_disk_is_a_record() {
    let home = tempfile::tempdir().unwrap();
    let volume = windows_volume(16, &system(1), |root| {
        fs::write(root.join("Windows/System32/config/SOFTWARE"), software("22631")).unwrap();
        fs::create_dir_all(root.join("WinOld/System32/config")).unwrap();
        let xp = SystemHive::new(Release::XpSp3).with_right_setting(1, 2).build().bytes;
        fs::write(root.join("WinOld/System32/config/SYSTEM"), xp).unwrap();
    });
    let Some(volume) = volume else { return };
    fs::copy(volume.path(), home.path().join("d")).unwrap();
    let run = audit(home.path(), &["--json", "--sha256", "--expect", "2", "d"]);
    let all = records(&run.out);
    let found = of(&all, "d");
    assert_eq!((run.code, found.len()), (1, 2), "{}", run.err);
    let by = |root: &str| found.iter().find(|record| record["windows_root"] == root).unwrap();
    let (now, old) = (by("\\Windows"), by("\\WinOld"));
    knows_the_product(now);
    assert_eq!((&now["compliant"], &old["compliant"]), (&json!(false), &json!(true)));
    let violation =
        ["setting", "at", "expected", "found", "by", "key"].map(|field| now["violations"][0][field].clone());
    assert_eq!(violation, [json!("nat-t"), json!("next-boot"), json!("2"), json!("1"), json!("--expect"), Value::Null]);
    assert_eq!((&now["file_system"], &now["volume_label"]), (&json!("NTFS"), &json!("Test")));
    assert_eq!(
        (&now["partition_scheme"], &now["partition"], &now["container"]),
        (&json!("none"), &json!(0), &json!("raw"))
    );
    assert_eq!((&now["installations"], &now["parts"], &now["confirmed"]), (&json!(2), &json!(2), &json!(true)));
    assert_eq!((&old["decision"], &old["product"]), (&json!("IPSec"), &Value::Null));
    assert_ne!(now["hive_sha256"], old["hive_sha256"]);
    assert!(now["bytes_read"].as_u64().unwrap() < 4 << 20);
}

#[test]
fn records_of_dirty_hives_show_the_change_by_their_logs() {
    let run = audit(&fixtures(), &["--json", "dirty"]);
    let all = records(&run.out);
    let one = &of(&all, "dirty/new-two-logs/SYSTEM")[0];
    assert_eq!((&one["hive_state"], &one["replay"]["applied"]), (&json!("recovered"), &json!(true)), "{one}");
    assert!(one["replay"]["pages"].as_u64().unwrap() > 0);
    let alone = &of(&all, "dirty/new-no-logs/SYSTEM")[0];
    assert_eq!((&alone["hive_state"], &alone["replay"]["applied"]), (&json!("primary-alone"), &json!(false)));
    assert_eq!(alone["obstacles"].as_array().unwrap().len(), 1, "{alone}");
    assert!(all.keys().all(|(name, _)| !name.contains("LOG")), "a log is no target");
    // Each as in `get`.
    for ((name, _), record) in &all {
        let get = crate::command::hivewright(["get", "--json", name]);
        let get: Value = serde_json::from_str(&get.out).unwrap();
        if record["status"] == "read" {
            assert_eq!(record["hive_state"], get["hive_state"], "{name}");
            assert_eq!(record["at_next_boot"]["value"], get["at_next_boot"]["value"], "{name}");
            assert_eq!(record["at_capture"]["state"], get["at_capture"]["state"], "{name}");
            assert_eq!(record["findings"], get["findings"], "{name}");
        } else {
            assert_eq!(record["error"]["code"], get["error"]["code"], "{name}");
        }
    }
}

#[test]
fn findings_and_related_values_are_those_of_get() {
    let all = records(&audit(&fixtures(), &["--json", "findings", "windows", "shapes", "check"]).out);
    let mut findings = 0;
    for ((name, _), record) in &all {
        let get = crate::command::hivewright(["get", "--json", name]);
        let get: Value = serde_json::from_str(&get.out).unwrap();
        if record["status"] == "read" {
            assert_eq!(record["findings"], get["findings"], "{name}");
            assert_eq!(record["at_next_boot"]["state"], get["at_next_boot"]["state"], "{name}");
            findings += record["findings"].as_array().unwrap().len();
        } else {
            assert_eq!(record["error"]["code"], get["error"]["code"], "{name}");
        }
    }
    assert!(findings > 20);
    let home = tempfile::tempdir().unwrap();
    let policy = home.path().join("policy.toml");
    fs::write(&policy, "[[expect]]\nrelated = { ProhibitIpSec = \"off\" }\n[[expect]]\nrule = \"any\"\n").unwrap();
    let run = audit(&fixtures(), &["--json", "--policy", policy.to_str().unwrap(), "findings"]);
    let wrong: Vec<_> = records(&run.out).into_iter().filter(|(_, record)| record["compliant"] == false).collect();
    assert_eq!((run.code, wrong.len(), wrong[0].0.0.as_str()), (1, 1, "findings/related-prohibitipsec/SYSTEM"));
    fs::write(&policy, "[[expect]]\nvalues = 2").unwrap();
    assert_eq!(audit(&fixtures(), &["--policy", policy.to_str().unwrap(), "findings"]).code, 2);
}

// Names on Windows have no control characters.
#[cfg(unix)]
#[test]
fn the_table_has_one_line_per_record_and_no_control_characters() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("a\x1b[2Jb"), system(2)).unwrap();
    let run = audit(home.path(), &["."]);
    assert_eq!((run.code, run.out.lines().count()), (0, 1), "{}", run.out);
    assert!(run.out.contains("set to 2") && !run.out.contains('\x1b'), "{}", run.out);
    assert_eq!(audit(home.path(), &["--expect", "3", "."]).code, 2);
    assert_eq!(audit(home.path(), &["--expect", "set", "."]).code, 0);
}
