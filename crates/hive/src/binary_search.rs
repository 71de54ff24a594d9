//! The binary-search path to a key.
//!
//! nt-hive uses binary search in the sorted subkeys lists. The look-up of this crate uses hashes and hints, so it
//! reads other cells. [`touch`] reads the cells of the binary search as well. nt-hive then needs no other pages of a
//! hive in an image, and `get` does not read the whole hive. `tests/it/page_reads.rs` counts the pages,
//! `benches/processes` measures the time.

use std::cmp::Ordering;

use super::{Hive, HiveBytes, Key, KeyPath};
use crate::regf::CellOffset;
use hivewright_error::Result;

/// Reads the cells that a binary search for the key at `path` reads.
///
/// # Errors
/// A cell of the path is damaged.
pub fn touch<B: HiveBytes>(hive: &Hive<B>, path: &str) -> Result<()> {
    let mut key = hive.root()?;
    for name in KeyPath::from(path).names() {
        search(&key, &name.to_string())?;
        match key.subkey(name)? {
            Some(next) => key = next,
            None => break,
        }
    }
    Ok(())
}

fn search<B: HiveBytes>(key: &Key<'_, B>, name: &str) -> Result<()> {
    let hive = key.hive();
    let name = name.to_uppercase();
    let compare =
        |at: &CellOffset| -> Result<Ordering> { Ok(hive.key_at(*at)?.name().to_string().to_uppercase().cmp(&name)) };
    // The first and the last element of a leaf show whether the name is between them.
    let leaves = key.elements_of_leaves()?;
    let found = halves(&leaves, |leaf| {
        let (Some(&first), Some(&last)) = (leaf.first(), leaf.last()) else { return Ok(Ordering::Equal) };
        Ok(match (compare(&first)?, compare(&last)?) {
            (Ordering::Greater, _) => Ordering::Greater,
            (_, Ordering::Less) => Ordering::Less,
            _ => Ordering::Equal,
        })
    })?;
    match found {
        Some(leaf) => halves(leaf, compare).map(|_| ()),
        None => Ok(()),
    }
}

fn halves<T>(all: &[T], compare: impl Fn(&T) -> Result<Ordering>) -> Result<Option<&T>> {
    let (mut from, mut to) = (0, all.len());
    while from < to {
        // nt-hive chooses the lower of two middle elements.
        let middle = (from + to - 1) / 2;
        match compare(&all[middle])? {
            Ordering::Equal => return Ok(Some(&all[middle])),
            Ordering::Less => from = middle + 1,
            Ordering::Greater => to = middle,
        }
    }
    Ok(None)
}
