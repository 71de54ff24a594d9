//! Files that belong to another file: an image in several files is one target.
//!
//! What the first bytes name is believed only to leave a file out that lies in the same folder. Sources: QEMU's
//! `docs/interop/qcow2.txt` (backing file at 8 and 16); VMware's "Virtual Disk Format 5.0" (extent lines and
//! `parentFileNameHint`); Microsoft's "Virtual Hard Disk Image Format Specification" (the parent's name at 64 of the
//! dynamic header); the EWF specification of libewf (the segment's number at 9).

use std::collections::HashSet;

/// Names of files beside this one that are parts of it.
pub(super) fn names_parts(head: &[u8]) -> HashSet<String> {
    let mut found = HashSet::new();
    if head.starts_with(b"QFI\xfb") {
        found.extend(backing(head));
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

fn backing(head: &[u8]) -> Option<String> {
    let offset = u64::from_be_bytes(*head.get(8..)?.first_chunk()?);
    let size = u32::from_be_bytes(*head.get(16..)?.first_chunk()?);
    let start = usize::try_from(offset).ok().filter(|&start| start > 0)?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    let text = String::from_utf8_lossy(head.get(start..end)?).into_owned();
    // `json:` and `nbd:` name no file beside this one, and `file:` does.
    last_name(text.strip_prefix("file:").unwrap_or(&text))
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
        let mut found: Vec<_> = names_parts(head).into_iter().collect();
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
        qcow2[8..16].copy_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(parts(&qcow2), [""; 0]);
        let vmdk = b"# Disk DescriptorFile\nversion=1\r\nparentFileNameHint=\"p.vmdk\"\nRW 63 FLAT \"a-flat.vmdk\" 0\n";
        assert_eq!(parts(vmdk), ["a-flat.vmdk", "p.vmdk"]);
        assert!(is_later_segment(b"EVF\x09\x0d\x0a\xff\x00\x01\x02\x00\x00\x00"));
        assert!(!is_later_segment(b"EVF\x09\x0d\x0a\xff\x00\x01\x01\x00\x00\x00"));
        for end in 0..64 {
            let _ = (names_parts(&qcow2[..end]), names_parts(&vmdk[..end]), is_later_segment(&qcow2[..end]));
        }
    }
}
