//! The undo file: JSON lines that `jq` reads, verified before any of them is used.
//!
//! In this order, each line one object:
//!
//! | line | fields |
//! |---|---|
//! | header | `hivewright_undo` (1 to 4), `target`, `target_bytes` (hex, where the path is not UTF-8), `created`, `len_before`, `len_after`, `sha256_before`, `sha256_after` (of the whole file; absent where that is too long to read), `files` |
//! | patch, one for each | `offset`, `phase` (if not 0), `step`, `old`, `new` (hex), `what`; in the order of writing |
//! | appended run, one for each | `appended` (its offset), `len`, `sha256` (of its new bytes) |
//! | block, one for each | `block` (its offset), `old` (hex): all of the 4096 bytes around a patch as they were, less what lies past the old end |
//! | end | `patches`, `appended` (if not 0), `blocks` (their numbers), `sha256` (of every byte before this line) |
//! | marks, later | `committed`, `undoing` or `restored`: the time; the last one counts |
//!
//! Version 2 has what an image, or a hive with its logs, needs: several `phases`, of which a later one may overwrite an
//! earlier one, and several `files`, each with its `name` (in the folder of the target, else an absolute path),
//! `name_bytes` (as `target_bytes`) and `len`. Offsets and lengths are then those of the concatenated files, each
//! beginning at a multiple of 4096; the last one grows.
//!
//! Version 3 has what hives of several folders need: a `name` may be a path relative to the folder of the target, with
//! `..`, so that all may be moved together; and several files may grow, the last among them. Each of those has its
//! length after as `len_after`, and addresses for as many bytes; those past its old end read as zeros before. While
//! bytes change, there are pointers beside the hives in other folders: see the module `pointer`.
//!
//! Version 4 has long appended runs. They have no old bytes, so the hash of the new ones is enough: it determines
//! whether the file has changed since.
//!
//! A disk may garble the whole sector of an interrupted write, so whole blocks are saved. The end line and each mark
//! are padded with spaces to a multiple of 4096 bytes, so that a garbled mark affects no other line.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::appended::Appended;
use super::members::{Member, absolute, has_own_place, relative, starts};
use super::{Change, Overlaid};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::Patch;
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_storage::Storage;
use hivewright_storage::hex;
use hivewright_storage::joined::Room;

use super::lines::{AppendedLine, BlockLine, EndLine, HeaderLine, MarkLine, PatchLine, decode_hash};

/// The unit in bytes in which old bytes are saved, and to which the end line and the marks are padded.
pub(crate) const BLOCK: u64 = 4096;

/// Bytes of an undo file at most: enough for an applied log of 64 MiB. An edit needs some thousands of bytes.
const LONGEST: usize = 512 << 20;
/// Bytes read at once.
const PIECE: usize = 1 << 20;
/// Phases of a change at most: a format flushes a few times for each step of an edit.
const MAX_PHASES: usize = 4096;

/// The state of the change according to the undo file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// No mark: writing may have begun.
    Open,
    /// The change is complete.
    Committed,
    /// The change was complete, and undoing it has begun.
    Undoing,
    /// The old bytes are restored.
    Restored,
}

/// A block of old bytes around patches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) offset: u64,
    pub(crate) old: Vec<u8>,
}

/// An undo file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) target: PathBuf,
    pub(crate) created: String,
    pub(crate) sha256_before: Option<[u8; 32]>,
    pub(crate) sha256_after: Option<[u8; 32]>,
    pub(crate) change: Change,
    /// The files of an image that has several, or logs and then their hives, in the order of their addresses.
    pub(crate) files: Vec<Member>,
    /// By offset. Bytes past the old end have no old bytes.
    pub(crate) blocks: Vec<Block>,
    pub(crate) mark: Mark,
    /// Offset of the next mark in the undo file.
    pub(crate) next_mark: u64,
}

