//! Subkeys lists: their kinds, their order, their hashes, and that nothing is missing.

use std::cmp::Ordering;
use std::fmt::Display;

use super::names::Seen;
use super::rules::Rule;
use super::{Checker, Spot};
use crate::regf::CellOffset;
use crate::regf::key_node::{KeyNode, MAX_DEPTH};
use crate::regf::subkeys_list::{ListKind, SubkeysList};

/// A key's subkeys, as far as its leaves have been read.
struct Run<'h> {
    key: usize,
    count: u64,
    /// Whether every leaf could be read.
    whole: bool,
    last: Option<Seen<'h>>,
    /// Bytes of the longest name as UTF-16.
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
        let mut run = Run { key: index, count: 0, whole: true, last: None, longest: 0 };
        self.list(list, Spot::field(key.at, 28, Some(index)), &mut run);
        let said = node.subkey_count.get();
        if run.whole && run.count != u64::from(said) {
            let spot = Spot::field(key.at, 20, Some(index));
            self.find(Rule::SubkeyCount, spot, "number of subkeys", Some((&run.count, &said)));
        }
        let said = usize::from(node.largest_subkey_name.get());
        if run.longest > said {
            let spot = Spot::field(key.at, 52, Some(index));
            self.find(Rule::MaxSubkeyName, spot, "size of the largest subkey name", Some((&run.longest, &said)));
        }
    }

    /// Returns whether there is a list at `at` whose first key has the parent `parent`. A count of 0 is then wrong;
    /// otherwise the reference of a key without subkeys is undefined.
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

    fn list(&mut self, at: CellOffset, spot: Spot, run: &mut Run<'h>) {
        let Some(list) = self.read_list(at, spot, run) else { return };
        if list.kind != ListKind::IndexRoot {
            return self.leaf(at, list, run);
        }
        for (i, (leaf_at, _)) in list.elements().enumerate() {
            let spot = Spot::field(at, 4 + i * list.kind.element_size(), spot.key);
            let Some(leaf) = self.read_list(leaf_at, spot, run) else { continue };
            if leaf.kind == ListKind::IndexRoot {
                (self.whole, run.whole) = (false, false);
                self.find(Rule::ListNested, spot, "an index root points to an index root", None);
            } else {
                self.leaf(leaf_at, leaf, run);
            }
        }
    }

    fn read_list(&mut self, at: CellOffset, spot: Spot, run: &mut Run<'h>) -> Option<SubkeysList<'h>> {
        let parsed = self.take(at, spot, "a subkeys list").map(|data| SubkeysList::parse(data, at));
        let list = match parsed {
            Some(Ok(list)) => list,
            Some(Err(error)) => {
                run.whole = false;
                self.refused(&error, Rule::ListSignature, Spot::field(at, 0, spot.key));
                return None;
            }
            None => {
                run.whole = false;
                return None;
            }
        };
        if list.is_empty() {
            self.find(Rule::ListEmpty, Spot::field(at, 2, spot.key), "the list has no elements", None);
        }
        let (since, minor) = (list.kind.since_minor(), self.minor);
        if minor < since {
            let what = "the hive's minor version does not know this kind of list";
            let expected = format_args!("at least {since}");
            self.find(Rule::ListVersion, Spot::field(at, 0, spot.key), what, Some((&expected, &minor)));
        }
        Some(list)
    }

    fn leaf(&mut self, at: CellOffset, list: SubkeysList<'h>, run: &mut Run<'h>) {
        for (i, (child, hint)) in list.elements().enumerate() {
            run.count += 1;
            let spot = Spot::field(at, 4 + i * list.kind.element_size(), Some(run.key));
            let index = self.keys.len();
            let Some(name) = self.visit(child, Some(run.key), spot) else { continue };
            let spot = Spot { key: Some(index), ..spot };
            run.longest = run.longest.max(name.utf16_size());
            if let Some(last) = run.last {
                self.order(&last, &name, spot);
            }
            if let Some(hint) = hint {
                self.hint(list.kind, hint, &name, spot);
            }
            run.last = Some(name);
        }
    }

    fn order(&mut self, last: &Seen<'_>, name: &Seen<'_>, spot: Spot) {
        let order = last.compare(name);
        if order == Ordering::Less || !(last.is_settled() && name.is_settled() || last.bytes == name.bytes) {
            return;
        }
        if order == Ordering::Equal {
            self.find(Rule::SubkeyDuplicate, spot, "the subkey before has the same name", None);
        } else {
            let before = last.name();
            let values: (&dyn Display, &dyn Display) = (&"a name behind it", &"one before it");
            self.find(Rule::SubkeyOrder, spot, &format!("after \"{before}\""), Some(values));
        }
    }

    fn hint(&mut self, kind: ListKind, hint: u32, name: &Seen<'_>, spot: Spot) {
        let spot = Spot { offset: spot.offset + 4, ..spot };
        if kind == ListKind::HashLeaf {
            if hint != name.hash && name.is_settled() {
                let (expected, actual) = (format_args!("{:#010x}", name.hash), format_args!("{hint:#010x}"));
                self.find(Rule::SubkeyHash, spot, "hash of the subkey's name", Some((&expected, &actual)));
            }
        } else if !name.allows_hint(hint) {
            let raw = hint.to_le_bytes();
            let begin = name.bytes.get(..4).unwrap_or(name.bytes);
            let (expected, actual) = (begin.escape_ascii(), raw.escape_ascii());
            self.find(Rule::SubkeyHint, spot, "beginning of the subkey's name", Some((&expected, &actual)));
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
    fn an_index_root_is_never_below_another() {
        let root = |leaf| Tiny::new().data16(Tiny::LIST, 0, u16::from_le_bytes(*b"ri")).data32(Tiny::LIST, 4, leaf);
        let itself = codes(&root(Tiny::LIST).data16(Tiny::LIST, 2, 1).bytes);
        assert_eq!(itself, ["cell-shared"]);
        let other = root(Tiny::DATA).data16(Tiny::LIST, 2, 1).data32(Tiny::DATA, 0, u32::from_le_bytes(*b"ri\0\0"));
        assert!(codes(&other.bytes).contains(&"list-nested"));
    }

    #[test]
    fn order_and_likeness_are_told_apart() {
        // Alpha and Beta exchanged, with their hashes.
        let swapped = Tiny::new().swap_subkeys();
        assert_eq!(codes(&swapped.bytes), ["subkey-order"]);
        assert_eq!(check(&swapped.bytes).findings[0].key.as_deref(), Some("Alpha"));
        let alike = Tiny::new().rename(Tiny::BETA, b"aLPHA");
        assert_eq!(codes(&alike.bytes), ["subkey-duplicate"]);
    }

    #[test]
    fn fast_leaves_are_held_to_their_hints() {
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
