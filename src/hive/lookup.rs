//! Look-ups. They touch only the cells on the way, so that a mapped file is read page by page.

use std::borrow::Cow;

use super::{Hive, HiveBytes, in_file};
use crate::error::{Error, Result};
use crate::regf::CellOffset;
use crate::regf::big_data::{self, BigData};
use crate::regf::cell::{self, Header};
use crate::regf::key_node::{self, KeyNode, flags};
use crate::regf::key_value::{self, Data, KeyValue, ValueType};
use crate::regf::name::Name;
use crate::regf::subkeys_list::{ListKind, SubkeysList};
use crate::regf::timestamp::FileTime;

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

/// A value of a key.
#[derive(Clone, Debug)]
pub struct Value<'h> {
    /// Cell offset of the key value.
    pub at: CellOffset,
    /// Its place in the values list.
    pub index: u32,
    /// The fixed part.
    pub node: KeyValue,
    /// Its name; empty for the default value.
    pub name: Name<'h>,
}

impl Value<'_> {
    /// The type of the data.
    pub fn data_type(&self) -> ValueType {
        ValueType(self.node.data_type.get())
    }

    /// Bytes of the data.
    pub fn size(&self) -> usize {
        match self.node.location() {
            Data::Inline { size, .. } => size,
            Data::Cell { size, .. } => size as usize,
        }
    }
}

