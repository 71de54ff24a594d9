//! The state that the keys of an edit shall have, followed operation by operation apart from the editor.

use std::collections::{BTreeMap, HashSet};

use super::tree::Tree;
use super::values::{self, Named, Others, Upper, upper};
use super::{Action, Before, Operation};
use hivewright_error::Result;
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::name::Name;
use hivewright_hive::{Hive, KeyPath};

/// A path as the registry compares it. The keys below one follow it in order.
type Place = Vec<Upper>;

/// The state that every key named by an operation shall have.
#[derive(Debug, Default)]
pub(super) struct Expected {
    keys: BTreeMap<Place, ExpectedKey>,
    /// Key nodes of deleted keys, each with everything below it.
    deleted: HashSet<CellOffset>,
    /// All keys before the edit; `None` where no operation can create or delete one.
    tree: Option<Tree>,
}

/// The state that one key shall have.
#[derive(Debug)]
pub(super) struct ExpectedKey {
    /// Its path, as the first operation on it has it.
    pub(super) path: KeyPath<'static>,
    /// Its key node before the edit.
    pub(super) original: Option<CellOffset>,
    /// Whether it shall be there.
    pub(super) exists: bool,
    /// Whether nothing is left of what it was: it is deleted, or created by the edit.
    pub(super) is_new: bool,
    /// The values under the names of operations, in any letters, with a name as an operation has it.
    pub(super) values: BTreeMap<Upper, (Name<'static>, Vec<Before>)>,
    /// All other values.
    pub(super) others: Others,
}

impl ExpectedKey {
    /// Of a key that is not there, or no longer.
    fn clear(&mut self) {
        (self.is_new, self.others) = (true, values::no_others());
        self.values.values_mut().for_each(|(_, values)| values.clear());
    }

    fn absent(path: KeyPath<'static>) -> Self {
        let others = values::no_others();
        ExpectedKey { path, original: None, exists: false, is_new: true, values: BTreeMap::new(), others }
    }
}

impl Expected {
    /// Reads what the operations name of `hive`, as it is before the edit. With `despite_damage`, values pass that cannot be read
    /// and that no operation names.
    ///
    /// # Errors
    /// A key or a value of it cannot be read.
    pub(super) fn of(hive: &Hive<Vec<u8>>, operations: &[Operation], despite_damage: bool) -> Result<Self> {
        let mut expected = Expected::default();
        let mut may_change_keys = false;
        for operation in operations {
            expected.take(hive, operation)?;
            may_change_keys |= operation.key.is_none() && !matches!(operation.action, Action::DeleteValue { .. });
        }
        for key in expected.keys.values_mut() {
            let Some(at) = key.original else { continue };
            let mut named: Named = key.values.keys().map(|name| (name.clone(), Vec::new())).collect();
            key.others = values::read(hive, at, &key.path, &mut named, despite_damage)?;
            for (name, found) in named {
                key.values.entry(name).and_modify(|(_, values)| *values = found);
            }
        }
        if may_change_keys {
            expected.tree = Some(Tree::of(hive)?);
        }
        Ok(expected)
    }

    /// Takes note of a key, of those on the way that are not there, and of the name of its value.
    fn take(&mut self, hive: &Hive<Vec<u8>>, operation: &Operation) -> Result<()> {
        let place = place(&operation.path);
        if !self.keys.contains_key(&place) {
            let (mut at, mut path) = (Some(hive.root()?), KeyPath::default());
            for (depth, name) in operation.path.names().iter().enumerate() {
                at = match &at {
                    Some(key) if operation.key.is_none() => key.subkey(name)?,
                    _ => None,
                };
                path.push(name.clone());
                if operation.key.is_none() && at.is_none() {
                    let absent = || ExpectedKey::absent(path.clone());
                    self.keys.entry(place[..=depth].to_vec()).or_insert_with(absent);
                }
            }
            let original = operation.key.or(at.map(|key| key.at()));
            if original.is_some() {
                let absent = ExpectedKey::absent(operation.path.clone());
                let key = ExpectedKey { original, exists: true, is_new: false, ..absent };
                self.keys.insert(place.clone(), key);
            }
        }
        if let (Some(key), Some(name)) = (self.keys.get_mut(&place), operation.action.value_name()) {
            key.values.entry(upper(name)).or_insert_with(|| (name.clone(), Vec::new()));
        }
        Ok(())
    }

