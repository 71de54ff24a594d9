//! Reads, edits, checks and recovers registry hives (the regf format). Bytes in, patches out; no I/O.
//!
//! [`Hive::open`] distinguishes clean and dirty hives by type: a [`DirtyHive`] cannot be edited. It must first be
//! recovered from its transaction logs (see [`recover`]), or opened without them by [`DirtyHive::without_logs`].
//!
//! [`reg_text`] reads and writes registration files (`.reg`), [`compare`] finds the differences between two hives, and
//! [`security_descriptor`] parses and formats the security descriptor of a key.
//!
//! # Reading
//! ```
//! use hivewright_hive::{Data, Hive};
//!
//! # let bytes = hivewright_fixtures::HiveSpec::new(hivewright_fixtures::Minor::V5)
//! #     .key("Select", |key| key.dword("Current", 1).sz("Remark", "x")).build().bytes;
//! let hive = Hive::open(bytes)?.clean()?;
//! let key = hive.key("Select")?.expect("a SYSTEM hive has this key");
//! if let Some(value) = key.value("Current")? {
//!     assert_eq!(value.data()?, Data::Dword(1));
//! }
//! for value in key.values()? {
//!     let value = value?;
//!     println!("{} = {:?}", value.name(), value.data()?);
//! }
//! # Ok::<(), hivewright_hive::Error>(())
//! ```
//!
//! Reading accesses only the cells of the path: types other than slices implement [`HiveBytes`] and are read page by
//! page.
//!
//! # Editing
//! An [`Editor`] changes keys and values in memory and yields the new bytes with a [`PatchSet`] of the difference. Keys
//! are addressed by path or by the cell offset of their key node.
//! ```
//! use hivewright_hive::regf::name::Name;
//! use hivewright_hive::{CreateOptions, Data, EditOptions, Hive, KeyPath};
//!
//! # let bytes = hivewright_fixtures::HiveSpec::new(hivewright_fixtures::Minor::V5)
//! #     .key("Setup", |key| key.key("Old", |key| key)).build().bytes;
//! let mut edit = Hive::open(bytes)?.clean()?.edit(EditOptions::default());
//! edit.create_key(r"Setup\Example\Deeper")?;
//! edit.set_value(r"Setup\Example", "Name", &Data::sz("x"))?;
//! edit.rename_key(r"Setup\Example\Deeper", "Moved")?;
//! edit.copy_key(r"Setup\Example", r"Setup\Copy")?;
//! edit.delete_key(r"Setup\Old")?;
//!
//! // A name that is not valid text, such as one with an unpaired surrogate, is given as code units or with escapes.
//! let odd = Name::from_units(&[0x41, 0xd800]);
//! edit.create_key(KeyPath::from_names([Name::from("Setup"), odd]))?;
//! edit.set_value(KeyPath::from_escaped(r"Setup\A{U+D800}"), "", &Data::Dword(1))?;
//!
//! // Copies a tree from another hive.
//! let other = Hive::create(5, &CreateOptions::default())?;
//! edit.copy_key_from(&other.root()?, "Empty")?;
//!
//! let edited = edit.finish()?;
//! println!("{} bytes change", edited.patches.changed_bytes());
//! let hive = Hive::open(edited.bytes)?.clean()?;
//! let key = hive.key(r"setup\copy")?.expect("it was copied");
//! assert_eq!(key.value("NAME")?.map(|value| value.data()).transpose()?, Some(Data::sz("x")));
//! assert!(key.subkey("moved")?.is_some() && hive.key(r"Setup\Old")?.is_none());
//! # Ok::<(), hivewright_hive::Error>(())
//! ```
//!
//! The hive is consistent after every [`Step`] of the patches, with one exception: after [`Step::Link`], an entry may
//! be twice in a values list from which another was removed. If an operation fails after its first write, for lack of
//! space or because of damage, the edit cannot be finished and the hive does not change.

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
#![cfg_attr(test, allow(clippy::cast_possible_truncation))]

