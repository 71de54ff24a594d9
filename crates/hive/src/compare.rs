//! Comparing two hives, or two keys and all below them.
//!
//! [`compare`] walks both trees together, once, and yields differences one by one. Names are compared as the registry
//! compares them, without regard to case. Memory is that of the keys on the way down, and of one list where two lists
//! differ: it does not grow with the hive. A key that cannot be read is an item of its own ([`Damage`]), and the walk
//! goes on after it.
//!
//! [`operations`] turns the differences into what makes the first hive like the second one, for a registration file (see
//! [`crate::reg_text`]).
//!
//! # Examples
//! ```
//! use hivewright_hive::compare::{CompareOptions, What, compare};
//! use hivewright_hive::{Data, EditOptions, Hive};
//!
//! # let bytes = hivewright_fixtures::HiveSpec::new(hivewright_fixtures::Minor::V5)
//! #     .key("Select", |key| key.dword("Current", 1)).build().bytes;
//! let before = Hive::open(bytes.clone())?.clean()?;
//! let mut edit = Hive::open(bytes)?.clean()?.edit(EditOptions::default());
//! edit.create_key(r"Setup\New")?;
//! edit.set_value("Select", "Current", &Data::Dword(2))?;
//! let after = Hive::open(edit.finish()?.bytes)?.clean()?;
//!
//! let differences = compare(&before.root()?, &after.root()?, CompareOptions::default());
//! let differences = differences.collect::<Result<Vec<_>, _>>().map_err(|damage| damage.error)?;
//! let [changed, new] = &differences[..] else { panic!() };
//! assert_eq!(changed.path(), "Select");
//! assert!(matches!(&changed.what, What::ValueChanged { b, .. } if b.data()? == Data::Dword(2)));
//! assert_eq!(new.path(), "Setup");
//! assert!(matches!(new.what, What::KeyOnlyInB { .. }));
//! # Ok::<(), hivewright_hive::Error>(())
//! ```

mod lists;
mod operations;
#[cfg(test)]
mod tests;
mod values;

pub use operations::{NotCarried, Operations, operations};

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};

use crate::regf::key_node::{self, MAX_DEPTH};
use crate::regf::name::Name;
use crate::regf::timestamp::FileTime;
use crate::{HiveBytes, Key, Text, Value};
use hivewright_error::{Code, Error, Kind, Result};
use lists::{Pair, Pairs};

/// Options of [`compare`].
#[derive(Clone, Copy, Debug, Default)]
pub struct CompareOptions {
    /// Whether last-written times are compared too.
    pub times: bool,
    /// Whether all keys below a key of only one side are yielded, instead of the topmost alone.
    pub inside: bool,
}

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The first one.
    A,
    /// The second one.
    B,
}

/// A difference and its key.
#[derive(Debug)]
pub struct Difference<'a, 'b, A, B> {
    /// The names of the path from the compared keys to this key.
    pub names: Vec<Name<'static>>,
    /// The difference.
    pub what: What<'a, 'b, A, B>,
}

impl<A, B> Difference<'_, '_, A, B> {
    /// Returns the names, separated by backslashes.
    pub fn path(&self) -> String {
        join(&self.names)
    }
}

/// A difference between two keys of one path.
#[derive(Debug)]
#[non_exhaustive]
pub enum What<'a, 'b, A, B> {
    /// Only A has the key.
    KeyOnlyInA {
        /// The key.
        key: Key<'a, A>,
        /// Whether it is below another such key.
        inside: bool,
        /// Whether B may have it: its list of subkeys is damaged, or one of the two lists has a name twice.
        unsure: bool,
    },
    /// Only B has the key.
    KeyOnlyInB {
        /// The key.
        key: Key<'b, B>,
        /// Whether it is below another such key.
        inside: bool,
        /// Whether A may have it: its list of subkeys is damaged, or one of the two lists has a name twice.
        unsure: bool,
    },
    /// Only A has the value.
    ValueOnlyInA {
        /// The value.
        value: Value<'a, A>,
        /// Whether B may have it: its list of values is damaged.
        unsure: bool,
    },
    /// Only B has the value.
    ValueOnlyInB {
        /// The value.
        value: Value<'b, B>,
        /// Whether A may have it: its list of values is damaged.
        unsure: bool,
    },
    /// Type or data of a value differ.
    ValueChanged {
        /// The value of A.
        a: Value<'a, A>,
        /// The value of B.
        b: Value<'b, B>,
    },
    /// The class names differ.
    Class {
        /// That of A.
        a: Option<Text>,
        /// That of B.
        b: Option<Text>,
    },
    /// The bytes of the security descriptors differ.
    Security {
        /// Those of A.
        a: Cow<'a, [u8]>,
        /// Those of B.
        b: Cow<'b, [u8]>,
    },
    /// The last-written times differ.
    Time {
        /// That of A.
        a: FileTime,
        /// That of B.
        b: FileTime,
    },
    /// One of the keys is the tombstone of a layered key.
    Tombstone {
        /// Whether that of A is.
        a: bool,
        /// Whether that of B is.
        b: bool,
    },
}

