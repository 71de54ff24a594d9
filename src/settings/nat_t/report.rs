//! Everything that a hive says about the setting.

use std::collections::HashMap;

use serde::Serialize;

use super::findings;
use super::related::{self, Neighbour};
use super::value::{self, ServiceReport, Verdict};
use crate::windows::Mistake;
use crate::windows::control_set::{ControlSet, ControlSets, Role, Select};
use crate::windows::look::Damage;
use crate::windows::services::{Service, Services};
use crate::windows::special;
use crate::windows::version::{self, Decision, Detection, Era, SetEvidence};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::{Hive, HiveBytes};

/// The most control sets that are reported beside those of a role. Windows keeps a few; key nodes that share their
/// services would make a report of many times the hive.
const MOST_SETS: usize = 100;

/// Everything that a hive says about the setting. Serialized, the names of the fields are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingReport {
    /// The name of the value: [`value::NAME`].
    pub value_name: &'static str,
    /// What the next boot goes by: control set `Default`.
    pub at_next_boot: Verdict,
    /// What the captured boot went by: control set `Current`.
    pub at_capture: Verdict,
    /// Which Windows, and why.
    pub windows: Detection,
    /// The `Select` key.
    pub select: Select,
    /// All control sets, by number.
    pub control_sets: Vec<ControlSetReport>,
    /// What does not do what its author meant, and what could not be read.
    pub mistakes: Vec<Mistake>,
    /// Settings next door, in the control sets of the two verdicts.
    pub neighbours: Vec<Neighbour>,
}

/// What one control set holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ControlSetReport {
    /// Its number.
    pub number: u32,
    /// Its key's name.
    pub name: String,
    /// What it is for; empty for a set that nothing points to.
    pub roles: Vec<Role>,
    /// What its own services say about the Windows.
    pub decision: Decision,
    /// The two service keys.
    pub services: Vec<ServiceReport>,
}

impl SettingReport {
    /// Makes open what the service key at `path` says, and every verdict that rests on it.
    pub(crate) fn doubt(&mut self, path: &str, cause: Mistake) {
        for set in &mut self.control_sets {
            for service in set.services.iter_mut().filter(|service| service.path == path) {
                service.doubt = Some(cause.clone());
                let verdicts = [&mut self.at_next_boot, &mut self.at_capture].into_iter();
                let resting = verdicts.filter(|it| service.counts == Some(true) && it.control_set == Some(set.number));
                resting.for_each(|verdict| *verdict = Verdict::unknown(Some(set.number), cause.clone()));
            }
        }
        if !self.mistakes.contains(&cause) {
            self.mistakes.push(cause);
        }
    }
}

impl ControlSetReport {
    /// The service key that this Windows reads.
    pub fn counting(&self) -> Option<&ServiceReport> {
        self.services.iter().find(|service| service.counts == Some(true))
    }
}

/// Reads the setting in every control set, with all that matters around it.
///
/// # Errors
/// Those of the medium, and a root key that cannot be read. Any other damage stands in the report.
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
        evidence_damage.extend(damage.since(before).map(|mistake| (set.number, mistake.clone())));
        found.push((set, services, evidence));
    }
    let deciding = found.iter().find(|(set, ..)| Some(set.number) == number).map(|(set, _, evidence)| (*set, evidence));
    let windows = Detection::new(hive, &marks, deciding, override_era, &mut damage)?;

    let (mut control_sets, mut neighbours) = (Vec::new(), Vec::new());
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
            neighbours.extend(related::of(services, &mut damage)?);
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
        mistakes: sets.mistakes(),
        neighbours,
    };
    findings::find(&mut report);
    findings::below_the_link(&sets, &mut report, &mut damage)?;
    if left_out > 0 {
        report.mistakes.push(Mistake::new(
            Code::ControlSetsLeftOut,
            "",
            format!("{left_out} more control sets are listed, of the same numbers or beyond the first {MOST_SETS}"),
            "no Windows has that: see what `hivewright check` finds",
        ));
    }
    report.mistakes.extend(damage.into_mistakes());
    Ok(report)
}

fn verdict<B: HiveBytes>(
    sets: &ControlSets<'_, B>,
    role: Role,
    reports: &[ControlSetReport],
    windows: &Detection,
    damage: &HashMap<u32, Mistake>,
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
            Verdict::unknown(None, Mistake::of_error(error.code(), place, &error, ""))
        }
    }
}
