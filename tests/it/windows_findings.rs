//! Every known error of public scripts is a finding, every Windows is detected, and every refusal has a reason and
//! advice.

use hivewright::internals::settings::nat_t::SettingState;
use hivewright::internals::settings::nat_t::{self, Place, SettingReport};
use hivewright::internals::windows::{Decision, Era, Selection};
use hivewright_error::{Code, Kind, Result};
use hivewright_fixtures::describe::{FLAG_LINK, KeySpec};
use hivewright_fixtures::findings::FINDINGS;
use hivewright_fixtures::windows::{RELEASES, service_path};
use hivewright_fixtures::{HiveSpec, Minor, Release, SystemHive};
use hivewright_hive::{Hive, Opened};

fn open(bytes: Vec<u8>) -> Hive<Vec<u8>> {
    match Hive::open(bytes).unwrap() {
        Opened::Clean(hive) => hive,
        Opened::Dirty(_) => panic!("a fixture is dirty"),
    }
}

fn report(spec: &HiveSpec) -> SettingReport {
    nat_t::report(&open(spec.build().bytes), None).unwrap()
}

fn plan(spec: &HiveSpec, selection: Selection, era: Option<Era>) -> Result<Vec<Place>> {
    nat_t::plan(&open(spec.build().bytes), &selection, era, false)
}

fn refusal(spec: &HiveSpec, selection: Selection, era: Option<Era>) -> &'static str {
    let error = plan(spec, selection, era).unwrap_err();
    assert!(matches!(error.kind(), Kind::Refused | Kind::NotFound), "{error}");
    assert!(error.advice().is_some(), "{error}");
    error.code().as_str()
}

fn with(release: Release, path: &str, change: impl FnOnce(KeySpec) -> KeySpec) -> HiveSpec {
    SystemHive::new(release).spec().at(&service_path(1, path), change)
}

#[test]
fn each_error_is_a_finding() {
    // Fixture, codes, and the setting of the next boot.
    let expected: &[(&str, &[&str], SettingState, Option<u32>)] = &[
        ("trailing-space", &["name-space"], SettingState::Unset, Some(0)),
        ("subkey-instead-of-value", &["subkey-not-value"], SettingState::Unset, Some(0)),
        ("ipsec-key-on-win10", &["wrong-key"], SettingState::Unset, Some(0)),
        ("both-keys-on-win10", &["wrong-key"], SettingState::Set, Some(2)),
        ("ipsec-key-on-hardened-win10", &["wrong-key"], SettingState::Unset, Some(0)),
        ("policyagent-key-on-xp", &["wrong-key"], SettingState::Unset, Some(0)),
        ("policyagent-key-on-2003", &["wrong-key"], SettingState::Unset, Some(0)),
        ("text-instead-of-dword", &["wrong-type"], SettingState::Undefined, None),
        ("qword-instead-of-dword", &["wrong-type"], SettingState::Undefined, None),
        ("dword-of-two-bytes", &["wrong-size"], SettingState::Undefined, None),
        ("dword-of-eight-bytes", &["wrong-size"], SettingState::Undefined, None),
        ("dword-of-no-bytes", &["wrong-size"], SettingState::Undefined, None),
        ("three", &["out-of-range"], SettingState::Undefined, None),
        ("twins-in-case", &["same-name-twice"], SettingState::Set, Some(0)),
        ("literal-controlset001", &["not-the-booted-set"], SettingState::Unset, Some(0)),
        ("differing-control-sets", &["sets-differ"], SettingState::Set, Some(2)),
        (
            "stable-currentcontrolset",
            &["current-control-set-key", "current-control-set-value"],
            SettingState::Unset,
            Some(0),
        ),
        ("related-prohibitipsec", &[], SettingState::Set, Some(2)),
        ("related-weak-crypto", &[], SettingState::Set, Some(2)),
        ("related-dh2048", &[], SettingState::Set, Some(2)),
        ("related-weak-crypto-misplaced", &["weak-crypto-misplaced"], SettingState::Set, Some(2)),
    ];
    for fixture in FINDINGS {
        let Some((_, codes, state, effective)) = expected.iter().find(|(name, ..)| *name == fixture.name) else {
            panic!("{} is not expected here", fixture.name);
        };
        let report = nat_t::report(&open((fixture.make)().bytes), None).unwrap();
        let found: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
        assert_eq!(&found, codes, "{}", fixture.name);
        assert_eq!(
            (report.at_next_boot.state, report.at_next_boot.effective),
            (*state, *effective),
            "{}",
            fixture.name
        );
        assert!(report.findings.iter().all(|m| !m.what.is_empty() && !m.advice.is_empty()), "{}", fixture.name);
        let on = report.related.iter().filter(|related| related.on).count();
        let is_related = fixture.name.starts_with("related") && !fixture.name.ends_with("misplaced");
        assert_eq!(on, usize::from(is_related), "{}", fixture.name);
    }
    assert_eq!(FINDINGS.len(), expected.len());
}

