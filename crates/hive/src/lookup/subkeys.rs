//! Looks subkeys up by name, and iterates over them.

use std::borrow::Cow;

use super::Key;
use super::reference::Referrer;
use crate::regf::CellOffset;
use crate::regf::key_node;
use crate::regf::name::Name;
use crate::regf::subkeys_list::{ListKind, SubkeysList};
use crate::{Hive, HiveBytes};
use hivewright_error::{Code, Error, Kind, Result};

/// An element of a subkeys list and its place.
#[derive(Clone, Copy)]
struct Element {
    kind: ListKind,
    at: CellOffset,
    hint: Option<u32>,
    from: Referrer,
    /// Offset of the hint in the file.
    hint_at: u64,
}

/// Maximum number of errors that a listing keeps. A damaged list may have a million.
const MOST_ERRORS: usize = 100;

impl<'h, B: HiveBytes> Key<'h, B> {
    /// Returns the subkey called `name`, without regard to case. Damage of other keys or leaves has no effect.
    ///
    /// # Errors
    /// The list is damaged; the key is not found, and an unreadable key may have the name.
    pub fn subkey<'n>(&self, name: impl Into<Name<'n>>) -> Result<Option<Key<'h, B>>> {
        let name = name.into();
        let hash = name.hash();
        let possible = |kind, hint| match (kind, hint) {
            (ListKind::HashLeaf, Some(h)) => h == hash,
            (ListKind::FastLeaf, Some(h)) => hint_allows(h, &name),
            _ => true,
        };
        self.find(&name, possible).map(|found| found.map(|(_, key)| key))
    }

    /// Returns the damage because of which Windows does not find the subkey called `name`: a list contains it, but with
    /// the hash or hint of another name. Reads every subkey.
    ///
    /// # Errors
    /// As [`Key::subkey`].
    pub fn hidden_subkey<'n>(&self, name: impl Into<Name<'n>>) -> Result<Option<Error>> {
        let found = self.find(&name.into(), |_, _| true)?;
        Ok(found.map(|(element, key)| {
            let (code, what) = match element.kind {
                ListKind::HashLeaf => {
                    (Code::SubkeyHash, "Windows does not find the key: the list has a wrong hash for it")
                }
                _ => (
                    Code::SubkeyHint,
                    "Windows may not find the key: the list has the beginning of another name for it",
                ),
            };
            let (right, there) = (key.name.hash(), element.hint.unwrap_or_default());
            let error = Error::corrupt(code, what, element.hint_at);
            match element.kind {
                ListKind::HashLeaf => error.expected(format_args!("{right:#010x}"), format_args!("{there:#010x}")),
                _ => error.expected(key.name, there.to_le_bytes().escape_ascii()),
            }
        }))
    }

    /// Finds the first key called `name` among the elements whose kind and hint are `possible`; the others are not
    /// read.
    fn find(
        &self,
        name: &Name<'_>,
        possible: impl Fn(ListKind, Option<u32>) -> bool,
    ) -> Result<Option<(Element, Key<'h, B>)>> {
        let mut damage = None;
        let mut elements = self.elements()?;
        while let Some(element) = elements.next_possible(&possible) {
            let read = element.and_then(|element| element.key(self.hive).map(|key| (element, key)));
            match read {
                Ok(found) if found.1.name.equals(name) => return Ok(Some(found)),
                Ok(_) => {}
                Err(error) if error.kind() == Kind::Io => return Err(error),
                // The first damage is reported after all readable keys.
                Err(error) => {
                    damage.get_or_insert(error);
                }
            }
        }
        damage.map_or(Ok(None), Err)
    }

    /// Returns an iterator over all subkeys, in the order of the list. A damaged subkey, or a damaged leaf of the list,
    /// is an error in its place; the iteration goes on after it.
    ///
    /// # Errors
    /// The list as a whole cannot be read.
    ///
    /// # Examples
    /// ```
    /// use hivewright_hive::Hive;
    ///
    /// # let bytes = hivewright_fixtures::HiveSpec::new(hivewright_fixtures::Minor::V5)
    /// #     .key("Select", |key| key).key("Setup", |key| key).build().bytes;
    /// let hive = Hive::open(bytes)?.clean()?;
    /// for subkey in hive.root()?.subkeys()? {
    ///     match subkey {
    ///         Ok(key) => println!("{} {}", key.last_written(), key.name()),
    ///         Err(error) => eprintln!("skipped: {error}"),
    ///     }
    /// }
    /// # assert_eq!(hive.root()?.subkeys()?.filter_map(Result::ok).count(), 2);
    /// # Ok::<(), hivewright_hive::Error>(())
    /// ```
    pub fn subkeys(&self) -> Result<impl Iterator<Item = Result<Key<'h, B>>> + use<'h, B>> {
        let hive = self.hive;
        Ok(self.elements()?.map(move |element| element?.key(hive)))
    }

    /// Returns all subkeys that can be read, in the order of the list, and the first errors about the others.
    ///
    /// # Errors
    /// The list as a whole cannot be read.
    pub fn readable_subkeys(&self) -> Result<(Vec<Key<'h, B>>, Vec<Error>)> {
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        let mut elements = self.elements()?;
        while let Some(element) = elements.next() {
            match element.and_then(|element| element.key(self.hive)) {
                Ok(key) => keys.push(key),
                Err(error) if error.kind() == Kind::Io || elements.overlong => return Err(error),
                Err(error) if errors.len() < MOST_ERRORS => errors.push(error),
                Err(_) => {}
            }
        }
        Ok((keys, errors))
    }

    fn elements(&self) -> Result<Elements<'h, B>> {
        let (leaves, list) = match self.list()? {
            List::None => (Vec::new(), None),
            List::Leaf(leaf) => (Vec::new(), Some(leaf)),
            List::Root(leaves) => (leaves, None),
        };
        Ok(Elements { hive: self.hive, list, leaves: leaves.into_iter(), leaf: None, keys: 0, overlong: false })
    }

    /// Reads the subkeys list.
    fn list(&self) -> Result<List<'h>> {
        let at = CellOffset(self.node.subkeys_list.get());
        if self.node.subkey_count.get() == 0 {
            return Ok(List::None);
        }
        let data = self.hive.cell_of(at, Referrer::in_cell("key's subkeys list", self.at, 28))?;
        let list = SubkeysList::parse(&data, at)?;
        if list.kind != ListKind::IndexRoot {
            let (kind, len) = (list.kind, list.len());
            return Ok(List::Leaf(Leaf { at, data, kind, len, next: 0 }));
        }
        let leaf = |(i, (leaf, _)): (usize, (CellOffset, _))| {
            (leaf, Referrer::element("index root", i, at, 4 + (i * ListKind::IndexRoot.element_size()) as u64))
        };
        Ok(List::Root(list.elements().enumerate().map(leaf).collect()))
    }

    /// Returns the cells of the subkeys list: the index root, if there is one, and the leaves.
    pub(crate) fn list_cells(&self) -> Result<Vec<CellOffset>> {
        let leaves = match self.list()? {
            List::None => return Ok(Vec::new()),
            List::Leaf(_) => Vec::new(),
            List::Root(leaves) => leaves,
        };
        let list = CellOffset(self.node.subkeys_list.get());
        Ok(leaves.into_iter().map(|(at, _)| at).chain([list]).collect())
    }

    /// Returns the cell offsets of the elements of each leaf.
    pub(crate) fn elements_of_leaves(&self) -> Result<Vec<Vec<CellOffset>>> {
        let (mut all, mut elements) = (Vec::new(), self.elements()?);
        while let Some(leaf) = elements.next_leaf() {
            all.push(leaf?.list()?.elements().map(|(at, _)| at).collect());
        }
        Ok(all)
    }
}

