//! Adds the name of the file to an error, where an image has several files: parts and images below it.

use std::path::Path;
use std::sync::Arc;

use super::path_policy::HostFile;
use super::{Format, Image, Opening};
use hivewright_error::{Code, Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;

/// The words that name the file in a message.
const NAMED: &str = "it is the file ";
const ANOTHER_COPY: &str = "copy the image again: this copy is damaged or was truncated in transfer";

/// Adds the name of the file that the error is about, if it is not the image's first file; and general advice for
/// damage without advice.
pub fn explained(error: Error, files: &[HostFile]) -> Error {
    let error = match part(&error, files) {
        Some(part) => named(error, &part.path),
        None => error,
    };
    if error.kind() == Kind::Corrupt && error.advice().is_none() { error.advise(ANOTHER_COPY) } else { error }
}

/// Opens an image. Errors of an image below another one name its file, both on opening and on reading.
pub(super) fn open(format: &Format, opening: Opening<'_>) -> Result<Image> {
    if opening.depth == 0 {
        return (format.open)(opening);
    }
    let (policy, path) = (opening.policy, opening.path);
    let image = (format.open)(opening).map_err(|error| below(error, &policy.files(), path))?;
    let (disk, path) = (image.disk, path.into());
    Ok(Image { disk: Arc::new(Layer { disk, path, files: policy.files() }), ..image })
}

/// Adds the name of the image at `path`, which lies below another one, unless a lower image has added its name.
pub(super) fn below(error: Error, files: &[HostFile], path: &Path) -> Error {
    let of_the_bytes = matches!(error.kind(), Kind::Corrupt | Kind::Unsupported);
    if !of_the_bytes || matches!(error.code(), Code::NoQemuNbd | Code::ImageFiles | Code::ImageDepth) {
        return error;
    }
    // The error may be about a part of the image that it already names.
    if files.iter().skip(1).any(|file| says(&error, &file.path)) {
        return error;
    }
    let part = part(&error, files).map(|part| part.path.clone());
    named(error, part.as_deref().unwrap_or(path))
}

/// Returns the file that the places of an error lead to, if it is not the first.
fn part<'a>(error: &Error, files: &'a [HostFile]) -> Option<&'a HostFile> {
    error.trail().iter().find_map(|place| match place.space {
        Space::Part(number) => files.get(usize::from(number).checked_sub(1)?),
        _ => None,
    })
}

fn named(error: Error, path: &Path) -> Error {
    if error.what().contains(NAMED) || says(&error, path) {
        return error;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    error.adding(&format!("{NAMED}{name}"))
}

/// Returns whether the message contains the name of that file as a word.
fn says(error: &Error, path: &Path) -> bool {
    let (what, name) = (error.what(), path.file_name().unwrap_or_default().to_string_lossy());
    let goes_on = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
    what.match_indices(&*name)
        .any(|(at, name)| !goes_on(what[..at].chars().next_back()) && !goes_on(what[at + name.len()..].chars().next()))
}

/// The disk of an image below another one.
struct Layer {
    disk: Arc<dyn Storage>,
    path: Box<Path>,
    files: Vec<HostFile>,
}

impl Storage for Layer {
    fn len(&self) -> Result<u64> {
        self.disk.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.disk.read_at(offset, buf).map_err(|error| below(error, &self.files, &self.path))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.disk.write_at(offset, bytes)
    }

    fn flush(&self) -> Result<()> {
        self.disk.flush()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.disk.set_len(len)
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        self.disk.locate(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_names_only_the_lowest_file() {
        let corrupt = |what: &str| Error::new(Kind::Corrupt, Code::VdiHeader, what);
        let told = below(corrupt("a block is past its end"), &[], Path::new("/images/base.vhd"));
        assert_eq!(told.what(), "a block is past its end; it is the file base.vhd");
        let again = below(told, &[], Path::new("/images/middle.avhd"));
        assert_eq!(again.what().matches(NAMED).count(), 1, "{again}");
        let known = below(corrupt("the extent /images/base.vhd is odd"), &[], Path::new("/images/base.vhd"));
        assert_eq!(known.what(), "the extent /images/base.vhd is odd");
        assert!(below(corrupt("the name is odd"), &[], Path::new("/images/e")).what().ends_with("the file e"));
        let host = below(Error::new(Kind::Io, Code::Io, "no answer"), &[], Path::new("/images/base.vhd"));
        assert_eq!(host.what(), "no answer");
    }
}
