//! Writes undo files and their marks to disk.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Overlaid, Staged, folder_of, pointer, same_bytes};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::fitting::fitting;
use hivewright_storage::probe::{EntryKind, kind_of, name_of};
use hivewright_storage::{Access, Host, Storage};

use super::record::{Mark, Record};

/// The suffix of undo files.
pub(crate) const SUFFIX: &str = ".hivewright-undo";

/// Mode of undo files, which contain parts of a registry.
const PRIVATE: u32 = 0o600;

/// Advice where no undo file can be made in the target's folder.
const NO_PLACE: &str = "an undo file must be in that folder until all bytes are written: free space there, or write a patched copy to another folder (--output FILE)";

/// A durable undo file.
pub(crate) struct Journal<'h, H: Host> {
    host: &'h H,
    pub(crate) path: PathBuf,
    pub(crate) record: Record,
}

impl<'h, H: Host> Journal<'h, H> {
    /// Writes `record` to a new undo file: `wanted`, or the first unused name beside the target. The file gets its name
    /// when it is complete and durable, so an interruption never leaves an unreadable undo file.
    pub(crate) fn save(host: &'h H, wanted: Option<&Path>, mut record: Record) -> Result<Self> {
        let bytes = record.to_bytes()?;
        record.next_mark = bytes.len() as u64;
        let mut numbers = 0_u32..;
        let first = match wanted {
            Some(path) => host.resolve(folder_of(path))?.join(path.file_name().unwrap_or_default()),
            None => beside(&record.target, ""),
        };
        if wanted.is_some() {
            refuse_taken(host, &first)?;
        }
        let no_place = |error: Error| if wanted.is_none() { error.advise(NO_PLACE) } else { error };
        let mut staged = Staged::new(host, &first, PRIVATE).map_err(no_place)?;
        staged.fill(&Overlaid::plain(&bytes)).map_err(no_place)?;
        let mut path = first;
        while !staged.place(&path)? {
            match numbers.next() {
                Some(number) if wanted.is_none() => path = beside(&record.target, &format!(".{}", number + 1)),
                _ => return Err(exists(host, &path)),
            }
        }
        let journal = Journal { host, path, record };
        let sure = host
            .sync_folder(folder_of(&journal.path))
            .and_then(|()| same_bytes(host, &journal.path, &Overlaid::plain(&bytes)));
        if sure.is_err() {
            let _ = journal.remove();
        }
        sure.map(|()| journal)
    }

    /// As [`Journal::save`], beside the target; first writes pointers to it beside files in other folders.
    pub(crate) fn save_beside(host: &'h H, record: Record) -> Result<Self> {
        let others = record.in_other_folders(&record.target);
        if others.is_empty() {
            return Self::save(host, None, record);
        }
        for number in 0_u32.. {
            let number = if number == 0 { String::new() } else { format!(".{number}") };
            let path = beside(&record.target, &number);
            if host.exists(&path)? {
                continue;
            }
            let pointers = others.iter().try_for_each(|other| pointer::save(host, other, &path).map(drop));
            match pointers.and_then(|()| Self::save(host, Some(&path), record.clone())) {
                Ok(journal) => return Ok(journal),
                Err(error) => {
                    let _ = pointer::remove_all(host, &others, &path);
                    if error.code() != Code::UndoExists {
                        return Err(error.advise(NO_PLACE));
                    }
                }
            }
        }
        Self::save(host, None, record)
    }

    /// Opens the undo file `path`, or the one that it points to.
    ///
    /// # Errors
    /// `undo-gone`: it points to a missing file.
    pub(crate) fn open(host: &'h H, path: &Path) -> Result<Self> {
        let file = host.open(path, Access::Read)?;
        let Some(to) = pointer::read(&file, path)? else {
            return Ok(Journal { host, path: path.to_owned(), record: Record::load(&file)? });
        };
        let gone = |error: Error| match error.kind() {
            Kind::NotFound => {
                Error::new(Kind::NotFound, Code::UndoGone, format!("the undo file {} does not exist", to.display()))
                    .advise(format!("remove {} if you do not want to undo its change", path.display()))
            }
            _ => error,
        };
        let record = Record::load(&host.open(&to, Access::Read).map_err(gone)?)?;
        Ok(Journal { host, path: to, record })
    }

    /// Makes missing pointers to it, before bytes change.
    pub(crate) fn point(&self, target: &Path) -> Result<()> {
        let others = self.record.in_other_folders(target);
        pointer::remove_all(self.host, &others, &self.path)?;
        others.iter().try_for_each(|other| pointer::save(self.host, other, &self.path).map(drop))
    }

    /// Removes the pointers to it after its change has ended. A remaining pointer does no harm.
    fn unpoint(&self) {
        if self.record.in_other_folders(&self.record.target).is_empty() {
            return;
        }
        if let Ok(target) = self.target() {
            let _ = pointer::remove_all(self.host, &self.record.in_other_folders(&target), &self.path);
        }
    }

    /// Returns the file that it belongs to: the file that its own name is derived from, else the one that it names,
    /// else a file of that name beside it.
    ///
    /// # Errors
    /// `no-target`: none of them exists.
    pub(crate) fn target(&self) -> Result<PathBuf> {
        let named = &self.record.target;
        let beside = named.file_name().map(|name| self.path.with_file_name(name));
        // The name of an undo file may be truncated, so that the target's name is unknown.
        let own = sibling_target(&self.path).or_else(|| beside.clone().filter(|path| is_beside(&self.path, path)));
        for path in [own, Some(named.clone()), beside].into_iter().flatten() {
            if path.has_root() && self.host.exists(&path)? {
                return Ok(path);
            }
        }
        let what =
            format!("the target of the undo file, {}, does not exist, nor is it beside the undo file", named.display());
        Err(Error::new(Kind::NotFound, Code::NoTarget, what).advise("give its current path: --target FILE"))
    }

