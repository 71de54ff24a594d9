use std::collections::HashMap;

use super::*;
use crate::audit::record::{Drift, Finding, RelatedValue, Violation};

/// Writes a header line and a row, and reads them back.
fn cells(record: &Record) -> HashMap<String, String> {
    let mut bytes = Vec::new();
    begin(&mut bytes).unwrap();
    super::record(record, &mut bytes).unwrap();
    let mut reader = csv::Reader::from_reader(&bytes[..]);
    reader.deserialize().next().unwrap().unwrap()
}

#[test]
fn every_field_of_a_record_has_its_column() {
    let mut record = Record::new("a".to_owned());
    record.error = Some(Failure::default());
    record.drift = Some(Drift::default());
    record.software_error = Some(Failure::default());
    record.replay = Some(Replay { primary_alone: Some(Verdict::default()), ..Replay::default() });
    record.at_capture = Some(Verdict::default());
    record.at_next_boot = Some(Verdict::default());
    let columns: Vec<String> = row(&Record::default()).0.into_iter().map(|(name, _)| name).collect();
    let mut fields = vec![(String::new(), serde_json::to_value(&record).unwrap())];
    let mut wanted = 0;
    while let Some((name, value)) = fields.pop() {
        if let serde_json::Value::Object(parts) = value {
            let dot = if name.is_empty() { "" } else { "_" };
            fields.extend(parts.into_iter().map(|(part, value)| (format!("{name}{dot}{part}"), value)));
        } else {
            assert!(columns.contains(&name), "no column {name}");
            wanted += 1;
        }
    }
    assert_eq!(columns.len(), wanted, "duplicate column, or column without a field");
}

#[test]
fn lists_become_flat() {
    let mut record = Record::new("a".to_owned());
    let set = |number, value, presence: &str| ControlSet {
        number,
        name: format!("ControlSet00{number}"),
        value,
        presence: Some(presence.to_owned()),
        ..ControlSet::default()
    };
    record.control_sets = vec![set(1, Some(2), "present"), set(2, None, "absent")];
    record.findings =
        ["wrong-service", "text"].map(|code| Finding { code: code.to_owned(), ..Finding::default() }).to_vec();
    record.related = vec![RelatedValue { name: "ProhibitIpSec".to_owned(), value: Some(1), ..RelatedValue::default() }];
    let violation = Violation { setting: "nat-t".into(), at: Some("next-boot".into()), ..Violation::default() };
    record.violations = vec![Violation { expected: "2".into(), found: "1".into(), by: "--expect".into(), ..violation }];
    record.at_next_boot = Some(Verdict { effective: Some(2), ..Verdict::default() });
    record.sequence_numbers = Some([5, 4]);
    record.files = vec!["a;b%".to_owned(), "=c".to_owned()];
    let cells = cells(&record);
    for (column, expected) in [
        ("control_sets", "ControlSet001=2;ControlSet002=absent"),
        ("findings", "wrong-service;text"),
        ("related", "ProhibitIpSec=1"),
        ("violations", "nat-t at next-boot: expected 2, found 1 (--expect)"),
        ("at_next_boot_effective", "2"),
        ("at_next_boot_value", ""),
        ("sequence_numbers", "5;4"),
        ("files", "a%3Bb%25;'=c"),
        ("compliant", ""),
    ] {
        assert_eq!(cells[column], expected, "{column}");
    }
}

#[test]
fn no_cell_is_a_formula_or_has_control_characters() {
    for (name, shown) in [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\u{fffd}=1"),
        ("\r=1", "'\u{fffd}=1"),
        ("  =1", "'  =1"),
        ("a\r\n\"b\",=1", "a\u{fffd}\u{fffd}\"b\",=1"),
        ("\u{202e}gpj.exe\u{1b}[2J\0", "\u{fffd}gpj.exe\u{fffd}[2J\u{fffd}"),
        ("PC-01", "PC-01"),
    ] {
        let mut record = Record::new(name.to_owned());
        record.host_name = Some(name.to_owned());
        record.seconds = Some(0.5);
        let cells = cells(&record);
        assert_eq!((cells["target"].as_str(), cells["host_name"].as_str()), (shown, shown));
        assert_eq!((cells["seconds"].as_str(), cells["form"].as_str()), ("0.5", "2"));
    }
    let mut bytes = Vec::new();
    super::record(&Record::new("a,\n".to_owned()), &mut bytes).unwrap();
    assert!(bytes.ends_with(b"\r\n") && bytes.iter().filter(|&&byte| byte == b'\n').count() == 1);
}
