//! Expected state of the keys after an edit, computed independently of the editor.

mod copied;
mod key;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use self::key::{Class, ExpectedKey, Security};
use super::tree::Tree;
use super::values::{self, Upper, Values, upper};
use super::{Action, Before, Operation};
use hivewright_error::Result;
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::name::Name;
use hivewright_hive::{Hive, KeyPath};

pub(super) use self::key::Facts;

/// Expected state of every key that an operation names.
#[derive(Debug)]
pub(super) struct Expected {
    /// The keys, each after its parent; the root key is its own parent.
    keys: Vec<ExpectedKey>,
    /// Keys that a plan has looked up, by the cell offsets of their key nodes.
    looked_up: HashMap<CellOffset, usize>,
    /// Key nodes of deleted keys, each with everything below it.
    deleted: HashSet<CellOffset>,
    /// Old key nodes of the keys that operations change, with the names of their values in operations.
    changed: BTreeMap<CellOffset, BTreeSet<Upper>>,
    /// All keys before the edit; `None` if no operation can create or delete one.
    tree: Option<Tree>,
    /// Remaining size for the values of keys before the edit, at first that of the hive.
    room: usize,
    /// Whether unreadable values are accepted that no operation names.
    despite_damage: bool,
    /// The key of the last look-up by path, which the next operation often names too.
    last: Option<(KeyPath<'static>, usize)>,
}

/// State before an operation.
#[derive(Debug)]
pub(super) struct Found {
    /// Whether the key existed.
    pub(super) exists: bool,
    /// The values with the name in the operation.
    pub(super) before: Vec<Before>,
}

/// A present or absent key in the edited hive: see [`Expected::located`].
pub(super) struct Located<'e> {
    key: &'e ExpectedKey,
    /// Its path.
    pub(super) path: KeyPath<'static>,
    /// The cell offset of its key node in the edited hive; `None` for an absent key.
    pub(super) at: Option<CellOffset>,
}

impl Located<'_> {
    /// Returns its expected values; `None` for an absent key, or one that is only on the path of another.
    pub(super) fn values(&self) -> Option<&Values> {
        self.key.values.as_ref()
    }

    /// Returns its expected class, security and flags; `None` for an absent key, or one that is only on the path of
    /// another.
    pub(super) fn facts(&self) -> Option<&Facts> {
        self.key.facts.as_ref()
    }
}

impl Expected {
    /// Applies operations to the state of `hive` before the edit. Returns the state after all of them, and the state
    /// before each. With `despite_damage`, unreadable values are accepted that no operation names.
    ///
    /// An operation that the editor refuses changes nothing here.
    ///
    /// # Errors
    /// A key or a value that an operation names cannot be read.
    pub(super) fn of(
        hive: &Hive<Vec<u8>>,
        operations: &[Operation],
        despite_damage: bool,
    ) -> Result<(Self, Vec<Found>)> {
        let mut expected = Expected {
            keys: Vec::new(),
            looked_up: HashMap::new(),
            deleted: HashSet::new(),
            changed: BTreeMap::new(),
            tree: None,
            room: hive.length() as usize,
            despite_damage,
            last: None,
        };
        expected.keys.push(ExpectedKey::of(0, &hive.root()?));
        let may_change = |operation: &Operation| operation.key.is_none() && operation.action.may_change_keys();
        if operations.iter().any(may_change) {
            expected.tree = Some(Tree::of(hive)?);
        }
        let found = operations.iter().map(|operation| expected.follow(hive, operation)).collect::<Result<_>>()?;
        Ok((expected, found))
    }

    fn follow(&mut self, hive: &Hive<Vec<u8>>, operation: &Operation) -> Result<Found> {
        let Operation { path, action, .. } = operation;
        let key = match operation.key {
            Some(at) => self.looked_up(hive, at, path)?,
            None => self.walk(hive, path)?,
        };
        let exists = self.keys[key].exists;
        self.load(hive, key)?;
        let mut before = Vec::new();
        if let Some(name) = action.value_name() {
            let of_path = |error: hivewright_error::Error| error.about(&format!("value {name} of {path}"));
            if let Some(at) = self.keys[key].original {
                self.changed.entry(at).or_default().insert(upper(name));
            }
            before = self.keys[key].values_mut().add_name(name).map_err(of_path)?;
        }
        match action {
            Action::CreateKey => self.create(key, path),
            Action::DeleteKey => self.delete(key),
            Action::RenameKey { name } => self.rename(hive, key, name)?,
            Action::CopyKey { from } => self.copy(hive, from.key(), key, path)?,
            Action::SetSecurity { descriptor } => {
                self.create(key, path);
                if let Some(facts) = &mut self.keys[key].facts {
                    facts.security = Security::Bytes(descriptor.as_slice().into());
                }
            }
            Action::SetValue { name, kind, data } => {
                self.create(key, path);
                self.keys[key].values_mut().set(name, *kind, data);
            }
            Action::DeleteValue { name } => self.keys[key].values_mut().delete(name),
            Action::DeleteAllValues => {
                let values = self.keys[key].values_mut();
                values.delete_all();
                let names = values.named().map(|(name, _)| upper(name)).collect::<Vec<_>>();
                if let Some(at) = self.keys[key].original {
                    self.changed.entry(at).or_default().extend(names);
                }
            }
        }
        Ok(Found { exists, before })
    }

