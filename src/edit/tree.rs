//! All keys of a hive, for the proof that an edit of keys leaves the others where they are.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use hivewright_error::{Error, Kind, Result};
use hivewright_hive::regf::CellOffset;
use hivewright_hive::{Hive, HiveBytes, Key};

/// A key of a [`Tree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Cell offset of the parent's key node; the root is its own parent.
    pub(super) parent: CellOffset,
    /// Hash over the name.
    pub(super) name: u64,
    /// Hash over the flags, the class, the security and the values list.
    pub(super) content: u64,
}

/// All keys that can be read, by the cell offsets of their key nodes.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: HashMap<CellOffset, Node>,
    /// How many keys and lists cannot be read.
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
            let node = Node { parent, name: hash(|hash| key.name().bytes().hash(hash)), content: content(&key) };
            // Only in a damaged hive is a key met twice.
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

    /// Whether the key at `at` is one of `roots` or below one.
    pub(super) fn is_within(&self, mut at: CellOffset, roots: &HashSet<CellOffset>) -> bool {
        // As deep as keys can be nested, and the root is its own parent.
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

    /// Refuses unless `after` has the same keys as this, but for those below `deleted`, those at `created`, and the content of
    /// those at `touched`.
    ///
    /// # Errors
    /// `proof`.
    pub(super) fn expect(
        &self,
        after: &Tree,
        deleted: &HashSet<CellOffset>,
        created: &HashSet<CellOffset>,
        is_touched: impl Fn(CellOffset) -> bool,
    ) -> Result<()> {
        let mut kept = 0;
        for (at, before) in &self.nodes {
            if !deleted.is_empty() && self.is_within(*at, deleted) {
                continue;
            }
            kept += 1;
            let now = after.nodes.get(at);
            let same = now.is_some_and(|now| {
                now.parent == before.parent
                    && now.name == before.name
                    && (now.content == before.content || is_touched(*at))
            });
            if !same {
                return Err(super::proof::unproven(&format!(
                    "the key at {:#x} is no longer what it was",
                    at.in_file()
                )));
            }
        }
        let all_created = created.iter().all(|at| after.nodes.contains_key(at));
        if !all_created || after.nodes.len() != kept + created.len() || after.unreadable > self.unreadable {
            return Err(super::proof::unproven("the hive has other keys than were asked for"));
        }
        Ok(())
    }
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
