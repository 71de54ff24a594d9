//! All cells of a key and of everything below it.

use std::collections::{BTreeMap, BTreeSet};

use super::Editor;
use crate::regf::CellOffset;
use crate::regf::key_node::flags;
use crate::{HiveBytes, Key};
use hivewright_error::{Code, Error, Result};

/// A key and everything below it.
#[derive(Default)]
pub(super) struct Tree {
    /// All cells that only these keys use.
    pub(super) cells: BTreeSet<CellOffset>,
    /// Key securities, each with the number of these keys that use it.
    pub(super) securities: BTreeMap<CellOffset, u32>,
}

impl Tree {
    /// Adds a cell. A cell that is reached twice is an error: it would be freed twice, or another structure uses it.
    fn take(&mut self, cell: CellOffset) -> Result<()> {
        if self.cells.insert(cell) {
            return Ok(());
        }
        Err(Error::corrupt(Code::CellShared, "a cell of the tree is used twice", cell.in_file())
            .advise("run `hivewright check` on the hive, and use another copy of it"))
    }

    /// Adds all cells of a key except its key node.
    fn take_key<B: HiveBytes>(&mut self, key: &Key<'_, B>) -> Result<()> {
        let node = key.node();
        if key.is_root() {
            return Err(Error::refused(Code::RootKey, "the root key cannot be deleted"));
        }
        if node.has(flags::NO_DELETE) {
            let what = format!("the key {} is marked against deletion", key.name());
            return Err(Error::refused(Code::KeyNoDelete, what));
        }
        *self.securities.entry(CellOffset(node.key_security.get())).or_default() += 1;
        let class = CellOffset(node.class_name.get());
        if node.class_name_length.get() > 0 && !class.is_nil() {
            self.take(class)?;
        }
        if node.values() > 0 {
            self.take(CellOffset(node.values_list.get()))?;
        }
        for value in key.values()? {
            let value = value?;
            self.take(value.at())?;
            for cell in key.hive().cells_of_data(value.node())? {
                self.take(cell)?;
            }
        }
        key.list_cells()?.into_iter().try_for_each(|cell| self.take(cell))
    }
}

impl Editor {
    /// Collects the cells of the key at `key` and of everything below it. Every cell is added once, so the walk ends.
    pub(super) fn tree(&self, key: CellOffset) -> Result<Tree> {
        let hive = self.hive()?;
        let mut tree = Tree::default();
        let mut rest = vec![key];
        tree.take(key)?;
        while let Some(at) = rest.pop() {
            let key = hive.key_at(at)?;
            tree.take_key(&key)?;
            for subkey in key.subkeys()? {
                let at = subkey?.at();
                tree.take(at)?;
                rest.push(at);
            }
        }
        Ok(tree)
    }
}
