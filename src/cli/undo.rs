//! `hivewright undo`.

use hivewright::session::undo::undo;

use super::args::UndoArgs;
use super::exit::Outcome;

pub(crate) fn run(args: &UndoArgs) -> anyhow::Result<Outcome> {
    let undone = undo(&args.undo_file, args.target.as_deref())?;
    if args.json {
        super::print_json(&undone)?;
    } else {
        super::print(format!("{undone}\n").as_bytes())?;
    }
    Ok(Outcome::Yes)
}
