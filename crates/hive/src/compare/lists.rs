//! Two lists of subkeys, gone through together.
//!
//! As long as the names at one place are the same, the order does not matter. At the first place where they are not, both
//! lists are looked through: lists in the registry's order are merged as they stand, and of any other the rest is sorted
//! first. So a list costs memory only where it is out of order.

use std::cmp::Ordering;

use super::{Side, Subkeys};
use crate::{HiveBytes, Key};
use hivewright_error::{Error, Result};

/// What one place of two lists holds.
pub(super) enum Pair<'a, 'b, A, B> {
    Both(Key<'a, A>, Key<'b, B>),
    /// Where it is `true`, the other list may hold the key.
    OnlyA(Key<'a, A>, bool),
    OnlyB(Key<'b, B>, bool),
    Damage(Side, Error),
}

/// One list, and its next key.
struct List<'h, B> {
    of: Key<'h, B>,
    rest: Subkeys<'h, B>,
    next: Option<Key<'h, B>>,
    /// A key of it cannot be read.
    damaged: bool,
    /// Two keys of it have one name.
    twice: bool,
}

pub(super) struct Pairs<'a, 'b, A, B> {
    a: List<'a, A>,
    b: List<'b, B>,
    /// Whether both lists were looked through, and what is left of them is in order.
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
                self.a.bring_in_order();
                self.b.bring_in_order();
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

    /// Reads the next key, if there is none at hand. An error is one about a key in between.
    fn fill(&mut self) -> Result<()> {
        if self.next.is_none() {
            self.next = self.rest.next().transpose().inspect_err(|_| self.damaged = true)?;
        }
        Ok(())
    }

    /// Looks through the whole list. Where it is out of order, sorts what is left of it.
    fn bring_in_order(&mut self) {
        // What was read before can be read again.
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
