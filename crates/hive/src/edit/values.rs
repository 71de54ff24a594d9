//! Sets and removes values of a key.

use std::mem::offset_of;

use zerocopy::IntoBytes;

use super::data::DataFields;
use super::value_names::ValueNames;
use super::{Editor, Step};
use crate::regf::key_node::{KeyNode, flags};
use crate::regf::key_value::{KeyValue, LATIN1_NAME, MAX_NAME_CHARACTERS, TOMBSTONE, ValueType};
use crate::regf::name::Name;
use crate::regf::{CellOffset, LAYERED_SINCE_MINOR};
use crate::{Data, HiveBytes, KeyPath, Value};
use hivewright_error::{Code, Error, Kind, Result};

/// Selects the values of a deletion. The variants differ only in a layered hive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delete {
    /// Values, but no tombstones.
    Live,
    /// Values and tombstones: without the tombstone, a value of a lower layer appears.
    Any,
}

/// An existing value, without a borrow of the hive.
struct ExistingValue {
    at: CellOffset,
    index: u32,
    node: KeyValue,
    /// Size of its name in bytes as UTF-16.
    name_size: usize,
}

impl ExistingValue {
    fn of<B: HiveBytes>(value: &Value<'_, B>) -> Self {
        ExistingValue {
            at: value.at(),
            index: value.index(),
            node: *value.node(),
            name_size: value.name().utf16_size(),
        }
    }
}

impl Editor {
    /// Sets the value `name` of the key at `path`: the first of that name, without regard to case, or a new one.
    /// Returns whether anything changed.
    ///
    /// # Errors
    /// `no-key` if there is no such key; otherwise as [`Editor::set_value_at`].
    pub fn set_value<'p, 'n>(
        &mut self,
        path: impl Into<KeyPath<'p>>,
        name: impl Into<Name<'n>>,
        data: &Data,
    ) -> Result<bool> {
        let key = self.key_at_path(path)?;
        self.set_value_at(key, name, data.data_type(), &data.to_bytes())
    }

    /// Removes the first value called `name` of the key at `path`. Returns whether there was one.
    ///
    /// # Errors
    /// `no-key` if there is no such key; otherwise as [`Editor::delete_value_at`].
    pub fn delete_value<'p, 'n>(&mut self, path: impl Into<KeyPath<'p>>, name: impl Into<Name<'n>>) -> Result<bool> {
        let key = self.key_at_path(path)?;
        self.delete_value_at(key, name, Delete::Live)
    }

