//! Look-ups. They read only the cells of the path: of a mapped file, only their pages are read, and damage elsewhere
//! has no effect.

mod path;
mod reference;
mod subkeys;
mod value;

use std::borrow::Cow;
use std::mem::offset_of;

pub use path::KeyPath;
pub use value::{DamagedValue, Value};

use reference::Referrer;

use super::{Hive, HiveBytes, Text};
use crate::regf::CellOffset;
use crate::regf::cell::{self, Header};
use crate::regf::key_node::{self, KeyNode, flags};
use crate::regf::key_security::{self, KeySecurity};
use crate::regf::name::Name;
use crate::regf::timestamp::FileTime;
use hivewright_error::{Code, Error, Kind, Result};

/// A key of a hive.
#[derive(Debug)]
pub struct Key<'h, B> {
    hive: &'h Hive<B>,
    at: CellOffset,
    node: KeyNode,
    name: Name<'h>,
}

// Derived, these would ask for `B: Clone`.
impl<B> Clone for Key<'_, B> {
    fn clone(&self) -> Self {
        Key { hive: self.hive, at: self.at, node: self.node, name: self.name.clone() }
    }
}

impl<B: HiveBytes> Hive<B> {
    /// Returns the data of the allocated cell at `at`.
    ///
    /// # Errors
    /// `cell-reference` if it is not an allocated cell within the bins.
    pub fn cell(&self, at: CellOffset) -> Result<Cow<'_, [u8]>> {
        self.cell_of(at, Referrer::field("reference", at.in_file()))
    }

    /// Returns the data of the cell that the field `from` refers to.
    fn cell_of(&self, at: CellOffset, from: Referrer) -> Result<Cow<'_, [u8]>> {
        if at.is_nil() || !at.0.is_multiple_of(cell::ALIGNMENT) || at.0 > self.length() - cell::ALIGNMENT {
            return Err(from.leads_out(at, self.length()));
        }
        let raw = self.bytes.read(at.in_file(), cell::HEADER_SIZE)?;
        let header = Header::parse([raw[0], raw[1], raw[2], raw[3]], at)?;
        if !header.allocated {
            return Err(from.leads_to_free_cell(at));
        }
        if header.size > self.length() - at.0 {
            return Err(Error::corrupt(Code::CellSize, "the cell exceeds the hive bins", at.in_file()));
        }
        self.bytes.read(at.data_in_file(), header.size as usize - cell::HEADER_SIZE)
    }

    /// Returns the root key.
    ///
    /// # Errors
    /// The root key cannot be read.
    pub fn root(&self) -> Result<Key<'_, B>> {
        let root = self.key_of(self.base.root(), Referrer::field("root cell of the base block", 36));
        root.map_err(|error| match error.kind() {
            Kind::Io => error,
            _ => error
                .about("the root key cannot be read")
                .advise("no key can be found without the root key: use another copy of the hive"),
        })
    }

    /// Returns the key whose key node lies at `at`.
    ///
    /// # Errors
    /// No key node lies there.
    pub fn key_at(&self, at: CellOffset) -> Result<Key<'_, B>> {
        self.key_of(at, Referrer::field("reference", at.in_file()))
    }

    fn key_of(&self, at: CellOffset, from: Referrer) -> Result<Key<'_, B>> {
        let data = self.cell_of(at, from)?;
        let node = KeyNode::parse(&data, at)?;
        let name = slice(data, key_node::SIZE, usize::from(node.name_length.get()));
        Ok(Key { hive: self, at, node, name: Name::new(name, node.has(flags::LATIN1_NAME)) })
    }

    /// Returns the key at `path` below the root; `None` if a name of the path does not exist. Names are compared
    /// without regard to case.
    ///
    /// # Errors
    /// A key of the path cannot be read, or an unreadable key may be the next one.
    pub fn key<'p>(&self, path: impl Into<KeyPath<'p>>) -> Result<Option<Key<'_, B>>> {
        let mut key = self.root()?;
        for name in path.into().names() {
            match key.subkey(name)? {
                Some(next) => key = next,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }
}

impl<'h, B: HiveBytes> Key<'h, B> {
    /// Returns the cell offset of the key node.
    pub fn at(&self) -> CellOffset {
        self.at
    }

    /// Returns the hive that the key belongs to.
    pub fn hive(&self) -> &'h Hive<B> {
        self.hive
    }

    /// Returns the fixed part of the key node.
    pub fn node(&self) -> &KeyNode {
        &self.node
    }

    /// Returns the name.
    pub fn name(&self) -> &Name<'h> {
        &self.name
    }

    /// Returns the time of the last change of values or subkeys.
    pub fn last_written(&self) -> FileTime {
        FileTime(self.node.last_written.get())
    }

    /// Returns whether the key is the root of its hive. Hives of Microsoft's offline library lack the flag of roots.
    pub fn is_root(&self) -> bool {
        self.node.has(flags::ROOT) || self.at == self.hive.base.root()
    }

    /// Returns the parent; `None` for the root.
    ///
    /// # Errors
    /// The parent cannot be read.
    pub fn parent(&self) -> Result<Option<Key<'h, B>>> {
        if self.is_root() {
            return Ok(None);
        }
        let from = Referrer::in_cell("key's parent", self.at, offset_of!(KeyNode, parent) as u64);
        self.hive.key_of(CellOffset(self.node.parent.get()), from).map(Some)
    }

    /// Returns the class name, which few keys have. It has no terminating zero.
    ///
    /// # Errors
    /// Its cell is damaged.
    pub fn class(&self) -> Result<Option<Text>> {
        let (at, size) = (CellOffset(self.node.class_name.get()), usize::from(self.node.class_name_length.get()));
        if size == 0 || at.is_nil() {
            return Ok(None);
        }
        let field = |offset: usize| Referrer::in_cell("key's class name", self.at, offset as u64);
        let data = self.hive.cell_of(at, field(offset_of!(KeyNode, class_name)))?;
        let name = data.get(..size).ok_or_else(|| {
            let place = self.at.data_in_file() + offset_of!(KeyNode, class_name_length) as u64;
            Error::corrupt(Code::KeyClass, "the class name exceeds its cell", place)
                .expected(format_args!("at most {} bytes", data.len()), size)
        })?;
        Ok(Some(Text::from_bytes(name)))
    }

    /// Returns the security descriptor, self-relative as Windows stores it.
    ///
    /// # Errors
    /// The key has none, or its cell is damaged.
    pub fn security_descriptor(&self) -> Result<Cow<'h, [u8]>> {
        let at = CellOffset(self.node.key_security.get());
        let from = Referrer::in_cell("key's security", self.at, offset_of!(KeyNode, key_security) as u64);
        let data = self.hive.cell_of(at, from)?;
        let size = KeySecurity::parse(&data, at)?.descriptor_size.get() as usize;
        Ok(slice(data, key_security::SIZE, size))
    }
}

/// Returns the cell offset at `index` of a list of cell offsets.
fn offset_in(list: &[u8], index: usize) -> Option<CellOffset> {
    let raw = list.get(index.checked_mul(4)?..)?.get(..4)?;
    Some(CellOffset(u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]])))
}

/// Returns a part of `data`, borrowed if `data` is. The caller has checked the range.
fn slice(data: Cow<'_, [u8]>, start: usize, len: usize) -> Cow<'_, [u8]> {
    match data {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[start..start + len]),
        Cow::Owned(bytes) => Cow::Owned(bytes[start..start + len].to_vec()),
    }
}
