//! Edits of keys and values: the smallest change of bytes that the format allows, recorded as patches.
//!
//! An edit never overwrites data that is still referenced. Released cells become free only at the end
//! ([`Editor::finish`]), so the hive is consistent after every [`Step`] of the patches.

mod copy;
mod data;
mod find;
mod free_cells;
mod journal;
mod keys;
mod lists;
mod security;
mod space;
mod tree;
mod value_names;
mod values;

pub use values::Delete;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::mem::offset_of;

use zerocopy::IntoBytes;
use zerocopy::little_endian::U32;

use self::find::Order;
use self::free_cells::FreeCells;
use self::journal::Journal;
use self::security::Securities;
use self::value_names::ValueNames;
use super::{Hive, PatchSet, Step};
use crate::regf::CellOffset;
use crate::regf::base_block::{self, BaseBlock};
use crate::regf::key_node::KeyNode;
use crate::regf::timestamp::FileTime;
use hivewright_error::{Code, Error, Kind, Result};

/// Options of an edit.
#[derive(Clone, Copy, Debug)]
pub struct EditOptions {
    /// The last-written time of changed keys; `None` keeps the old times, for reproducible output.
    pub timestamp: Option<FileTime>,
    /// The maximum length of the file in bytes; an edit that needs more fails with [`Kind::NoRoom`].
    pub max_file_len: u64,
    /// The highest sequence number of the transaction logs. Those of the result exceed it.
    pub above_sequence: Option<u32>,
}

impl Default for EditOptions {
    fn default() -> Self {
        EditOptions { timestamp: Some(FileTime::now()), max_file_len: u64::MAX, above_sequence: None }
    }
}

/// An edit of a clean hive.
#[derive(Debug)]
pub struct Editor {
    bytes: Vec<u8>,
    /// The base block of `bytes`.
    base: BaseBlock,
    journal: Journal,
    free: Option<FreeCells>,
    /// Cells that existed before the edit and are no longer referenced.
    released: BTreeSet<CellOffset>,
    /// Cells allocated by the edit, with their sizes.
    fresh: BTreeMap<CellOffset, u32>,
    /// Unused cells allocated by the edit, by size. They count as allocated until the end.
    spare: BTreeSet<(u32, CellOffset)>,
    /// Lists that the edit allocated with slack, with the number of bytes in use.
    roomy: BTreeMap<CellOffset, usize>,
    /// Values lists grown in place, with their previous sizes.
    grown: BTreeMap<CellOffset, u32>,
    /// Values lists from which entries were removed.
    shortened: BTreeSet<CellOffset>,
    securities: Securities,
    orders: HashMap<CellOffset, Order>,
    value_names: Option<ValueNames>,
    options: EditOptions,
    old_len: u64,
    /// Number of writes.
    writes: u64,
    /// Whether an operation failed after its first write.
    failed: bool,
}

/// The result of an edit.
#[derive(Debug)]
pub struct Edited {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// The change.
    pub patches: PatchSet,
}

impl Hive<Vec<u8>> {
    /// Begins an edit. The hive should have passed [`crate::check`]: an edit frees replaced cells, and in a damaged
    /// hive other structures may refer to them too.
    pub fn edit(self, options: EditOptions) -> Editor {
        let base = self.base;
        let bytes = self.into_bytes();
        let old_len = bytes.len() as u64;
        Editor {
            bytes,
            base,
            journal: Journal::default(),
            free: None,
            released: BTreeSet::new(),
            fresh: BTreeMap::new(),
            spare: BTreeSet::new(),
            roomy: BTreeMap::new(),
            grown: BTreeMap::new(),
            shortened: BTreeSet::new(),
            securities: Securities::default(),
            orders: HashMap::new(),
            value_names: None,
            options,
            old_len,
            writes: 0,
            failed: false,
        }
    }
}

impl PatchSet {
    /// Combines this change and the following change `next`. `image` is the bytes after `next`.
    pub fn then(&self, next: &PatchSet, image: &[u8]) -> PatchSet {
        let mut journal = Journal::after(self);
        if next.new_len > next.old_len {
            journal.note_growth(next.old_len);
        }
        for patch in &next.patches {
            let mut old = patch.old.clone();
            old.resize(patch.new.len(), 0);
            journal.note(patch.offset, &old, patch.step, patch.what.clone());
        }
        PatchSet { old_len: self.old_len, new_len: next.new_len, patches: journal.into_patches(image) }
    }
}

