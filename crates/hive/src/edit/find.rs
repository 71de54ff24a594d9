//! Look-ups of an edit: by halves, where a list is known to be in order.
//!
//! [`Key::subkey`](crate::Key::subkey) goes through all elements, because a damaged list may be out of order. An edit that
//! enters thousands of keys into one list looks once whether it is in order, and keeps it so.

use std::cmp::Ordering;

use super::Editor;
use crate::KeyPath;
use crate::regf::CellOffset;
use crate::regf::name::Name;
use hivewright_error::{Code, Error, Kind, Result};

/// Look-ups below one key after which it is worth while to go through all its subkeys once.
const OFTEN: u32 = 8;

/// The order of a key's subkeys, as far as the edit knows it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    /// Not known after so many look-ups.
    Unknown(u32),
    /// Every name is behind the one before it.
    Sorted,
    /// Something is out of order or damaged.
    Unsorted,
}

impl Editor {
    pub(super) fn key_at_path<'p>(&mut self, path: impl Into<KeyPath<'p>>) -> Result<CellOffset> {
        let path = path.into();
        let found = self.find(&path)?;
        found.ok_or_else(|| Error::new(Kind::NotFound, Code::NoKey, format!("there is no key {path}")))
    }

    /// Finds the key at `path`.
    pub(super) fn find(&mut self, path: &KeyPath<'_>) -> Result<Option<CellOffset>> {
        let mut at = self.hive()?.root()?.at();
        for name in path.names() {
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

    /// Forgets what is known of a key that is gone.
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
