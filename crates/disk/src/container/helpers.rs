//! Code that several formats share: the disk in blocks, pages of tables, decompressed blocks, and qemu-nbd as an
//! engine.

pub(super) mod block_cache;
pub(super) mod block_mapping;
pub(super) mod inflate;
pub(super) mod nbd;
pub(super) mod random;
pub(super) mod tables;
pub(crate) mod xml;

use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::span::end_within;

/// Builds the error for a file of `len` bytes that needs `needed`. `what` says which part is missing.
pub(super) fn cut_short(code: Code, what: impl std::fmt::Display, needed: u64, len: u64) -> Error {
    Error::new(Kind::Corrupt, code, format!("the file is truncated: {what}"))
        .expected(format_args!("{needed} bytes or more"), len)
        .advise("copy it again from its source; the missing bytes cannot be restored")
}

/// Refuses a range that does not lie in a disk of `size` bytes.
pub(super) fn within_disk(size: u64, offset: u64, len: usize) -> Result<()> {
    let end = end_within("the disk", size, offset, len);
    end.map(drop).map_err(|error| error.at(Space::Disk, offset))
}
