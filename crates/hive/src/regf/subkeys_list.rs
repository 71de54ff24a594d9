//! Subkeys lists (specification, "Subkeys list"): index leaf, fast leaf, hash leaf, and the index root over them.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::CellOffset;
use super::name::Name;
use hivewright_error::{Code, Error, Result};

/// The four kinds of list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// `li`: cell offsets of key nodes.
    IndexLeaf,
    /// `lf`: with the first four characters of each name; since minor version 3.
    FastLeaf,
    /// `lh`: with the hash of each name; since minor version 5.
    HashLeaf,
    /// `ri`: cell offsets of leaves.
    IndexRoot,
}

impl ListKind {
    /// Returns the size of one element in bytes.
    pub fn element_size(self) -> usize {
        match self {
            ListKind::IndexLeaf | ListKind::IndexRoot => size_of::<IndexElement>(),
            ListKind::FastLeaf | ListKind::HashLeaf => size_of::<LeafElement>(),
        }
    }

    /// Returns the signature.
    pub fn signature(self) -> [u8; 2] {
        *match self {
            ListKind::IndexLeaf => b"li",
            ListKind::FastLeaf => b"lf",
            ListKind::HashLeaf => b"lh",
            ListKind::IndexRoot => b"ri",
        }
    }

    /// Returns whether the elements have a hint beside the cell offset.
    pub fn has_hints(self) -> bool {
        matches!(self, ListKind::FastLeaf | ListKind::HashLeaf)
    }

    /// Returns the number of elements at which Windows splits a leaf; `None` for an index root.
    pub fn capacity(self) -> Option<usize> {
        match self {
            ListKind::FastLeaf => Some(507),
            ListKind::IndexLeaf | ListKind::HashLeaf => Some(1013),
            ListKind::IndexRoot => None,
        }
    }

    /// Returns the kind that Windows gives a new leaf.
    pub fn for_minor(minor: u32) -> Self {
        if minor >= ListKind::HashLeaf.since_minor() { ListKind::HashLeaf } else { ListKind::FastLeaf }
    }

    /// Returns the hint of an element for a key called `name`; 0 for kinds without hints. In a fast leaf, it is the
    /// first four characters, or zeros for a name that is stored as UTF-16.
    pub fn hint(self, name: &Name<'_>) -> u32 {
        match self {
            ListKind::HashLeaf => name.hash(),
            ListKind::FastLeaf if name.is_latin1() => {
                let mut first = [0; 4];
                for (to, &from) in first.iter_mut().zip(name.bytes()) {
                    *to = from;
                }
                u32::from_le_bytes(first)
            }
            _ => 0,
        }
    }

    /// Returns the lowest minor version that has this kind.
    pub fn since_minor(self) -> u32 {
        match self {
            ListKind::HashLeaf => 5,
            _ => 3,
        }
    }
}

/// The header of every list.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct ListHeader {
    /// 0: `li`, `lf`, `lh` or `ri`.
    pub signature: [u8; 2],
    /// 2: number of elements.
    pub count: U16,
}

/// An element of an index leaf or index root.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct IndexElement {
    /// Cell offset of a key node, or of a leaf.
    pub offset: U32,
}

/// An element of a fast leaf or hash leaf.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct LeafElement {
    /// Cell offset of a key node.
    pub offset: U32,
    /// Fast leaf: first four characters of the name. Hash leaf: see [`super::name::hash`].
    pub hint: U32,
}

/// A list, as a view of its cell's data.
#[derive(Clone, Copy, Debug)]
pub struct SubkeysList<'a> {
    /// The kind.
    pub kind: ListKind,
    elements: &'a [u8],
}

impl<'a> SubkeysList<'a> {
    /// Reads a list from its cell's data, and checks that the count fits the cell.
    pub fn parse(data: &'a [u8], at: CellOffset) -> Result<Self> {
        let place = at.data_in_file();
        let Ok((header, rest)) = ListHeader::read_from_prefix(data) else {
            return Err(Error::corrupt(Code::ListSize, "the cell is too small for a subkeys list", place)
                .expected("4 bytes", data.len()));
        };
        let kind = match &header.signature {
            b"li" => ListKind::IndexLeaf,
            b"lf" => ListKind::FastLeaf,
            b"lh" => ListKind::HashLeaf,
            b"ri" => ListKind::IndexRoot,
            other => {
                return Err(Error::corrupt(Code::ListSignature, "subkeys list signature", place)
                    .expected("\"li\", \"lf\", \"lh\" or \"ri\"", format_args!("\"{}\"", other.escape_ascii())));
            }
        };
        let size = usize::from(header.count.get()) * kind.element_size();
        let Some(elements) = rest.get(..size) else {
            return Err(Error::corrupt(Code::ListSize, "the subkeys list is larger than its cell", place + 2)
                .expected(format_args!("at most {} elements", rest.len() / kind.element_size()), header.count));
        };
        Ok(SubkeysList { kind, elements })
    }

    /// Returns the number of elements.
    pub fn len(&self) -> usize {
        self.elements.len() / self.kind.element_size()
    }

    /// Returns whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    /// Returns the elements in order: the cell offset, and the hint if the kind has one.
    pub fn elements(&self) -> impl ExactSizeIterator<Item = (CellOffset, Option<u32>)> + 'a {
        self.elements_from(0)
    }

    /// Returns the elements from `index` on. See [`SubkeysList::elements`].
    pub fn elements_from(&self, index: usize) -> impl ExactSizeIterator<Item = (CellOffset, Option<u32>)> + 'a {
        let size = self.kind.element_size();
        let rest = self.elements.get(index.saturating_mul(size)..).unwrap_or_default();
        rest.chunks_exact(size).map(|raw| match LeafElement::read_from_bytes(raw) {
            Ok(leaf) => (CellOffset(leaf.offset.get()), Some(leaf.hint.get())),
            Err(_) => (CellOffset(u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]])), None),
        })
    }

    /// Returns the elements as they are stored.
    pub(crate) fn raw_elements(&self) -> &'a [u8] {
        self.elements
    }

    /// Returns the element at `index`.
    pub fn get(&self, index: usize) -> Option<(CellOffset, Option<u32>)> {
        let size = self.kind.element_size();
        let raw = self.elements.get(index.checked_mul(size)?..)?.get(..size)?;
        SubkeysList { kind: self.kind, elements: raw }.elements().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_must_fit_the_cell() {
        let list = b"lh\x01\0\x20\0\0\0\xaa\0\0\0";
        let parsed = SubkeysList::parse(list, CellOffset(32)).unwrap();
        assert_eq!(parsed.elements().collect::<Vec<_>>(), [(CellOffset(0x20), Some(0xaa))]);
        assert_eq!(parsed.get(1), None);
        assert_eq!(SubkeysList::parse(&list[..11], CellOffset(32)).unwrap_err().code(), "list-size");
        assert_eq!(SubkeysList::parse(b"li\xff\xff", CellOffset(32)).unwrap_err().code(), "list-size");
        assert_eq!(SubkeysList::parse(b"xx\0\0", CellOffset(32)).unwrap_err().code(), "list-signature");
        assert!(SubkeysList::parse(b"ri\0\0\0\0", CellOffset(32)).unwrap().is_empty());
    }
}
