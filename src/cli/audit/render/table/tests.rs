use crate::audit::record::{Failure, Finding, Verdict};

use super::*;

fn record(i: usize) -> Record {
    let mut record = Record::new(format!("/srv/images/a-rather-long-folder/of-many/disk-{i}.raw"));
    record.product = Some("Windows 10 Enterprise LTSC 2021".to_owned());
    record.host_name = Some(["DESKTOP-1234567", "\u{4e2d}\u{6587}", "a\x1b[2J\u{202e}b"][i % 3].to_owned());
    record.at_next_boot = Some(Verdict { state: "unset".to_owned(), ..Verdict::default() });
    match i % 5 {
        0 => record.compliant = Some(true),
        1 => record.compliant = Some(false),
        2 => record.findings = vec![Finding { code: Code::WrongKey.to_string(), ..Finding::default() }; 2],
        3 => {
            record.status = Status::Error;
            record.error = Some(Failure { code: Code::NtfsBootSector.to_string(), ..Failure::default() });
        }
        _ => record.status = Status::NoWindows,
    }
    record
}

fn table(style: Style, columns: usize, most: usize, count: usize) -> String {
    let mut table = Table { most, ..Table::new(style, columns) };
    let mut out = Vec::new();
    (0..count).for_each(|i| table.record(&record(i), &mut out).unwrap());
    let summary = Summary { records: count as u64, errors: 2, not_compliant: 1, ..Summary::default() };
    table.end(&summary, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn fits_the_terminal_and_begins_with_the_worst() {
    for columns in [70, 80, 100, 200] {
        let text = table(Style::Plain, columns, KEPT, 15);
        assert!(text.lines().all(|line| width(line) <= columns), "{columns}:\n{text}");
        assert!(!text.contains(['\x1b', '\u{202e}']), "{text}");
        let states: Vec<&str> = text.lines().skip(1).take(15).map(|line| line.split("  ").next().unwrap()).collect();
        let expected = ["differs", "error", "review", "fine", "no Windows"].map(|state| [state; 3]).concat();
        assert_eq!(states, expected, "{text}");
        assert_eq!(text.lines().last().unwrap(), "15 records, 1 NOT as expected, 2 could not be read");
        assert!(text.contains("disk-3.raw"), "the end of a path distinguishes it from others:\n{text}");
    }
    assert!(table(Style::Plain, 200, KEPT, 15).contains("wrong-key (2)"));
}

#[test]
fn many_rows_are_printed_as_they_are_read() {
    let text = table(Style::Plain, 120, 10, 25);
    assert!(text.starts_with("More than 10 records: not sorted"), "{text}");
    let numbers: Vec<usize> =
        text.lines().filter_map(|line| line.split("disk-").nth(1)?.split('.').next()?.parse().ok()).collect();
    assert_eq!(numbers, (0..25).collect::<Vec<_>>(), "{text}");
    assert_eq!(text.matches("State").count(), 1);
}

#[test]
fn colour_changes_only_states() {
    let text = table(Style::Colour, 80, KEPT, 15);
    let bare = ["\x1b[1;31m", "\x1b[1;32m", "\x1b[1;33m", "\x1b[1m", "\x1b[0m"];
    assert!(bare.iter().all(|code| text.contains(code)));
    let bare = bare.iter().fold(text, |text, code| text.replace(code, ""));
    assert_eq!(bare, table(Style::Plain, 80, KEPT, 15));
}
