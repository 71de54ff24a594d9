//! The names of the values of one key with many: each look-up would go through all of them.

use std::collections::HashMap;

use crate::regf::CellOffset;
use crate::regf::name::{Name, upcase};
use crate::{HiveBytes, Key};

/// Values from which on the names of a key are remembered.
const MANY: u32 = 64;

/// The places in the values list by upper-cased name, of the key whose values were looked up last.
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
        if count < MANY {
            return None;
        }
        let mut places = HashMap::new();
        // Cells that overlap could make more names of the hive than it has bytes.
        let mut room = key.hive().length() as usize;
        for value in key.values().ok()? {
            let value = value.ok()?;
            room = room.checked_sub(value.name().bytes().len())?;
            places.entry(folded(value.name())).or_insert(value.index());
        }
        Some(ValueNames { key: key.at(), count, places })
    }

    /// Whether these are the names of a key with so many values.
    pub(super) fn are_of(&self, key: CellOffset, count: u32) -> bool {
        self.key == key && self.count == count
    }

    /// Returns the place of the first value of that name.
    pub(super) fn place(&self, name: &Name<'_>) -> Option<u32> {
        self.places.get(&folded(name)).copied()
    }

    /// Notes a value that was added at the end.
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
