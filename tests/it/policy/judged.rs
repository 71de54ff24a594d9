//! Every kind of expectation, key and condition, on an installation with known contents.

use std::fs;

use hivewright_fixtures::security::{ADMINISTRATORS, FULL, SYSTEM, allowing};
use hivewright_fixtures::{HiveSpec, Minor, Release, SystemHive};
use serde_json::Value;

use super::{Here, check, statuses};
use crate::command::hivewright_in;

const SERVICES: &str = r"HKLM\SYSTEM\CurrentControlSet\Services";
const EXAMPLE: &str = r"HKLM\SOFTWARE\Example";
/// 2020-01-02T03:04:05Z.
const MOMENT: u64 = (1_577_934_245 + 11_644_473_600) * 10_000_000;

/// The next boot uses the second control set; there are two users, a service's profile, and a user without a hive.
pub(super) fn installation() -> Here {
    let here = Here(tempfile::tempdir().unwrap());
    let put = |path: &str, spec: HiveSpec| {
        let path = here.path().join("pc").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, spec.build().bytes).unwrap();
    };
    let system = SystemHive::new(Release::Win10).sets(&[1, 2]).select(1, 2, 0, 1).spec();
    let system = system.at(r"ControlSet001\Services\Alpha", |key| key.dword("Start", 2));
    let system = system.at(r"ControlSet002\Services\Alpha", |key| key.dword("Start", 4));
    let system = system.at(r"ControlSet002\Services\Linked", |key| key.link_to(r"\Registry\Machine\SOFTWARE"));
    put("Windows/System32/config/SYSTEM", system);
    let software = HiveSpec::new(Minor::V5).file_name("SOFTWARE").at(r"Microsoft\Windows NT\CurrentVersion", |key| {
        let key = key.sz("SystemRoot", r"C:\Windows").sz("CurrentBuildNumber", "19044").sz("EditionID", "Professional");
        key.dword("CurrentMajorVersionNumber", 10).dword("CurrentMinorVersionNumber", 0).dword("UBR", 1288)
    });
    let profile = |spec: HiveSpec, sid: &str, folder: &str| {
        let path = format!(r"Microsoft\Windows NT\CurrentVersion\ProfileList\{sid}");
        spec.at(&path, |key| key.expand_sz("ProfileImagePath", folder))
    };
    let software = profile(software, "S-1-5-18", r"%systemroot%\system32\config\systemprofile");
    let software = profile(software, "S-1-5-21-1-2-3-1001", r"C:\Users\ann");
    let software = profile(software, "S-1-5-21-1-2-3-1002", r"C:\Users\bob");
    let software = profile(software, "S-1-5-21-1-2-3-1003", r"C:\Users\gone");
    let software = software.at("Example", |key| {
        let key = key.sz("Text", "Abc").expand_sz("Path", r"%SystemRoot%\x.DLL").qword("Long", 1 << 40);
        let key = key.multi_sz("List", &["RpcSs", "Tcpip"]).binary("Bytes", &[0, 255]).sz("", "default");
        key.security(allowing(&[(ADMINISTRATORS, FULL), (SYSTEM, FULL)])).stamp(MOMENT)
    });
    put("Windows/System32/config/SOFTWARE", software.key("Classes", |key| key.key("*", |key| key.sz("", "any"))));
    let user = |on: u32| {
        HiveSpec::new(Minor::V5).file_name("NTUSER.DAT").at(r"Control Panel\Desktop", move |key| key.dword("On", on))
    };
    put("Users/ann/NTUSER.DAT", user(1));
    put("Users/bob/NTUSER.DAT", user(0));
    put("Users/Default/NTUSER.DAT", user(2));
    here
}

