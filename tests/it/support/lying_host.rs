//! A file system with faults: unflushed changes may be durable, lost, partial or garbage.
//!
//! It keeps two states, that of the programs and that of the medium, and the list of changes between them, like the
//! crash tests of SQLite and redb. Every call counts as one operation, and any operation can fail or be the moment of a
//! power cut.

use hivewright_error::Code;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use hivewright::{Error, Kind, Place, Result, Space};
use hivewright_storage::{About, Access, Carried, FileId, Host, HostFile, Storage, Times};

use super::shared::Shared;

pub(crate) const SECTOR: usize = 512;

/// Kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    None,
    /// A power cut before this operation, after the previous one.
    Cut(usize),
    /// A failure of this operation.
    Fail(usize, Failure),
    /// A failure of this and all later operations.
    FailFrom(usize, Failure),
    /// A change of the last byte of the first file by another program, just before this operation.
    Meddle(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failure {
    /// No effect.
    Io,
    /// No space left: no effect of operations that need space (write, create, grow), except the first half of a write.
    Full,
    /// Full effect, but reported as failed.
    DoneAllTheSame,
}

/// Effect of a power cut on an unflushed change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fate {
    Done,
    Lost,
    /// Only this number of sectors from its start is durable.
    Torn(usize),
    /// Every sector that it touches contains garbage.
    Garbage,
}

#[derive(Clone, Debug)]
enum Unflushed {
    Bytes(u64, Vec<u8>),
    Len(u64),
}

#[derive(Clone, Debug)]
enum NameChange {
    Is(PathBuf, u64),
    Moved(PathBuf, PathBuf, u64),
    Gone(PathBuf),
}

#[derive(Clone, Debug)]
struct Inode {
    seen: Shared,
    durable: Shared,
    unflushed: Vec<Unflushed>,
    metadata: &'static str,
    /// Number of changes so far, as the time of modification.
    changes: u64,
}

#[derive(Clone, Debug)]
struct World {
    files: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    name_changes: Vec<NameChange>,
    locks: BTreeSet<u64>,
    log: Vec<String>,
    fault: Fault,
    /// Fate of the changes of a failed flush.
    flush_fate: Fate,
    dead: bool,
    /// Whether the file system has metadata that a new file would lose.
    keeps: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) struct LyingHost(Arc<Mutex<World>>);

pub(crate) struct LyingFile {
    host: LyingHost,
    id: u64,
    locked: Mutex<bool>,
}

fn dead() -> Error {
    Error::io("the power is off", io::ErrorKind::Other.into())
}

impl LyingHost {
    /// Creates a folder with one file.
    pub(crate) fn with(path: &str, bytes: &[u8]) -> Self {
        Self::with_all(&[(path.into(), bytes.to_vec())])
    }

    /// Creates a folder with these files.
    pub(crate) fn with_all(files: &[(PathBuf, Vec<u8>)]) -> Self {
        let file = |bytes: &Vec<u8>| Inode {
            seen: Shared::new(bytes),
            durable: Shared::new(bytes),
            unflushed: vec![],
            metadata: "kept",
            changes: 0,
        };
        let names: BTreeMap<PathBuf, u64> = (1..).zip(files).map(|(id, (path, _))| (path.clone(), id)).collect();
        Self::from_world(World {
            files: (1..).zip(files).map(|(id, (_, bytes))| (id, file(bytes))).collect(),
            durable_names: names.clone(),
            names,
            name_changes: vec![],
            locks: BTreeSet::new(),
            log: vec![],
            fault: Fault::None,
            flush_fate: Fate::Lost,
            dead: false,
            keeps: None,
        })
    }

    fn from_world(world: World) -> Self {
        LyingHost(Arc::new(Mutex::new(world)))
    }

