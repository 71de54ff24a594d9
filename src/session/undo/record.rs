//! The undo file: JSON lines that `jq` reads, checked before a byte of them is believed.
//!
//! In this order, each line one object:
//!
//! | line | fields |
//! |---|---|
//! | header | `hivewright_undo` (1), `target`, `target_bytes` (hex, where the path is not UTF-8), `created`, `len_before`, `len_after`, `sha256_before`, `sha256_after` (of the whole file; absent where that is too long to read) |
//! | patch, one for each | `offset`, `step`, `old`, `new` (hex), `what`; in the order of writing |
//! | block, one for each | `block` (its offset), `old` (hex): all of the 4096 bytes around a patch as they were, less what lies past the old end |
//! | end | `patches`, `blocks` (their numbers), `sha256` (of every byte before this line) |
//! | marks, later | `committed`, `undoing` or `restored`: the time; the last one counts |
//!
//! A disk may garble the whole sector under an interrupted write, hence the blocks. The end line and each mark are
//! filled up with spaces to a multiple of 4096 bytes, so that a garbled mark takes nothing else with it.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Kind, Result};
use crate::hive::Patch;
use crate::regf::timestamp::FileTime;
use crate::session::commit::{Change, Overlaid};
use crate::storage::Storage;

use super::hex;
use super::lines::{BlockLine, EndLine, HeaderLine, MarkLine, PatchLine};

/// The unit in which old bytes are saved, and to which the end line and the marks are filled up.
pub(in crate::session) const BLOCK: u64 = 4096;

/// The longest undo file that is read: far more than one for every byte of the largest hive seen.
const LONGEST: u64 = 1 << 32;

/// What became of the change, as the undo file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mark {
    /// Nothing is said: writing may have begun.
    Open,
    /// The change is complete.
    Committed,
    /// The change was complete, and taking it back has begun.
    Undoing,
    /// The old bytes are back.
    Restored,
}

/// The old bytes around patches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session) struct Block {
    pub(in crate::session) offset: u64,
    pub(in crate::session) old: Vec<u8>,
}

/// An undo file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session) struct Record {
    pub(in crate::session) target: PathBuf,
    pub(in crate::session) created: String,
    pub(in crate::session) sha256_before: Option<[u8; 32]>,
    pub(in crate::session) sha256_after: Option<[u8; 32]>,
    pub(in crate::session) change: Change,
    /// By offset. What a patch touches past the old end has no old bytes.
    pub(in crate::session) blocks: Vec<Block>,
    pub(in crate::session) mark: Mark,
    /// Where in the undo file the next mark goes.
    pub(in crate::session) next_mark: u64,
}

