//! Copies a key and everything below it.

use std::collections::{BTreeSet, HashMap};
use std::mem::offset_of;
use std::rc::Rc;

use super::keys::key_name;
use super::{Editor, Step};
use crate::regf::CellOffset;
use crate::regf::key_node::{KeyNode, MAX_DEPTH, flags};
use crate::regf::key_value::ValueType;
use crate::regf::name::Name;
use crate::{HiveBytes, Key, KeyPath, Text};
use hivewright_error::{Code, Error, Kind, Result};

/// A key to be copied, without a borrow of its hive.
struct Source {
    /// Index of its parent among the copied keys; undefined for the first.
    parent: usize,
    name: Name<'static>,
    node: KeyNode,
    class: Vec<u8>,
    descriptor: Rc<[u8]>,
    values: Vec<(Name<'static>, ValueType, Vec<u8>)>,
}

impl Editor {
    /// Copies the key at `from`, and everything below it, to `to`. Returns whether anything changed. See
    /// [`Editor::copy_key_from`].
    ///
    /// # Errors
    /// `no-key` if there is no such key; `key-into-itself` if `to` is that key or below it; otherwise as
    /// [`Editor::copy_key_from`].
    pub fn copy_key<'f, 't>(&mut self, from: impl Into<KeyPath<'f>>, to: impl Into<KeyPath<'t>>) -> Result<bool> {
        let from = self.key_at_path(from)?;
        self.copy_key_at(from, to)
    }

    /// Copies the key whose key node lies at `from` in this hive, and everything below it, to `to`. Returns whether
    /// anything changed.
    ///
    /// # Errors
    /// As [`Editor::copy_key`].
    pub fn copy_key_at<'t>(&mut self, from: CellOffset, to: impl Into<KeyPath<'t>>) -> Result<bool> {
        let to = to.into();
        self.node_at(from)?;
        let keys = {
            let hive = self.hive()?;
            let mut at = hive.root()?;
            for name in to.names() {
                if at.at() == from {
                    break;
                }
                match at.subkey(name)? {
                    Some(next) => at = next,
                    None => break,
                }
            }
            if at.at() == from {
                return Err(Error::refused(Code::KeyIntoItself, "the key would be copied into itself"));
            }
            sources(&hive.key_at(from)?)?
        };
        self.whole(|edit| edit.copy_all(keys, &to))
    }

    /// Copies `source`, a key of any hive, and everything below it to `to`. Returns whether anything changed.
    ///
    /// Missing keys of the path are created. An existing key keeps its security and class; values of the same name are
    /// replaced. A new key gets the name, values, class name and security descriptor of its source, and is a symbolic
    /// link if its source is one. Its last-written time is that of this edit, or that of its source if the edit sets
    /// none. The whole tree is read into memory first.
    ///
    /// # Errors
    /// `key-not-copied` for handles and tombstones in the tree; damage in the tree. `key-depth` if a key
    /// would be nested below 512 others. Otherwise as [`Editor::create_key`] and [`Editor::set_value`].
    pub fn copy_key_from<'t, B: HiveBytes>(&mut self, source: &Key<'_, B>, to: impl Into<KeyPath<'t>>) -> Result<bool> {
        let (keys, to) = (sources(source)?, to.into());
        self.whole(|edit| edit.copy_all(keys, &to))
    }

    fn copy_all(&mut self, keys: Vec<Source>, to: &KeyPath<'_>) -> Result<bool> {
        let mut deepest = vec![to.names().len(); keys.len()];
        for (i, key) in keys.iter().enumerate().skip(1) {
            deepest[i] = deepest[key.parent] + 1;
        }
        if deepest.into_iter().max() > Some(MAX_DEPTH) {
            return Err(Error::new(Kind::Unsupported, Code::KeyDepth, "a key would be nested below 512 others"));
        }
        to.names()
            .iter()
            .chain(keys.iter().skip(1).map(|key| &key.name))
            .try_for_each(|name| key_name(name).map(drop))?;
        let mut changed = false;
        let mut copies: Vec<CellOffset> = Vec::with_capacity(keys.len());
        for key in keys {
            let (at, created) = match copies.get(key.parent) {
                Some(&parent) => self.copy_subkey(parent, &key.name, &key)?,
                None => self.copy_first(to, &key)?,
            };
            copies.push(at);
            changed |= created;
            changed |= if created { self.fill_copy(at, &key)? } else { self.merge_values(at, &key)? };
        }
        Ok(changed)
    }

    /// Creates the topmost copy and the missing keys of its path.
    fn copy_first(&mut self, to: &KeyPath<'_>, key: &Source) -> Result<(CellOffset, bool)> {
        let root = self.hive()?.root()?.at();
        let mut above = to.clone();
        match above.pop() {
            None => Ok((root, false)),
            Some(name) => {
                let (parent, _) = self.create_key_at(root, above)?;
                self.copy_subkey(parent, &name, key)
            }
        }
    }

    fn copy_subkey(&mut self, parent: CellOffset, name: &Name<'_>, key: &Source) -> Result<(CellOffset, bool)> {
        match self.subkey(parent, name)? {
            Some(there) => Ok((there, false)),
            None => Ok((self.create_subkey(parent, name, Some(&key.descriptor))?, true)),
        }
    }

    fn fill_copy(&mut self, at: CellOffset, key: &Source) -> Result<bool> {
        self.write_class(at, &key.class)?;
        for (name, kind, data) in &key.values {
            let node = self.node_at(at)?;
            self.insert(at, &node, name, *kind, data)?;
        }
        if key.node.has(flags::SYMBOLIC_LINK) {
            let node = self.node_at(at)?;
            let marked = (node.flags.get() | flags::SYMBOLIC_LINK).to_le_bytes();
            self.write_field(at, offset_of!(KeyNode, flags), &marked, Step::Link, "key's flags")?;
        }
        if self.options.timestamp.is_none() {
            let time = key.node.last_written.get().to_le_bytes();
            self.write_field(at, offset_of!(KeyNode, last_written), &time, Step::Link, "key last written")?;
        }
        Ok(true)
    }

    fn merge_values(&mut self, at: CellOffset, key: &Source) -> Result<bool> {
        if key.node.has(flags::SYMBOLIC_LINK) {
            let what = format!("the key {} exists at the place of the copied symbolic link", key.name);
            return Err(Error::refused(Code::KeyExists, what));
        }
        let mut changed = false;
        for (name, kind, data) in &key.values {
            changed |= self.set_value_at(at, name, *kind, data)?;
        }
        Ok(changed)
    }
}