    /// Makes writing in place necessary from now on.
    pub(crate) fn keep(&self) {
        self.world().keeps = Some("a test");
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Copies the file system for another process, with a fault; operations count from 0.
    pub(crate) fn faulty(&self, fault: Fault, flush_fate: Fate) -> Self {
        let mut world = self.world().clone();
        (world.fault, world.flush_fate, world.log, world.locks) = (fault, flush_fate, vec![], BTreeSet::new());
        Self::from_world(world)
    }

    /// Copies the file system for another process, without faults.
    pub(crate) fn healed(&self) -> Self {
        self.faulty(Fault::None, Fate::Lost)
    }

    /// Returns the operations so far, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.world().log.clone()
    }

    /// Returns the bytes that a program reads; `None` if the name does not exist.
    pub(crate) fn see(&self, path: &str) -> Option<Vec<u8>> {
        let world = self.world();
        Some(world.files[world.names.get(Path::new(path))?].seen.to_vec())
    }

    pub(crate) fn metadata(&self, path: &str) -> &'static str {
        let world = self.world();
        world.files[&world.names[Path::new(path)]].metadata
    }

    /// Returns the number of sectors of each unflushed change; 0 for a change of a name.
    pub(crate) fn unflushed(&self) -> Vec<usize> {
        let world = self.world();
        let of_files = world.files.values().flat_map(|f| &f.unflushed).map(|u| match u {
            Unflushed::Bytes(_, bytes) => bytes.len().div_ceil(SECTOR),
            Unflushed::Len(_) => 0,
        });
        of_files.chain(world.name_changes.iter().map(|_| 0)).collect()
    }

    /// Copies the file system as after a power cut; `fates` has the effect on each change that [`Self::unflushed`]
    /// lists.
    pub(crate) fn reboot(&self, fates: &[Fate]) -> Self {
        let mut world = self.world().clone();
        let mut fates = fates.iter().copied();
        for file in world.files.values_mut() {
            for unflushed in std::mem::take(&mut file.unflushed) {
                meet(&mut file.durable, &unflushed, fates.next().unwrap());
            }
            file.seen = file.durable.clone();
        }
        for change in std::mem::take(&mut world.name_changes) {
            if fates.next().unwrap() != Fate::Lost {
                apply(&mut world.durable_names, &change);
            }
        }
        assert_eq!(fates.next(), None);
        world.names = world.durable_names.clone();
        (world.dead, world.fault, world.log, world.locks) = (false, Fault::None, vec![], BTreeSet::new());
        Self::from_world(world)
    }

    /// Counts one operation, and performs it unless a fault is due.
    fn operate<T>(
        &self,
        what: &str,
        needs_room: bool,
        act: impl FnOnce(&mut World, Option<Failure>) -> T,
    ) -> Result<T> {
        let mut world = self.world();
        if world.dead {
            return Err(dead());
        }
        let number = world.log.len();
        world.log.push(what.to_owned());
        let failure = match world.fault {
            Fault::Cut(at) if at == number => {
                world.dead = true;
                return Err(dead());
            }
            Fault::Meddle(at) if at == number => {
                let file = world.files.get_mut(&1).unwrap();
                file.changes += 1;
                let last = file.seen.len() - 1;
                let byte = file.seen.get(last, 1).unwrap()[0];
                file.seen.put(last, &[byte ^ 1]);
                file.durable = file.seen.clone();
                None
            }
            Fault::Fail(at, failure) if at == number => Some(failure),
            Fault::FailFrom(at, failure) if at <= number => Some(failure),
            _ => None,
        };
        let failure = failure.filter(|f| needs_room || *f != Failure::Full);
        let done = act(&mut world, failure);
        match failure {
            None => Ok(done),
            Some(Failure::Full) => Err(Error::io(format!("cannot {what}: full"), io::ErrorKind::StorageFull.into())),
            Some(_) => Err(Error::io(format!("cannot {what}: i/o error"), io::ErrorKind::Other.into())),
        }
    }

    fn change_name(world: &mut World, change: NameChange) {
        apply(&mut world.names, &change);
        world.name_changes.push(change);
    }

    fn id_of(&self, path: &Path) -> Result<u64> {
        let missing = || Error::new(Kind::NotFound, Code::NoFile, format!("{} is not there", path.display()));
        self.world().names.get(path).copied().ok_or_else(missing)
    }
}