impl Record {
    /// Makes a record of `change` to `target`, with the old bytes read from `storage`.
    pub(crate) fn new(
        target: &Path,
        change: Change,
        storage: &dyn Storage,
        whole: Option<(&Overlaid<'_>, &Overlaid<'_>)>,
    ) -> Result<Self> {
        let mut blocks = Vec::new();
        for offset in blocks_of(&change) {
            // At most one block, so the cast is safe.
            let len = usize::try_from(BLOCK.min(change.len_before - offset)).unwrap_or(0);
            let mut old = vec![0; len];
            storage.read_at(offset, &mut old)?;
            blocks.push(Block { offset, old });
        }
        Ok(Record {
            target: target.to_owned(),
            created: FileTime::now().to_string(),
            sha256_before: whole.map(|(before, _)| before.sha256()),
            sha256_after: whole.map(|(_, after)| after.sha256()),
            change,
            files: Vec::new(),
            blocks,
            mark: Mark::Open,
            next_mark: 0,
        })
    }

    /// Sets the files of the record. A single file is the target, and not recorded. Files in other folders are named by
    /// their absolute paths or, if `is_tree`, by paths relative to the target's folder, so that all may be moved
    /// together.
    pub(crate) fn with_files(mut self, files: &[Member], is_tree: bool) -> Self {
        let folder = self.target.parent();
        let name = |path: &Path| match (path.file_name(), folder) {
            (Some(name), _) if path.parent() == folder => PathBuf::from(name),
            (_, Some(folder)) if is_tree => relative(folder, path),
            _ => path.to_owned(),
        };
        if files.len() > 1 {
            self.files = files.iter().map(|file| Member { path: name(&file.path), ..file.clone() }).collect();
        }
        self
    }

    /// Returns the paths of the files in other folders than that of the target, now `target`, that move with it.
    pub(crate) fn in_other_folders(&self, target: &Path) -> Vec<PathBuf> {
        let folder = target.parent().unwrap_or(Path::new(""));
        let is_other = |file: &&Member| file.path.is_relative() && file.path.parent() != Some(Path::new(""));
        self.files.iter().filter(is_other).map(|file| absolute(folder, &file.path)).collect()
    }

    /// Returns [`Record::files`] with their present paths, given the present path of the target.
    ///
    /// # Errors
    /// `undo-other-image`: the target has another name, or is in another folder than when an absolute path was
    /// recorded. Files beside it with the recorded names may belong to another image.
    pub(crate) fn files_of(&self, target: &Path) -> Result<Vec<Member>> {
        let renamed = target.file_name() != self.target.file_name();
        let elsewhere =
            self.files.iter().any(|file| has_own_place(&file.path)) && target.parent() != self.target.parent();
        if !self.files.is_empty() && (renamed || elsewhere) {
            let what = "the undo file belongs to several files, which now have other names";
            return Err(Error::refused(Code::UndoOtherImage, what)
                .advise("rename the files to their old names, in one folder, and try again"));
        }
        let folder = target.parent().unwrap_or(Path::new(""));
        Ok(self.files.iter().map(|file| Member { path: absolute(folder, &file.path), ..file.clone() }).collect())
    }

    /// Returns whether it belongs to an image, which has no hash of the whole.
    pub(crate) fn is_of_image(&self) -> bool {
        self.sha256_before.is_none()
    }

    /// Returns the files of an image by the first bytes of the undo file at `path`, which is beside the target. Only
    /// these bytes are verified.
    pub(crate) fn files_in_header(head: &[u8], path: &Path) -> Result<Vec<PathBuf>> {
        let header = HeaderLine::parse(first_line(head).unwrap_or_default())?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(header.files()?.into_iter().map(|file| absolute(folder, &file.path)).collect())
    }

