//! Findings: common errors of scripts and guides, each with its place and a remedy.

use super::report::{ControlSetReport, SettingReport};
use super::value::{self, NAME, Presence, ServiceReport, SettingValue};
use crate::windows::Finding;
use crate::windows::control_set::{ControlSets, LINK, Role};
use crate::windows::lookup::Damage;
use crate::windows::services::{Service, Services};
use crate::windows::version::Decision;
use hivewright_error::{Code, Result};
use hivewright_hive::HiveBytes;

const SET_IT: &str = "`hivewright set` writes it as a REG_DWORD under the right service key";

/// Adds the findings on the values in the report.
pub(super) fn find(report: &mut SettingReport) {
    let mut found = Vec::new();
    for set in &report.control_sets {
        for service in &set.services {
            in_service(service, &mut found);
        }
        if set.decision != report.windows.decision {
            found.push(Finding::new(
                Code::WindowsDisagrees,
                &set.name,
                format!("its services belong to {}, unlike those of the deciding control set", set.decision.as_str()),
                "a write to this control set needs --windows xp or --windows vista+",
            ));
        }
    }
    override_disagrees(report, &mut found);
    sets_differ(report, &mut found);
    report.findings.append(&mut found);
}

fn in_service(service: &ServiceReport, found: &mut Vec<Finding>) {
    let place = format!("{}\\{NAME}", service.path);
    if let Some(value) = &service.value {
        match (value.tombstone, &value.data_hex) {
            (true, _) => found.push(tombstone(&place)),
            // The damage is already reported.
            (false, None) => {}
            (false, Some(_)) => in_value(value, &place, found),
        }
        if service.counts == Some(false) {
            found.push(wrong_key(service, &place, value));
        }
    }
    for other in &service.lookalikes {
        let (place, data) = (format!("{}\\{}", service.path, other.name), other.describe());
        found.push(if other.name.eq_ignore_ascii_case(NAME) {
            Finding::new(
                Code::SameNameTwice,
                place,
                format!("a second value with the same name has {data}; Windows reads the first one"),
                "remove all of them, then set the value again",
            )
        } else {
            Finding::new(
                Code::NameSpace,
                place,
                format!("its name begins or ends with a space, so Windows ignores it ({data})"),
                SET_IT,
            )
        });
    }
    if service.subkey_of_that_name {
        found.push(Finding::new(
            Code::SubkeyNotValue,
            &place,
            "a subkey has this name, but Windows reads a value",
            SET_IT,
        ));
    }
    if service.misplaced_weak_crypto {
        found.push(Finding::new(
            Code::WeakCryptoMisplaced,
            format!("{}\\{}", service.path, super::related::WEAK_CRYPTO),
            "this value belongs below Services\\RasMan\\Parameters; Windows does not read it here",
            "remove it",
        ));
    }
    if service.counts == Some(true) && service.key == Presence::Absent {
        found.push(service.missing());
    }
}

fn in_value(value: &SettingValue, place: &str, found: &mut Vec<Finding>) {
    const DWORD: u32 = hivewright_hive::regf::key_value::ValueType::DWORD.0;
    let (code, what) = match value.number {
        Some(0..=2) => return,
        Some(number) => (Code::OutOfRange, format!("{number}: only 0, 1 and 2 are defined")),
        None if value.data_type_number != DWORD => {
            (Code::WrongType, format!("{}: Windows expects a REG_DWORD", value.describe()))
        }
        None => (Code::WrongSize, format!("a REG_DWORD of {} bytes instead of 4", value.size)),
    };
    found.push(Finding::new(code, place, what, SET_IT));
}

fn tombstone(place: &str) -> Finding {
    Finding::new(
        Code::TombstoneValue,
        place,
        "the value is a tombstone of a layered hive: Windows treats it as absent",
        "Windows does not create such a value: find the program that did",
    )
}

fn wrong_key(service: &ServiceReport, place: &str, value: &SettingValue) -> Finding {
    let data = value.describe();
    let (what, advice) = match service.service {
        Service::IpSec => (
            format!(
                "{data} is below the key that only XP and Server 2003 read; this Windows reads Services\\PolicyAgent"
            ),
            "a guide may have named the wrong key, or an upgrade from XP left it (KB947234): set it below the right key",
        ),
        Service::PolicyAgent => (
            format!("{data} is below the key that only Vista and later read; this Windows reads Services\\IPSec"),
            SET_IT,
        ),
    };
    Finding::new(Code::WrongKey, place, what, advice)
}

fn override_disagrees(report: &SettingReport, found: &mut Vec<Finding>) {
    let known = matches!(report.windows.decision, Decision::PolicyAgent | Decision::IpSec | Decision::Windows2000);
    if known && report.windows.effective() != report.windows.decision {
        found.push(Finding::new(
            Code::OverrideDisagrees,
            "",
            format!("the evidence is {}, which contradicts --windows", report.windows.decision.as_str()),
            "omit --windows, unless the services in this hive are misleading",
        ));
    }
}

/// Adds findings for values of the deciding key that differ between control sets.
fn sets_differ(report: &SettingReport, found: &mut Vec<Finding>) {
    let state = |set: &ControlSetReport| -> Option<Option<(u32, Option<String>)>> {
        let service = set.counting()?;
        let value = service.value.as_ref().map(|value| (value.data_type_number, value.data_hex.clone()));
        (service.state != Presence::Unreadable).then_some(value)
    };
    let next = report.at_next_boot.control_set;
    let Some(reference) = report.control_sets.iter().find(|set| Some(set.number) == next) else { return };
    let Some(wanted) = state(reference) else { return };
    for set in &report.control_sets {
        let Some(here) = state(set).filter(|here| *here != wanted) else { continue };
        let Some(service) = set.counting() else { continue };
        let place = format!("{}\\{NAME}", service.path);
        let has = |service: &ServiceReport| service.value.as_ref().map_or("not set".to_owned(), SettingValue::describe);
        let booted = set.roles.contains(&Role::Current);
        if here.is_some() && wanted.is_none() && !booted {
            found.push(Finding::new(
                Code::NotTheBootedSet,
                place,
                format!("{} here, not set in {}, which the next boot uses", has(service), reference.name),
                "a script may have named this control set, or the value is older: set it in the control set of the next boot",
            ));
            continue;
        }
        let other = reference.counting().map_or_else(String::new, has);
        found.push(Finding::new(
            Code::SetsDiffer,
            place,
            format!("{} here, {other} in {}, which the next boot uses", has(service), reference.name),
            "a switch to this control set changes the answer; --control-set all makes them the same",
        ));
    }
}

/// Returns the setting below a key that Windows never reads.
pub(super) fn below_the_link<B: HiveBytes>(
    sets: &ControlSets<'_, B>,
    report: &mut SettingReport,
    damage: &mut Damage,
) -> Result<()> {
    let Some(link) = &sets.stable_link else { return Ok(()) };
    let services = Services::below(link, LINK, damage)?;
    for service in Service::ALL {
        let Some(key) = services.key(service).found() else { continue };
        let place = format!("{}\\{NAME}", services.path_of(service.as_str()));
        if let Some(data) = value::stands_below(key, &place, damage)? {
            report.findings.push(Finding::new(
                Code::CurrentControlSetValue,
                place,
                format!("{data} is below a key that Windows never reads"),
                "another program wrote it: set it in the control set of the next boot",
            ));
        }
    }
    Ok(())
}
