//! The included policies on real hives: the results agree with other readers.

use std::fs;

use hivewright_fixtures::{HiveSpec, Minor};
use serde_json::{Value, json};

use crate::command::hivewright_in;
use crate::corpus;
use crate::judges::Judge;

/// A hive of the corpus, the version of its Windows, and its control set of the next boot.
const HIVES: [(&str, [u32; 3], &str); 3] = [
    ("system/win10_21h2/SYSTEM", [10, 0, 19044], "ControlSet001"),
    ("system/win7_sp1_x86/SYSTEM", [6, 1, 7601], "ControlSet001"),
    ("system/xp_sp3_regsave/SYSTEM", [5, 1, 2600], "ControlSet001"),
];

const POLICIES: [&str; 5] = ["nat-t", "rdp-nla", "smb1-off", "lsa-protection", "virtio-boot"];

/// A check: its key below the control set, its value, and whether the value in another reader is as expected. `None` if
/// the check does not apply to the version.
type Question = (&'static str, &'static str, &'static str, fn([u32; 3], &Value) -> Option<bool>);

fn number(found: &Value) -> Option<u64> {
    found.as_u64()
}

fn ends(found: &Value, end: &str) -> bool {
    found.as_str().is_some_and(|text| text.trim_end_matches('\0').to_lowercase().ends_with(end))
}

const NAME: &str = "AssumeUDPEncapsulationContextOnSendRule";
const QUESTIONS: [Question; 12] = [
    ("nat-t", r"Services\PolicyAgent", NAME, |v, it| (v[0] >= 6).then(|| number(it) == Some(2))),
    ("nat-t-xp", r"Services\IPSec", NAME, |v, it| (v[0] < 6).then(|| number(it) == Some(2))),
    ("rdp-nla", r"Control\Terminal Server\WinStations\RDP-Tcp", "UserAuthentication", |v, it| {
        (v[0] >= 6).then(|| number(it) == Some(1))
    }),
    ("smb1-server", r"Services\LanmanServer\Parameters", "SMB1", |v, it| {
        (v[0] >= 6 && v < [10, 0, 16299]).then(|| number(it) == Some(0))
    }),
    ("smb1-server-not-on", r"Services\LanmanServer\Parameters", "SMB1", |v, it| {
        (v >= [10, 0, 16299]).then(|| it.is_null() || number(it) == Some(0))
    }),
    ("smb1-client", r"Services\mrxsmb10", "Start", |v, it| (v[0] >= 6).then(|| it.is_null() || number(it) == Some(4))),
    ("lsa-protection", r"Control\Lsa", "RunAsPPL", |v, it| {
        (v >= [10, 0, 22621]).then(|| [Some(1), Some(2)].contains(&number(it)))
    }),
    ("lsa-protection-before-22h2", r"Control\Lsa", "RunAsPPL", |v, it| {
        ([6, 3, 0]..[10, 0, 22621]).contains(&v).then(|| number(it) == Some(1))
    }),
    ("viostor-start", r"Services\viostor", "Start", |v, it| (v[0] >= 6).then(|| number(it) == Some(0))),
    ("viostor-file", r"Services\viostor", "ImagePath", |v, it| (v[0] >= 6).then(|| ends(it, r"\viostor.sys"))),
    ("vioscsi-start", r"Services\vioscsi", "Start", |v, it| (v[0] >= 6).then(|| number(it) == Some(0))),
    ("vioscsi-file", r"Services\vioscsi", "ImagePath", |v, it| (v[0] >= 6).then(|| ends(it, r"\vioscsi.sys"))),
];

/// The key of the group policy in SOFTWARE.
const GROUP_POLICY: &str = r"Policies\Microsoft\Windows NT\Terminal Services";

/// Returns a hive with the version, and for Windows 7 with a group policy against Network Level Authentication.
fn software([major, minor, build]: [u32; 3]) -> Vec<u8> {
    let spec = HiveSpec::new(Minor::V5).file_name("SOFTWARE").at(r"Microsoft\Windows NT\CurrentVersion", |key| {
        let key = key.sz("CurrentVersion", &format!("{major}.{minor}")).sz("CurrentBuildNumber", &build.to_string());
        if major < 10 {
            key
        } else {
            key.dword("CurrentMajorVersionNumber", major).dword("CurrentMinorVersionNumber", minor)
        }
    });
    let spec =
        if (major, minor) == (6, 1) { spec.at(GROUP_POLICY, |key| key.dword("UserAuthentication", 0)) } else { spec };
    spec.build().bytes
}

#[test]
fn each_result_agrees_with_other_readers() {
    let test = "each_result_agrees_with_other_readers";
    let Some(folder) = corpus::folder(test) else { return };
    let judges = Judge::readers(test);
    for (name, version, set) in HIVES {
        let Some(bytes) = corpus::find(&folder, name) else { continue };
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("pc/Windows/System32/config");
        fs::create_dir_all(&config).unwrap();
        fs::write(config.join("SYSTEM"), bytes).unwrap();
        fs::write(config.join("SOFTWARE"), software(version)).unwrap();
        let policies = POLICIES.iter().flat_map(|name| ["--policy", name]);
        let run = hivewright_in(home.path(), ["audit", "--json"].into_iter().chain(policies).chain(["pc"]));
        let record: Value = serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"));
        let found = super::statuses(&record);
        let status = |id: &str| &*found.iter().find(|(found, _)| found == id).unwrap().1;
        for judge in &judges {
            let jobs: Vec<Value> = QUESTIONS
                .iter()
                .map(|(_, key, value, _)| json!(["read", config.join("SYSTEM"), format!(r"{set}\{key}"), value]))
                .collect();
            for ((id, .., holds), answer) in QUESTIONS.iter().zip(judge.ask(&jobs)) {
                // A missing key or value is an error in one reader, and nothing in the other.
                let expected = match holds(version, &answer["ok"]) {
                    None => "not-applicable",
                    Some(true) => "pass",
                    Some(false) => "fail",
                };
                assert_eq!(status(id), expected, "{name}, {id}, {}: {answer}", judge.name());
            }
            let asked = [json!(["read", config.join("SOFTWARE"), GROUP_POLICY, "UserAuthentication"])];
            let answer = &judge.ask(&asked)[0]["ok"];
            let expected = match (version[0] < 6, answer.is_null() || number(answer) == Some(1)) {
                (true, _) => "not-applicable",
                (false, true) => "pass",
                (false, false) => "fail",
            };
            assert_eq!(status("rdp-nla-policy"), expected, "{name}, {}: {answer}", judge.name());
        }
        assert_eq!(found.len(), QUESTIONS.len() + 1, "and the group policy in SOFTWARE");
        let of_group_policy = match version[0] {
            5 => "not-applicable",
            6 => "fail",
            _ => "pass",
        };
        assert_eq!(status("rdp-nla-policy"), of_group_policy);
    }
}

#[test]
fn all_are_listed_printed_and_can_be_used_as_files() {
    let home = tempfile::tempdir().unwrap();
    let list = hivewright_in(home.path(), ["policy"]);
    let names: Vec<&str> = list.out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, POLICIES);
    let fixture = crate::command::fixtures().join("windows/win10/SYSTEM");
    for name in names {
        let text = hivewright_in(home.path(), ["policy", name]).out;
        for line in text.lines().filter(|line| line.starts_with("id = ")) {
            assert!(text.matches(line).count() == 1);
        }
        assert_eq!(
            text.matches("[[check]]").count(),
            text.matches("\nreference = ").count(),
            "{name}: each has a source"
        );
        fs::write(home.path().join("copy.toml"), &text).unwrap();
        let run = |policy: &str| {
            let run = hivewright_in(home.path(), ["audit", "--json", "--policy", policy, fixture.to_str().unwrap()]);
            let record: Value = serde_json::from_str(&run.out).unwrap();
            (run.code, record["checks"].clone())
        };
        assert_eq!(run(name), run("copy.toml"), "{name}");
    }
    assert_eq!(hivewright_in(home.path(), ["policy", "none"]).code, 2);
}
