//! What tests ask of an edit and of a commit.

use hivewright::edit::commit::{InPlace, Options};
use std::sync::Arc;

use hivewright::edit::{Edits, Plan, Request};
use hivewright::locate::Choice;
use hivewright::locate::LogChoice;
use hivewright::settings::nat_t::{SettingChange, Wanted};
use hivewright::windows::Selection;
use hivewright_hive::EditOptions;

/// What the command asks for where it is given no option.
pub(crate) fn request(wanted: Option<Wanted>) -> Request {
    Request {
        edits: wanted.map_or(Edits::None, |wanted| Edits::Named(plan(wanted))),
        force: false,
        logs: LogChoice::Beside,
        as_it_stands: false,
        settle: true,
        elsewhere: false,
        options: EditOptions::default(),
        choice: Choice::default(),
        ignore: Vec::new(),
    }
}

/// An edit of the control sets that the command edits.
pub(crate) fn plan(wanted: Wanted) -> Arc<dyn Plan> {
    Arc::new(SettingChange { wanted, selection: Selection::Standard, era: None })
}

/// The file is written in place, though it could be replaced.
pub(crate) fn in_place() -> Options {
    Options { in_place: InPlace::Always, ..Options::default() }
}
