//! The walk over all keys: level by level, each key once.

use std::fmt::Display;

use super::names::CheckedName;
use super::rules::Rule;
use super::{Checker, Position};
use crate::regf::CellOffset;
use crate::regf::key_node::{self, KeyNode, MAX_DEPTH, MAX_NAME_CHARACTERS, flags};

/// A key that was reached.
#[derive(Clone, Copy)]
pub(super) struct Visited {
    pub(super) at: CellOffset,
    pub(super) security: CellOffset,
    /// Index of the parent; for the root, its own index.
    pub(super) parent: u32,
    pub(super) depth: u32,
}

/// Maximum length of a path in a finding, in bytes; the beginning of a longer path is omitted.
const PATH_KEPT: usize = 1024;

impl<'h> Checker<'h> {
    /// Visits the root key and all keys below it.
    pub(super) fn keys_from(&mut self, root: CellOffset) {
        if !self.root(root) {
            self.whole = false;
            return;
        }
        let mut next = 0;
        while next < self.keys.len() {
            self.subkeys(next);
            next += 1;
        }
        self.report.facts.keys = self.keys.len() as u64;
    }

    fn root(&mut self, at: CellOffset) -> bool {
        let position = Position { offset: 36, cell: at, key: None, value: None };
        let Some(node) = self.map.data(at).and_then(|data| KeyNode::parse(data, at).ok()) else {
            self.find(Rule::RootKey, position, "the root cell is not a key node", Some((&"a key node", &at)));
            return false;
        };
        if !node.has(flags::ROOT) {
            let (position, parent) = (Position::field(at, 2, None), CellOffset(node.parent.get()));
            if parent.is_nil() {
                self.find(Rule::RootFlag, position, "the root key has no root flag", None);
            } else {
                let values: (&dyn Display, &dyn Display) = (&"no parent", &parent);
                self.find(Rule::RootKey, position, "the root cell is a key with a parent", Some(values));
            }
        }
        self.visit(at, None, position).is_some()
    }

