//! Checks subkeys lists: kinds, order, hashes and completeness.

use std::cmp::Ordering;
use std::fmt::Display;

use super::names::CheckedName;
use super::rules::Rule;
use super::{Checker, Position};
use crate::regf::CellOffset;
use crate::regf::key_node::{KeyNode, MAX_DEPTH};
use crate::regf::subkeys_list::{ListKind, SubkeysList};

/// The state of the walk over the leaves of one key.
struct ListWalk<'h> {
    key: usize,
    count: u64,
    /// Whether every leaf could be read.
    whole: bool,
    last: Option<CheckedName<'h>>,
    /// Size of the longest name in bytes as UTF-16.
    longest: usize,
}

impl<'h> Checker<'h> {
    /// Visits the subkeys of the key at `index`.
    pub(super) fn subkeys(&mut self, index: usize) {
        let key = self.keys[index];
        let Some(node) = self.map.data(key.at).and_then(|data| KeyNode::parse(data, key.at).ok()) else { return };
        let list = CellOffset(node.subkeys_list.get());
        if node.subkey_count.get() == 0 && !self.is_list_of(list, key.at) {
            return;
        }
        if key.depth as usize > MAX_DEPTH {
            self.whole = false;
            return;
        }
        let mut walk = ListWalk { key: index, count: 0, whole: true, last: None, longest: 0 };
        self.list(list, Position::field(key.at, 28, Some(index)), &mut walk);
        let said = node.subkey_count.get();
        if walk.whole && walk.count != u64::from(said) {
            let position = Position::field(key.at, 20, Some(index));
            self.find(Rule::SubkeyCount, position, "number of subkeys", Some((&walk.count, &said)));
        }
        let said = usize::from(node.largest_subkey_name.get());
        if walk.longest > said {
            let position = Position::field(key.at, 52, Some(index));
            self.find(Rule::MaxSubkeyName, position, "size of the largest subkey name", Some((&walk.longest, &said)));
        }
    }

    /// Returns whether a list lies at `at` whose first key has the parent `parent`. A count of 0 is then wrong.
    /// Otherwise the list field of a key without subkeys is undefined.
    fn is_list_of(&self, at: CellOffset, parent: CellOffset) -> bool {
        let first = |at| SubkeysList::parse(self.map.data(at)?, at).ok().map(|list| (list.kind, list.get(0)));
        let mut found = first(at);
        if let Some((ListKind::IndexRoot, Some((leaf, _)))) = found {
            found = first(leaf);
        }
        let Some((_, Some((child, _)))) = found else { return false };
        let node = self.map.data(child).and_then(|data| KeyNode::parse(data, child).ok());
        node.is_some_and(|node| node.parent.get() == parent.0) && !self.map.is_key(child)
    }

    fn list(&mut self, at: CellOffset, position: Position, walk: &mut ListWalk<'h>) {
        let Some(list) = self.read_list(at, position, walk) else { return };
        if list.kind != ListKind::IndexRoot {
            return self.leaf(at, list, walk);
        }
        for (i, (leaf_at, _)) in list.elements().enumerate() {
            let position = Position::field(at, 4 + i * list.kind.element_size(), position.key);
            let Some(leaf) = self.read_list(leaf_at, position, walk) else { continue };
            if leaf.kind == ListKind::IndexRoot {
                (self.whole, walk.whole) = (false, false);
                self.find(Rule::ListNested, position, "an index root points to an index root", None);
            } else {
                self.leaf(leaf_at, leaf, walk);
            }
        }
    }

