//! Files that are recognised and not supported: their bytes are not those of a disk or of a hive.

use std::path::Path;

use super::formats::{ova::first_member, parallels};
use super::probe::Ends;
use super::{Opening, Probe};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised::{self, Command};
use hivewright_storage::probe::open_plain;

/// A kind of file that is recognised and not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The code of the error that opening it ends with.
    pub code: Code,
    /// In words.
    pub what: &'static str,
}

/// Recognises an unsupported file by its first and last bytes.
pub fn known_as(probe: &Probe<'_>) -> Option<Known> {
    known(probe).map(|(known, _)| known)
}

/// Recognises an unsupported file by all of its bytes, and returns whether it holds a disk. For files whose first bytes do not
/// show it.
pub fn known_whole(path: &Path) -> Option<(Known, bool)> {
    let file = open_plain(path).ok()??;
    let ends = Ends::read(&file, path).ok()?;
    whole(&file, &ends.probe())
}

/// An unsupported kind of file.
struct Unreadable {
    is: fn(&Probe<'_>) -> bool,
    code: Code,
    what: &'static str,
    /// The remedy; `{}` stands for the command.
    advice: &'static str,
    command: Option<Command>,
    /// Whether an audit reports it where it finds one: folders are full of archives that nobody takes for disks.
    is_told: bool,
}

/// Compressed as a whole, or an archive of anything.
const PACKED: Code = Code::Compressed;
/// A disk, or a Windows, in a container.
const CONTAINER: Code = Code::Container;
/// The first member of an archive of XenServer, which is a tar archive too (XenServer, "Export VMs": XVA).
pub(super) const XVA: &str = "ova.xml";

impl Unreadable {
    const fn packed(is: fn(&Probe<'_>) -> bool, what: &'static str, command: Command) -> Self {
        let advice = "unpack it first: {}";
        Unreadable { is, code: PACKED, what, advice, command: Some(command), is_told: false }
    }

    /// A container of a disk.
    const fn disk(is: fn(&Probe<'_>) -> bool, what: &'static str, advice: &'static str, how: Option<Command>) -> Self {
        Unreadable { is, code: CONTAINER, what, advice, command: how, is_told: true }
    }

    /// What belongs to a registry, and is no hive that is read here.
    const fn registry(is: fn(&Probe<'_>) -> bool, code: Code, what: &'static str, advice: &'static str) -> Self {
        Unreadable { is, code, what, advice, command: None, is_told: false }
    }

    fn advice(&self) -> String {
        let advice = self.advice.replace("{LIST_WIM}", advised::LIST_WIM.line);
        self.command.map_or(advice.clone(), |command| advice.replace("{}", command.line))
    }

    fn known(&self) -> (Known, bool) {
        (Known { code: self.code, what: self.what }, self.is_told)
    }

    fn error(&self, path: &Path) -> Error {
        let what = format!("{} is {}, which is not read here", path.display(), self.what);
        Error::new(Kind::Unsupported, self.code, what).advise(self.advice())
    }
}

const KINDS: &[Unreadable] = &[
    // LUKS1 and LUKS2 On-Disk Format Specification, "magic".
    Unreadable {
        is: |probe| probe.head.starts_with(b"LUKS\xba\xbe\0\x01"),
        code: Code::Luks,
        what: "a LUKS volume",
        advice: "decrypt it, with its passphrase in a file: {}; then name the disk inside",
        command: Some(advised::DECRYPT_LUKS),
        is_told: true,
    },
    // QEMU knows the first version alone.
    Unreadable {
        is: |probe| probe.head.starts_with(b"LUKS\xba\xbe"),
        code: Code::Luks,
        what: "a LUKS volume",
        advice: "open it, and name the device with the disk inside: {}",
        command: Some(advised::OPEN_LUKS),
        is_told: true,
    },
    // Microsoft, "Windows Imaging File Format (WIM)", "WIM header"; an ESD has the same.
    Unreadable::disk(
        |probe| probe.head.starts_with(b"MSWIM\0\0\0"),
        "a WIM image (or ESD)",
        "unpack the image of that INDEX ({LIST_WIM} lists them), and name the folder: {}",
        Some(advised::APPLY_WIM),
    ),
    // J. Metz, "Mac OS disk image types" (libmodi): the trailer is a sector, its size stands at 8.
    Unreadable::disk(
        |probe| probe.tail.starts_with(b"koly\0\0\0\x04\0\0\x02\0"),
        "a DMG (Apple disk image)",
        "convert a copy of it: {}",
        Some(advised::CONVERT_DMG),
    ),
    Unreadable::disk(
        |probe| first_member(probe.head).is_some_and(|first| first == XVA),
        "an XVA (XenServer, XCP-ng)",
        "import it there, and export its disk: xe vdi-export format=vhd (or raw)",
        None,
    ),
    // Proxmox, pve-qemu, `vma_spec.txt`.
    Unreadable::disk(
        |probe| probe.head.starts_with(b"VMA\0"),
        "a VMA (backup of Proxmox VE)",
        "take its disks out, where Proxmox runs: {}",
        Some(advised::EXTRACT_VMA),
    ),
    Unreadable::disk(is_vbk, "a backup of Veeam (VBK, VIB)", "restore its disk with Veeam, and name that", None),
    // afflib, `lib/afflib_i.h`: AF_HEADER.
    Unreadable::disk(
        |probe| probe.head.starts_with(b"AFF10\r\n\0"),
        "an AFF image",
        "take the disk out: {}",
        Some(advised::EXPORT_AFF),
    ),
    Unreadable::disk(is_aff4, "an AFF4 image", "export its disk, as raw or E01, with the tool that made it", None),
    // Linux, `Documentation/filesystems/squashfs.rst`, and `fs/squashfs/squashfs_fs.h`: the version stands at 28.
    Unreadable {
        is_told: false,
        ..Unreadable::disk(
            |probe| probe.head.starts_with(b"hsqs") && probe.head.get(28..30) == Some(&[4, 0]),
            "a squashfs file system",
            "unpack it, and name the disk or the folder in it: {}",
            Some(advised::UNSQUASH),
        )
    },
    // RFC 1952, 2.3.1: the magic, and deflate, its only method.
    Unreadable::packed(|probe| probe.head.starts_with(b"\x1f\x8b\x08"), "a gzip file", advised::GUNZIP),
    // RFC 8878, 3.1.1.
    Unreadable::packed(|probe| probe.head.starts_with(b"\x28\xb5\x2f\xfd"), "a Zstandard file", advised::UNZSTD),
    // The .xz File Format, 2.1.1.1.
    Unreadable::packed(|probe| probe.head.starts_with(b"\xfd7zXZ\0"), "an xz file", advised::UNXZ),
    Unreadable::packed(|probe| is_bzip2(probe.head), "a bzip2 file", advised::BUNZIP2),
    // LZ4 Frame Format Description, "General structure" and "Legacy frame".
    Unreadable::packed(
        |probe| [b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18"].iter().any(|magic| probe.head.starts_with(*magic)),
        "an LZ4 file",
        advised::UNLZ4,
    ),
    // 7zFormat.txt of the LZMA SDK, "SignatureHeader".
    Unreadable::packed(|probe| probe.head.starts_with(b"7z\xbc\xaf\x27\x1c"), "a 7z archive", advised::UNPACK),
    // RARLAB, "RAR 5.0 archive format" and technote.txt of RAR 4: the marker block.
    Unreadable::packed(
        |probe| [&b"Rar!\x1a\x07\0"[..], b"Rar!\x1a\x07\x01\0"].iter().any(|magic| probe.head.starts_with(magic)),
        "a RAR archive",
        advised::UNPACK,
    ),
    // APPNOTE.TXT of PKWARE, 4.3.7, and 8.5.3 for one in several parts.
    Unreadable::packed(|probe| probe.head.starts_with(b"PK\x03\x04"), "a zip archive", advised::UNZIP),
    Unreadable::packed(
        |probe| probe.head.starts_with(b"PK\x07\x08PK\x03\x04"),
        "a zip archive in parts",
        advised::UNPACK,
    ),
    // POSIX.1-2017, *pax*, "ustar Interchange Format".
    Unreadable::packed(|probe| first_member(probe.head).is_some(), "a tar archive", advised::UNTAR),
    Unreadable::registry(
        is_reg_file,
        Code::RegFile,
        "a .reg file (registry entries as text)",
        "name the hive that holds the entries: System32/config/SYSTEM",
    ),
    // J. Metz, "Windows 9x/Me Registry File (CREG) format" (libcreg).
    Unreadable::registry(
        |probe| probe.head.starts_with(b"CREG"),
        Code::Hive9x,
        "a registry of Windows 95, 98 or Me",
        "only hives of Windows NT and later are read: name System32/config/SYSTEM of such a Windows",
    ),
];

/// An optical disc: ISO 9660 (ECMA-119, 6.2 and 8.1), UDF (ECMA-167, 2/8 and 3/9.1).
const OPTICAL: [Unreadable; 2] = [
    Unreadable {
        is: |_| false,
        code: CONTAINER,
        what: "an image of an optical disc (ISO 9660)",
        advice: "unpack it: {}; the Windows of an installation disc is in sources/install.wim or install.esd",
        command: Some(advised::UNPACK),
        is_told: false,
    },
    Unreadable {
        is: |_| false,
        code: CONTAINER,
        what: "an image of an optical disc (UDF)",
        advice: "unpack it: {}; the Windows of an installation disc is in sources/install.wim or install.esd",
        command: Some(advised::UNPACK),
        is_told: false,
    },
];

const LOG: Unreadable = Unreadable::registry(
    |probe| probe.head.starts_with(b"regf") && is_transaction_log(probe.head),
    Code::TransactionLog,
    "a transaction log of a hive",
    "name the hive, whose name is that of the log without .LOG, .LOG1 or .LOG2: logs beside it are found, others are given \
     with --log",
);

/// Whether it is one of those of which is told wherever they are come across.
pub(super) fn is_one(probe: &Probe<'_>) -> bool {
    found(probe).is_some_and(|named| named.is_told)
}

/// Whether it is packed: what, and how to unpack it.
pub(super) fn packed(probe: &Probe<'_>) -> Option<(&'static str, Command)> {
    let named = found(probe).filter(|named| named.code == PACKED)?;
    Some((named.what, named.command?))
}

/// What it is by its ends, and whether it is one of those of which is told wherever they are come across.
fn known(probe: &Probe<'_>) -> Option<(Known, bool)> {
    found(probe).map(Unreadable::known)
}

/// The same by all of its bytes.
fn whole(file: &dyn Storage, probe: &Probe<'_>) -> Option<(Known, bool)> {
    known(probe).or_else(|| optical(file, probe).ok()?.map(Unreadable::known))
}

fn found(probe: &Probe<'_>) -> Option<&'static Unreadable> {
    KINDS.iter().find(|named| (named.is)(probe))
}

/// The size of its blocks, one digit, follows the magic. A block begins with the digits of pi, an empty file ends with
/// those of its square root.
fn is_bzip2(head: &[u8]) -> bool {
    let marks: [&[u8]; 2] = [&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59], &[0x17, 0x72, 0x45, 0x38, 0x50, 0x90]];
    let Some([b'1'..=b'9', marked @ ..]) = head.strip_prefix(b"BZh") else { return false };
    marks.iter().any(|mark| marked.starts_with(mark))
}

/// Whether it is a zip archive of AFF4: the volume's URN is its comment (Rekall, "The AFF4 ZipFile Volume"), or its first
/// member is the one that the AFF4 Standard 1.0 begins a container with.
fn is_aff4(probe: &Probe<'_>) -> bool {
    let is_first = probe.head.get(30..).is_some_and(|name| name.starts_with(b"container.description"));
    let end = probe.tail.windows(4).rposition(|bytes| bytes == b"PK\x05\x06");
    let comment = end.and_then(|end| probe.tail.get(end + 22..));
    probe.head.starts_with(b"PK\x03\x04") && (is_first || comment.is_some_and(|text| text.starts_with(b"aff4://")))
}

/// Whether it begins as Veeam's backups do. They have no magic: a version, whether it is initialised, and the name of a hash
/// with its length stand first (dissect.hypervisor, `backup/c_vbk`).
fn is_vbk(probe: &Probe<'_>) -> bool {
    matches!(probe.head, [1..=0x7f, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, b'm', b'd', b'5', 0, ..])
}

/// Whether it is text for regedit, in UTF-16 or not (Microsoft, "How to add, modify, or delete registry subkeys and values by
/// using a .reg file").
fn is_reg_file(probe: &Probe<'_>) -> bool {
    let text: Vec<u8> = match probe.head {
        [0xff, 0xfe, wide @ ..] => {
            wide.as_chunks().0.iter().filter(|[_, high]| *high == 0).map(|[low, _]| *low).collect()
        }
        [0xef, 0xbb, 0xbf, text @ ..] => text.to_vec(),
        text => text.to_vec(),
    };
    let text = text.trim_ascii_start();
    [&b"Windows Registry Editor Version "[..], b"REGEDIT4"].iter().any(|first| text.starts_with(first))
}

/// Whether a file that begins with `head` and `regf` is a transaction log, which begins with a copy of the hive's base block.
/// The type at 28 says so (1, 2: old format, 6: new), and no hive bin follows at 4096 (Windows registry file format
/// specification, "Format of transaction log files").
///
/// A log of the old format may hold a page at 4096 that begins as a bin does; the mark of its first entry, or that of its
/// dirty vector, stands at 512, where the base block of a hive has zeros.
pub fn is_transaction_log(head: &[u8]) -> bool {
    has_type_of_log(head)
        && (head.get(4096..4100) != Some(b"hbin") || matches!(head.get(512..516), Some(b"DIRT" | b"HvLE")))
}

/// See [`is_transaction_log`]: a copy of a base block may say so too.
pub fn has_type_of_log(head: &[u8]) -> bool {
    matches!(head.get(28..32), Some([1 | 2 | 6, 0, 0, 0]))
}

/// What an image of an optical disc is, if the file is one. The system area before its descriptors may hold the boot sector
/// and partition table of a disk: then only one whose length is that of the disc is an image of it, and not a disk that once
/// held one.
fn optical(file: &dyn Storage, probe: &Probe<'_>) -> Result<Option<&'static Unreadable>> {
    const DESCRIPTORS: u64 = 16 * 2048;
    /// Padding that programs write behind the disc.
    const MOST_BEHIND: u64 = 2 << 20;
    let read = |sector: u64| -> Result<[u8; 84]> {
        let (mut bytes, at) = ([0; 84], DESCRIPTORS + sector * 2048);
        if at + 84 <= probe.len {
            file.read_at(at, &mut bytes)?;
        }
        Ok(bytes)
    };
    let first = read(0)?;
    let [iso, udf] = &OPTICAL;
    match &first[1..6] {
        b"CD001" => {
            let blocks = first[80..84].first_chunk().map_or(0, |blocks| u32::from_le_bytes(*blocks));
            let behind = probe.len.checked_sub(u64::from(blocks) * 2048);
            let is_disk = probe.head.get(510..512) == Some(&[0x55, 0xaa]);
            Ok((!is_disk || behind.is_some_and(|behind| behind <= MOST_BEHIND)).then_some(iso))
        }
        b"BEA01" => Ok(matches!(&read(1)?[1..6], b"NSR02" | b"NSR03").then_some(udf)),
        _ => Ok(None),
    }
}

/// The error for a file that begins as a hive and is a transaction log.
pub(super) fn refuse_log(opening: &Opening<'_>, probe: &Probe<'_>) -> Result<()> {
    if !has_type_of_log(probe.head) {
        return Ok(());
    }
    let mut head = vec![0; usize::try_from(probe.len).unwrap_or(usize::MAX).min(4100)];
    opening.file.read_at(0, &mut head)?;
    if (LOG.is)(&Probe { head: &head, ..*probe }) { Err(LOG.error(opening.path)) } else { Ok(()) }
}

/// The error for a file that is none of [`super::FORMATS`] and not raw either.
pub(super) fn refuse(opening: &Opening<'_>, probe: &Probe<'_>) -> Result<()> {
    if let Some(named) = found(probe) {
        return Err(named.error(opening.path));
    }
    if let Some(named) = optical(&*opening.file, probe)? {
        return Err(named.error(opening.path));
    }
    if parallels::bundle::is_descriptor(probe.head) {
        return Err(parallels::bundle::only_described(opening.path, &opening.file));
    }
    // A fixed VHD is a raw disk with a footer behind it, which is what a copy that breaks off loses.
    if probe.name.to_ascii_lowercase().ends_with(".vhd") && probe.head.len() >= 72 {
        let path = opening.path.display();
        let what = format!("{path} is called a VHD and has no footer that fits: it is cut short, or a raw disk");
        return Err(Error::new(Kind::Corrupt, Code::VhdFooter, what)
            .advise("copy it again from where it came; if it is a raw disk all the same, say so: --format raw"));
    }
    Ok(())
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

    #[test]
    fn each_version_of_luks_has_advice_that_works_for_it() {
        for (version, command) in [(1, advised::DECRYPT_LUKS), (2, advised::OPEN_LUKS)] {
            let head = [&b"LUKS\xba\xbe\0"[..], &[version]].concat();
            let probe = Probe { head: &head, tail: &[], len: 1 << 20, name: "disk" };
            let named = KINDS.iter().find(|named| (named.is)(&probe)).unwrap();
            assert_eq!((named.code, named.command), (Code::Luks, Some(command)));
        }
    }
}
