//! Look-ups. They touch only the cells on the way, so that a mapped file is read page by page. Damage beside the way does
//! not matter to them.

mod reference;
mod value;

use std::borrow::Cow;
use std::ops::ControlFlow;

pub use value::{DamagedValue, Value};

use reference::Referrer;

use super::{Hive, HiveBytes};
use crate::regf::CellOffset;
use crate::regf::cell::{self, Header};
use crate::regf::key_node::{self, KeyNode, flags};
use crate::regf::name::Name;
use crate::regf::subkeys_list::{ListKind, SubkeysList};
use crate::regf::timestamp::FileTime;
use hivewright_error::{Error, Kind, Result};

/// A key of a hive.
#[derive(Debug)]
pub struct Key<'h, B> {
    hive: &'h Hive<B>,
    at: CellOffset,
    node: KeyNode,
    name: Name<'h>,
}

// Derived, these would ask for `B: Clone`.
impl<B> Clone for Key<'_, B> {
    fn clone(&self) -> Self {
        Key { hive: self.hive, at: self.at, node: self.node, name: self.name.clone() }
    }
}

/// An element of a subkeys list, and where it stands.
#[derive(Clone, Copy)]
struct Element {
    kind: ListKind,
    at: CellOffset,
    hint: Option<u32>,
    from: Referrer,
    /// Offset of the hint in the file.
    hint_at: u64,
}

/// The most errors that a listing keeps. A damaged list may have a million.
const MOST_ERRORS: usize = 100;

impl<B: HiveBytes> Hive<B> {
    /// The data of the allocated cell at `at`.
    ///
    /// # Errors
    /// `cell-reference` if that is no allocated cell within the bins.
    pub fn cell(&self, at: CellOffset) -> Result<Cow<'_, [u8]>> {
        self.cell_of(at, Referrer::field("reference", at.in_file()))
    }

    /// As [`Hive::cell`], for the cell that a field refers to.
    fn cell_of(&self, at: CellOffset, from: Referrer) -> Result<Cow<'_, [u8]>> {
        if at.is_nil() || !at.0.is_multiple_of(cell::ALIGNMENT) || at.0 > self.length() - cell::ALIGNMENT {
            return Err(from.leads_out(at, self.length()));
        }
        let raw = self.bytes.read(at.in_file(), cell::HEADER_SIZE)?;
        let header = Header::parse([raw[0], raw[1], raw[2], raw[3]], at)?;
        if !header.allocated {
            return Err(from.leads_to_free_cell(at));
        }
        if header.size > self.length() - at.0 {
            return Err(Error::corrupt("cell-size", "the cell runs past the hive bins", at.in_file()));
        }
        self.bytes.read(at.data_in_file(), header.size as usize - cell::HEADER_SIZE)
    }

    /// The root key.
    pub fn root(&self) -> Result<Key<'_, B>> {
        let root = self.key_of(self.base.root(), Referrer::field("root cell of the base block", 36));
        root.map_err(|error| match error.kind() {
            Kind::Io => error,
            _ => error
                .about("the root key cannot be read")
                .advise("nothing of the hive can be found without its root key: take another copy of the hive"),
        })
    }

    /// The key whose key node stands at `at`.
    pub fn key_at(&self, at: CellOffset) -> Result<Key<'_, B>> {
        self.key_of(at, Referrer::field("reference", at.in_file()))
    }

    fn key_of(&self, at: CellOffset, from: Referrer) -> Result<Key<'_, B>> {
        let data = self.cell_of(at, from)?;
        let node = KeyNode::parse(&data, at)?;
        let name = slice(data, key_node::SIZE, usize::from(node.name_length.get()));
        Ok(Key { hive: self, at, node, name: Name::new(name, node.has(flags::LATIN1_NAME)) })
    }

    /// The key at `path` below the root; names are parted by backslashes and compared without regard to case.
    /// `None` if a name on the way is not there.
    pub fn key(&self, path: &str) -> Result<Option<Key<'_, B>>> {
        let mut key = self.root()?;
        for name in path.split('\\').filter(|name| !name.is_empty()) {
            match key.subkey(name)? {
                Some(next) => key = next,
                None => return Ok(None),
            }
        }
        Ok(Some(key))
    }

    /// Lists may name one key over and over, an index root one leaf: half a MiB lists four thousand million keys. Each
    /// key has a key node of its own, so an honest list is never longer than the bins have room for.
    fn has_room_for(&self, keys: u64, list: CellOffset) -> Result<()> {
        let most = u64::from(self.length()) / key_node::SIZE as u64;
        if keys <= most {
            return Ok(());
        }
        let what = "the subkeys list names more keys than the hive has room for";
        Err(Error::corrupt("list-size", what, list.data_in_file()).expected(format_args!("at most {most}"), keys))
    }
}

