//! Files that are recognised but not supported: they are neither a disk nor a hive.

use std::path::Path;

use super::formats::{ova::first_member, parallels};
use super::probe::Ends;
use super::{Opening, Probe};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised::{self, Command};
use hivewright_storage::probe::open_plain;

/// A recognised, unsupported kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The code of the error of opening it.
    pub code: Code,
    /// The kind, for messages.
    pub what: &'static str,
}

/// Recognises an unsupported file by its first and last bytes.
pub fn known_as(probe: &Probe<'_>) -> Option<Known> {
    known(probe).map(|(known, _)| known)
}

/// Recognises an unsupported file by its whole contents, where the first bytes are not enough. Also returns whether it
/// has a disk in it.
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
    /// The advice; `{}` is the place of the command.
    advice: &'static str,
    command: Option<Command>,
    /// Whether an audit reports such a file: archives are common and mostly have no disk.
    is_reported: bool,
}

/// The first member of an archive of XenServer, which is a tar archive too (XenServer, "Export VMs": XVA).
pub(super) const XVA: &str = "ova.xml";

impl Unreadable {
    const fn packed(is: fn(&Probe<'_>) -> bool, what: &'static str, command: Command) -> Self {
        let advice = "unpack it first: {}";
        Unreadable { is, code: Code::Compressed, what, advice, command: Some(command), is_reported: false }
    }

    /// Returns a compression that [`super::packed`] supports.
    const fn stream(is: fn(&Probe<'_>) -> bool, what: &'static str, command: Command) -> Self {
        let advice = "unpack it first: {}; or read it through a temporary file: --unpack SIZE";
        Unreadable { advice, ..Self::packed(is, what, command) }
    }

    /// Returns a container of a disk.
    const fn disk(is: fn(&Probe<'_>) -> bool, what: &'static str, advice: &'static str, how: Option<Command>) -> Self {
        Unreadable { is, code: Code::Container, what, advice, command: how, is_reported: true }
    }

    /// Returns a registry file that is not a supported hive.
    const fn registry(is: fn(&Probe<'_>) -> bool, code: Code, what: &'static str, advice: &'static str) -> Self {
        Unreadable { is, code, what, advice, command: None, is_reported: false }
    }

    fn advice(&self) -> String {
        self.command.map_or_else(|| self.advice.to_owned(), |command| self.advice.replace("{}", command.line))
    }

    fn known(&self) -> (Known, bool) {
        (Known { code: self.code, what: self.what }, self.is_reported)
    }

    fn error(&self, path: &Path) -> Error {
        let what = format!("{} is {}, which is not supported", path.display(), self.what);
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
        is_reported: true,
    },
    // QEMU supports only the first version.
    Unreadable {
        is: |probe| probe.head.starts_with(b"LUKS\xba\xbe"),
        code: Code::Luks,
        what: "a LUKS volume",
        advice: "open it, and name the device with the disk inside: {}",
        command: Some(advised::OPEN_LUKS),
        is_reported: true,
    },
    // J. Metz, "Mac OS disk image types" (libmodi): the trailer is a sector, its size lies at 8.
    Unreadable::disk(
        |probe| probe.tail.starts_with(b"koly\0\0\0\x04\0\0\x02\0"),
        "a DMG (Apple disk image)",
        "convert a copy of it: {}",
        Some(advised::CONVERT_DMG),
    ),
    Unreadable::disk(
        |probe| first_member(probe.head).is_some_and(|first| first == XVA),
        "an XVA (XenServer, XCP-ng)",
        "import it into XenServer, and export its disk: xe vdi-export format=vhd (or raw)",
        None,
    ),
    // Proxmox, pve-qemu, `vma_spec.txt`.
    Unreadable::disk(
        |probe| probe.head.starts_with(b"VMA\0"),
        "a VMA (backup of Proxmox VE)",
        "extract its disks on Proxmox: {}",
        Some(advised::EXTRACT_VMA),
    ),
    Unreadable::disk(is_vbk, "a backup of Veeam (VBK, VIB)", "restore its disk with Veeam, and name the disk", None),
    // afflib, `lib/afflib_i.h`: AF_HEADER.
    Unreadable::disk(
        |probe| probe.head.starts_with(b"AFF10\r\n\0"),
        "an AFF image",
        "extract the disk: {}",
        Some(advised::EXPORT_AFF),
    ),
    Unreadable::disk(is_aff4, "an AFF4 image", "export its disk, as raw or E01, with the tool that made it", None),
    // Linux, `Documentation/filesystems/squashfs.rst`, and `fs/squashfs/squashfs_fs.h`: the version lies at 28.
    Unreadable {
        is_reported: false,
        ..Unreadable::disk(
            |probe| probe.head.starts_with(b"hsqs") && probe.head.get(28..30) == Some(&[4, 0]),
            "a squashfs file system",
            "unpack it, and name the disk or the folder in it: {}",
            Some(advised::UNSQUASH),
        )
    },
    // RFC 1952, 2.3.1: the magic, and deflate, its only method.
    Unreadable::stream(|probe| probe.head.starts_with(b"\x1f\x8b\x08"), "a gzip file", advised::GUNZIP),
    // RFC 8878, 3.1.1.
    Unreadable::stream(|probe| probe.head.starts_with(b"\x28\xb5\x2f\xfd"), "a Zstandard file", advised::UNZSTD),
    // The .xz File Format, 2.1.1.1.
    Unreadable::stream(|probe| probe.head.starts_with(b"\xfd7zXZ\0"), "an xz file", advised::UNXZ),
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
        "a part of a split zip archive",
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
        "only hives of Windows NT and later are supported: name System32/config/SYSTEM of such a Windows",
    ),
];

const OF_DISC: &str = "unpack it: {}; then name sources/install.wim (install.esd, install.swm) for the Windows that is installed \
                       from the disc, or sources/boot.wim for its setup";
/// An optical disc: ISO 9660 (ECMA-119, 6.2 and 8.1), UDF (ECMA-167, 2/8 and 3/9.1).
const OPTICAL: [Unreadable; 2] = [
    Unreadable {
        is: |_| false,
        code: Code::Container,
        what: "an image of an optical disc (ISO 9660)",
        advice: OF_DISC,
        command: Some(advised::UNPACK),
        is_reported: false,
    },
    Unreadable {
        is: |_| false,
        code: Code::Container,
        what: "an image of an optical disc (UDF)",
        advice: OF_DISC,
        command: Some(advised::UNPACK),
        is_reported: false,
    },
];

const LOG: Unreadable = Unreadable::registry(
    |probe| probe.head.starts_with(b"regf") && is_transaction_log(probe.head),
    Code::TransactionLog,
    "a transaction log of a hive",
    "name the hive, which has the name of the log without .LOG, .LOG1 or .LOG2; logs in another folder need --log",
);

/// Returns whether it is a kind of file that an audit reports.
pub(super) fn is_one(probe: &Probe<'_>) -> bool {
    found(probe).is_some_and(|named| named.is_reported)
}

/// Returns the kind and the command to unpack it, if it is compressed or an archive.
pub(super) fn packed(probe: &Probe<'_>) -> Option<(&'static str, Command)> {
    let named = found(probe).filter(|named| named.code == Code::Compressed)?;
    Some((named.what, named.command?))
}

/// Returns the kind by the first and last bytes, and whether an audit reports it.
fn known(probe: &Probe<'_>) -> Option<(Known, bool)> {
    found(probe).map(Unreadable::known)
}

/// Returns the kind by all bytes, as [`known`] does.
fn whole(file: &dyn Storage, probe: &Probe<'_>) -> Option<(Known, bool)> {
    known(probe).or_else(|| optical(file, probe).ok()?.map(Unreadable::known))
}

fn found(probe: &Probe<'_>) -> Option<&'static Unreadable> {
    KINDS.iter().find(|named| (named.is)(probe))
}

/// Returns whether it is a bzip2 file. The block size, one digit, follows the magic. A block begins with the digits of
/// pi, an empty file ends with those of the square root of pi.
fn is_bzip2(head: &[u8]) -> bool {
    let marks: [&[u8]; 2] = [&[0x31, 0x41, 0x59, 0x26, 0x53, 0x59], &[0x17, 0x72, 0x45, 0x38, 0x50, 0x90]];
    let Some([b'1'..=b'9', marked @ ..]) = head.strip_prefix(b"BZh") else { return false };
    marks.iter().any(|mark| marked.starts_with(mark))
}

/// Returns whether it is an AFF4 zip archive: the volume's URN is its comment (Rekall, "The AFF4 ZipFile Volume"), or
/// its first member is the one with which the AFF4 Standard 1.0 begins a container.
fn is_aff4(probe: &Probe<'_>) -> bool {
    let is_first = probe.head.get(30..).is_some_and(|name| name.starts_with(b"container.description"));
    let end = probe.tail.windows(4).rposition(|bytes| bytes == b"PK\x05\x06");
    let comment = end.and_then(|end| probe.tail.get(end + 22..));
    probe.head.starts_with(b"PK\x03\x04") && (is_first || comment.is_some_and(|text| text.starts_with(b"aff4://")))
}

/// Returns whether it begins as a Veeam backup. Such files have no magic: they begin with a version, an initialised
/// flag, and the name of a hash with its length (dissect.hypervisor, `backup/c_vbk`).
fn is_vbk(probe: &Probe<'_>) -> bool {
    matches!(probe.head, [1..=0x7f, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, b'm', b'd', b'5', 0, ..])
}

/// Returns whether it is a .reg file, in UTF-16 or not (Microsoft, "How to add, modify, or delete registry subkeys and
/// values by using a .reg file").
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

/// Returns whether a file that begins with `head` and `regf` is a transaction log, which begins with a copy of the
/// hive's base block. The type at 28 tells it (1, 2: old format, 6: new), and no hive bin follows at 4096 (Windows
/// registry file format specification, "Format of transaction log files").
///
/// A log of the old format may have a page at 4096 that begins as a hive bin. Then the signature of its first entry or
/// of its dirty vector is at 512, where the base block of a hive has zeros.
pub fn is_transaction_log(head: &[u8]) -> bool {
    has_type_of_log(head)
        && (head.get(4096..4100) != Some(b"hbin") || matches!(head.get(512..516), Some(b"DIRT" | b"HvLE")))
}

/// Returns whether the type in a base block is that of a log. The copy of a base block may have it too: see
/// [`is_transaction_log`].
pub fn has_type_of_log(head: &[u8]) -> bool {
    matches!(head.get(28..32), Some([1 | 2 | 6, 0, 0, 0]))
}

/// Returns the kind of optical disc image, if the file is one. The system area before the descriptors may have the boot
/// sector and partition table of a disk; then the file is an optical disc image only if its length is that of the disc,
/// and otherwise a disk that once had such contents.
fn optical(file: &dyn Storage, probe: &Probe<'_>) -> Result<Option<&'static Unreadable>> {
    const DESCRIPTORS: u64 = 16 * 2048;
    /// Maximum size of the padding after the disc in bytes.
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

/// Refuses a file that begins as a hive and is a transaction log.
pub(super) fn refuse_log(opening: &Opening<'_>, probe: &Probe<'_>) -> Result<()> {
    if !has_type_of_log(probe.head) {
        return Ok(());
    }
    let mut head = vec![0; usize::try_from(probe.len).unwrap_or(usize::MAX).min(4100)];
    opening.file.read_at(0, &mut head)?;
    if (LOG.is)(&Probe { head: &head, ..*probe }) { Err(LOG.error(opening.path)) } else { Ok(()) }
}

/// Refuses a file that has none of the formats in [`super::FORMATS`] and is not raw either.
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
    // A fixed VHD is a raw disk followed by a footer, which a truncated copy lacks.
    if probe.name.to_ascii_lowercase().ends_with(".vhd") && probe.head.len() >= 72 {
        let path = opening.path.display();
        let what = format!("{path} has the extension of a VHD and no matching footer: it is truncated, or a raw disk");
        return Err(Error::new(Kind::Corrupt, Code::VhdFooter, what)
            .advise("copy the image again; if it is in fact a raw disk, give --format raw"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::is_known;

    #[test]
    fn compressed_files_are_recognised_but_not_targets() {
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
            (b"PK\x07\x08PK\x03\x04", Some("a part of a split zip archive")),
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
