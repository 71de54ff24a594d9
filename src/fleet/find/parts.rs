//! Files that belong to another file: an image in several files is one target.
//!
//! What the first bytes name is believed only to leave a file out that lies in the same folder; of a VHDX the tables are
//! read, as far as those of an image of its kind go. Sources: QEMU's `docs/interop/qcow2.txt` (backing file at 8 and 16,
//! extensions behind the header) and `qed_spec.txt` (features at 16, backing file at 56 and 60); VirtualBox's `VDICore.h`
//! (identifiers at 392 and 424); VMware's "Virtual Disk Format 5.0" (extent lines and
//! `parentFileNameHint`); Microsoft's "Virtual Hard Disk Image Format Specification" (the parent's name at 64 of the
//! dynamic header); the EWF specification of libewf (the segment's number at 9).

use std::collections::HashSet;
use std::path::Path;

use crate::container::parents_of_vhdx;

/// The extension of a qcow2 header that names the external data file.
const DATA_FILE: u32 = 0x4441_5441;

/// Names of files beside this one, at `path`, that are parts of it.
pub(super) fn names_parts(head: &[u8], path: &Path) -> HashSet<String> {
    let mut found = HashSet::new();
    if head.starts_with(b"QFI\xfb") {
        let number = |at: usize| Some(u32::from_be_bytes(*head.get(at..)?.first_chunk()?));
        // The place has eight bytes; no name stands behind 4 GiB.
        let place = number(8).filter(|&high| high == 0).and_then(|_| number(12));
        found.extend(named_in(head, place, number(16)));
        found.extend(data_file(head));
    } else if head.starts_with(b"QED\0") {
        let number = |at: usize| Some(u32::from_le_bytes(*head.get(at..)?.first_chunk()?));
        let has_one = number(16).is_some_and(|features| features & 1 != 0);
        found.extend(named_in(head, number(56).filter(|_| has_one), number(60)));
    } else if head.starts_with(b"vhdxfile") {
        found.extend(parents_of_vhdx(path).iter().filter_map(|name| last_name(name)));
    } else if head.starts_with(b"# Disk DescriptorFile") {
        extents(&String::from_utf8_lossy(head), &mut found);
    } else if head.starts_with(b"KDMV") {
        // The descriptor stands behind the header, most often in sector 1.
        extents(&String::from_utf8_lossy(head.get(512..).unwrap_or_default()), &mut found);
    } else if head.starts_with(b"conectix") {
        found.extend(vhd_parent(head));
    }
    found
}

/// Whether it is a further segment of an EWF image.
pub(super) fn is_later_segment(head: &[u8]) -> bool {
    head.starts_with(b"EVF\x09") && matches!(head.get(9..11), Some(number) if *number != [1, 0])
}

/// The identifier of a VDI, and of the one that it stands on: there are no names in it.
pub(super) fn identifiers(head: &[u8]) -> (Option<[u8; 16]>, Option<[u8; 16]>) {
    let at = |at: usize| head.get(at..)?.first_chunk().copied().filter(|bytes| *bytes != [0; 16]);
    if head.get(64..68) == Some(b"\x7f\x10\xda\xbe") { (at(392), at(424)) } else { (None, None) }
}

/// The names in the text of so many bytes at that place of the head.
fn named_in(head: &[u8], place: Option<u32>, size: Option<u32>) -> Vec<String> {
    let text = || {
        let start = usize::try_from(place?).ok().filter(|&start| start > 0)?;
        let end = start.checked_add(usize::try_from(size?).ok()?)?;
        Some(String::from_utf8_lossy(head.get(start..end)?).into_owned())
    };
    let text = text().unwrap_or_default();
    match text.strip_prefix("json:") {
        // Whichever of its words is a file beside this one.
        Some(json) => json.split('"').filter_map(last_name).collect(),
        // `nbd:` names no file beside this one, and `file:` does.
        None => last_name(text.strip_prefix("file:").unwrap_or(&text)).into_iter().collect(),
    }
}