    /// Removes all values of the key at `path`; tombstones stay. Returns how many there were.
    ///
    /// # Errors
    /// `no-key` if there is no such key; otherwise as [`Editor::delete_all_values_at`].
    pub fn delete_all_values<'p>(&mut self, path: impl Into<KeyPath<'p>>) -> Result<u32> {
        let key = self.key_at_path(path)?;
        self.delete_all_values_at(key, Delete::Live)
    }

    /// Sets a value of the key whose key node lies at `key`: the first of that name, without regard to case, or a new
    /// one. A tombstone becomes a value. Returns whether anything changed.
    ///
    /// # Errors
    /// `value-name` for a name of more than 16,383 characters; `data-too-large` for data that the hive's version cannot
    /// store; keys that cannot have values (handles, symbolic links, tombstones) are refused; [`Kind::NoRoom`] if the
    /// new cells do not fit into free cells or growth.
    pub fn set_value_at<'n>(
        &mut self,
        key: CellOffset,
        name: impl Into<Name<'n>>,
        kind: ValueType,
        data: &[u8],
    ) -> Result<bool> {
        let name = name.into();
        self.whole(|edit| {
            let (node, old) = edit.look_up(key, &name, Delete::Any)?;
            match old {
                Some(old) => edit.replace(key, &node, &old, kind, data),
                None => edit.insert(key, &node, &name, kind, data).map(|()| true),
            }
        })
    }

    /// Removes the first value called `name` of the key at `key`. Returns whether there was one.
    ///
    /// # Errors
    /// Keys that cannot have values are refused; damage of the value or its data.
    pub fn delete_value_at<'n>(&mut self, key: CellOffset, name: impl Into<Name<'n>>, which: Delete) -> Result<bool> {
        let name = name.into();
        self.whole(|edit| match edit.look_up(key, &name, which)? {
            (node, Some(old)) => edit.remove(key, &node, &old).map(|()| true),
            (_, None) => Ok(false),
        })
    }

    /// Removes all values of the key at `key`. Returns how many there were.
    ///
    /// # Errors
    /// As [`Editor::delete_value_at`].
    pub fn delete_all_values_at(&mut self, key: CellOffset, which: Delete) -> Result<u32> {
        self.whole(|edit| {
            let node = edit.node_accepting_values(key)?;
            let minor = edit.base.minor_version.get();
            let (mut going, mut cells) = (Vec::new(), Vec::new());
            if node.values() > 0 {
                let hive = edit.hive()?;
                for value in hive.key_at(key)?.values()? {
                    let value = value?;
                    if which == Delete::Any || !value.node().is_tombstone(minor) {
                        cells.push(value.at());
                        cells.extend(hive.cells_of_data(value.node())?);
                        going.push(ExistingValue::of(&value));
                    }
                }
            }
            let count = u32::try_from(going.len()).unwrap_or(u32::MAX);
            if going.is_empty() {
                return Ok(0);
            }
            if count == node.values() {
                edit.empty_values_list(key, &node)?;
                cells.into_iter().try_for_each(|cell| edit.release(cell))?;
                edit.touch(key)?;
                return Ok(count);
            }
            // From the end, so that the indexes of the others do not change.
            for value in going.iter().rev() {
                let node = edit.node_at(key)?;
                edit.remove(key, &node, value)?;
            }
            Ok(count)
        })
    }

    fn empty_values_list(&mut self, key: CellOffset, node: &KeyNode) -> Result<()> {
        self.value_names = None;
        let none = 0u32.to_le_bytes();
        self.write_field(key, offset_of!(KeyNode, value_count), &none, Step::Link, "number of values")?;
        let nil = CellOffset::NIL.0.to_le_bytes();
        self.write_field(key, offset_of!(KeyNode, values_list), &nil, Step::Finish, "values list")?;
        self.release(CellOffset(node.values_list.get()))
    }

    fn remove(&mut self, key: CellOffset, node: &KeyNode, old: &ExistingValue) -> Result<()> {
        let rest = node.values() - 1;
        let list = CellOffset(node.values_list.get());
        if rest == 0 {
            self.empty_values_list(key, node)?;
        } else {
            self.value_names = None;
            self.shortened.insert(list);
            let entry = |index: u32| list.data_in_file() + 4 * u64::from(index);
            let moved = self.hive()?.cell(list)?[4 * (old.index as usize + 1)..4 * (rest as usize + 1)].to_vec();
            self.write(entry(old.index), &moved, Step::Link, "values list: entries move up")?;
            self.write_field(
                key,
                offset_of!(KeyNode, value_count),
                &rest.to_le_bytes(),
                Step::Finish,
                "number of values",
            )?;
        }
        self.release_data(&old.node)?;
        self.release(old.at)?;
        self.touch(key)?;
        Ok(())
    }

    fn node_accepting_values(&self, key: CellOffset) -> Result<KeyNode> {
        let node = self.node_at(key)?;
        let refuse = |what| Err(Error::refused(Code::KeyTakesNoValues, format!("the key {what}")));
        if node.has(flags::PREDEFINED_HANDLE) {
            return refuse("is a predefined handle");
        }
        if node.has(flags::SYMBOLIC_LINK) {
            return refuse("is a symbolic link");
        }
        if node.is_tombstone(self.hive()?.base_block().minor_version.get()) {
            return refuse("is the tombstone of a layered key");
        }
        Ok(node)
    }

    fn look_up(&mut self, key: CellOffset, name: &Name<'_>, which: Delete) -> Result<(KeyNode, Option<ExistingValue>)> {
        let node = self.node_accepting_values(key)?;
        let minor = self.base.minor_version.get();
        // In a layered hive, the effective value depends on more than its name.
        if minor < LAYERED_SINCE_MINOR
            && !self.value_names.as_ref().is_some_and(|names| names.are_of(key, node.values()))
        {
            self.value_names = ValueNames::read(&self.hive()?.key_at(key)?);
        }
        let hive = self.hive()?;
        let is_wanted = |value: &Value<'_, &[u8]>| {
            value.name().equals(name) && (which == Delete::Any || !value.node().is_tombstone(minor))
        };
        let may_be_it = |error: Error| match error.kind() {
            Kind::Corrupt => error.advise("it may be the requested value: use another copy of the hive"),
            _ => error,
        };
        let value = match self.value_names.as_ref().filter(|names| names.are_of(key, node.values())) {
            Some(names) => names.place(name).map(|place| hive.key_at(key)?.value_at(place)).transpose(),
            None => hive.key_at(key)?.value_that(is_wanted),
        };
        let value = value.map_err(may_be_it)?;
        Ok((node, value.as_ref().map(ExistingValue::of)))
    }

    fn replace(
        &mut self,
        key: CellOffset,
        node: &KeyNode,
        old: &ExistingValue,
        kind: ValueType,
        data: &[u8],
    ) -> Result<bool> {
        let tombstone = old.node.is_tombstone(self.hive()?.base_block().minor_version.get());
        let inline = old.node.data_size.get() & crate::regf::key_value::INLINE != 0;
        // Windows reads a DWORD in a cell, but always writes it into the key value.
        if !tombstone && old.node.data_type.get() == kind.0 && inline == (data.len() <= 4) && self.holds(old, data)? {
            return Ok(false);
        }
        let fields = self.store_data(data)?;
        let old_fields = DataFields { size: old.node.data_size.get(), data: old.node.data };
        if fields != old_fields {
            self.release_data(&old.node)?;
        }
        let mut new = old.node;
        new.data_size = fields.size.into();
        new.data = fields.data;
        new.data_type = kind.0.into();
        if tombstone {
            new.flags = (new.flags.get() & !TOMBSTONE).into();
        }
        let span = offset_of!(KeyValue, data_size)..offset_of!(KeyValue, spare);
        let bytes = &new.as_bytes()[span.clone()];
        let what = if tombstone { "value: size, data, type, no tombstone" } else { "value: size, data, type" };
        self.write(old.at.data_in_file() + span.start as u64, bytes, Step::Link, what)?;
        self.raise_largest(key, node, old.name_size, data.len())?;
        self.touch(key)?;
        Ok(true)
    }

    /// Returns whether the data of a value equals `data`.
    fn holds(&self, value: &ExistingValue, data: &[u8]) -> Result<bool> {
        let hive = self.hive()?;
        Ok(*hive.data_of(value.at, &value.node)? == *data)
    }

    pub(super) fn insert(
        &mut self,
        key: CellOffset,
        node: &KeyNode,
        name: &Name<'_>,
        kind: ValueType,
        data: &[u8],
    ) -> Result<()> {
        let name = name.compressed();
        let Some(name_length) =
            u16::try_from(name.bytes().len()).ok().filter(|_| name.utf16_size() / 2 <= MAX_NAME_CHARACTERS)
        else {
            return Err(Error::new(
                Kind::Unsupported,
                Code::ValueName,
                "the value's name has more than 16,383 characters",
            ));
        };
        let fields = self.store_data(data)?;
        let value = KeyValue {
            signature: *b"vk",
            name_length: name_length.into(),
            data_size: fields.size.into(),
            data: fields.data,
            data_type: kind.0.into(),
            flags: if name.is_latin1() { LATIN1_NAME } else { 0 }.into(),
            spare: 0.into(),
        };
        let at = self.allocate(&[value.as_bytes(), name.bytes()].concat(), "key value")?;
        let count =
            node.values().checked_add(1).ok_or_else(|| Error::new(Kind::NoRoom, Code::NoRoom, "too many values"))?;
        self.append_to_values_list(key, node, at)?;
        self.write_field(
            key,
            offset_of!(KeyNode, value_count),
            &count.to_le_bytes(),
            Step::Finish,
            "number of values",
        )?;
        if let Some(names) = &mut self.value_names {
            names.add(key, &name);
        }
        self.raise_largest(key, node, name.utf16_size(), data.len())?;
        self.touch(key)
    }

    /// Appends a key value to the values list: in the slack of its cell, in the free cell after it, or in a larger copy
    /// of the list.
    fn append_to_values_list(&mut self, key: CellOffset, node: &KeyNode, value: CellOffset) -> Result<()> {
        let count = node.values() as usize;
        let list = CellOffset(node.values_list.get());
        if count == 0 {
            let list = self.allocate(&value.0.to_le_bytes(), "values list")?;
            return self.write_field(
                key,
                offset_of!(KeyNode, values_list),
                &list.0.to_le_bytes(),
                Step::Link,
                "values list",
            );
        }
        let entry = list.data_in_file() + 4 * count as u64;
        let room = self.hive()?.cell(list)?.len() / 4;
        self.uses(list, 4 * (count + 1));
        if count < room {
            // If an entry was removed from the list, this entry is in use until the others have moved.
            let step = if self.shortened.contains(&list) { Step::Link } else { Step::Prepare };
            return self.write(entry, &value.0.to_le_bytes(), step, "values list: new entry");
        }
        if self.grow_in_place(list)? {
            // The entry overlaps the free cell's size field, so it is written after the list has grown.
            return self.write(entry, &value.0.to_le_bytes(), Step::Link, "values list: new entry");
        }
        let mut entries = self.hive()?.cell(list)?[..4 * count].to_vec();
        entries.extend(value.0.to_le_bytes());
        let moved = match self.fresh.contains_key(&list) {
            true => self.allocate_with_slack(entries, "values list")?,
            false => self.allocate(&entries, "values list")?,
        };
        self.release(list)?;
        self.write_field(key, offset_of!(KeyNode, values_list), &moved.0.to_le_bytes(), Step::Link, "values list")
    }

    /// Raises the largest-name and largest-data fields, which are upper bounds, where needed. They are never lowered.
    fn raise_largest(&mut self, key: CellOffset, node: &KeyNode, name: usize, data: usize) -> Result<()> {
        let (name, data) = (u32::try_from(name).unwrap_or(u32::MAX), u32::try_from(data).unwrap_or(u32::MAX));
        if name > node.largest_value_name.get() {
            self.write_field(
                key,
                offset_of!(KeyNode, largest_value_name),
                &name.to_le_bytes(),
                Step::Link,
                "largest value name",
            )?;
        }
        if data > node.largest_value_data.get() {
            self.write_field(
                key,
                offset_of!(KeyNode, largest_value_data),
                &data.to_le_bytes(),
                Step::Link,
                "largest value data",
            )?;
        }
        Ok(())
    }

    /// Sets a key's last-written time, as Windows does on every change of its values or subkeys.
    pub(super) fn touch(&mut self, key: CellOffset) -> Result<()> {
        let Some(now) = self.options.timestamp else { return Ok(()) };
        self.write_field(key, offset_of!(KeyNode, last_written), &now.0.to_le_bytes(), Step::Link, "key last written")
    }

    pub(super) fn write_field(
        &mut self,
        cell: CellOffset,
        field: usize,
        new: &[u8],
        step: Step,
        what: &'static str,
    ) -> Result<()> {
        self.write(cell.data_in_file() + field as u64, new, step, what)
    }
}
