//! GUID partition tables (UEFI 2.10, 5.3): header, entries, and the backup of both.

use super::disk::{Disk, Warnings};
use super::guid::Guid;
use super::layout::{self, Entry};
use super::{Partition, Scheme, Table, TableSource, types};
use crate::little_endian::{u32_at, u64_at};
use hivewright_error::{Code, Result};

const SIGNATURE: &[u8; 8] = b"EFI PART";
/// Sector sizes of disks. The offset of the header determines the size.
const SECTOR_SIZES: [u32; 2] = [512, 4096];
/// Maximum size of an entry array in bytes: 32768 entries of 128 bytes. Real tables have 128 entries.
const MOST_ENTRY_BYTES: u64 = 4 << 20;

/// The defect of a copy of the table.
#[derive(Clone, Debug)]
pub(super) struct GptDefect {
    pub(super) code: Code,
    pub(super) what: String,
    /// Offset on the disk, in bytes.
    pub(super) offset: u64,
}

/// The parts of a header that passed its checks.
struct Header {
    sector_size: u32,
    alternate_lba: u64,
    first_usable: u64,
    last_usable: u64,
    disk_guid: Guid,
    entries_lba: u64,
    entry_count: u32,
    entry_size: u32,
    entries_crc: u32,
}

/// A valid copy of the table.
pub(super) struct Gpt {
    header: Header,
    entries: Vec<u8>,
    source: TableSource,
}

/// Reports an unexpected primary header.
pub(super) fn warn_if_present(disk: &Disk<'_>, warnings: &mut Warnings, why: &str) -> Result<()> {
    for size in SECTOR_SIZES {
        if disk.sector(1, size)?.is_some_and(|sector| sector.starts_with(SIGNATURE)) {
            warnings.push(Code::StaleGpt, format!("a GPT is not used, because {why}"));
            break;
        }
    }
    Ok(())
}

/// Returns the primary table, else the backup, else the defect of the primary. `protected_last` is the last sector that
/// the protective MBR covers.
pub(super) fn find(
    disk: &Disk<'_>,
    protected_last: Option<u64>,
    warnings: &mut Warnings,
) -> Result<std::result::Result<Gpt, GptDefect>> {
    let mut defect = GptDefect { code: Code::GptSignature, what: "the GPT header is missing".to_owned(), offset: 512 };
    let mut sizes = SECTOR_SIZES;
    let mut alternate = None;
    for size in SECTOR_SIZES {
        match read_copy(disk, 1, size)? {
            Ok((header, entries)) => {
                check_backup(disk, &header, warnings)?;
                return Ok(Ok(Gpt { header, entries, source: TableSource::Primary }));
            }
            Err(this) if this.code == Code::GptSignature => {}
            Err(this) => {
                // The offset of a damaged header, and of the backup that it names, are still plausible.
                defect = this;
                sizes = [size, 512 + 4096 - size];
                alternate = disk.sector(1, size)?.map(|sector| u64_at(&sector, 32));
                break;
            }
        }
    }
    for size in sizes {
        let last = (disk.len / u64::from(size)).checked_sub(1);
        for lba in [last, alternate, protected_last].into_iter().flatten().filter(|&lba| lba > 1) {
            if let Ok((header, entries)) = read_copy(disk, lba, size)? {
                // The header was read from this place.
                let offset = lba.saturating_mul(u64::from(size));
                let source = TableSource::Backup { code: defect.code, why: defect.what, offset };
                return Ok(Ok(Gpt { header, entries, source }));
            }
        }
    }
    Ok(Err(defect))
}

/// Reports a backup that is missing or differs.
fn check_backup(disk: &Disk<'_>, primary: &Header, warnings: &mut Warnings) -> Result<()> {
    match read_header(disk, primary.alternate_lba, primary.sector_size)? {
        Err(defect) => warnings.push(Code::GptBackupDamaged, format!("the backup GPT is invalid: {}", defect.what)),
        Ok(backup) if backup.entries_crc != primary.entries_crc => {
            warnings.push(Code::GptBackupDiffers, "the backup GPT has other entries than the primary");
        }
        Ok(_) => {}
    }
    Ok(())
}

