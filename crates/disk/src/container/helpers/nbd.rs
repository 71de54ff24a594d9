//! `qemu-nbd` as the engine for formats that this program does not read itself.
//!
//! QEMU opens no file of the host: it is a client of our NBD server for the files below, each of which came through the
//! [`Gate`](crate::container::Gate), and an NBD server for the disk, of which we are the client. Every name that stands in an image
//! has been looked up by us or is not followed at all; QEMU is given the whole chain. What it writes goes to storages of
//! ours, under locks of ours.

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
mod unnamed;
#[cfg(unix)]
mod wire;

#[cfg(test)]
#[cfg(unix)]
mod against_qemu;

use std::sync::{Arc, Mutex, PoisonError};

use crate::container::{About, Image, Opening, Refusal, Role};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// QEMU's name of a format. For each of these, QEMU is known to open only the files that it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::container) enum Driver {
    Qcow,
    Qed,
    Parallels,
}

/// An image that qemu-nbd is to open.
pub(in crate::container) struct EngineFormat {
    pub(in crate::container) driver: Driver,
    /// Bytes of a cluster, by which the file grows where it must.
    pub(in crate::container) cluster: u64,
    /// What is known of it. Where `size` is not 0, QEMU must say the same but for the rest of a sector; `refusal` keeps
    /// it from being opened for writing; `below` is of whatever gives the backing bytes.
    pub(in crate::container) about: About,
}

/// Where the error of the last moment goes, when an image is closed.
#[derive(Clone, Debug, Default)]
pub(in crate::container) struct Closing(Arc<Mutex<Option<Error>>>);

impl Closing {
    fn failed(&self, error: Error) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    pub(in crate::container) fn take(&self) -> Option<Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Why nothing is written.
struct Refused(Refusal);

impl Refused {
    fn error(&self) -> Error {
        Error::refused(self.0.code, self.0.what.clone()).advise(self.0.advice.clone())
    }
}

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

    /// How many bytes more than it has are announced of a file that is written to.
    ///
    /// An export has a fixed size, and QEMU does not read past it. QED takes the announced end for the
    /// place where it allocates: there the file must end in truth, and what outgrows it is opened anew.
    fn ahead(self, writing: bool) -> u64 {
        match self {
            // Where nothing grows, all that an image refers to: what its file lacks is asked for, and missed.
            // QEMU keeps a bit for each cluster that a Parallels file has room for.
            Driver::Parallels if !writing => 1 << 42,
            _ if !writing => 1 << 50,
            Driver::Parallels => 256 << 20,
            _ => 0,
        }
    }
}

/// Opens the image that stands on `backing`, the guest bytes of the layer below.
///
/// # Errors
/// `no-qemu-nbd` where it is not installed; `engine-refused` where QEMU does not open it; `engine-timeout`,
/// `engine-died`; `engine-size` where it sees a disk of another size than we.
pub(in crate::container) fn open_with(
    opening: Opening<'_>,
    format: EngineFormat,
    backing: Option<Arc<dyn Storage>>,
) -> Result<Image> {
    let EngineFormat { driver, cluster, mut about } = format;
    let top = opening.role == Role::Image;
    let refused = about.refusal.clone().or_else(|| (!(opening.gate.writing && top)).then(only_read)).map(Refused);
    let program = opening.gate.qemu_nbd.clone().unwrap_or_else(|| "qemu-nbd".into());
    #[cfg(unix)]
    {
        let image: Arc<dyn Storage> = match backing {
            Some(_) => Arc::new(unnamed::Unnamed::new(opening.file, driver)),
            None => opening.file,
        };
        let plan = running::Plan { program, driver, step: cluster, image, backing, writing: refused.is_none() };
        let engine = engine::Engine::start(plan, refused, opening.gate.closing.clone())?;
        if about.size != 0 && engine.size() != about.size && engine.size() != about.size.next_multiple_of(512) {
            let what = "QEMU sees a disk of another size in this image";
            return Err(Error::new(Kind::Corrupt, Code::EngineSize, what).expected(about.size, engine.size()));
        }
        about.size = engine.size();
        about.facts.push(("read-by", "qemu-nbd".into()));
        Ok(Image { disk: Arc::new(engine), about })
    }
    #[cfg(not(unix))]
    {
        let _ = (&mut about, refused, backing, Error::new(Kind::Unsupported, "", "").at(Space::File, 0));
        let what = format!("this image is read by {}, which is not supported on this system", program.display());
        Err(Error::new(Kind::Unsupported, Code::NoQemuNbd, what)
            .advise(format!("convert a copy of the image: {}", hivewright_storage::advised::TO_RAW)))
    }
}

fn only_read() -> Refusal {
    let what = "this image was opened for reading only".into();
    Refusal { code: Code::ImageReadOnly, what, advice: "open it again for writing".into() }
}

/// The name of a backing file of `len` bytes at `at`, which must end before `end`; `field` is where the header says so.
///
/// # Errors
/// `backing-name`: it lies elsewhere, has more than 1023 bytes, or is no text ([`no_text`]).
pub(in crate::container) fn name(file: &dyn Storage, at: u64, len: u64, end: u64, field: u64) -> Result<String> {
    let odd = |what: &str| Error::new(Kind::Corrupt, Code::BackingName, what.to_owned()).at(Space::File, field);
    // QEMU's own limit, and far more than a name has.
    if !(1..1024).contains(&len) {
        return Err(odd("the name of the backing file has an odd length").expected("1 to 1023 bytes", len));
    }
    if at.checked_add(len).is_none_or(|name_end| name_end > end) {
        return Err(odd("the name of the backing file lies outside of the header").expected(end, at));
    }
    let mut name = vec![0; usize::try_from(len).unwrap_or(0)];
    file.read_at(at, &mut name)?;
    String::from_utf8(name).map_err(|_| no_text().at(Space::File, field))
}

/// The error for an image whose engine takes no names but text.
pub(in crate::container) fn no_text() -> Error {
    let what = "the image names another file by bytes that are not UTF-8";
    Error::new(Kind::Unsupported, Code::BackingName, what)
        .advise(format!("give that file another name, and tell a copy of the image of it: {}", advised::REBASE))
}
