//! The values of a key, before and after the edit.

use std::collections::{BTreeMap, HashMap};

use zerocopy::IntoBytes;

use super::Before;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::regf::key_value::{LATIN1_NAME, TOMBSTONE, ValueType};
use hivewright_hive::regf::name::{Name, upcase};
use hivewright_hive::regf::{CellOffset, LAYERED_SINCE_MINOR};
use hivewright_hive::{Hive, HiveBytes, Key};

/// A name in the form that the registry compares: upper-cased code units.
pub(super) type Upper = Vec<u16>;

/// The most values with one name in one key. The removal of each moves the rest of the list.
const MAX_TWINS: usize = 100;

/// Returns `name` in the form that the registry compares.
pub(super) fn upper(name: &Name<'_>) -> Upper {
    name.units().map(upcase).collect()
}

/// An entry of a values list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A value.
    Value { name: Name<'static>, kind: ValueType, flags: u16, data: Vec<u8> },
    /// A value with unreadable data: its name, and the bytes of its key value.
    NoData { name: Name<'static>, node: Vec<u8> },
    /// An invalid value: its cell offset, and the bytes there.
    Unreadable { at: CellOffset, cell: Vec<u8> },
}

/// The values of one key, in the order of its list.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// `None` for a deleted entry.
    entries: Vec<Option<Entry>>,
    /// Indices of the entries with each name.
    places: HashMap<Upper, Vec<usize>>,
    /// Names of values in operations, in the spelling of the first operation.
    named: BTreeMap<Upper, Name<'static>>,
    /// Whether the hive's version has tombstones.
    is_layered: bool,
}

/// Reads the values of `key` at `path`, and subtracts their sizes from `room`; with `despite_damage`, also the bytes of
/// unreadable ones.
///
/// # Errors
/// A value cannot be read; the values together exceed `room`.
pub(super) fn read<B: HiveBytes>(
    key: &Key<'_, B>,
    path: &dyn std::fmt::Display,
    room: &mut usize,
    despite_damage: bool,
) -> Result<Vec<Entry>> {
    let of_key = |error: Error| error.about(&path.to_string());
    let mut entries = Vec::new();
    for value in key.values().map_err(of_key)? {
        let value = match value {
            Err(damaged) if despite_damage && damaged.error.kind() != Kind::Io => {
                let cell = key.hive().cell(damaged.at).unwrap_or_default().into_owned();
                reserve(room, cell.len(), damaged.at).map_err(of_key)?;
                entries.push(Entry::Unreadable { at: damaged.at, cell });
                continue;
            }
            value => value.map_err(|damaged| of_key(damaged.into()))?,
        };
        let of_value = |error: Error| error.about(&format!("value {} of {path}", value.name()));
        let name = value.name().clone().into_owned();
        let entry = match value.raw_data() {
            Err(error) if despite_damage && error.kind() != Kind::Io => {
                Entry::NoData { name, node: value.node().as_bytes().to_vec() }
            }
            data => {
                let data = data.map_err(of_value)?;
                reserve(room, data.len() + name.bytes().len(), value.at()).map_err(of_value)?;
                let flags = value.node().flags.get();
                Entry::Value { name, kind: value.data_type(), flags, data: data.into_owned() }
            }
        };
        entries.push(entry);
    }
    Ok(entries)
}

/// Subtracts `bytes` from the remaining size. Values share data only in a damaged hive, where a list of them could be
/// unboundedly large.
fn reserve(room: &mut usize, bytes: usize, at: CellOffset) -> Result<()> {
    *room = room.checked_sub(bytes).ok_or_else(|| {
        let what = "the values of the edited keys have more data than the hive";
        Error::corrupt(Code::ValueData, what, at.in_file())
    })?;
    Ok(())
}

impl Values {
    /// Creates the values of a key of `hive` from its entries.
    pub(super) fn of<B: HiveBytes>(hive: &Hive<B>, entries: Vec<Entry>) -> Self {
        let is_layered = hive.base_block().minor_version.get() >= LAYERED_SINCE_MINOR;
        let mut values = Values { is_layered, ..Values::default() };
        entries.into_iter().for_each(|entry| values.push(entry));
        values
    }

    /// Adds an entry at the end.
    pub(super) fn push(&mut self, entry: Entry) {
        if let Entry::Value { name, .. } | Entry::NoData { name, .. } = &entry {
            self.places.entry(upper(name)).or_default().push(self.entries.len());
        }
        self.entries.push(Some(entry));
    }

