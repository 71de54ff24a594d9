//! `$Bitmap`, record 6: which clusters are in use, one bit each.

use super::attribute::kind;
use super::corrupt;
use super::mft::Mft;
use crate::files::Extent;
use hivewright_error::{Error, Kind, Result, Space};
use hivewright_storage::advised;

const RECORD: u64 = 6;
/// Bytes of the map that are looked at in one go.
const PIECE: u64 = 4096;

/// Checks that the map has all clusters of `extents` in use.
pub(crate) fn confirm(mft: &Mft, extents: &[Extent]) -> Result<()> {
    let record = mft.record(RECORD)?;
    let none = || corrupt("ntfs-bitmap", "$Bitmap has no data", record.at);
    let map = mft.stream(&record, kind::DATA, "")?.ok_or_else(none)?;
    let cluster = mft.geometry.cluster;
    let mut piece = (u64::MAX, Vec::new());
    for extent in extents {
        let Some(start) = extent.volume_offset else { continue };
        // So that no more is looked at than there is, whatever the boot sector claims.
        if start + extent.len > mft.cache.len() {
            return Err(corrupt("volume-truncated", "the storage ends before the file does", start)
                .expected(format_args!("more than {} bytes", start + extent.len), mft.cache.len())
                .advise("the image is cut short: copy the disk again"));
        }
        for number in start / cluster..(start + extent.len).div_ceil(cluster) {
            let at = number / 8;
            if piece.0 != at / PIECE {
                let from = at / PIECE * PIECE;
                piece = (at / PIECE, vec![0; usize::try_from(PIECE.min(map.len.saturating_sub(from))).unwrap_or(0)]);
                map.read_at(&mft.cache, from, &mut piece.1)?;
            }
            let byte = usize::try_from(at % PIECE).ok().and_then(|i| piece.1.get(i)).copied().unwrap_or(0);
            if byte >> (number % 8) & 1 == 0 {
                return Err(Error::new(Kind::Corrupt, "file-clusters-free", "a cluster of the file is marked as free")
                    .at(Space::Volume, number * cluster)
                    .advise(format!("before anything is written, {}", advised::repair())));
            }
        }
    }
    Ok(())
}
