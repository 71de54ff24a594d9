//! The log: metadata updates that may not be in place yet ([MS-VHDX] 2.3).
//!
//! An image with a log is read as if the log had been replayed; the file does not change. A writer must replay the log
//! first, so the image is not written to, unless [`PathPolicy::replay_log`] is set. If the header names a log that has
//! no complete sequence of entries, reading is an error too ([MS-VHDX] 2.3.3), because it is unknown which metadata
//! are valid.

mod entry;
mod overlay;

use std::sync::Arc;

use entry::{Entry, Ring, SECTOR};
pub(super) use overlay::Overlay;

use super::fields::{MIB, corrupt};
use super::header::Header;
use crate::container::Refusal;
use crate::little_endian::{u32_at, u64_at};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// Maximum size of a log in bytes. Hyper-V makes logs of 1 MiB.
const MOST_BYTES: u64 = 64 << 20;
/// Maximum number of replayed changes.
const MOST_CHANGES: usize = 1 << 18;
/// Maximum size of the changes that are written to the file, and of its growth, in bytes: memory and an undo file hold
/// them.
const MOST_WRITTEN: u64 = 64 << 20;
/// End of the headers and start of the region tables, which the log may update.
const HEADERS_END: u64 = 192 << 10;

/// A replayed log.
pub(super) struct Replayed {
    /// The file with the changes.
    pub(super) file: Overlay,
    /// Number of valid entries.
    pub(super) entries: usize,
    /// The reason why the changes are not written to the file, if there is one.
    obstacle: Option<&'static str>,
    /// Whether the log wraps around its end.
    wraps: bool,
}

impl Replayed {
    /// Returns whether [`Replayed::write_back`] can be called.
    pub(super) fn can_be_written(&self) -> bool {
        self.obstacle.is_none()
    }

    /// Returns the reason why the image is not written to.
    pub(super) fn refusal(&self) -> Refusal {
        let what = format!("its log has changes that were not applied ({} entries", self.entries);
        let (what, advice) = match (self.obstacle, self.wraps) {
            (Some(obstacle), false) => (format!("{what}; {obstacle})"), advice()),
            (Some(obstacle), true) => (format!("{what}; {obstacle})"), WINDOWS_ADVICE.to_owned()),
            (_, true) => (format!("{what})"), WRAP_ADVICE.to_owned()),
            _ => (format!("{what})"), fit_advice()),
        };
        Refusal { code: Code::VhdxLog, what, advice }
    }

    /// Writes the changes to the file, then a header with an empty log ([MS-VHDX] 2.3.3).
    ///
    /// The log stays valid until all changes are durable, so an interrupted replay can be repeated.
    pub(super) fn write_back(&self, file: &dyn Storage, header: &mut Header) -> Result<()> {
        header.announce(file)?;
        self.file.write_to(file)?;
        file.flush()?;
        header.forget_log(file)
    }
}

/// Replays the log in memory.
pub(super) fn replay(file: Arc<dyn Storage>, header: &Header) -> Result<Replayed> {
    let (at, len) = header.log();
    let file_len = file.len()?;
    if len > MOST_BYTES {
        let what = "the log is too large to be replayed";
        return Err(Error::new(Kind::Unsupported, Code::VhdxLogSize, what).expected(MOST_BYTES, len).advise(advice()));
    }
    if at + len > file_len || len == 0 {
        return Err(broken("the log ends past the end of the file", at).expected(file_len, at + len));
    }
    let ring = Ring::read(&*file, at, len, header.log_guid())?;
    let entries = ring.active()?;
    if entries.is_empty() {
        return Err(broken("the log in use has no complete entries", at));
    }
    let mut overlay = Overlay::new(file, file_len);
    let mut changes = 0;
    for entry in &entries {
        changes += entry.descriptors;
        if changes > MOST_CHANGES {
            let what = "the log has too many changes to be replayed";
            return Err(Error::new(Kind::Unsupported, Code::VhdxLogSize, what)
                .expected(MOST_CHANGES, changes)
                .advise(advice()));
        }
        apply(&ring, entry, &mut overlay, at)?;
    }
    let wraps = entries.iter().any(|entry| entry.at + entry.sectors > ring.sectors() || entry.at < entries[0].at);
    let obstacle = obstacle(&overlay, file_len, (at, at + len));
    Ok(Replayed { file: overlay, entries: entries.len(), obstacle, wraps })
}