/// A part of a hive that cannot be compared.
#[derive(Debug)]
pub struct Damage {
    /// The names on the way to the key whose list, value or other part is damaged.
    pub names: Vec<Name<'static>>,
    /// The side that it is on.
    pub side: Side,
    /// The damage.
    pub error: Error,
}

impl Damage {
    /// Returns the names, separated by backslashes.
    pub fn path(&self) -> String {
        join(&self.names)
    }
}

fn join(names: &[Name<'_>]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join("\\")
}

/// The differences between two keys and all below them: see [`compare`].
pub struct Comparison<'a, 'b, A, B> {
    options: CompareOptions,
    open: Vec<Open<'a, 'b, A, B>>,
    /// The differences found at the current key.
    found: VecDeque<Found<'a, 'b, A, B>>,
    /// Cell offsets of key securities whose descriptors are the same.
    same_security: BTreeSet<(u32, u32)>,
    /// Keys visited on each side, and the most that each hive has room for.
    visited: [u64; 2],
    most: [u64; 2],
}

type Found<'a, 'b, A, B> = std::result::Result<Difference<'a, 'b, A, B>, Damage>;
type Subkeys<'h, B> = Box<dyn Iterator<Item = Result<Key<'h, B>>> + 'h>;

/// A key of the current path: its name, and its remaining subkeys.
enum Open<'a, 'b, A, B> {
    Both(Key<'b, B>, Box<Pairs<'a, 'b, A, B>>),
    OnlyA(Key<'a, A>, Subkeys<'a, A>),
    OnlyB(Key<'b, B>, Subkeys<'b, B>),
}

/// Pairs of key securities that are cached at most.
const MOST_PAIRS: usize = 4096;

/// Compares `a` and `b` and all below them. A difference of a key comes before those below it, and the keys in the
/// order of the registry.
pub fn compare<'a, 'b, A: HiveBytes, B: HiveBytes>(
    a: &Key<'a, A>,
    b: &Key<'b, B>,
    options: CompareOptions,
) -> Comparison<'a, 'b, A, B> {
    let most = |length: u32| u64::from(length) / key_node::SIZE as u64;
    let mut comparison = Comparison {
        options,
        open: Vec::new(),
        found: VecDeque::new(),
        same_security: BTreeSet::new(),
        visited: [0; 2],
        most: [most(a.hive().length()), most(b.hive().length())],
    };
    comparison.pair(a.clone(), b.clone());
    comparison
}

impl<'a, 'b, A: HiveBytes, B: HiveBytes> Iterator for Comparison<'a, 'b, A, B> {
    type Item = Found<'a, 'b, A, B>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(found) = self.found.pop_front() {
                if matches!(&found, Err(damage) if damage.error.kind() == Kind::Io) {
                    self.open.clear();
                    self.found.clear();
                }
                return Some(found);
            }
            match self.open.last_mut()? {
                Open::Both(_, pairs) => match pairs.next() {
                    Some(Pair::Both(a, b)) => self.pair(a, b),
                    Some(Pair::OnlyA(key, unsure)) => self.only_a(key, false, unsure),
                    Some(Pair::OnlyB(key, unsure)) => self.only_b(key, false, unsure),
                    Some(Pair::Damage(side, error)) => self.damage(side, error),
                    None => _ = self.open.pop(),
                },
                Open::OnlyA(_, subkeys) => match subkeys.next() {
                    Some(Ok(key)) => self.only_a(key, true, false),
                    Some(Err(error)) => self.damage(Side::A, error),
                    None => _ = self.open.pop(),
                },
                Open::OnlyB(_, subkeys) => match subkeys.next() {
                    Some(Ok(key)) => self.only_b(key, true, false),
                    Some(Err(error)) => self.damage(Side::B, error),
                    None => _ = self.open.pop(),
                },
            }
        }
    }
}

