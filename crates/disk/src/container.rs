//! Image files: from files of the host to the bytes of the disk that the guest sees.
//!
//! This module opens an image and describes it. `formats` has the formats, one file or folder for each; `helpers` has
//! code that several formats share. Every file of the host is opened through the [`PathPolicy`].
//!
//! A guest disk is written to through `Storage::write_at` like any storage, under these rules:
//! - it writes only to files that belong to the top layer, never to a backing file or parent;
//! - writing bytes that are equal to the present ones allocates: metadata and clusters for the range are made then, so
//!   that a later write of the range touches data only;
//! - a range that the top layer does not hold, where the format (or this program) cannot allocate it, is
//!   `not-allocated`;
//! - opening an image writes nothing, except for its log if [`PathPolicy::replay_log`] is set;
//! - `Storage::flush` writes everything to the storages of the files below and flushes them.
//!
//! No format writes to the host's files during an edit: the commit gives the policy storages that record writes in
//! memory, and writes the recorded bytes itself, under an undo file.

mod about;
mod dependents;
mod error_context;
mod formats;
pub(crate) mod helpers;
mod open;
mod overlay;
mod packed;
mod path_policy;
mod probe;
mod references;
mod unsupported;

pub use about::{About, Refusal};
pub use dependents::{DependentSearch, FoundDependents, find_dependents};
pub use error_context::explained;
pub use formats::ewf::{Verified, verify};
pub use formats::parallels::in_bundle;
pub use formats::qcow2::is_unshared;
pub use formats::{FORMATS, Format, Variant, table};
pub use open::{Image, MAX_DEPTH, Opening, open, open_layer};
pub use overlay::{ImageOverlay, OverlayFiles, Taken};
pub use path_policy::{HostFile, Opener, PathPolicy, Role};
pub use probe::{Probe, is_known};
pub use references::{Piece, ReadReferences, References, last_part, meant_by, references};
pub use unsupported::{Known, has_type_of_log, is_transaction_log, known_as, known_whole};

use helpers::{cut_short, within_disk};
use open::open_backing;