impl Element {
    fn key<'h, B: HiveBytes>(&self, hive: &'h Hive<B>) -> Result<Key<'h, B>> {
        hive.key_of(self.at, self.from)
    }
}

/// A subkeys list, as far as it is read.
enum List<'h> {
    None,
    Leaf(Leaf<'h>),
    /// The leaves that an index root points to, each with the field that refers to it.
    Root(Vec<(CellOffset, Referrer)>),
}

/// A leaf of a subkeys list: the data of its cell, which was parsed before.
struct Leaf<'h> {
    at: CellOffset,
    data: Cow<'h, [u8]>,
    kind: ListKind,
    len: usize,
    /// Index of the next element.
    next: usize,
}

impl<'h> Leaf<'h> {
    fn read<B: HiveBytes>(hive: &'h Hive<B>, at: CellOffset, from: Referrer) -> Result<Self> {
        let data = hive.cell_of(at, from)?;
        let list = SubkeysList::parse(&data, at)?;
        if list.kind == ListKind::IndexRoot {
            let what = "an index root points to an index root";
            return Err(Error::corrupt(Code::ListNested, what, at.data_in_file()));
        }
        let (kind, len) = (list.kind, list.len());
        Ok(Leaf { at, data, kind, len, next: 0 })
    }

    fn list(&self) -> Result<SubkeysList<'_>> {
        SubkeysList::parse(&self.data, self.at)
    }

    fn len(&self) -> usize {
        self.len
    }

    /// Returns the next element whose kind and hint are `possible`. Skips other elements fast.
    fn next(&mut self, possible: impl Fn(ListKind, Option<u32>) -> bool) -> Option<Element> {
        let list = self.list().ok()?;
        let (passed, (at, hint)) =
            list.elements_from(self.next).enumerate().find(|&(_, (_, hint))| possible(self.kind, hint))?;
        let i = self.next + passed;
        self.next = i + 1;
        let offset = 4 + (i * self.kind.element_size()) as u64;
        let from = Referrer::element("subkeys list", i, self.at, offset);
        let hint_at = self.at.data_in_file() + offset + 4;
        Some(Element { kind: self.kind, at, hint, from, hint_at })
    }
}

