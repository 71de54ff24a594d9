//! Merges two subkeys lists.
//!
//! While the names at the same index are equal, the order does not matter. At the first difference the order of both
//! lists is checked: the rest of an unsorted list is sorted before the merge. So only an unsorted list needs memory.

use std::cmp::Ordering;

use super::{Side, Subkeys};
use crate::{HiveBytes, Key};
use hivewright_error::{Error, Result};

/// One step of the merge.
pub(super) enum Pair<'a, 'b, A, B> {
    Both(Key<'a, A>, Key<'b, B>),
    /// If `true`, the other list may have the key.
    OnlyA(Key<'a, A>, bool),
    OnlyB(Key<'b, B>, bool),
    Damage(Side, Error),
}

/// One list, and its next key.
struct List<'h, B> {
    of: Key<'h, B>,
    rest: Subkeys<'h, B>,
    next: Option<Key<'h, B>>,
    /// Whether a key of it cannot be read.
    damaged: bool,
    /// Whether two of its keys have one name.
    twice: bool,
}

pub(super) struct Pairs<'a, 'b, A, B> {
    a: List<'a, A>,
    b: List<'b, B>,
    /// Whether both lists were checked, and the rest of each is sorted.
    in_order: bool,
}

impl<'a, 'b, A: HiveBytes, B: HiveBytes> Pairs<'a, 'b, A, B> {
    pub(super) fn of(a: &Key<'a, A>, b: &Key<'b, B>) -> std::result::Result<Self, (Side, Error)> {
        let a = List::of(a).map_err(|error| (Side::A, error))?;
        let b = List::of(b).map_err(|error| (Side::B, error))?;
        Ok(Pairs { a, b, in_order: false })
    }

    pub(super) fn next(&mut self) -> Option<Pair<'a, 'b, A, B>> {
        loop {
            if let Err(error) = self.a.fill() {
                return Some(Pair::Damage(Side::A, error));
            }
            if let Err(error) = self.b.fill() {
                return Some(Pair::Damage(Side::B, error));
            }
            let order = match (&self.a.next, &self.b.next) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.name().compare(b.name()),
            };
            if order != Ordering::Equal && !self.in_order {
                self.a.sort_rest();
                self.b.sort_rest();
                self.in_order = true;
                continue;
            }
            let twice = self.a.twice || self.b.twice;
            return match order {
                Ordering::Equal => Some(Pair::Both(self.a.next.take()?, self.b.next.take()?)),
                Ordering::Less => Some(Pair::OnlyA(self.a.next.take()?, twice || self.b.damaged)),
                Ordering::Greater => Some(Pair::OnlyB(self.b.next.take()?, twice || self.a.damaged)),
            };
        }
    }
}

impl<'h, B: HiveBytes> List<'h, B> {
    fn of(key: &Key<'h, B>) -> Result<Self> {
        Ok(List { of: key.clone(), rest: Box::new(key.subkeys()?), next: None, damaged: false, twice: false })
    }

    /// Reads the next key, if there is none. An error belongs to a key in between.
    fn fill(&mut self) -> Result<()> {
        if self.next.is_none() {
            self.next = self.rest.next().transpose().inspect_err(|_| self.damaged = true)?;
        }
        Ok(())
    }

    /// Checks the order of the whole list, and sorts the rest of it if necessary.
    fn sort_rest(&mut self) {
        // Keys that were read before can be read again.
        let Ok(keys) = self.of.subkeys() else { return };
        let mut before: Option<Key<'h, B>> = None;
        let mut in_order = true;
        for key in keys {
            let Ok(key) = key else {
                self.damaged = true;
                continue;
            };
            match before.as_ref().map(|before| before.name().compare(key.name())) {
                None | Some(Ordering::Less) => {}
                Some(Ordering::Equal) => self.twice = true,
                Some(Ordering::Greater) => in_order = false,
            }
            before = Some(key);
        }
        if in_order {
            return;
        }
        let rest = std::mem::replace(&mut self.rest, Box::new(std::iter::empty()));
        let (mut keys, mut errors) = (Vec::new(), Vec::new());
        for key in self.next.take().map(Ok).into_iter().chain(rest) {
            match key {
                Ok(key) => keys.push(key),
                Err(error) => errors.push(Err(error)),
            }
        }
        keys.sort_by(|a, b| a.name().compare(b.name()));
        self.twice |= keys.windows(2).any(|pair| pair[0].name().compare(pair[1].name()) == Ordering::Equal);
        self.rest = Box::new(errors.into_iter().chain(keys.into_iter().map(Ok)));
        // The next key is read by `fill`.
    }
}
