//! `hivewright set` and `hivewright unset`.

use hivewright::hive::EditOptions;
use hivewright::regf::timestamp::FileTime;
use hivewright::session::commit::{InPlace, Options};
use hivewright::session::edit::{Prepared, Request, Wanted, prepare};
use hivewright::windows::{Era, Selection};

use super::args::{EditArgs, SetArgs, UnsetArgs, Windows};
use super::exit::Outcome;
use super::report::edit::{self as report, Ending};

pub(crate) fn run_set(args: &SetArgs) -> anyhow::Result<Outcome> {
    run(&args.target, Wanted::Set(args.value), &args.edit)
}

pub(crate) fn run_unset(args: &UnsetArgs) -> anyhow::Result<Outcome> {
    run(&args.target, Wanted::Unset, &args.edit)
}

fn run(target: &std::path::Path, wanted: Wanted, args: &EditArgs) -> anyhow::Result<Outcome> {
    let request = request(wanted, args)?;
    let prepared = prepare(target, &request)?;
    let ending = finish(&prepared, args)?;
    let told = if args.json {
        super::json(&report::document(&prepared, wanted, &ending))?
    } else {
        report::text(&prepared, wanted, &ending).into_bytes()
    };
    match ending {
        Ending::Written(_) => super::tell(&told),
        Ending::DryRun | Ending::AlreadySo => super::print(&told)?,
    }
    Ok(Outcome::Yes)
}

fn request(wanted: Wanted, args: &EditArgs) -> anyhow::Result<Request> {
    let selection = args.control_set.as_deref().map_or(Ok(Selection::Standard), str::parse)?;
    let timestamp = (!args.keep_timestamps).then(FileTime::now);
    let options = EditOptions { timestamp, ..EditOptions::default() };
    Ok(Request { wanted, selection, era: args.windows.map(Era::from), force: args.force, options })
}

fn finish(prepared: &Prepared, args: &EditArgs) -> anyhow::Result<Ending> {
    if args.dry_run {
        prepared.prove()?;
        return Ok(Ending::DryRun);
    }
    if prepared.is_already_so() && args.output.is_none() {
        return Ok(Ending::AlreadySo);
    }
    let options = Options {
        output: args.output.clone(),
        undo: args.undo.clone(),
        keep_times: args.keep_timestamps,
        in_place: if args.in_place { InPlace::Always } else { InPlace::Auto },
    };
    Ok(Ending::Written(prepared.commit(&options)?))
}

impl From<Windows> for Era {
    fn from(windows: Windows) -> Era {
        match windows {
            Windows::Xp => Era::Xp,
            Windows::VistaPlus => Era::VistaPlus,
        }
    }
}