    /// Appends a mark and flushes it.
    pub(crate) fn mark(&mut self, mark: Mark) -> Result<()> {
        let bytes = Record::mark_bytes(mark)?;
        let file = self.host.open(&self.path, Access::Write)?;
        file.write_at(self.record.next_mark, &bytes)?;
        file.flush()?;
        self.record.next_mark += bytes.len() as u64;
        self.record.mark = mark;
        if matches!(mark, Mark::Committed | Mark::Restored) {
            self.unpoint();
        }
        Ok(())
    }

    /// Appends a mark whose information the files have too: a failure is a note for users, not an error.
    pub(crate) fn mark_or_note(&mut self, mark: Mark) -> Option<String> {
        let failed = self.mark(mark).err()?;
        Some(format!("the undo file {} could not be marked: {failed}", self.path.display()))
    }

    /// Removes the undo file.
    pub(crate) fn remove(&self) -> Result<()> {
        self.host.remove(&self.path)?;
        self.host.sync_folder(folder_of(&self.path))?;
        self.unpoint();
        Ok(())
    }
}

/// Returns the shell command that undoes the change of the undo file `undo`.
pub fn command(undo: &Path) -> String {
    format!("hivewright undo {}", hivewright_storage::shell::word(undo))
}

/// Returns the name of the undo file with this `number` (empty, or `.1` and so on) for `target`.
pub(crate) fn beside(target: &Path, number: &str) -> PathBuf {
    let mut name = undo_prefix(target);
    name.push(number);
    folder_for(target).join(name)
}

/// Returns the folder of undo files of `target`. The folder of block devices does not persist; their undo files are in
/// the current folder.
pub(crate) fn folder_for(target: &Path) -> PathBuf {
    match kind_of(target) {
        Ok(EntryKind::Device) => std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        _ => target.parent().unwrap_or(Path::new("")).to_owned(),
    }
}

/// Returns the prefix of the names of undo files beside `target`.
pub(crate) fn undo_prefix(target: &Path) -> OsString {
    // Reserves bytes for the largest number of an undo file.
    let mut name = fitting(&name_of(target), SUFFIX.len() + ".9999".len());
    name.push(SUFFIX);
    name
}

/// Returns whether `path` has a name of undo files beside `target`.
pub(crate) fn is_beside(path: &Path, target: &Path) -> bool {
    let prefix = undo_prefix(target);
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    match name.strip_prefix(prefix.as_encoded_bytes()) {
        Some([]) => true,
        Some([b'.', number @ ..]) => !number.is_empty() && number.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// Returns the target of the undo file `path`, by its name.
fn sibling_target(path: &Path) -> Option<PathBuf> {
    let has_suffix = |path: &Path| path.extension().is_some_and(|ending| ending == &SUFFIX[1..]);
    let first = if has_suffix(path) { path.to_owned() } else { path.with_extension("") };
    let target = first.with_extension("");
    (has_suffix(&first) && is_beside(path, &target)).then_some(target)
}

/// Refuses unless an undo file can be made at `path`. Checked by making a new file there and removing it, since no
/// other check is reliable.
///
/// # Errors
/// `undo-exists`; `undo-folder`: its folder is missing or not writable.
pub(crate) fn expect_room<H: Host>(host: &H, path: &Path) -> Result<()> {
    let try_out = || -> Result<()> {
        let folder = host.resolve(folder_of(path))?;
        Staged::new(host, &folder.join(path.file_name().unwrap_or_default()), PRIVATE).map(drop)
    };
    refuse_taken(host, path)?;
    try_out().map_err(|error| {
        let error = match error.kind() {
            Kind::NotFound => error.becoming(Kind::NotFound, Code::UndoFolder),
            _ => error,
        };
        let what = format!("so the undo file {} cannot be created", path.display());
        error.adding(&what).advise("create its folder first, or name another folder")
    })
}

/// Refuses to overwrite any file with an undo file.
fn refuse_taken<H: Host>(host: &H, path: &Path) -> Result<()> {
    if host.exists(path)? { Err(exists(host, path)) } else { Ok(()) }
}

/// The existing file may be removed only if it is an undo file of an ended change: it may be the image itself.
fn exists<H: Host>(host: &H, path: &Path) -> Error {
    let is_file = matches!(kind_of(path), Ok(EntryKind::File));
    let of = is_file.then(|| host.resolve(path).and_then(|path| Journal::open(host, &path)));
    let is_ended =
        of.and_then(Result::ok).is_some_and(|journal| matches!(journal.record.mark, Mark::Committed | Mark::Restored));
    let or = if is_ended { ", or remove that file if you do not want to undo its change" } else { "" };
    Error::refused(Code::UndoExists, format!("the requested undo file {} already exists", path.display()))
        .advise(format!("name a file that does not exist{or}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beside_a_target() {
        let target = Path::new("/w/SYSTEM");
        assert_eq!(beside(target, ".2"), Path::new("/w/SYSTEM.hivewright-undo.2"));
        for (name, is) in [("", true), (".1", true), (".12", true), (".", false), (".x", false), (".1.bak", false)] {
            let path = PathBuf::from(format!("/w/SYSTEM.hivewright-undo{name}"));
            assert_eq!(is_beside(&path, target), is, "{name}");
            assert_eq!(sibling_target(&path).is_some(), is, "{name}");
        }
        assert_eq!(sibling_target(Path::new("/w/SYSTEM.hivewright-undo.3")).unwrap(), target);
        assert_eq!(sibling_target(Path::new("/w/elsewhere")), None);
    }
}