/// Returns the header at `lba` and its entries, both with valid checksums.
fn read_copy(disk: &Disk<'_>, lba: u64, sector_size: u32) -> Result<std::result::Result<(Header, Vec<u8>), GptDefect>> {
    let header = match read_header(disk, lba, sector_size)? {
        Ok(header) => header,
        Err(defect) => return Ok(Err(defect)),
    };
    let bytes = u64::from(header.entry_count) * u64::from(header.entry_size);
    let offset = header.entries_lba.checked_mul(u64::from(sector_size));
    let defect = |code, what: &str| GptDefect { code, what: what.to_owned(), offset: offset.unwrap_or(u64::MAX) };
    if bytes > MOST_ENTRY_BYTES {
        return Ok(Err(defect(Code::GptEntryCount, "the GPT has too many entries")));
    }
    let entries = match (offset, usize::try_from(bytes)) {
        (Some(offset), Ok(bytes)) => disk.read(offset, bytes)?,
        _ => None,
    };
    Ok(match entries {
        None => Err(defect(Code::GptEntriesPastEnd, "the entries of the GPT lie past the end of the disk")),
        Some(entries) if crc32fast::hash(&entries) != header.entries_crc => {
            Err(defect(Code::GptEntriesCrc, "the checksum of the GPT's entries is wrong"))
        }
        Some(entries) => Ok((header, entries)),
    })
}

/// Returns the header at `lba` (UEFI 2.10, table 5.5), validated except for its entries.
fn read_header(disk: &Disk<'_>, lba: u64, sector_size: u32) -> Result<std::result::Result<Header, GptDefect>> {
    let offset = lba.saturating_mul(u64::from(sector_size));
    let defect = |code, what: &str| Ok(Err(GptDefect { code, what: what.to_owned(), offset }));
    let Some(sector) = disk.sector(lba, sector_size)? else {
        return defect(Code::GptSignature, "the GPT header lies past the end of the disk");
    };
    if !sector.starts_with(SIGNATURE) {
        return defect(Code::GptSignature, "the GPT header is missing");
    }
    let header_size = u32_at(&sector, 12);
    if !(92..=sector_size).contains(&header_size) {
        return defect(Code::GptHeaderSize, "the size of the GPT header is invalid");
    }
    let mut checked = sector[..header_size as usize].to_vec();
    checked[16..20].fill(0);
    if crc32fast::hash(&checked) != u32_at(&sector, 16) {
        return defect(Code::GptHeaderCrc, "the checksum of the GPT header is wrong");
    }
    if u32_at(&sector, 8) >> 16 != 1 {
        return defect(Code::GptRevision, "the GPT has an unknown revision");
    }
    if u64_at(&sector, 24) != lba {
        return defect(Code::GptMyLba, "the sector number in the GPT header is wrong");
    }
    let entry_size = u32_at(&sector, 84);
    if entry_size < 128 || !entry_size.is_power_of_two() {
        return defect(Code::GptEntrySize, "the size of a GPT entry is not 128 * 2^n");
    }
    Ok(Ok(Header {
        sector_size,
        alternate_lba: u64_at(&sector, 32),
        first_usable: u64_at(&sector, 40),
        last_usable: u64_at(&sector, 48),
        disk_guid: Guid::at(&sector, 56),
        entries_lba: u64_at(&sector, 72),
        entry_count: u32_at(&sector, 80),
        entry_size,
        entries_crc: u32_at(&sector, 88),
    }))
}

