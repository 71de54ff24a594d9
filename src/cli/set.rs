//! `hivewright set`, `unset` and `recover`: the verbs that write.

use std::path::Path;
use std::sync::Arc;

use crate::edit::commit::{How, InPlace, Options};
use crate::edit::{Edits, Logs, Origin, Prepared, PreparedHive, Request, prepare};
use crate::locate::{Disk, LogChoice};
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
    run(&args.target, Some(wanted), &setting(Some(wanted), Some(&args.edit), &args.edit.write)?, &args.edit.write)
}

pub(crate) fn run_unset(args: &UnsetArgs) -> anyhow::Result<Outcome> {
    let wanted = Some(Wanted::Unset);
    run(&args.target, wanted, &setting(wanted, Some(&args.edit), &args.edit.write)?, &args.edit.write)
}

pub(crate) fn run_recover(args: &RecoverArgs) -> anyhow::Result<Outcome> {
    run(&args.target, None, &setting(None, None, &args.write)?, &args.write)
}

fn run(target: &Path, wanted: Option<Wanted>, request: &Request, args: &WriteArgs) -> anyhow::Result<Outcome> {
    let prepared = prepare(target, request)?;
    let Some(hive) = prepared.hives.first() else { return Ok(Outcome::Yes) };
    warn_before(&prepared);
    let ending = finish(&prepared, args)?;
    warn_after(&prepared, &ending);
    let words = if args.json {
        super::json(&report::document(hive, wanted, &ending))
    } else {
        Ok(report::text(hive, wanted, &ending).into_bytes())
    };
    match ending {
        Ending::Written(_) => super::tell(words),
        Ending::DryRun | Ending::AlreadySo => super::print(&words?)?,
    }
    Ok(Outcome::Yes)
}

/// Warns of what an edit loses or leaves behind, before it is written.
pub(super) fn warn_before(prepared: &Prepared) {
    for hive in &prepared.hives {
        if let Origin::AsItStood(why) = &hive.origin {
            super::warn(&format!(
                "{} is dirty and taken as it stands ({}): what its logs hold is lost for good once it is written",
                hive.hive.host_file().display(),
                why.what()
            ));
        }
    }
    // All of them are in one image.
    let Some(first) = prepared.hives.first() else { return };
    if let Some(undo::Recovered::RolledBack) = prepared.settled {
        super::warn(&format!("an interrupted write to {} was taken back first", first.hive.host_file().display()));
    }
    let image = first.hive.disk().map(Disk::about);
    image.iter().flat_map(|image| image.warnings()).for_each(|what| super::warn(&what));
    let shadow_copies = if prepared.is_already_so() { None } else { of_shadow_copies(first) };
    shadow_copies.iter().for_each(|what| super::warn(what));
}

/// Warns of what makes the result of an edit doubtful.
pub(super) fn warn_after(prepared: &Prepared, ending: &Ending) {
    for hive in &prepared.hives {
        if let Ending::Written(committed) = ending
            && committed.how == How::OutputHive
        {
            // None of them was a reason to refuse it.
            hive.hive.all_obstacles().iter().filter(|it| it.doubts).for_each(|it| super::warn(&it.what));
        }
        if let Some(why) = hive.unconfirmed() {
            super::warn(&format!(
                "the check of the edit finds nothing, and the second parser could not confirm it: {why}"
            ));
        }
    }
    let log_waits = prepared.hives.first().and_then(|hive| hive.hive.disk()).is_some_and(|it| it.about().log_waits());
    match ending {
        Ending::AlreadySo if log_waits => super::warn("nothing had to be written, and the log of the image stays"),
        Ending::DryRun if log_waits => {
            super::warn(
                "the log of the image would be brought to its places first, which changes more bytes than are told",
            );
        }
        _ => {}
    }
}

/// What an edit means for the shadow copies of the volume, where it has any.
fn of_shadow_copies(hive: &PreparedHive) -> Option<String> {
    let count = hive.hive.shadow_copies().filter(|&count| count > 0)?;
    let (copies, them) = if count == 1 { ("copy".to_owned(), "it") } else { ("copies".to_owned(), "them") };
    Some(format!(
        "the volume has {count} shadow {copies}: blocks that the volume shares with {them} change in {them} too, and restoring \
         one brings the old value back"
    ))
}

fn setting(wanted: Option<Wanted>, edit: Option<&super::args::EditArgs>, write: &WriteArgs) -> anyhow::Result<Request> {
    let selection = edit.and_then(|edit| edit.control_set.as_deref()).map_or(Ok(Selection::Standard), str::parse)?;
    let era = edit.and_then(|edit| edit.windows).map(Era::from);
    let edits = match wanted {
        Some(wanted) => Edits::Named(Arc::new(SettingChange { wanted, selection, era })),
        None => Edits::None,
    };
    Ok(request(edits, write, edit.is_some_and(|edit| edit.as_it_stands)))
}

/// What is asked for, where these edits are to be written so.
pub(super) fn request(edits: Edits, write: &WriteArgs, as_it_stands: bool) -> Request {
    let timestamp = (!write.keep_timestamps).then(FileTime::now);
    Request {
        edits,
        force: write.force,
        logs: logs(&write.logs),
        as_it_stands,
        settle: !write.dry_run && write.output.is_none(),
        elsewhere: write.output.is_some(),
        options: EditOptions { timestamp, ..EditOptions::default() },
        choice: write.choice(),
        ignore: write.ignored(),
    }
}

/// Logs that were named, or those beside the hive.
pub(crate) fn logs(named: &[std::path::PathBuf]) -> LogChoice {
    if named.is_empty() { LogChoice::Beside } else { LogChoice::Files(named.to_vec()) }
}

pub(super) fn finish(prepared: &Prepared, args: &WriteArgs) -> anyhow::Result<Ending> {
    if args.dry_run {
        // A run that has nothing to write needs no leave to write.
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
