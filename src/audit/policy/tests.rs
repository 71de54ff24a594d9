use super::*;
use crate::audit::record::{ControlSet, Neighbour};

fn record(value: Option<u32>) -> Record {
    let state = if value.is_some() { "set" } else { "absent" };
    let verdict = Verdict { control_set: Some(1), state: state.to_owned(), value, ..Verdict::default() };
    Record {
        at_next_boot: Some(verdict.clone()),
        at_capture: Some(verdict),
        decision: Some("PolicyAgent".to_owned()),
        product_type: Some("server".to_owned()),
        version: Some("10.0".to_owned()),
        build: Some(20348),
        control_sets: vec![ControlSet { number: 1, name: "ControlSet001".to_owned(), ..ControlSet::default() }],
        ..Record::new("site-a/x.raw".to_owned())
    }
}

fn judged(policy: &Policy, record: &Record) -> (Option<bool>, Vec<String>) {
    let mut record = record.clone();
    policy.judge(&mut record);
    let tell = |v: &Violation| format!("{} {} {} {} {}", v.setting, v.at, v.expected, v.found, v.by);
    (record.compliant, record.violations.iter().map(tell).collect())
}

#[test]
fn one_expectation_of_all() {
    for (wanted, complies) in [
        ("2", [true, false, false]),
        ("0", [false, true, false]),
        ("set", [true, true, false]),
        ("unset", [false, false, true]),
        ("any", [true, true, true]),
    ] {
        let policy = Policy::of_all(wanted.parse().unwrap());
        let found = [Some(2), Some(0), None].map(|value| judged(&policy, &record(value)).0 == Some(true));
        assert_eq!(found, complies, "{wanted}");
    }
    assert_eq!("3x".parse::<Wanted>().unwrap_err().code(), "expectation");
    let mut odd = record(Some(3));
    odd.at_next_boot.as_mut().unwrap().state = "undefined".to_owned();
    let wanted = Policy::of_all(Wanted::Set);
    assert_eq!(judged(&wanted, &odd), (Some(false), vec!["rule next-boot set undefined (3) --expect".to_owned()]));
    odd.status = Status::Error;
    assert_eq!(judged(&wanted, &odd).0, None, "what could not be read is not judged");
}

#[test]
fn the_first_entry_that_fits_decides() {
    let policy = Policy::parse(
        r#"
        [[expect]]
        name = "b"
        path = "site-b/**"
        rule = 0
        [[expect]]
        version = ">=10.0.22000"
        rule = 1
        [[expect]]
        product_type = "server"
        at = "both"
        rule = "unset"
        neighbours = { ProhibitIpSec = "off" }
        [[expect]]
        windows = "vista+"
        rule = 2
        neighbours = { ProhibitIpSec = 1, AllowL2TPWeakCrypto = "set" }
        "#,
        "this policy",
    )
    .unwrap();
    let mut one = record(None);
    assert_eq!(judged(&policy, &one).1, ["AllowL2TPWeakCrypto next-boot set unset expect 4"]);
    let place = "ControlSet001\\Services\\RasMan\\Parameters\\AllowL2TPWeakCrypto".to_owned();
    let name = "AllowL2TPWeakCrypto".to_owned();
    one.neighbours.push(Neighbour { name, place, value: Some(0), ..Neighbour::default() });
    assert_eq!(judged(&policy, &one), (Some(true), vec![]));
    one.at_capture.as_mut().unwrap().state = "unknown".to_owned();
    assert_eq!(judged(&policy, &one).1, ["rule capture unset unknown expect 3"]);
    one.build = Some(26100);
    assert_eq!(judged(&policy, &one).1, ["rule next-boot 1 unset expect 2"]);
    one.target = "site-b/deep/x".to_owned();
    assert_eq!(judged(&policy, &one).1, ["rule next-boot 0 unset expect 1 (b)"]);
    let nobody = Record { decision: None, product_type: None, version: None, ..record(None) };
    assert_eq!(judged(&policy, &nobody), (None, vec![]), "nothing is expected of it");
}

#[test]
fn versions_compare_as_far_as_they_are_given() {
    let record = record(None);
    for (text, holds) in [
        ("10.0", true),
        ("=10", true),
        (">=6.1", true),
        ("<10.0.22000", true),
        (">10.0", false),
        (">10.0.20000", true),
        ("10.0.20348.1", false),
        ("<6.2", false),
    ] {
        assert_eq!(Bound::try_from(text.to_owned()).unwrap().holds(&record), holds, "{text}");
    }
}