    /// Returns the values that stand under the name of an operation now.
    pub(super) fn before(&self, operation: &Operation) -> Vec<Before> {
        let Some(name) = operation.action.value_name() else { return Vec::new() };
        let key = self.keys.get(&place(&operation.path));
        key.and_then(|key| key.values.get(&upper(name))).map(|(_, values)| values.clone()).unwrap_or_default()
    }

    /// Whether the key of an operation is there now.
    pub(super) fn exists(&self, operation: &Operation) -> bool {
        self.keys.get(&place(&operation.path)).is_some_and(|key| key.exists)
    }

    /// Makes an operation.
    pub(super) fn follow(&mut self, operation: &Operation) {
        let place = place(&operation.path);
        match &operation.action {
            Action::CreateKey => self.create(&place, &operation.path),
            Action::DeleteKey => self.delete(&place),
            Action::SetValue { name, kind, data } => {
                self.create(&place, &operation.path);
                let value = Before { kind: *kind, data: data.clone(), tombstone: false };
                self.set(&place, name, |values| *values = vec![value]);
            }
            Action::DeleteValue { name } => self.set(&place, name, |values| values.retain(|value| value.tombstone)),
        }
    }

    fn set(&mut self, place: &Place, name: &Name<'_>, set: impl FnOnce(&mut Vec<Before>)) {
        if let Some((_, values)) = self.keys.get_mut(place).and_then(|key| key.values.get_mut(&upper(name))) {
            set(values);
        }
    }

    /// A key, and those on the way that are not there or were deleted.
    fn create(&mut self, place: &Place, path: &KeyPath<'static>) {
        let (mut is_gone, mut upto) = (false, KeyPath::default());
        for (depth, name) in path.names().iter().enumerate() {
            upto.push(name.clone());
            match self.keys.get_mut(&place[..=depth]) {
                Some(key) => is_gone = !std::mem::replace(&mut key.exists, true),
                None if is_gone => {
                    let key = ExpectedKey { exists: true, ..ExpectedKey::absent(upto.clone()) };
                    self.keys.insert(place[..=depth].to_vec(), key);
                }
                None => {}
            }
        }
    }

    /// A key and those below it.
    fn delete(&mut self, place: &Place) {
        if !self.keys.get(place).is_some_and(|key| key.exists) {
            return;
        }
        for (i, (_, key)) in
            self.keys.range_mut(place.clone()..).take_while(|(at, _)| at.starts_with(place)).enumerate()
        {
            if i == 0 && !key.is_new {
                self.deleted.extend(key.original);
            }
            key.exists = false;
            key.clear();
        }
    }

    /// Whether an operation can create or delete a key.
    pub(super) fn may_change_keys(&self) -> bool {
        self.tree.is_some()
    }

    /// Whether the key whose key node stands at `at` is deleted.
    pub(super) fn is_deleted(&self, at: CellOffset) -> bool {
        self.tree.as_ref().is_some_and(|tree| tree.is_within(at, &self.deleted))
    }

    /// Returns the keys, each with its path.
    pub(super) fn keys(&self) -> impl Iterator<Item = &ExpectedKey> {
        self.keys.values()
    }

    /// Refuses unless `hive`, which is edited, has the keys of before but for those that the operations create and delete. Every
    /// key that shall be there is at the place that `found` has for it.
    ///
    /// # Errors
    /// `proof`; the hive cannot be read.
    pub(super) fn expect_keys(&self, hive: &Hive<&[u8]>, found: &[(CellOffset, &ExpectedKey)]) -> Result<()> {
        let Some(before) = &self.tree else { return Ok(()) };
        let created = found.iter().filter(|(_, key)| key.is_new).map(|(at, _)| *at).collect();
        let touched: HashSet<CellOffset> = found.iter().map(|(at, _)| *at).collect();
        before.expect(&Tree::of(hive)?, &self.deleted, &created, |at| touched.contains(&at))
    }
}

fn place(path: &KeyPath<'_>) -> Place {
    path.names().iter().map(upper).collect()
}