    /// Returns the bytes of the undo file without marks.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let (phases, appended) = self.change.without_appended();
        push(&mut out, &HeaderLine::of(self, &appended))?;
        for (phase, patches) in phases.iter().enumerate() {
            for patch in patches {
                push(&mut out, &PatchLine::of(patch, phase))?;
            }
        }
        for run in &appended {
            push(&mut out, &AppendedLine::of(run))?;
        }
        for block in &self.blocks {
            push(&mut out, &BlockLine { block: block.offset, old: hex::encode(&block.old).into() })?;
        }
        let sha256 = hex::encode(&Sha256::digest(&out));
        let end = EndLine {
            patches: phases.iter().map(Vec::len).sum(),
            appended: appended.len(),
            blocks: self.blocks.len(),
            sha256: sha256.into(),
        };
        push(&mut out, &end)?;
        fill_up(&mut out);
        // The rest is reserved for marks.
        if out.len() > LONGEST - PIECE || phases.len() > MAX_PHASES {
            let what = "the undo file of the change would be too large";
            return Err(Error::refused(Code::UndoTooLong, what)
                .expected(format_args!("at most {} bytes", LONGEST - PIECE), out.len()));
        }
        Ok(out)
    }

    /// Returns the bytes of a mark, to be written at `next_mark`.
    pub(crate) fn mark_bytes(mark: Mark) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        push(&mut out, &MarkLine::of(mark, FileTime::now().to_string()))?;
        fill_up(&mut out);
        Ok(out)
    }

    /// Reads an undo file and verifies everything that does not need its target.
    ///
    /// # Errors
    /// `not-an-undo-file`, `undo-version`, `undo-damaged`; I/O errors.
    pub(crate) fn load(storage: &dyn Storage) -> Result<Self> {
        let len = usize::try_from(storage.len()?).unwrap_or(usize::MAX);
        let (mut bytes, mut most) = (Vec::new(), len.min(LONGEST));
        while bytes.len() < most {
            let start = bytes.len();
            bytes.resize(most.min(start + PIECE), 0);
            storage.read_at(start as u64, &mut bytes[start..])?;
            check_beginning(&bytes)?;
            // Only a mark can have become zeros, and few marks follow it. Sparse files of zeros are cut, since they
            // cost an attacker nothing.
            if most == len.min(LONGEST) && bytes[start..].contains(&0) {
                most = most.min(bytes.len() + PIECE);
            }
        }
        let record = Self::parse(&bytes)?;
        // The omitted bytes may contain marks, of which the last one counts.
        if bytes.len() < len { Err(damaged("it is too long")) } else { Ok(record) }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let (mut lines, marks) = Lines::split(bytes)?;
        let header = HeaderLine::parse(lines.next("the header")?)?;
        let mut phases: Vec<Vec<Patch>> = vec![Vec::new()];
        let mut count = 0;
        while lines.rest.starts_with(b"{\"offset\"") {
            let (patch, phase) = PatchLine::parse(lines.next("a patch")?)?;
            if phase == phases.len() && count > 0 && phase < MAX_PHASES {
                phases.push(Vec::new());
            }
            let last = phases.len() - 1;
            if phase != last {
                return Err(damaged("its patches are not in order"));
            }
            phases[last].push(patch);
            count += 1;
        }
        let mut appended = Vec::new();
        while lines.rest.starts_with(b"{\"appended\"") {
            appended.push(AppendedLine::parse(lines.next("a run")?)?);
        }
        if !appended.is_empty() && !header.may_have_appended() {
            return Err(damaged("its version has no hashes of appended bytes"));
        }
        let mut blocks = Vec::new();
        while lines.rest.starts_with(b"{\"block\"") {
            blocks.push(BlockLine::parse(lines.next("a block")?)?);
        }
        lines.finish(count, appended.len(), blocks.len())?;
        let change = checked(&header, phases, appended, &blocks)?;
        let files = header.files()?;
        check_rooms(&files, &change)?;
        let (mark, next_mark) = MarkLine::last(marks, bytes.len() - marks.len());
        Ok(Record {
            target: header.path()?,
            sha256_before: header.before()?,
            sha256_after: header.after()?,
            files,
            created: header.created.into_owned(),
            change,
            blocks,
            mark,
            next_mark,
        })
    }
}

/// The lines before the end line.
struct Lines<'a> {
    rest: &'a [u8],
    end: EndLine<'a>,
}

impl<'a> Lines<'a> {
    /// Finds the end line, verifies its hash, and returns the rest.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        check_beginning(bytes)?;
        HeaderLine::check_version(first_line(bytes).unwrap_or_default())?;
        let mut start = 0;
        while let Some(line) = first_line(&bytes[start..]) {
            if line.starts_with(b"{\"patches\"") {
                let end = EndLine::parse(line)?;
                let stop = start + line.len();
                if !stop.is_multiple_of(4096) || decode_hash(&end.sha256)? != *Sha256::digest(&bytes[..start]) {
                    return Err(damaged("its hash is wrong"));
                }
                return Ok((Lines { rest: &bytes[..start], end }, &bytes[stop..]));
            }
            start += line.len();
        }
        Err(damaged("its end is missing"))
    }

    fn next(&mut self, what: &str) -> Result<&'a [u8]> {
        let line = first_line(self.rest).ok_or_else(|| damaged(&format!("{what} is missing")))?;
        self.rest = &self.rest[line.len()..];
        Ok(line)
    }

    fn finish(&self, patches: usize, appended: usize, blocks: usize) -> Result<()> {
        if !self.rest.is_empty()
            || (self.end.patches, self.end.appended, self.end.blocks) != (patches, appended, blocks)
        {
            return Err(damaged("the number of its lines is wrong"));
        }
        Ok(())
    }
}

