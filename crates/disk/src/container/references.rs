//! The references of an image to other files, read from its headers alone, even if the image cannot be opened.
//!
//! The files may be hostile: at most [`MOST_BYTES`] of each are read, and no file is opened by a name in them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::FORMATS;
use super::path_policy::on_this_host;
use super::probe::Ends;
use hivewright_error::{Code, Error, Kind, Place, Result};
use hivewright_storage::probe::{Metadata, metadata, open_plain};
use hivewright_storage::{FileStorage, Storage};

/// Maximum number of bytes that are read of each file: the first and last sectors of most formats, for VHDX also its
/// tables.
const MOST_BYTES: u64 = 512 << 10;
/// Maximum size of a name in bytes, the limit of QEMU's formats.
const LONGEST: u64 = 1023;

/// The references of one image. They are unverified hints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Possible names of the image below this one.
    pub parents: Vec<String>,
    /// Names of files with data of this image's disk.
    pub parts: Vec<String>,
    /// The identifier by which children refer to this image if they have no name of it.
    pub own: Option<[u8; 16]>,
    /// The identifier of the parent, if the image does not have its name.
    pub parent: Option<[u8; 16]>,
    /// The identifier of the image of which this file is a part, but not the first.
    pub whole: Option<[u8; 16]>,
    /// Whether it is an extent with a separate descriptor, or a later part of an archive.
    pub is_fragment: bool,
    /// The number of the file among the files of its image, if that is not the first.
    pub piece: Option<Piece>,
}

/// A file that is not the first of its image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its number; the first file has 1.
    pub number: u16,
    /// Possible extensions of the first file, in lower case.
    pub firsts: &'static [&'static str],
}

/// See [`super::Format::references`]. The file is unverified, and only a part of it can be read.
pub type ReadReferences = fn(&Arc<dyn Storage>) -> Result<References>;

impl References {
    /// Makes references to a parent with one of these names.
    pub(super) fn under(parents: Vec<String>) -> Self {
        References { parents, ..Self::default() }
    }
}

/// Reads the references of the file at `path`. There are none if it is not an image, cannot be read, or is damaged.
pub fn references(path: &Path) -> References {
    open_plain(path).ok().flatten().and_then(|file| said(path, file)).unwrap_or_default()
}

/// Reads the references of an open file. `None` if images of its format have none.
pub(super) fn said(path: &Path, file: FileStorage) -> Option<References> {
    let file: Arc<dyn Storage> = Arc::new(LimitedFile { file, left: MOST_BYTES.into() });
    Some(asked(path, &*file).ok()??(&file).unwrap_or_default())
}

/// Returns the last part of a name in an image: the name of a file beside it, if the whole name leads nowhere.
pub fn last_part(name: &str) -> Option<String> {
    Some(on_this_host(name).file_name()?.to_string_lossy().into_owned())
}

/// Finds the file that an image in `folder` calls `name`. A name that leads nowhere on this host, such as one of
/// another machine, means the file of that name in this folder, or in `other`.
pub fn meant_by(name: &str, folder: &Path, other: Option<&Path>) -> Option<Metadata> {
    let name = on_this_host(name);
    let last = name.file_name().unwrap_or_default();
    let beside = |folder: &Path| metadata(&folder.join(last)).ok();
    metadata(&folder.join(&name)).ok().or_else(|| beside(folder)).or_else(|| other.and_then(beside))
}

/// Returns the function that reads the references of the file's format.
fn asked(path: &Path, file: &dyn Storage) -> Result<Option<ReadReferences>> {
    let ends = Ends::read(file, path)?;
    let probe = ends.probe();
    Ok(FORMATS.iter().find(|format| (format.is)(&probe)).and_then(|format| format.references))
}

/// Reads the names in `len` bytes at `at` of the file, the backing file name in a header of QEMU's formats. A name may
/// also be a JSON description, of which every string may be a name.
pub(super) fn named_in_header(file: &dyn Storage, at: u64, len: u64) -> Result<Vec<String>> {
    if at == 0 || len == 0 || len > LONGEST {
        return Ok(Vec::new());
    }
    let mut name = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_at(at, &mut name)?;
    let name = String::from_utf8_lossy(&name);
    Ok(match name.strip_prefix("json:") {
        Some(json) => json.split('"').filter(|word| !word.is_empty()).map(str::to_owned).collect(),
        None => vec![name.into_owned()],
    })
}

/// A file of which a limited number of bytes can be read.
struct LimitedFile {
    file: FileStorage,
    left: AtomicU64,
}

