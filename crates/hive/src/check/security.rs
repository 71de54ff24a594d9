//! Checks key securities: each key refers to one, all are linked in a ring, and each has the right reference count.

use std::fmt::Display;

use super::rules::Rule;
use super::{Checker, Position};
use crate::regf::CellOffset;
use crate::regf::key_security::KeySecurity;

/// A key security that keys refer to.
#[derive(Clone, Copy)]
struct Used {
    at: CellOffset,
    users: u32,
    /// The first key that refers to it.
    key: usize,
}

impl Checker<'_> {
    /// Checks the key securities of the visited keys, after all keys were visited.
    pub(super) fn key_securities(&mut self) {
        let mut used = self.used();
        used.retain(|one| self.security(one));
        self.report.facts.key_securities = used.len() as u64;
        self.references(&used);
        if let Some(first) = used.first() {
            let closed = self.ring(first.at, first.key);
            self.outside(&used, closed);
        }
    }

    /// Returns every distinct reference, in the order of cell offsets.
    fn used(&self) -> Vec<Used> {
        let mut pairs: Vec<(u32, u32)> = (0..).zip(&self.keys).map(|(i, key)| (key.security.0, i)).collect();
        pairs.sort_unstable();
        let runs = pairs.chunk_by(|a, b| a.0 == b.0).filter_map(|run| Some((run.first()?, run.len())));
        runs.map(|(&(at, key), users)| Used {
            at: CellOffset(at),
            users: u32::try_from(users).unwrap_or(u32::MAX),
            key: key as usize,
        })
        .collect()
    }

    /// Claims the cell of a key security. Returns whether it holds one and had no owner.
    fn security(&mut self, one: &Used) -> bool {
        let position = Position::field(self.keys[one.key].at, 44, Some(one.key));
        let Some(data) = self.map.data(one.at) else {
            self.whole = false;
            let what = format!("{} key(s) refer to a key security that is not a cell in use", one.users);
            self.wrong_reference(Rule::KeySecurity, position, &what, "an allocated cell", one.at);
            return false;
        };
        if let Err(error) = KeySecurity::parse(data, one.at) {
            self.parse_error(&error, Rule::KeySecurity, Position::field(one.at, 0, Some(one.key)));
            return false;
        }
        if !self.map.claim(one.at) {
            self.whole = false;
            self.wrong_reference(
                Rule::CellShared,
                position,
                "a key security",
                "a cell without another reference",
                one.at,
            );
            return false;
        }
        true
    }

    /// Checks the reference counts. If keys are unreadable, only a count that is too low is certainly wrong.
    fn references(&mut self, used: &[Used]) {
        for one in used {
            let Some(said) = self.parsed(one.at).map(|security| security.reference_count.get()) else { continue };
            if said < one.users || (self.whole && said != one.users) {
                let position = Position::field(one.at, 12, Some(one.key));
                self.find(Rule::SecurityReferences, position, "number of keys that use it", Some((&one.users, &said)));
            }
        }
    }

    fn parsed(&self, at: CellOffset) -> Option<KeySecurity> {
        KeySecurity::parse(self.map.data(at)?, at).ok()
    }

    /// Follows the ring from `first` and claims the members that no key uses. Returns whether the ring closes.
    fn ring(&mut self, first: CellOffset, key: usize) -> bool {
        let mut at = first;
        while self.map.join_ring(at) {
            let Some(this) = self.parsed(at) else { return false };
            let next = CellOffset(this.flink.get());
            let forward = Position::field(at, 4, Some(key));
            let Some(there) = self.parsed(next) else {
                self.whole = false;
                let values: (&dyn Display, &dyn Display) = (&"a key security", &next);
                self.find(Rule::SecurityRing, forward, "the ring does not lead to a key security", Some(values));
                return false;
            };
            let back = CellOffset(there.blink.get());
            if back != at {
                let position = Position::field(next, 8, Some(key));
                self.find(Rule::SecurityRing, position, "the ring is not closed", Some((&at, &back)));
            }
            if self.map.claim(next) {
                self.unused(next, &there);
            }
            at = next;
        }
        if at != first {
            self.find(Rule::SecurityRing, Position::field(at, 4, Some(key)), "the ring closes too early", None);
        }
        at == first
    }

    /// Reports a member of the ring that no visited key uses.
    fn unused(&mut self, at: CellOffset, security: &KeySecurity) {
        if self.whole {
            let position = Position::field(at, 12, None);
            let values: (&dyn Display, &dyn Display) = (&0, &security.reference_count);
            self.find(Rule::SecurityReferences, position, "no key uses this key security", Some(values));
        }
    }

    /// Reports key securities outside the ring. If the ring does not close, it is already reported as broken.
    fn outside(&mut self, used: &[Used], closed: bool) {
        for one in used.iter().filter(|_| closed) {
            if !self.map.in_ring(one.at) {
                let position = Position::field(one.at, 4, Some(one.key));
                self.find(Rule::SecurityRing, position, "the key security is not in the ring of the others", None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::check::tiny::{Tiny, codes};

    #[test]
    fn key_securities_have_their_codes() {
        let tiny = Tiny::new;
        let (one, other) = (Tiny::SECURITY, Tiny::SECURITY_2);
        assert_eq!(codes(&tiny().data16(one, 0, 0).bytes)[..1], ["key-security"]);
        assert_eq!(codes(&tiny().data32(one, 16, 400).bytes)[..1], ["key-security"]);
        assert_eq!(codes(&tiny().data32(Tiny::BETA, 44, u32::MAX).bytes), ["key-security"]);
        assert_eq!(codes(&tiny().data32(one, 12, 1).bytes), ["security-references"]);
        assert_eq!(codes(&tiny().data32(one, 12, 3).bytes), ["security-references"]);
        assert_eq!(codes(&tiny().data32(other, 8, other).bytes), ["security-ring"]);
        assert_eq!(codes(&tiny().data32(one, 4, 0x24).bytes), ["security-ring"]);
    }

    #[test]
    fn a_key_security_outside_the_ring_is_reported() {
        let one = Tiny::SECURITY;
        let alone = Tiny::new().data32(one, 4, one).data32(one, 8, one);
        assert_eq!(codes(&alone.bytes), ["security-ring"]);
    }

    #[test]
    fn an_unused_key_security_is_reported() {
        let tiny = Tiny::new().data32(Tiny::BETA, 44, Tiny::SECURITY).data32(Tiny::SECURITY, 12, 3);
        assert_eq!(codes(&tiny.bytes), ["security-references"]);
    }
}