impl Record {
    /// A record of `change` to `target`, with the old bytes read from `storage`.
    pub(in crate::session) fn new(
        target: &Path,
        change: Change,
        storage: &dyn Storage,
        whole: Option<(&Overlaid<'_>, &Overlaid<'_>)>,
    ) -> Result<Self> {
        let mut blocks = Vec::new();
        for offset in blocks_of(&change) {
            // OK to cast: at most one block.
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
            blocks,
            mark: Mark::Open,
            next_mark: 0,
        })
    }

    /// Whether it belongs to an image: those are not hashed whole.
    pub(in crate::session) fn is_of_image(&self) -> bool {
        self.sha256_before.is_none()
    }

    /// The bytes of the undo file, without marks.
    pub(in crate::session) fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        push(&mut out, &HeaderLine::of(self))?;
        for patch in &self.change.patches {
            push(&mut out, &PatchLine::of(patch))?;
        }
        for block in &self.blocks {
            push(&mut out, &BlockLine { block: block.offset, old: hex::encode(&block.old).into() })?;
        }
        let sha256 = hex::encode(&Sha256::digest(&out));
        let end = EndLine { patches: self.change.patches.len(), blocks: self.blocks.len(), sha256: sha256.into() };
        push(&mut out, &end)?;
        fill_up(&mut out);
        Ok(out)
    }

    /// The bytes of a mark, to be written at `next_mark`.
    pub(in crate::session) fn mark_bytes(mark: Mark) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        push(&mut out, &MarkLine::of(mark, FileTime::now().to_string()))?;
        fill_up(&mut out);
        Ok(out)
    }

    /// Reads an undo file and checks everything that can be checked without its target.
    ///
    /// # Errors
    /// Not an undo file, of a later version, incomplete or changed.
    pub(in crate::session) fn load(storage: &dyn Storage) -> Result<Self> {
        let len = storage.len()?;
        if len > LONGEST {
            return Err(damaged("it is too long"));
        }
        let mut bytes = vec![0; usize::try_from(len).map_err(|_| damaged("it is too long"))?];
        storage.read_at(0, &mut bytes)?;
        Self::parse(&bytes)
    }

    pub(in crate::session) fn parse(bytes: &[u8]) -> Result<Self> {
        let (mut lines, marks) = Lines::split(bytes)?;
        let header = HeaderLine::parse(lines.next("the header")?)?;
        let mut patches = Vec::new();
        while lines.rest.starts_with(b"{\"offset\"") {
            patches.push(PatchLine::parse(lines.next("a patch")?)?);
        }
        let mut blocks = Vec::new();
        while lines.rest.starts_with(b"{\"block\"") {
            blocks.push(BlockLine::parse(lines.next("a block")?)?);
        }
        lines.finish(patches.len(), blocks.len())?;
        let change = checked(&header, patches, &blocks)?;
        let (mark, next_mark) = MarkLine::last(marks, bytes.len() - marks.len());
        Ok(Record {
            target: header.path()?,
            sha256_before: header.before()?,
            sha256_after: header.after()?,
            created: header.created.into_owned(),
            change,
            blocks,
            mark,
            next_mark,
        })
    }
}

/// The lines up to the end line.
struct Lines<'a> {
    rest: &'a [u8],
    end: EndLine<'a>,
}

