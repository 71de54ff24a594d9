//! Tree of the checked keys of one hive; a common prefix of paths is looked up once.

use std::collections::HashMap;

use hivewright_hive::regf::name::Name;

use super::path::Part;

/// Keys and the checks on them. A node comes after its parent.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) nodes: Vec<Node>,
}

/// A key, or any key below another.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Subkeys, by name.
    pub(super) named: Vec<(Name<'static>, usize)>,
    /// Any subkey.
    pub(super) any: Option<usize>,
    /// Indices of the checks on the key.
    pub(super) checks: Vec<usize>,
    /// Nodes by upper-cased name.
    index: HashMap<Vec<u16>, usize>,
}

impl Tree {
    /// Adds a check on the keys at a path.
    pub(super) fn add(&mut self, parts: &[Part], check: usize) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for part in parts {
            let next = self.nodes.len();
            let node = &mut self.nodes[at];
            at = match part {
                Part::Any => *node.any.get_or_insert(next),
                Part::Name(name) => {
                    let upper = name.units().map(hivewright_hive::regf::name::upcase).collect();
                    *node.index.entry(upper).or_insert_with(|| {
                        node.named.push((name.clone(), next));
                        next
                    })
                }
            };
            if at == next {
                self.nodes.push(Node::default());
            }
        }
        self.nodes[at].checks.push(check);
    }

    /// Returns for each node whether a check that applies is on it or below.
    pub(super) fn applying(&self, applies: impl Fn(usize) -> bool) -> Vec<bool> {
        let mut applying = vec![false; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate().rev() {
            let is_below = node.named.iter().map(|(_, below)| *below).chain(node.any).any(|below| applying[below]);
            applying[at] = is_below || node.checks.iter().any(|check| applies(*check));
        }
        applying
    }

    /// Returns the checks on a node and below.
    pub(super) fn below(&self, at: usize) -> Vec<usize> {
        let (mut checks, mut nodes) = (Vec::new(), vec![at]);
        while let Some(at) = nodes.pop() {
            let node = &self.nodes[at];
            checks.extend(&node.checks);
            nodes.extend(node.named.iter().map(|(_, below)| *below).chain(node.any));
        }
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_common_prefix_is_one_node() {
        let mut tree = Tree::default();
        let name = |name: &str| Part::Name(Name::encode(name));
        tree.add(&[name("Services"), name("A")], 0);
        tree.add(&[name("SERVICES"), name("a")], 1);
        tree.add(&[name("Services"), Part::Any, name("B")], 2);
        tree.add(&[], 3);
        assert_eq!(tree.nodes.len(), 5);
        assert_eq!(tree.nodes[2].checks, [0, 1]);
        assert_eq!(tree.applying(|check| check == 2), [true, true, false, true, true]);
        let mut below = tree.below(1);
        below.sort_unstable();
        assert_eq!(below, [0, 1, 2]);
    }
}
