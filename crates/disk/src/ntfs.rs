//! NTFS volumes, read without mounting.
//!
//! Facts: the Linux-NTFS documentation, Joachim Metz's *NTFS format* (libfsntfs, keramics), and Microsoft's public
//! pages; each module names its section. Metadata is read in blocks of 4096 bytes, of which the recent ones are cached,
//! so that opening one file among thousands reads little: see `Cache`. Writes go through [`FileInVolume`] into clusters
//! that the file owns, and by a [`Growth`]: see `growth`.
//!
//! Every length, offset and count is checked against the volume before it is used; loops are bounded by the bytes read;
//! walks of indexes record visited nodes.

pub mod attribute;
pub mod attribute_list;
pub mod boot_sector;
mod cache;
mod cluster_map;
mod compressed;
mod draft;
pub mod fixup;
mod folder;
mod growth;
pub mod index;
mod log_file;
pub mod lznt1;
mod mft;
pub mod record;
pub mod runs;
mod shadow_copies;
mod stream;
mod upcase;
mod volume_info;

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::files::{
    DirEntry, Extents, Facts, FileInVolume, Files, Growth, Hibernation, Remark, Traits, VolumeState, hibernation,
    names, shadow_copies as copies,
};
use attribute::{flags, kind};
use boot_sector::Geometry;
use cache::Cache;
use cluster_map::ClusterMap;
use compressed::{Compressed, Resident};
use folder::Folder;
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use mft::Mft;
use record::Record;
use stream::{Body, Stream};
use upcase::Upcase;
use volume_info::VolumeInfo;

/// Record of the root folder.
const ROOT: u64 = 5;
/// Maximum number of code units of a name.
const MAX_NAME: usize = 255;

/// An NTFS volume.
pub struct Ntfs {
    mft: Mft,
    upcase: OnceLock<Upcase>,
    from_backup: bool,
}

impl Ntfs {
    /// Opens `volume` as NTFS. If the boot sector is damaged, its backup at the end is used, and [`Files::state`]
    /// reports that; the boot sector of another file system is never overridden.
    ///
    /// # Errors
    /// `ntfs-boot-sector`, `bitlocker`, `refs`; damage of `$MFT`; I/O errors.
    pub fn open(volume: Arc<dyn Storage>) -> Result<Ntfs> {
        let cache = Cache::new(volume)?;
        let mut bytes = [0; boot_sector::SIZE];
        let primary = cache.read_at(0, &mut bytes).and_then(|()| Geometry::parse(&bytes, 0));
        let (geometry, from_backup) = match primary {
            Err(error) if boot_sector::is_damaged(&bytes) => match backup(&cache) {
                Some(geometry) => (geometry, true),
                None => return Err(located(&cache, error)),
            },
            other => (other.map_err(|error| located(&cache, error))?, false),
        };
        Ntfs::with(cache, geometry, from_backup)
    }

    /// Opens the volume by the backup boot sector at its end, and ignores its first sector.
    ///
    /// # Errors
    /// As [`Ntfs::open`]; `ntfs-boot-sector` if there is no matching backup.
    pub fn open_by_backup(volume: Arc<dyn Storage>) -> Result<Ntfs> {
        let cache = Cache::new(volume)?;
        let none =
            || unsupported(Code::NtfsBootSector, "there is no backup boot sector at the volume's end", cache.len());
        let geometry = backup(&cache).ok_or_else(none)?;
        Ntfs::with(cache, geometry, true)
    }

    fn with(cache: Cache, geometry: Geometry, from_backup: bool) -> Result<Ntfs> {
        let volume = cache.volume().clone();
        let mft = Mft::open(cache, geometry).map_err(|error| with_places(&*volume, error))?;
        Ok(Ntfs { mft, upcase: OnceLock::new(), from_backup })
    }

    /// Returns the sizes of the volume.
    pub fn geometry(&self) -> &Geometry {
        &self.mft.geometry
    }

    fn upcase(&self) -> Result<&Upcase> {
        if let Some(table) = self.upcase.get() {
            return Ok(table);
        }
        let table = Upcase::open(&self.mft)?;
        Ok(self.upcase.get_or_init(|| table))
    }