/// Reads a key and everything below it, parents first. Their total size is limited by that of the hive.
fn sources<B: HiveBytes>(first: &Key<'_, B>) -> Result<Vec<Source>> {
    let hive = first.hive();
    let mut room = hive.length() as usize;
    let mut descriptors: HashMap<CellOffset, Rc<[u8]>> = HashMap::new();
    let (mut keys, mut seen) = (Vec::new(), BTreeSet::from([first.at()]));
    let mut rest = vec![(usize::MAX, first.at())];
    while let Some((parent, at)) = rest.pop() {
        let key = hive.key_at(at)?;
        let place = keys.len();
        for subkey in key.subkeys()? {
            let at = subkey?.at();
            if !seen.insert(at) {
                return Err(Error::corrupt(Code::CellShared, "a key of the tree is reached twice", at.in_file()));
            }
            rest.push((place, at));
        }
        let security = CellOffset(key.node().key_security.get());
        let descriptor = match descriptors.get(&security) {
            Some(descriptor) => Rc::clone(descriptor),
            None => {
                let descriptor: Rc<[u8]> = Rc::from(&*key.security_descriptor()?);
                take(&mut room, descriptor.len(), at)?;
                descriptors.insert(security, Rc::clone(&descriptor));
                descriptor
            }
        };
        keys.push(source(parent, &key, descriptor, &mut room)?);
    }
    Ok(keys)
}

/// Subtracts `bytes` from the remaining limit.
fn take(room: &mut usize, bytes: usize, key: CellOffset) -> Result<()> {
    let too_much = || Error::corrupt(Code::CellShared, "the keys are larger than the hive", key.in_file());
    *room = room.checked_sub(bytes).ok_or_else(too_much)?;
    Ok(())
}

fn source<B: HiveBytes>(parent: usize, key: &Key<'_, B>, descriptor: Rc<[u8]>, room: &mut usize) -> Result<Source> {
    let minor = key.hive().base_block().minor_version.get();
    let refuse = |what| Err(Error::refused(Code::KeyNotCopied, format!("the key {} {what}", key.name())));
    if key.node().has(flags::PREDEFINED_HANDLE) {
        return refuse("is a predefined handle");
    }
    if key.node().is_tombstone(minor) {
        return refuse("is the tombstone of a layered key");
    }
    let class = key.class()?.map(Text::into_bytes).unwrap_or_default();
    take(room, class.len() + key.name().bytes().len(), key.at())?;
    let mut values = Vec::new();
    for value in key.values()? {
        let value = value?;
        if value.node().is_tombstone(minor) {
            return refuse("has the tombstone of a layered value");
        }
        let data = value.raw_data()?.into_owned();
        take(room, data.len() + value.name().bytes().len(), key.at())?;
        values.push((value.name().clone().into_owned(), value.data_type(), data));
    }
    Ok(Source { parent, name: key.name().clone().into_owned(), node: *key.node(), class, descriptor, values })
}
