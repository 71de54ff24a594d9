//! The report on the setting in a hive.

use std::collections::HashMap;

use serde::Serialize;

use super::findings;
use super::related::{self, RelatedValue};
use super::value::{self, ServiceReport, Verdict};
use crate::windows::Finding;
use crate::windows::control_set::{ControlSet, ControlSets, Role, Select};
use crate::windows::lookup::Damage;
use crate::windows::services::{Service, Services};
use crate::windows::special;
use crate::windows::version::{self, Decision, Detection, Era, SetEvidence};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::{Hive, HiveBytes};

/// Control sets without a role that are reported at most. Windows keeps a few; key nodes that share their services
/// could make a report many times the size of the hive.
const MOST_SETS: usize = 100;

/// The report on the setting in a hive. The names of the serialized fields are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingReport {
    /// The name of the value: [`value::NAME`].
    pub value_name: &'static str,
    /// The verdict for the next boot: control set `Default`.
    pub at_next_boot: Verdict,
    /// The verdict for the captured boot: control set `Current`.
    pub at_capture: Verdict,
    /// The version of Windows, and the evidence.
    pub windows: Detection,
    /// The `Select` key.
    pub select: Select,
    /// All control sets, by number.
    pub control_sets: Vec<ControlSetReport>,
    /// Findings, and parts that could not be read.
    pub findings: Vec<Finding>,
    /// Related settings in the control sets of both verdicts.
    pub related: Vec<RelatedValue>,
}

/// The setting in one control set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControlSetReport {
    /// Its number.
    pub number: u32,
    /// The name of its key.
    pub name: String,
    /// Its roles; empty for a set that `Select` does not name.
    pub roles: Vec<Role>,
    /// The version of Windows according to its services.
    pub decision: Decision,
    /// The two service keys.
    pub services: Vec<ServiceReport>,
}

impl SettingReport {
    /// Marks the service key at `path`, and every verdict that depends on it, as unknown.
    pub(crate) fn doubt(&mut self, path: &str, cause: Finding) {
        for set in &mut self.control_sets {
            for service in set.services.iter_mut().filter(|service| service.path == path) {
                service.doubt = Some(cause.clone());
                let verdicts = [&mut self.at_next_boot, &mut self.at_capture].into_iter();
                let resting = verdicts.filter(|it| service.counts == Some(true) && it.control_set == Some(set.number));
                resting.for_each(|verdict| *verdict = Verdict::unknown(Some(set.number), cause.clone()));
            }
        }
        if !self.findings.contains(&cause) {
            self.findings.push(cause);
        }
    }
}

impl ControlSetReport {
    /// Returns the service key that this Windows reads.
    pub fn counting(&self) -> Option<&ServiceReport> {
        self.services.iter().find(|service| service.counts == Some(true))
    }
}

/// Reads the setting and its context in every control set.
///
/// # Errors
/// I/O errors, or a root key that cannot be read. Other damage is part of the report.
pub fn report<B: HiveBytes>(hive: &Hive<B>, override_era: Option<Era>) -> Result<SettingReport> {
    let mut damage = Damage::default();
    let sets = ControlSets::find(hive, &mut damage)?;
    let marks = version::of_hive(hive, &mut damage)?;
    let mut found: Vec<(&ControlSet<'_, B>, Services<'_, B>, SetEvidence)> = Vec::new();
    let mut evidence_damage = HashMap::new();
    let number = sets.deciding().map(|set| set.number);
    let mut left_out = 0;
    for set in &sets.sets {
        let twin = found.last().is_some_and(|(last, ..)| last.number == set.number);
        if twin || found.len() >= MOST_SETS && set.roles.is_empty() {
            left_out += 1;
            continue;
        }
        let before = damage.count();
        let mut services = Services::of(set, &mut damage)?;
        let evidence = version::of_set(&marks, set, &services, Some(set.number) == number, &mut damage)?;
        if evidence.decision != Decision::PolicyAgent {
            services.seek_ipsec(&mut damage)?;
        }
        evidence_damage.extend(damage.since(before).map(|finding| (set.number, finding.clone())));
        found.push((set, services, evidence));
    }
    let deciding = found.iter().find(|(set, ..)| Some(set.number) == number).map(|(set, _, evidence)| (*set, evidence));
    let windows = Detection::new(hive, &marks, deciding, override_era, &mut damage)?;

    let (mut control_sets, mut related) = (Vec::new(), Vec::new());
    for (set, services, evidence) in &found {
        let look = |service| {
            let doubt = special::doubt(set, services, service);
            value::look_into(services, service, windows.service, doubt, &mut damage)
        };
        control_sets.push(ControlSetReport {
            number: set.number,
            name: set.name.clone(),
            roles: set.roles.clone(),
            decision: evidence.decision,
            services: Service::ALL.into_iter().map(look).collect::<Result<_>>()?,
        });
        if set.roles.contains(&Role::Default) || set.roles.contains(&Role::Current) {
            related.extend(related::of(services, &mut damage)?);
        }
    }
    for doubt in control_sets.iter().filter_map(ControlSetReport::counting).filter_map(|it| it.doubt.as_ref()) {
        damage.keep(doubt.clone());
    }
    let mut report = SettingReport {
        value_name: value::NAME,
        at_next_boot: verdict(&sets, Role::Default, &control_sets, &windows, &evidence_damage),
        at_capture: verdict(&sets, Role::Current, &control_sets, &windows, &evidence_damage),
        windows,
        select: sets.select,
        control_sets,
        findings: sets.findings(),
        related,
    };
    findings::find(&mut report);
    findings::below_the_link(&sets, &mut report, &mut damage)?;
    if left_out > 0 {
        report.findings.push(Finding::new(
            Code::ControlSetsLeftOut,
            "",
            format!("{left_out} more control sets are not shown: they have the same numbers, or exceed the limit of {MOST_SETS}"),
            "Windows does not create that: run `hivewright check`",
        ));
    }
    report.findings.extend(damage.into_findings());
    Ok(report)
}

fn verdict<B: HiveBytes>(
    sets: &ControlSets<'_, B>,
    role: Role,
    reports: &[ControlSetReport],
    windows: &Detection,
    damage: &HashMap<u32, Finding>,
) -> Verdict {
    let set = sets.require(role);
    let report = set.and_then(|set| {
        let gone = || Error::new(Kind::Corrupt, Code::ControlSetMissing, format!("there is no {}", set.name));
        reports.iter().find(|report| report.number == set.number).ok_or_else(gone)
    });
    match report {
        Ok(report) => Verdict::of(report, damage.get(&report.number), windows),
        Err(error) => {
            let place = format!("Select\\{}", role.value_name());
            Verdict::unknown(None, Finding::of_error(error.code(), place, &error, ""))
        }
    }
}
