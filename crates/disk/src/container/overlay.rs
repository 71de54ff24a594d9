//! The files of an image for a dry run: reads go to the files, writes stay in memory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Opener, Role};
use hivewright_error::{Code, Error, Kind, Place, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::recorder::{Clock, Recorder, Written};

/// Opens a file of the host for reading.
type Open = Box<dyn Fn(&Path, Role) -> Result<Arc<dyn Storage>> + Send + Sync>;

/// Opens the files of one image and keeps writes to them in memory.
pub struct ImageOverlay {
    open: Open,
    clock: Arc<Clock>,
    files: Mutex<Vec<File>>,
}

struct File {
    path: Arc<PathBuf>,
    /// Whether it may be written to.
    own: bool,
    recorder: Arc<Recorder>,
}

/// A write to one file.
#[derive(Clone)]
pub struct Taken {
    /// The file.
    pub path: Arc<PathBuf>,
    /// Its bytes.
    pub written: Written,
}

/// The writable files of an image.
pub struct OverlayFiles {
    /// The files and their lengths before the change. A file that grows is the last one.
    pub arranged: Vec<(PathBuf, u64)>,
    /// The length of the last file after the change.
    pub last_len: u64,
}

impl ImageOverlay {
    /// Creates an overlay that opens files with `open`.
    pub fn new(open: impl Fn(&Path, Role) -> Result<Arc<dyn Storage>> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(ImageOverlay { open: Box::new(open), clock: Arc::default(), files: Mutex::default() })
    }

    fn files_now(&self) -> MutexGuard<'_, Vec<File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the writes since the last call, sorted by epoch.
    ///
    /// # Errors
    /// I/O errors of the files.
    pub fn take(&self) -> Result<Vec<Taken>> {
        let mut taken = Vec::new();
        for file in &*self.files_now() {
            let (_, written) = file.recorder.take()?;
            taken.extend(written.into_iter().map(|written| Taken { path: file.path.clone(), written }));
        }
        taken.sort_by_key(|taken| taken.written.epoch);
        Ok(taken)
    }

    /// Returns the files that may be written to.
    ///
    /// # Errors
    /// `image-grows`: more than one file would grow.
    pub fn files(&self) -> Result<OverlayFiles> {
        let (mut arranged, mut grown) = (Vec::new(), Vec::new());
        for File { path, recorder, .. } in self.files_now().iter().filter(|file| file.own) {
            let entry = (path.to_path_buf(), recorder.len_below());
            let len = recorder.len()?;
            if len > entry.1 { grown.push((entry, len)) } else { arranged.push(entry) }
        }
        if let [(first, _), (second, _), ..] = &grown[..] {
            let what = format!("{} and {} would both grow", first.0.display(), second.0.display());
            return Err(Error::new(Kind::NoRoom, Code::ImageGrows, what)
                .advise(format!("convert a copy of the image to one file, and edit that: {}", advised::TO_RAW)));
        }
        let mut last_len = arranged.last().map_or(0, |file| file.1);
        if let Some((file, len)) = grown.pop() {
            arranged.push(file);
            last_len = len;
        }
        Ok(OverlayFiles { arranged, last_len })
    }
}

impl Opener for ImageOverlay {
    fn open(&self, path: &Path, role: Role) -> Result<Arc<dyn Storage>> {
        let own = role != Role::Backing;
        let mut files = self.files_now();
        let recorder = match files.iter_mut().find(|file| *file.path == path) {
            Some(file) => {
                file.own |= own;
                file.recorder.clone()
            }
            None => {
                let recorder = Arc::new(Recorder::timed((self.open)(path, role)?, self.clock.clone())?);
                files.push(File { path: Arc::new(path.to_owned()), own, recorder: recorder.clone() });
                recorder
            }
        };
        Ok(if own { recorder } else { Arc::new(ReadOnly(recorder)) })
    }
}

/// A file that must not be written to.
struct ReadOnly(Arc<Recorder>);

impl Storage for ReadOnly {
    fn len(&self) -> Result<u64> {
        self.0.len()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.0.read_at(offset, buf)
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        Err(Error::refused(Code::BackingFile, "the change would write to a backing file or parent"))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        self.0.locate(offset)
    }
}