impl Gpt {
    pub(super) fn into_table(self, disk: &Disk<'_>, mut warnings: Warnings) -> Result<Table> {
        let header = &self.header;
        let mut partitions = Vec::new();
        for (number, entry) in (1..).zip(self.entries.chunks_exact(header.entry_size as usize)) {
            partitions.extend(partition(number, entry, header, disk, &mut warnings));
        }
        layout::finish(disk, &mut partitions, &mut warnings)?;
        Ok(Table {
            scheme: Scheme::Gpt,
            sector_size: header.sector_size,
            disk_len: disk.len,
            disk_id: Some(header.disk_guid.to_string()),
            source: self.source,
            warnings: warnings.into_vec(),
            partitions,
        })
    }
}

/// Returns a partition of one entry (UEFI 2.10, table 5.6), if it is used and valid.
fn partition(
    number: u32,
    entry: &[u8],
    header: &Header,
    disk: &Disk<'_>,
    warnings: &mut Warnings,
) -> Option<Partition> {
    let type_guid = Guid::at(entry, 0);
    if type_guid.is_zero() {
        return None;
    }
    let (first, last) = (u64_at(entry, 32), u64_at(entry, 40));
    let Some(sectors) = last.checked_sub(first).and_then(|n| n.checked_add(1)) else {
        warnings.push(Code::PartitionRange, format!("partition {number} ends before it begins, so it is left out"));
        return None;
    };
    if first < header.first_usable || last > header.last_usable {
        let what = format!("partition {number} exceeds the range that the GPT reserves for partitions");
        warnings.push(Code::PartitionOutsideUsable, what);
    }
    let type_id = type_guid.to_string();
    let type_name = types::gpt_name(&type_id);
    let attributes = u64_at(entry, 48);
    let partition =
        Entry { number, first, sectors }.into_partition(type_id, type_name, header.sector_size, disk, warnings)?;
    Some(Partition {
        unique_id: Some(Guid::at(entry, 16).to_string()),
        name: Some(name(&entry[56..128])),
        attributes,
        attribute_names: types::attribute_names(attributes, type_name == "Basic data"),
        bootable: attributes & 4 != 0,
        ..partition
    })
}