#[test]
fn every_expectation_is_judged() {
    let here = installation();
    let value = |name: &'static str, expect: &str| (EXAMPLE, Some(name), format!("expect = {{ {expect} }}"));
    let key = |key: &'static str, expect: &str| (key, None, format!("expect = {{ {expect} }}"));
    let sddl = "O:BAG:SYD:P(A;CI;KA;;;BA)(A;CI;KA;;;SY)";
    let cases = [
        (value("text", "equals = 'Abc'"), "pass"),
        (value("Text", "equals = 'abc'"), "fail"),
        (value("Text", "equals = 'abc', ignore_case = true"), "pass"),
        (value("Path", r"matches = '(?i)\\x\.dll$', type = 'REG_EXPAND_SZ'"), "pass"),
        (value("Path", "type = 'REG_SZ'"), "fail"),
        (value("Long", "at_least = 0x10000000000, at_most = 0x10000000000"), "pass"),
        (value("Long", "in = [1, 'x']"), "fail"),
        (value("List", "contains = ['Tcpip', 'RpcSs']"), "pass"),
        (value("List", "contains = 'Dhcp'"), "fail"),
        (value("Bytes", "equals = { hex = '00 FF' }"), "pass"),
        (value("", "equals = 'default'"), "pass"),
        (value("None", "absent = true"), "pass"),
        (value("None", "present = true"), "fail"),
        (value("None", "equals = 1, or_absent = true"), "pass"),
        (value("None", "equals = 1 }\ndefault = 1\nwhen = { version = '>=10.0.19044.1288'"), "pass"),
        (value("None", "equals = 1 }\nwhen = { version = '<10.0'"), "not-applicable"),
        (value("None", "equals = 1 }\nwhen = { edition = ['professional', 'x'], role = 'lab'"), "fail"),
        (key(EXAMPLE, &format!("security = '{sddl}'")), "pass"),
        (key(EXAMPLE, "security = 'O:SY'"), "fail"),
        (key(EXAMPLE, "written_since = '2020-01-02T03:04:05Z', written_before = '2020-01-03'"), "pass"),
        (key(r"HKLM\SOFTWARE\None\Deeper", "absent = true"), "pass"),
        (key(r"HKCR\{U+002A}", "present = true"), "pass"),
        (key(r"HKLM\SOFTWARE\None\*\Deeper", "present = true"), "not-applicable"),
        (key(r"HKLM\SYSTEM\CurrentControlSet\Services\Linked\Below", "present = true"), "unknown"),
        (key(r"HKLM\SAM\SAM", "present = true"), "unknown"),
        ((r"HKU\S-1-5-21-1-2-3-1002\Control Panel\*", Some("On"), "expect = { equals = 0 }".to_owned()), "pass"),
        ((r"HKU\Default\Control Panel\Desktop", Some("On"), "expect = { equals = 2 }".to_owned()), "pass"),
        ((r"HKU\*\Control Panel\Desktop", Some("On"), "expect = { at_most = 1 }".to_owned()), "pass"),
        ((r"HKCU\Control Panel\Desktop", Some("On"), "expect = { equals = 1 }".to_owned()), "fail"),
    ];
    let mut policy = "name = 'all'\n[roles]\nlab = 'pc/**'\n".to_owned();
    for (number, ((key, name, rest), _)) in cases.iter().enumerate() {
        policy += &check(&number.to_string(), key, *name, rest);
    }
    let (run, records) = here.audit(&policy, "pc");
    assert_eq!((run.code, records.len()), (1, 1), "{run:?}");
    let expected: Vec<(String, String)> =
        cases.iter().enumerate().map(|(number, (_, status))| (number.to_string(), (*status).to_owned())).collect();
    assert_eq!(statuses(&records[0]), expected, "{policy}");
    let codes: Vec<&str> =
        records[0]["violations"].as_array().unwrap().iter().filter_map(|it| it["code"].as_str()).collect();
    assert_eq!(codes, ["key-special", "no-file"]);
}

#[test]
fn a_place_has_all_facts() {
    let here = installation();
    let policy =
        check("users", r"HKU\*\Control Panel\Desktop", Some("On"), "expect = { equals = 1 }\nseverity = 'low'")
            + &check("start", &format!(r"{SERVICES}\Alpha"), Some("Start"), "at = 'both'\nexpect = { in = [0] }");
    let (_, records) = here.audit(&policy, "pc");
    let told = |name: &str| -> Vec<Value> {
        records[0]["violations"].as_array().unwrap().iter().map(|it| it[name].clone()).collect()
    };
    let ours = |names: [&str; 3]| names.map(Value::from).to_vec();
    let key = |set: &str| format!(r"HKLM\SYSTEM\{set}\Services\Alpha");
    let bob = r"HKU\S-1-5-21-1-2-3-1002\Control Panel\Desktop";
    assert_eq!(told("key"), ours([bob, &key("ControlSet002"), &key("ControlSet001")]));
    assert_eq!(told("at"), [Value::Null, "next-boot".into(), "capture".into()]);
    assert_eq!(told("found"), ours(["REG_DWORD 0", "REG_DWORD 4", "REG_DWORD 2"]));
    assert_eq!(told("data_hex"), ours(["00000000", "04000000", "02000000"]));
    assert_eq!(told("expected"), ours(["equals = 1", "in = [0]", "in = [0]"]));
    assert_eq!(told("value_name"), ours(["On", "Start", "Start"]));
    assert_eq!(told("severity"), ours(["low", "medium", "medium"]));
    let keys: Vec<&Value> = records[0]["checks"].as_array().unwrap().iter().map(|it| &it["keys"]).collect();
    assert_eq!(keys, [2, 2], "the user whose hive is gone is skipped");
}

