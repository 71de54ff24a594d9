//! `hivewright apply`: fixes deviations from a policy, as one change.

use std::fmt::Write as _;
use std::path::Path;

use hivewright_error::{Code, Error};
use serde_json::{Value, json};

use super::args::ApplyArgs;
use super::exit::Outcome;
use super::reg::write as reg;
use super::report::edit::Ending;
use super::report::plain;
use super::set;
use crate::audit::read;
use crate::audit::record::CheckStatus;
use crate::edit::{Edits, prepare};
use crate::locate::{Choice, LogChoice};
use crate::policy::{Outcome as CheckOutcome, Policy};
use crate::read::Reading;

pub(crate) fn run(args: &ApplyArgs) -> anyhow::Result<Outcome> {
    let mut policy = Policy::default();
    args.policies.iter().try_for_each(|path| policy.add_file(path))?;
    args.reg_files.iter().try_for_each(|path| policy.add_reg_file(path))?;
    if policy.checks().list().is_empty() {
        let what = "the policy has no [[check]], and only checks can be fixed";
        return Err(Error::refused(Code::Policy, what).advise("for [[expect]], use `hivewright set`").into());
    }
    if !args.write.logs.is_empty() {
        let what = "--log applies to one hive, but a policy concerns several";
        return Err(Error::refused(Code::LogsOfSeveral, what).advise("omit --log: logs beside a hive are used").into());
    }
    let choice = args.write.choice(args.disk.choice());
    let mut before = judge(&args.target, &choice, &policy)?;
    let mut prepared = prepare(&args.target, &set::request(edits(&before), args.disk.choice(), &args.write))?;
    if let Some(settled) = prepared.settled {
        // The first evaluation read a partial write that is now rolled back.
        before = judge(&args.target, &choice, &policy)?;
        prepared = prepare(&args.target, &set::request(edits(&before), args.disk.choice(), &args.write))?;
        prepared.settled = Some(settled);
    }
    set::warn_before(&prepared);
    let ending = set::finish(&prepared, &args.write)?;
    set::warn_after(&prepared, &ending);
    let after = match &ending {
        Ending::DryRun => None,
        Ending::AlreadySo => Some(before.clone()),
        Ending::Written(_) => {
            let written = args.write.output.as_deref().unwrap_or(&args.target);
            Some(judge(written, &choice, &policy)?)
        }
    };
    let words = match args.write.json {
        true => reg::document(&args.target, &prepared, &ending).and_then(|mut document| {
            document["checks"] = checks(&policy, &before, after.as_deref());
            super::json(&document)
        }),
        false => Ok((text(&policy, &before, after.as_deref()) + &reg::text(&prepared, &ending)).into_bytes()),
    };
    ending.print(words)?;
    let is_left = match &after {
        Some(after) => after.iter().any(is_open),
        None => before.iter().any(|judged| judged.not_mended > 0),
    };
    Ok(if is_left { Outcome::No } else { Outcome::Yes })
}

fn judge(target: &Path, choice: &Choice, policy: &Policy) -> anyhow::Result<Vec<CheckOutcome>> {
    let reading = Reading::choose(target, choice, LogChoice::Beside)?;
    Ok(read::judge(&reading, target, policy)?)
}

fn edits(judged: &[CheckOutcome]) -> Edits {
    Edits::of_paths(judged.iter().flat_map(|judged| judged.mending.iter().cloned()).collect::<Vec<_>>())
}

/// Returns whether it is not as expected, or unknown.
fn is_open(judged: &CheckOutcome) -> bool {
    matches!(judged.status, CheckStatus::Fail | CheckStatus::Unknown)
}

fn checks(policy: &Policy, before: &[CheckOutcome], after: Option<&[CheckOutcome]>) -> Value {
    let all = policy.checks().list().iter().zip(before).enumerate().map(|(number, (check, judged))| {
        json!({
            "policy": &*check.policy,
            "check": check.id,
            "severity": check.severity,
            "status": judged.status,
            "operations": judged.mending.len(),
            "not_mended": judged.not_mended,
            "status_after": after.map(|after| after[number].status),
        })
    });
    all.collect()
}

/// Formats a line for each check that was not as expected.
fn text(policy: &Policy, before: &[CheckOutcome], after: Option<&[CheckOutcome]>) -> String {
    let mut out = String::new();
    let all = policy.checks().list().iter().zip(before).enumerate();
    for (number, (check, judged)) in all.filter(|(_, (_, judged))| is_open(judged)) {
        let now = match after {
            Some(after) if !is_open(&after[number]) => "fixed",
            Some(_) => "NOT fixed",
            None if judged.not_mended == 0 => "would be fixed",
            None => "would NOT be fixed",
        };
        let title = check.title.as_ref().map(|title| format!(": {title}")).unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{}", plain(&format!("{now}: {} of {}{title}", check.id, check.policy)));
        if now != "NOT fixed" {
            continue;
        }
        for place in &after.map_or(judged, |after| &after[number]).places {
            let code = place.code.map(|code| format!(" [{code}]")).unwrap_or_default();
            let expected = check.expectation.text();
            let what = format!("{}: expected {expected}, found {}{code}", place.key, place.found);
            let _ = writeln!(out, "  {}", plain(&what));
        }
        let why = check.rationale.iter().map(|why| format!("reason: {why}"));
        for more in why.chain(check.references.iter().map(|source| format!("see {source}"))) {
            let _ = writeln!(out, "  {}", plain(&more));
        }
    }
    out
}
