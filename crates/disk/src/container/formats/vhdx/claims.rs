//! Checks before the first write that no two blocks overlap: a write to one would change the other.

use super::blocks::{Blocks, bad_entry};
use super::fields::{MIB, index};
use crate::little_endian::u64_at;
use hivewright_error::{Code, Error, Kind, Result};

/// MiB of the largest file that is written to; its bitmap then has 16 MiB.
const MOST_MIB: u64 = 1 << 27;
/// Bytes of the table read at once.
const PIECE: u64 = 64 << 10;

impl Blocks {
    /// Checks all entries of the block allocation table.
    pub(super) fn check_unshared(&self) -> Result<()> {
        let room = self.file_len.div_ceil(MIB);
        if room > MOST_MIB {
            let what = "the file of the image is too large for a write";
            return Err(Error::new(Kind::Unsupported, Code::VhdxFileSize, what)
                .expected(format_args!("up to {MOST_MIB} MiB"), format_args!("{room} MiB")));
        }
        let mut used = vec![0_u64; index(room.div_ceil(64))];
        // The region is large enough: see `Blocks::new`.
        let end = self.entries * 8;
        for start in (0..end).step_by(index(PIECE)) {
            let mut entries = vec![0; index(PIECE.min(end - start))];
            self.file.read_at(self.bat.offset + start, &mut entries)?;
            for (i, entry) in entries.chunks_exact(8).enumerate() {
                let number = start / 8 + i as u64;
                self.claim(&mut used, number, u64_at(entry, 0))?;
            }
        }
        Ok(())
    }

    fn claim(&self, used: &mut [u64], number: u64, entry: u64) -> Result<()> {
        let is_bitmap = number % (self.chunk + 1) == self.chunk;
        let is_of_disk = number - number / (self.chunk + 1) < self.count;
        let is_there = if is_bitmap { self.has_parent && entry & 7 == 6 } else { is_of_disk && entry & 7 >= 6 };
        if !is_there {
            return Ok(());
        }
        let at = self.bat.offset + number * 8;
        let len = if is_bitmap { MIB } else { self.block_size };
        let place = self.place(entry, len, at)?;
        // Offsets and lengths are multiples of 1 MiB.
        for mib in place / MIB..(place + len) / MIB {
            let Some(word) = used.get_mut(index(mib / 64)) else { break };
            if *word >> (mib % 64) & 1 == 1 {
                return Err(bad_entry("two blocks overlap", at)
                    .expected("a place without overlap", format_args!("{place:#x}"))
                    .advise("the image is damaged: use another copy"));
            }
            *word |= 1 << (mib % 64);
        }
        Ok(())
    }
}
