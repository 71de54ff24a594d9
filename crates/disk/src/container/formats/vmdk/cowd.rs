//! The header of a COWD sparse extent, which ESX hosts write for snapshots: `-delta.vmdk`.
//!
//! Facts: *Virtual Disk Format 5.0*, "ESXi Host Sparse Extents"; libvmdk, "The COWD sparse extent data file". All
//! numbers are 32 bits, little-endian, offsets and sizes in sectors: magic 0, version 4, flags 8, capacity 12, grain
//! size 16, directory 20 and its entries 24, next free sector 28, unclean 1648. The header has four sectors, a table
//! always 4096 entries.

use std::sync::Arc;

use super::grains::Layout;
use super::{SECTOR, broken, refusal};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::span::placed;

pub(super) const MAGIC: &[u8] = b"COWD";
const PER_TABLE: u64 = 4096;
const HEADER: usize = 2048;

pub(super) fn layout(file: &Arc<dyn Storage>) -> Result<Layout> {
    let mut bytes = [0; HEADER];
    let wrong = |code, what: &str| Err(placed(broken(code, what), &**file, 0));
    if file.len()? < HEADER as u64 {
        return wrong(Code::VmdkHeader, "the file is shorter than a header");
    }
    file.read_at(0, &mut bytes)?;
    let u32 = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let sectors = |at: usize| u64::from(u32(at)) * SECTOR;
    if !bytes.starts_with(MAGIC) {
        return wrong(Code::VmdkMagic, "the extent is not an ESX sparse extent");
    }
    if u32(4) != 1 {
        // Workstation 3 wrote version 3, with other tables.
        let what = format!("version {} of ESX sparse extents is not supported", u32(4));
        return Err(placed(Error::new(Kind::Unsupported, Code::VmdkVersion, what), &**file, 4));
    }
    let (capacity, grain) = (sectors(12), sectors(16));
    if grain == 0 || capacity.div_ceil(grain).div_ceil(PER_TABLE) > u64::from(u32(24)) {
        return wrong(Code::VmdkHeader, "the grain directory is too small for the extent");
    }
    let advice =
        format!("start its virtual machine and shut it down, or convert the chain: {}", advised::TO_SPARSE_VMDK);
    let unclean =
        || refusal(Code::VmdkUnclean, "it was not closed: a virtual machine uses it, or has crashed", &advice);
    Ok(Layout {
        capacity,
        grain,
        per_table: PER_TABLE,
        directory: sectors(20),
        metadata: vec![(0, HEADER as u64)],
        refusal: (u32(1648) != 0).then(unclean),
        ..Layout::default()
    })
}
