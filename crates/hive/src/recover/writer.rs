//! Writes small hives and logs for the tests, according to the specification, without the code of the reader.

use zerocopy::IntoBytes;

use crate::regf::base_block::BaseBlock;
use crate::regf::marvin32::{LOG_SEED, marvin32};

/// The timestamp of all hives and logs.
pub(super) const STAMP: u64 = 0x01d2_9627_f1c8_a860;

/// Returns a base block; `file_type` is 0 for a hive, 1 or 6 for a log.
pub(super) fn base(sequences: [u32; 2], length: u32, file_type: u32) -> BaseBlock {
    let mut bytes = [0u8; 512];
    bytes[..4].copy_from_slice(b"regf");
    let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    put(4, sequences[0]);
    put(8, sequences[1]);
    for (at, word) in [(20, 1), (24, 5), (28, file_type), (32, 1), (36, 0x20), (40, length), (44, 1)] {
        put(at, word);
    }
    bytes[12..20].copy_from_slice(&STAMP.to_le_bytes());
    bytes[48..60].copy_from_slice(b"S\0Y\0S\0T\0E\0M\0");
    bytes[112..128].fill(0x5a);
    bytes[164..168].copy_from_slice(b"rmtm");
    seal(BaseBlock::parse(&bytes).unwrap())
}

pub(super) fn seal(mut base: BaseBlock) -> BaseBlock {
    base.checksum = base.computed_checksum().into();
    base
}

/// Returns a hive of `bins` bins of 4096 bytes. The first holds the root, the others are filled with their number.
pub(super) fn hive(sequences: [u32; 2], bins: u32) -> Vec<u8> {
    let mut out = vec![0; 4096];
    out[..512].copy_from_slice(base(sequences, bins * 4096, 0).as_bytes());
    for i in 0..bins {
        out.extend(bin(i * 4096, u8::try_from(i).unwrap()));
    }
    out
}

/// Returns a bin at `offset`, `marker` in all of its free space; the first one holds the root key.
pub(super) fn bin(offset: u32, marker: u8) -> Vec<u8> {
    let mut out = vec![marker; 4096];
    out[..32].fill(0);
    out[..4].copy_from_slice(b"hbin");
    out[4..8].copy_from_slice(&offset.to_le_bytes());
    out[8..12].copy_from_slice(&4096u32.to_le_bytes());
    let mut free = 32;
    if offset == 0 {
        out[20..28].copy_from_slice(&STAMP.to_le_bytes());
        let root = &mut out[32..32 + 88];
        root.fill(0);
        root[..4].copy_from_slice(&(-88i32).to_le_bytes());
        root[4..8].copy_from_slice(&[b'n', b'k', 0x24, 0]);
        root[4 + 72] = 4;
        root[4 + 76..4 + 80].copy_from_slice(b"ROOT");
        free += 88;
    }
    let size = i32::try_from(4096 - free).unwrap();
    out[free..free + 4].copy_from_slice(&size.to_le_bytes());
    out
}

/// The fields of a log entry.
#[derive(Clone)]
pub(super) struct EntrySpec {
    pub(super) sequence: u32,
    pub(super) length: u32,
    pub(super) flags: u32,
    pub(super) pages: Vec<(u32, Vec<u8>)>,
}

/// Returns an entry that fills the bin at `offset` of a hive of `length` with `marker`.
pub(super) fn entry(sequence: u32, length: u32, offset: u32, marker: u8) -> EntrySpec {
    EntrySpec { sequence, length, flags: 0, pages: vec![(offset, bin(offset, marker))] }
}

impl EntrySpec {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut out = b"HvLE\0\0\0\0".to_vec();
        for word in [self.flags, self.sequence, self.length, u32::try_from(self.pages.len()).unwrap()] {
            out.extend(word.to_le_bytes());
        }
        out.extend([0; 16]);
        for (offset, data) in &self.pages {
            out.extend(offset.to_le_bytes());
            out.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        }
        for (_, data) in &self.pages {
            out.extend(data);
        }
        out.resize(out.len().next_multiple_of(512), 0);
        let size = u32::try_from(out.len()).unwrap();
        out[4..8].copy_from_slice(&size.to_le_bytes());
        rehash(&mut out);
        out
    }
}

/// Updates both hashes of an entry.
pub(super) fn rehash(entry: &mut [u8]) {
    let hash = marvin32(LOG_SEED, &entry[40..]);
    entry[24..32].copy_from_slice(&hash.to_le_bytes());
    rehash_header(entry);
}

/// Updates hash 2 only.
pub(super) fn rehash_header(entry: &mut [u8]) {
    let hash = marvin32(LOG_SEED, &entry[..32]);
    entry[32..40].copy_from_slice(&hash.to_le_bytes());
}

/// Returns a log of the new format that begins with the first entry's number.
pub(super) fn hvle(entries: &[EntrySpec]) -> Vec<u8> {
    let first = &entries[0];
    let mut out = base([first.sequence; 2], first.length, 6).as_bytes().to_vec();
    for entry in entries {
        out.extend(entry.bytes());
    }
    out
}

/// Returns a log of the old format; `pages` are ascending and have multiples of 512 bytes.
pub(super) fn dirt(head: &BaseBlock, pages: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut out = head.as_bytes().to_vec();
    let mut vector = vec![0u8; head.length.get() as usize / 4096];
    for (offset, data) in pages {
        for bit in (*offset as usize / 512..).take(data.len() / 512) {
            vector[bit / 8] |= 1 << (bit % 8);
        }
    }
    out.extend(b"DIRT");
    out.extend(vector);
    out.resize(out.len().next_multiple_of(512), 0);
    for (_, data) in pages {
        out.extend(data);
    }
    out
}