    /// Checks one key without its subkeys. `position` is the place of the reference to it; `None` if the key cannot be
    /// read or was visited before.
    pub(super) fn visit(
        &mut self,
        at: CellOffset,
        parent: Option<usize>,
        position: Position,
    ) -> Option<CheckedName<'h>> {
        let Some(data) = self.map.data(at) else {
            self.whole = false;
            let what = "a subkey does not lead to a cell in use";
            self.wrong_reference(Rule::CellReference, position, what, "an allocated cell", at);
            return None;
        };
        let node = match KeyNode::parse(data, at) {
            Ok(node) => node,
            Err(error) => {
                self.parse_error(&error, Rule::KeySignature, Position::field(at, 0, parent));
                return None;
            }
        };
        if !self.map.claim_key(at) {
            if self.map.is_key(at) {
                self.wrong_reference(
                    Rule::KeyTwice,
                    position,
                    "the tree reaches a key twice",
                    "a key without another reference",
                    at,
                );
            } else {
                self.whole = false;
                self.wrong_reference(Rule::CellShared, position, "a key", "a cell without another reference", at);
            }
            return None;
        }
        let index = self.keys.len();
        let depth = parent.map_or(0, |parent| self.keys[parent].depth + 1);
        let up = u32::try_from(parent.unwrap_or(index)).unwrap_or(0);
        self.keys.push(Visited { at, security: CellOffset(node.key_security.get()), parent: up, depth });
        let name = &data[key_node::SIZE..][..usize::from(node.name_length.get())];
        let name = CheckedName::new(name, node.has(flags::LATIN1_NAME));
        self.key_name(index, at, &name);
        self.parent(index, &node);
        self.class(index, at, &node);
        self.values(index, at, &node);
        Some(name)
    }

    fn key_name(&mut self, index: usize, at: CellOffset, name: &CheckedName<'_>) {
        let is_root = index == 0;
        let wrong = if name.bytes.is_empty() && !is_root {
            "the key has no name"
        } else if name.is_odd() {
            "the name of the key ends inside a character"
        } else if name.characters() > MAX_NAME_CHARACTERS {
            "the key's name is longer than 255 characters"
        } else if !is_root && name.has_backslash() {
            "the key's name contains a backslash"
        } else {
            return;
        };
        self.find(Rule::KeyName, Position::field(at, 72, Some(index)), wrong, None);
    }

    /// Checks the parent field. It is undefined in the root: it refers to the hive under which the root was mounted.
    fn parent(&mut self, index: usize, node: &KeyNode) {
        let key = self.keys[index];
        let expected = self.keys[key.parent as usize].at;
        let actual = CellOffset(node.parent.get());
        if index != 0 && actual != expected {
            let position = Position::field(key.at, 16, Some(index));
            self.find(Rule::KeyParent, position, "the key names another parent", Some((&expected, &actual)));
        }
        if key.depth as usize > MAX_DEPTH {
            let position = Position::field(key.at, 0, Some(index));
            self.find(Rule::KeyDepth, position, "the key is nested too deeply", Some((&MAX_DEPTH, &key.depth)));
        }
    }

    fn class(&mut self, index: usize, at: CellOffset, node: &KeyNode) {
        let (class, size) = (CellOffset(node.class_name.get()), usize::from(node.class_name_length.get()));
        if size == 0 || class.is_nil() {
            return;
        }
        let Some(data) = self.take(class, Position::field(at, 48, Some(index)), "a class name") else { return };
        if data.len() < size {
            let position = Position::field(at, 74, Some(index));
            self.find(Rule::KeyClass, position, "the class name exceeds its cell", Some((&data.len(), &size)));
        }
    }

    /// Returns the path of a key, in the form that look-ups parse.
    pub(super) fn path(&self, index: usize) -> String {
        let mut names = Vec::new();
        let (mut at, mut size) = (index, 0);
        while at != 0 && size < PATH_KEPT {
            let key = self.keys[at];
            let name = self.name_at(key.at);
            size += name.len() + 1;
            names.push(name);
            at = key.parent as usize;
        }
        if at != 0 {
            names.push("...".to_owned());
        }
        names.reverse();
        names.join("\\")
    }

    fn name_at(&self, at: CellOffset) -> String {
        let parsed = self.map.data(at).and_then(|data| Some((data, KeyNode::parse(data, at).ok()?)));
        parsed.map_or_else(String::new, |(data, node)| {
            let name = &data[key_node::SIZE..][..usize::from(node.name_length.get())];
            CheckedName::new(name, node.has(flags::LATIN1_NAME)).name().to_string()
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::check::tiny::{Tiny, codes};
    use crate::check::{Rule, check};

    #[test]
    fn the_tiny_hive_is_clean() {
        let report = check(&Tiny::new().bytes);
        assert_eq!(report.findings, []);
        assert_eq!((report.facts.keys, report.facts.values, report.facts.key_securities), (3, 3, 2));
        assert_eq!((report.facts.bins, report.facts.free_cells), (1, 1));
    }

    #[test]
    fn the_root_must_be_a_root_key_node() {
        assert_eq!(codes(&Tiny::new().put(36, 0x28).sealed()), ["root-key"]);
        assert_eq!(codes(&Tiny::new().put(36, Tiny::SECURITY).sealed()), ["root-key"]);
        let unmarked = || Tiny::new().data16(Tiny::ROOT, 2, 0x20);
        assert_eq!(codes(&unmarked().bytes), ["root-key"]);
        assert_eq!(codes(&unmarked().data32(Tiny::ROOT, 16, u32::MAX).bytes), ["root-flag"]);
    }

    #[test]
    fn fields_of_a_key_have_their_codes() {
        let tiny = Tiny::new;
        let nameless = codes(&tiny().data16(Tiny::BETA, 72, 0).bytes);
        assert_eq!(nameless, ["key-name", "subkey-hash", "subkey-order"]);
        assert_eq!(codes(&tiny().data16(Tiny::BETA, 72, 40).bytes), ["key-name"]);
        assert_eq!(codes(&tiny().rename(Tiny::BETA, b"B\\ta").bytes), ["key-name"]);
        assert_eq!(codes(&tiny().data32(Tiny::BETA, 16, 0x28).bytes), ["key-parent"]);
        assert_eq!(codes(&tiny().data16(Tiny::BETA, 0, 0).bytes), ["key-signature"]);
        assert_eq!(codes(&tiny().data32(Tiny::LIST, 4, Tiny::VALUE).bytes), ["key-size"]);
        assert_eq!(codes(&tiny().data32(Tiny::LIST, 4, 0x24).bytes), ["cell-reference"]);
        assert_eq!(codes(&tiny().data16(Tiny::ROOT, 74, 13).bytes), ["key-class"]);
        assert_eq!(codes(&tiny().data32(Tiny::ROOT, 48, Tiny::DATA).bytes), ["cell-shared"]);
    }

    #[test]
    fn a_cycle_is_reported_and_ends() {
        let report = check(&Tiny::new().data32(Tiny::LIST, 12, Tiny::ROOT).bytes);
        let twice = report.findings.iter().find(|f| f.rule == Rule::KeyTwice).unwrap();
        assert_eq!(twice.offset, u64::from(4096 + Tiny::LIST + 4 + 12));
        assert_eq!(twice.key.as_deref(), Some(""));
        assert!(report.counts.of(Rule::UnreferencedCell) > 0, "the key that the list lost");
    }

    #[test]
    fn findings_name_the_key() {
        let report = check(&Tiny::new().data32(Tiny::BETA, 16, 0x28).bytes);
        assert_eq!(report.findings[0].key.as_deref(), Some("Beta"));
        assert_eq!(report.findings[0].cell.map(|at| at.0), Some(Tiny::BETA));
    }
}
