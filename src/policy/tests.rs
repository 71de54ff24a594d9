use super::*;
use crate::audit::record::{ControlSet, RelatedValue, Status, Verdict, Violation};

fn record(value: Option<u32>) -> Record {
    let state = if value.is_some() { "set" } else { "unset" };
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
    let text = |v: &Violation| {
        format!("{} {} {} {} {}", v.setting, v.at.as_deref().unwrap_or_default(), v.expected, v.found, v.by)
    };
    (record.compliant, record.violations.iter().map(text).collect())
}

#[test]
fn one_expectation_applies_to_all() {
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
    assert_eq!(judged(&wanted, &odd), (Some(false), vec!["nat-t next-boot set undefined (3) --expect".to_owned()]));
    odd.status = Status::Error;
    assert_eq!(judged(&wanted, &odd).0, None, "what could not be read is not judged");
}

#[test]
fn the_first_matching_entry_decides() {
    let mut policy = Policy::default();
    let text = r#"
        [[expect]]
        name = "b"
        path = "site-b/**"
        value = 0
        [[expect]]
        version = ">=10.0.22000"
        value = 1
        [[expect]]
        product_type = "server"
        at = "both"
        value = "unset"
        related = { ProhibitIpSec = "off" }
        [[expect]]
        windows = "vista+"
        value = 2
        related = { ProhibitIpSec = 1, AllowL2TPWeakCrypto = "set" }
        "#;
    policy.add_text(text, "this policy", None).unwrap();
    let mut one = record(None);
    assert_eq!(judged(&policy, &one).1, ["AllowL2TPWeakCrypto next-boot set unset expect 4"]);
    let place = "ControlSet001\\Services\\RasMan\\Parameters\\AllowL2TPWeakCrypto".to_owned();
    let name = "AllowL2TPWeakCrypto".to_owned();
    one.related.push(RelatedValue { name, place, value: Some(0), ..RelatedValue::default() });
    assert_eq!(judged(&policy, &one), (Some(true), vec![]));
    one.at_capture.as_mut().unwrap().state = "unknown".to_owned();
    assert_eq!(judged(&policy, &one).1, ["nat-t capture unset unknown expect 3"]);
    one.build = Some(26100);
    assert_eq!(judged(&policy, &one).1, ["nat-t next-boot 1 unset expect 2"]);
    one.target = "site-b/deep/x".to_owned();
    assert_eq!(judged(&policy, &one).1, ["nat-t next-boot 0 unset expect 1 (b)"]);
    let nobody = Record { decision: None, product_type: None, version: None, ..record(None) };
    assert_eq!(judged(&policy, &nobody), (None, vec![]), "nothing is expected of it");
}

#[test]
fn the_names_of_version_0_1_0_are_read() {
    let of = |text: &str| {
        let mut policy = Policy::default();
        policy.add_text(text, "this policy", None).unwrap();
        judged(&policy, &record(None))
    };
    for name in ["value", "rule"] {
        assert_eq!(
            of(&format!("[[expect]]\n{name} = 2\n")),
            (Some(false), vec!["nat-t next-boot 2 unset expect 1".to_owned()])
        );
    }
    for name in ["related", "neighbours"] {
        let judged = of(&format!("[[expect]]\n{name} = {{ ProhibitIpSec = 1 }}\n"));
        assert_eq!(judged, (Some(false), vec!["ProhibitIpSec next-boot 1 unset expect 1".to_owned()]));
    }
}