    /// Returns the key with its key node at `at`.
    fn looked_up(&mut self, hive: &Hive<Vec<u8>>, at: CellOffset, path: &KeyPath<'static>) -> Result<usize> {
        if let Some(known) = self.looked_up.get(&at) {
            return Ok(*known);
        }
        let new = self.keys.len();
        let key = ExpectedKey::of(new, &hive.key_at(at).map_err(|error| error.about(&path.to_string()))?);
        self.keys.push(ExpectedKey { path: Some(path.clone()), ..key });
        self.looked_up.insert(at, new);
        Ok(new)
    }

    /// Returns the present or absent key at `path`.
    fn walk(&mut self, hive: &Hive<Vec<u8>>, path: &KeyPath<'static>) -> Result<usize> {
        if let Some((_, key)) = self.last.as_ref().filter(|(last, _)| last == path) {
            return Ok(*key);
        }
        let key = path.names().iter().try_fold(0, |key, name| self.subkey(hive, key, name))?;
        self.last = Some((path.clone(), key));
        Ok(key)
    }

    fn subkey(&mut self, hive: &Hive<Vec<u8>>, parent: usize, name: &Name<'_>) -> Result<usize> {
        let upper = upper(name);
        if let Some(known) = self.keys[parent].subkeys.get(&upper) {
            return Ok(*known);
        }
        let subkey = match self.keys[parent].look_up(hive, name, &upper)? {
            Some(found) => ExpectedKey::of(parent, &found),
            None => ExpectedKey::absent(parent, name.clone().into_owned()),
        };
        let new = self.keys.len();
        self.keys.push(subkey);
        self.keys[parent].subkeys.insert(upper, new);
        Ok(new)
    }

    /// Reads the state before the edit of a key that an operation names.
    fn load(&mut self, hive: &Hive<Vec<u8>>, key: usize) -> Result<()> {
        let Some(at) = self.keys[key].original.filter(|_| self.keys[key].values.is_none()) else { return Ok(()) };
        let path = self.path(key);
        let key_now = hive.key_at(at).map_err(|error| error.about(&path.to_string()))?;
        let entries = values::read(&key_now, &path, &mut self.room, self.despite_damage)?;
        self.keys[key].values = Some(Values::of(hive, entries));
        self.keys[key].facts = Some(Facts::of(key_now.node()));
        self.changed.entry(at).or_default();
        Ok(())
    }