fn check_beginning(bytes: &[u8]) -> Result<()> {
    if bytes.starts_with(b"{\"hivewright_undo\":") {
        return Ok(());
    }
    Err(Error::new(Kind::Corrupt, Code::NotAnUndoFile, "this is not an undo file"))
}

/// Returns the bytes to the first line feed, included, or to the end.
fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    // Reading from memory does not fail.
    let len = std::io::BufRead::skip_until(&mut rest, b'\n').unwrap_or(0);
    (len > 0).then(|| &bytes[..len])
}

/// Returns the change of the lines, if they are consistent.
fn checked(
    header: &HeaderLine<'_>,
    phases: Vec<Vec<Patch>>,
    appended: Vec<Appended>,
    blocks: &[Block],
) -> Result<Change> {
    if !phases.iter().all(|phase| phase.is_sorted_by_key(|p| p.step)) {
        return Err(damaged("its patches are not in order"));
    }
    let change = Change::with_appended(header.len_before, header.len_after, phases.clone(), appended);
    let mut change = change.map_err(damaged)?;
    change.patches = phases.concat();
    if !blocks.iter().map(|b| b.offset).eq(blocks_of(&change)) {
        return Err(damaged("its blocks do not surround its patches"));
    }
    for block in blocks {
        if block.old.len() as u64 != BLOCK.min(header.len_before - block.offset) {
            return Err(damaged("a block has the wrong length"));
        }
    }
    let old_of = super::state::Versions::new(&change, blocks);
    if !old_of.fit() {
        return Err(damaged("its blocks differ from its patches"));
    }
    Ok(change)
}

/// Refuses several growing files unless their lengths are those of the change and it names all new bytes.
fn check_rooms(files: &[Member], change: &Change) -> Result<()> {
    if files.iter().all(|file| file.grown.is_none()) {
        return Ok(());
    }
    let starts = starts(files)?;
    for (start, file) in starts.iter().zip(files).filter(|(_, file)| file.grown.is_some()) {
        let Room { before, after } = file.room();
        if after < before || !change.covers(start + before, start + after) {
            return Err(damaged("a file grows by bytes that are in no patch"));
        }
    }
    let ends = starts.last().zip(files.last()).map(|(start, last)| (start + last.len, start + last.room().after));
    let is_right = ends == Some((change.len_before, change.len_after)) && change.len_after > change.len_before + 1;
    if is_right { Ok(()) } else { Err(damaged("the lengths of its files differ from those of the change")) }
}

/// Returns the offsets of the blocks with old bytes of a patch or around one, ascending.
fn blocks_of(change: &Change) -> Vec<u64> {
    let mut found: Vec<u64> = Vec::new();
    for patch in &change.patches {
        let end = (patch.offset + patch.new.len() as u64).min(change.len_before);
        let first = patch.offset - patch.offset % BLOCK;
        found.extend((first..end).step_by(4096));
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn push(out: &mut Vec<u8>, line: &impl serde::Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, line).map_err(|e| Error::io("cannot write a line of the undo file", e.into()))?;
    out.push(b'\n');
    Ok(())
}

/// Inserts spaces before the last line feed, up to a multiple of a block.
fn fill_up(out: &mut Vec<u8>) {
    out.pop();
    out.resize((out.len() + 1).next_multiple_of(4096) - 1, b' ');
    out.push(b'\n');
}

pub(crate) fn damaged(why: &str) -> Error {
    Error::new(Kind::Corrupt, Code::UndoDamaged, format!("the undo file is damaged: {why}"))
        .advise("keep it and its target unchanged, and restore from a backup")
}

#[cfg(test)]
mod tests;
