//! `hivewright get`.

use hivewright::session::{Answer, Reading};
use hivewright::windows::{Era, RuleReport};
use serde::Serialize;

use super::args::GetArgs;
use super::exit::Outcome;
use super::report::{self, HiveState, Style};

#[derive(Serialize)]
struct Document<'a> {
    hive: String,
    dirty: bool,
    sequence_numbers: (u32, u32),
    confirmed: bool,
    #[serde(flatten)]
    rule: &'a RuleReport,
}

pub(crate) fn run(args: &GetArgs) -> anyhow::Result<Outcome> {
    let reading = Reading::of(&args.target)?;
    let answer = reading.rule(args.windows.map(Era::from))?;
    let hive = reading.target().hive.display().to_string();
    warn(&hive, &answer);
    let set = answer.report.at_next_boot.number.is_some();
    if args.json {
        super::print_json(&Document {
            hive,
            dirty: answer.dirty,
            sequence_numbers: answer.sequences,
            confirmed: answer.unconfirmed.is_none(),
            rule: &answer.report,
        })?;
    } else if args.value {
        let mut text = String::new();
        report::value(&answer.report, &mut text)?;
        super::print(text.as_bytes())?;
    } else {
        let state = if answer.dirty { HiveState::DirtyAlone } else { HiveState::Clean };
        let mut text = String::new();
        report::get(&answer.report, state, &mut text, Style::of_stdout())?;
        super::print(text.as_bytes())?;
    }
    Ok(if set { Outcome::Yes } else { Outcome::No })
}

fn warn(hive: &str, answer: &Answer) {
    if answer.dirty {
        super::warn(&format!("{hive} is dirty: the answer is of the primary file alone, without its logs"));
    }
    if let Some(why) = &answer.unconfirmed {
        super::warn(&format!("the second parser could not confirm the answer: {why}"));
    }
}
