//! The disk that the guest sees. The crate imago maps and allocates; bytes are read and handed on here.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use imago::qcow2::Qcow2;
use imago::raw::Raw;
use imago::{FormatAccess, Mapping, ShallowMapping};

use super::header::{AUTOCLEAR, BITMAPS, Header, RAW_DATA_FILE};
use super::imago_adapter::{ImagoStorage, Mode};
use super::write_order::WriteOrder;
use super::{compressed, consistency, damaged};
use crate::container::helpers::block_cache::BlockCache;
use crate::container::helpers::tables::{Tables, index};
use crate::container::within_disk;
use hivewright_error::{Code, Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;

/// See the module.
pub(super) struct Disk {
    access: FormatAccess<ImagoStorage>,
    file: Arc<dyn Storage>,
    header: Header,
    /// What stands against writing, if anything does.
    refusal: Option<(Code, String, String)>,
    /// Reads share it; a write has it alone, since it may free what was being read. Holds whether it was written to.
    turn: RwLock<bool>,
    mode: Arc<Mode>,
    /// As they are while nothing was written.
    tables: Tables,
    /// Decompressed clusters.
    kept: Mutex<BlockCache>,
}

impl Disk {
    /// Hands the image over to imago: `data` is the external data file, `backing` the disk below.
    ///
    /// # Errors
    /// The tables make no sense, or cannot be read.
    pub(super) fn open(
        file: Arc<dyn Storage>,
        header: Header,
        data: Option<Arc<dyn Storage>>,
        backing: Option<Arc<dyn Storage>>,
        refusal: Option<(Code, String, String)>,
    ) -> Result<Disk> {
        let mode = Arc::default();
        let below = ImagoStorage::image(file.clone(), &header, Arc::clone(&mode));
        let mut image = Qcow2::<ImagoStorage>::open_image(below, refusal.is_none()).map_err(failed)?;
        image.set_data_file(data.map(ImagoStorage::data_file));
        let backing =
            backing.map(|disk| Raw::open_image(ImagoStorage::new(disk), false)).transpose().map_err(failed)?;
        image.set_backing(backing.map(FormatAccess::new));
        let access = FormatAccess::new(image);
        let (turn, kept) = (RwLock::default(), Mutex::default());
        let tables = Tables::new(file.clone(), Code::Qcow2Tables);
        Ok(Disk { access, file, header, refusal, mode, tables, turn, kept })
    }

    /// Fills `buf` from the compressed cluster around `offset`; `written`: the image is no longer as it was found.
    fn read_compressed(
        &self,
        layer: &FormatAccess<ImagoStorage>,
        offset: u64,
        buf: &mut [u8],
        written: bool,
    ) -> Result<()> {
        if self.header.data_file.is_some() {
            return Err(damaged("a cluster is compressed though the bytes are in a data file", 0));
        }
        let cluster = self.header.cluster;
        let number = offset / cluster;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = kept.piece(number, index(cluster), |bytes| {
            if !written && compressed::read(&self.tables, &*self.file, &self.header, number, bytes).is_some() {
                return Ok(bytes.len());
            }
            let len = bytes.len().min(index(self.header.size - number * cluster));
            let (bytes, mut again) = (&mut bytes[..len], vec![0xff; len]);
            bytes.fill(0);
            layer.read(&mut *bytes, number * cluster).map_err(failed)?;
            layer.read(&mut again[..], number * cluster).map_err(failed)?;
            // What a damaged stream repeats from before its start, imago takes from what the buffer held.
            if *bytes != again[..] {
                return Err(Error::new(Kind::Corrupt, Code::Qcow2Tables, "a compressed cluster is damaged"));
            }
            Ok(len)
        })?;
        let within = index(offset - number * cluster);
        buf.copy_from_slice(&bytes[within..within + buf.len()]);
        Ok(())
    }

    /// Whether a compressed cluster is there, of an image that is written to. It will be copied: one that cannot be read is
    /// an error.
    fn is_compressed(&self, offset: u64) -> Result<bool> {
        match self.access.get_mapping(offset, 1) {
            Ok((Mapping::Special { layer, offset, .. }, _)) => {
                self.read_compressed(layer, offset, &mut [0], true)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Data before the tables that lead to it, counts that rise before upper tables, counts that fall last.
    fn flush_all(&self) -> Result<()> {
        self.mode.in_order.store(true, Ordering::Relaxed);
        let flushed = self.access.flush();
        self.mode.in_order.store(false, Ordering::Relaxed);
        flushed.map_err(failed)?;
        self.mode.settle(&*self.file)
    }

    /// What must be done before anything is written: once.
    fn begin_writing(&self) -> Result<()> {
        let blocks = consistency::check(&*self.file, &self.header)?;
        self.mode.begin(WriteOrder::new(&self.header, blocks));
        // A writer clears what it does not know to keep; a bitmap is among the refusals.
        let kept = self.header.autoclear & (BITMAPS | RAW_DATA_FILE);
        if kept != self.header.autoclear {
            self.file.write_at(AUTOCLEAR, &kept.to_be_bytes())?;
            self.file.flush()?;
        }
        Ok(())
    }
}

impl Storage for Disk {
    fn len(&self) -> Result<u64> {
        Ok(self.header.size)
    }

    fn read_at(&self, mut offset: u64, mut buf: &mut [u8]) -> Result<()> {
        within_disk(self.header.size, offset, buf.len())?;
        let written = self.turn.read().unwrap_or_else(PoisonError::into_inner);
        while !buf.is_empty() {
            let (mapping, count) = self.access.get_mapping(offset, buf.len() as u64).map_err(failed)?;
            let mut count = index(count).min(buf.len());
            if let Mapping::Special { .. } = mapping {
                count = count.min(index(self.header.cluster - offset % self.header.cluster));
            }
            if count == 0 {
                return Err(damaged("the tables lead nowhere", 0).at(Space::Disk, offset));
            }
            let (chunk, rest) = buf.split_at_mut(count);
            match mapping {
                Mapping::Raw { storage, offset: at, .. } => storage.read(at, chunk),
                Mapping::Special { layer, offset: at, .. } => self.read_compressed(layer, at, chunk, *written),
                _ => {
                    chunk.fill(0);
                    Ok(())
                }
            }
            .map_err(|e| e.at(Space::Disk, offset))?;
            (buf, offset) = (rest, offset + count as u64);
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        within_disk(self.header.size, offset, bytes.len())?;
        if let Some((code, what, advice)) = &self.refusal {
            return Err(Error::refused(*code, what.clone()).advise(advice.clone()).at(Space::Disk, offset));
        }
        let mut written = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        if !*written {
            self.begin_writing()?;
            *written = true;
        }
        // What is compressed is freed when it is written to, and may be taken again by the next write: the tables must
        // not lead there then.
        let mut frees = false;
        for end in [offset, offset + bytes.len().saturating_sub(1) as u64] {
            frees |= self.is_compressed(end).map_err(|e| e.at(Space::Disk, end))?;
        }
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.access.write(bytes, offset).map_err(|e| failed(e).at(Space::Disk, offset))?;
        if frees { self.flush_all() } else { Ok(()) }
    }

    fn flush(&self) -> Result<()> {
        let written = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        if !*written {
            return Ok(());
        }
        self.flush_all()
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        let mut places = vec![Place { space: Space::Disk, offset }];
        let _turn = self.turn.read().unwrap_or_else(PoisonError::into_inner);
        match self.access.get_shallow_mapping(offset, 1) {
            Ok((ShallowMapping::Raw { storage, offset, .. }, _)) => places.extend(storage.locate(offset)),
            // Without the backing disk's own "disk": it is the same address.
            Ok((ShallowMapping::Indirect { .. }, _)) => {
                if let Ok((Mapping::Raw { storage, offset, .. }, _)) = self.access.get_mapping(offset, 1) {
                    places.extend(storage.locate(offset).into_iter().skip(1));
                }
            }
            _ => {}
        }
        places
    }
}

/// What imago says, as an error of ours. What came from below comes back as it was.
fn failed(error: io::Error) -> Error {
    let (kind, text) = (error.kind(), error.to_string());
    match error.into_inner().map(|inner| inner.downcast::<Error>()) {
        Some(Ok(ours)) => *ours,
        _ if kind == io::ErrorKind::OutOfMemory => Error::new(Kind::Unsupported, Code::TooLarge, text),
        _ => Error::new(Kind::Corrupt, Code::Qcow2Tables, format!("the image cannot be read: {text}")),
    }
}