#[test]
fn every_windows_is_detected_without_further_findings() {
    let families = [
        "Windows 2000",
        "Windows XP",
        "Windows XP",
        "Windows Server 2003",
        "Windows Vista or later",
        "Windows Vista or later",
        "Windows Server 2008 or later",
        "Windows 8 or later (DriverDatabase 6.3)",
        "Windows 8 or later (DriverDatabase 10.0)",
        "Windows 8 or later (DriverDatabase 10.0)",
        "Windows Server 2012 or later (DriverDatabase 10.0)",
        "Windows Server 2012 or later (DriverDatabase 10.0)",
        "Windows Server 2012 or later (DriverDatabase 10.0)",
    ];
    for (&(name, release, _), family) in RELEASES.iter().zip(families) {
        let spec = SystemHive::new(release).spec();
        let report = report(&spec);
        assert_eq!(report.windows.family, family, "{name}");
        assert_eq!(report.windows.host_name.as_deref(), Some("FIXTURE"));
        assert!(report.findings.is_empty(), "{name}: {:?}", report.findings);
        if release == Release::Win2000 {
            assert_eq!(report.windows.decision, Decision::Windows2000);
            assert_eq!(report.at_next_boot.state, SettingState::Unknown);
            assert_eq!(refusal(&spec, Selection::Standard, None), "windows-2000");
        } else {
            let places = plan(&spec, Selection::Standard, None).unwrap();
            assert_eq!(places.len(), 1, "{name}");
            assert_eq!(places[0].path, service_path(1, release.service()), "{name}");
        }
    }
}

#[test]
fn places_lead_to_the_key_node() {
    let built = SystemHive::new(Release::Win7).build();
    let places = nat_t::plan(&open(built.bytes.clone()), &Selection::All, None, false).unwrap();
    let cells: Vec<u32> = places.iter().map(|place| place.key.0).collect();
    let wanted = [1, 2].map(|set| built.offsets.key(&service_path(set, "PolicyAgent")).nk);
    assert_eq!(cells, wanted);
}

#[test]
fn the_default_differs_before_sp2() {
    let xp = report(&SystemHive::new(Release::XpSp1).spec());
    assert_eq!((xp.at_next_boot.state, xp.at_next_boot.effective), (SettingState::Unset, Some(2)));
    assert!(xp.at_next_boot.meaning.contains("KB818043"));
    let rtm =
        SystemHive::new(Release::XpSp1).spec().at("ControlSet001\\Control\\Windows", |k| k.without_value("CSDVersion"));
    assert_eq!(report(&rtm).at_next_boot.effective, Some(2));
    let xp = report(&SystemHive::new(Release::XpSp3).spec());
    assert_eq!((xp.at_next_boot.state, xp.at_next_boot.effective), (SettingState::Unset, Some(0)));
}

#[test]
fn hardened_hives_are_modern_hives() {
    let spec = SystemHive::new(Release::Win10).hardened().spec();
    assert!(report(&spec).findings.is_empty());
    assert_eq!(plan(&spec, Selection::Standard, None).unwrap()[0].path, service_path(1, "PolicyAgent"));
}

