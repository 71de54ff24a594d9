//! Image files: from files of the host to the bytes of the disk that the guest sees.
//!
//! This module opens an image and describes it. `formats` has the formats, one file or folder for each; `helpers` has
//! code that several formats share. Every file of the host is opened through the [`Gate`].
//!
//! A guest disk is written to through `Storage::write_at` like any storage, under these rules:
//! - it writes only to files that belong to the top layer, never to a backing file or parent;
//! - writing the bytes that are there already makes room: what a later write of the same range needs in metadata and
//!   clusters is done then, so that it touches data only;
//! - what has no place in the top layer, where the format (or this program) cannot make one, is `not-allocated`;
//! - opening an image writes nothing, but for its log where [`Gate::replay_log`] asks for that;
//! - after `Storage::flush` everything is in the storages of the files below, and those are flushed.
//!
//! The session never lets a format write to the host's files: it hands storages into the gate that keep what is
//! written in memory, and brings the collected bytes to the disk itself, under an undo file.

mod about;
mod dependents;
mod error_context;
mod formats;
mod helpers;
mod open;
mod overlay;
mod path_policy;
mod probe;
mod references;
mod unsupported;

pub use about::{About, Refusal};
pub use dependents::{FoundDependents, find_dependents};
pub use error_context::explained;
pub use formats::ewf::{Verified, verify};
pub use formats::parallels::in_bundle;
pub use formats::qcow2::is_unshared;
pub use formats::{FORMATS, Format, Variant, table};
pub use open::{Image, MAX_DEPTH, Opening, open, open_layer};
pub use overlay::{ImageOverlay, OverlayFiles, Taken};
pub use path_policy::{Gate, HostFile, Opener, Role};
pub use probe::{Probe, is_known};
pub use references::{Piece, ReadReferences, References, last_part, meant_by, references};
pub use unsupported::{Known, has_type_of_log, is_transaction_log, known_as, known_whole};

use helpers::{cut_short, within_disk};
use open::open_backing;
