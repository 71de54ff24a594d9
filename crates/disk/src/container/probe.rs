//! The first and last bytes of a file, which identify its format, and whether they match the format that the user
//! named.

use std::path::Path;

use super::formats::named_format;
use super::{FORMATS, Format, Image, unsupported};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;

/// The bytes by which the format of a file is recognised.
pub struct Probe<'a> {
    /// The first [`Probe::HEAD`] bytes, or all of a shorter file.
    pub head: &'a [u8],
    /// The last 512 bytes, or all of a shorter file.
    pub tail: &'a [u8],
    /// Length of the file in bytes.
    pub len: u64,
    /// The name of the file.
    pub name: &'a str,
}

impl Probe<'_> {
    /// Bytes of [`Probe::head`].
    pub const HEAD: usize = 1024;
}

/// Returns whether a file is an image of a format, or a container of a disk that is not supported.
pub fn is_known(probe: &Probe<'_>) -> bool {
    FORMATS.iter().any(|format| (format.is)(probe)) || unsupported::is_one(probe)
}

/// The first and the last bytes of a file, for a [`Probe`].
pub(super) struct Ends {
    head: Vec<u8>,
    tail: Vec<u8>,
    len: u64,
    name: String,
}

impl Ends {
    /// Reads the first and the last bytes of `file`.
    pub(super) fn read(file: &dyn Storage, path: &Path) -> Result<Self> {
        let len = file.len()?;
        let read = |from: u64, most: usize| -> Result<Vec<u8>> {
            let mut bytes = vec![0; usize::try_from(len - from).unwrap_or(usize::MAX).min(most)];
            file.read_at(from, &mut bytes)?;
            Ok(bytes)
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let head = read(0, Probe::HEAD)?;
        // There may be thousands of small files beside an image.
        let tail = if head.len() as u64 == len {
            head[head.len().saturating_sub(512)..].to_vec()
        } else {
            read(len.saturating_sub(512), 512)?
        };
        Ok(Ends { head, tail, len, name })
    }

    pub(super) fn probe(&self) -> Probe<'_> {
        Probe { head: &self.head, tail: &self.tail, len: self.len, name: &self.name }
    }
}

/// Compares the result of opening the file at `path` as `format`, which the user named, with the bytes of the file. An
/// image of another format becomes the error `format-mismatch`; if it was read as raw, it gets a remark.
pub(super) fn held_against(
    opened: Result<Option<Image>>,
    file: &dyn Storage,
    path: &Path,
    format: &str,
) -> Result<Option<Image>> {
    let Some(named) = named_format(format) else { return opened };
    if opened.is_ok() && named.name != "raw" {
        return opened;
    }
    let ends = Ends::read(file, path)?;
    let probe = ends.probe();
    let Some((what, advice)) = (if (named.is)(&probe) { None } else { other(&probe, named) }) else { return opened };
    match opened {
        Ok(Some(mut image)) => {
            let what = format!("the file was read as raw because of --format, but looks like {what}: {advice}");
            image.about.remarks.push((Code::LooksLike, what));
            Ok(Some(image))
        }
        Ok(None) => Ok(None),
        Err(_) => {
            let what = format!("{} is not a {} image; it looks like {what}", path.display(), named.title);
            Err(Error::new(Kind::Unsupported, Code::FormatMismatch, what).advise(advice))
        }
    }
}

/// Returns the detected kind of file, and the matching option. `None` if it is unknown.
fn other(probe: &Probe<'_>, named: &Format) -> Option<(String, String)> {
    if probe.head.starts_with(b"regf") {
        return Some(("a registry hive".into(), "omit --format".into()));
    }
    let advice = |name: &str| format!("omit --format, or give --format {name}");
    if let Some(Format { name, title, .. }) = FORMATS.iter().find(|format| (format.is)(probe)) {
        return Some((format!("an image of the format {title}"), advice(name)));
    }
    // The signature of a boot sector. A fixed VHD that has lost its footer begins as a raw disk does.
    let may_be_vhd = named.name == "vhd" && probe.name.to_ascii_lowercase().ends_with(".vhd");
    let boots = probe.head.get(510..512) == Some(&[0x55, 0xaa]) && named.name != "raw" && !may_be_vhd;
    boots.then(|| ("a raw disk or volume".into(), advice("raw")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::{Opener, PathPolicy, Role, open};
    use hivewright_storage::memory::Memory;
    use std::sync::Arc;

    struct One(Vec<u8>);

    impl Opener for One {
        fn open(&self, _: &Path, _: Role) -> Result<Arc<dyn Storage>> {
            Ok(Arc::new(Memory::new(self.0.clone())))
        }
    }

    fn opened(bytes: Vec<u8>, format: &str) -> Result<Option<Image>> {
        open(&PathPolicy::new(Arc::new(One(bytes)), &[]), Path::new("/dev/null"), Some(format))
    }

    #[test]
    fn a_mismatch_names_the_detected_format() {
        let of = |head: &[u8], at: usize| {
            let mut bytes = vec![0; 4096];
            bytes[at..at + head.len()].copy_from_slice(head);
            bytes
        };
        let looks = [
            (of(b"vhdxfile", 0), "VHDX", "--format vhdx"),
            (of(b"QFI\xfb\0\0\0\x03", 0), "qcow2", "--format qcow2"),
            (of(b"KDMV", 0), "VMDK", "--format vmdk"),
            (of(b"regf", 0), "a registry hive", "omit --format"),
            (of(b"\x55\xaa", 510), "a raw disk", "--format raw"),
        ];
        let mut told = 0;
        for (bytes, what, advice) in &looks {
            for format in FORMATS.iter().filter(|format| format.name != "raw") {
                if *what == format.title {
                    continue;
                }
                let error = opened(bytes.clone(), format.name).map(|_| ()).unwrap_err();
                assert_eq!(error.code(), "format-mismatch", "{what} as {}: {error}", format.name);
                assert!(error.what().contains(&format!("not a {} image", format.title)) && error.what().contains(what));
                assert!(error.advice().unwrap().contains(advice), "{error:?}");
                told += 1;
            }
        }
        assert!(told > 40);
        let as_raw = opened(looks[0].0.clone(), "raw").unwrap().unwrap();
        assert!(as_raw.about.remarks[0].1.contains("looks like an image of the format VHDX"));
        // No format matches a file of zeros, so the error of the named format is kept.
        assert_eq!(opened(vec![0; 4096], "vdi").map(|_| ()).unwrap_err().code(), "vdi-header");
        // QEMU's name of VHD.
        assert_eq!(opened(looks[0].0.clone(), "vpc").map(|_| ()).unwrap_err().code(), "format-mismatch");
        let unknown = opened(vec![0; 4096], "vdx").map(|_| ()).unwrap_err();
        let known = FORMATS.iter().all(|format| unknown.advice().unwrap().contains(format.name));
        assert!(unknown.code() == "format-unknown" && known, "{unknown:?}");
    }
}