/// Returns whether an operation with this failure takes effect.
fn takes_effect(failure: Option<Failure>) -> bool {
    matches!(failure, None | Some(Failure::DoneAllTheSame))
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, change: &NameChange) {
    match change {
        NameChange::Is(path, id) => drop(names.insert(path.clone(), *id)),
        NameChange::Gone(path) => drop(names.remove(path)),
        NameChange::Moved(from, to, id) => {
            names.remove(from);
            names.insert(to.clone(), *id);
        }
    }
}

fn meet(durable: &mut Shared, unflushed: &Unflushed, fate: Fate) {
    match (unflushed, fate) {
        (_, Fate::Lost) => {}
        (Unflushed::Len(len), _) => durable.resize(*len as usize),
        (Unflushed::Bytes(offset, bytes), Fate::Done) => durable.put(*offset as usize, bytes),
        (Unflushed::Bytes(offset, bytes), Fate::Torn(sectors)) => {
            let start = *offset as usize;
            let boundary = (start / SECTOR + sectors) * SECTOR;
            durable.put(start, &bytes[..bytes.len().min(boundary.saturating_sub(start))]);
        }
        (Unflushed::Bytes(offset, bytes), Fate::Garbage) => {
            let (start, end) = (*offset as usize, *offset as usize + bytes.len());
            durable.resize(durable.len().max(end));
            let (first, last) = (start / SECTOR * SECTOR, end.next_multiple_of(SECTOR).min(durable.len()));
            durable.put(first, &(0..last - first).map(|i| (i * 37 + 201) as u8).collect::<Vec<_>>());
        }
    }
}

impl Host for LyingHost {
    type File = LyingFile;

    // Each operation counts.
    const CONCURRENT: bool = false;

    fn resolve(&self, path: &Path) -> Result<PathBuf> {
        Ok(path.to_owned())
    }

    fn exists(&self, path: &Path) -> Result<bool> {
        self.operate("look", false, |world, _| world.names.contains_key(path))
    }

    fn starting_with(&self, folder: &Path, prefix: &OsStr) -> Result<Vec<PathBuf>> {
        self.operate("list", false, |world, _| {
            let is = |p: &&PathBuf| {
                let name = p.file_name().unwrap().as_encoded_bytes();
                p.parent() == Some(folder) && name.starts_with(prefix.as_encoded_bytes())
            };
            world.names.keys().filter(is).cloned().collect()
        })
    }

    fn open(&self, path: &Path, access: Access) -> Result<LyingFile> {
        self.operate(&format!("open {access:?}"), false, |_, _| ())?;
        Ok(LyingFile { host: LyingHost(self.0.clone()), id: self.id_of(path)?, locked: Mutex::new(false) })
    }

    fn create_temporary(&self, beside: &Path, _: u32) -> Result<(PathBuf, LyingFile)> {
        let (path, id) = self.operate("create", true, |world, failure| {
            let id = world.files.keys().max().unwrap() + 1;
            let path = beside.with_file_name(format!(".new{id}"));
            if takes_effect(failure) {
                let nothing = Shared::new(&[]);
                let empty =
                    Inode { seen: nothing.clone(), durable: nothing, unflushed: vec![], metadata: "new", changes: 0 };
                world.files.insert(id, empty);
                Self::change_name(world, NameChange::Is(path.clone(), id));
            }
            (path, id)
        })?;
        Ok((path, LyingFile { host: LyingHost(self.0.clone()), id, locked: Mutex::new(false) }))
    }