    fn path(&self, key: usize) -> KeyPath<'static> {
        let mut names = Vec::new();
        let mut at = key;
        while self.keys[at].parent != at {
            names.push(self.keys[at].name.clone());
            at = self.keys[at].parent;
        }
        names.reverse();
        self.keys[at].path.clone().unwrap_or_else(|| KeyPath::from_names(names))
    }

    /// Creates an absent key and the absent keys on its path, with the names in `path`.
    fn create(&mut self, key: usize, path: &KeyPath<'static>) {
        let mut at = key;
        for name in path.names().iter().rev() {
            if self.keys[at].exists {
                break;
            }
            self.keys[at].create(name);
            at = self.keys[at].parent;
        }
    }

    /// Deletes a key and everything below it.
    fn delete(&mut self, key: usize) {
        // The editor refuses to delete the root.
        if !self.keys[key].exists || self.keys[key].parent == key {
            return;
        }
        self.deleted.extend(self.keys[key].original);
        let mut rest = vec![key];
        while let Some(key) = rest.pop() {
            self.keys[key].delete();
            rest.extend(self.keys[key].subkeys.values());
        }
    }

    fn rename(&mut self, hive: &Hive<Vec<u8>>, key: usize, name: &Name<'static>) -> Result<()> {
        let parent = self.keys[key].parent;
        self.last = None;
        if !self.keys[key].exists || parent == key {
            return Ok(());
        }
        let (old, new) = (upper(&self.keys[key].name), upper(name));
        if old != new {
            let other = self.subkey(hive, parent, name)?;
            if self.keys[other].exists {
                return Ok(());
            }
            let absent = ExpectedKey::absent(parent, self.keys[key].name.clone());
            self.keys.push(absent);
            let absent = self.keys.len() - 1;
            self.keys[parent].subkeys.extend([(old, absent), (new, key)]);
        }
        self.keys[key].rename(name);
        Ok(())
    }

    /// Returns whether an operation can create or delete a key.
    fn may_change_keys(&self) -> bool {
        self.tree.is_some()
    }

    /// Returns whether the key with its key node at `at` is deleted.
    pub(super) fn is_deleted(&self, at: CellOffset) -> bool {
        self.tree.as_ref().is_some_and(|tree| tree.is_within(at, &self.deleted))
    }

    /// Returns the old key nodes of the keys that operations change, with the names of their values in operations.
    pub(super) fn changed(&self) -> impl Iterator<Item = (CellOffset, &BTreeSet<Upper>)> {
        self.changed.iter().map(|(at, names)| (*at, names))
    }

    /// Finds every key that operations name, and every key on the path of one, in the edited `hive`.
    ///
    /// # Errors
    /// `proof`: a key is missing, misplaced, misnamed, or present although it was deleted. The hive cannot be read.
    pub(super) fn located(&self, hive: &Hive<&[u8]>) -> Result<Vec<Located<'_>>> {
        let mut located = Vec::new();
        for (at, key) in &self.looked_up {
            let (key, path) = (&self.keys[*key], self.path(*key));
            // Its path may be damaged, which is irrelevant if no key is created or deleted.
            let found = if self.may_change_keys() { hive.key(&path)?.map(|key| key.at()) } else { Some(*at) };
            if found != Some(*at) {
                return Err(super::proof::not_as_wanted(&path));
            }
            located.push(Located { key, path, at: found });
        }
        let mut rest = vec![(0, Some(hive.root()?), KeyPath::default())];
        while let Some((key, found, path)) = rest.pop() {
            let key = &self.keys[key];
            if !key.matches(found.as_ref()) {
                return Err(super::proof::not_as_wanted(&path));
            }
            for (subkey, found) in self.subkeys_in(key, found.as_ref())? {
                let mut path = path.clone();
                path.push(self.keys[subkey].name.clone());
                rest.push((subkey, found, path));
            }
            located.push(Located { key, path, at: found.map(|found| found.at()) });
        }
        Ok(located)
    }

    /// Returns the known subkeys of `key` in the edited hive.
    fn subkeys_in<'h>(
        &self,
        key: &ExpectedKey,
        found: Option<&InHive<'h>>,
    ) -> Result<Vec<(usize, Option<InHive<'h>>)>> {
        let listing = match found {
            Some(found) if key.subkeys.len() > key::OFTEN => key::listing(found),
            _ => None,
        };
        let look_up = |(upper, subkey): (&Upper, &usize)| {
            let key_now = match (found, &listing) {
                (Some(found), Some(listing)) => match listing.get(upper) {
                    Some(at) => Some(found.hive().key_at(*at)?),
                    None => None,
                },
                (Some(found), None) => found.subkey(&self.keys[*subkey].name)?,
                (None, _) => None,
            };
            Ok((*subkey, key_now))
        };
        key.subkeys.iter().map(look_up).collect()
    }

    /// Compares the keys of the edited `hive` with those before, except the keys that operations create, rename and
    /// delete. Every expected key is in `located`.
    ///
    /// # Errors
    /// `proof`; the hive cannot be read.
    pub(super) fn expect_keys(&self, hive: &Hive<&[u8]>, located: &[Located<'_>]) -> Result<()> {
        let Some(before) = &self.tree else { return Ok(()) };
        let (mut created, mut touched, mut renamed) = (HashSet::new(), HashSet::new(), HashMap::new());
        for (key, at) in located.iter().filter_map(|located| Some((located.key, located.at?))) {
            match key.original {
                None => drop(created.insert(at)),
                Some(original) if key.is_renamed => drop(renamed.insert(original, (at, &key.name))),
                Some(_) => {}
            }
            if key.values.is_some() {
                touched.insert(at);
            }
        }
        before.expect(&Tree::of(hive)?, &self.deleted, &created, &renamed, |at| touched.contains(&at))
    }
}

type InHive<'h> = hivewright_hive::Key<'h, &'h [u8]>;