/// The external data file of a qcow2 image, from the extensions behind its header.
fn data_file(head: &[u8]) -> Option<String> {
    let number = |at: usize| Some(u32::from_be_bytes(*head.get(at..)?.first_chunk()?));
    let mut at = usize::try_from(number(100).filter(|_| number(4) == Some(3))?).ok()?;
    loop {
        let (kind, len) = (number(at)?, usize::try_from(number(at + 4)?).ok()?);
        match kind {
            0 => return None,
            DATA_FILE => return last_name(&String::from_utf8_lossy(head.get(at + 8..(at + 8).checked_add(len)?)?)),
            _ => at = (at + 8).checked_add(len.checked_next_multiple_of(8)?)?,
        }
    }
}

fn extents(text: &str, found: &mut HashSet<String>) {
    for line in text.lines() {
        let line = line.trim();
        let wanted = ["RW ", "RDONLY ", "NOACCESS ", "parentFileNameHint"].iter().any(|start| line.starts_with(start));
        if let Some(name) = line.split('"').nth(1).filter(|_| wanted) {
            found.extend(last_name(name));
        }
    }
}

fn vhd_parent(head: &[u8]) -> Option<String> {
    // Differencing: type 4 at 60 of the footer, whose copy begins the file; 512 bytes on, the dynamic header.
    if head.get(60..64)? != [0, 0, 0, 4] || !head.get(512..)?.starts_with(b"cxsparse") {
        return None;
    }
    let units = head.get(576..1088)?.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit));
    let text: String =
        char::decode_utf16(units.take_while(|&unit| unit != 0)).map(|c| c.unwrap_or('\u{fffd}')).collect();
    last_name(&text)
}

fn last_name(path: &str) -> Option<String> {
    path.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(head: &[u8]) -> Vec<String> {
        let mut found: Vec<_> = names_parts(head, Path::new("/nowhere")).into_iter().collect();
        found.sort();
        found
    }

    #[test]
    fn finds_the_files_that_images_name() {
        let mut qcow2 = vec![0; 4096];
        qcow2[..4].copy_from_slice(b"QFI\xfb");
        qcow2[8..16].copy_from_slice(&1000u64.to_be_bytes());
        qcow2[16..20].copy_from_slice(&12u32.to_be_bytes());
        qcow2[1000..1012].copy_from_slice(b"../base.qcow");
        assert_eq!(parts(&qcow2), ["base.qcow"]);
        qcow2[4..8].copy_from_slice(&3u32.to_be_bytes());
        qcow2[100..104].copy_from_slice(&104u32.to_be_bytes());
        qcow2[104..120].copy_from_slice(b"\0\0\0\x01\0\0\0\x05raw\0\0\0\0\0");
        qcow2[120..137].copy_from_slice(b"DATA\0\0\0\x09disk.data");
        assert_eq!(parts(&qcow2), ["base.qcow", "disk.data"]);
        qcow2[120] = 0;
        qcow2[124..128].fill(0xff);
        qcow2[8..16].copy_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(parts(&qcow2), [""; 0]);
        let vmdk = b"# Disk DescriptorFile\nversion=1\r\nparentFileNameHint=\"p.vmdk\"\nRW 63 FLAT \"a-flat.vmdk\" 0\n";
        assert_eq!(parts(vmdk), ["a-flat.vmdk", "p.vmdk"]);
        assert!(is_later_segment(b"EVF\x09\x0d\x0a\xff\x00\x01\x02\x00\x00\x00"));
        assert!(!is_later_segment(b"EVF\x09\x0d\x0a\xff\x00\x01\x01\x00\x00\x00"));
        for end in 0..64 {
            let _ = (parts(&qcow2[..end]), parts(&vmdk[..end]), is_later_segment(&qcow2[..end]));
        }
    }
}
