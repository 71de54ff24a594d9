//! The calls of Windows that the standard library does not make. The only `unsafe` code of this crate on Windows besides
//! `mapped.rs`. Facts are from Microsoft's reference of the Windows API, by the names of the functions.
#![allow(unsafe_code)]
// Sizes of structures, and of pieces of at most 1 MiB.
#![allow(clippy::cast_possible_truncation)]

use std::ffi::{OsStr, OsString, c_void};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::{Component, Path, Prefix};
use std::ptr;

use windows_sys::Win32::Storage::FileSystem as fs;
use windows_sys::Win32::System::IO::{DeviceIoControl, OVERLAPPED};
use windows_sys::Win32::System::Ioctl as ioctl;

use super::FileId;
use super::file::{read_exact_at, write_all_at};

/// Another handle excludes this use of the file.
const ERROR_SHARING_VIOLATION: i32 = 32;
/// Another handle has locked these bytes.
const ERROR_LOCK_VIOLATION: i32 = 33;

/// Returns whether another program uses the file.
pub(super) fn is_in_use(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(ERROR_SHARING_VIOLATION | ERROR_LOCK_VIOLATION))
}

/// Repeats an attempt for a few milliseconds while another handle excludes it: scanners of viruses, and the queries of
/// `availability.rs` in other threads and programs, open files for a moment.
pub(super) fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const ATTEMPTS: u32 = 5;
    for i in 1..ATTEMPTS {
        match attempt() {
            Err(e) if is_in_use(&e) => std::thread::sleep(std::time::Duration::from_millis(1 << i)),
            done => return done,
        }
    }
    attempt()
}

/// A byte that no file has: only a lock of the whole file includes it.
const FAR: u64 = i64::MAX as u64 - 1;

/// Checks that no other handle has locked a byte of `file`, which is open for reading or writing. Excludes readers for
/// a moment.
///
/// # Errors
/// [`is_in_use`].
pub(super) fn find_locks(file: &File) -> io::Result<()> {
    patiently(|| lock_for_a_moment(file, fs::LOCKFILE_EXCLUSIVE_LOCK, 0, u64::MAX))
}

/// As [`find_locks`], but excludes no reader. Finds no lock that lets others read and leaves out the end of the file.
///
/// # Errors
/// [`is_in_use`].
pub(super) fn find_locks_as_reader(file: &File) -> io::Result<()> {
    patiently(|| {
        lock_for_a_moment(file, 0, 0, FAR)?;
        lock_for_a_moment(file, fs::LOCKFILE_EXCLUSIVE_LOCK, FAR, 1)
    })
}

