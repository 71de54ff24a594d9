//! Inserts elements into subkeys lists, and removes them.
//!
//! Elements are sorted by upper-cased names across all leaves. A full leaf is split into halves under an index root,
//! but a full fast leaf first becomes an index leaf, which holds twice as many, as in Windows (measured on five hives
//! of version 1.3 and on eight of version 1.5 with index roots). An empty leaf is freed.

use std::cmp::Ordering;
use std::mem::offset_of;

use super::{Editor, Step};
use crate::regf::CellOffset;
use crate::regf::key_node::KeyNode;
use crate::regf::name::Name;
use crate::regf::subkeys_list::{ListKind, SubkeysList};
use hivewright_error::{Code, Error, Kind, Result};

/// Maximum number of elements of an index root: its count has 16 bits.
const MAX_LEAVES: usize = u16::MAX as usize;

/// A copy of a list.
struct List {
    at: CellOffset,
    kind: ListKind,
    /// The stored elements. A list may have thousands of them.
    elements: Vec<u8>,
}

/// The lists of one key: one leaf, or an index root and its leaves.
struct Lists {
    root: Option<List>,
    leaves: Vec<CellOffset>,
}

impl List {
    fn new(kind: ListKind, elements: &[(CellOffset, u32)]) -> Self {
        let mut list = List { at: CellOffset::NIL, kind, elements: Vec::new() };
        elements.iter().enumerate().for_each(|(place, &(at, hint))| list.insert(place, at, hint));
        list
    }

    fn bytes(&self) -> Vec<u8> {
        let count = u16::try_from(self.len()).unwrap_or(u16::MAX);
        [&self.kind.signature(), &count.to_le_bytes()[..], &self.elements].concat()
    }

    fn len(&self) -> usize {
        self.elements.len() / self.kind.element_size()
    }

    fn is_full(&self) -> bool {
        self.len() >= self.kind.capacity().unwrap_or(MAX_LEAVES)
    }

    fn get(&self, place: usize) -> Option<CellOffset> {
        let raw = self.elements.get(place.checked_mul(self.kind.element_size())?..)?.first_chunk()?;
        Some(CellOffset(u32::from_le_bytes(*raw)))
    }

    fn keys(&self) -> impl Iterator<Item = CellOffset> + '_ {
        (0..self.len()).map_while(|place| self.get(place))
    }

    fn insert(&mut self, place: usize, at: CellOffset, hint: u32) {
        let mut raw = at.0.to_le_bytes().to_vec();
        if self.kind.has_hints() {
            raw.extend(hint.to_le_bytes());
        }
        let start = place * self.kind.element_size();
        self.elements.splice(start..start, raw);
    }

    fn remove(&mut self, place: usize) {
        let size = self.kind.element_size();
        self.elements.drain(place * size..(place + 1) * size);
    }

    /// Changes the cell offset of an element.
    fn redirect(&mut self, place: usize, to: CellOffset) {
        let start = place * self.kind.element_size();
        self.elements[start..start + 4].copy_from_slice(&to.0.to_le_bytes());
    }

    /// Splits off the upper half.
    fn split(&mut self) -> List {
        let elements = self.elements.split_off(self.len() / 2 * self.kind.element_size());
        List { at: CellOffset::NIL, kind: self.kind, elements }
    }

    /// Finds the index of a name in a leaf.
    fn place_of(&self, edit: &Editor, name: &Name<'_>) -> Result<usize> {
        edit.place_in(self.kind, self.at, self.len(), |place| self.get(place), name)
    }

    /// Converts into an index leaf with the same keys.
    fn into_index_leaf(self) -> List {
        let elements = self.keys().flat_map(|at| at.0.to_le_bytes()).collect();
        List { at: self.at, kind: ListKind::IndexLeaf, elements }
    }
}

impl Lists {
    /// Finds the leaf for a name, and its index.
    fn leaf_for(&self, edit: &Editor, name: &Name<'_>) -> Result<(usize, CellOffset)> {
        edit.leaf_for(self.leaves.len(), |which| self.leaves.get(which).copied(), name)
    }
}

impl Editor {
    /// Inserts a key into the subkeys list of its parent. The caller updates the count in the parent.
    pub(super) fn insert_in_list(
        &mut self,
        parent: CellOffset,
        node: &KeyNode,
        child: CellOffset,
        name: &Name<'_>,
    ) -> Result<()> {
        let Some(lists) = self.lists(node)? else {
            let kind = ListKind::for_minor(self.hive()?.base_block().minor_version.get());
            let leaf = List::new(kind, &[(child, kind.hint(name))]);
            let at = self.allocate(&leaf.bytes(), "subkeys list")?;
            return self.write_list_reference(parent, at);
        };
        let (which, leaf) = lists.leaf_for(self, name)?;
        let leaf = self.list(leaf)?;
        self.insert_in_leaf(parent, lists, which, leaf, (child, name))
    }

