//! Creates, deletes and renames keys.

use std::mem::offset_of;

use zerocopy::IntoBytes;

use super::{Editor, Step};
use crate::regf::CellOffset;
use crate::regf::key_node::{KeyNode, MAX_DEPTH, MAX_NAME_CHARACTERS, flags};
use crate::regf::name::Name;
use crate::{KeyPath, Text};
use hivewright_error::{Code, Error, Kind, Result};

impl Editor {
    /// Creates the key at `path` and the missing keys above it. Returns whether the key was created.
    ///
    /// A new key has no values and no class. See [`Editor::create_key_at`] for its security.
    ///
    /// # Errors
    /// `key-name` for an empty name, one of more than 255 characters or one with a backslash; `key-depth` below 512
    /// keys; keys that cannot have subkeys (handles, symbolic links, tombstones) are refused; [`Kind::NoRoom`] if the
    /// new cells do not fit into free cells or growth.
    pub fn create_key<'p>(&mut self, path: impl Into<KeyPath<'p>>) -> Result<bool> {
        let root = self.hive()?.root()?.at();
        self.create_below(root, 0, &path.into()).map(|(_, created)| created)
    }

    /// Creates the key at `path` below the key whose key node lies at `parent`, and the missing keys between them.
    /// Returns the cell offset of its key node, and whether it was created.
    ///
    /// A new key gets the security descriptor that Windows derives from its parent's if the creator gives none. Keys
    /// with equal descriptors share one key security.
    ///
    /// # Errors
    /// As [`Editor::create_key`].
    pub fn create_key_at<'p>(
        &mut self,
        parent: CellOffset,
        path: impl Into<KeyPath<'p>>,
    ) -> Result<(CellOffset, bool)> {
        let depth = self.depth(parent)?;
        self.create_below(parent, depth, &path.into())
    }

    fn create_below(&mut self, parent: CellOffset, depth: usize, path: &KeyPath<'_>) -> Result<(CellOffset, bool)> {
        if depth + path.names().len() > MAX_DEPTH {
            return Err(Error::new(Kind::Unsupported, Code::KeyDepth, "the key would be nested below 512 others"));
        }
        let (mut at, mut created) = (parent, false);
        for name in path.names() {
            at = match self.subkey(at, name)? {
                Some(next) => next,
                None => {
                    created = true;
                    self.whole(|edit| edit.create_subkey(at, name, None))?
                }
            };
        }
        Ok((at, created))
    }

    /// Returns the number of keys above a key.
    pub(super) fn depth(&self, key: CellOffset) -> Result<usize> {
        let hive = self.hive()?;
        let mut key = hive.key_at(key)?;
        for depth in 0..=MAX_DEPTH {
            match key.parent()? {
                Some(parent) => key = parent,
                None => return Ok(depth),
            }
        }
        Err(Error::corrupt(Code::KeyParent, "the key has more than 512 ancestors", key.at().in_file()))
    }

    /// Creates a subkey with a security descriptor, or with the one derived from its parent's.
    pub(super) fn create_subkey(
        &mut self,
        parent: CellOffset,
        name: &Name<'_>,
        descriptor: Option<&[u8]>,
    ) -> Result<CellOffset> {
        let name = key_name(name)?;
        let above = self.node_accepting_subkeys(parent)?;
        let beside = CellOffset(above.key_security.get());
        let security = match descriptor {
            Some(descriptor) => self.security_for(descriptor, beside)?,
            None => self.security_of_new(beside)?,
        };
        let child = KeyNode {
            signature: *b"nk",
            flags: if name.is_latin1() { flags::LATIN1_NAME } else { 0 }.into(),
            last_written: self.options.timestamp.map_or(above.last_written, |now| now.0.into()),
            access_bits: 0.into(),
            parent: parent.0.into(),
            subkey_count: 0.into(),
            volatile_subkey_count: 0.into(),
            subkeys_list: CellOffset::NIL.0.into(),
            volatile_subkeys_list: CellOffset::NIL.0.into(),
            value_count: 0.into(),
            values_list: CellOffset::NIL.0.into(),
            key_security: security.0.into(),
            class_name: CellOffset::NIL.0.into(),
            largest_subkey_name: 0.into(),
            virtual_control: 0.into(),
            largest_subkey_class: 0.into(),
            largest_value_name: 0.into(),
            largest_value_data: 0.into(),
            work_var: 0.into(),
            name_length: stored_length(&name).into(),
            class_name_length: 0.into(),
        };
        let count = above
            .subkey_count
            .get()
            .checked_add(1)
            .ok_or_else(|| Error::new(Kind::NoRoom, Code::NoRoom, "the key has too many subkeys"))?;
        let at = self.allocate(&[child.as_bytes(), name.bytes()].concat(), "key node")?;
        self.insert_in_list(parent, &above, at, &name)?;
        self.write_subkey_count(parent, count)?;
        self.raise_largest_subkey(parent, &above, &name)?;
        self.touch(parent)?;
        Ok(at)
    }

    /// Raises the maximum length of subkey names, if necessary.
    fn raise_largest_subkey(&mut self, parent: CellOffset, above: &KeyNode, name: &Name<'_>) -> Result<()> {
        // 255 characters are 510 bytes.
        let size = u16::try_from(name.utf16_size()).unwrap_or(u16::MAX);
        if size <= above.largest_subkey_name.get() {
            return Ok(());
        }
        let field = offset_of!(KeyNode, largest_subkey_name);
        self.write_field(parent, field, &size.to_le_bytes(), Step::Link, "largest subkey name")
    }

    fn node_accepting_subkeys(&self, key: CellOffset) -> Result<KeyNode> {
        let node = self.node_at(key)?;
        let refuse = |what| Err(Error::refused(Code::KeyTakesNoSubkeys, format!("the key {what}")));
        if node.has(flags::PREDEFINED_HANDLE) {
            return refuse("is a predefined handle");
        }
        if node.has(flags::SYMBOLIC_LINK) {
            return refuse("is a symbolic link");
        }
        if node.is_tombstone(self.hive()?.base_block().minor_version.get()) {
            return refuse("is the tombstone of a layered key");
        }
        Ok(node)
    }

    /// Deletes the key at `path` and everything below it. Returns whether there was one.
    ///
    /// # Errors
    /// The root, and keys marked against deletion, are refused. So is a damaged tree, because its cells are unknown.
    pub fn delete_key<'p>(&mut self, path: impl Into<KeyPath<'p>>) -> Result<bool> {
        let Some(at) = self.find_key(path)? else { return Ok(false) };
        self.delete_key_at(at)?;
        Ok(true)
    }

    /// Deletes the key whose key node lies at `key`, and everything below it.
    ///
    /// # Errors
    /// As [`Editor::delete_key`].
    pub fn delete_key_at(&mut self, key: CellOffset) -> Result<()> {
        self.whole(|edit| edit.delete_tree(key))
    }

    fn delete_tree(&mut self, key: CellOffset) -> Result<()> {
        let (parent, above) = self.parent_of(key, "the root key cannot be deleted")?;
        let tree = self.tree(key)?;
        self.value_names = None;
        self.remove_from_list(parent, &above, key)?;
        let count = above.subkey_count.get().saturating_sub(1);
        self.write_subkey_count(parent, count)?;
        self.touch(parent)?;
        for (security, users) in tree.securities {
            self.drop_security_references(security, users)?;
        }
        tree.cells.into_iter().try_for_each(|cell| {
            self.forget_order(cell);
            self.release(cell)
        })
    }

    fn parent_of(&self, key: CellOffset, refusal: &'static str) -> Result<(CellOffset, KeyNode)> {
        self.node_at(key)?;
        let hive = self.hive()?;
        match hive.key_at(key)?.parent()? {
            Some(parent) => Ok((parent.at(), *parent.node())),
            None => Err(Error::refused(Code::RootKey, refusal)),
        }
    }

    fn write_subkey_count(&mut self, key: CellOffset, count: u32) -> Result<()> {
        let field = offset_of!(KeyNode, subkey_count);
        self.write_field(key, field, &count.to_le_bytes(), Step::Link, "number of subkeys")
    }

    /// Renames the key at `path`. Returns whether anything changed.
    ///
    /// # Errors
    /// `no-key` if there is no such key; otherwise as [`Editor::rename_key_at`].
    pub fn rename_key<'p, 'n>(&mut self, path: impl Into<KeyPath<'p>>, name: impl Into<Name<'n>>) -> Result<bool> {
        let key = self.key_at_path(path)?;
        self.rename_key_at(key, name)
    }

    /// Renames the key whose key node lies at `key`; the new name may differ only in case. Returns whether anything
    /// changed.
    ///
    /// # Errors
    /// `key-exists` if the parent has another subkey of that name, `key-name` as [`Editor::create_key`]; the root and
    /// keys that are marked against deletion, handles, tombstones and parents that cannot have subkeys are refused.
    pub fn rename_key_at<'n>(&mut self, key: CellOffset, name: impl Into<Name<'n>>) -> Result<bool> {
        let name = key_name(&name.into())?;
        self.whole(|edit| edit.rename(key, &name))
    }

    fn rename(&mut self, key: CellOffset, name: &Name<'_>) -> Result<bool> {
        let (parent, _) = self.parent_of(key, "the root key cannot be renamed")?;
        let above = self.node_accepting_subkeys(parent)?;
        let mut node = self.node_at(key)?;
        let old = self.hive()?.key_at(key)?.name().clone().into_owned();
        if old == *name {
            return Ok(false);
        }
        self.check_deletable(&node, &old)?;
        if let Some(other) = self.hive()?.key_at(parent)?.subkey(name)?.filter(|other| other.at() != key) {
            let what = format!("the parent already has a subkey {}", other.name());
            return Err(Error::refused(Code::KeyExists, what));
        }
        node.flags =
            (node.flags.get() & !flags::LATIN1_NAME | if name.is_latin1() { flags::LATIN1_NAME } else { 0 }).into();
        node.name_length = stored_length(name).into();
        let room = self.hive()?.cell(key)?.len();
        let bytes = [node.as_bytes(), name.bytes()].concat();
        let place = if bytes.len() <= room { key } else { self.allocate(&bytes, "key node")? };
        self.move_in_list(parent, &above, key, (place, name))?;
        if place == key {
            self.write(key.data_in_file(), &bytes, Step::Link, "key's name")?;
        } else {
            self.value_names = None;
            self.forget_order(key);
            self.set_parent_of_subkeys(key, place)?;
            self.release(key)?;
        }
        self.raise_largest_subkey(parent, &above, name)?;
        self.touch(place)?;
        self.touch(parent)?;
        Ok(true)
    }

    /// Refuses keys that must not be deleted. They must not be renamed either, because the old name would disappear.
    pub(super) fn check_deletable(&self, node: &KeyNode, name: &Name<'_>) -> Result<()> {
        if node.has(flags::NO_DELETE) {
            let what = format!("the key {name} is marked against deletion");
            return Err(Error::refused(Code::KeyNoDelete, what));
        }
        let refuse = |what| Err(Error::refused(Code::KeyTakesNoName, format!("the key {name} {what}")));
        if node.has(flags::PREDEFINED_HANDLE) {
            return refuse("is a predefined handle");
        }
        if node.is_tombstone(self.hive()?.base_block().minor_version.get()) {
            return refuse("is the tombstone of a layered key");
        }
        Ok(())
    }

    /// Sets the parent of all subkeys of the key at `old` to `new`.
    fn set_parent_of_subkeys(&mut self, old: CellOffset, new: CellOffset) -> Result<()> {
        let subkeys: Vec<CellOffset> = {
            let hive = self.hive()?;
            let subkeys = hive.key_at(old)?.subkeys()?;
            subkeys.map(|key| key.map(|key| key.at())).collect::<Result<_>>()?
        };
        let field = offset_of!(KeyNode, parent);
        subkeys.into_iter().try_for_each(|key| self.write_field(key, field, &new.0.to_le_bytes(), Step::Link, "parent"))
    }

    /// Sets or removes the class name of the key at `path`. Returns whether anything changed.
    ///
    /// # Errors
    /// `no-key` if there is no such key; otherwise as [`Editor::set_class_at`].
    pub fn set_class<'p>(&mut self, path: impl Into<KeyPath<'p>>, class: Option<&Text>) -> Result<bool> {
        let key = self.key_at_path(path)?;
        self.set_class_at(key, class)
    }

    /// Sets or removes the class name of the key whose key node lies at `key`. The class name has no terminating zero.
    /// Returns whether anything changed.
    ///
    /// # Errors
    /// `key-class`: the class name has more than 65,535 bytes, or the old one is damaged; [`Kind::NoRoom`].
    pub fn set_class_at(&mut self, key: CellOffset, class: Option<&Text>) -> Result<bool> {
        self.whole(|edit| edit.write_class(key, class.map(Text::as_bytes).unwrap_or_default()))
    }

    pub(super) fn write_class(&mut self, key: CellOffset, class: &[u8]) -> Result<bool> {
        let node = self.node_at(key)?;
        let Ok(length) = u16::try_from(class.len()) else {
            return Err(Error::new(Kind::Unsupported, Code::KeyClass, "the class name has more than 65,535 bytes"));
        };
        let (old, parent) = {
            let hive = self.hive()?;
            let key = hive.key_at(key)?;
            (key.class()?, key.parent()?.map(|parent| (parent.at(), parent.node().largest_subkey_class.get())))
        };
        if old.as_ref().map(Text::as_bytes).unwrap_or_default() == class {
            return Ok(false);
        }
        let place = if class.is_empty() { CellOffset::NIL } else { self.allocate(class, "class name")? };
        let field = offset_of!(KeyNode, class_name);
        self.write_field(key, field, &place.0.to_le_bytes(), Step::Link, "class name")?;
        let field = offset_of!(KeyNode, class_name_length);
        self.write_field(key, field, &length.to_le_bytes(), Step::Link, "bytes of the class name")?;
        if old.is_some() {
            self.release(CellOffset(node.class_name.get()))?;
        }
        if let Some((parent, _)) = parent.filter(|&(_, largest)| u32::from(length) > largest) {
            let field = offset_of!(KeyNode, largest_subkey_class);
            self.write_field(parent, field, &u32::from(length).to_le_bytes(), Step::Link, "largest subkey class")?;
        }
        self.touch(key)?;
        Ok(true)
    }
}

/// The code unit that separates the names of a path. Windows does not create keys with it in the name.
const SEPARATOR: u16 = b'\\' as u16;

/// Returns the name as Windows stores it, if it is valid for a key.
pub(super) fn key_name(name: &Name<'_>) -> Result<Name<'static>> {
    let name = name.compressed();
    let what = match name.utf16_size() / 2 {
        0 => "the name of a key has at least one character",
        1..=MAX_NAME_CHARACTERS if name.units().any(|unit| unit == SEPARATOR) => {
            "the name of a key cannot contain a backslash"
        }
        1..=MAX_NAME_CHARACTERS => return Ok(name),
        _ => "the key's name has more than 255 characters",
    };
    Err(Error::new(Kind::Unsupported, Code::KeyName, what))
}

fn stored_length(name: &Name<'_>) -> u16 {
    // 255 characters are 510 bytes.
    u16::try_from(name.bytes().len()).unwrap_or(u16::MAX)
}