impl<'a> Lines<'a> {
    /// Finds the end line, believes it only if its hash is right, and gives what follows it.
    fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8])> {
        if !bytes.starts_with(b"{\"hivewright_undo\":") {
            return Err(Error::new(Kind::Corrupt, "not-an-undo-file", "this is not an undo file"));
        }
        HeaderLine::check_version(first_line(bytes).unwrap_or_default())?;
        let mut start = 0;
        while let Some(line) = first_line(&bytes[start..]) {
            if line.starts_with(b"{\"patches\"") {
                let end = EndLine::parse(line)?;
                let stop = start + line.len();
                if !stop.is_multiple_of(4096) || hex::decode_array(&end.sha256)? != *Sha256::digest(&bytes[..start]) {
                    return Err(damaged("its hash does not fit"));
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

    fn finish(&self, patches: usize, blocks: usize) -> Result<()> {
        if !self.rest.is_empty() || (self.end.patches, self.end.blocks) != (patches, blocks) {
            return Err(damaged("its lines are not those that it counts"));
        }
        Ok(())
    }
}

/// Up to the first line feed and with it, or to the end.
fn first_line(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    // Reading from memory does not fail.
    let len = std::io::BufRead::skip_until(&mut rest, b'\n').unwrap_or(0);
    (len > 0).then(|| &bytes[..len])
}

/// The change that the lines describe, if they fit together.
fn checked(header: &HeaderLine<'_>, patches: Vec<Patch>, blocks: &[Block]) -> Result<Change> {
    if !patches.is_sorted_by_key(|p| p.step) {
        return Err(damaged("its patches are not in order"));
    }
    let mut change = Change::checked(header.len_before, header.len_after, patches.clone()).map_err(damaged)?;
    change.patches = patches;
    if !blocks.iter().map(|b| b.offset).eq(blocks_of(&change)) {
        return Err(damaged("its blocks are not those around its patches"));
    }
    for block in blocks {
        if block.old.len() as u64 != BLOCK.min(header.len_before - block.offset) {
            return Err(damaged("a block has the wrong length"));
        }
    }
    let old_of = super::state::Versions::new(&change, blocks);
    if !old_of.fit() {
        return Err(damaged("its blocks and patches disagree"));
    }
    Ok(change)
}

/// Offsets of the blocks that hold old bytes of a patch or lie around one, ascending.
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

/// Puts spaces before the last line feed, up to a multiple of a block.
fn fill_up(out: &mut Vec<u8>) {
    out.pop();
    out.resize((out.len() + 1).next_multiple_of(4096) - 1, b' ');
    out.push(b'\n');
}

pub(super) fn damaged(why: &str) -> Error {
    Error::new(Kind::Corrupt, "undo-damaged", format!("the undo file cannot be believed: {why}"))
        .advise("keep it and the file that it belongs to as they are, and restore from a backup")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hive::Step;

    /// An undo file with these lines between the header and the end, with a right hash.
    fn file(header: &str, lines: &[&str], patches: usize, blocks: usize) -> Vec<u8> {
        let mut out = format!("{{\"hivewright_undo\":1,{header}}}\n").into_bytes();
        for line in lines {
            out.extend_from_slice(line.as_bytes());
            out.push(b'\n');
        }
        let sha256 = hex::encode(&Sha256::digest(&out)).into();
        push(&mut out, &EndLine { patches, blocks, sha256 }).unwrap();
        fill_up(&mut out);
        out
    }

    const HEADER: &str = r#""target":"/t","created":"","len_before":4,"len_after":4"#;
    const PATCH: &str = r#"{"offset":1,"step":"link","old":"62","new":"42","what":"x"}"#;
    const BLOCK_LINE: &str = r#"{"block":0,"old":"61626364"}"#;

    #[test]
    fn there_and_back() {
        let record = Record::parse(&file(HEADER, &[PATCH, BLOCK_LINE], 1, 1)).unwrap();
        assert_eq!(record.change.patches[0].step, Step::Link);
        assert_eq!((record.mark, record.next_mark), (Mark::Open, 4096));
        let mut again = record.to_bytes().unwrap();
        assert_eq!(Record::parse(&again).unwrap(), record);
        again.extend(Record::mark_bytes(Mark::Committed).unwrap());
        again.extend([0xee; 700]);
        let marked = Record::parse(&again).unwrap();
        assert_eq!((marked.mark, marked.next_mark), (Mark::Committed, 8192));
    }

    #[test]
    fn a_right_hash_over_wrong_lines_is_no_help() {
        let refuse = |header: &str, lines: &[&str], patches, blocks| {
            Record::parse(&file(header, lines, patches, blocks)).unwrap_err().to_string()
        };
        let patch = |from: &str, to: &str| PATCH.replace(from, to);
        let cases = [
            (refuse(HEADER, &[PATCH, BLOCK_LINE], 2, 1), "counts"),
            (refuse(HEADER, &[PATCH], 1, 0), "blocks are not those"),
            (refuse(HEADER, &[PATCH, r#"{"block":0,"old":"616263"}"#], 1, 1), "wrong length"),
            (refuse(HEADER, &[PATCH, r#"{"block":0,"old":"61616364"}"#], 1, 1), "disagree"),
            (refuse(HEADER, &[&patch(":1,", ":4,"), BLOCK_LINE], 1, 1), "outside"),
            (refuse(HEADER, &[&patch(":1,", ":18446744073709551615,"), BLOCK_LINE], 1, 1), "addresses"),
            (refuse(HEADER, &[&patch("42", "4243"), BLOCK_LINE], 1, 1), "not as many"),
            (refuse(HEADER, &[&patch("42", "4"), BLOCK_LINE], 1, 1), "hexadecimal"),
            (refuse(HEADER, &[&patch("link", "leap"), BLOCK_LINE], 1, 1), "not as it should be"),
            (refuse(HEADER, &[PATCH, PATCH, BLOCK_LINE], 2, 1), "overlap"),
            (refuse(&HEADER.replace("_after\":4", "_after\":3"), &[PATCH, BLOCK_LINE], 1, 1), "shrink"),
            (
                refuse(&HEADER.replace("_after\":4", "_after\":18446744073709551615"), &[PATCH, BLOCK_LINE], 1, 1),
                "grows",
            ),
        ];
        for (error, part) in cases {
            assert!(error.contains(part), "{error} should say: {part}");
        }
        let later = b"{\"hivewright_undo\":2,\"more\":[]}\n";
        assert_eq!(Record::parse(later).unwrap_err().code(), "undo-version");
        assert_eq!(Record::parse(b"{}").unwrap_err().code(), "not-an-undo-file");
    }
}