impl Storage for LimitedFile {
    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let take = |left: u64| left.checked_sub(buf.len() as u64);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Err(Error::new(
                Kind::Unsupported,
                Code::TooLarge,
                "more than the headers of an image would be read",
            ));
        }
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::refused(Code::OutsideFolder, "a file of another image would be written to"))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        self.file.locate(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_storage::memory::Memory;

    fn said(bytes: &[u8]) -> References {
        let file: Arc<dyn Storage> = Arc::new(Memory::new(bytes.to_vec()));
        let asked = asked(Path::new("/nowhere/image"), &*file).unwrap();
        asked.and_then(|ask| ask(&file).ok()).unwrap_or_default()
    }

    fn qcow2() -> Vec<u8> {
        let mut qcow2 = vec![0; 4096];
        qcow2[..8].copy_from_slice(b"QFI\xfb\0\0\0\x02");
        qcow2[8..16].copy_from_slice(&1000u64.to_be_bytes());
        qcow2[16..20].copy_from_slice(&12u32.to_be_bytes());
        qcow2[1000..1012].copy_from_slice(b"../base.qcow");
        qcow2
    }

    #[test]
    fn a_qcow2_image_names_its_backing_file_and_its_data_file() {
        let mut qcow2 = qcow2();
        assert_eq!(said(&qcow2), References::under(vec!["../base.qcow".into()]));
        qcow2[7] = 3;
        qcow2[79] = 4;
        qcow2[100..104].copy_from_slice(&104u32.to_be_bytes());
        qcow2[104..120].copy_from_slice(b"\0\0\0\x01\0\0\0\x05raw\0\0\0\0\0");
        qcow2[120..137].copy_from_slice(b"DATA\0\0\0\x09disk.data");
        assert_eq!((said(&qcow2).parents, said(&qcow2).parts), (vec!["../base.qcow".into()], vec!["disk.data".into()]));
        qcow2[120] = 0;
        qcow2[124..128].fill(0xff);
        qcow2[8..16].copy_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(said(&qcow2), References::default());
    }

    #[test]
    fn every_string_of_a_json_description_may_be_the_name() {
        let mut qcow2 = qcow2();
        let json = br#"json:{"file":{"filename":"base.raw"}}"#;
        qcow2[16..20].copy_from_slice(&(json.len() as u32).to_be_bytes());
        qcow2[1000..1000 + json.len()].copy_from_slice(json);
        assert!(said(&qcow2).parents.contains(&"base.raw".into()));
    }

    #[test]
    fn a_descriptor_names_its_parent_and_its_extents() {
        let vmdk = b"# Disk DescriptorFile\nversion=1\r\nCID=1\nparentCID=2\ncreateType=\"monolithicFlat\"\n\
            parentFileNameHint=\"p.vmdk\"\nRW 63 FLAT \"a-flat.vmdk\" 0\nRW 1 ZERO\nRW 63 FLAT \"a-flat.vmdk\" 63\n";
        assert_eq!((said(vmdk).parents, said(vmdk).parts), (vec!["p.vmdk".into()], vec!["a-flat.vmdk".into()]));
    }

    #[test]
    fn an_extent_without_a_descriptor_is_not_an_image() {
        let mut sparse = vec![0; 2048];
        sparse[..8].copy_from_slice(b"KDMV\x01\0\0\0");
        assert!(said(&sparse).is_fragment);
        (sparse[28], sparse[36]) = (1, 2);
        assert!(said(&sparse).is_fragment, "there is room for one");
        let text = b"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicSparse\"\n\
            RW 63 SPARSE \"its-own-name.vmdk\"\n";
        sparse[512..512 + text.len()].copy_from_slice(text);
        assert_eq!(said(&sparse), References::default(), "the name is that of the file itself");
        let two = [&text[..], b"RW 63 SPARSE \"another.vmdk\"\n"].concat();
        sparse[512..512 + two.len()].copy_from_slice(&two);
        assert_eq!(said(&sparse).parts, ["another.vmdk"]);
        sparse[28..36].fill(0xff);
        assert!(!said(&sparse).is_fragment);
        assert!(said(b"COWD\x01").is_fragment && said(b"\xbe\xba\xfe\xca\0\0\0\0").is_fragment);
        assert!(!said(b"QFI\xfb").is_fragment && !said(b"# Disk").is_fragment && !said(b"KD").is_fragment);
    }

    #[test]
    fn a_segment_has_a_number() {
        let segment = |number| [&b"EVF\x09\x0d\x0a\xff\x00\x01"[..], &[number, 0, 0, 0]].concat();
        assert_eq!((said(&segment(2)).piece.map(|piece| piece.number), said(&segment(1)).piece), (Some(2), None));
    }

    #[test]
    fn names_are_searched_beside_the_image_last() {
        for (name, last) in [
            ("../base.qcow", Some("base.qcow")),
            (r"C:\VMs\base.vhd", Some("base.vhd")),
            ("file:base", Some("base")),
            ("", None),
            ("..", None),
        ] {
            assert_eq!(last_part(name).as_deref(), last, "{name}");
        }
    }

    #[test]
    fn a_truncated_file_has_fewer_references() {
        let qcow2 = qcow2();
        for end in (0..64).chain(990..1020) {
            let said = said(&qcow2[..end]);
            assert!(said == References::default() || end >= 1012, "{end}");
        }
    }
}
