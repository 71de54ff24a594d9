//! Files of a FAT volume: follows the chain of clusters to extents.

use std::sync::Arc;

use super::chain::Chain;
use super::{DirEntry, Geometry, corrupt};
use crate::files::{Extents, Facts, FileInVolume, Traits};
use hivewright_error::{Code, Result};
use hivewright_storage::Storage;

/// Follows the chain of `entry` to its end.
pub(super) fn open(volume: Arc<dyn Storage>, geometry: &Geometry, entry: &DirEntry) -> Result<FileInVolume> {
    let mut extents = Extents::default();
    // An empty file has no chain: its first cluster is 0.
    if entry.first_cluster != 0 || entry.len != 0 {
        let mut chain = Chain::new(&*volume, geometry, entry.first_cluster);
        while let Some(offset) = chain.next()?.and_then(|cluster| geometry.offset_of(cluster)) {
            // At most 2^28 clusters: this ends far below 2^63.
            let _ = extents.push(Some(offset), u64::from(geometry.cluster_size));
        }
    }
    if extents.len() < entry.len {
        return Err(corrupt(Code::FatChainShort, "the cluster chain ends before the file does", entry.offset)
            .expected(format_args!("{} bytes", entry.len), extents.len()));
    }
    let facts = Facts {
        id: u64::from(entry.first_cluster),
        len: entry.len,
        valid_len: entry.len,
        covered_len: extents.len(),
        links: 1,
        traits: Traits::default(),
    };
    Ok(FileInVolume::new(volume, facts, extents, None))
}
