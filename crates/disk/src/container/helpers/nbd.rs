//! `qemu-nbd` as the engine for formats that this program does not implement.
//!
//! QEMU opens no file of the host. It is a client of an NBD server of this process for the files below, each of which
//! was opened by the [`PathPolicy`](crate::container::PathPolicy), and an NBD server for the disk, of which this
//! process is the client. Names in an image are resolved here or not followed; QEMU is given the whole chain. Its
//! writes go to storages of this process, under its locks.

// Windows has no qemu-nbd.
#[cfg(unix)]
#[cfg(test)]
mod against_qemu;
#[cfg(unix)]
mod backing_name;
#[cfg(unix)]
mod cache;
#[cfg(unix)]
mod child;
#[cfg(unix)]
mod client;
#[cfg(unix)]
mod engine;
#[cfg(unix)]
mod running;
#[cfg(unix)]
mod server;
#[cfg(unix)]
mod wire;

use std::sync::{Arc, Mutex, PoisonError};

use crate::container::{About, Image, Opening};
#[cfg(unix)]
use crate::container::{Refusal, Role};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// QEMU's name of a format. For each of these, QEMU opens only the files that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::container) enum Driver {
    Qcow,
    Qed,
    Parallels,
}

/// An image for qemu-nbd to open.
pub(in crate::container) struct EngineFormat {
    pub(in crate::container) driver: Driver,
    /// Bytes of a cluster, the unit by which the file grows.
    pub(in crate::container) cluster: u64,
    /// The description. If `size` is not 0, QEMU must report the same size, rounded to sectors; a `refusal` prevents
    /// opening for writing; `below` describes the backing bytes.
    pub(in crate::container) about: About,
}

/// Receives the error of closing an image.
#[derive(Clone, Debug, Default)]
pub(in crate::container) struct Closing(Arc<Mutex<Option<Error>>>);

impl Closing {
    #[cfg(unix)]
    fn failed(&self, error: Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub(in crate::container) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The reason why the disk is not written to.
#[cfg(unix)]
struct Refused(Refusal);

#[cfg(unix)]
impl Refused {
    fn error(&self) -> Error {
        Error::refused(self.0.code, self.0.what.clone()).advise(self.0.advice.clone())
    }
}

#[cfg(unix)]
impl Driver {
    fn name(self) -> &'static str {
        match self {
            Driver::Qcow => "qcow",
            Driver::Qed => "qed",
            Driver::Parallels => "parallels",
        }
    }

    fn has_backing(self) -> bool {
        self != Driver::Parallels
    }

    /// Returns the number of bytes that are announced past the end of a file that is written to.
    ///
    /// An export has a fixed size, and QEMU does not read past it. QED allocates at the announced end, so that must be
    /// the end of the file; when the file outgrows it, the image is opened anew.
    fn ahead(self, writing: bool) -> u64 {
        match self {
            // A file that does not grow is announced with the size that the image refers to, so that reads of missing
            // bytes are noticed.
            // QEMU keeps a bit for each cluster that a Parallels file has room for.
            Driver::Parallels if !writing => 1 << 42,
            _ if !writing => 1 << 50,
            Driver::Parallels => 256 << 20,
            _ => 0,
        }
    }
}

/// Opens the image over `backing`, the disk of the layer below.
///
/// # Errors
/// `no-qemu-nbd`: it is not installed. `engine-refused`: QEMU does not open the image. `engine-timeout`, `engine-died`.
/// `engine-size`: QEMU reports another size of the disk.
pub(in crate::container) fn open_with(
    opening: Opening<'_>,
    format: EngineFormat,
    backing: Option<Arc<dyn Storage>>,
) -> Result<Image> {
    let EngineFormat { driver, cluster, mut about } = format;
    let program = opening.policy.qemu_nbd.clone().unwrap_or_else(|| "qemu-nbd".into());
    #[cfg(unix)]
    {
        let top = opening.role == Role::Image;
        let refused = about.refusal.clone().or_else(|| (!(opening.policy.writing && top)).then(only_read)).map(Refused);
        let image: Arc<dyn Storage> = match backing {
            Some(_) => Arc::new(backing_name::HeaderWithoutBackingName::new(opening.file, driver)),
            None => opening.file,
        };
        let plan = running::Plan { program, driver, step: cluster, image, backing, writing: refused.is_none() };
        let engine = engine::Engine::start(plan, refused, opening.policy.closing.clone())?;
        if about.size != 0 && engine.size() != about.size && engine.size() != about.size.next_multiple_of(512) {
            let what = "QEMU reports another size of the disk";
            return Err(Error::new(Kind::Corrupt, Code::EngineSize, what).expected(about.size, engine.size()));
        }
        about.size = engine.size();
        about.facts.push(("read-by", "qemu-nbd".into()));
        Ok(Image::of_disk(Arc::new(engine), about))
    }
    #[cfg(not(unix))]
    {
        let _ = (&mut about, backing, cluster, driver);
        let what = format!("this image needs {}, which needs Unix sockets", program.display());
        Err(Error::new(Kind::Unsupported, Code::NoQemuNbd, what)
            .advise(format!("convert a copy of the image: {}", hivewright_storage::advised::TO_RAW)))
    }
}

#[cfg(unix)]
fn only_read() -> Refusal {
    let what = "this image was opened for reading only".into();
    Refusal { code: Code::ImageReadOnly, what, advice: "open it again for writing".into() }
}

/// Returns the name of a backing file of `len` bytes at `at`, which must end before `end`; `field` is the offset of the
/// header field.
///
/// # Errors
/// `backing-name`: it lies outside the header, has more than 1023 bytes, or is not text ([`no_text`]).
pub(in crate::container) fn name(file: &dyn Storage, at: u64, len: u64, end: u64, field: u64) -> Result<String> {
    let odd = |what: &str| Error::new(Kind::Corrupt, Code::BackingName, what.to_owned()).at(Space::File, field);
    // QEMU's limit, far more than a name has.
    if !(1..1024).contains(&len) {
        return Err(odd("the name of the backing file has an invalid length").expected("1 to 1023 bytes", len));
    }
    if at.checked_add(len).is_none_or(|name_end| name_end > end) {
        return Err(odd("the name of the backing file lies outside the header").expected(end, at));
    }
    let mut name = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_at(at, &mut name)?;
    String::from_utf8(name).map_err(|_| no_text().at(Space::File, field))
}

/// Returns the error for a name that is not text, which the engine does not accept.
pub(in crate::container) fn no_text() -> Error {
    let what = "the image names another file, and the name is not UTF-8";
    Error::new(Kind::Unsupported, Code::BackingName, what)
        .advise(format!("rename that file, and change its name in a copy of the image: {}", advised::REBASE))
}
