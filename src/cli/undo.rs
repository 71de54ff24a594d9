//! `hivewright undo`.

use crate::undo::{Restored, undo_ignoring};
use hivewright_error::Code;
use hivewright_storage::RealHost;

use super::args::UndoArgs;
use super::exit::Outcome;
use super::report::plain;

pub(crate) fn run(args: &UndoArgs) -> anyhow::Result<Outcome> {
    let ignore: &[Code] = if args.ignore_children { &[Code::HasChildren] } else { &[] };
    let undone = undo_ignoring(&RealHost, &args.undo_file, args.target.as_deref(), ignore)?;
    if args.json {
        super::print_done(super::json(&undone));
        return Ok(Outcome::Yes);
    }
    let how = match undone.how {
        // Images are not hashed as a whole; only the changed places were compared.
        Restored::Already if undone.is_image => "already has the old bytes in every changed place: nothing was changed",
        Restored::InPlace if undone.is_image => "was restored in every changed place",
        Restored::Already => "was already restored: nothing was changed",
        Restored::Replaced => "was restored bit for bit (the file was replaced)",
        Restored::InPlace => "was restored bit for bit (changed in place)",
    };
    let target = plain(&undone.target.display().to_string());
    super::print_done(Ok(format!("{target} {how}\n").into_bytes()));
    Ok(Outcome::Yes)
}
