//! The lines of an undo file in JSON.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::{Patch, Step};
use hivewright_storage::{exact, hex};

use super::appended::Appended;
use super::members::{Member, has_own_place};
use super::record::{BLOCK, Block, Mark, Record, damaged};

/// The version for one file and one phase.
const PLAIN: u32 = 1;
/// The version for several phases or files.
const OF_SEVERAL: u32 = 2;
/// The version for files in several folders and several growing files.
pub(super) const OF_TREE: u32 = 3;
/// The version for hashes of appended runs; the latest supported one.
const WITH_HASHES: u32 = 4;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderLine<'a> {
    hivewright_undo: u32,
    #[serde(borrow)]
    target: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_bytes: Option<String>,
    pub(crate) created: Cow<'a, str>,
    pub(crate) len_before: u64,
    pub(crate) len_after: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256_before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256_after: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    files: Vec<FileEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileEntry {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_bytes: Option<String>,
    len: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    len_after: Option<u64>,
}

/// The fields that all versions of the header have.
#[derive(Deserialize)]
struct VersionLine {
    hivewright_undo: u32,
}

impl<'a> HeaderLine<'a> {
    /// Returns the header of a record whose undo file has hashes of the `appended` runs.
    pub(crate) fn of(record: &'a Record, appended: &[Appended]) -> Self {
        let plain = record.files.is_empty() && record.change.later.is_empty();
        let is_tree = |file: &Member| {
            file.grown.is_some() || !has_own_place(&file.path) && file.path.parent() != Some(Path::new(""))
        };
        let version = match plain {
            _ if !appended.is_empty() => WITH_HASHES,
            true => PLAIN,
            false if record.files.iter().any(is_tree) => OF_TREE,
            false => OF_SEVERAL,
        };
        let entry = |file: &Member| FileEntry {
            name: file.path.to_string_lossy().into_owned(),
            name_bytes: exact::hex(&file.path),
            len: file.len,
            len_after: file.grown,
        };
        HeaderLine {
            hivewright_undo: version,
            target: record.target.to_string_lossy(),
            target_bytes: exact::hex(&record.target),
            created: record.created.as_str().into(),
            len_before: record.change.len_before,
            len_after: record.change.len_after,
            sha256_before: record.sha256_before.map(|hash| hex::encode(&hash)),
            sha256_after: record.sha256_after.map(|hash| hex::encode(&hash)),
            files: record.files.iter().map(entry).collect(),
        }
    }

    /// Checks the version first, since a later version may have any other fields.
    pub(crate) fn check_version(line: &[u8]) -> Result<()> {
        let version: VersionLine = from_json(line)?;
        if !(PLAIN..=WITH_HASHES).contains(&version.hivewright_undo) {
            let what = format!("version {} of undo files is not supported", version.hivewright_undo);
            return Err(Error::new(Kind::Unsupported, Code::UndoVersion, what));
        }
        Ok(())
    }

    pub(crate) fn parse(line: &'a [u8]) -> Result<Self> {
        Self::check_version(line)?;
        let header: Self = from_json(line)?;
        if header.sha256_before.is_some() != header.sha256_after.is_some() {
            return Err(damaged("one of its two hashes is missing"));
        }
        Ok(header)
    }

    /// Returns whether its version has hashes of appended runs.
    pub(crate) fn may_have_appended(&self) -> bool {
        self.hivewright_undo >= WITH_HASHES
    }

    pub(crate) fn before(&self) -> Result<Option<[u8; 32]>> {
        self.sha256_before.as_deref().map(decode_hash).transpose()
    }

    pub(crate) fn after(&self) -> Result<Option<[u8; 32]>> {
        self.sha256_after.as_deref().map(decode_hash).transpose()
    }

    pub(crate) fn path(&self) -> Result<PathBuf> {
        path(&self.target, self.target_bytes.as_deref())
    }

    pub(crate) fn files(&self) -> Result<Vec<Member>> {
        let member = |entry: &FileEntry| {
            let path = path(&entry.name, entry.name_bytes.as_deref())?;
            Ok(Member { path, len: entry.len, grown: entry.len_after })
        };
        self.files.iter().map(member).collect()
    }
}

fn path(text: &str, bytes: Option<&str>) -> Result<PathBuf> {
    exact::path(text, bytes).ok_or_else(not_hex)
}

