//! One key: its place before the edit, and its expected state after it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::edit::values::{Upper, Values, upper};
use hivewright_error::Result;
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::key_node::{KeyNode, flags};
use hivewright_hive::regf::name::Name;
use hivewright_hive::{Hive, HiveBytes, Key, KeyPath};

/// Number of look-ups below one key after which the names of all its subkeys are read.
pub(super) const OFTEN: usize = 8;

/// Expected state of one key.
#[derive(Debug)]
pub(super) struct ExpectedKey {
    /// Index of its parent; the root, and a key that was looked up by offset, are their own parents.
    pub(super) parent: usize,
    /// Its path, if it was looked up by offset.
    pub(super) path: Option<KeyPath<'static>>,
    /// Its expected name.
    pub(super) name: Name<'static>,
    /// Its key node before the edit; `None` for a new or completely replaced key.
    pub(super) original: Option<CellOffset>,
    /// Whether it exists.
    pub(super) exists: bool,
    /// Whether it is renamed, and may have another key node.
    pub(super) is_renamed: bool,
    /// The known subkeys, including absent ones.
    pub(super) subkeys: HashMap<Upper, usize>,
    /// Its values, if an operation names it.
    pub(super) values: Option<Values>,
    /// Its other facts, if an operation names it.
    pub(super) facts: Option<Facts>,
    pub(super) look_ups: usize,
    /// The names of all subkeys before the edit, after [`OFTEN`] look-ups.
    pub(super) listing: Option<HashMap<Upper, CellOffset>>,
}

/// Facts of a key other than its subkeys and values.
#[derive(Clone, Debug)]
pub(in crate::edit) struct Facts {
    /// Flags of the key node without the one for the encoding of the name.
    pub(super) flags: u16,
    pub(super) class: Class,
    pub(super) security: Security,
}

#[derive(Clone, Debug)]
pub(super) enum Class {
    /// The existing class, by cell offset and size.
    At(u32, u16),
    Bytes(Arc<[u8]>),
}

#[derive(Clone, Debug)]
pub(super) enum Security {
    /// The existing security, by cell offset.
    At(u32),
    /// A descriptor.
    Bytes(Arc<[u8]>),
    /// The security that the editor derives from the parent for a new key.
    Inherited,
}

impl ExpectedKey {
    /// Creates the state of a key before the edit.
    pub(super) fn of<B: HiveBytes>(parent: usize, key: &Key<'_, B>) -> Self {
        let absent = ExpectedKey::absent(parent, key.name().clone().into_owned());
        ExpectedKey { original: Some(key.at()), exists: true, ..absent }
    }

    /// Creates the state of an absent key.
    pub(super) fn absent(parent: usize, name: Name<'static>) -> Self {
        ExpectedKey {
            parent,
            path: None,
            name,
            original: None,
            exists: false,
            is_renamed: false,
            subkeys: HashMap::new(),
            values: None,
            facts: None,
            look_ups: 0,
            listing: None,
        }
    }

    /// Looks up a subkey in the state before the edit.
    pub(super) fn look_up<'h>(
        &mut self,
        hive: &'h Hive<Vec<u8>>,
        name: &Name<'_>,
        upper: &Upper,
    ) -> Result<Option<Key<'h, Vec<u8>>>> {
        let Some(original) = self.original else { return Ok(None) };
        let key = hive.key_at(original)?;
        self.look_ups += 1;
        if self.look_ups == OFTEN {
            self.listing = listing(&key);
        }
        match &self.listing {
            Some(listing) if !listing.contains_key(upper) => Ok(None),
            _ => key.subkey(name),
        }
    }

    /// Returns the values; empty for an absent key.
    pub(super) fn values_mut(&mut self) -> &mut Values {
        self.values.get_or_insert_default()
    }

    /// Creates it without contents.
    pub(super) fn create(&mut self, name: &Name<'_>) {
        (self.exists, self.name) = (true, name.compressed());
        self.values_mut();
        self.facts = Some(Facts { flags: 0, class: Class::Bytes(Arc::default()), security: Security::Inherited });
    }

    /// Deletes it with its contents.
    pub(super) fn delete(&mut self) {
        (self.exists, self.is_renamed, self.original, self.listing) = (false, false, None, None);
        self.facts = None;
        self.values.iter_mut().for_each(Values::clear);
    }

    /// Renames it.
    pub(super) fn rename(&mut self, name: &Name<'_>) {
        self.name = name.compressed();
        self.is_renamed = true;
    }

    /// Returns whether `found` is the expected key: present or absent, with its name, and in its earlier place.
    pub(super) fn matches<B: HiveBytes>(&self, found: Option<&Key<'_, B>>) -> bool {
        let Some(found) = found else { return !self.exists };
        let is_in_place = self.is_renamed || self.original.is_none_or(|original| original == found.at());
        self.exists && is_in_place && *found.name() == self.name
    }
}

/// Returns the names of all subkeys; `None` if one cannot be read.
pub(super) fn listing<B: HiveBytes>(key: &Key<'_, B>) -> Option<HashMap<Upper, CellOffset>> {
    let mut names = HashMap::new();
    for subkey in key.subkeys().ok()? {
        let subkey = subkey.ok()?;
        names.entry(upper(subkey.name())).or_insert(subkey.at());
    }
    Some(names)
}

impl Facts {
    /// Returns the facts of a key before the edit.
    pub(super) fn of(node: &KeyNode) -> Self {
        Facts {
            flags: node.flags.get() & !flags::LATIN1_NAME,
            class: Class::At(node.class_name.get(), node.class_name_length.get()),
            security: Security::At(node.key_security.get()),
        }
    }

    /// Returns whether `key` has these facts.
    ///
    /// # Errors
    /// Its class or its security cannot be read.
    pub(in crate::edit) fn are_of<B: HiveBytes>(&self, key: &Key<'_, B>) -> Result<bool> {
        let node = key.node();
        let is_class = match &self.class {
            Class::At(at, size) => (node.class_name.get(), node.class_name_length.get()) == (*at, *size),
            Class::Bytes(bytes) => key.class()?.map_or(bytes.is_empty(), |class| class.as_bytes() == &**bytes),
        };
        let is_security = match &self.security {
            Security::At(at) => node.key_security.get() == *at,
            Security::Bytes(bytes) => *key.security_descriptor()? == **bytes,
            Security::Inherited => true,
        };
        Ok(is_class && is_security && node.flags.get() & !flags::LATIN1_NAME == self.flags)
    }
}
