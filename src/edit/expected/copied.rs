//! Expected result of copying a key tree.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{Class, Expected, ExpectedKey, Facts, Security};
use crate::edit::values::{self, Entry, upper};
use hivewright_error::{Code, Error, Result};
use hivewright_hive::regf::key_node::flags;
use hivewright_hive::regf::name::Name;
use hivewright_hive::{Hive, KeyPath, Text};

/// A key to copy.
struct Copied {
    /// Index of its parent among the copied keys; `None` for the first.
    parent: Option<usize>,
    name: Name<'static>,
    facts: Facts,
    entries: Vec<Entry>,
}

/// Security descriptors, by the cell offset of the key security.
type Descriptors = HashMap<u32, Arc<[u8]>>;

impl Expected {
    /// Copies the key at `from` and everything below it to the key `to` at `path`.
    pub(super) fn copy(
        &mut self,
        hive: &Hive<Vec<u8>>,
        from: &KeyPath<'static>,
        to: usize,
        path: &KeyPath<'static>,
    ) -> Result<()> {
        let from = self.walk(hive, from)?;
        // The editor refuses a missing key, and a copy of a key into itself.
        let mut above = to;
        while above != from && self.keys[above].parent != above {
            above = self.keys[above].parent;
        }
        if !self.keys[from].exists || above == from {
            return Ok(());
        }
        let mut copies: Vec<usize> = Vec::new();
        for copied in self.tree_of(hive, from)? {
            let at = match copied.parent {
                None => to,
                Some(parent) => self.subkey(hive, copies[parent], &copied.name)?,
            };
            copies.push(at);
            self.load(hive, at)?;
            self.fill(at, path, copied)?;
        }
        Ok(())
    }

    fn fill(&mut self, at: usize, path: &KeyPath<'static>, copied: Copied) -> Result<()> {
        let is_new = !self.keys[at].exists;
        match copied.parent {
            None => self.create(at, path),
            Some(_) if is_new => self.keys[at].create(&copied.name),
            Some(_) => {}
        }
        if is_new {
            self.keys[at].facts = Some(copied.facts);
        }
        let original = self.keys[at].original;
        let values = self.keys[at].values_mut();
        for entry in copied.entries {
            let Entry::Value { name, kind, data, .. } = entry else { continue };
            values.add_name(&name)?;
            if is_new {
                values.add(&name, kind, &data)
            } else {
                values.set_first(&name, kind, &data)
            }
            if let Some(original) = original {
                self.changed.entry(original).or_default().insert(upper(&name));
            }
        }
        Ok(())
    }

    /// Returns a key and everything below it in the current state, each key after its parent.
    fn tree_of(&mut self, hive: &Hive<Vec<u8>>, first: usize) -> Result<Vec<Copied>> {
        let (mut keys, mut seen, mut descriptors) = (Vec::new(), BTreeSet::new(), HashMap::new());
        // Each copy may have as much data as the hive.
        let mut room = hive.length() as usize;
        let mut rest = vec![(None, first)];
        while let Some((parent, key)) = rest.pop() {
            let place = keys.len();
            if let Some(at) = self.keys[key].original {
                if !seen.insert(at) {
                    let what = "the tree of keys reaches a key twice";
                    return Err(Error::corrupt(Code::CellShared, what, at.in_file()));
                }
                for subkey in hive.key_at(at)?.subkeys()? {
                    self.subkey(hive, key, subkey?.name())?;
                }
            }
            keys.push(self.read_copied(hive, parent, key, &mut descriptors, &mut room)?);
            let below = self.keys[key].subkeys.values().filter(|subkey| self.keys[**subkey].exists);
            rest.extend(below.map(|subkey| (Some(place), *subkey)));
        }
        Ok(keys)
    }

    fn read_copied(
        &mut self,
        hive: &Hive<Vec<u8>>,
        parent: Option<usize>,
        key: usize,
        descriptors: &mut Descriptors,
        room: &mut usize,
    ) -> Result<Copied> {
        let path = self.path(key);
        let ExpectedKey { name, original, values, facts, .. } = &self.keys[key];
        let key_now = original.map(|at| hive.key_at(at)).transpose()?;
        let entries = match (&key_now, values) {
            (_, Some(values)) => values.entries().cloned().collect(),
            (Some(key_now), None) => values::read(key_now, &path, room, false)?,
            (None, None) => Vec::new(),
        };
        let mut facts = match (facts, &key_now) {
            (Some(facts), _) => facts.clone(),
            (None, Some(key_now)) => Facts::of(key_now.node()),
            (None, None) => Facts { flags: 0, class: Class::Bytes(Arc::default()), security: Security::Inherited },
        };
        facts.flags &= flags::SYMBOLIC_LINK;
        // Only a key from before the edit has its class or security by cell offset.
        if let (Some(key_now), Class::At(..)) = (&key_now, &facts.class) {
            facts.class = Class::Bytes(key_now.class()?.map(Text::into_bytes).unwrap_or_default().into());
        }
        if let (Some(key_now), Security::At(at)) = (&key_now, &facts.security) {
            let descriptor = match descriptors.get(at) {
                Some(known) => Arc::clone(known),
                None => key_now.security_descriptor()?.into_owned().into(),
            };
            descriptors.insert(*at, Arc::clone(&descriptor));
            facts.security = Security::Bytes(descriptor);
        }
        Ok(Copied { parent, name: name.clone(), facts, entries })
    }
}
