//! Changes to files of the host: the old bytes or the new ones, never a mixture. `docs/design.md` has the write order, the
//! table of what a stop leaves, and what is assumed about media.
//!
//! A [`Change`] is a checked set of patches. It goes to [`Locked`] files in one of two ways: a new file takes the place of the
//! old one ([`replace()`]), or the bytes that differ are written in place, under the undo file of a [`Journal`].

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
pub(crate) use replace::{New, Tried, replace};
pub(crate) use staged::{Staged, folder_of, same_bytes};
pub use state::State;

use hivewright_error::Result;
use hivewright_storage::About;

/// What is asked of the bytes to be written, while they are: a new file takes the place of the old one, and bytes change in
/// place, only after it has passed.
pub type Proof<'a> = &'a (dyn Fn() -> Result<()> + Sync);

/// Why a new file in its place would not be the same, if so.
pub(crate) fn why_in_place(about: &About) -> Option<String> {
    match about.links {
        0 | 1 => about.keeps.map(str::to_owned),
        links => Some(format!("the file has {links} names (hard links), which would come apart")),
    }
}
