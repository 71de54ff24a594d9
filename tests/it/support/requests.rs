//! Requests and options of edits and commits for tests.

use hivewright::internals::edit::commit::{InPlace, Options};

use hivewright::internals::edit::{Edits, Request};
use hivewright::internals::locate::Choice;
use hivewright::internals::locate::LogChoice;
use hivewright::internals::settings::nat_t::{SettingChange, Wanted};
use hivewright::internals::windows::Selection;
use hivewright_hive::EditOptions;

/// Returns the request of the command without options.
pub(crate) fn request(wanted: Option<Wanted>) -> Request {
    Request {
        edits: wanted.map_or(Edits::Recovery, |wanted| Edits::of_plan(plan(wanted))),
        force: false,
        logs: LogChoice::Beside,
        discard_logs: false,
        all_users: false,
        settle: true,
        elsewhere: false,
        options: EditOptions::default(),
        choice: Choice::default(),
        ignore: Vec::new(),
    }
}

/// Returns a plan for the control sets that the command edits.
pub(crate) fn plan(wanted: Wanted) -> SettingChange {
    SettingChange { wanted, selection: Selection::Standard, era: None }
}

/// Returns options that force a write in place.
pub(crate) fn in_place() -> Options {
    Options { in_place: InPlace::Always, ..Options::default() }
}