/// Iterates over the elements of all leaves. An unreadable leaf is an error in its place.
struct Elements<'h, B> {
    hive: &'h Hive<B>,
    /// The list, if it has no index root, until its iteration begins.
    list: Option<Leaf<'h>>,
    leaves: std::vec::IntoIter<(CellOffset, Referrer)>,
    leaf: Option<Leaf<'h>>,
    /// Number of elements of the leaves before.
    keys: u64,
    /// Whether the list has more keys than fit into the hive, which ends the iteration.
    overlong: bool,
}

impl<B: HiveBytes> Iterator for Elements<'_, B> {
    type Item = Result<Element>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_possible(&|_, _| true)
    }
}

impl<'h, B: HiveBytes> Elements<'h, B> {
    fn next_leaf(&mut self) -> Option<Result<Leaf<'h>>> {
        let leaf = match self.list.take() {
            Some(leaf) => leaf,
            None => {
                let (at, from) = self.leaves.next()?;
                match Leaf::read(self.hive, at, from) {
                    Ok(leaf) => leaf,
                    Err(error) => return Some(Err(error)),
                }
            }
        };
        self.keys += leaf.len() as u64;
        if let Err(error) = has_room_for(self.hive, self.keys, leaf.at) {
            self.leaves = Vec::new().into_iter();
            self.overlong = true;
            return Some(Err(error));
        }
        Some(Ok(leaf))
    }

    fn next_possible(&mut self, possible: &impl Fn(ListKind, Option<u32>) -> bool) -> Option<Result<Element>> {
        loop {
            if let Some(element) = self.leaf.as_mut().and_then(|leaf| leaf.next(possible)) {
                return Some(Ok(element));
            }
            self.leaf = None;
            match self.next_leaf()? {
                Ok(leaf) => self.leaf = Some(leaf),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Checks that the keys of a list fit into the hive. A hostile list may contain one key repeatedly, and a hostile
/// index root one leaf: half a MiB can list four thousand million keys. Each key has a key node, so the size of the
/// bins limits an undamaged list.
fn has_room_for<B>(hive: &Hive<B>, keys: u64, list: CellOffset) -> Result<()> {
    let most = u64::from(hive.length()) / key_node::SIZE as u64;
    if keys <= most {
        return Ok(());
    }
    let what = "the subkeys list has more keys than fit into the hive";
    Err(Error::corrupt(Code::ListSize, what, list.data_in_file()).expected(format_args!("at most {most}"), keys))
}

/// Returns whether a fast leaf's hint (first four characters of the name, zero padded) may belong to `name`. Hints of
/// names beyond ASCII are ignored.
fn hint_allows(hint: u32, name: &Name<'_>) -> bool {
    let hint = hint.to_le_bytes();
    if hint == [0; 4] || !hint.is_ascii() || !name.is_latin1() || !name.bytes().is_ascii() {
        return true;
    }
    let mut padded = [0u8; 4];
    for (to, &from) in padded.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    padded.eq_ignore_ascii_case(&hint)
}
