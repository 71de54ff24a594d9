//! The way of other parsers to a key: subkeys lists are sorted, so they search them by halves and see other cells than
//! our own look-up does, which goes by hashes and hints.

use std::cmp::Ordering;

use super::{Hive, HiveBytes, Key};
use crate::regf::CellOffset;
use hivewright_error::Result;

/// Touches what a search by halves for the key at `path` touches, so that a copy of the touched bytes is enough for a
/// parser that searches so.
///
/// # Errors
/// Damage on the way.
pub fn touch<B: HiveBytes>(hive: &Hive<B>, path: &str) -> Result<()> {
    let mut key = hive.root()?;
    for name in path.split('\\').filter(|name| !name.is_empty()) {
        search(&key, name)?;
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
    // In each leaf the first and the last tell whether the name is in between.
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
        // The lower of two middles, as the textbook has it.
        let middle = (from + to - 1) / 2;
        match compare(&all[middle])? {
            Ordering::Equal => return Ok(Some(&all[middle])),
            Ordering::Less => from = middle + 1,
            Ordering::Greater => to = middle,
        }
    }
    Ok(None)
}
