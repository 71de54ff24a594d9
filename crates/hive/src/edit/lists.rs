//! Subkeys lists: an element more, an element less.
//!
//! Elements are sorted by upper-cased names across all leaves. A leaf that is full is parted into halves under an index
//! root; a leaf that becomes empty is freed.

use std::cmp::Ordering;
use std::mem::offset_of;

use super::{Editor, Step};
use crate::regf::CellOffset;
use crate::regf::key_node::KeyNode;
use crate::regf::name::Name;
use crate::regf::subkeys_list::{ListKind, SubkeysList};
use hivewright_error::{Code, Error, Kind, Result};

/// The most elements of an index root: its count has 16 bits.
const MAX_LEAVES: usize = u16::MAX as usize;

/// A list, copied out of its cell.
struct List {
    at: CellOffset,
    kind: ListKind,
    elements: Vec<(CellOffset, u32)>,
}

/// The lists of one key: leaves, below an index root or alone.
struct Lists {
    root: Option<List>,
    leaves: Vec<CellOffset>,
}

impl List {
    fn bytes(&self) -> Vec<u8> {
        let count = u16::try_from(self.elements.len()).unwrap_or(u16::MAX);
        let mut bytes = self.kind.signature().to_vec();
        bytes.extend(count.to_le_bytes());
        for (at, hint) in &self.elements {
            bytes.extend(at.0.to_le_bytes());
            if self.kind.has_hints() {
                bytes.extend(hint.to_le_bytes());
            }
        }
        bytes
    }

    fn is_full(&self) -> bool {
        self.elements.len() >= self.kind.capacity().unwrap_or(MAX_LEAVES)
    }
}

impl Editor {
    /// Enters a key into the subkeys list of its parent. The count in the parent is the caller's.
    pub(super) fn insert_in_list(
        &mut self,
        parent: CellOffset,
        node: &KeyNode,
        child: CellOffset,
        name: &Name<'_>,
    ) -> Result<()> {
        let Some(lists) = self.lists(node)? else {
            let kind = ListKind::for_minor(self.hive()?.base_block().minor_version.get());
            let leaf = List { at: CellOffset::NIL, kind, elements: vec![(child, kind.hint(name))] };
            let at = self.allocate(&leaf.bytes(), "subkeys list")?;
            return self.write_list_reference(parent, at);
        };
        let which = self.leaf_for(&lists.leaves, name)?;
        let mut leaf = self.list(lists.leaves[which])?;
        let place = self.place_in(&leaf, name)?;
        let was_full = leaf.is_full();
        leaf.elements.insert(place, (child, leaf.kind.hint(name)));
        if !was_full {
            let (old, new) = (leaf.at, self.store_list(&leaf)?);
            return self.redirect(parent, lists.root, which, old, new);
        }
        let upper = leaf.elements.split_off(leaf.elements.len() / 2);
        let upper = List { at: CellOffset::NIL, kind: leaf.kind, elements: upper };
        let upper_at = self.allocate(&upper.bytes(), "subkeys list: upper half")?;
        let lower_at = self.store_list(&leaf)?;
        let Some(mut root) = lists.root else {
            let elements = vec![(lower_at, 0), (upper_at, 0)];
            let root = List { at: CellOffset::NIL, kind: ListKind::IndexRoot, elements };
            let at = self.allocate(&root.bytes(), "index root")?;
            return self.write_list_reference(parent, at);
        };
        if root.is_full() {
            return Err(Error::new(Kind::NoRoom, Code::NoRoom, "the key has too many subkeys"));
        }
        root.elements[which].0 = lower_at;
        root.elements.insert(which + 1, (upper_at, 0));
        let (old, new) = (root.at, self.store_list(&root)?);
        self.redirect(parent, None, 0, old, new)
    }

    /// Takes a key out of the subkeys list of its parent. The count in the parent is the caller's.
    pub(super) fn remove_from_list(&mut self, parent: CellOffset, node: &KeyNode, child: CellOffset) -> Result<()> {
        let missing =
            || Error::corrupt(Code::KeyParent, "the parent's subkeys list does not have the key", child.in_file());
        let lists = self.lists(node)?.ok_or_else(missing)?;
        for (which, &at) in lists.leaves.iter().enumerate() {
            let mut leaf = self.list(at)?;
            let Some(place) = leaf.elements.iter().position(|&(element, _)| element == child) else { continue };
            leaf.elements.remove(place);
            if !leaf.elements.is_empty() {
                return self.store_list(&leaf).map(|_| ());
            }
            self.release(at)?;
            let Some(mut root) = lists.root else { return self.write_list_reference(parent, CellOffset::NIL) };
            root.elements.remove(which);
            if !root.elements.is_empty() {
                return self.store_list(&root).map(|_| ());
            }
            self.release(root.at)?;
            return self.write_list_reference(parent, CellOffset::NIL);
        }
        Err(missing())
    }