#[test]
fn select_decides_or_refuses() {
    let hive = |current, default| SystemHive::new(Release::Win7).select(current, default, 0, 1).spec();
    let numbers = |spec: &HiveSpec, selection| -> Vec<u32> {
        plan(spec, selection, None).unwrap().iter().map(|place| place.control_set).collect()
    };
    let switched = hive(1, 2);
    assert_eq!(numbers(&switched, Selection::Standard), [2, 1]);
    assert_eq!(numbers(&switched, Selection::Current), [1]);
    assert_eq!(numbers(&switched, Selection::Default), [2]);
    assert_eq!(numbers(&switched, Selection::All), [1, 2]);
    assert_eq!(report(&switched).at_next_boot.control_set, Some(2));
    assert_eq!(report(&switched).at_capture.control_set, Some(1));

    assert_eq!(refusal(&hive(1, 0), Selection::Standard, None), "select-zero");
    assert_eq!(refusal(&hive(1, 7), Selection::Standard, None), "control-set-missing");
    assert_eq!(refusal(&hive(1, 1), Selection::Number(9), None), "control-set-missing");
    let none = SystemHive::new(Release::Win7).without_select().spec();
    assert_eq!(refusal(&none, Selection::Standard, None), "select-missing");
    assert_eq!(numbers(&none, Selection::Number(2)), [2]);
    assert_eq!(report(&none).at_next_boot.state, SettingState::Unknown);
    let text = SystemHive::new(Release::Win7).without_select().spec().key("Select", |k| k.sz("Default", "1"));
    assert_eq!(refusal(&text, Selection::Default, None), "select-type");
    let codes: Vec<_> = report(&text).findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["select-missing", "select-type", "select-missing"]);
}

#[test]
fn evidence_that_does_not_decide_refuses_until_the_user_does() {
    let images = |agent: &'static str, driver: bool| {
        let spec = with(Release::XpSp3, "PolicyAgent", |k| k.without_value("ImagePath").expand_sz("ImagePath", agent));
        if driver { spec } else { spec.at(&service_path(1, "IPSec"), |k| k.without_value("Type").dword("Type", 2)) }
    };
    let lsass = "%SystemRoot%\\system32\\lsass.exe";
    assert_eq!(refusal(&images("%SystemRoot%\\agent.exe", true), Selection::Standard, None), "windows-unknown");
    assert_eq!(refusal(&images(lsass, false), Selection::Standard, None), "windows-unknown");
    let svchost = images("%SystemRoot%\\System32\\SVCHOST.EXE -k x", true);
    assert_eq!(refusal(&svchost, Selection::Standard, None), "windows-contradictory");
    let later = images(lsass, true).at(&service_path(1, "BFE"), |k| k);
    assert_eq!(refusal(&later, Selection::Standard, None), "windows-contradictory");
    assert_eq!(report(&later).windows.decision, Decision::Contradictory);

    let xp = plan(&later, Selection::Standard, Some(Era::Xp)).unwrap();
    assert_eq!(xp[0].path, service_path(1, "IPSec"));
    let vista = plan(&later, Selection::Standard, Some(Era::VistaPlus)).unwrap();
    assert_eq!(vista[0].path, service_path(1, "PolicyAgent"));
    let built = SystemHive::new(Release::Win10).build();
    let report = nat_t::report(&open(built.bytes), Some(Era::Xp)).unwrap();
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["service-key-missing", "override-disagrees"]);
}

#[test]
fn a_leftover_driver_is_no_xp() {
    let spec =
        with(Release::Win7, "IPSec", |k| k.dword("Type", 1).expand_sz("ImagePath", "System32\\DRIVERS\\ipsec.sys"));
    assert_eq!(report(&spec).windows.decision, Decision::PolicyAgent);
}

#[test]
fn contradictory_control_sets_are_not_written_together() {
    let spec = SystemHive::new(Release::XpSp3).spec().at(&service_path(2, "PolicyAgent"), |k| {
        k.without_value("ImagePath").expand_sz("ImagePath", "%SystemRoot%\\agent.exe")
    });
    assert!(plan(&spec, Selection::Standard, None).is_ok());
    assert_eq!(refusal(&spec, Selection::All, None), "windows-unknown");
    assert_eq!(report(&spec).findings[0].code, "windows-disagrees");
}

#[test]
fn service_keys_are_never_created_or_guessed() {
    let spec = SystemHive::new(Release::Win10).spec();
    assert_eq!(refusal(&spec, Selection::Standard, Some(Era::Xp)), "service-key-missing");
    let gone = SystemHive::new(Release::Win10).spec().at("ControlSet001\\Services", |k| k.without_key("PolicyAgent"));
    assert_eq!(refusal(&gone, Selection::Standard, None), "service-key-missing");
    assert_eq!(report(&gone).findings[0].code, "service-key-missing");
    assert_eq!(
        refusal(&with(Release::Win10, "PolicyAgent", |k| k.flags(FLAG_LINK)), Selection::Standard, None),
        "key-special"
    );
    // Before minor version 6, there are no layers, and the bits have no meaning.
    let layered = |minor| with(Release::Win10, "PolicyAgent", |k| k.layered(1)).minor(minor);
    assert_eq!(refusal(&layered(Minor::V6), Selection::Standard, None), "key-special");
    assert!(plan(&layered(Minor::V5), Selection::Standard, None).is_ok());
    const HANDLE: u16 = 0x40;
    let handle = with(Release::Win10, "PolicyAgent", |k| k.flags(HANDLE));
    assert_eq!(refusal(&handle, Selection::Standard, Some(Era::VistaPlus)), "key-special");
}