    fn read_list(&mut self, at: CellOffset, position: Position, walk: &mut ListWalk<'h>) -> Option<SubkeysList<'h>> {
        let parsed = self.take(at, position, "a subkeys list").map(|data| SubkeysList::parse(data, at));
        let list = match parsed {
            Some(Ok(list)) => list,
            Some(Err(error)) => {
                walk.whole = false;
                self.parse_error(&error, Rule::ListSignature, Position::field(at, 0, position.key));
                return None;
            }
            None => {
                walk.whole = false;
                return None;
            }
        };
        if list.is_empty() {
            self.find(Rule::ListEmpty, Position::field(at, 2, position.key), "the list has no elements", None);
        }
        let (since, minor) = (list.kind.since_minor(), self.minor);
        if minor < since {
            let what = "the hive's minor version does not support this kind of list";
            let expected = format_args!("at least {since}");
            self.find(Rule::ListVersion, Position::field(at, 0, position.key), what, Some((&expected, &minor)));
        }
        Some(list)
    }

    fn leaf(&mut self, at: CellOffset, list: SubkeysList<'h>, walk: &mut ListWalk<'h>) {
        for (i, (child, hint)) in list.elements().enumerate() {
            walk.count += 1;
            let position = Position::field(at, 4 + i * list.kind.element_size(), Some(walk.key));
            let index = self.keys.len();
            let Some(name) = self.visit(child, Some(walk.key), position) else { continue };
            let position = Position { key: Some(index), ..position };
            walk.longest = walk.longest.max(name.utf16_size());
            if let Some(last) = walk.last {
                self.order(&last, &name, position);
            }
            if let Some(hint) = hint {
                self.hint(list.kind, hint, &name, position);
            }
            walk.last = Some(name);
        }
    }

    fn order(&mut self, last: &CheckedName<'_>, name: &CheckedName<'_>, position: Position) {
        let order = last.compare(name);
        if order == Ordering::Less || !(last.has_stable_case() && name.has_stable_case() || last.bytes == name.bytes) {
            return;
        }
        if order == Ordering::Equal {
            self.find(Rule::SubkeyDuplicate, position, "the subkey before has the same name", None);
        } else {
            let before = last.name();
            let values: (&dyn Display, &dyn Display) = (&"a name after it", &"a name before it");
            self.find(Rule::SubkeyOrder, position, &format!("after \"{before}\""), Some(values));
        }
    }

    fn hint(&mut self, kind: ListKind, hint: u32, name: &CheckedName<'_>, position: Position) {
        let position = Position { offset: position.offset + 4, ..position };
        if kind == ListKind::HashLeaf {
            if hint != name.hash && name.has_stable_case() {
                let (expected, actual) = (format_args!("{:#010x}", name.hash), format_args!("{hint:#010x}"));
                self.find(Rule::SubkeyHash, position, "hash of the subkey's name", Some((&expected, &actual)));
            }
        } else if !name.allows_hint(hint) {
            let raw = hint.to_le_bytes();
            let begin = name.bytes.get(..4).unwrap_or(name.bytes);
            let (expected, actual) = (begin.escape_ascii(), raw.escape_ascii());
            self.find(Rule::SubkeyHint, position, "beginning of the subkey's name", Some((&expected, &actual)));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::check;
    use crate::check::tiny::{Tiny, codes};

    #[test]
    fn lists_have_their_codes() {
        let tiny = Tiny::new;
        assert_eq!(codes(&tiny().data16(Tiny::LIST, 0, 0x7878).bytes), ["list-signature"]);
        assert_eq!(codes(&tiny().data16(Tiny::LIST, 2, 9).bytes), ["list-size"]);
        assert_eq!(codes(&tiny().data32(Tiny::ROOT, 20, 3).bytes), ["subkey-count"]);
        assert_eq!(codes(&tiny().data32(Tiny::ROOT, 20, 0).bytes), ["subkey-count"], "the list tells");
        assert_eq!(codes(&tiny().data16(Tiny::ROOT, 52, 2).bytes), ["max-subkey-name"]);
        assert_eq!(codes(&tiny().data32(Tiny::LIST, 8, 1).bytes), ["subkey-hash"]);
        assert_eq!(codes(&tiny().put(24, 3).sealed()), ["list-version"]);
        let empty = codes(&tiny().data16(Tiny::LIST, 2, 0).data32(Tiny::ROOT, 20, 1).bytes);
        assert!(empty.contains(&"list-empty") && empty.contains(&"subkey-count"), "{empty:?}");
    }

    #[test]
    fn nested_index_roots_are_reported() {
        let root = |leaf| Tiny::new().data16(Tiny::LIST, 0, u16::from_le_bytes(*b"ri")).data32(Tiny::LIST, 4, leaf);
        let itself = codes(&root(Tiny::LIST).data16(Tiny::LIST, 2, 1).bytes);
        assert_eq!(itself, ["cell-shared"]);
        let other = root(Tiny::DATA).data16(Tiny::LIST, 2, 1).data32(Tiny::DATA, 0, u32::from_le_bytes(*b"ri\0\0"));
        assert!(codes(&other.bytes).contains(&"list-nested"));
    }

    #[test]
    fn wrong_order_and_duplicates_are_distinguished() {
        // Alpha and Beta are swapped, with their hashes.
        let swapped = Tiny::new().swap_subkeys();
        assert_eq!(codes(&swapped.bytes), ["subkey-order"]);
        assert_eq!(check(&swapped.bytes).findings[0].key.as_deref(), Some("Alpha"));
        let duplicates = Tiny::new().rename(Tiny::BETA, b"aLPHA");
        assert_eq!(codes(&duplicates.bytes), ["subkey-duplicate"]);
    }

    #[test]
    fn fast_leaf_hints_are_checked() {
        let fast = || Tiny::new().put(24, 3).data16(Tiny::LIST, 0, u16::from_le_bytes(*b"lf"));
        let hints = |alpha: &[u8; 4]| {
            fast()
                .data32(Tiny::LIST, 8, u32::from_le_bytes(*alpha))
                .data32(Tiny::LIST, 16, u32::from_le_bytes(*b"Beta"))
                .sealed()
        };
        assert_eq!(codes(&hints(b"Alph")), [""; 0]);
        assert_eq!(codes(&hints(b"Bets")), ["subkey-hint"]);
    }
}