impl<'h, B: HiveBytes> Key<'h, B> {
    /// Cell offset of the key node.
    pub fn at(&self) -> CellOffset {
        self.at
    }

    /// The hive that the key is of.
    pub fn hive(&self) -> &'h Hive<B> {
        self.hive
    }

    /// The fixed part of the key node.
    pub fn node(&self) -> &KeyNode {
        &self.node
    }

    /// The key's name.
    pub fn name(&self) -> &Name<'h> {
        &self.name
    }

    /// When values or subkeys last changed.
    pub fn last_written(&self) -> FileTime {
        FileTime(self.node.last_written.get())
    }

    /// The subkey called `name`, without regard to case. A damaged key or leaf beside it does not matter.
    ///
    /// # Errors
    /// The list is damaged; there is no such key, and one that cannot be read may be it.
    pub fn subkey(&self, name: &str) -> Result<Option<Key<'h, B>>> {
        let hash = crate::regf::name::hash(name.encode_utf16());
        let possible = |element: &Element| match (element.kind, element.hint) {
            (ListKind::HashLeaf, Some(h)) => h == hash,
            (ListKind::FastLeaf, Some(h)) => hint_allows(h, name),
            _ => true,
        };
        self.search(|element, key| possible(element).then(key).transpose(), |key| key.name.matches(name))
            .map(|found| found.map(|(_, key)| key))
    }

    /// The damage by which Windows does not find the subkey called `name` although a list has it: its hash or hint is
    /// that of another name. Every subkey is read for that.
    ///
    /// # Errors
    /// As [`Key::subkey`].
    pub fn hidden_subkey(&self, name: &str) -> Result<Option<Error>> {
        let found = self.search(|_, key| key().map(Some), |key| key.name.matches(name))?;
        Ok(found.map(|(element, key)| {
            let (code, what) = match element.kind {
                ListKind::HashLeaf => {
                    ("subkey-hash", "Windows does not find the key: the list has a wrong hash for it")
                }
                _ => ("subkey-hint", "Windows may not find the key: the list has the beginning of another name for it"),
            };
            let (right, there) = (key.name.hash(), element.hint.unwrap_or_default());
            let error = Error::corrupt(code, what, element.hint_at);
            match element.kind {
                ListKind::HashLeaf => error.expected(format_args!("{right:#010x}"), format_args!("{there:#010x}")),
                _ => error.expected(key.name, there.to_le_bytes().escape_ascii()),
            }
        }))
    }

    /// The first key that is `wanted`, of those that `read` does not leave out.
    fn search(
        &self,
        read: impl Fn(&Element, &dyn Fn() -> Result<Key<'h, B>>) -> Result<Option<Key<'h, B>>>,
        wanted: impl Fn(&Key<'h, B>) -> bool,
    ) -> Result<Option<(Element, Key<'h, B>)>> {
        let mut damage: Option<Error> = None;
        let ended = self.elements(&mut |element| {
            let element = match element {
                Ok(element) => element,
                Err(error) => return note(&mut damage, error),
            };
            match read(&element, &|| self.hive.key_of(element.at, element.from)) {
                Ok(Some(key)) if wanted(&key) => ControlFlow::Break(Ok((element, key))),
                Ok(_) => ControlFlow::Continue(()),
                Err(error) => note(&mut damage, error),
            }
        })?;
        match (ended, damage) {
            (Some(found), _) => found.map(Some),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(None),
        }
    }

    /// All subkeys, in the order of the list.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn subkeys(&self) -> Result<Vec<Key<'h, B>>> {
        let (keys, errors) = self.readable_subkeys()?;
        errors.into_iter().next().map_or(Ok(keys), Err)
    }

    /// All subkeys that can be read, in the order of the list, and the first errors about those that cannot.
    ///
    /// # Errors
    /// The list as a whole cannot be read.
    pub fn readable_subkeys(&self) -> Result<(Vec<Key<'h, B>>, Vec<Error>)> {
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        let ended = self.elements(&mut |element| {
            match element.and_then(|element| self.hive.key_of(element.at, element.from)) {
                Ok(key) => keys.push(key),
                Err(error) if error.kind() == Kind::Io => return ControlFlow::Break(error),
                Err(error) if errors.len() < MOST_ERRORS => errors.push(error),
                Err(_) => {}
            }
            ControlFlow::Continue(())
        })?;
        ended.map_or(Ok((keys, errors)), Err)
    }

    /// Shows `each` the elements of all leaves, or why a leaf has none, until it breaks.
    fn elements<T>(&self, each: &mut dyn FnMut(Result<Element>) -> ControlFlow<T>) -> Result<Option<T>> {
        let mut keys = 0;
        for (leaf_at, from) in self.leaves()? {
            let data = match self.leaf(leaf_at, from) {
                Ok(data) => data,
                Err(error) => match each(Err(error)) {
                    ControlFlow::Break(end) => return Ok(Some(end)),
                    ControlFlow::Continue(()) => continue,
                },
            };
            let leaf = SubkeysList::parse(&data, leaf_at)?;
            keys += leaf.len() as u64;
            self.hive.has_room_for(keys, leaf_at)?;
            for (i, (at, hint)) in leaf.elements().enumerate() {
                let offset = 4 + (i * leaf.kind.element_size()) as u64;
                let from = Referrer::element("subkeys list", i, leaf_at, offset);
                let hint_at = leaf_at.data_in_file() + offset + 4;
                if let ControlFlow::Break(end) = each(Ok(Element { kind: leaf.kind, at, hint, from, hint_at })) {
                    return Ok(Some(end));
                }
            }
        }
        Ok(None)
    }

    /// The data of a leaf.
    fn leaf(&self, at: CellOffset, from: Referrer) -> Result<Cow<'h, [u8]>> {
        let data = self.hive.cell_of(at, from)?;
        match SubkeysList::parse(&data, at)?.kind {
            ListKind::IndexRoot => {
                let what = "an index root points to an index root";
                Err(Error::corrupt("list-nested", what, at.data_in_file()))
            }
            _ => Ok(data),
        }
    }

    /// The leaves: the list itself, or what its index root points to, each with the field that refers to it.
    fn leaves(&self) -> Result<Vec<(CellOffset, Referrer)>> {
        let at = CellOffset(self.node.subkeys_list.get());
        if self.node.subkey_count.get() == 0 {
            return Ok(Vec::new());
        }
        let from = Referrer::in_cell("key's subkeys list", self.at, 28);
        let data = self.hive.cell_of(at, from)?;
        let list = SubkeysList::parse(&data, at)?;
        if list.kind != ListKind::IndexRoot {
            return Ok(vec![(at, from)]);
        }
        let leaf = |(i, (leaf, _)): (usize, (CellOffset, _))| {
            (leaf, Referrer::element("index root", i, at, 4 + (i * ListKind::IndexRoot.element_size()) as u64))
        };
        Ok(list.elements().enumerate().map(leaf).collect())
    }

    /// The cell offsets of the elements of each leaf that can be read.
    pub(super) fn elements_of_leaves(&self) -> Result<Vec<Vec<CellOffset>>> {
        let (mut all, mut keys) = (Vec::new(), 0);
        for (leaf_at, from) in self.leaves()? {
            let data = self.leaf(leaf_at, from)?;
            let leaf = SubkeysList::parse(&data, leaf_at)?;
            keys += leaf.len() as u64;
            self.hive.has_room_for(keys, leaf_at)?;
            all.push(leaf.elements().map(|(at, _)| at).collect());
        }
        Ok(all)
    }
}

