//! Linux metadata of a file, and its transfer to a new file.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use rustix::fs::{Gid, IFlags, Uid, ioctl_getflags, ioctl_setflags};
use rustix::fs::{XattrFlags, fchown, fgetxattr, flistxattr, fremovexattr, fsetxattr, fstatfs};

use hivewright_error::Result;

use super::file::{FileStorage, failed};
use super::{Carried, Storage};

/// Magic numbers of `statfs(2)`: FUSE_SUPER_MAGIC, NTFS_SB_MAGIC (the old driver), and ntfs3.
const KEEPING: [(u32, &str); 3] = [
    (0x6573_5546, "a FUSE mount may keep attributes (such as those of NTFS) that a new file would not have"),
    (0x5346_544e, "an NTFS mount keeps security and attributes that a new file would not have"),
    (0x7366_746e, "an NTFS mount keeps security and attributes that a new file would not have"),
];

/// Extended attributes are at most 64 KiB, names and values (`xattr(7)`).
const XATTR_MAX: usize = 65_536;

/// Returns the reason why a new file on the same file system would lose metadata. Unknown file systems are assumed to
/// keep none beyond that of Linux.
pub(super) fn keeps(storage: &FileStorage) -> Option<&'static str> {
    let Ok(system) = fstatfs(storage.file()) else {
        return Some("the type of the file system is unknown");
    };
    KEEPING.iter().find(|(magic, _)| i128::from(system.f_type) == i128::from(*magic)).map(|(_, why)| *why)
}

/// Carries owner, mode, flags and extended attributes (ACLs and security labels among them) from one file to another.
///
/// Only a privileged user sees and keeps attributes of the `trusted.` class.
pub(super) fn carry(from: &FileStorage, to: &FileStorage) -> Result<Carried> {
    let of = |e| failed("access", from.path(), e);
    let want = from.file().metadata().map_err(of)?;
    let attributes = attributes(from).map_err(|e| of(e.into()))?;
    // Failures to set are ignored: the comparison below finds them.
    let _ = fchown(to.file(), Some(Uid::from_raw(want.uid())), Some(Gid::from_raw(want.gid())));
    set_attributes(to, &attributes);
    // After the owner and the ACL: changing the owner clears bits, and an ACL changes those of the group.
    let _ = to.file().set_permissions(PermissionsExt::from_mode(want.mode() & 0o7777));
    set_flags(from, to);
    missing(from, to, &attributes)
}

type Attributes = BTreeMap<CString, Vec<u8>>;

fn attributes(file: &FileStorage) -> rustix::io::Result<Attributes> {
    let mut names = vec![0; XATTR_MAX];
    let used = match flistxattr(file.file(), &mut names[..]) {
        Err(rustix::io::Errno::NOTSUP) => return Ok(Attributes::new()),
        used => used?,
    };
    let mut found = Attributes::new();
    let mut value = vec![0; XATTR_MAX];
    for name in names[..used].split_inclusive(|&b| b == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let size = fgetxattr(file.file(), name, &mut value[..])?;
        found.insert(name.to_owned(), value[..size].to_vec());
    }
    Ok(found)
}

fn set_attributes(to: &FileStorage, wanted: &Attributes) {
    let has = attributes(to).unwrap_or_default();
    for name in has.keys().filter(|name| !wanted.contains_key(*name)) {
        let _ = fremovexattr(to.file(), name.as_c_str());
    }
    for (name, value) in wanted.iter().filter(|(name, value)| has.get(*name) != Some(*value)) {
        let _ = fsetxattr(to.file(), name.as_c_str(), value, XattrFlags::empty());
    }
}

/// Flags that describe the layout of a file's blocks: extents, inline data.
const OF_THE_LAYOUT: u32 = 0x0008_0000 | 0x1000_0000;

/// Returns the flags that `chattr(1)` sets.
fn flags(file: &FileStorage) -> Option<IFlags> {
    ioctl_getflags(file.file()).ok().map(|f| f & !IFlags::from_bits_retain(OF_THE_LAYOUT))
}

fn set_flags(from: &FileStorage, to: &FileStorage) {
    let (Some(want), Some(has)) = (flags(from), ioctl_getflags(to.file()).ok()) else { return };
    if flags(to) != Some(want) {
        let kept = has & IFlags::from_bits_retain(OF_THE_LAYOUT);
        let _ = ioctl_setflags(to.file(), want | kept);
    }
}

fn missing(from: &FileStorage, to: &FileStorage, wanted: &Attributes) -> Result<Carried> {
    let of = |e| failed("access", to.path(), e);
    let want = from.file().metadata().map_err(of)?;
    let has = to.file().metadata().map_err(of)?;
    let lost = if (has.uid(), has.gid()) != (want.uid(), want.gid()) {
        format!("the owner {}:{}", want.uid(), want.gid())
    } else if has.mode() != want.mode() {
        format!("the mode {:o}", want.mode() & 0o7777)
    } else if attributes(to).map_err(|e| of(e.into()))? != *wanted {
        "the extended attributes".to_owned()
    } else if flags(from) != flags(to) {
        "the file's flags (chattr)".to_owned()
    } else {
        return Ok(Carried::Whole);
    };
    Ok(Carried::Lost(lost))
}

/// Copies a file into an empty one: shares the blocks where the file system can (`ioctl_ficlone(2)`), else copies the
/// parts that are not holes.
pub(super) fn copy_bytes(from: &FileStorage, to: &FileStorage) -> Result<()> {
    if rustix::fs::ioctl_ficlone(to.file(), from.file()).is_ok() {
        return Ok(());
    }
    let len = from.len()?;
    to.set_len(len)?;
    let seek = |to| rustix::fs::seek(from.file(), to);
    let mut at = 0;
    while at < len {
        use rustix::fs::SeekFrom::{Data, Hole};
        let (start, end) = match seek(Data(at)) {
            Ok(start) => (start, seek(Hole(start)).unwrap_or(len)),
            // The rest is a hole.
            Err(rustix::io::Errno::NXIO) => break,
            // A block device, or a file system without holes.
            Err(_) => (at, len),
        };
        super::host::copy_range(from, to, start, end.min(len))?;
        at = end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Host, RealHost};
    use super::*;

    #[test]
    fn carries_mode_and_attributes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("old");
        std::fs::write(&path, b"x").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o2641)).unwrap();
        let old = RealHost.open(&path, super::super::Access::Write).unwrap();
        if fsetxattr(old.file(), c"user.kept", b"value", XattrFlags::empty()).is_err() {
            hivewright_fixtures::skip::impossible(format_args!(
                "no extended attributes on the file system of {}",
                folder.path().display()
            ));
            return;
        }
        let (_, new) = RealHost.create_temporary(&path, 0o600).unwrap();
        fsetxattr(new.file(), c"user.inherited", b"", XattrFlags::empty()).unwrap();
        assert_eq!(carry(&old, &new).unwrap(), Carried::Whole);
        assert_eq!(new.file().metadata().unwrap().mode() & 0o7777, 0o2641);
        let expected = BTreeMap::from([(c"user.kept".to_owned(), b"value".to_vec())]);
        assert_eq!(attributes(&new).unwrap(), expected);
        assert_eq!(new.len().unwrap(), 0);
    }

    #[test]
    fn an_ordinary_file_system_keeps_nothing_back() {
        let folder = tempfile::tempdir().unwrap();
        let (_, file) = RealHost.create_temporary(&folder.path().join("a"), 0o600).unwrap();
        assert_eq!(keeps(&file), None);
    }
}