    fn insert_in_leaf(
        &mut self,
        parent: CellOffset,
        lists: Lists,
        which: usize,
        mut leaf: List,
        (child, name): (CellOffset, &Name<'_>),
    ) -> Result<()> {
        let place = leaf.place_of(self, name)?;
        let mut upper = None;
        if leaf.is_full() && leaf.kind == ListKind::FastLeaf && lists.root.is_none() {
            leaf = leaf.into_index_leaf();
        } else if leaf.is_full() {
            upper = Some(leaf.split());
        }
        let hint = leaf.kind.hint(name);
        match &mut upper {
            Some(upper) if place >= leaf.len() => upper.insert(place - leaf.len(), child, hint),
            _ => leaf.insert(place, child, hint),
        }
        let Some(upper) = upper else {
            let (old, new) = (leaf.at, self.store_list(&leaf)?);
            return self.redirect(parent, lists.root, which, old, new);
        };
        let upper_at = self.allocate(&upper.bytes(), "subkeys list: upper half")?;
        let lower_at = self.store_list(&leaf)?;
        let Some(mut root) = lists.root else {
            let root = List::new(ListKind::IndexRoot, &[(lower_at, 0), (upper_at, 0)]);
            let at = self.allocate(&root.bytes(), "index root")?;
            return self.write_list_reference(parent, at);
        };
        if root.is_full() {
            return Err(Error::new(Kind::NoRoom, Code::NoRoom, "the key has too many subkeys"));
        }
        root.redirect(which, lower_at);
        root.insert(which + 1, upper_at, 0);
        let (old, new) = (root.at, self.store_list(&root)?);
        self.redirect(parent, None, 0, old, new)
    }

    /// Finds the subkey called `name` of a key whose subkeys are sorted.
    pub(super) fn subkey_by_binary_search(&self, parent: CellOffset, name: &Name<'_>) -> Result<Option<CellOffset>> {
        let hive = self.hive()?;
        let node = *hive.key_at(parent)?.node();
        if node.subkey_count.get() == 0 {
            return Ok(None);
        }
        let mut at = CellOffset(node.subkeys_list.get());
        let mut data = hive.cell(at)?;
        let mut list = SubkeysList::parse(&data, at)?;
        if list.kind == ListKind::IndexRoot {
            at = match list.len().checked_sub(1).and_then(|last| list.get(last)) {
                Some(_) => self.leaf_for(list.len(), |which| list.get(which).map(|(leaf, _)| leaf), name)?.1,
                None => return Err(no_leaves(&node)),
            };
            data = hive.cell(at)?;
            list = SubkeysList::parse(&data, at)?;
        }
        let get = |place| list.get(place).map(|(key, _)| key);
        let Some(key) = get(self.place_in(list.kind, at, list.len(), get, name)?) else { return Ok(None) };
        Ok((self.order(key, name)? == Ordering::Equal).then_some(key))
    }

    /// Removes a key from the subkeys list of its parent. The caller updates the count in the parent.
    pub(super) fn remove_from_list(&mut self, parent: CellOffset, node: &KeyNode, child: CellOffset) -> Result<()> {
        let (lists, which, leaf, place) = self.find_in_lists(node, child)?;
        self.remove_from_leaf(parent, lists, which, leaf, place)
    }

    fn remove_from_leaf(
        &mut self,
        parent: CellOffset,
        lists: Lists,
        which: usize,
        mut leaf: List,
        place: usize,
    ) -> Result<()> {
        leaf.remove(place);
        if !leaf.elements.is_empty() {
            return self.store_list(&leaf).map(|_| ());
        }
        self.release(leaf.at)?;
        let Some(mut root) = lists.root else { return self.write_list_reference(parent, CellOffset::NIL) };
        root.remove(which);
        if !root.elements.is_empty() {
            return self.store_list(&root).map(|_| ());
        }
        self.release(root.at)?;
        self.write_list_reference(parent, CellOffset::NIL)
    }

    /// Moves the key `old` within its parent's subkeys list for a new name. Its key node may move too: `new` is its new
    /// cell offset and name. The key node at `old` still has the old name.
    pub(super) fn move_in_list(
        &mut self,
        parent: CellOffset,
        node: &KeyNode,
        old: CellOffset,
        new: (CellOffset, &Name<'_>),
    ) -> Result<()> {
        let (lists, from, mut leaf, place) = self.find_in_lists(node, old)?;
        let (to, _) = lists.leaf_for(self, new.1)?;
        if from == to {
            leaf.remove(place);
            let place = leaf.place_of(self, new.1)?;
            leaf.insert(place, new.0, leaf.kind.hint(new.1));
            return self.store_list(&leaf).map(|_| ());
        }
        self.remove_from_leaf(parent, lists, from, leaf, place)?;
        // There is another leaf, so the list still exists.
        let node = *self.hive()?.key_at(parent)?.node();
        self.insert_in_list(parent, &node, new.0, new.1)
    }

    /// Finds an element of a key's lists: the lists, the index of the leaf, the leaf, and the index in it.
    fn find_in_lists(&self, node: &KeyNode, child: CellOffset) -> Result<(Lists, usize, List, usize)> {
        let missing =
            || Error::corrupt(Code::KeyParent, "the parent's subkeys list does not have the key", child.in_file());
        let lists = self.lists(node)?.ok_or_else(missing)?;
        let (likely, _) = lists.leaf_for(self, self.hive()?.key_at(child)?.name())?;
        // An unsorted list is searched linearly.
        for which in std::iter::once(likely).chain(0..lists.leaves.len()) {
            let leaf = self.list(lists.leaves[which])?;
            let place = leaf.keys().position(|key| key == child);
            if let Some(place) = place {
                return Ok((lists, which, leaf, place));
            }
        }
        Err(missing())
    }

    /// Reads the lists of a key; `None` for a key without subkeys, whose reference is undefined.
    fn lists(&self, node: &KeyNode) -> Result<Option<Lists>> {
        if node.subkey_count.get() == 0 {
            return Ok(None);
        }
        let list = self.list(CellOffset(node.subkeys_list.get()))?;
        let (root, leaves) = match list.kind {
            ListKind::IndexRoot => {
                let leaves = list.keys().collect();
                (Some(list), leaves)
            }
            _ => (None, vec![list.at]),
        };
        if leaves.is_empty() {
            return Err(no_leaves(node));
        }
        Ok(Some(Lists { root, leaves }))
    }

    fn list(&self, at: CellOffset) -> Result<List> {
        let hive = self.hive()?;
        let data = hive.cell(at)?;
        let list = SubkeysList::parse(&data, at)?;
        Ok(List { at, kind: list.kind, elements: list.raw_elements().to_vec() })
    }

    /// Finds the leaf for a name among `count` leaves, and its index: the first that ends after the name, or the last.
    fn leaf_for(
        &self,
        count: usize,
        get: impl Fn(usize) -> Option<CellOffset>,
        name: &Name<'_>,
    ) -> Result<(usize, CellOffset)> {
        let leaf = |which| get(which).ok_or_else(|| Error::corrupt(Code::ListSize, "the index root is too short", 0));
        let (mut from, mut to) = (0, count - 1);
        while from < to {
            let middle = from.midpoint(to);
            let ends_before = match self.last_of(leaf(middle)?)? {
                Some(last) => self.order(last, name)? == Ordering::Less,
                None => true,
            };
            if ends_before { from = middle + 1 } else { to = middle }
        }
        Ok((from, leaf(from)?))
    }

    fn last_of(&self, leaf: CellOffset) -> Result<Option<CellOffset>> {
        let hive = self.hive()?;
        let data = hive.cell(leaf)?;
        let list = SubkeysList::parse(&data, leaf)?;
        Ok(list.len().checked_sub(1).and_then(|last| list.get(last)).map(|(at, _)| at))
    }

    /// Finds the index of a name in the leaf at `at`, which has `count` elements.
    fn place_in(
        &self,
        kind: ListKind,
        at: CellOffset,
        count: usize,
        get: impl Fn(usize) -> Option<CellOffset>,
        name: &Name<'_>,
    ) -> Result<usize> {
        if kind == ListKind::IndexRoot {
            let what = "an index root points to an index root";
            return Err(Error::corrupt(Code::ListNested, what, at.data_in_file()));
        }
        let (mut from, mut to) = (0, count);
        while from < to {
            let middle = from.midpoint(to);
            let Some(key) = get(middle) else { break };
            if self.order(key, name)? == Ordering::Less { from = middle + 1 } else { to = middle }
        }
        Ok(from)
    }

    fn order(&self, key: CellOffset, name: &Name<'_>) -> Result<Ordering> {
        Ok(self.hive()?.key_at(key)?.name().compare(name))
    }

    /// Writes a list into its cell, or into a larger one. Returns its cell offset.
    fn store_list(&mut self, list: &List) -> Result<CellOffset> {
        let bytes = list.bytes();
        let room = self.hive()?.cell(list.at)?.len();
        if bytes.len() <= room {
            self.uses(list.at, bytes.len());
            self.write(list.at.data_in_file(), &bytes, Step::Link, "subkeys list")?;
            return Ok(list.at);
        }
        let at = match self.fresh.contains_key(&list.at) {
            true => self.allocate_with_slack(bytes, "subkeys list")?,
            false => self.allocate(&bytes, "subkeys list")?,
        };
        self.release(list.at)?;
        Ok(at)
    }

    /// Updates the reference to a moved list: element `which` of the index root, or the key's field.
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
                root.redirect(which, new);
                self.store_list(&root).map(|_| ())
            }
        }
    }

    fn write_list_reference(&mut self, key: CellOffset, list: CellOffset) -> Result<()> {
        let field = offset_of!(KeyNode, subkeys_list);
        self.write_field(key, field, &list.0.to_le_bytes(), Step::Link, "subkeys list")
    }
}

fn no_leaves(node: &KeyNode) -> Error {
    let place = CellOffset(node.subkeys_list.get()).data_in_file();
    Error::corrupt(Code::ListEmpty, "the index root has no elements", place)
}
