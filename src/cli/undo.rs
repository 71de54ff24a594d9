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
        super::tell(super::json(&undone));
        return Ok(Outcome::Yes);
    }
    let how = match undone.how {
        // Images are not hashed whole: only what was changed is known.
        Restored::Already if undone.is_image => "has the bytes of before where it was changed: nothing was changed now",
        Restored::InPlace if undone.is_image => "has the old bytes again, in every place that was changed",
        Restored::Already => "already is what it was: nothing was changed",
        Restored::Replaced => "is what it was before, bit for bit (the file was replaced)",
        Restored::InPlace => "is what it was before, bit for bit (changed in place)",
    };
    let target = plain(&undone.target.display().to_string());
    super::tell(Ok(format!("{target} {how}\n").into_bytes()));
    Ok(Outcome::Yes)
}
