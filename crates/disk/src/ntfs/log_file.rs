//! `$LogFile`, record 2: whether it was closed cleanly. Only the two restart pages at its start are read (Linux-NTFS,
//! "Journal ($LogFile) organization"); the decision is that of ntfs-3g, without a replay.

use zerocopy::little_endian::{I16, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::attribute::kind;
use super::mft::Mft;
use super::stream::Stream;
use super::{corrupt, fixup};
use crate::files::Journal;
use hivewright_error::{Code, Kind, Result};

const RECORD: u64 = 2;
/// Maximum size of a page of the log.
const MAX_PAGE: u32 = 64 << 10;

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Page {
    /// `RSTR`, or `CHKD` after chkdsk.
    signature: [u8; 4],
    fixup: [u8; 4],
    chkdsk_sequence: U64,
    /// 16: bytes of a restart page.
    size: U32,
    log_page_size: U32,
    /// 24.
    area: U16,
    /// 26.
    minor: I16,
    /// 28.
    major: I16,
}

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Area {
    sequence: U64,
    clients: U16,
    free_clients: U16,
    /// 12: the first client that holds the log; all ones for none.
    used_clients: U16,
    /// 14.
    flags: U16,
}

const NO_CLIENT: u16 = u16::MAX;
/// The volume was dismounted cleanly.
const IS_CLEAN: u16 = 2;

/// Returns the state of the journal. An unreadable journal is a state; only I/O errors are errors.
pub(crate) fn state(mft: &Mft) -> Result<Journal> {
    match read(mft) {
        Err(error) if error.kind() == Kind::Io => Err(error),
        Err(error) => Ok(Journal::Unreadable(error.code())),
        ok => ok,
    }
}

fn read(mft: &Mft) -> Result<Journal> {
    let record = mft.record(RECORD)?;
    let none = || corrupt(Code::NtfsLog, "$LogFile has no data", record.at);
    let stream = mft.stream(&record, kind::DATA, "")?.ok_or_else(none)?;
    let mut start = [0; 4096];
    stream.read_at(&mft.cache, 0, &mut start)?;
    if start.iter().all(|&byte| byte == 0xff) {
        return Ok(Journal::Empty);
    }
    let (first, size) = page(mft, &stream, 0, u32::try_from(start.len()).unwrap_or(0))?;
    // The second copy follows the first. The newer one is used.
    let second = page(mft, &stream, u64::from(size), size).ok().map(|(area, _)| area);
    let newer = second.filter(|second| second.0 > first.0).unwrap_or(first);
    Ok(Journal::Restart { version: newer.1, clean: newer.2 })
}

/// Sequence number, version, whether it is clean, and the bytes of a restart page.
type Restart = (u64, (i16, i16), bool);

fn page(mft: &Mft, stream: &Stream, offset: u64, guess: u32) -> Result<(Restart, u32)> {
    let wrong = |what| corrupt(Code::NtfsLog, what, stream.at);
    let mut bytes = vec![0; guess as usize];
    stream.read_at(&mft.cache, offset, &mut bytes)?;
    let header = |bytes: &[u8]| Page::read_from_prefix(bytes).map(|(page, _)| page).map_err(|_| wrong("too short"));
    let page = header(&bytes)?;
    if ![*b"RSTR", *b"CHKD"].contains(&page.signature) {
        return Err(wrong("$LogFile has no restart page")
            .expected("\"RSTR\"", format_args!("\"{}\"", page.signature.escape_ascii())));
    }
    let size = page.size.get();
    if !size.is_power_of_two() || !(512..=MAX_PAGE).contains(&size) {
        return Err(wrong("the size of a restart page").expected("a power of two from 512 to 65536", size));
    }
    bytes.resize(size as usize, 0);
    stream.read_at(&mft.cache, offset, &mut bytes)?;
    fixup::apply(&mut bytes, stream.at, Code::NtfsLogTorn)?;
    let area = bytes.get(usize::from(page.area.get())..).and_then(|tail| Area::read_from_prefix(tail).ok());
    let (area, _) = area.ok_or_else(|| wrong("the restart area lies outside its page"))?;
    let clean = area.used_clients.get() == NO_CLIENT || area.flags.get() & IS_CLEAN != 0;
    Ok(((area.sequence.get(), (page.major.get(), page.minor.get()), clean), size))
}