/// `CurrentControlSet` is the set of the next boot, or that of the captured boot.
#[test]
fn control_sets_are_found_through_select() {
    let here = installation();
    let of = |at: &str, number: u32| {
        let rest = format!("{at}\nexpect = {{ equals = {number} }}");
        here.results(&check("x", &format!(r"{SERVICES}\Alpha"), Some("Start"), &rest), "pc").remove(0).1
    };
    assert_eq!([of("", 4), of("at = 'next-boot'", 4), of("at = 'capture'", 2)], ["pass"; 3]);
    assert_eq!([of("at = 'both'", 4), of("", 2), of("at = 'both'", 3)], ["fail"; 3]);
}

/// Hives without a check are not opened; unreadable hives make only their own checks unknown.
#[test]
fn only_checked_hives_are_read() {
    let here = installation();
    let system = check("system", &format!(r"{SERVICES}\Alpha"), Some("Start"), "expect = { equals = 4 }");
    let user = check("users", r"HKU\*\Control Panel\Desktop", Some("On"), "expect = { present = true }");
    let bytes_read = |policy: &str| {
        let (_, records) = here.audit(policy, "pc");
        (records[0]["bytes_read"].as_u64().unwrap(), statuses(&records[0]))
    };
    let none = bytes_read("[[expect]]\nrule = 'any'").0;
    let (one, _) = bytes_read(&system);
    assert!(one - none <= 8192, "{none} {one}");
    // A hundred checks of one service cost as much as one.
    let hundred: String = (0..100)
        .map(|n| check(&n.to_string(), &format!(r"{SERVICES}\Alpha"), Some("Start"), "expect = { present = true }"))
        .collect();
    assert_eq!(bytes_read(&hundred).0, one);
    fs::write(here.path().join("pc/Users/ann/NTUSER.DAT"), b"no hive").unwrap();
    let both = bytes_read(&(system.clone() + &user)).1;
    assert_eq!(both, [("system".to_owned(), "pass".to_owned()), ("users".to_owned(), "unknown".to_owned())]);
    assert!(bytes_read(&system).0 == one);
}

/// A `.reg` file is a policy: every line is a check.
#[test]
fn every_line_of_a_registration_file_is_expected() {
    let here = installation();
    let text = "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Example]\r\n\"Text\"=\"Abc\"\r\n\
                \"Path\"=\"x\"\r\n\"None\"=-\r\n\r\n[-HKEY_LOCAL_MACHINE\\SOFTWARE\\None]\r\n\r\n\
                [HKEY_CURRENT_USER\\Control Panel\\Desktop]\r\n\"On\"=dword:00000001\r\n";
    fs::write(here.path().join("x.reg"), text).unwrap();
    let run = hivewright_in(here.path(), ["audit", "--json", "--expect-reg", "x.reg", "pc"]);
    let record: Value = serde_json::from_str(&run.out).unwrap();
    let expected =
        ["line-3 pass", "line-4 pass", "line-5 fail", "line-6 pass", "line-8 pass", "line-10 pass", "line-11 fail"];
    let found: Vec<String> = statuses(&record).into_iter().map(|(id, status)| format!("{id} {status}")).collect();
    assert_eq!((run.code, found.as_slice()), (1, expected.map(str::to_owned).as_slice()), "{run:?}");
    assert_eq!(record["checks"][0]["policy"], "x.reg");
    fs::write(here.path().join("x.reg"), "nonsense").unwrap();
    assert_eq!(hivewright_in(here.path(), ["audit", "--expect-reg", "x.reg", "pc"]).code, 2);
}

/// Earlier results are reused only for the same policy.
#[test]
fn results_are_reused_only_for_the_same_policy() {
    let here = installation();
    let start = |number: u32| {
        check("x", &format!(r"{SERVICES}\Alpha"), Some("Start"), &format!("expect = {{ equals = {number} }}"))
    };
    let (first, _) = here.audit(&start(4), "pc");
    fs::write(here.path().join("r.jsonl"), &first.out).unwrap();
    let again = |policy: &str| {
        fs::write(here.path().join("p.toml"), policy).unwrap();
        let run = hivewright_in(here.path(), ["audit", "--json", "--policy", "p.toml", "--resume", "r.jsonl", "pc"]);
        (run.code, run.out == first.out)
    };
    assert_eq!(again(&start(4)), (0, true), "the very record");
    assert_eq!(again(&start(5)), (1, false));
    let plain = hivewright_in(here.path(), ["audit", "--json", "--resume", "r.jsonl", "pc"]);
    let record: Value = serde_json::from_str(&plain.out).unwrap();
    assert_eq!(
        (&record["checks"], &record["compliant"], &record["checks_stamp"]),
        (&Value::Array(vec![]), &Value::Null, &Value::Null)
    );
}
