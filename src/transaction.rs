//! Atomic changes to files of the host: a file has its old bytes or its new ones, never a mixture. `docs/design.md` has
//! the write order, the states after a crash, and the assumptions about media.
//!
//! A [`Change`] is a checked set of patches. It is written to [`Locked`] files in one of two ways: by a new file that
//! replaces the old one ([`replace()`]), or in place, under the undo file of a [`Journal`].

mod appended;
mod change;
mod in_place;
pub(crate) mod journal;
mod lines;
mod locked;
mod members;
mod overlaid;
mod pointer;
pub(crate) mod record;
mod replace;
mod staged;
pub(crate) mod state;

pub(crate) use change::{Change, broken};
pub(crate) use in_place::{restore, unfinished, write, write_patches};
pub(crate) use journal::{Journal, expect_room};
pub(crate) use locked::{Locked, reopened};
pub(crate) use members::{Member, starts};
pub(crate) use overlaid::Overlaid;
pub use record::Mark;
pub(crate) use record::Record;
pub(crate) use replace::{New, Replaced, replace};
pub(crate) use staged::{Staged, folder_of, same_bytes};
pub use state::State;

use hivewright_error::Result;
use hivewright_storage::About;

/// A check of the new bytes that runs in parallel with the writing. No file is replaced, and no bytes change in place,
/// before it succeeds.
pub type Proof<'a> = &'a (dyn Fn() -> Result<()> + Sync);

/// Returns the reason why a new file in its place would differ, if there is one.
pub(crate) fn why_in_place(about: &About) -> Option<String> {
    match about.links {
        0 | 1 => about.keeps.map(str::to_owned),
        links => Some(format!("the file has {links} names (hard links), and a new file would replace only one")),
    }
}
