//! Look-ups of an edit: by binary search, if a list is known to be sorted.
//!
//! [`Key::subkey`](crate::Key::subkey) searches linearly, because a damaged list may be unsorted. An edit that inserts
//! thousands of keys into one list checks its order once, and keeps it sorted.

use std::cmp::Ordering;

use super::Editor;
use crate::KeyPath;
use crate::regf::CellOffset;
use crate::regf::name::Name;
use hivewright_error::{Code, Error, Kind, Result};

/// Number of look-ups below one key after which the order of its subkeys is checked.
const SORT_CHECK_FROM: u32 = 8;

/// The order of a key's subkeys, if known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Unknown; the number of look-ups so far.
    Unknown(u32),
    /// Every name sorts after the previous one.
    Sorted,
    /// The list is unsorted or damaged.
    Unsorted,
}

impl Editor {
    pub(super) fn key_at_path<'p>(&mut self, path: impl Into<KeyPath<'p>>) -> Result<CellOffset> {
        let path = path.into();
        let found = self.find_key(&path)?;
        found.ok_or_else(|| Error::new(Kind::NotFound, Code::NoKey, format!("there is no key {path}")))
    }

    /// Returns the cell offset of the key at `path` in the edited hive. Repeated look-ups are faster than with
    /// [`Hive::key`](crate::Hive::key).
    ///
    /// # Errors
    /// A key of the path cannot be read, or an unreadable key may be the next one.
    pub fn find_key<'p>(&mut self, path: impl Into<KeyPath<'p>>) -> Result<Option<CellOffset>> {
        let mut at = self.hive()?.root()?.at();
        for name in path.into().names() {
            match self.subkey(at, name)? {
                Some(next) => at = next,
                None => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// Finds the subkey called `name` of the key at `parent`.
    pub(super) fn subkey(&mut self, parent: CellOffset, name: &Name<'_>) -> Result<Option<CellOffset>> {
        let order = match self.orders.get(&parent).copied().unwrap_or(Order::Unknown(0)) {
            Order::Unknown(SORT_CHECK_FROM..) if self.is_sorted(parent) => Order::Sorted,
            Order::Unknown(SORT_CHECK_FROM..) => Order::Unsorted,
            Order::Unknown(times) => Order::Unknown(times + 1),
            known => known,
        };
        self.orders.insert(parent, order);
        match order {
            Order::Sorted => self.subkey_by_binary_search(parent, name),
            _ => Ok(self.hive()?.key_at(parent)?.subkey(name)?.map(|key| key.at())),
        }
    }

    /// Discards the order of a deleted key.
    pub(super) fn forget_order(&mut self, key: CellOffset) {
        self.orders.remove(&key);
    }

    fn is_sorted(&self, parent: CellOffset) -> bool {
        let sorted = || -> Result<bool> {
            let hive = self.hive()?;
            let mut before: Option<Name<'_>> = None;
            for key in hive.key_at(parent)?.subkeys()? {
                let name = key?.name().clone();
                if before.is_some_and(|before| before.compare(&name) != Ordering::Less) {
                    return Ok(false);
                }
                before = Some(name);
            }
            Ok(true)
        };
        sorted().unwrap_or(false)
    }
}
