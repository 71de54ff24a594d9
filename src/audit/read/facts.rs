//! From what a hive says to what a record says.

use hivewright_error::Code;
use serde::Serialize;

use super::Wishes;
use crate::audit::record::{Blocker, ControlSet, Failure, Mistake, Neighbour, Record, Replay, Status, Verdict};
use crate::locate::Obstacle;
use crate::read::Reading;
use crate::settings::nat_t::{self, Answer, Basis, ControlSetReport, SettingReport};
use crate::windows::{Era, Product};
use hivewright_hive::recover::Recovery;

/// How a value without fields is serialized: its stable name.
pub(super) fn word(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What the hive SOFTWARE beside it says.
pub(super) fn product_of(record: &mut Record, reading: &Reading) {
    match reading.hive().product() {
        Ok(found) => product(record, found.as_ref()),
        Err(error) => record.software_error = Some(Failure::from(&error)),
    }
}

fn product(record: &mut Record, product: Option<&Product>) {
    let Some(product) = product.cloned() else { return };
    let era = product.era().map(Era::decision);
    // Until SYSTEM has spoken: see `rule`.
    record.decision = era.map(word);
    record.product = product.name;
    record.version = product.version.map(|(major, minor)| format!("{major}.{minor}"));
    record.build = product.build;
    record.revision = product.revision;
    record.release = product.release;
    record.edition = product.edition;
    record.service_pack = product.service_pack;
    record.installation_type = product.installation_type;
}

/// What stands around the hive, and against writes to it.
pub(super) fn surroundings(record: &mut Record, reading: &Reading) {
    record.hibernated = reading.hive().is_hibernated();
    record.shadow_copies = reading.hive().shadow_copies();
    record.write_blockers.extend(reading.hive().all_obstacles().into_iter().map(blocker));
}

fn blocker(Obstacle { code, what, .. }: Obstacle) -> Blocker {
    Blocker { code: code.to_string(), what }
}

/// What SYSTEM says, all of it, or why it cannot be read.
pub(super) fn rule(record: &mut Record, reading: &Reading, wishes: &Wishes) {
    record.installation = record.installation.max(1);
    let by_software = record.decision.take();
    let answer = nat_t::answer(reading, None).and_then(|answer| {
        record.hive_sha256 = if wishes.sha256 { Some(reading.sha256()?) } else { None };
        Ok(answer)
    });
    match answer {
        Ok(answer) => told(record, &answer, by_software),
        Err(error) => (record.status, record.error) = (Status::Error, Some(Failure::from(&error))),
    }
    for what in reading.unfinished() {
        record.write_blockers.push(Blocker { code: Code::Unfinished.to_string(), what });
    }
}

fn told(record: &mut Record, answer: &Answer, by_software: Option<String>) {
    let report = &answer.report;
    let windows = &report.windows;
    record.family = Some(windows.family.clone());
    record.decision = Some(word(windows.decision));
    record.product_type = windows.product_type.map(word);
    record.architecture.clone_from(&windows.architecture);
    record.host_name.clone_from(&windows.computer_name);
    record.hives_agree = by_software.filter(|_| windows.service.is_some()).map(|by| Some(by) == record.decision);
    record.sequence_numbers = answer.sequences;
    record.confirmed = Some(answer.unconfirmed.is_none());
    state(record, &answer.state, report);
    record.control_sets = report.control_sets.iter().map(control_set).collect();
    record.at_capture = Some(verdict(&report.at_capture));
    record.at_next_boot = Some(verdict(&report.at_next_boot));
    record.mistakes = report.mistakes.iter().map(mistake).collect();
    record.neighbours = report.neighbours.iter().map(neighbour).collect();
    if let Some(error) = report.at_next_boot.error() {
        // What could be read stays in the record.
        (record.status, record.error) = (Status::Error, Some(Failure::from(&error)));
    }
    record.write_blockers.extend(answer.obstacles.iter().cloned().map(blocker));
}

fn state(record: &mut Record, state: &Basis, report: &SettingReport) {
    let (name, replay) = match state {
        Basis::Clean => ("clean", None),
        Basis::Recovered { recovery, primary_alone } => {
            let alone = primary_alone.as_deref();
            let changed =
                alone.map(|alone| alone.at_next_boot != report.at_next_boot || alone.at_capture != report.at_capture);
            let primary_alone = alone.map(|alone| verdict(&alone.at_next_boot));
            ("recovered", Some(Replay { changed_verdict: changed, primary_alone, ..replay(recovery, None) }))
        }
        Basis::Alone { why, recovery } => ("primary-alone", Some(replay(recovery, Some(why.what())))),
    };
    record.hive_state = Some(name.to_owned());
    record.replay = replay;
}

fn replay(recovery: &Recovery, why_not: Option<&str>) -> Replay {
    Replay {
        applied: why_not.is_none(),
        why_not: why_not.map(str::to_owned),
        entries: recovery.applied,
        pages: recovery.pages,
        bytes: recovery.bytes,
        sequence_after: recovery.sequence_after,
        ..Replay::default()
    }
}

fn control_set(set: &ControlSetReport) -> ControlSet {
    let counting = set.counting();
    let value = counting.and_then(|service| service.value.as_ref());
    ControlSet {
        number: set.number,
        name: set.name.clone(),
        roles: set.roles.iter().map(word).collect(),
        key: counting.map(|service| service.path.clone()),
        key_last_written: counting.and_then(|service| service.last_written.clone()),
        rule: counting.map(|service| word(service.state)),
        data_type: value.map(|value| value.data_type.clone()),
        data_hex: value.and_then(|value| value.data_hex.clone()),
        value: value.and_then(|value| value.number),
        meaning: value.and_then(|value| value.number).map(|number| nat_t::meaning(number).to_owned()),
    }
}

fn verdict(verdict: &nat_t::Verdict) -> Verdict {
    Verdict {
        control_set: verdict.control_set,
        state: word(verdict.state),
        value: verdict.number,
        effective: verdict.effective,
        meaning: verdict.meaning.clone(),
    }
}

fn mistake(mistake: &crate::windows::Mistake) -> Mistake {
    let crate::windows::Mistake { code, place, what, advice, offset } = mistake.clone();
    Mistake { code: code.to_string(), place, what, advice, offset }
}

fn neighbour(found: &nat_t::Neighbour) -> Neighbour {
    Neighbour {
        name: found.place.rsplit('\\').next().unwrap_or_default().to_owned(),
        place: found.place.clone(),
        value: found.number,
        on: found.on,
        meaning: found.meaning.to_owned(),
    }
}
