//! Classification of a file by its first bytes, before anything else of it is read.

use super::names::{self, NameKind};
use crate::audit::account::Reason;
use hivewright_disk::container::{Probe, is_known, is_transaction_log, known_as};

/// Number of bytes that the classification needs: the base block of a hive, or a boot sector and the header of a GPT,
/// in sectors of 512 or 4096 bytes.
pub const HEAD: usize = 4096 + 512;
/// Smallest size of a disk or volume; one with Windows is far larger.
const LEAST_DISK: u64 = 1 << 16;

/// Kind of a file by its first bytes, its size and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// The primary file of a hive.
    Hive,
    /// A raw disk or volume.
    Disk,
    /// A disk in a container format.
    Container,
    /// Unsupported contents with the name of a disk image: a damaged or a compressed image.
    DiskByName,
    /// Unknown contents with the name of a hive SYSTEM.
    HiveByName,
    /// Not a target.
    Other(Reason),
}

impl FileKind {
    /// Returns whether it is a target.
    pub fn is_target(self) -> bool {
        !matches!(self, FileKind::Other(_))
    }
}

/// Classifies a file of `len` bytes that begins with `head` (at most [`HEAD`] bytes). Its name counts only if its
/// contents are unknown or compressed.
pub fn classify(head: &[u8], len: u64, name: &str) -> FileKind {
    if head.starts_with(b"regf") {
        return if is_transaction_log(head) { FileKind::Other(Reason::Log) } else { FileKind::Hive };
    }
    let probe = Probe { head: &head[..head.len().min(Probe::HEAD)], tail: &[], len, name };
    if is_known(&probe) {
        return FileKind::Container;
    }
    // The length of further segments is unknown here.
    let whole = if name.ends_with(".001") { u64::MAX } else { len };
    if whole >= LEAST_DISK && (is_volume(head) || is_gpt(head) || is_mbr(head, whole)) {
        return FileKind::Disk;
    }
    match names::kind_of_name(name) {
        Some(NameKind::Image) => FileKind::DiskByName,
        Some(NameKind::Hive) => FileKind::HiveByName,
        None if len == 0 => FileKind::Other(Reason::Empty),
        None => FileKind::Other(known_as(&probe).map_or(Reason::NoImage, Reason::Known)),
    }
}

fn is_volume(head: &[u8]) -> bool {
    let oem = head.get(3..11).unwrap_or_default();
    let at = |offset: usize, text: &[u8]| head.get(offset..).is_some_and(|rest| rest.starts_with(text));
    let known = [&b"NTFS    "[..], b"-FVE-FS-", b"ReFS\0\0\0\0", b"EXFAT   "];
    known.contains(&oem) || is_signed(head) && (at(54, b"FAT1") || at(82, b"FAT32   "))
}

fn is_gpt(head: &[u8]) -> bool {
    [512, 4096].iter().any(|&at| head.get(at..).is_some_and(|rest| rest.starts_with(b"EFI PART")))
}

fn is_signed(head: &[u8]) -> bool {
    head.get(510..512) == Some(&[0x55, 0xaa])
}

/// Returns whether it is a master boot record: four possible entries, of which at least one begins inside the file.
fn is_mbr(head: &[u8], len: u64) -> bool {
    let Some(entries) = head.get(446..510).filter(|_| is_signed(head)) else { return false };
    let mut leads = false;
    for entry in entries.chunks_exact(16) {
        if entry[0] & 0x7f != 0 {
            return false;
        }
        let number = |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
        let (first, sectors) = (number(8), number(12));
        leads |= entry[4] != 0 && first > 0 && sectors > 0 && u64::from(first) * 512 < len;
    }
    leads
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_disk::container::Known;
    use hivewright_error::Code;

    const NO_IMAGE: FileKind = FileKind::Other(Reason::NoImage);

    fn with(places: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        for (at, bytes) in places {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    #[test]
    fn contents_count_before_names() {
        let entry = [&[0x80, 0, 0, 0, 7, 0, 0, 0][..], &2048u32.to_le_bytes(), &9u32.to_le_bytes()].concat();
        let signed = (510, &[0x55, 0xaa][..]);
        let mbr = with(&[(446, &entry), signed]);
        let big = 1 << 30;
        for (head, file_kind) in [
            (with(&[(0, b"regf")]), FileKind::Hive),
            (with(&[(0, b"regf"), (28, &[6])]), FileKind::Other(Reason::Log)),
            (with(&[(0, b"regf"), (28, &[1])]), FileKind::Other(Reason::Log)),
            (with(&[(0, b"regf"), (28, &[1]), (4096, b"hbin")]), FileKind::Hive),
            (with(&[(0, b"regf"), (28, &[1]), (512, b"DIRT"), (4096, b"hbin")]), FileKind::Other(Reason::Log)),
            (with(&[(0, b"regf"), (28, &[6]), (512, b"HvLE"), (4096, b"hbin")]), FileKind::Other(Reason::Log)),
            (with(&[(0, b"regf"), (512, b"DIRT"), (4096, b"hbin")]), FileKind::Hive),
            (with(&[(0, b"LUKS\xba\xbe")]), FileKind::Container),
            (with(&[(0, b"QFI\xfb")]), FileKind::Container),
            (with(&[(64, b"\x7f\x10\xda\xbe")]), FileKind::Container),
            (with(&[(3, b"NTFS    ")]), FileKind::Disk),
            (with(&[(82, b"FAT32   "), signed]), FileKind::Disk),
            (with(&[(512, b"EFI PART")]), FileKind::Disk),
            (with(&[(4096, b"EFI PART")]), FileKind::Disk),
            (mbr.clone(), FileKind::Disk),
            (with(&[(446, b"text"), signed]), NO_IMAGE),
            (with(&[signed]), NO_IMAGE),
            (with(&[]), NO_IMAGE),
        ] {
            assert_eq!(classify(&head, big, "holiday.jpg"), file_kind, "{:?}", &head[..80]);
        }
        assert_eq!(classify(&mbr, 4096, "x"), NO_IMAGE, "too small for a disk");
        assert_eq!(classify(&mbr, 1 << 20, "x"), NO_IMAGE, "leads behind its end");
        assert_eq!(classify(&with(&[]), big, "PC-7.VHDX"), FileKind::DiskByName);
        assert_eq!(classify(b"", 0, "empty.vhdx"), FileKind::DiskByName);
        assert_eq!(classify(b"", 0, "notes.txt"), FileKind::Other(Reason::Empty));
        assert_eq!(classify(&with(&[]), big, "pc.RAW"), FileKind::DiskByName);
        assert_eq!(classify(b"", 0, "SYSTEM"), FileKind::HiveByName);
        let gzip = with(&[(0, b"\x1f\x8b\x08")]);
        assert_eq!(classify(&gzip, big, "pc.qcow2.gz"), FileKind::DiskByName);
        assert_eq!(classify(&gzip, big, "System.gz"), FileKind::HiveByName);
        assert_eq!(
            classify(&gzip, big, "notes.gz"),
            FileKind::Other(Reason::Known(Known { code: Code::Compressed, what: "a gzip file" }))
        );
        assert_eq!(classify(&mbr, 4096, "x.001"), FileKind::Disk, "the first piece, cut short");
        for end in [0, 1, 4, 30, 511, 600] {
            let _ = classify(&mbr[..end], big, "x");
        }
    }
}