impl Editor {
    /// Returns the hive in its current edited state.
    pub fn hive(&self) -> Result<Hive<&[u8]>> {
        Ok(Hive { bytes: &self.bytes, base: self.base })
    }

    /// Frees the cells that are no longer used, raises the sequence numbers and returns the patches. Without a change,
    /// the patch set is empty and the bytes are unchanged.
    ///
    /// # Errors
    /// `edit-failed`: an operation failed after its first write, for lack of space or because of damage.
    pub fn finish(mut self) -> Result<Edited> {
        self.check_usable()?;
        self.free_unused_cells()?;
        if self.journal.changes_nothing(&self.bytes) && self.bytes.len() as u64 == self.old_len {
            return Ok(Edited {
                bytes: self.bytes,
                patches: PatchSet { old_len: self.old_len, new_len: self.old_len, patches: vec![] },
            });
        }
        self.write_base_block()?;
        let patches = self.journal.into_patches(&self.bytes);
        let new_len = self.bytes.len() as u64;
        Ok(Edited { bytes: self.bytes, patches: PatchSet { old_len: self.old_len, new_len, patches } })
    }

    /// Runs an operation. A failure before its first write has no effect; after a later failure the edit cannot be
    /// finished.
    fn whole<T>(&mut self, operation: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.check_usable()?;
        let before = self.writes;
        let done = operation(self);
        self.failed |= done.is_err() && self.writes != before;
        done
    }

    fn check_usable(&self) -> Result<()> {
        if self.failed {
            return Err(Error::refused(Code::EditFailed, "an operation of this edit failed after its first write")
                .advise("begin a new edit of the unchanged hive"));
        }
        Ok(())
    }

    /// Returns the key node at `key`; an error for a key that this edit deleted.
    fn node_at(&self, key: CellOffset) -> Result<KeyNode> {
        let node = *self.hive()?.key_at(key)?.node();
        if self.released.contains(&key) || self.spare.contains(&(self.header(key)?.size, key)) {
            return Err(Error::new(Kind::NotFound, Code::NoKey, "the key was deleted by this edit"));
        }
        Ok(node)
    }

    /// Writes the checksum and both sequence numbers: one above the old numbers and those of the logs, by signed
    /// difference since they wrap. The timestamp is kept, because old-format logs are matched by it.
    fn write_base_block(&mut self) -> Result<()> {
        let mut base = *self.hive()?.base_block();
        let mut highest = base.primary_sequence.get();
        for other in [Some(base.secondary_sequence.get()), self.options.above_sequence].into_iter().flatten() {
            if other.wrapping_sub(highest).cast_signed() > 0 {
                highest = other;
            }
        }
        let next = U32::new(highest.wrapping_add(1));
        base.primary_sequence = next;
        base.secondary_sequence = next;
        let checksum = U32::new(base.computed_checksum());
        let field = |offset: usize| offset as u64;
        self.write(
            field(offset_of!(BaseBlock, primary_sequence)),
            next.as_bytes(),
            Step::Base,
            "primary sequence number",
        )?;
        self.write(
            field(offset_of!(BaseBlock, secondary_sequence)),
            next.as_bytes(),
            Step::Base,
            "secondary sequence number",
        )?;
        self.write(field(offset_of!(BaseBlock, checksum)), checksum.as_bytes(), Step::Base, "base block checksum")
    }

    /// Writes `new` at a file offset that exists, and records the change.
    fn write(&mut self, offset: u64, new: &[u8], step: Step, what: impl Into<Cow<'static, str>>) -> Result<()> {
        let start = usize::try_from(offset).map_err(|_| past_end(offset))?;
        let Some(place) = start.checked_add(new.len()).and_then(|end| self.bytes.get_mut(start..end)) else {
            return Err(past_end(offset));
        };
        self.writes += 1;
        self.journal.note(offset, place, step, what);
        place.copy_from_slice(new);
        if start < base_block::SIZE {
            self.base = BaseBlock::parse(&self.bytes)?;
        }
        Ok(())
    }
}

fn past_end(offset: u64) -> Error {
    Error::corrupt(Code::PastEnd, "the file ends before the bytes to change", offset)
}