/// Decodes hexadecimal text.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>> {
    hex::decode(text).ok_or_else(not_hex)
}

/// Decodes a hash in hexadecimal text.
pub(crate) fn decode_hash(text: &str) -> Result<[u8; 32]> {
    decode(text)?.try_into().map_err(|_| damaged("a hash has the wrong length"))
}

fn not_hex() -> Error {
    damaged("it contains bytes that are not hexadecimal")
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchLine<'a> {
    offset: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    phase: usize,
    step: Step,
    #[serde(borrow)]
    old: Cow<'a, str>,
    #[serde(borrow)]
    new: Cow<'a, str>,
    #[serde(borrow)]
    what: Cow<'a, str>,
}

impl<'a> PatchLine<'a> {
    pub(crate) fn of(patch: &'a Patch, phase: usize) -> Self {
        PatchLine {
            offset: patch.offset,
            phase,
            step: patch.step,
            old: hex::encode(&patch.old).into(),
            new: hex::encode(&patch.new).into(),
            what: Cow::Borrowed(&patch.what),
        }
    }

    /// Returns the patch and the number of its phase.
    pub(crate) fn parse(line: &'a [u8]) -> Result<(Patch, usize)> {
        let PatchLine { offset, phase, step, old, new, what } = from_json(line)?;
        let what = what.into_owned().into();
        Ok((Patch { offset, old: decode(&old)?, new: decode(&new)?, what, step }, phase))
    }
}

// The serde attribute requires this signature.
fn is_zero(number: &usize) -> bool {
    *number == 0
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppendedLine<'a> {
    appended: u64,
    len: u64,
    #[serde(borrow)]
    sha256: Cow<'a, str>,
}

impl<'a> AppendedLine<'a> {
    pub(crate) fn of(run: &Appended) -> Self {
        AppendedLine { appended: run.offset, len: run.len, sha256: hex::encode(&run.sha256).into() }
    }

    pub(crate) fn parse(line: &'a [u8]) -> Result<Appended> {
        let AppendedLine { appended: offset, len, sha256 } = from_json(line)?;
        Ok(Appended { offset, len, sha256: decode_hash(&sha256)? })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BlockLine<'a> {
    pub(crate) block: u64,
    #[serde(borrow)]
    pub(crate) old: Cow<'a, str>,
}

impl BlockLine<'_> {
    pub(crate) fn parse(line: &[u8]) -> Result<Block> {
        let BlockLine { block: offset, old } = from_json(line)?;
        Ok(Block { offset, old: decode(&old)? })
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndLine<'a> {
    pub(crate) patches: usize,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) appended: usize,
    pub(crate) blocks: usize,
    #[serde(borrow)]
    pub(crate) sha256: Cow<'a, str>,
}

impl<'a> EndLine<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self> {
        from_json(line)
    }
}

/// A mark: the time, in a field that names the event.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum MarkLine {
    Committed(String),
    Undoing(String),
    Restored(String),
}

impl MarkLine {
    /// Makes the line of a mark. [`Mark::Open`] has no mark, and is written as `undoing`.
    pub(crate) fn of(mark: Mark, time: String) -> Self {
        match mark {
            Mark::Committed => MarkLine::Committed(time),
            Mark::Open | Mark::Undoing => MarkLine::Undoing(time),
            Mark::Restored => MarkLine::Restored(time),
        }
    }

    /// Returns the last readable mark, and the offset of the next one, which overwrites an unreadable mark at the end.
    pub(crate) fn last(marks: &[u8], start: usize) -> (Mark, u64) {
        let mut last = (Mark::Open, start as u64);
        for (i, line) in marks.as_chunks::<4096>().0.iter().enumerate() {
            let mark = match serde_json::from_slice(line) {
                Ok(MarkLine::Committed(_)) => Mark::Committed,
                Ok(MarkLine::Undoing(_)) => Mark::Undoing,
                Ok(MarkLine::Restored(_)) => Mark::Restored,
                Err(_) => continue,
            };
            last = (mark, start as u64 + (i as u64 + 1) * BLOCK);
        }
        last
    }
}

fn from_json<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T> {
    serde_json::from_slice(line).map_err(|e| damaged(&format!("a line is invalid: {e}")))
}
