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

/// Look-ups below one key from which on checking the order of its subkeys is worthwhile.
const OFTEN: u32 = 8;

/// The order of a key's subkeys, as far as the edit knows it.
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

    /// Finds the key at `path` in the hive as edited so far, and returns where its key node stands. Quicker than
    /// [`Hive::key`](crate::Hive::key) where it is asked often.
    ///
    /// # Errors
    /// A key on the way cannot be read, or one that cannot be read may be the next.
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
            Order::Unknown(OFTEN..) if self.is_sorted(parent) => Order::Sorted,
            Order::Unknown(OFTEN..) => Order::Unsorted,
            Order::Unknown(times) => Order::Unknown(times + 1),
            known => known,
        };
        self.orders.insert(parent, order);
        match order {
            Order::Sorted => self.subkey_by_halves(parent, name),
            _ => Ok(self.hive()?.key_at(parent)?.subkey(name)?.map(|key| key.at())),
        }
    }

    /// Forgets the order of a deleted key.
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