pub mod binary_search;
mod bytes;
pub mod check;
pub mod compare;
mod create;
mod data;
mod edit;
mod lookup;
mod overlay;
mod patch;
pub mod recover;
pub mod reg_text;
pub mod regf;
pub mod security_descriptor;
mod text;
pub mod witness;

pub use bytes::HiveBytes;
pub use create::CreateOptions;
pub use data::Data;
pub use edit::{Delete, EditOptions, Edited, Editor};
pub use lookup::{DamagedValue, Key, KeyPath, Value};
pub use overlay::Overlay;
pub use patch::{Patch, PatchSet, Step};
pub use regf::key_value::ValueType;
pub use text::{Text, TextList};

use crate::regf::BASE_BLOCK_SIZE;
use crate::regf::base_block::{self, BaseBlock};

use hivewright_error::Code;
pub use hivewright_error::{Error, Kind, Result};

/// An opened hive, clean or dirty.
#[derive(Debug)]
pub enum Opened<B> {
    /// All writes are complete.
    Clean(Hive<B>),
    /// A write is incomplete.
    Dirty(DirtyHive<B>),
}

/// A hive: its bytes and its base block.
#[derive(Debug)]
pub struct Hive<B> {
    bytes: B,
    base: BaseBlock,
}

/// A hive with an incomplete write. Its latest state may be in its transaction logs.
#[derive(Debug)]
pub struct DirtyHive<B>(Hive<B>);

impl<B: HiveBytes> Hive<B> {
    /// Reads the base block and distinguishes a clean hive from a dirty one. Reads nothing else.
    ///
    /// # Errors
    /// The file is not a hive; its version or file type is not supported; its length is invalid.
    pub fn open(bytes: B) -> Result<Opened<B>> {
        let base = {
            let size = (base_block::SIZE as u64).min(bytes.len());
            BaseBlock::parse(&bytes.read(0, usize::try_from(size).unwrap_or(base_block::SIZE))?)?
        };
        base.validate(bytes.len())?;
        let hive = Hive { bytes, base };
        Ok(if base.is_dirty() { Opened::Dirty(DirtyHive(hive)) } else { Opened::Clean(hive) })
    }
}

impl<B> Opened<B> {
    /// Returns the hive if it is clean.
    ///
    /// # Errors
    /// `dirty`, of kind [`Kind::Refused`], if it is not.
    pub fn clean(self) -> Result<Hive<B>> {
        match self {
            Opened::Clean(hive) => Ok(hive),
            Opened::Dirty(_) => Err(Error::refused(Code::Dirty, "the last write of the hive is incomplete")
                .advise("recover it from its transaction logs first")),
        }
    }

    /// Returns the hive of the primary file without its logs, clean or not: for reading.
    pub fn primary_alone(&self) -> &Hive<B> {
        match self {
            Opened::Clean(hive) | Opened::Dirty(DirtyHive(hive)) => hive,
        }
    }
}

impl<B> DirtyHive<B> {
    /// Returns the hive of the primary file without its logs: for reading.
    pub fn primary_alone(&self) -> &Hive<B> {
        &self.0
    }

    /// Returns the hive of the primary file and ignores the transaction logs.
    pub fn without_logs(self) -> Hive<B> {
        self.0
    }
}

impl<B> Hive<B> {
    /// Creates a hive from `bytes` and its base block, clean or not: for reading bytes that were opened before.
    pub fn of(bytes: B, base: BaseBlock) -> Self {
        Hive { bytes, base }
    }

    /// Returns the base block.
    pub fn base_block(&self) -> &BaseBlock {
        &self.base
    }

    /// Returns the bytes of the hive file.
    pub fn bytes(&self) -> &B {
        &self.bytes
    }

    /// Returns the bytes of the hive file.
    pub fn into_bytes(self) -> B {
        self.bytes
    }

    /// Returns the size of all hive bins in bytes, which is the upper limit of cell offsets.
    pub fn length(&self) -> u32 {
        self.base.length.get()
    }
}

/// Converts an offset in the bins to an offset in the file.
fn in_file(offset: u32) -> u64 {
    u64::from(offset) + u64::from(BASE_BLOCK_SIZE)
}