/// Keeps the first damage and goes on; an error of the medium ends the search.
fn note<T>(damage: &mut Option<Error>, error: Error) -> ControlFlow<Result<T>> {
    if error.kind() == Kind::Io {
        return ControlFlow::Break(Err(error));
    }
    damage.get_or_insert(error);
    ControlFlow::Continue(())
}

/// The cell offset at `index` of a list of cell offsets.
fn offset_in(list: &[u8], index: usize) -> Option<CellOffset> {
    let raw = list.get(index.checked_mul(4)?..)?.get(..4)?;
    Some(CellOffset(u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]])))
}

/// A part of `data`, borrowed where `data` is. The caller has checked that it is there.
fn slice(data: Cow<'_, [u8]>, start: usize, len: usize) -> Cow<'_, [u8]> {
    match data {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[start..start + len]),
        Cow::Owned(bytes) => Cow::Owned(bytes[start..start + len].to_vec()),
    }
}

/// Whether a fast leaf's hint (first four characters of the name, zero padded) may belong to `name`. Hints of names
/// beyond ASCII are taken as no hint.
fn hint_allows(hint: u32, name: &str) -> bool {
    let hint = hint.to_le_bytes();
    if hint == [0; 4] || !hint.is_ascii() || !name.is_ascii() {
        return true;
    }
    let mut padded = [0u8; 4];
    for (to, from) in padded.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    padded.eq_ignore_ascii_case(&hint)
}
