//! The boot sector: sizes, and the location of the records (Linux-NTFS documentation, "$Boot"; libfsntfs, "The volume
//! header"; cluster sizes above 64 KiB as `mkntfs` and Windows 10 1709 and later write them).

use zerocopy::little_endian::{U16, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{corrupt, unsupported};
use hivewright_error::{Code, Error, Result};
use hivewright_storage::advised;

/// Number of bytes of the boot sector that are read. In sectors of 4096 bytes, it is in the first 512 too.
pub const SIZE: usize = 512;

#[derive(Clone, Copy, Debug, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct BootSector {
    jump: [u8; 3],
    /// 3: `NTFS` and four spaces.
    oem_id: [u8; 8],
    /// 11.
    bytes_per_sector: U16,
    /// 13: up to 128, or 256 minus the power of two.
    sectors_per_cluster: u8,
    unused: [u8; 26],
    /// 40: sectors of the volume without the backup boot sector.
    sectors: U64,
    /// 48: first cluster of `$MFT`.
    mft_cluster: U64,
    /// 56: first cluster of `$MFTMirr`.
    mirror_cluster: U64,
    /// 64: clusters, or the negative power of two of bytes.
    record_size: i8,
    reserved: [u8; 3],
    /// 68: the same for index blocks.
    index_block_size: i8,
    reserved_too: [u8; 3],
    /// 72.
    serial: U64,
    rest: [u8; 432],
}

/// The geometry of a volume, checked so that no sum of sizes overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Bytes: 256 to 4096.
    pub sector: u64,
    /// Bytes: a power of two up to 2 MiB.
    pub cluster: u64,
    /// Number of clusters.
    pub clusters: u64,
    /// Length in bytes according to the boot sector, without the backup boot sector.
    pub bytes: u64,
    /// Volume offset of the first record.
    pub mft: u64,
    /// Volume offset of the copy of the first four.
    pub mirror: u64,
    /// Bytes of a file record: 512 to 64 KiB.
    pub record: usize,
    /// The volume's serial number.
    pub serial: u64,
}

/// The largest cluster.
pub const MAX_CLUSTER: u64 = 2 << 20;
/// The largest record or index block that is read.
pub const MAX_BLOCK: u64 = 64 << 10;

impl Geometry {
    /// Parses a boot sector at volume offset `at`.
    ///
    /// # Errors
    /// `ntfs-boot-sector` (unsupported if it is not NTFS, corrupt if a field is out of range), `bitlocker`, `refs`.
    pub fn parse(bytes: &[u8; SIZE], at: u64) -> Result<Geometry> {
        let boot: BootSector = zerocopy::transmute!(*bytes);
        if boot.oem_id != *b"NTFS    " {
            return Err(not_ntfs(boot.oem_id, at));
        }
        let wrong = |what, field: u64| corrupt(Code::NtfsBootSector, what, at + field);
        let sector = u64::from(boot.bytes_per_sector.get());
        if !sector.is_power_of_two() || !(256..=4096).contains(&sector) {
            return Err(wrong("bytes per sector", 11).expected("a power of two from 256 to 4096", sector));
        }
        let cluster = cluster_size(sector, boot.sectors_per_cluster)
            .ok_or_else(|| wrong("sectors per cluster", 13).expected("a power of two", boot.sectors_per_cluster))?;
        let bytes = boot.sectors.get().checked_mul(sector).filter(|&bytes| bytes <= i64::MAX as u64);
        let bytes = bytes.ok_or_else(|| wrong("the number of sectors of the volume is too large", 40))?;
        let clusters = bytes / cluster;
        let place = |number: U64, field, what| match number.get() {
            n if n > 0 && n < clusters => Ok(n * cluster),
            n => Err(wrong(what, field).expected(format_args!("a cluster below {clusters}"), n)),
        };
        let record = block_size(cluster, boot.record_size)
            .ok_or_else(|| wrong("the size of a file record", 64).expected("512 to 65536 bytes", boot.record_size))?;
        Ok(Geometry {
            sector,
            cluster,
            clusters,
            bytes,
            mft: place(boot.mft_cluster, 48, "the first cluster of $MFT")?,
            mirror: place(boot.mirror_cluster, 56, "the first cluster of $MFTMirr")?,
            record,
            serial: boot.serial.get(),
        })
    }
}

