//! All keys of a hive, for the proof that an edit leaves the other keys unchanged.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use hivewright_error::{Error, Kind, Result};
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::name::Name;
use hivewright_hive::{Hive, HiveBytes, Key};

/// A key of a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Cell offset of the parent's key node; the root is its own parent.
    pub(super) parent: CellOffset,
    /// Hash of the name.
    pub(super) name: u64,
    /// Hash of the flags, the class, the security and the values list.
    pub(super) content: u64,
}

/// All readable keys, by the cell offsets of their key nodes.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: HashMap<CellOffset, Node>,
    /// Number of unreadable keys and lists.
    pub(super) unreadable: usize,
}

impl Tree {
    /// Reads all keys of `hive`.
    ///
    /// # Errors
    /// The root key or the medium cannot be read.
    pub(super) fn of<B: HiveBytes>(hive: &Hive<B>) -> Result<Self> {
        let root = hive.root()?;
        let mut tree = Tree::default();
        let mut rest = vec![(root.at(), root)];
        while let Some((parent, key)) = rest.pop() {
            let node = Node { parent, name: name_hash(key.name()), content: content(&key) };
            // A key is found twice only in a damaged hive.
            if tree.nodes.insert(key.at(), node).is_some() {
                tree.unreadable += 1;
                continue;
            }
            match key.readable_subkeys() {
                Ok((keys, errors)) => {
                    tree.unreadable += errors.len();
                    rest.extend(keys.into_iter().map(|subkey| (key.at(), subkey)));
                }
                Err(error) if error.kind() == Kind::Io => return Err(error),
                Err(_) => tree.unreadable += 1,
            }
        }
        Ok(tree)
    }

    /// Returns whether the key at `at` is one of `roots` or below one.
    pub(super) fn is_within(&self, mut at: CellOffset, roots: &HashSet<CellOffset>) -> bool {
        // The root is its own parent, and a path is not longer than the number of keys.
        for _ in 0..=self.nodes.len() {
            if roots.contains(&at) {
                return true;
            }
            match self.nodes.get(&at) {
                Some(node) if node.parent != at => at = node.parent,
                _ => return false,
            }
        }
        false
    }

    /// Compares `after` with this tree, except the keys in and below `deleted`, the keys at `created`, the places and
    /// names of those in `renamed`, and the contents of those that are touched.
    ///
    /// # Errors
    /// `proof`: the trees differ.
    pub(super) fn expect(
        &self,
        after: &Tree,
        deleted: &HashSet<CellOffset>,
        created: &HashSet<CellOffset>,
        renamed: &HashMap<CellOffset, (CellOffset, &Name<'_>)>,
        is_touched: impl Fn(CellOffset) -> bool,
    ) -> Result<()> {
        let place_of = |at: &CellOffset| renamed.get(at).map_or(*at, |(new, _)| *new);
        let mut kept = 0;
        for (at, before) in &self.nodes {
            if !deleted.is_empty() && self.is_within(*at, deleted) {
                continue;
            }
            kept += 1;
            let (place, name) = renamed.get(at).map_or((*at, before.name), |(new, name)| (*new, name_hash(name)));
            let same = after.nodes.get(&place).is_some_and(|now| {
                now.parent == place_of(&before.parent)
                    && now.name == name
                    && (now.content == before.content || is_touched(place))
            });
            if !same {
                return Err(super::proof::unproven(&format!("the key at {:#x} has changed", at.in_file())));
            }
        }
        let all_created = created.iter().all(|at| after.nodes.contains_key(at));
        if !all_created || after.nodes.len() != kept + created.len() || after.unreadable > self.unreadable {
            return Err(super::proof::unproven("the hive has other keys than requested"));
        }
        Ok(())
    }
}

fn name_hash(name: &Name<'_>) -> u64 {
    hash(|hash| name.bytes().hash(hash))
}

fn hash(feed: impl FnOnce(&mut DefaultHasher)) -> u64 {
    let mut hash = DefaultHasher::new();
    feed(&mut hash);
    hash.finish()
}

fn content<B: HiveBytes>(key: &Key<'_, B>) -> u64 {
    let node = key.node();
    hash(|hash| {
        (node.flags.get(), node.class_name.get(), node.class_name_length.get(), node.key_security.get()).hash(hash);
        let list = CellOffset(node.values_list.get());
        (node.values(), list).hash(hash);
        let list = if node.values() > 0 {
            key.hive().cell(list).map_err(|error: Error| error.code())
        } else {
            Ok(<_>::default())
        };
        list.map(|list| list[..list.len().min(4 * node.values() as usize)].to_vec()).hash(hash);
    })
}
