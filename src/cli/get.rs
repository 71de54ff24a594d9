//! `hivewright get`.

use hivewright_error::Code;
use std::path::Path;

use crate::locate::{Disk, Image, Obstacle};
use crate::read::Reading;
use crate::settings::nat_t::{self, Answer, Basis, SettingReport};
use crate::windows::{Era, Product};
use hivewright_hive::recover::Recovery;
use hivewright_storage::exact::field;
use serde::Serialize;

use super::args::GetArgs;
use super::exit::Outcome;
use super::images::{self, OneOf};
use super::report::{self, HiveState, Style};
use super::subject::Subject;

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten, serialize_with = "field::target")]
    target: &'a Path,
    #[serde(flatten)]
    subject: Subject<'a>,
    hive_state: &'static str,
    hibernated: Option<bool>,
    sequence_numbers: Option<[u32; 2]>,
    confirmed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_read: Option<u64>,
    obstacles: Vec<Obstacle>,
    #[serde(flatten)]
    setting: &'a SettingReport,
    /// From the hive SOFTWARE.
    software: Option<&'a Product>,
    hives_agree: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<&'a Recovery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_alone: Option<&'a SettingReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_recovered: Option<&'a str>,
}

pub(crate) fn run(args: &GetArgs) -> anyhow::Result<Outcome> {
    let (choice, logs) = (args.disk.choice(), super::set::logs(&args.logs));
    logs.expect()?;
    let image = Image::open_as(&args.target, &choice.image)?;
    images::each(&image, &choice, args.json, |choice, one| get(args, &Reading::of(&image, choice, logs.clone())?, one))
}

/// Prints the setting of one hive, or of image `one` of several.
fn get(args: &GetArgs, reading: &Reading, one: Option<&OneOf>) -> anyhow::Result<Outcome> {
    let mut obstacles = super::warn_of_doubts(reading);
    // This opens every file beside the image, and the bare value does not need it.
    if !args.value {
        obstacles.extend(reading.hive().disk().and_then(Disk::children));
    }
    let answer = nat_t::answer(reading, args.windows.map(Era::from))?;
    obstacles.extend(answer.obstacles.iter().cloned());
    let hive = reading.hive().description();
    warn(&hive, &answer, args.value);
    if args.json {
        let (hibernated, bytes_read) = (reading.hive().is_hibernated(), super::bytes_read(reading));
        let software = product(reading);
        let document = document(&args.target, Subject::of(reading.hive()), &answer);
        let hives_agree = software.as_ref().and_then(|software| software.agrees_with(&answer.report.windows));
        let software = software.as_ref();
        super::print_json(&Document { hibernated, bytes_read, obstacles, software, hives_agree, ..document })?;
    } else if args.value {
        let mut text = String::new();
        report::value(&answer.report, &mut text)?;
        if let Some(one) = one {
            text = format!("{}\t{}\n", one.number, text.trim_end());
        }
        super::print(text.as_bytes())?;
    } else {
        let mut text = one.map(|one| format!("{}\n", report::plain(&one.heading))).unwrap_or_default();
        report::get(&answer.report, product(reading).as_ref(), state(&answer), &mut text, Style::of_stdout())?;
        report::obstacles(&obstacles, &mut text, Style::of_stdout())?;
        if one.is_some() {
            text.push('\n');
        }
        super::print(text.as_bytes())?;
    }
    let verdict = &answer.report.at_next_boot;
    Ok(match verdict.error() {
        Some(error) => {
            if args.value {
                super::warn_and_advise(error.code(), &error.to_string(), error.advice().unwrap_or_default());
            }
            Outcome::CouldNot
        }
        None if verdict.number.is_some() => Outcome::Yes,
        None => Outcome::No,
    })
}

/// Returns what the hive SOFTWARE says. `None` if it cannot be read, which does not affect the answer, and in an
/// archive, where all of it would have to be unpacked.
fn product(reading: &Reading) -> Option<Product> {
    if reading.hive().disk().is_some_and(|disk| disk.archive().is_some()) {
        return None;
    }
    reading.installation().product().ok().flatten()
}

fn document<'a>(target: &'a Path, subject: Subject<'a>, answer: &'a Answer) -> Document<'a> {
    let (state, recovery, primary_alone, not_recovered) = match &answer.state {
        Basis::Clean => ("clean", None, None, None),
        Basis::Recovered { recovery, primary_alone } => {
            ("recovered", Some(&**recovery), primary_alone.as_deref(), None)
        }
        Basis::Alone { why, recovery } => ("primary-alone", Some(&**recovery), None, Some(why.what())),
    };
    Document {
        target,
        subject,
        hive_state: state,
        hibernated: None,
        sequence_numbers: answer.sequences,
        confirmed: answer.unconfirmed.is_none(),
        bytes_read: None,
        obstacles: Vec::new(),
        setting: &answer.report,
        software: None,
        hives_agree: None,
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

/// Warns of facts that the output does not contain.
fn warn(hive: &str, answer: &Answer, is_bare: bool) {
    if let Basis::Alone { why, .. } = &answer.state {
        super::warn(why.code(), &format!("{hive}: {}; only its primary file was read", why.what()));
    }
    if let Some(why) = answer.unconfirmed.as_ref().filter(|_| is_bare) {
        super::warn(Code::Unconfirmed, &format!("the second parser could not confirm the answer: {why}"));
    }
}
