//! Creating and deleting keys.

use std::mem::offset_of;

use zerocopy::IntoBytes;

use super::{Editor, Step};
use crate::regf::CellOffset;
use crate::regf::key_node::{KeyNode, MAX_DEPTH, MAX_NAME_CHARACTERS, flags};
use crate::regf::name::Name;
use hivewright_error::{Code, Error, Kind, Result};

impl Editor {
    /// Creates the key at `path`, and the keys on the way that are not there. Says whether it was created now.
    ///
    /// A new key has no values and no class. It shares the security descriptor of its parent.
    ///
    /// # Errors
    /// `key-name` for a name of more than 255 characters, `key-depth` below 512 keys; keys that take no subkeys (handles,
    /// symbolic links, tombstones) are refused; [`Kind::NoRoom`] if neither a free cell nor growth can hold what is new.
    pub fn create_key(&mut self, path: &str) -> Result<bool> {
        let mut at = self.hive()?.root()?.at();
        let mut created = false;
        for (depth, name) in path.split('\\').filter(|name| !name.is_empty()).enumerate() {
            if depth >= MAX_DEPTH {
                return Err(Error::new(Kind::Unsupported, Code::KeyDepth, "the key would be nested below 512 others"));
            }
            let next = self.hive()?.key_at(at)?.subkey(name)?.map(|key| key.at());
            at = match next {
                Some(next) => next,
                None => {
                    created = true;
                    self.create_subkey(at, name)?
                }
            };
        }
        Ok(created)
    }

    fn create_subkey(&mut self, parent: CellOffset, name: &str) -> Result<CellOffset> {
        let name = Name::encode(name);
        if name.utf16_size() / 2 > MAX_NAME_CHARACTERS {
            let what = "the key's name has more than 255 characters";
            return Err(Error::new(Kind::Unsupported, Code::KeyName, what));
        }
        let above = self.takes_subkeys(parent)?;
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
            key_security: above.key_security,
            class_name: CellOffset::NIL.0.into(),
            largest_subkey_name: 0.into(),
            virtual_control: 0.into(),
            largest_subkey_class: 0.into(),
            largest_value_name: 0.into(),
            largest_value_data: 0.into(),
            work_var: 0.into(),
            name_length: u16::try_from(name.bytes().len()).unwrap_or(u16::MAX).into(),
            class_name_length: 0.into(),
        };
        let count = above
            .subkey_count
            .get()
            .checked_add(1)
            .ok_or_else(|| Error::new(Kind::NoRoom, Code::NoRoom, "the key has too many subkeys"))?;
        let at = self.allocate(&[child.as_bytes(), name.bytes()].concat(), "key node")?;
        self.add_security_reference(CellOffset(above.key_security.get()))?;
        self.insert_in_list(parent, &above, at, &name)?;
        self.write_subkey_count(parent, count)?;
        // 255 characters are 510 bytes.
        let size = u16::try_from(name.utf16_size()).unwrap_or(u16::MAX);
        if size > above.largest_subkey_name.get() {
            let field = offset_of!(KeyNode, largest_subkey_name);
            self.write_field(parent, field, &size.to_le_bytes(), Step::Link, "largest subkey name")?;
        }
        self.touch(parent)?;
        Ok(at)
    }

    fn takes_subkeys(&self, key: CellOffset) -> Result<KeyNode> {
        let hive = self.hive()?;
        let node = *hive.key_at(key)?.node();
        let refuse = |what| Err(Error::refused(Code::KeyTakesNoSubkeys, format!("the key {what}")));
        if node.has(flags::PREDEFINED_HANDLE) {
            return refuse("is a predefined handle");
        }
        if node.has(flags::SYMBOLIC_LINK) {
            return refuse("is a symbolic link");
        }
        if node.is_tombstone(hive.base_block().minor_version.get()) {
            return refuse("is the tombstone of a layered key");
        }
        Ok(node)
    }

    /// Deletes the key at `path` and everything below it. Says whether there was one.
    ///
    /// # Errors
    /// The root and keys that are marked against deletion are refused; a damaged key or value in the tree, because its
    /// cells are not known.
    pub fn delete_key(&mut self, path: &str) -> Result<bool> {
        let Some(at) = self.hive()?.key(path)?.map(|key| key.at()) else { return Ok(false) };
        self.delete_key_at(at)?;
        Ok(true)
    }

    /// Deletes the key whose key node stands at `key`, and everything below it. For keys whose names no path can have.
    ///
    /// # Errors
    /// As [`Editor::delete_key`].
    pub fn delete_key_at(&mut self, key: CellOffset) -> Result<()> {
        let tree = self.tree(key)?;
        let (parent, above) = {
            let hive = self.hive()?;
            let Some(parent) = hive.key_at(key)?.parent()? else {
                return Err(Error::refused(Code::RootKey, "the root key cannot be deleted"));
            };
            (parent.at(), *parent.node())
        };
        self.remove_from_list(parent, &above, key)?;
        let count = above.subkey_count.get().saturating_sub(1);
        self.write_subkey_count(parent, count)?;
        self.touch(parent)?;
        for (security, users) in tree.securities {
            self.drop_security_references(security, users)?;
        }
        tree.cells.into_iter().try_for_each(|cell| self.release(cell))
    }

    fn write_subkey_count(&mut self, key: CellOffset, count: u32) -> Result<()> {
        let field = offset_of!(KeyNode, subkey_count);
        self.write_field(key, field, &count.to_le_bytes(), Step::Link, "number of subkeys")
    }
}