/// Decodes UTF-16 up to the first NUL; invalid code units become U+FFFD.
fn name(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|u| u16::from_le_bytes([u[0], u[1]]));
    char::decode_utf16(units.take_while(|&u| u != 0)).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::maker::{BASIC, GptMaker, ntfs};
    use super::super::{Scheme, TableSource, VolumeKind, partitions};
    use hivewright_error::Code;
    use hivewright_storage::memory::Memory;

    fn disk(sector: usize) -> GptMaker {
        GptMaker::new(sector, 4096).with(1, BASIC, 256, 1000, "Windows").with(3, BASIC, 1001, 2000, "Daten \u{1f4be}")
    }

    #[test]
    fn both_sector_sizes_are_read() {
        for sector in [512, 4096] {
            let mut image = disk(sector).build();
            ntfs(&mut image, 256 * sector);
            let table = partitions(&Memory::new(image)).unwrap();
            assert_eq!((table.scheme, table.sector_size as usize), (Scheme::Gpt, sector));
            assert_eq!((table.source, table.warnings), (TableSource::Primary, vec![]));
            assert_eq!(table.disk_id.as_deref(), Some("00112233-4455-6677-8899-AABBCCDDEEFF"));
            let [first, third] = &table.partitions[..] else { panic!() };
            assert_eq!((first.number, third.number), (1, 3));
            assert_eq!((first.offset, first.len), (256 * sector as u64, 745 * sector as u64));
            assert_eq!((first.kind, third.kind), (VolumeKind::Ntfs, VolumeKind::Empty));
            assert_eq!(third.name.as_deref(), Some("Daten \u{1f4be}"));
            assert_eq!(third.type_name, "Basic data");
        }
    }

    type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

    #[test]
    fn the_backup_is_used_and_reported() {
        for sector in [512, 4096] {
            let whole = disk(sector).build();
            let damages: [(Code, Damage<'_>); 5] = [
                (Code::GptHeaderCrc, &|d| d[sector + 40] ^= 1),
                (Code::GptEntriesCrc, &|d| d[2 * sector + 40] ^= 1),
                (Code::GptHeaderSize, &|d| d[sector + 12] = 7),
                (Code::GptSignature, &|d| d[sector] = 0),
                (Code::GptSignature, &|d| d[..6 * sector].fill(0)),
            ];
            for (expected, damage) in damages {
                let mut image = whole.clone();
                damage(&mut image);
                let table = partitions(&Memory::new(image)).unwrap();
                let TableSource::Backup { code, offset, .. } = table.source else { panic!("{:?}", table.source) };
                assert_eq!((code, offset as usize), (expected, whole.len() - sector));
                assert_eq!(table.partitions.len(), 2);
                assert_eq!(table.sector_size as usize, sector);
            }
        }
    }

    #[test]
    fn the_backup_of_a_longer_image_is_found() {
        // By the field of the damaged header, and by the end of the protective MBR.
        for damage in [512 + 40, 512] {
            let mut image = disk(512).build();
            image[damage] ^= 1;
            image.resize(image.len() + 1_000_000, 0);
            let table = partitions(&Memory::new(image)).unwrap();
            assert!(matches!(table.source, TableSource::Backup { offset, .. } if offset == 4095 * 512));
        }
    }

    #[test]
    fn two_broken_copies_are_an_error() {
        let mut image = disk(512).build();
        image[512 + 40] ^= 1;
        let end = image.len();
        image[end - 512 + 40] ^= 1;
        let error = partitions(&Memory::new(image)).unwrap_err();
        assert_eq!(error.code(), "gpt-damaged");
        assert!(error.what().contains("checksum"), "{error}");
    }

    #[test]
    fn a_missing_or_different_backup_is_reported() {
        let codes = |image: Vec<u8>| -> Vec<Code> {
            partitions(&Memory::new(image)).unwrap().warnings.iter().map(|w| w.code).collect()
        };
        let mut image = disk(512).build();
        image.truncate(1500 * 512);
        assert_eq!(codes(image), ["gpt-backup-damaged", "partition-past-end"]);
        let (mut image, other) = (disk(512).build(), disk(512).with(5, BASIC, 2001, 2002, "").build());
        let at = image.len() - 33 * 512;
        image[at..].copy_from_slice(&other[at..]);
        assert_eq!(codes(image), ["gpt-backup-differs"]);
    }

    #[test]
    fn an_excessive_entry_count_is_refused() {
        let image = disk(512).entry_count(u32::MAX).build();
        assert_eq!(partitions(&Memory::new(image)).unwrap_err().code(), "gpt-damaged");
    }

    #[test]
    fn invalid_ranges_are_omitted() {
        let maker = disk(512)
            .with(4, BASIC, 3000, 2999, "empty")
            .with(5, BASIC, 0, u64::MAX, "all")
            .with(6, BASIC, 1 << 62, (1 << 62) + 5, "far")
            .with(7, BASIC, 900, 950, "over");
        let table = partitions(&Memory::new(maker.build())).unwrap();
        assert_eq!(table.partitions.iter().map(|p| p.number).collect::<Vec<_>>(), [1, 3, 7]);
        let count = |code| table.warnings.iter().filter(|w| w.code == code).count();
        assert_eq!((count("partition-range"), count("partitions-overlap")), (3, 1), "{:?}", table.warnings);
    }

    #[test]
    fn attributes_have_names() {
        let table = partitions(&Memory::new(disk(512).attributes(1, 1 << 63 | 1 << 60 | 5).build())).unwrap();
        assert_eq!(table.partitions[0].attribute_names, ["required", "legacy-boot", "read-only", "no-drive-letter"]);
        assert!(table.partitions[0].bootable);
    }
}
