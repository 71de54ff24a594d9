//! What the first bytes of a file say. Cheap: it decides whether anything more is opened.

use super::names::{self, Meant};
use crate::audit::account::Reason;
use hivewright_disk::container::{Probe, is_known, is_transaction_log, known_as};

/// Bytes of a file that decide: a hive's base block, or a boot sector with the header of a GPT behind it, in sectors of
/// 4096 bytes too.
pub const HEAD: usize = 4096 + 512;
/// A disk or a volume with Windows on it is larger by far.
const LEAST_DISK: u64 = 1 << 16;

/// What a file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// The primary file of a hive.
    Hive,
    /// A disk or a volume, byte by byte.
    Disk,
    /// A disk in a container.
    Container,
    /// Nothing that is read, under the name of a disk image: a damaged one, or one that is packed.
    DiskByName,
    /// Nothing that is known, under the name of a hive SYSTEM.
    HiveByName,
    /// No target.
    Other(Reason),
}

impl Looks {
    /// Whether it is a target.
    pub fn is_target(self) -> bool {
        !matches!(self, Looks::Other(_))
    }
}

/// What a file of `len` bytes looks like that begins with `head` (at most [`HEAD`] bytes). Its name counts only where its
/// bytes say nothing, or only that it is packed.
pub fn looks_of(head: &[u8], len: u64, name: &str) -> Looks {
    if head.starts_with(b"regf") {
        return if is_transaction_log(head) { Looks::Other(Reason::Log) } else { Looks::Hive };
    }
    let probe = Probe { head: &head[..head.len().min(Probe::HEAD)], tail: &[], len, name };
    if is_known(&probe) {
        return Looks::Container;
    }
    // What follows the first piece of a disk in pieces is not counted here, and may be missing in that.
    let whole = if name.ends_with(".001") { u64::MAX } else { len };
    if whole >= LEAST_DISK && (is_volume(head) || is_gpt(head) || is_mbr(head, whole)) {
        return Looks::Disk;
    }
    match names::meant(name) {
        Some(Meant::Image) => Looks::DiskByName,
        Some(Meant::Hive) => Looks::HiveByName,
        None if len == 0 => Looks::Other(Reason::Empty),
        None => Looks::Other(known_as(&probe).map_or(Reason::NoImage, Reason::Known)),
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

/// A master boot record: four entries of which each is possible, and one leads into the file.
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

    const NO_IMAGE: Looks = Looks::Other(Reason::NoImage);

    fn with(places: &[(usize, &[u8])]) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        for (at, bytes) in places {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    #[test]
    fn content_decides_and_names_do_not() {
        let entry = [&[0x80, 0, 0, 0, 7, 0, 0, 0][..], &2048u32.to_le_bytes(), &9u32.to_le_bytes()].concat();
        let signed = (510, &[0x55, 0xaa][..]);
        let mbr = with(&[(446, &entry), signed]);
        let big = 1 << 30;
        for (head, looks) in [
            (with(&[(0, b"regf")]), Looks::Hive),
            (with(&[(0, b"regf"), (28, &[6])]), Looks::Other(Reason::Log)),
            (with(&[(0, b"regf"), (28, &[1])]), Looks::Other(Reason::Log)),
            (with(&[(0, b"regf"), (28, &[1]), (4096, b"hbin")]), Looks::Hive),
            (with(&[(0, b"regf"), (28, &[1]), (512, b"DIRT"), (4096, b"hbin")]), Looks::Other(Reason::Log)),
            (with(&[(0, b"regf"), (28, &[6]), (512, b"HvLE"), (4096, b"hbin")]), Looks::Other(Reason::Log)),
            (with(&[(0, b"regf"), (512, b"DIRT"), (4096, b"hbin")]), Looks::Hive),
            (with(&[(0, b"LUKS\xba\xbe")]), Looks::Container),
            (with(&[(0, b"QFI\xfb")]), Looks::Container),
            (with(&[(64, b"\x7f\x10\xda\xbe")]), Looks::Container),
            (with(&[(3, b"NTFS    ")]), Looks::Disk),
            (with(&[(82, b"FAT32   "), signed]), Looks::Disk),
            (with(&[(512, b"EFI PART")]), Looks::Disk),
            (with(&[(4096, b"EFI PART")]), Looks::Disk),
            (mbr.clone(), Looks::Disk),
            (with(&[(446, b"text"), signed]), NO_IMAGE),
            (with(&[signed]), NO_IMAGE),
            (with(&[]), NO_IMAGE),
        ] {
            assert_eq!(looks_of(&head, big, "holiday.jpg"), looks, "{:?}", &head[..80]);
        }
        assert_eq!(looks_of(&mbr, 4096, "x"), NO_IMAGE, "too small for a disk");
        assert_eq!(looks_of(&mbr, 1 << 20, "x"), NO_IMAGE, "leads behind its end");
        assert_eq!(looks_of(&with(&[]), big, "PC-7.VHDX"), Looks::DiskByName);
        assert_eq!(looks_of(b"", 0, "empty.vhdx"), Looks::DiskByName);
        assert_eq!(looks_of(b"", 0, "notes.txt"), Looks::Other(Reason::Empty));
        assert_eq!(looks_of(&with(&[]), big, "pc.RAW"), Looks::DiskByName);
        assert_eq!(looks_of(b"", 0, "SYSTEM"), Looks::HiveByName);
        let gzip = with(&[(0, b"\x1f\x8b\x08")]);
        assert_eq!(looks_of(&gzip, big, "pc.qcow2.gz"), Looks::DiskByName);
        assert_eq!(looks_of(&gzip, big, "System.gz"), Looks::HiveByName);
        assert_eq!(
            looks_of(&gzip, big, "notes.gz"),
            Looks::Other(Reason::Known(Known { code: Code::Compressed, what: "a gzip file" }))
        );
        assert_eq!(looks_of(&mbr, 4096, "x.001"), Looks::Disk, "the first piece, cut short");
        for end in [0, 1, 4, 30, 511, 600] {
            let _ = looks_of(&mbr[..end], big, "x");
        }
    }
}
