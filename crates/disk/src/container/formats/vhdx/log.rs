//! The log: changes of metadata that may not have reached their places yet ([MS-VHDX] 2.3).
//!
//! An image whose log counts is read as if the log had been replayed; the file stays as it is. Its writer must replay
//! it before anything else, so that no data is written to it here, unless [`Gate::replay_log`] asks for that. A header that says that the log counts while the log
//! holds no sequence of entries that is whole is an error for reading too ([MS-VHDX] 2.3.3): which of the metadata holds
//! is then unknown, and reading it would be a guess.

mod entry;
mod overlay;

use std::sync::Arc;

use entry::{Entry, Ring, SECTOR};
pub(super) use overlay::Overlay;

use super::fields::{MIB, corrupt, u32_at, u64_at};
use super::header::Header;
use crate::container::Refusal;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// Bytes of the longest log that is replayed. Hyper-V makes logs of 1 MiB.
const MOST_BYTES: u64 = 64 << 20;
/// How many changes are replayed.
const MOST_CHANGES: usize = 1 << 18;
/// Bytes of the changes that are brought to the file, and by which it grows: they go through memory and an undo file.
const MOST_BROUGHT: u64 = 64 << 20;
/// Where the headers end, and the region tables begin, which are logged.
const HEADERS_END: u64 = 192 << 10;

/// A log that has been replayed.
pub(super) struct Replayed {
    /// The file as it will be.
    pub(super) file: Overlay,
    /// How many entries counted.
    pub(super) entries: usize,
    /// Why its changes are not brought to the file here, if so.
    unfit: Option<&'static str>,
    /// Whether it goes on at its start.
    goes_round: bool,
}

impl Replayed {
    /// Whether [`Replayed::bring`] can be called.
    pub(super) fn is_fit(&self) -> bool {
        self.unfit.is_none()
    }

    /// Why the image is not written to as it is.
    pub(super) fn refusal(&self) -> Refusal {
        let what = format!("its log holds changes that are not yet in their places ({} entries", self.entries);
        let (what, advice) = match (self.unfit, self.goes_round) {
            (Some(unfit), false) => (format!("{what}; {unfit})"), advice()),
            (Some(unfit), true) => (format!("{what}; {unfit})"), WINDOWS_ADVICE.to_owned()),
            (_, true) => (format!("{what})"), ROUND_ADVICE.to_owned()),
            _ => (format!("{what})"), fit_advice()),
        };
        Refusal { code: Code::VhdxLog, what, advice }
    }

    /// Brings the changes to the file, and puts a header after which the log no longer counts ([MS-VHDX] 2.3.3).
    ///
    /// The log counts until all of them are durable: whatever was written of them, a replay gives the same file.
    pub(super) fn bring(&self, file: &dyn Storage, header: &mut Header) -> Result<()> {
        header.announce(file)?;
        self.file.write_to(file)?;
        file.flush()?;
        header.forget_log(file)
    }
}

/// Replays the log over the file.
pub(super) fn replay(file: Arc<dyn Storage>, header: &Header) -> Result<Replayed> {
    let (at, len) = header.log();
    let file_len = file.len()?;
    if len > MOST_BYTES {
        let what = "the log has entries and is longer than those that are replayed";
        return Err(Error::new(Kind::Unsupported, Code::VhdxLogSize, what).expected(MOST_BYTES, len).advise(advice()));
    }
    if at + len > file_len || len == 0 {
        return Err(broken("the log ends behind the end of the file", at).expected(file_len, at + len));
    }
    let ring = Ring::read(&*file, at, len, header.log_guid())?;
    let entries = ring.active()?;
    if entries.is_empty() {
        return Err(broken("the header says that the log counts, and the log has no entries that are whole", at));
    }
    let mut overlay = Overlay::new(file, file_len);
    let mut changes = 0;
    for entry in &entries {
        changes += entry.descriptors;
        if changes > MOST_CHANGES {
            let what = "the log has more changes than are replayed";
            return Err(Error::new(Kind::Unsupported, Code::VhdxLogSize, what)
                .expected(MOST_CHANGES, changes)
                .advise(advice()));
        }
        apply(&ring, entry, &mut overlay, at)?;
    }
    let goes_round = entries.iter().any(|entry| entry.at + entry.sectors > ring.sectors() || entry.at < entries[0].at);
    let unfit = unfit(&overlay, file_len, (at, at + len));
    Ok(Replayed { file: overlay, entries: entries.len(), unfit, goes_round })
}

/// Why changes are not brought to the file, if so. `log` is where the log begins and ends.
fn unfit(overlay: &Overlay, file_len: u64, log: (u64, u64)) -> Option<&'static str> {
    // What is logged is metadata, but for headers ([MS-VHDX] 2.2.2), and the log is none.
    if overlay.touches(0, HEADERS_END) || overlay.touches(log.0, log.1) {
        return Some("some of them would go over the headers or over the log");
    }
    let is_much = overlay.len - file_len > MOST_BROUGHT || overlay.bytes() > MOST_BROUGHT;
    is_much.then_some("they are more than are made in memory")
}

/// Applies one entry, whose checksum is right.
fn apply(ring: &Ring, entry: &Entry, overlay: &mut Overlay, log: u64) -> Result<()> {
    let place = log + (entry.at * SECTOR) as u64;
    if entry.flushed > overlay.len {
        return Err(broken("the file is shorter than it was when its log was written", place)
            .expected(format_args!("at least {} bytes", entry.flushed), overlay.len)
            .advise("the image is cut short: copy it again"));
    }
    // The file has whole MiB, and so do its blocks.
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
                // The ends of the sector made room for signature and sequence number.
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
    format!("give --replay-image-log, which brings them to their places first; or {}", advice())
}

fn advice() -> String {
    let command = advised::CHECK_REPAIR;
    format!(
        "have the log replayed on a copy of the image: mount it once on Windows, or {command} where it has no parent"
    )
}

/// QEMU (10.0 was looked at) does not ask where a log begins, and replays a part of such a log.
const ROUND_ADVICE: &str = "give --replay-image-log, which brings them to their places first; or mount a copy of the image \
                            once on Windows; not qemu-img, which loses a part of a log that goes on at its start";

const WINDOWS_ADVICE: &str = "have the log replayed on a copy of the image: mount it once on Windows";

const BROKEN_ADVICE: &str = "look for another copy of the image, or let Windows mount a copy of this one";