/// Returns the reason why the changes are not written to the file, if there is one. `log` has the start and end of the
/// log.
fn obstacle(overlay: &Overlay, file_len: u64, log: (u64, u64)) -> Option<&'static str> {
    // The log changes metadata, but never the headers ([MS-VHDX] 2.2.2) or itself.
    if overlay.touches(0, HEADERS_END) || overlay.touches(log.0, log.1) {
        return Some("some of them would overwrite the headers or the log");
    }
    let is_much = overlay.len - file_len > MOST_WRITTEN || overlay.bytes() > MOST_WRITTEN;
    is_much.then_some("they exceed the limit of 64 MiB")
}

/// Applies one entry with a valid checksum.
fn apply(ring: &Ring, entry: &Entry, overlay: &mut Overlay, log: u64) -> Result<()> {
    let place = log + (entry.at * SECTOR) as u64;
    if entry.flushed > overlay.len {
        return Err(broken("the file is shorter than it was when its log was written", place)
            .expected(format_args!("at least {} bytes", entry.flushed), overlay.len)
            .advise("the image is truncated: copy it again"));
    }
    // The sizes of the file and its blocks are multiples of 1 MiB.
    overlay.len = overlay.len.max(entry.last.checked_next_multiple_of(MIB).unwrap_or(entry.last));
    let mut data = entry.at + entry.descriptor_sectors();
    for i in 0..entry.descriptors {
        let descriptor = ring.descriptor(entry, i);
        let (offset, sequence) = (u64_at(descriptor, 16), u64_at(descriptor, 24));
        let malformed = || broken("a descriptor of the log is malformed", place);
        if sequence != entry.sequence || !offset.is_multiple_of(SECTOR as u64) {
            return Err(malformed());
        }
        match &descriptor[..4] {
            b"zero" => {
                let len = u64_at(descriptor, 8);
                let end =
                    offset.checked_add(len).filter(|_| len.is_multiple_of(SECTOR as u64)).ok_or_else(malformed)?;
                overlay.put(offset, end, None);
            }
            b"desc" => {
                let end = offset.checked_add(SECTOR as u64).ok_or_else(malformed)?;
                let sector = ring.sector(data);
                let numbers = u64::from(u32_at(sector, 4)) << 32 | u64::from(u32_at(sector, SECTOR - 4));
                if data == entry.at + entry.sectors || !sector.starts_with(b"data") || numbers != sequence {
                    return Err(broken("a data sector of the log is malformed", place));
                }
                // Signature and sequence number replace the first and last bytes of the sector; the descriptor
                // has them.
                let bytes = [&descriptor[8..16], &sector[8..SECTOR - 4], &descriptor[4..8]].concat();
                overlay.put(offset, end, Some(bytes.into()));
                data += 1;
            }
            _ => return Err(malformed()),
        }
    }
    Ok(())
}

fn broken(what: &str, at: u64) -> Error {
    corrupt(Code::VhdxLogCorrupt, what, at).advise(BROKEN_ADVICE)
}

fn fit_advice() -> String {
    format!("give --replay-image-log, which replays it first, or {}", advice())
}

fn advice() -> String {
    let command = advised::CHECK_REPAIR;
    format!(
        "have the log replayed on a copy of the image: mount it once on Windows, or {command} where it has no parent"
    )
}

/// QEMU (tested: 10.0) ignores the start of the log and replays only a part of such a log.
const WRAP_ADVICE: &str = "give --replay-image-log, which replays it first, or mount a copy of the image once on Windows; do not use qemu-img, which loses a part of a log that wraps around";

const WINDOWS_ADVICE: &str = "have the log replayed on a copy of the image: mount it once on Windows";

const BROKEN_ADVICE: &str = "look for another copy of the image, or let Windows mount a copy of this one";