impl<'a, 'b, A: HiveBytes, B: HiveBytes> Comparison<'a, 'b, A, B> {
    /// Returns the names on the way to the key that was opened last; the first one is that of the keys that were given.
    fn names(&self) -> Vec<Name<'static>> {
        let name = |open: &Open<'a, 'b, A, B>| match open {
            Open::Both(key, _) | Open::OnlyB(key, _) => key.name().clone().into_owned(),
            Open::OnlyA(key, _) => key.name().clone().into_owned(),
        };
        self.open.iter().skip(1).map(name).collect()
    }

    /// Returns the names on the way to a subkey of the key that was opened last.
    fn names_to(&self, name: &Name<'_>) -> Vec<Name<'static>> {
        let mut names = self.names();
        if !self.open.is_empty() {
            names.push(name.clone().into_owned());
        }
        names
    }

    fn damage(&mut self, side: Side, error: Error) {
        let names = self.names();
        self.found.push_back(Err(Damage { names, side, error }));
    }

    fn damage_at(&mut self, name: &Name<'_>, side: Side, error: Error) {
        let names = self.names_to(name);
        self.found.push_back(Err(Damage { names, side, error }));
    }

    fn differ(&mut self, name: &Name<'_>, what: What<'a, 'b, A, B>) {
        let names = self.names_to(name);
        self.found.push_back(Ok(Difference { names, what }));
    }

    /// Counts a key. A hive has at most as many keys as it has room for key nodes, and paths are bounded by that
    /// number; more keys mean a cycle.
    fn enter(&mut self, side: Side, name: &Name<'_>, at: u64) -> bool {
        let i = usize::from(side == Side::B);
        self.visited[i] += 1;
        if self.visited[i] <= self.most[i] && self.open.len() <= MAX_DEPTH {
            return true;
        }
        let what = "the keys are a cycle: the subkeys lists contain more keys than the hive can";
        self.damage_at(name, side, Error::corrupt(Code::ListSize, what, at));
        if self.visited[i] > self.most[i] {
            self.open.clear();
        }
        false
    }

    fn only_a(&mut self, key: Key<'a, A>, inside: bool, unsure: bool) {
        if !self.enter(Side::A, key.name(), key.at().data_in_file()) {
            return;
        }
        self.differ(key.name(), What::KeyOnlyInA { key: key.clone(), inside, unsure });
        if self.options.inside {
            match key.subkeys() {
                Ok(subkeys) => self.open.push(Open::OnlyA(key, Box::new(subkeys))),
                Err(error) => self.damage_at(key.name(), Side::A, error),
            }
        }
    }

    fn only_b(&mut self, key: Key<'b, B>, inside: bool, unsure: bool) {
        if !self.enter(Side::B, key.name(), key.at().data_in_file()) {
            return;
        }
        self.differ(key.name(), What::KeyOnlyInB { key: key.clone(), inside, unsure });
        if self.options.inside {
            match key.subkeys() {
                Ok(subkeys) => self.open.push(Open::OnlyB(key, Box::new(subkeys))),
                Err(error) => self.damage_at(key.name(), Side::B, error),
            }
        }
    }

    /// Compares two keys of one path, and opens them.
    fn pair(&mut self, a: Key<'a, A>, b: Key<'b, B>) {
        let entered = self.enter(Side::A, a.name(), a.at().data_in_file());
        if !entered || !self.enter(Side::B, b.name(), b.at().data_in_file()) {
            return;
        }
        let minors = (a.hive().base_block().minor_version.get(), b.hive().base_block().minor_version.get());
        let tombstones = (a.node().is_tombstone(minors.0), b.node().is_tombstone(minors.1));
        if tombstones.0 != tombstones.1 {
            self.differ(b.name(), What::Tombstone { a: tombstones.0, b: tombstones.1 });
        }
        if self.options.times && a.last_written() != b.last_written() {
            self.differ(b.name(), What::Time { a: a.last_written(), b: b.last_written() });
        }
        self.classes(&a, &b);
        self.securities(&a, &b);
        self.values(&a, &b);
        if a.node().subkey_count.get() == 0 && b.node().subkey_count.get() == 0 {
            return;
        }
        match Pairs::of(&a, &b) {
            Ok(pairs) => self.open.push(Open::Both(b, Box::new(pairs))),
            Err((side, error)) => self.damage_at(b.name(), side, error),
        }
    }

    fn classes(&mut self, a: &Key<'a, A>, b: &Key<'b, B>) {
        if a.node().class_name_length.get() == 0 && b.node().class_name_length.get() == 0 {
            return;
        }
        match (a.class(), b.class()) {
            (Ok(in_a), Ok(in_b)) if in_a == in_b => {}
            (Ok(in_a), Ok(in_b)) => self.differ(b.name(), What::Class { a: in_a, b: in_b }),
            (in_a, in_b) => self.damages(b.name(), in_a.err(), in_b.err()),
        }
    }

    fn securities(&mut self, a: &Key<'a, A>, b: &Key<'b, B>) {
        let cells = (a.node().key_security.get(), b.node().key_security.get());
        if self.same_security.contains(&cells) {
            return;
        }
        match (a.security_descriptor(), b.security_descriptor()) {
            (Ok(in_a), Ok(in_b)) if in_a == in_b => {
                if self.same_security.len() < MOST_PAIRS {
                    self.same_security.insert(cells);
                }
            }
            (Ok(in_a), Ok(in_b)) => self.differ(b.name(), What::Security { a: in_a, b: in_b }),
            (in_a, in_b) => self.damages(b.name(), in_a.err(), in_b.err()),
        }
    }

    fn damages(&mut self, name: &Name<'_>, a: Option<Error>, b: Option<Error>) {
        for (side, error) in [(Side::A, a), (Side::B, b)] {
            if let Some(error) = error {
                self.damage_at(name, side, error);
            }
        }
    }
}

impl<A, B> std::fmt::Debug for Comparison<'_, '_, A, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Comparison")
            .field("options", &self.options)
            .field("visited", &self.visited)
            .finish_non_exhaustive()
    }
}