/// Locks bytes and releases them. A file system without locks has no holders of locks.
fn lock_for_a_moment(file: &File, kind: u32, start: u64, len: u64) -> io::Result<()> {
    use windows_sys::Win32::Foundation as code;
    let (low, high) = (len as u32, (len >> 32) as u32);
    let mut place = OVERLAPPED::default();
    place.Anonymous.Anonymous.Offset = start as u32;
    place.Anonymous.Anonymous.OffsetHigh = (start >> 32) as u32;
    let refused = [code::ERROR_INVALID_FUNCTION, code::ERROR_NOT_SUPPORTED];
    let flags = kind | fs::LOCKFILE_FAIL_IMMEDIATELY;
    // SAFETY: the handle is open while `file` lives, and was not opened for overlapped operations, so that the call has
    // ended with `place` when it returns.
    match truth(unsafe { fs::LockFileEx(file.as_raw_handle(), flags, 0, low, high, &raw mut place) }) {
        // SAFETY: as above.
        Ok(()) => truth(unsafe { fs::UnlockFileEx(file.as_raw_handle(), 0, low, high, &raw mut place) }),
        Err(e) if e.raw_os_error().is_some_and(|error| refused.contains(&error.cast_unsigned())) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Renames a file and returns when the new name is on the medium. Replaces an existing file only if `replace`; without
/// it, the error is [`io::ErrorKind::AlreadyExists`].
pub(super) fn rename(from: &Path, to: &Path, replace: bool) -> io::Result<()> {
    let flags = fs::MOVEFILE_WRITE_THROUGH | if replace { fs::MOVEFILE_REPLACE_EXISTING } else { 0 };
    let (from, to) = (wide(from)?, wide(to)?);
    // SAFETY: both pointers lead to units that end with a zero, and live until the call returns.
    truth(unsafe { fs::MoveFileExW(from.as_ptr(), to.as_ptr(), flags) })
}

/// Returns the identity of an open file and the number of its names.
pub(super) fn identity(file: &File) -> io::Result<(FileId, u64)> {
    let mut about = fs::BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open while `file` lives; the structure has integers only and is writable.
    truth(unsafe { fs::GetFileInformationByHandle(file.as_raw_handle(), &raw mut about) })?;
    let mut id = fs::FILE_ID_INFO::default();
    let size = size_of::<fs::FILE_ID_INFO>() as u32;
    // SAFETY: as above; the call writes `size` bytes at most.
    let found = unsafe {
        fs::GetFileInformationByHandleEx(file.as_raw_handle(), fs::FileIdInfo, (&raw mut id).cast::<c_void>(), size)
    };
    let id = match truth(found) {
        Ok(()) => FileId { device: id.VolumeSerialNumber, file: u128::from_le_bytes(id.FileId.Identifier) },
        // FAT, and servers without such identities, have those of 64 bits.
        Err(_) => FileId {
            device: about.dwVolumeSerialNumber.into(),
            file: u128::from(about.nFileIndexHigh) << 32 | u128::from(about.nFileIndexLow),
        },
    };
    Ok((id, about.nNumberOfLinks.into()))
}

/// Opens a file or folder for nothing but its metadata, which excludes no other use of it.
pub(super) fn open_for_metadata(path: &Path, follow: bool) -> io::Result<File> {
    let links = if follow { 0 } else { fs::FILE_FLAG_OPEN_REPARSE_POINT };
    OpenOptions::new().access_mode(0).custom_flags(fs::FILE_FLAG_BACKUP_SEMANTICS | links).open(path)
}

/// Flushes the names in a folder, where its file system offers that: NTFS does.
pub(super) fn flush_folder(folder: &Path) -> io::Result<()> {
    use windows_sys::Win32::Foundation as code;
    let access = fs::FILE_ADD_FILE | fs::FILE_ADD_SUBDIRECTORY;
    let open = OpenOptions::new().access_mode(access).custom_flags(fs::FILE_FLAG_BACKUP_SEMANTICS).open(folder);
    let refused = [
        code::ERROR_ACCESS_DENIED,
        code::ERROR_INVALID_FUNCTION,
        code::ERROR_INVALID_HANDLE,
        code::ERROR_INVALID_PARAMETER,
        code::ERROR_NOT_SUPPORTED,
        code::ERROR_SHARING_VIOLATION,
    ];
    match open.and_then(|folder| folder.sync_all()) {
        // Renames are durable without it.
        Err(e) if e.raw_os_error().is_some_and(|error| refused.contains(&error.cast_unsigned())) => Ok(()),
        done => done,
    }
}

/// Makes a file sparse: ranges that are never written take no room. File systems without sparse files refuse.
pub(super) fn make_sparse(file: &File) -> io::Result<()> {
    control(file, ioctl::FSCTL_SET_SPARSE, &mut ())
}

/// Returns whether a file is sparse.
pub(super) fn is_sparse(file: &File) -> bool {
    use std::os::windows::fs::MetadataExt;
    file.metadata().is_ok_and(|about| about.file_attributes() & fs::FILE_ATTRIBUTE_SPARSE_FILE != 0)
}

/// A disk or volume of this machine, as an open file. Its bytes are read and written in whole sectors.
#[derive(Clone, Copy, Debug)]
pub(super) struct Device {
    /// Length in bytes.
    pub(super) len: u64,
    /// Bytes of a sector.
    pub(super) sector: u64,
}

impl Device {
    /// Bytes that are read or written at once.
    const PIECE: u64 = 1 << 20;

    pub(super) fn read_exact_at(self, file: &File, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.in_sectors(offset, buf.len(), |start, piece, within, done| {
            read_exact_at(file, start, piece)?;
            buf[done..done + within.len()].copy_from_slice(&piece[within]);
            Ok(())
        })
    }

    /// Writes the sectors with the bytes; the others of a sector keep their values.
    pub(super) fn write_all_at(self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.in_sectors(offset, bytes.len(), |start, piece, within, done| {
            if within.len() < piece.len() {
                read_exact_at(file, start, piece)?;
            }
            let len = within.len();
            piece[within].copy_from_slice(&bytes[done..done + len]);
            write_all_at(file, start, piece)
        })
    }

    /// Calls `act` for each piece of whole sectors: with its offset, a buffer of its size, the requested range in it, and
    /// the number of requested bytes before it.
    fn in_sectors(
        self,
        offset: u64,
        len: usize,
        mut act: impl FnMut(u64, &mut [u8], std::ops::Range<usize>, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let end = offset.checked_add(len as u64).filter(|&end| end <= self.len).ok_or(io::ErrorKind::UnexpectedEof)?;
        let (mut at, mut done) = (offset, 0);
        // Some drivers transfer to aligned memory only.
        let mut room = vec![0; (Self::PIECE + 4096) as usize];
        let aligned = room.as_ptr().align_offset(4096);
        while at < end {
            let start = at / self.sector * self.sector;
            let stop = (start + Self::PIECE).min(end.next_multiple_of(self.sector)).min(self.len);
            let piece = &mut room[aligned..][..(stop - start) as usize];
            let within = (at - start) as usize..(end.min(stop) - start) as usize;
            let count = within.len();
            act(start, piece, within, done)?;
            (at, done) = (at + count as u64, done + count);
        }
        Ok(())
    }
}

/// Returns the name of the disk or volume that `path` names, without the prefix of the name space: `PhysicalDrive0` for
/// `\\.\PhysicalDrive0`. `None` for every other path.
pub(super) fn device_name(path: &Path) -> Option<String> {
    let mut components = path.components();
    let Some(Component::Prefix(prefix)) = components.next() else { return None };
    let rest: Vec<Component<'_>> = components.collect();
    match (prefix.kind(), &rest[..]) {
        // With a root, it is the folder of a mounted volume.
        (Prefix::DeviceNS(name) | Prefix::Verbatim(name), [] | [Component::RootDir])
            if !path.as_os_str().to_str()?.ends_with(['\\', '/']) =>
        {
            Some(name.to_str()?.to_owned()).filter(|name| is_disk(name))
        }
        // Shadow copies have no other name.
        (
            Prefix::Verbatim(name) | Prefix::DeviceNS(name),
            [Component::RootDir, Component::Normal(of), Component::Normal(device)],
        ) if name.eq_ignore_ascii_case("GLOBALROOT") && of.eq_ignore_ascii_case("Device") => {
            Some(device.to_str()?.to_owned()).filter(|name| is_disk(name))
        }
        _ => None,
    }
}

/// Returns whether the name of a device is that of a disk or volume.
fn is_disk(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbered = ["physicaldrive", "harddiskvolume", "harddiskvolumeshadowcopy", "cdrom"];
    numbered.iter().any(|kind| name.strip_prefix(kind).is_some_and(is_number))
        || matches!(name.as_bytes(), [letter, b':'] if letter.is_ascii_lowercase())
        || name.starts_with("volume{") && name.ends_with('}')
}

/// Returns the length and the sector size of an open disk or volume.
pub(super) fn device(file: &File) -> io::Result<Device> {
    let mut len = ioctl::GET_LENGTH_INFORMATION::default();
    control(file, ioctl::IOCTL_DISK_GET_LENGTH_INFO, &mut len)?;
    let mut geometry = ioctl::DISK_GEOMETRY::default();
    // A shadow copy has no geometry. Sectors have at most 4096 bytes, so that such ranges are of whole sectors.
    let sector = match control(file, ioctl::IOCTL_DISK_GET_DRIVE_GEOMETRY, &mut geometry) {
        Ok(()) if geometry.BytesPerSector.is_power_of_two() => geometry.BytesPerSector.into(),
        _ => 4096,
    };
    Ok(Device { len: u64::try_from(len.Length).unwrap_or(0), sector })
}

/// Claims an open disk or volume for writing. A volume is locked, which Windows refuses while any file on it is open,
/// and dismounted; both end when the file is closed. Of a disk, no volume may be mounted: it must be offline.
pub(super) fn claim(file: &File, name: &str) -> io::Result<bool> {
    if !is_whole_disk(name) {
        return Ok(control(file, ioctl::FSCTL_LOCK_VOLUME, &mut ()).is_ok()
            && control(file, ioctl::FSCTL_DISMOUNT_VOLUME, &mut ()).is_ok());
    }
    is_offline(file)
}

/// Returns whether a name of [`device_name`] is that of a disk, not of a volume.
pub(super) fn is_whole_disk(name: &str) -> bool {
    name.to_ascii_lowercase().starts_with("physicaldrive")
}

/// Returns whether a disk is offline: none of its volumes is mounted.
pub(super) fn is_offline(file: &File) -> io::Result<bool> {
    let mut disk = ioctl::GET_DISK_ATTRIBUTES::default();
    control(file, ioctl::IOCTL_DISK_GET_DISK_ATTRIBUTES, &mut disk)?;
    Ok(disk.Attributes & ioctl::DISK_ATTRIBUTE_OFFLINE != 0)
}

/// Structures that consist of integers.
///
/// # Safety
/// Every sequence of bytes of its size is a value of the type.
unsafe trait Plain {}

// SAFETY: one integer.
unsafe impl Plain for ioctl::GET_LENGTH_INFORMATION {}
// SAFETY: five integers.
unsafe impl Plain for ioctl::DISK_GEOMETRY {}
// SAFETY: three integers.
unsafe impl Plain for ioctl::GET_DISK_ATTRIBUTES {}
// SAFETY: no bytes.
unsafe impl Plain for () {}

/// Sends a control code without input, and fills `answer`.
fn control<T: Plain>(file: &File, code: u32, answer: &mut T) -> io::Result<()> {
    let mut filled = 0;
    let size = size_of::<T>() as u32;
    // SAFETY: the handle is open while `file` lives, and was not opened for overlapped operations. The driver writes
    // `size` bytes at most to `answer`, which may have any bytes.
    truth(unsafe {
        DeviceIoControl(
            file.as_raw_handle(),
            code,
            ptr::null(),
            0,
            ptr::from_mut(answer).cast::<c_void>(),
            size,
            &raw mut filled,
            ptr::null_mut(),
        )
    })
}

/// Returns the last error of this thread if a call returned false.
fn truth(result: i32) -> io::Result<()> {
    if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Returns the path as the calls expect it: absolute and with the prefix of long paths, as the standard library does.
fn wide(path: &Path) -> io::Result<Vec<u16>> {
    let absolute = std::path::absolute(path)?;
    let verbatim = match absolute.components().next() {
        Some(Component::Prefix(prefix)) => match prefix.kind() {
            Prefix::Disk(_) => prefixed(r"\\?\", absolute.as_os_str()),
            Prefix::UNC(..) => {
                let units: Vec<u16> = absolute.as_os_str().encode_wide().skip(2).collect();
                prefixed(r"\\?\UNC\", &OsString::from_wide(&units))
            }
            _ => absolute.into_os_string(),
        },
        _ => absolute.into_os_string(),
    };
    let mut units: Vec<u16> = verbatim.encode_wide().collect();
    if units.contains(&0) {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    units.push(0);
    Ok(units)
}

fn prefixed(prefix: &str, path: &OsStr) -> OsString {
    let mut whole = OsString::from(prefix);
    whole.push(path);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_known_by_their_names() {
        for (path, name) in [
            (r"\\.\PhysicalDrive0", Some("PhysicalDrive0")),
            (r"\\.\physicaldrive12", Some("physicaldrive12")),
            (r"\\.\C:", Some("C:")),
            (r"\\.\HarddiskVolume3", Some("HarddiskVolume3")),
            (r"\\?\Volume{6cd1e3ac-0000-0000-0000-100000000000}", Some("Volume{6cd1e3ac-0000-0000-0000-100000000000}")),
            (r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy1", Some("HarddiskVolumeShadowCopy1")),
            (r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy1\Windows", None),
            (r"\\?\Volume{6cd1e3ac-0000-0000-0000-100000000000}\", None),
            (r"\\.\C:\", None),
            (r"\\.\pipe\x", None),
            (r"\\.\NUL", None),
            (r"C:\PhysicalDrive0", None),
            ("PhysicalDrive0", None),
            (r"\\server\share\a", None),
        ] {
            assert_eq!(device_name(Path::new(path)).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn devices_are_read_and_written_in_whole_sectors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let mut expected: Vec<u8> = (0..(2 << 20) + 1024).map(|i: u32| (i % 251) as u8).collect();
        std::fs::write(&path, &expected).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let device = Device { len: expected.len() as u64, sector: 512 };
        for (offset, len) in
            [(0, 1), (511, 2), (512, 512), (1000, 1 << 20), (0, expected.len()), (expected.len() - 3, 3)]
        {
            let mut read = vec![0; len];
            device.read_exact_at(&file, offset as u64, &mut read).unwrap();
            assert!(read == expected[offset..offset + len], "{offset} {len}");
            let bytes: Vec<u8> = read.iter().map(|byte| byte.wrapping_add(1)).collect();
            expected[offset..offset + len].copy_from_slice(&bytes);
            device.write_all_at(&file, offset as u64, &bytes).unwrap();
            assert!(std::fs::read(&path).unwrap() == expected, "{offset} {len}");
        }
        let past = device.read_exact_at(&file, device.len - 1, &mut [0; 2]).unwrap_err();
        assert_eq!(past.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn paths_become_long() {
        let text = |path: &str| String::from_utf16(&wide(Path::new(path)).unwrap()).unwrap();
        assert_eq!(text(r"C:\a\..\b"), "\\\\?\\C:\\b\0");
        assert_eq!(text(r"\\server\share\b"), "\\\\?\\UNC\\server\\share\\b\0");
        assert_eq!(text(r"\\?\C:\b."), "\\\\?\\C:\\b.\0");
        assert!(wide(Path::new("a\0b")).is_err());
    }

    #[test]
    fn files_have_identities_and_names() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a"), "a").unwrap();
        std::fs::write(at("b"), "b").unwrap();
        std::fs::hard_link(at("a"), at("c")).unwrap();
        let of = |name: &str| identity(&open_for_metadata(&at(name), true).unwrap()).unwrap();
        assert_eq!((of("a").1, of("b").1), (2, 1));
        assert!(of("a") == of("c") && of("a").0 != of("b").0);
        assert!(identity(&open_for_metadata(folder.path(), true).unwrap()).is_ok());
    }

    #[test]
    fn a_name_in_use_is_replaced_only_on_request() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("x".repeat(200)).join("y".repeat(200));
        std::fs::create_dir_all(&long).unwrap();
        let at = |name: &str| long.join(name);
        std::fs::write(at("a"), "a").unwrap();
        std::fs::write(at("b"), "b").unwrap();
        let refused = rename(&at("a"), &at("b"), false).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        rename(&at("a"), &at("b"), true).unwrap();
        rename(&at("b"), &at("c"), false).unwrap();
        assert_eq!(std::fs::read(at("c")).unwrap(), b"a");
        assert!(!at("a").exists() && !at("b").exists());
        flush_folder(&long).unwrap();
    }
}