    /// Returns the record of the file or folder at `path`.
    fn resolve(&self, path: &str) -> Result<Option<Record>> {
        let mut record = self.mft.record(ROOT)?;
        let mut so_far = String::new();
        for name in names(path) {
            if let Some(link) = record.reparse(&so_far)? {
                return Err(link);
            }
            so_far.extend(["\\", name]);
            let units: Vec<u16> = name.encode_utf16().collect();
            if !record.is_folder || units.len() > MAX_NAME {
                return Ok(None);
            }
            match Folder::open(&self.mft, &record)?.find(&units, self.upcase()?)? {
                Some(reference) => record = self.mft.referred(reference)?,
                None => return Ok(None),
            }
        }
        Ok(Some(record))
    }

    fn file(&self, path: &str) -> Result<Option<FileInVolume>> {
        let Some(record) = self.resolve(path)? else { return Ok(None) };
        if let Some(link) = record.reparse(path)? {
            return Err(link);
        }
        if record.is_folder {
            let what = format!("{path} is a folder");
            return Err(Error::new(Kind::NotFound, Code::FileIsFolder, what).at(Space::Volume, record.at));
        }
        let stream = self.mft.stream(&record, kind::DATA, "")?;
        let stream = stream.ok_or_else(|| corrupt(Code::NtfsNoData, "a file has no data attribute", record.at))?;
        self.contents(&record, stream).map(Some)
    }

    fn contents(&self, record: &Record, mut stream: Stream) -> Result<FileInVolume> {
        let volume = self.mft.cache.volume().clone();
        let is_compressed = stream.flags & flags::COMPRESSED != 0;
        let mut facts = Facts {
            id: record.number,
            len: stream.len,
            valid_len: stream.valid_len,
            covered_len: 0,
            links: record.links,
            traits: Traits {
                compressed: is_compressed,
                encrypted: stream.flags & flags::ENCRYPTED != 0,
                sparse: stream.flags & flags::SPARSE != 0,
                resident: false,
            },
        };
        let extents = match std::mem::replace(&mut stream.body, Body::Clusters(Extents::default())) {
            Body::Resident(value) => {
                facts.traits.resident = true;
                // A resident file is never compressed, but its flag may be set.
                facts.traits.compressed = false;
                return Ok(FileInVolume::new(volume, facts, Extents::default(), Some(Box::new(Resident(value)))));
            }
            Body::Clusters(extents) => extents,
        };
        if let Some(twice) = extents.overlap() {
            return Err(
                corrupt(Code::NtfsRunsOverlap, "a file claims the same cluster twice", twice).advise(advised::repair())
            );
        }
        facts.covered_len = extents.len();
        if is_compressed && !facts.traits.encrypted {
            let contents = Compressed::new(&stream, extents.clone(), &self.mft.geometry)?;
            return Ok(FileInVolume::new(volume, facts, extents, Some(Box::new(contents))));
        }
        Ok(FileInVolume::new(volume, facts, extents, None))
    }

    fn hibernation(&self) -> Hibernation {
        match self.file(hibernation::FILE) {
            Ok(None) => Hibernation::NoFile,
            Ok(Some(file)) => Hibernation::of(Ok(file.facts().len), |first| file.read_at(0, first)),
            Err(error) => Hibernation::unreadable(&located(&self.mft.cache, error)),
        }
    }

    /// Returns the number of shadow copies: the larger of the numbers of their files and of the entries in the catalog.
    /// The files may belong to another volume, and the catalog may be older.
    fn shadow_copies(&self) -> Option<u32> {
        let by_name = match self.list(copies::FOLDER) {
            Ok(entries) => {
                let entries = entries.unwrap_or_default();
                u32::try_from(entries.iter().filter(|entry| !entry.is_folder && copies::is_store(&entry.name)).count())
                    .ok()
            }
            Err(_) => None,
        };
        match (by_name, shadow_copies::listed(&self.mft.cache).unwrap_or(None)) {
            (Some(0) | None, None) | (None, Some(0)) => None,
            (one, other) => one.max(other),
        }
    }

