//! Conversion from the contents of a hive to the fields of a record.

use hivewright_error::{Code, Result};
use serde::Serialize;

use super::ReadOptions;
use crate::Installation;
use crate::audit::record::{
    Blocker, CheckResult, ControlSet, Failure, Finding, Record, RelatedValue, Replay, Status, Verdict, Violation,
};
use crate::locate::Obstacle;
use crate::policy::{self, Check, Facts, Outcome, Place, Policy, Scope};
use crate::read::Reading;
use crate::settings::nat_t::{self, Answer, Basis, ControlSetReport, SettingReport};
use crate::windows::Product;
use hivewright_hive::recover::Recovery;
use hivewright_hive::regf::name::Name;

/// Returns the serialized name of an enum value without fields.
pub(super) fn word(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Fills in the product, from the hive SOFTWARE of the installation, and returns it.
pub(super) fn product_of(record: &mut Record, installation: &Installation) -> Option<Product> {
    match installation.product() {
        Ok(found) => found.inspect(|found| product(record, found.clone())),
        Err(error) => {
            record.software_error = Some(Failure::from(&error));
            None
        }
    }
}

fn product(record: &mut Record, product: Product) {
    record.product = product.name;
    record.version = product.version.map(|(major, minor)| format!("{major}.{minor}"));
    record.build = product.build;
    record.revision = product.revision;
    record.release = product.release;
    record.edition = product.edition;
    record.service_pack = product.service_pack;
    record.installation_type = product.installation_type;
}

/// Fills in the hibernation, the shadow copies and the write blockers of the volume.
pub(super) fn volume_facts(record: &mut Record, reading: &Reading) {
    record.hibernated = reading.hive().is_hibernated();
    record.shadow_copies = reading.hive().shadow_copies();
    record.obstacles.extend(reading.hive().all_obstacles().into_iter().map(blocker));
}

fn blocker(Obstacle { code, what, .. }: Obstacle) -> Blocker {
    Blocker { code: code.to_string(), what }
}

/// Fills in all facts of SYSTEM, or the error.
pub(super) fn system(
    record: &mut Record,
    reading: &Reading,
    installation: &Installation,
    software: Option<&Product>,
    options: &ReadOptions,
) {
    record.installation = record.installation.max(1);
    let answer = nat_t::answer(reading, None).and_then(|answer| {
        record.hive_sha256 = if options.sha256 { Some(reading.sha256()?) } else { None };
        Ok(answer)
    });
    match answer {
        Ok(answer) => {
            fill_record(record, &answer, software);
            if let Err(error) = checks(record, installation, &options.policy) {
                (record.status, record.error) = (Status::Error, Some(Failure::from(&error)));
            }
        }
        Err(error) => (record.status, record.error) = (Status::Error, Some(Failure::from(&error))),
    }
    for what in reading.unfinished() {
        record.obstacles.push(Blocker { code: Code::Unfinished.to_string(), what });
    }
}

/// Returns the facts of a record that conditions of policies use.
pub(super) fn facts(record: &Record) -> Facts<'_> {
    Facts {
        target: &record.target,
        decision: record.decision.as_deref(),
        version: record.version.as_deref(),
        build: record.build,
        revision: record.revision,
        edition: record.edition.as_deref(),
        product_type: record.product_type.as_deref(),
        architecture: record.architecture.as_deref(),
    }
}

/// Evaluates the checks of a policy before a write. `record` contains only the target's name.
pub(super) fn outcomes(mut record: Record, reading: &Reading, policy: &Policy) -> Result<Vec<Outcome>> {
    let installation = reading.installation();
    let software = product_of(&mut record, &installation);
    fill_record(&mut record, &nat_t::answer(reading, None)?, software.as_ref());
    policy::evaluate(policy.checks(), &installation, &facts(&record), Scope::Both)
}

/// Fills in the results of the checks.
fn checks(record: &mut Record, installation: &Installation, policy: &Policy) -> Result<()> {
    let all = policy.checks();
    if all.list().is_empty() {
        return Ok(());
    }
    let outcomes = policy::evaluate(all, installation, &facts(record), Scope::AsAsked)?;
    record.checks_stamp = all.stamp();
    for (check, outcome) in all.list().iter().zip(outcomes) {
        record.checks.push(CheckResult {
            policy: check.policy.to_string(),
            check: check.id.clone(),
            severity: check.severity.as_str().to_owned(),
            status: outcome.status,
            keys: outcome.keys,
        });
        record.violations_left_out += outcome.left_out;
        record.violations.extend(outcome.places.into_iter().map(|place| violation(check, place)));
    }
    Ok(())
}

fn violation(check: &Check, place: Place) -> Violation {
    let Place { at, key, found, data_type, data_hex, code } = place;
    Violation {
        setting: check.id.clone(),
        at: at.map(str::to_owned),
        expected: check.expectation.text().to_owned(),
        found,
        by: check.policy.to_string(),
        severity: Some(check.severity.as_str().to_owned()),
        title: check.title.clone(),
        key: Some(key),
        value_name: check.value.as_ref().map(Name::to_escaped),
        data_type,
        data_hex,
        code: code.map(|code| code.to_string()),
    }
}

fn fill_record(record: &mut Record, answer: &Answer, software: Option<&Product>) {
    let report = &answer.report;
    let windows = &report.windows;
    record.family = Some(windows.family.clone());
    record.decision = Some(word(windows.decision));
    record.product_type = windows.product_type.map(word);
    record.architecture.clone_from(&windows.architecture);
    record.host_name.clone_from(&windows.host_name);
    record.hives_agree = software.and_then(|software| software.agrees_with(windows));
    record.sequence_numbers = answer.sequences;
    record.confirmed = Some(answer.unconfirmed.is_none());
    state(record, &answer.state, report);
    record.control_sets = report.control_sets.iter().map(control_set).collect();
    record.at_capture = Some(verdict(&report.at_capture));
    record.at_next_boot = Some(verdict(&report.at_next_boot));
    record.findings = report.findings.iter().map(finding).collect();
    record.related = report.related.iter().map(related).collect();
    if let Some(error) = report.at_next_boot.error() {
        // The facts read so far stay in the record.
        (record.status, record.error) = (Status::Error, Some(Failure::from(&error)));
    }
    record.obstacles.extend(answer.obstacles.iter().cloned().map(blocker));
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
        presence: counting.map(|service| word(service.state)),
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

fn finding(finding: &crate::windows::Finding) -> Finding {
    let crate::windows::Finding { code, place, what, advice, offset } = finding.clone();
    Finding { code: code.to_string(), place, what, advice, offset }
}

fn related(found: &nat_t::RelatedValue) -> RelatedValue {
    RelatedValue {
        name: found.name.to_owned(),
        place: found.place.clone(),
        value: found.number,
        on: found.on,
        meaning: found.meaning.to_owned(),
    }
}
