//! Files that are recognised and not read: their bytes are not those of a disk.

use super::{Opening, Probe, parallels};
use crate::error::{Error, Kind};

/// What a magic at the start of a file shows.
struct Named {
    magic: &'static [u8],
    code: &'static str,
    what: &'static str,
    /// What to do; FILE stands for its path.
    advice: &'static str,
    /// Whether it is told of where it is only come across: folders are full of archives that nobody takes for disks.
    is_told: bool,
}

const PACKED: &str = "compressed";

impl Named {
    const fn packed(magic: &'static [u8], what: &'static str, advice: &'static str) -> Self {
        Named { magic, code: PACKED, what, advice, is_told: false }
    }
}

const MAGICS: [Named; 9] = [
    Named {
        magic: b"LUKS\xba\xbe",
        code: "luks",
        what: "a LUKS volume",
        advice: "open it (cryptsetup luksOpen, or qemu-img convert with its secret) and give the disk inside",
        is_told: true,
    },
    Named {
        magic: b"MSWIM\0\0\0",
        code: "container",
        what: "a WIM image",
        advice: "unpack it: wimapply IMAGE INDEX FOLDER",
        is_told: true,
    },
    // RFC 1952, 2.3.1: the magic, and deflate, its only method.
    Named::packed(b"\x1f\x8b\x08", "a gzip file", "gzip -dc FILE > DISK"),
    // RFC 8878, 3.1.1.
    Named::packed(b"\x28\xb5\x2f\xfd", "a Zstandard file", "zstd -dc FILE > DISK"),
    // The .xz File Format, 2.1.1.1.
    Named::packed(b"\xfd7zXZ\0", "an xz file", "xz -dc FILE > DISK"),
    // The size of its blocks, one digit, comes between them: see `found`.
    Named::packed(b"BZh", "a bzip2 file", "bzip2 -dc FILE > DISK"),
    // 7zFormat.txt of the LZMA SDK, "SignatureHeader".
    Named::packed(b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x FILE"),
    // APPNOTE.TXT of PKWARE, 4.3.7, and 8.5.3 for one in several parts.
    Named::packed(b"PK\x03\x04", "a zip archive", "unzip FILE"),
    Named::packed(b"PK\x07\x08PK\x03\x04", "a zip archive in parts", "7z x FILE"),
];

/// Whether it is one of those of which is told wherever they are come across.
pub(super) fn is_one(probe: &Probe<'_>) -> bool {
    found(probe).is_some_and(|named| named.is_told)
}

/// Whether it is packed: what, and how to unpack it.
pub(super) fn packed(probe: &Probe<'_>) -> Option<(&'static str, &'static str)> {
    found(probe).filter(|named| named.code == PACKED).map(|named| (named.what, named.advice))
}

fn found(probe: &Probe<'_>) -> Option<&'static Named> {
    // A block begins with the digits of pi, an empty file ends with those of its square root.
    let is_bzip2 = |rest: &[u8]| {
        let marks: [&[u8]; 2] = [&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59], &[0x17, 0x72, 0x45, 0x38, 0x50, 0x90]];
        matches!(rest, [b'1'..=b'9', marked @ ..] if marks.iter().any(|mark| marked.starts_with(mark)))
    };
    MAGICS.iter().find(|named| match probe.head.strip_prefix(named.magic) {
        Some(rest) => named.magic != b"BZh" || is_bzip2(rest),
        None => false,
    })
}

/// The error for a file that is none of [`super::FORMATS`] and not raw either.
pub(super) fn refuse(opening: &Opening<'_>, probe: &Probe<'_>) -> Option<Error> {
    let path = opening.path.display();
    if let Some(Named { code, what, advice, .. }) = found(probe) {
        let what = format!("{path} is {what}, which is not read here");
        let advice = if code == &PACKED { format!("unpack it first: {advice}") } else { (*advice).to_owned() };
        return Some(Error::new(Kind::Unsupported, code, what).advise(advice));
    }
    if parallels::bundle::is_descriptor(probe.head) {
        return Some(parallels::bundle::only_described(opening.path, &opening.file));
    }
    // A fixed VHD is a raw disk with a footer behind it, which is what a copy that breaks off loses.
    probe.name.to_ascii_lowercase().ends_with(".vhd").then(|| {
        let what = format!("{path} is called a VHD and has no footer that fits: it is cut short, or a raw disk");
        Error::new(Kind::Corrupt, "vhd-footer", what)
            .advise("copy it again from where it came; if it is a raw disk all the same, say so: --format raw")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::is_known;

    #[test]
    fn what_is_packed_is_known_by_its_first_bytes_and_is_nothing_to_come_across() {
        let probe = |head: &[u8]| {
            let probe = Probe { head, tail: &[], len: 1 << 20, name: "disk" };
            assert!(!is_known(&probe));
            packed(&probe).map(|(what, _)| what)
        };
        for (head, what) in [
            (&b"\x1f\x8b\x08\0"[..], Some("a gzip file")),
            (b"\x1f\x8b\x07\0", None),
            (b"BZh91AY&SY", Some("a bzip2 file")),
            (b"BZh9nothing", None),
            (b"BZh", None),
            (b"PK\x03\x04", Some("a zip archive")),
            (b"PK\x07\x08PK\x03\x04", Some("a zip archive in parts")),
            (b"7z\xbc\xaf\x27\x1c\0", Some("a 7z archive")),
            (b"\xfd7zXZ\0", Some("an xz file")),
            (b"\x28\xb5\x2f\xfd", Some("a Zstandard file")),
            (b"", None),
        ] {
            assert_eq!(probe(head), what, "{head:?}");
        }
        assert!(is_known(&Probe { head: b"LUKS\xba\xbe", tail: &[], len: 1 << 20, name: "disk" }));
    }
}