/// Returns whether the sector may be a damaged one of NTFS: it has the signature, or is wiped.
pub fn is_damaged(bytes: &[u8; SIZE]) -> bool {
    bytes[3..7] == *b"NTFS" || bytes.iter().all(|&byte| byte == bytes[0])
}

fn cluster_size(sector: u64, field: u8) -> Option<u64> {
    let sectors = match field {
        1..=128 => u64::from(field),
        // 256 - n is the power of two; 2^12 sectors of 512 bytes make 2 MiB.
        244..=255 => 1 << (256 - u32::from(field)),
        _ => return None,
    };
    let cluster = sector * sectors;
    (sectors.is_power_of_two() && cluster <= MAX_CLUSTER).then_some(cluster)
}

fn block_size(cluster: u64, field: i8) -> Option<usize> {
    let size = match field {
        1.. => cluster * u64::from(field.unsigned_abs()),
        -16..=-9 => 1 << field.unsigned_abs(),
        _ => return None,
    };
    let good = size.is_power_of_two() && (512..=MAX_BLOCK).contains(&size);
    good.then(|| usize::try_from(size).ok()).flatten()
}

fn not_ntfs(oem_id: [u8; 8], at: u64) -> Error {
    match &oem_id {
        b"-FVE-FS-" => {
            unsupported(Code::Bitlocker, "the volume is encrypted by BitLocker", at).advise(advised::unlock())
        }
        b"ReFS\0\0\0\0" => unsupported(Code::Refs, "the volume is ReFS, which is not supported", at),
        _ => unsupported(Code::NtfsBootSector, "not an NTFS volume: the boot sector's signature is missing", at)
            .expected("\"NTFS    \"", format_args!("\"{}\"", oem_id.escape_ascii())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(per_sector: u16, per_cluster: u8, record: i8) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        bytes[3..11].copy_from_slice(b"NTFS    ");
        bytes[11..13].copy_from_slice(&per_sector.to_le_bytes());
        bytes[13] = per_cluster;
        bytes[40..48].copy_from_slice(&(1u64 << 32).to_le_bytes());
        bytes[48] = 4;
        bytes[56] = 8;
        bytes[64] = record as u8;
        bytes
    }

    #[test]
    fn every_cluster_size_is_read() {
        for (per_sector, per_cluster, cluster) in [
            (512, 1, 512),
            (512, 8, 4096),
            (512, 128, 65536),
            (512, 0xf4, 2 << 20),
            (4096, 0xf7, 2 << 20),
            (4096, 1, 4096),
        ] {
            let geometry = Geometry::parse(&sector(per_sector, per_cluster, -10), 0).unwrap();
            assert_eq!((geometry.cluster, geometry.record), (cluster, 1024));
            assert_eq!(geometry.mft, 4 * cluster);
        }
        assert_eq!(Geometry::parse(&sector(512, 2, 1), 0).unwrap().record, 1024);
        for (per_sector, per_cluster, record) in [
            (513, 8, -10),
            (512, 0, -10),
            (512, 3, -10),
            (512, 0x90, -10),
            (4096, 0xf4, -10),
            (512, 8, -8),
            (512, 8, 0),
        ] {
            let error = Geometry::parse(&sector(per_sector, per_cluster, record), 0).unwrap_err();
            assert_eq!(error.code(), "ntfs-boot-sector", "{per_sector} {per_cluster} {record}");
        }
    }

    #[test]
    fn sizes_above_the_limit_are_errors() {
        let mut bytes = sector(512, 8, -10);
        bytes[40..48].copy_from_slice(&(u64::MAX / 512).to_le_bytes());
        assert_eq!(Geometry::parse(&bytes, 0).unwrap_err().code(), "ntfs-boot-sector");
        bytes[40..48].copy_from_slice(&(1u64 << 40).to_le_bytes());
        bytes[48..56].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Geometry::parse(&bytes, 0).unwrap_err().code(), "ntfs-boot-sector");
    }

    #[test]
    fn other_file_systems_are_named() {
        let mut bytes = sector(512, 8, -10);
        bytes[3..11].copy_from_slice(b"-FVE-FS-");
        assert_eq!(Geometry::parse(&bytes, 0).unwrap_err().code(), "bitlocker");
        assert!(!is_damaged(&bytes), "a backup of what was there before must not be taken for it");
        assert!(is_damaged(&[0; SIZE]));
    }
}