#[test]
fn damage_is_reported_by_reading_and_refused_by_writing() {
    let mut built = SystemHive::new(Release::Win10).with_right_setting(1, 2).build();
    let rule = built.offsets.value(&service_path(1, "PolicyAgent"), hivewright_fixtures::SETTING).vk;
    let at = built.payload(rule);
    built.bytes[at] = b'X';
    let hive = open(built.bytes);
    let report = nat_t::report(&hive, None).unwrap();
    assert_eq!(report.at_next_boot.state, SettingState::Unknown);
    assert_eq!(report.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), ["unreadable"]);
    let error = nat_t::plan(&hive, &Selection::Standard, None, false).unwrap_err();
    assert_eq!((error.kind(), error.code()), (Kind::Corrupt, Code::Unreadable));
}

#[test]
fn windows_2000_is_refused_on_positive_evidence_only() {
    // A copy of XP in the standard format has the version of Windows 2000.
    let spec = SystemHive::new(Release::Win2000).spec().key("WPA", |k| k);
    let pack = |n| {
        spec.clone().at("ControlSet001\\Control\\Windows", |k| k.without_value("CSDVersion").dword("CSDVersion", n))
    };
    assert_eq!(report(&pack(0x300)).windows.decision, Decision::IpSec);
    assert!(plan(&pack(0x300), Selection::Standard, None).is_ok());
    assert_eq!(report(&pack(0x400)).windows.decision, Decision::Windows2000);

    let named = pack(0x300).at(&service_path(1, "PolicyAgent"), |k| {
        k.without_value("DisplayName").sz("DisplayName", "IPSEC Policy Agent")
    });
    assert_eq!(report(&named).windows.decision, Decision::IpSec, "product activation came with XP");
    let named = named.root(|k| k.without_key("WPA"));
    assert_eq!(report(&named).windows.decision, Decision::Windows2000);
    let open = pack(0x300).root(|k| k.without_key("WPA"));
    assert_eq!(report(&open).windows.family, "Windows 2000, XP or Server 2003");
    assert_eq!(plan(&open, Selection::Standard, None).unwrap_err().code(), "windows-unknown");
    assert!(plan(&open, Selection::Standard, Some(Era::Xp)).is_ok());
}

#[test]
fn one_damaged_control_set_does_not_hide_the_others() {
    let mut built = SystemHive::new(Release::Win7).with_right_setting(1, 2).build();
    let at = built.payload(built.offsets.key("ControlSet002").nk);
    built.bytes[at] = b'X';
    let hive = open(built.bytes);
    let report = nat_t::report(&hive, None).unwrap();
    assert_eq!(report.at_next_boot.number, Some(2));
    assert_eq!(report.control_sets.len(), 1);
    assert!(report.findings.iter().filter(|finding| finding.code == "unreadable").count() <= 2);
    assert_eq!(nat_t::plan(&hive, &Selection::Standard, None, false).unwrap_err().kind(), Kind::Corrupt);
}

#[test]
fn no_flipped_byte_makes_it_panic() {
    let built = SystemHive::new(Release::Win10).with_right_setting(1, 2).build();
    let mut answers = 0;
    for at in (0..built.bytes.len()).filter(|at| at % 3 == 0) {
        for flip in [0xff, 0x80] {
            let mut bytes = built.bytes.clone();
            bytes[at] ^= flip;
            let Ok(opened) = Hive::open(bytes) else { continue };
            let hive = opened.primary_alone();
            answers += usize::from(nat_t::report(hive, None).is_ok());
            if let Ok(places) = nat_t::plan(hive, &Selection::Standard, None, false) {
                assert!(places.iter().all(|place| place.path == service_path(1, "PolicyAgent")));
            }
        }
    }
    assert!(answers > 1000, "{answers}");
}