impl<B: HiveBytes> Hive<B> {
    /// The data of the allocated cell at `at`.
    ///
    /// # Errors
    /// `cell-reference` if that is no allocated cell within the bins.
    pub fn cell(&self, at: CellOffset) -> Result<Cow<'_, [u8]>> {
        let wrong = |what| Error::corrupt("cell-reference", what, at.in_file());
        if at.is_nil() || !at.0.is_multiple_of(cell::ALIGNMENT) || at.0 > self.length() - cell::ALIGNMENT {
            return Err(wrong("a reference leads out of the hive bins"));
        }
        let raw = self.bytes.read(at.in_file(), cell::HEADER_SIZE)?;
        let header = Header::parse([raw[0], raw[1], raw[2], raw[3]], at)?;
        if !header.allocated {
            return Err(wrong("a reference leads to a free cell"));
        }
        if header.size > self.length() - at.0 {
            return Err(Error::corrupt("cell-size", "the cell runs past the hive bins", at.in_file()));
        }
        self.bytes.read(at.data_in_file(), header.size as usize - cell::HEADER_SIZE)
    }

    /// The root key.
    pub fn root(&self) -> Result<Key<'_, B>> {
        self.key_at(self.base.root())
    }

    /// The key whose key node stands at `at`.
    pub fn key_at(&self, at: CellOffset) -> Result<Key<'_, B>> {
        let data = self.cell(at)?;
        let node = KeyNode::parse(&data, at)?;
        let name = slice(data, key_node::SIZE, usize::from(node.name_length.get()));
        Ok(Key { hive: self, at, node, name: Name::new(name, node.has(flags::LATIN1_NAME)) })
    }

    /// The key at `path` below the root; names are parted by backslashes and compared without regard to case.
    /// `None` if a name on the way is not there.
    pub fn key(&self, path: &str) -> Result<Option<Key<'_, B>>> {
        let mut key = self.root()?;
        for name in path.split('\\').filter(|name| !name.is_empty()) {
            match key.subkey(name)? {
                Some(next) => key = next,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// Lists may name one key over and over, an index root one leaf: half a MiB lists four thousand million keys. Each
    /// key has a key node of its own, so an honest list is never longer than the bins have room for.
    fn has_room_for(&self, keys: u64, list: CellOffset) -> Result<()> {
        let most = u64::from(self.length()) / key_node::SIZE as u64;
        if keys <= most {
            return Ok(());
        }
        let what = "the subkeys list names more keys than the hive has room for";
        Err(Error::corrupt("list-size", what, list.data_in_file()).expected(format_args!("at most {most}"), keys))
    }

    /// The data of a value.
    pub fn data(&self, value: &Value<'_>) -> Result<Cow<'_, [u8]>> {
        let (at, size) = match value.node.location() {
            Data::Inline { bytes, size } => return Ok(Cow::Owned(bytes[..size].to_vec())),
            Data::Cell { size: 0, .. } => return Ok(Cow::Owned(Vec::new())),
            Data::Cell { at, size } => (at, size as usize),
        };
        let data = self.cell(at)?;
        if big_data::is_used(size, &data) {
            return self.segments(at, &data, size).map(Cow::Owned);
        }
        if size > data.len() {
            return Err(Error::corrupt(
                "value-data",
                "the value's data runs out of its cell",
                value.at.data_in_file() + 4,
            )
            .expected(format_args!("at most {} bytes", data.len()), size));
        }
        Ok(slice(data, 0, size))
    }

    fn segments(&self, at: CellOffset, record: &[u8], size: usize) -> Result<Vec<u8>> {
        let short = |what, place: CellOffset| Error::corrupt("big-data", what, place.data_in_file());
        // Memory is bounded by the hive: no data is larger than all bins together.
        if size > self.length() as usize {
            return Err(short("big data is larger than the hive", at));
        }
        let record = BigData::parse(record, at, size)?;
        let list_at = CellOffset(record.list.get());
        let list = self.cell(list_at)?;
        let mut out = Vec::with_capacity(size);
        for i in 0..usize::from(record.segment_count.get()) {
            let segment_at =
                offset_in(&list, i).ok_or_else(|| short("the list of segments is larger than its cell", list_at))?;
            let segment = self.cell(segment_at)?;
            let want = (size - out.len()).min(big_data::SEGMENT_SIZE);
            out.extend_from_slice(
                segment.get(..want).ok_or_else(|| short("a segment is smaller than its share", segment_at))?,
            );
        }
        Ok(out)
    }
}

impl<'h, B: HiveBytes> Key<'h, B> {
    /// Cell offset of the key node.
    pub fn at(&self) -> CellOffset {
        self.at
    }

    /// The hive that the key is of.
    pub fn hive(&self) -> &'h Hive<B> {
        self.hive
    }

    /// The fixed part of the key node.
    pub fn node(&self) -> &KeyNode {
        &self.node
    }

    /// The key's name.
    pub fn name(&self) -> &Name<'h> {
        &self.name
    }

    /// When values or subkeys last changed.
    pub fn last_written(&self) -> FileTime {
        FileTime(self.node.last_written.get())
    }

    /// The subkey called `name`, without regard to case.
    pub fn subkey(&self, name: &str) -> Result<Option<Key<'h, B>>> {
        let hash = crate::regf::name::hash(name.encode_utf16());
        for leaf_at in self.leaves()? {
            let data = self.hive.cell(leaf_at)?;
            let leaf = SubkeysList::parse(&data, leaf_at)?;
            for (at, hint) in leaf.elements() {
                let possible = match (leaf.kind, hint) {
                    (ListKind::HashLeaf, Some(h)) => h == hash,
                    (ListKind::FastLeaf, Some(h)) => hint_allows(h, name),
                    _ => true,
                };
                if possible {
                    let key = self.hive.key_at(at)?;
                    if key.name.matches(name) {
                        return Ok(Some(key));
                    }
                }
            }
        }
        Ok(None)
    }

    /// All subkeys, in the order of the list.
    pub fn subkeys(&self) -> Result<Vec<Key<'h, B>>> {
        let mut keys = Vec::new();
        for leaf_at in self.leaves()? {
            let data = self.hive.cell(leaf_at)?;
            for (at, _) in SubkeysList::parse(&data, leaf_at)?.elements() {
                keys.push(self.hive.key_at(at)?);
            }
        }
        Ok(keys)
    }

    /// Cell offsets of the leaves: the list itself, or what its index root points to.
    pub(super) fn leaves(&self) -> Result<Vec<CellOffset>> {
        let at = CellOffset(self.node.subkeys_list.get());
        if self.node.subkey_count.get() == 0 {
            return Ok(Vec::new());
        }
        let data = self.hive.cell(at)?;
        let list = SubkeysList::parse(&data, at)?;
        if list.kind != ListKind::IndexRoot {
            self.hive.has_room_for(list.len() as u64, at)?;
            return Ok(vec![at]);
        }
        let leaves: Vec<CellOffset> = list.elements().map(|(leaf, _)| leaf).collect();
        let mut keys = 0;
        for &leaf_at in &leaves {
            let data = self.hive.cell(leaf_at)?;
            let leaf = SubkeysList::parse(&data, leaf_at)?;
            if leaf.kind == ListKind::IndexRoot {
                let what = "an index root points to an index root";
                return Err(Error::corrupt("list-nested", what, leaf_at.data_in_file()));
            }
            keys += leaf.len() as u64;
            self.hive.has_room_for(keys, at)?;
        }
        Ok(leaves)
    }

    /// The first value called `name`, without regard to case; the empty name is the default value.
    pub fn value(&self, name: &str) -> Result<Option<Value<'h>>> {
        for value in self.values()? {
            let value = value?;
            if value.name.matches(name) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// All values, in the order of the list. A value that cannot be read is an error in its place.
    pub fn values(&self) -> Result<impl Iterator<Item = Result<Value<'h>>> + use<'h, B>> {
        let (hive, count) = (self.hive, self.node.values());
        let at = CellOffset(self.node.values_list.get());
        // As with keys: each value has a cell of its own.
        let most = u64::from(hive.length()) / key_value::SIZE as u64;
        if u64::from(count) > most {
            return Err(Error::corrupt(
                "values-list-size",
                "the key has more values than the hive has room for",
                in_file(at.0),
            )
            .expected(format_args!("at most {most} values"), count));
        }
        let list = if count == 0 { Cow::Borrowed(&[][..]) } else { hive.cell(at)? };
        if (list.len() / 4) < count as usize {
            return Err(Error::corrupt("values-list-size", "the values list is larger than its cell", in_file(at.0))
                .expected(format_args!("at most {} values", list.len() / 4), count));
        }
        Ok((0..count).map(move |index| {
            let at = offset_in(&list, index as usize).unwrap_or(CellOffset::NIL);
            let data = hive.cell(at)?;
            let node = KeyValue::parse(&data, at)?;
            let name = slice(data, key_value::SIZE, usize::from(node.name_length.get()));
            let latin1 = node.flags.get() & key_value::LATIN1_NAME != 0;
            Ok(Value { at, index, node, name: Name::new(name, latin1) })
        }))
    }
}

/// The cell offset at `index` of a list of cell offsets.
fn offset_in(list: &[u8], index: usize) -> Option<CellOffset> {
    let raw = list.get(index.checked_mul(4)?..)?.get(..4)?;
    Some(CellOffset(u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]])))
}

/// A part of `data`, borrowed where `data` is. The caller has checked that it is there.
fn slice(data: Cow<'_, [u8]>, start: usize, len: usize) -> Cow<'_, [u8]> {
    match data {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[start..start + len]),
        Cow::Owned(bytes) => Cow::Owned(bytes[start..start + len].to_vec()),
    }
}

/// Whether a fast leaf's hint (first four characters of the name, zero padded) may belong to `name`. Hints of names
/// beyond ASCII are taken as no hint.
fn hint_allows(hint: u32, name: &str) -> bool {
    let hint = hint.to_le_bytes();
    if hint == [0; 4] || !hint.is_ascii() || !name.is_ascii() {
        return true;
    }
    let mut padded = [0u8; 4];
    for (to, from) in padded.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    padded.eq_ignore_ascii_case(&hint)
}