    /// Returns the entries.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    /// Returns the names in operations, each with its first expected value.
    pub(super) fn named(&self) -> impl Iterator<Item = (&Name<'static>, Option<(ValueType, &[u8])>)> {
        self.named.iter().map(|(upper, name)| {
            let first = self.places.get(upper).into_iter().flatten().find_map(|place| match &self.entries[*place] {
                Some(Entry::Value { kind, data, .. }) => Some((*kind, &data[..])),
                _ => None,
            });
            (name, first)
        })
    }

    /// Adds a name of an operation. Returns the values with that name, including duplicates in another case.
    ///
    /// # Errors
    /// `value-data` for unreadable data; `duplicate-value` for more than a hundred values.
    pub(super) fn add_name(&mut self, name: &Name<'static>) -> Result<Vec<Before>> {
        let upper = upper(name);
        let places = self.places.get(&upper).map(Vec::as_slice).unwrap_or_default();
        let mut before = Vec::new();
        for entry in places.iter().filter_map(|place| self.entries[*place].as_ref()) {
            match entry {
                Entry::Value { kind, data, flags, .. } => {
                    before.push(Before { kind: *kind, data: data.clone(), tombstone: self.is_tombstone(*flags) });
                }
                Entry::NoData { .. } | Entry::Unreadable { .. } => {
                    let what = "the data of the value to change cannot be read";
                    return Err(Error::new(Kind::Corrupt, Code::ValueData, what)
                        .advise("locate the damage with `hivewright check`, and use another copy of the hive"));
                }
            }
        }
        if before.len() > MAX_TWINS {
            let what = "the key has more than a hundred values with that name";
            return Err(Error::new(Kind::Corrupt, Code::DuplicateValue, what).advise("use another copy of the hive"));
        }
        self.named.entry(upper).or_insert_with(|| name.clone());
        Ok(before)
    }

    fn is_tombstone(&self, flags: u16) -> bool {
        self.is_layered && flags & TOMBSTONE != 0
    }

    /// Sets a value: the last with that name, whose duplicates are deleted, or a new one at the end.
    pub(super) fn set(&mut self, name: &Name<'static>, kind: ValueType, data: &[u8]) {
        let places = self.places.entry(upper(name)).or_default();
        let last = places.last().copied();
        for place in std::mem::take(places) {
            if Some(place) != last {
                self.entries[place] = None;
            }
        }
        self.places.entry(upper(name)).or_default().extend(last);
        self.set_first(name, kind, data);
    }

    /// Sets a value: the first with that name, or a new one at the end.
    pub(super) fn set_first(&mut self, name: &Name<'static>, kind: ValueType, data: &[u8]) {
        let place = self.places.get(&upper(name)).and_then(|places| places.first()).copied();
        match place.and_then(|place| self.entries[place].as_mut()) {
            Some(Entry::Value { kind: old_kind, flags, data: old, .. }) => {
                (*old_kind, *old) = (kind, data.to_vec());
                if self.is_layered {
                    *flags &= !TOMBSTONE;
                }
            }
            _ => self.add(name, kind, data),
        }
    }

    /// Adds a value at the end.
    pub(super) fn add(&mut self, name: &Name<'_>, kind: ValueType, data: &[u8]) {
        let name = name.compressed();
        let flags = if name.is_latin1() { LATIN1_NAME } else { 0 };
        self.push(Entry::Value { name, kind, flags, data: data.to_vec() });
    }

    /// Deletes every value with the name except tombstones.
    pub(super) fn delete(&mut self, name: &Name<'_>) {
        let Some(places) = self.places.remove(&upper(name)) else { return };
        let remaining = places.into_iter().filter(|&place| self.delete_at(place)).collect::<Vec<_>>();
        self.places.insert(upper(name), remaining);
    }

    /// Deletes every value except tombstones.
    pub(super) fn delete_all(&mut self) {
        let all: Vec<Name<'static>> = self.entries().filter_map(Entry::name).cloned().collect();
        for name in all {
            self.delete(&name);
            self.named.entry(upper(&name)).or_insert(name);
        }
    }

    /// Deletes an entry unless it is a tombstone. Returns whether it remains.
    fn delete_at(&mut self, place: usize) -> bool {
        let is_tombstone = matches!(self.entries[place], Some(Entry::Value { flags, .. }) if self.is_tombstone(flags));
        if !is_tombstone {
            self.entries[place] = None;
        }
        is_tombstone
    }

    /// Removes the entries of a deleted key; the names of operations remain.
    pub(super) fn clear(&mut self) {
        (self.entries, self.places) = (Vec::new(), HashMap::new());
    }
}

impl Entry {
    fn name(&self) -> Option<&Name<'static>> {
        match self {
            Entry::Value { name, .. } | Entry::NoData { name, .. } => Some(name),
            Entry::Unreadable { .. } => None,
        }
    }
}
