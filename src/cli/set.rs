//! `hivewright set`, `unset` and `recover`.

use hivewright_error::Code;
use std::path::Path;

use crate::edit::commit::{How, InPlace, Options};
use crate::edit::{Edits, Logs, Origin, Prepared, PreparedHive, Request, prepare};
use crate::locate::{Choice, Disk, LogChoice};
use crate::settings::nat_t::{SettingChange, Wanted};
use crate::undo;
use crate::windows::{Era, Selection};
use hivewright_hive::EditOptions;
use hivewright_hive::regf::timestamp::FileTime;

use super::args::{RecoverArgs, SetArgs, UnsetArgs, Windows, WriteArgs};
use super::exit::Outcome;
use super::report::edit::{self as report, Ending};

pub(crate) fn run_set(args: &SetArgs) -> anyhow::Result<Outcome> {
    let wanted = Wanted::Set(args.value);
    run(&args.target, Some(wanted), &setting(wanted, &args.edit)?, &args.edit.write)
}

pub(crate) fn run_unset(args: &UnsetArgs) -> anyhow::Result<Outcome> {
    run(&args.target, Some(Wanted::Unset), &setting(Wanted::Unset, &args.edit)?, &args.edit.write)
}

pub(crate) fn run_recover(args: &RecoverArgs) -> anyhow::Result<Outcome> {
    run(&args.target, None, &request(Edits::Recovery, args.disk.choice(), &args.write), &args.write)
}

fn run(target: &Path, wanted: Option<Wanted>, request: &Request, args: &WriteArgs) -> anyhow::Result<Outcome> {
    let prepared = prepare(target, request)?;
    let Some(hive) = prepared.hives.first() else { return Ok(Outcome::Yes) };
    warn_before(&prepared);
    let ending = finish(&prepared, args)?;
    warn_after(&prepared, &ending);
    let words = if args.json {
        super::json(&report::document(target, hive, wanted, &ending))
    } else {
        Ok(report::text(hive, wanted, &ending).into_bytes())
    };
    ending.print(words)?;
    Ok(Outcome::Yes)
}

/// Warns of data that an edit discards or leaves, before it is written.
pub(super) fn warn_before(prepared: &Prepared) {
    prepared.passed_over.iter().for_each(|why| super::warn(why.code(), why.what()));
    for hive in &prepared.hives {
        if let Origin::LogsDiscarded(why) = &hive.origin {
            let what = format!(
                "{} is dirty and used without its logs ({}): the write discards their contents",
                hive.hive.host_file().display(),
                why.what()
            );
            super::warn(why.code(), &what);
        }
    }
    // All hives are in one image.
    let Some(first) = prepared.hives.first() else { return };
    if let Some(undo::Recovered::RolledBack) = prepared.settled {
        let what = format!("an interrupted write to {} was rolled back first", first.hive.host_file().display());
        super::warn(Code::UnfinishedWrite, &what);
    }
    let image = first.hive.disk().map(Disk::about);
    image.iter().flat_map(|image| image.warnings()).for_each(|(code, what)| super::warn(code, &what));
    let shadow_copies = if prepared.is_already_so() { None } else { of_shadow_copies(first) };
    shadow_copies.iter().for_each(|what| super::warn(Code::ShadowCopies, what));
}

/// Warns of doubts about the result of an edit.
pub(super) fn warn_after(prepared: &Prepared, ending: &Ending) {
    for hive in &prepared.hives {
        if let Ending::Written(committed) = ending
            && committed.how == How::OutputHive
        {
            // The output of the hive alone is not refused for them.
            hive.hive.all_obstacles().iter().filter(|it| it.doubts).for_each(|it| super::warn(it.code, &it.what));
        }
        if let Some(why) = hive.unconfirmed() {
            let what =
                format!("the second parser could not confirm the edit, in which the check finds no error: {why}");
            super::warn(Code::Unconfirmed, &what);
        }
    }
    let log_waits = prepared.hives.first().and_then(|hive| hive.hive.disk()).is_some_and(|it| it.about().log_waits());
    match ending {
        Ending::AlreadySo if log_waits => {
            super::warn(Code::VhdxLogWaits, "nothing was written; the log of the image was not replayed");
        }
        Ending::DryRun if log_waits => {
            super::warn(Code::VhdxLogWaits, "the log of the image would be replayed first, which changes further bytes")
        }
        _ => {}
    }
}

/// Returns the effect of an edit on the shadow copies of the volume, if it has any.
fn of_shadow_copies(hive: &PreparedHive) -> Option<String> {
    let count = hive.hive.shadow_copies().filter(|&count| count > 0)?;
    let (copies, them) = if count == 1 { ("copy".to_owned(), "it") } else { ("copies".to_owned(), "them") };
    Some(format!(
        "the volume has {count} shadow {copies}: blocks that the volume shares with {them} change in {them} too, and restoring \
         one restores the old value"
    ))
}

fn setting(wanted: Wanted, edit: &super::args::EditArgs) -> anyhow::Result<Request> {
    let selection = edit.control_set.as_deref().map_or(Ok(Selection::Standard), str::parse)?;
    let edits = Edits::of_plan(SettingChange { wanted, selection, era: edit.windows.map(Era::from) });
    let request = request(edits, edit.disk.choice(), &edit.write);
    Ok(Request { discard_logs: edit.discard_logs, ..request })
}

/// Creates the request for edits with these options.
pub(super) fn request(edits: Edits, meant: Choice, write: &WriteArgs) -> Request {
    let timestamp = (!write.keep_timestamps).then(FileTime::now);
    Request {
        edits,
        force: write.force,
        logs: logs(&write.logs),
        discard_logs: false,
        all_users: false,
        settle: !write.dry_run && write.output.is_none(),
        elsewhere: write.output.is_some(),
        options: EditOptions { timestamp, ..EditOptions::default() },
        choice: write.choice(meant),
        ignore: write.ignored(),
    }
}

/// Returns the named logs, or the choice of those beside the hive.
pub(crate) fn logs(named: &[std::path::PathBuf]) -> LogChoice {
    if named.is_empty() { LogChoice::Beside } else { LogChoice::Files(named.to_vec()) }
}

pub(super) fn finish(prepared: &Prepared, args: &WriteArgs) -> anyhow::Result<Ending> {
    if args.dry_run {
        // Without changes, no permission to write is needed.
        if !prepared.is_already_so() {
            prepared.try_out()?;
        }
        return Ok(Ending::DryRun);
    }
    let logs = if args.truncate_logs { Logs::Emptied } else { Logs::Kept };
    if prepared.is_already_so() && args.output.is_none() && logs == Logs::Kept {
        return Ok(Ending::AlreadySo);
    }
    let options = Options {
        output: args.output.clone(),
        undo: args.undo.clone(),
        keep_times: args.keep_timestamps,
        in_place: if args.in_place { InPlace::Always } else { InPlace::Auto },
        ..Options::default()
    };
    let committed = prepared.commit(logs, &options)?;
    Ok(if committed.how == How::Unchanged { Ending::AlreadySo } else { Ending::Written(Box::new(committed)) })
}

impl From<Windows> for Era {
    fn from(windows: Windows) -> Era {
        match windows {
            Windows::Xp => Era::Xp,
            Windows::VistaPlus => Era::VistaPlus,
        }
    }
}
