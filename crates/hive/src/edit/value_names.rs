//! Index of the value names of one key with many values. Without it, each look-up reads all of them.

use std::collections::HashMap;

use crate::regf::CellOffset;
use crate::regf::name::{Name, upcase};
use crate::{HiveBytes, Key};

/// Minimum number of values of a key for which an index is created.
const INDEX_FROM: u32 = 64;

/// The indexes in the values list by upper-cased name, for the key of the last look-up.
#[derive(Debug)]
pub(super) struct ValueNames {
    key: CellOffset,
    count: u32,
    places: HashMap<Vec<u16>, u32>,
}

impl ValueNames {
    /// Reads the names of `key`; `None` for a key with few values, or with damaged ones.
    pub(super) fn read<B: HiveBytes>(key: &Key<'_, B>) -> Option<Self> {
        let count = key.node().values();
        if count < INDEX_FROM {
            return None;
        }
        let mut places = HashMap::new();
        // Overlapping cells could have more names than the hive has bytes.
        let mut room = key.hive().length() as usize;
        for value in key.values().ok()? {
            let value = value.ok()?;
            room = room.checked_sub(value.name().bytes().len())?;
            places.entry(folded(value.name())).or_insert(value.index());
        }
        Some(ValueNames { key: key.at(), count, places })
    }

    /// Returns whether this is the index of a key with that number of values.
    pub(super) fn are_of(&self, key: CellOffset, count: u32) -> bool {
        self.key == key && self.count == count
    }

    /// Returns the index of the first value called `name`.
    pub(super) fn place(&self, name: &Name<'_>) -> Option<u32> {
        self.places.get(&folded(name)).copied()
    }

    /// Adds a value at the end.
    pub(super) fn add(&mut self, key: CellOffset, name: &Name<'_>) {
        if self.key == key {
            self.places.entry(folded(name)).or_insert(self.count);
            self.count += 1;
        }
    }
}

fn folded(name: &Name<'_>) -> Vec<u16> {
    name.units().map(upcase).collect()
}
