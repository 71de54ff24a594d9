//! `hivewright get`.

use std::path::Path;

use crate::locate::{Disk, Obstacle};
use crate::read::Reading;
use crate::settings::nat_t::{self, Answer, Basis, SettingReport};
use crate::windows::Era;
use hivewright_hive::recover::Recovery;
use hivewright_storage::exact::field;
use serde::Serialize;

use super::args::GetArgs;
use super::exit::Outcome;
use super::report::{self, HiveState, Style};

#[derive(Serialize)]
struct Document<'a> {
    hive: String,
    #[serde(flatten, serialize_with = "field::file")]
    file: &'a Path,
    dirty: bool,
    hibernated: Option<bool>,
    state: &'static str,
    sequence_numbers: Option<[u32; 2]>,
    confirmed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_read: Option<u64>,
    obstacles: Vec<Obstacle>,
    #[serde(flatten)]
    rule: &'a SettingReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<&'a Recovery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_alone: Option<&'a SettingReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_recovered: Option<&'a str>,
}

pub(crate) fn run(args: &GetArgs) -> anyhow::Result<Outcome> {
    let reading = Reading::choose(&args.target, &args.disk.choice(), super::set::logs(&args.logs))?;
    let mut obstacles = super::warn_of_doubts(&reading);
    // Every file beside the image is opened for that, and the bare value has nothing of it.
    if !args.value {
        obstacles.extend(reading.hive().disk().and_then(Disk::children));
    }
    let answer = nat_t::answer(&reading, args.windows.map(Era::from))?;
    obstacles.extend(answer.obstacles.iter().cloned());
    let hive = reading.hive().description();
    warn(&hive, &answer, args.value);
    if args.json {
        let (hibernated, bytes_read) = (reading.hive().is_hibernated(), super::bytes_read(&reading));
        let document = document(hive, reading.hive().host_file(), &answer);
        super::print_json(&Document { hibernated, bytes_read, obstacles, ..document })?;
    } else if args.value {
        let mut text = String::new();
        report::value(&answer.report, &mut text)?;
        super::print(text.as_bytes())?;
    } else {
        let mut text = String::new();
        report::get(&answer.report, state(&answer), &mut text, Style::of_stdout())?;
        report::obstacles(&obstacles, &mut text, Style::of_stdout())?;
        super::print(text.as_bytes())?;
    }
    let verdict = &answer.report.at_next_boot;
    Ok(match verdict.error() {
        Some(error) => {
            if args.value {
                super::warn_and_advise(&error.to_string(), error.advice().unwrap_or_default());
            }
            Outcome::CouldNot
        }
        None if verdict.number.is_some() => Outcome::Yes,
        None => Outcome::No,
    })
}

fn document<'a>(hive: String, file: &'a Path, answer: &'a Answer) -> Document<'a> {
    let (state, recovery, primary_alone, not_recovered) = match &answer.state {
        Basis::Clean => ("clean", None, None, None),
        Basis::Recovered { recovery, primary_alone } => {
            ("recovered", Some(&**recovery), primary_alone.as_deref(), None)
        }
        Basis::Alone { why, recovery } => ("primary-alone", Some(&**recovery), None, Some(why.what())),
    };
    Document {
        hive,
        file,
        dirty: !matches!(answer.state, Basis::Clean),
        hibernated: None,
        state,
        sequence_numbers: answer.sequences,
        confirmed: answer.unconfirmed.is_none(),
        bytes_read: None,
        obstacles: Vec::new(),
        rule: &answer.report,
        recovery,
        primary_alone,
        not_recovered,
    }
}

fn state(answer: &Answer) -> HiveState<'_> {
    match &answer.state {
        Basis::Clean => HiveState::Clean,
        Basis::Recovered { recovery, primary_alone } => {
            HiveState::Recovered { recovery, primary_alone: primary_alone.as_deref() }
        }
        Basis::Alone { .. } => HiveState::DirtyAlone,
    }
}

/// Warns of what the document does not have. The bare value has nothing of it.
fn warn(hive: &str, answer: &Answer, is_bare: bool) {
    if let Basis::Alone { why, .. } = &answer.state {
        super::warn(&format!("{hive}: {}; the answer is of its primary file alone", why.what()));
    }
    if let Some(why) = answer.unconfirmed.as_ref().filter(|_| is_bare) {
        super::warn(&format!("the second parser could not confirm the answer: {why}"));
    }
}
