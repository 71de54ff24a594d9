//! What tests ask of an edit and of a commit.

use hivewright::session::LogChoice;
use hivewright::session::commit::{InPlace, Options};
use hivewright::session::disk::Choice;
use hivewright::session::edit::{Request, Wanted};
use hivewright::windows::Selection;
use hivewright_hive::EditOptions;

/// What the command asks for where it is given no option.
pub(crate) fn request(wanted: Option<Wanted>) -> Request {
    Request {
        wanted,
        selection: Selection::Standard,
        era: None,
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

/// The file is written in place, though it could be replaced.
pub(crate) fn in_place() -> Options {
    Options { in_place: InPlace::Always, ..Options::default() }
}
