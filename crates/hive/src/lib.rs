//! A hive as a whole: look up, check, edit, recover. Bytes in, patches out; never I/O.
//!
//! [`open`] tells a clean hive from a dirty one by type: a [`DirtyHive`] has no way to be edited. It is recovered
//! from its transaction logs first, or its owner says in so many words that it is to be taken as it stands.

#![cfg_attr(test, allow(clippy::cast_possible_truncation))]

pub mod approach;
mod bytes;
pub mod check;
mod edit;
mod lookup;
mod overlay;
mod patch;
pub mod recover;
pub mod regf;
pub mod witness;

pub use bytes::HiveBytes;
pub use edit::{Delete, EditOptions, Edited, Editor};
pub use lookup::{DamagedValue, Key, Value};
pub use overlay::Overlay;
pub use patch::{Patch, PatchSet, Step};

use crate::regf::BASE_BLOCK_SIZE;
use crate::regf::base_block::{self, BaseBlock};
use hivewright_error::Result;

/// A hive, as [`open`] found it.
#[derive(Debug)]
pub enum Opened<B> {
    /// Every finished write is in it.
    Clean(Hive<B>),
    /// A write was begun and not finished.
    Dirty(DirtyHive<B>),
}

/// A hive whose bytes are to be taken as they stand.
#[derive(Debug)]
pub struct Hive<B> {
    bytes: B,
    base: BaseBlock,
}

/// A hive with an unfinished write: its newest state may stand in its transaction logs.
#[derive(Debug)]
pub struct DirtyHive<B>(Hive<B>);

/// Looks at the base block and tells clean from dirty. Reads nothing else.
///
/// # Errors
/// Not a hive, a version or file type that is not handled, or a length that cannot be.
pub fn open<B: HiveBytes>(bytes: B) -> Result<Opened<B>> {
    let base = {
        let size = (base_block::SIZE as u64).min(bytes.len());
        BaseBlock::parse(&bytes.read(0, usize::try_from(size).unwrap_or(base_block::SIZE))?)?
    };
    base.validate(bytes.len())?;
    let hive = Hive { bytes, base };
    Ok(if base.is_dirty() { Opened::Dirty(DirtyHive(hive)) } else { Opened::Clean(hive) })
}

impl<B> Opened<B> {
    /// The hive as its primary file alone has it, clean or not: for reading.
    pub fn primary_alone(&self) -> &Hive<B> {
        match self {
            Opened::Clean(hive) | Opened::Dirty(DirtyHive(hive)) => hive,
        }
    }
}

impl<B> DirtyHive<B> {
    /// The hive as its primary file alone has it: for reading.
    pub fn primary_alone(&self) -> &Hive<B> {
        &self.0
    }

    /// Gives up whatever stands in the transaction logs.
    pub fn as_it_stands(self) -> Hive<B> {
        self.0
    }
}

impl<B> Hive<B> {
    /// The hive in `bytes` as `base` has it, clean or not: for reading what was opened before.
    pub fn of(bytes: B, base: BaseBlock) -> Self {
        Hive { bytes, base }
    }

    /// The base block.
    pub fn base_block(&self) -> &BaseBlock {
        &self.base
    }

    /// What the hive was opened on.
    pub fn bytes(&self) -> &B {
        &self.bytes
    }

    /// Gives back what the hive was opened on.
    pub fn into_bytes(self) -> B {
        self.bytes
    }

    /// Bytes of all hive bins: the end of the space that cell offsets count in.
    pub fn length(&self) -> u32 {
        self.base.length.get()
    }
}

/// Offset in the file of a byte of the bins.
fn in_file(offset: u32) -> u64 {
    u64::from(offset) + u64::from(BASE_BLOCK_SIZE)
}
