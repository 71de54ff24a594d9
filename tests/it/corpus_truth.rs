//! Agreement with six other readers on every control set of the corpus's SYSTEM hives.

use hivewright::internals::settings::nat_t::{self, SettingReport};
use hivewright::internals::settings::nat_t::{Presence, ServiceReport};
use hivewright::internals::windows::control_set::Pointer;
use hivewright_hive::Hive;
use serde_json::Value;

use crate::corpus;

/// Hives that are refused completely, with the code: one whose root is unreachable by the format, and one that is
/// truncated. Readers with an answer for them omit those checks.
const REFUSED: [(&str, &str); 2] = [
    ("synthetic/damaged/root_offset_bad", "cell-reference"),
    ("synthetic/damaged/truncated_ragged", "length-past-end"),
];

#[test]
fn every_control_set_of_every_system_hive() {
    let Some(folder) = corpus::folder("corpus_truth") else { return };
    let truth: Value = serde_json::from_slice(&std::fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let mut agreed = 0;
    let mut differences = Vec::new();
    for (name, entry) in truth["files"].as_object().unwrap() {
        let Some(sets) = entry["control_sets"].as_object() else { continue };
        let Some(bytes) = corpus::read(&folder, entry["stored"].as_str().unwrap()) else { return };
        let opened = Hive::open(bytes);
        let report = opened.and_then(|opened| nat_t::report(opened.primary_alone(), None));
        if let Some((_, code)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            assert_eq!(report.unwrap_err().code(), *code, "{name}");
            continue;
        }
        let report = match report {
            Ok(report) => report,
            Err(error) => {
                differences.push(format!("{name}: {error}"));
                continue;
            }
        };
        let names: Vec<&str> = report.control_sets.iter().map(|set| set.name.as_str()).collect();
        if names != sets.keys().map(String::as_str).collect::<Vec<_>>() {
            differences.push(format!("{name}: control sets {names:?}"));
        }
        select(name, &entry["select"], &report, &mut differences);
        for set in &report.control_sets {
            for service in &set.services {
                let truth = &sets[&set.name][serde_json::to_value(service.service).unwrap().as_str().unwrap()];
                if as_truth(service) == *truth {
                    agreed += 1;
                } else {
                    differences.push(format!("{name}: {}: {} is not {truth}", service.path, as_truth(service)));
                }
            }
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(agreed > 100, "only {agreed} service keys compared");
    println!("{agreed} service keys agree");
}

/// Returns a service key in the form of the ground truth.
fn as_truth(service: &ServiceReport) -> Value {
    if service.key != Presence::Present {
        return serde_json::json!({"key": false});
    }
    let value = service.value.as_ref().map(|value| match value.number {
        Some(number) => serde_json::json!(number),
        None => serde_json::json!({"type": value.data_type_number, "hex": value.data_hex}),
    });
    serde_json::json!({"key": true, "value": value})
}

fn select(name: &str, truth: &Value, report: &SettingReport, differences: &mut Vec<String>) {
    let select = report.select;
    if select.present == truth.is_null() {
        differences.push(format!("{name}: Select {}", select.present));
        return;
    }
    for (role, pointer) in [
        ("Current", select.current),
        ("Default", select.default),
        ("LastKnownGood", select.last_known_good),
        ("Failed", select.failed),
    ] {
        let number = truth[role].as_u64().map(|n| Pointer::Number(u32::try_from(n).unwrap()));
        if number.unwrap_or(Pointer::Missing) != pointer {
            differences.push(format!("{name}: {role} is {pointer:?}, not {}", truth[role]));
        }
    }
}
