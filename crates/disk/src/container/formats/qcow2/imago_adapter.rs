//! Adapts a storage to imago: the file of the image, its data file, or the disk that is its backing file.
//!
//! The features in the header are shown to imago as it may know them: it has to leave alone what it does not.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use imago::io_buffers::{IoVector, IoVectorMut};
use imago::storage::drivers::CommonStorageHelper;

use super::header::{AUTOCLEAR, DATA_FILE, Header, INCOMPATIBLE};
use super::write_order::{Now, WriteOrder};
use hivewright_error::{Code, Error, Kind, Place, Result};
use hivewright_storage::Storage;
use hivewright_storage::span::{lay_over, placed, read_then_zeros};

/// How far past its end a file may be written to at once: what lies between is all zeros that must be kept.
const MAX_GAP: u64 = 64 << 20;

/// What the file of the image is being used for.
#[derive(Default)]
pub(super) struct Mode {
    /// It has been looked at and is written to: clusters may end at the end of the file. Before, tables are whole.
    writing: AtomicBool,
    /// Each write waits for the one before it.
    pub in_order: AtomicBool,
    /// The order of writes, once the image is written to.
    order: Mutex<Option<WriteOrder>>,
}

impl Mode {
    fn order(&self) -> MutexGuard<'_, Option<WriteOrder>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is written to from now on, with these tables.
    pub(super) fn begin(&self, order: WriteOrder) {
        *self.order() = Some(order);
        self.writing.store(true, Ordering::Relaxed);
    }

    /// Writes what has waited.
    pub(super) fn settle(&self, file: &dyn Storage) -> Result<()> {
        self.order().as_mut().map_or(Ok(()), |order| order.settle(file))
    }
}

/// See the module.
pub(super) struct ImagoStorage {
    storage: Arc<dyn Storage>,
    /// Eight bytes of the header each, and where, as imago is to see them.
    shown: Vec<(u64, [u8; 8])>,
    /// A read that begins past the end is an error, rather than zeros.
    ends: bool,
    /// Bytes of a table.
    table: usize,
    mode: Arc<Mode>,
    helper: CommonStorageHelper,
}

impl ImagoStorage {
    /// A data file, which has every cluster that is allocated.
    pub(super) fn data_file(storage: Arc<dyn Storage>) -> Self {
        ImagoStorage { ends: true, ..ImagoStorage::new(storage) }
    }

    /// A backing disk: zeros past its end.
    pub(super) fn new(storage: Arc<dyn Storage>) -> Self {
        let (shown, mode, helper) = (Vec::new(), Arc::default(), CommonStorageHelper::default());
        ImagoStorage { storage, shown, ends: false, table: 0, mode, helper }
    }

    /// The file with the tables.
    pub(super) fn image(storage: Arc<dyn Storage>, header: &Header, mode: Arc<Mode>) -> Self {
        let shown = match header.version {
            2 => Vec::new(),
            _ => vec![(INCOMPATIBLE, (header.incompatible & DATA_FILE).to_be_bytes()), (AUTOCLEAR, [0; 8])],
        };
        let table = usize::try_from(header.cluster).unwrap_or(0);
        ImagoStorage { shown, ends: true, table, mode, ..ImagoStorage::new(storage) }
    }

    /// Fills `buf`; zeros past the end.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        // Most lie in the file whole: its length is asked for when one does not.
        if self.storage.read_at(offset, buf).is_err() {
            let len = self.storage.len()?;
            if self.ends && offset >= len && !buf.is_empty() {
                return Err(placed(cut_short(offset, len), &*self.storage, offset));
            }
            read_then_zeros(&*self.storage, len, offset, buf)?;
        }
        if let Some(order) = &*self.mode.order() {
            order.show(offset, buf);
        }
        for (at, bytes) in &self.shown {
            lay_over(buf, offset, *at, bytes);
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let past = || Error::new(Kind::NoRoom, Code::Qcow2Grows, "the file would have to grow too much");
        let (len, end) = (self.storage.len()?, offset.checked_add(bytes.len() as u64).ok_or_else(past)?);
        if self.shown.iter().any(|(at, _)| offset < at + 8 && *at < end) {
            return Err(Error::new(
                Kind::Unsupported,
                Code::Qcow2HeaderWrite,
                "the features would have to be rewritten",
            ));
        }
        if self.mode.in_order.load(Ordering::Relaxed) {
            self.storage.flush()?;
        }
        if end > len {
            if offset.saturating_sub(len) > MAX_GAP {
                return Err(past().expected(format_args!("at most {MAX_GAP} bytes between"), offset - len));
            }
            self.storage.set_len(end)?;
        }
        let now = self.mode.order().as_mut().map(|order| order.now(&*self.storage, offset, bytes)).transpose()?;
        match now.unwrap_or(Now::All) {
            Now::All => self.storage.write_at(offset, bytes),
            Now::Other(bytes) => self.storage.write_at(offset, &bytes),
            Now::Nothing => Ok(()),
        }
    }

    /// Where a byte lies.
    pub(super) fn locate(&self, offset: u64) -> Vec<Place> {
        self.storage.locate(offset)
    }
}

/// The error for clusters past the end of the file.
fn cut_short(offset: u64, len: u64) -> Error {
    crate::container::cut_short(Code::Qcow2Header, "a cluster lies behind its end", offset.saturating_add(1), len)
}

impl fmt::Debug for ImagoStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImagoStorage")
    }
}

impl fmt::Display for ImagoStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file")
    }
}

// The trait has unsafe methods to be called by its own checks only. Implementing them needs nothing unsafe.
#[allow(unsafe_code)]
impl imago::Storage for ImagoStorage {
    fn size(&self) -> io::Result<u64> {
        self.storage.len().map_err(io::Error::other)
    }

    unsafe fn pure_readv(&self, bufv: IoVectorMut<'_>, mut offset: u64) -> io::Result<()> {
        for mut buf in bufv.into_inner() {
            let end = offset.saturating_add(buf.len() as u64);
            let is_table = buf.len() == self.table && offset.is_multiple_of(buf.len() as u64);
            if is_table && !self.mode.writing.load(Ordering::Relaxed) && end > self.size()? {
                return Err(io::Error::other(placed(cut_short(end - 1, self.size()?), &*self.storage, offset)));
            }
            self.read(offset, &mut buf).map_err(io::Error::other)?;
            offset += buf.len() as u64;
        }
        Ok(())
    }

    unsafe fn pure_writev(&self, bufv: IoVector<'_>, mut offset: u64) -> io::Result<()> {
        for buf in bufv.into_inner() {
            self.write(offset, &buf).map_err(io::Error::other)?;
            offset += buf.len() as u64;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.storage.flush().map_err(io::Error::other)
    }

    fn sync(&self) -> io::Result<()> {
        self.storage.flush().map_err(io::Error::other)
    }

    unsafe fn invalidate_cache(&self) -> io::Result<()> {
        Ok(())
    }

    fn get_storage_helper(&self) -> &CommonStorageHelper {
        &self.helper
    }
}