    fn carry_metadata(&self, from: &LyingFile, to: &LyingFile) -> Result<Carried> {
        self.operate("copy metadata", true, |world, failure| {
            if takes_effect(failure) {
                let kept = world.files[&from.id].metadata;
                world.files.get_mut(&to.id).unwrap().metadata = kept;
            }
            Carried::Whole
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.operate("rename", true, |world, failure| {
            if takes_effect(failure) {
                let id = world.names[from];
                Self::change_name(world, NameChange::Moved(from.to_owned(), to.to_owned(), id));
            }
        })
    }

    fn rename_new(&self, from: &Path, to: &Path) -> Result<bool> {
        self.operate("rename to a free name", true, |world, failure| {
            let free = !world.names.contains_key(to);
            if free && takes_effect(failure) {
                let id = world.names[from];
                Self::change_name(world, NameChange::Moved(from.to_owned(), to.to_owned(), id));
            }
            free
        })
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let known = self.id_of(path);
        self.operate("remove", false, |world, failure| {
            if known.is_ok() && takes_effect(failure) {
                Self::change_name(world, NameChange::Gone(path.to_owned()));
            }
        })?;
        known.map(|_| ())
    }

    fn sync_folder(&self, _: &Path) -> Result<()> {
        self.operate("flush folder", false, |world, failure| {
            // Names are journaled: a later flush makes changes durable that an earlier one did not.
            if takes_effect(failure) || world.flush_fate == Fate::Done {
                for change in std::mem::take(&mut world.name_changes) {
                    apply(&mut world.durable_names, &change);
                }
            }
        })
    }
}

impl Drop for LyingFile {
    fn drop(&mut self) {
        if *self.locked.lock().unwrap() {
            self.host.world().locks.remove(&self.id);
        }
    }
}

impl Storage for LyingFile {
    fn len(&self) -> Result<u64> {
        self.host.operate("length", false, |world, _| world.files[&self.id].seen.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.host
            .operate("read", false, |world, _| {
                let start = offset as usize;
                let there = world.files[&self.id].seen.get(start, buf.len());
                there.map(|bytes| buf.copy_from_slice(&bytes))
            })?
            .ok_or_else(|| Error::io("cannot read past the end", io::ErrorKind::UnexpectedEof.into()))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.host.operate("write", true, |world, failure| {
            let part = match failure {
                None | Some(Failure::DoneAllTheSame) => bytes,
                Some(Failure::Full) => &bytes[..bytes.len() / 2],
                Some(Failure::Io) => return,
            };
            let file = world.files.get_mut(&self.id).unwrap();
            file.changes += 1;
            file.seen.put(offset as usize, part);
            file.unflushed.push(Unflushed::Bytes(offset, part.to_vec()));
        })
    }

    fn flush(&self) -> Result<()> {
        self.host.operate("flush", false, |world, failure| {
            let fate = if takes_effect(failure) { Fate::Done } else { world.flush_fate };
            let file = world.files.get_mut(&self.id).unwrap();
            // As on Linux: changes of a failed flush are not written by a later one.
            for unflushed in std::mem::take(&mut file.unflushed) {
                meet(&mut file.durable, &unflushed, fate);
            }
        })
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.host.operate("change length", true, |world, failure| {
            if takes_effect(failure) {
                let file = world.files.get_mut(&self.id).unwrap();
                file.changes += 1;
                file.seen.resize(len as usize);
                file.unflushed.push(Unflushed::Len(len));
            }
        })
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        vec![Place { space: Space::File, offset }]
    }
}

impl HostFile for LyingFile {
    fn about(&self) -> Result<About> {
        let id = Some(FileId { device: 1, file: self.id.into() });
        self.host.operate("stat", false, |world, _| {
            let keeps = world.keeps;
            About { id, links: 1, regular: true, device: false, mode: 0o600, keeps }
        })
    }

    fn try_lock(&self) -> Result<bool> {
        let got =
            self.host.operate("lock", false, |world, failure| takes_effect(failure) && world.locks.insert(self.id))?;
        *self.locked.lock().unwrap() = got;
        Ok(got)
    }

    fn take_times(&self, _: &Times) -> Result<()> {
        self.host.operate("set times", true, |_, _| ())
    }

    fn times(&self) -> Result<Times> {
        self.host.operate("look at times", false, |world, _| {
            let accessed = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
            Times { accessed, modified: accessed + Duration::from_secs(world.files[&self.id].changes) }
        })
    }
}
