//! `hivewright undo`.

use hivewright::session::undo::{Restored, undo};

use super::args::UndoArgs;
use super::exit::Outcome;

pub(crate) fn run(args: &UndoArgs) -> anyhow::Result<Outcome> {
    let undone = undo(&args.undo_file, args.target.as_deref())?;
    if args.json {
        super::tell(&super::json(&undone)?);
        return Ok(Outcome::Yes);
    }
    let how = match undone.how {
        Restored::Already => "already is what it was: nothing was changed",
        Restored::Replaced => "is what it was before, bit for bit (the file was replaced)",
        Restored::InPlace => "is what it was before, bit for bit (changed in place)",
    };
    super::tell(format!("{} {how}\n", undone.target.display()).as_bytes());
    Ok(Outcome::Yes)
}
