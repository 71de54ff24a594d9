//! References between cells. Errors name the referring field and its offset.

use std::fmt;

use crate::regf::{CellOffset, cell};
use hivewright_error::{Code, Error};

/// The field that holds a cell offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Referrer {
    what: &'static str,
    element: Option<usize>,
    /// Offset in the file.
    at: u64,
}

impl Referrer {
    /// Returns the field called `what`, at an offset in the file.
    pub(super) fn field(what: &'static str, at: u64) -> Self {
        Referrer { what, element: None, at }
    }

    /// Returns the field called `what`, `offset` bytes into the data of a cell.
    pub(super) fn in_cell(what: &'static str, cell: CellOffset, offset: u64) -> Self {
        Self::field(what, cell.data_in_file().saturating_add(offset))
    }

    /// Returns element `index` of the list called `what`, `offset` bytes into the data of a cell.
    pub(super) fn element(what: &'static str, index: usize, cell: CellOffset, offset: u64) -> Self {
        Referrer { element: Some(index), ..Self::in_cell(what, cell, offset) }
    }

    /// Returns the error for a reference that is not to a cell below `length`.
    pub(super) fn leads_out(&self, to: CellOffset, length: u32) -> Error {
        let limit = length.saturating_sub(cell::ALIGNMENT);
        Error::corrupt(Code::CellReference, format!("{self} does not lead to a cell in the hive bins"), self.at)
            .expected(format_args!("a cell offset up to {limit:#x}"), to)
    }

    /// Returns the error for a reference to a free cell.
    pub(super) fn leads_to_free_cell(&self, to: CellOffset) -> Error {
        Error::corrupt(Code::CellReference, format!("{self} leads to a free cell"), self.at)
            .expected("a cell in use", to)
    }
}

impl fmt::Display for Referrer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.element {
            None => write!(f, "the {}", self.what),
            Some(index) => write!(f, "element {index} of the {}", self.what),
        }
    }
}