    fn remarks(&self) -> Vec<Remark> {
        let (claimed, len) = (self.mft.geometry.bytes, self.mft.cache.len());
        let all = [
            (self.from_backup, Code::NtfsBackupBootSector, "the boot sector is damaged; its backup is used".to_owned()),
            (self.mft.mirror_used(), Code::NtfsMftMirror, "$MFT is damaged; $MFTMirr is used".to_owned()),
            (
                claimed > len,
                Code::VolumeTruncated,
                format!(
                    "the volume has {claimed} bytes, but the image contains {len} of them: it is truncated, or its last segment is missing"
                ),
            ),
        ];
        all.into_iter().filter(|(is, ..)| *is).map(|(_, code, what)| Remark { code, what }).collect()
    }
}

impl Files for Ntfs {
    fn open(&self, path: &str) -> Result<Option<FileInVolume>> {
        self.file(path).map_err(|error| located(&self.mft.cache, error))
    }

    fn list(&self, path: &str) -> Result<Option<Vec<DirEntry>>> {
        let entries = || {
            let Some(record) = self.resolve(path)?.filter(|record| record.is_folder) else { return Ok(None) };
            match record.reparse(path)? {
                Some(link) => Err(link),
                None => Folder::open(&self.mft, &record)?.list(self.upcase()?).map(Some),
            }
        };
        entries().map_err(|error| located(&self.mft.cache, error))
    }

    fn state(&self) -> Result<VolumeState> {
        let state = || {
            let info = VolumeInfo::read(&self.mft)?;
            let (journal, hibernation) = (log_file::state(&self.mft)?, self.hibernation());
            Ok(VolumeState {
                file_system: "NTFS",
                version: Some(info.version),
                label: info.label,
                dirty: info.flags & volume_info::DIRTY != 0,
                flags: info.flags,
                journal,
                hibernation,
                shadow_copies: self.shadow_copies(),
                remarks: self.remarks(),
            })
        };
        state().map_err(|error| located(&self.mft.cache, error))
    }

    fn plan_growth(&self, path: &str, len: u64) -> Result<Option<Growth>> {
        growth::plan(self, path, len).map_err(|error| located(&self.mft.cache, error))
    }

    fn confirm(&self, file: &FileInVolume) -> Result<()> {
        let confirmed = || {
            self.upcase()?.confirm(&self.mft.cache)?;
            ClusterMap::open(&self.mft)?.confirm(file.extents())
        };
        confirmed().map_err(|error| located(&self.mft.cache, error))
    }
}

impl fmt::Debug for Ntfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ntfs").field("geometry", self.geometry()).finish_non_exhaustive()
    }
}

/// Returns the backup boot sector in the last sector of the storage, if its size matches that place.
fn backup(cache: &Cache) -> Option<Geometry> {
    [512, 1024, 2048, 4096].into_iter().find_map(|sector| {
        let at = cache.len().checked_sub(sector)?;
        let mut bytes = [0; boot_sector::SIZE];
        cache.read_at(at, &mut bytes).ok()?;
        Geometry::parse(&bytes, at).ok().filter(|geometry| geometry.sector == sector && geometry.bytes <= at)
    })
}

fn located(cache: &Cache, error: Error) -> Error {
    with_places(&**cache.volume(), error)
}

/// Adds the lower places of the error's last place, if that is in the volume.
fn with_places(volume: &dyn Storage, error: Error) -> Error {
    let Some(last) = error.trail().last().copied().filter(|last| last.space == Space::Volume) else { return error };
    volume
        .locate(last.offset)
        .into_iter()
        .filter(|place| *place != last)
        .fold(error, |error, place| error.at(place.space, place.offset))
}

fn corrupt(code: Code, what: impl Into<String>, at: u64) -> Error {
    Error::new(Kind::Corrupt, code, what).at(Space::Volume, at)
}

fn unsupported(code: Code, what: impl Into<String>, at: u64) -> Error {
    Error::new(Kind::Unsupported, code, what).at(Space::Volume, at)
}