    /// Reads which lists a key has; `None` for a key without subkeys, whose reference may be a leftover.
    fn lists(&self, node: &KeyNode) -> Result<Option<Lists>> {
        if node.subkey_count.get() == 0 {
            return Ok(None);
        }
        let list = self.list(CellOffset(node.subkeys_list.get()))?;
        let (root, leaves) = match list.kind {
            ListKind::IndexRoot => {
                let leaves = list.elements.iter().map(|&(at, _)| at).collect();
                (Some(list), leaves)
            }
            _ => (None, vec![list.at]),
        };
        if leaves.is_empty() {
            return Err(Error::corrupt(Code::ListEmpty, "the index root has no elements", node_list(node)));
        }
        Ok(Some(Lists { root, leaves }))
    }

    fn list(&self, at: CellOffset) -> Result<List> {
        let hive = self.hive()?;
        let data = hive.cell(at)?;
        let list = SubkeysList::parse(&data, at)?;
        let elements = list.elements().map(|(at, hint)| (at, hint.unwrap_or_default())).collect();
        Ok(List { at, kind: list.kind, elements })
    }

    /// Finds the leaf that a name belongs into: the first that ends behind it, or the last.
    fn leaf_for(&self, leaves: &[CellOffset], name: &Name<'_>) -> Result<usize> {
        let (mut from, mut to) = (0, leaves.len() - 1);
        while from < to {
            let middle = from.midpoint(to);
            let leaf = self.list(leaves[middle])?;
            let ends_before = match leaf.elements.last() {
                Some(&(last, _)) => self.order(last, name)? == Ordering::Less,
                None => true,
            };
            if ends_before { from = middle + 1 } else { to = middle }
        }
        Ok(from)
    }

    /// Finds the place of a name in a leaf.
    fn place_in(&self, leaf: &List, name: &Name<'_>) -> Result<usize> {
        if leaf.kind == ListKind::IndexRoot {
            let what = "an index root points to an index root";
            return Err(Error::corrupt(Code::ListNested, what, leaf.at.data_in_file()));
        }
        let (mut from, mut to) = (0, leaf.elements.len());
        while from < to {
            let middle = from.midpoint(to);
            if self.order(leaf.elements[middle].0, name)? == Ordering::Less { from = middle + 1 } else { to = middle }
        }
        Ok(from)
    }

    fn order(&self, key: CellOffset, name: &Name<'_>) -> Result<Ordering> {
        Ok(self.hive()?.key_at(key)?.name().compare(name))
    }

    /// Writes a list into its cell, or into a larger one. Returns where it stands now.
    fn store_list(&mut self, list: &List) -> Result<CellOffset> {
        let mut bytes = list.bytes();
        let room = self.hive()?.cell(list.at)?.len();
        if bytes.len() <= room {
            self.write(list.at.data_in_file(), &bytes, Step::Link, "subkeys list")?;
            return Ok(list.at);
        }
        // A list that has grown in this edit will grow again.
        if self.fresh.contains_key(&list.at) {
            let most = list.kind.capacity().unwrap_or(MAX_LEAVES).saturating_mul(list.kind.element_size()) + 4;
            bytes.resize(bytes.len().saturating_mul(2).min(most).max(bytes.len()), 0);
        }
        let at = self.allocate(&bytes, "subkeys list")?;
        self.release(list.at)?;
        Ok(at)
    }

    /// Makes the reference to a list lead to its new place: the element `which` of the index root, or the key's field.
    fn redirect(
        &mut self,
        parent: CellOffset,
        root: Option<List>,
        which: usize,
        old: CellOffset,
        new: CellOffset,
    ) -> Result<()> {
        match root {
            _ if old == new => Ok(()),
            None => self.write_list_reference(parent, new),
            Some(mut root) => {
                root.elements[which].0 = new;
                self.store_list(&root).map(|_| ())
            }
        }
    }

    fn write_list_reference(&mut self, key: CellOffset, list: CellOffset) -> Result<()> {
        let field = offset_of!(KeyNode, subkeys_list);
        self.write_field(key, field, &list.0.to_le_bytes(), Step::Link, "subkeys list")
    }
}

fn node_list(node: &KeyNode) -> u64 {
    CellOffset(node.subkeys_list.get()).data_in_file()
}
