//! Evaluation of the checks for an installation. Each hive is opened once, and only the pages on the way to the checked
//! keys are read.

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::KeyPath;
use hivewright_hive::regf::name::Name;

use super::Checks;
use super::check::{Check, Mend};
use super::condition::Facts;
use super::lookup::look_up;
use super::path::Hives;
use super::text::At;
use super::tree::Tree;
use crate::audit::record::CheckStatus;
use crate::edit::{Action, PathOperation};
use crate::windows::control_set::{ControlSets, Role};
use crate::windows::lookup::Damage;
use crate::windows::special::special;
use crate::{Hive, HiveKind, Installation, Key, RegistryPath};

/// The most places listed for a check; an asterisk may match a hundred thousand keys.
const MOST_PLACES: usize = 100;

/// A key or value that is not as expected, or whose state is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Control set: `next-boot`, `capture`.
    pub at: Option<&'static str>,
    /// Full path of the key.
    pub key: String,
    /// Actual state in one line: `absent`, `REG_DWORD 1`, `unknown`.
    pub found: String,
    /// Type of the data.
    pub data_type: Option<String>,
    /// First bytes of the data, in hexadecimal.
    pub data_hex: Option<String>,
    /// Code of the error that makes the state unknown.
    pub code: Option<Code>,
}

/// Result of one check.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Worst status of all places.
    pub status: CheckStatus,
    /// Number of keys that were checked.
    pub keys: u64,
    /// The first places that are not as expected.
    pub places: Vec<Place>,
    /// Number of further places.
    pub left_out: u64,
    /// Operations that fix the places.
    pub mending: Vec<PathOperation>,
    /// Number of places without such an operation.
    pub not_mended: u64,
}

impl Outcome {
    fn add(&mut self, status: CheckStatus, place: impl FnOnce() -> Place) {
        self.keys += 1;
        self.status = self.status.max(status);
        if matches!(status, CheckStatus::Fail | CheckStatus::Unknown) {
            match self.places.len() < MOST_PLACES {
                true => self.places.push(place()),
                false => self.left_out += 1,
            }
        }
    }

    fn unknown(&mut self, at: Option<&'static str>, key: String, code: Option<Code>) {
        self.not_mended += 1;
        self.add(CheckStatus::Unknown, || Place { at, key, found: "unknown".to_owned(), code, ..Place::default() });
    }
}

/// Control sets to check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those that each check names.
    AsAsked,
    /// Those that a write changes: of the next boot and of the captured boot.
    Both,
}

/// Evaluates every check for an installation, in their order.
///
/// # Errors
/// Errors of the medium. A damaged hive, key or value makes the checks on it unknown.
pub fn evaluate(checks: &Checks, installation: &Installation, facts: &Facts<'_>, scope: Scope) -> Result<Vec<Outcome>> {
    let mut run =
        Run { checks: &checks.list, outcomes: vec![Outcome::default(); checks.list.len()], applies: Vec::new(), scope };
    for (number, check) in checks.list.iter().enumerate() {
        let applies = check.when.holds(facts, &check.roles);
        if applies.is_none() {
            run.outcomes[number].unknown(None, check.key.to_string(), None);
        }
        run.applies.push(applies == Some(true));
    }
    for (hives, tree) in &checks.trees {
        let applying = tree.applying(|check| run.applies[check]);
        if !applying.first().is_some_and(|any| *any) {
            continue;
        }
        match hives {
            Hives::ControlSets => run.control_sets(installation, tree, scope)?,
            Hives::One(kind) => run.one(installation, kind, tree)?,
            Hives::Users => run.users(installation, tree, false)?,
            Hives::UserClasses => run.users(installation, tree, true)?,
        }
    }
    Ok(run.outcomes)
}

struct Run<'c> {
    checks: &'c [Check],
    outcomes: Vec<Outcome>,
    /// For each check, whether it applies to this target.
    applies: Vec<bool>,
    scope: Scope,
}

/// Start of a walk through a hive.
struct Start<'a> {
    kind: HiveKind,
    /// Names from the root of the hive to the start.
    above: KeyPath<'static>,
    /// Roles of the control set.
    roles: &'a [Role],
}

impl Run<'_> {
    /// Makes all checks of a tree that apply unknown.
    fn set_unknown(&mut self, tree: &Tree, roles: &[Role], error: Error) -> Result<()> {
        if error.kind() == Kind::Io {
            return Err(error);
        }
        let all = tree.below(0).into_iter().filter(|check| self.applies_to(*check, roles)).collect::<Vec<_>>();
        for check in all {
            let at = at(roles, self.checks[check].at);
            self.outcomes[check].unknown(at, self.checks[check].key.to_string(), Some(error.code()));
        }
        Ok(())
    }

    /// Returns whether a check applies to this target, and to a control set with these roles if there are any.
    fn applies_to(&self, check: usize, roles: &[Role]) -> bool {
        let at = self.checks[check].at;
        self.applies[check] && (roles.is_empty() || roles.iter().any(|role| at.has(*role)))
    }

    fn one(&mut self, installation: &Installation, kind: &HiveKind, tree: &Tree) -> Result<()> {
        let start = |kind| Start { kind, above: KeyPath::default(), roles: &[] };
        if *kind == HiveKind::Software {
            return match installation.software() {
                Ok(hive) => self.walk(hive.root(), &start(kind.clone()), tree),
                Err(error) => self.set_unknown(tree, &[], error),
            };
        }
        if *kind == HiveKind::System {
            return match installation.system_hive() {
                Ok(hive) => self.walk(hive.root(), &start(kind.clone()), tree),
                Err(error) => self.set_unknown(tree, &[], error),
            };
        }
        match installation.hive(kind.clone()) {
            Ok(hive) => self.walk(hive.root(), &start(kind.clone()), tree),
            Err(error) => self.set_unknown(tree, &[], error),
        }
    }

    fn users(&mut self, installation: &Installation, tree: &Tree, classes: bool) -> Result<()> {
        let profiles = match installation.profiles() {
            Ok(profiles) => profiles,
            Err(error) => return self.set_unknown(tree, &[], error),
        };
        // Services have profiles too, and so do replaced profiles.
        let is_user = |sid: &str| !["S-1-5-18", "S-1-5-19", "S-1-5-20"].contains(&sid) && !sid.ends_with(".bak");
        for profile in profiles.iter().filter(|profile| is_user(&profile.sid)) {
            let kind = match classes {
                true => HiveKind::UserClasses(profile.sid.clone()),
                false => HiveKind::User(profile.sid.clone()),
            };
            let hive = match installation.hive_of_profile(profile, classes) {
                Ok(Some(file)) => Hive::open(file),
                // A profile that was never created, or was deleted manually, has no hive.
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match hive {
                Ok(hive) => self.walk(hive.root(), &Start { kind, above: KeyPath::default(), roles: &[] }, tree)?,
                Err(error) => self.set_unknown(tree, &[], error.about(&kind.to_string()))?,
            }
        }
        Ok(())
    }

    fn control_sets(&mut self, installation: &Installation, tree: &Tree, scope: Scope) -> Result<()> {
        let hive = match installation.system_hive() {
            Ok(hive) => hive,
            Err(error) => return self.set_unknown(tree, &[], error),
        };
        let sets = match ControlSets::find(hive.format(), &mut Damage::default()) {
            Ok(sets) => sets,
            Err(error) => return self.set_unknown(tree, &[], error),
        };
        let is_checked =
            |role| tree.below(0).into_iter().any(|check| self.applies[check] && self.checks[check].at.has(role));
        let is_wanted = |role| scope == Scope::Both || is_checked(role);
        let roles = [Role::Default, Role::Current].into_iter().filter(|role| is_wanted(*role)).collect::<Vec<_>>();
        let mut done: Vec<u32> = Vec::new();
        for role in &roles {
            let set = match sets.require(*role) {
                Ok(set) => set,
                Err(error) => {
                    self.set_unknown(tree, &[*role], error)?;
                    continue;
                }
            };
            if done.contains(&set.number) {
                continue;
            }
            done.push(set.number);
            let of_set: Vec<Role> = match scope {
                Scope::Both => vec![Role::Default, Role::Current],
                Scope::AsAsked => set.roles.iter().copied().filter(|role| roles.contains(role)).collect(),
            };
            let above = KeyPath::from_names([Name::encode(&set.name)]);
            let start = Start { kind: HiveKind::System, above, roles: &of_set };
            match special(&set.key, &set.name) {
                Some(error) => self.set_unknown(tree, &of_set, error)?,
                None => self.walk(Ok(set.key.clone()), &start, tree)?,
            }
        }
        Ok(())
    }

    /// Walks the keys of a hive that a tree contains.
    fn walk<'h>(&mut self, root: Result<Key<'h>>, start: &Start<'_>, tree: &Tree) -> Result<()> {
        let root = match root {
            Ok(root) => root,
            Err(error) => return self.set_unknown(tree, start.roles, error),
        };
        let applying = tree.applying(|check| self.applies_to(check, start.roles));
        let mut frames = vec![Frame::new(0, Some(root), None)];
        while let Some(frame) = frames.last_mut() {
            let node = &tree.nodes[frame.node];
            if !std::mem::replace(&mut frame.is_begun, true) {
                let checks: Vec<usize> =
                    node.checks.iter().copied().filter(|check| self.applies_to(*check, start.roles)).collect();
                if !checks.is_empty() {
                    let key = frame.key.clone();
                    let place = KeyLocation { start, names: path(&frames) };
                    for check in checks {
                        self.judge(check, key.as_ref(), &place)?;
                    }
                }
                continue;
            }
            if let Some((name, below)) = node.named.get(frame.next_name) {
                frame.next_name += 1;
                if !applying[*below] {
                    continue;
                }
                let found = match &frame.key {
                    Some(key) => key.subkey(name),
                    None => Ok(None),
                };
                let found = found.and_then(|key| passable(key, name));
                self.enter(&mut frames, *below, found, name, start, tree, &applying)?;
                continue;
            }
            let any = node.any.filter(|any| applying[*any]);
            let (Some(any), Some(key)) = (any, &frame.key) else {
                frames.pop();
                continue;
            };
            if frame.subkeys.is_none() {
                match key.subkeys() {
                    Ok(subkeys) => frame.subkeys = Some(Box::new(subkeys)),
                    Err(error) => {
                        self.enter(&mut frames, any, Err(error), &Name::encode("*"), start, tree, &applying)?;
                        if let Some(frame) = frames.last_mut() {
                            frame.subkeys = Some(Box::new(std::iter::empty()));
                        }
                        continue;
                    }
                }
            }
            match frame.subkeys.as_mut().and_then(Iterator::next) {
                None => {
                    frames.pop();
                }
                Some(found) => {
                    let name = match &found {
                        Ok(key) => key.name().clone().into_owned(),
                        Err(_) => Name::encode("*"),
                    };
                    let found = found.and_then(|key| passable(Some(key), &name));
                    self.enter(&mut frames, any, found, &name, start, tree, &applying)?;
                }
            }
        }
        Ok(())
    }

    /// Continues with a key, or makes all checks below it unknown.
    #[allow(clippy::too_many_arguments)]
    fn enter<'h>(
        &mut self,
        frames: &mut Vec<Frame<'h>>,
        node: usize,
        found: Result<Option<Key<'h>>>,
        name: &Name<'_>,
        start: &Start<'_>,
        tree: &Tree,
        applying: &[bool],
    ) -> Result<()> {
        let error = match found {
            Ok(key) => {
                frames.push(Frame::new(node, key, Some(name.clone().into_owned())));
                return Ok(());
            }
            Err(error) if error.kind() == Kind::Io => return Err(error),
            Err(error) => error,
        };
        if applying[node] {
            let mut names = path(frames);
            names.push(name.clone().into_owned());
            let place = KeyLocation { start, names };
            for check in tree.below(node) {
                if self.applies_to(check, start.roles) {
                    let (at, key) = (at(start.roles, self.checks[check].at), place.registry_path().to_string());
                    self.outcomes[check].unknown(at, key, Some(error.code()));
                }
            }
        }
        Ok(())
    }

    /// Evaluates a check on one key, or on a value of it.
    fn judge(&mut self, number: usize, key: Option<&Key<'_>>, place: &KeyLocation<'_>) -> Result<()> {
        let check = &self.checks[number];
        let at = at(place.start.roles, check.at);
        let outcome = &mut self.outcomes[number];
        let found = match look_up(check, key) {
            Ok(found) => found,
            Err(error) if error.kind() == Kind::Io => return Err(error),
            Err(error) => {
                outcome.unknown(at, place.registry_path().to_string(), Some(error.code()));
                return Ok(());
            }
        };
        let status = if found.holds(check) { CheckStatus::Pass } else { CheckStatus::Fail };
        outcome.add(status, || Place { at, key: place.registry_path().to_string(), ..found.to_place() });
        // An audit fixes nothing, and an asterisk may match a hundred thousand keys.
        if status == CheckStatus::Fail && self.scope == Scope::Both {
            match mending(check, place, key.is_some()) {
                Some(operation) => outcome.mending.push(operation),
                None => match &check.mend {
                    Mend::Operations(all) if outcome.mending.is_empty() => outcome.mending.extend(all.iter().cloned()),
                    Mend::Operations(_) => {}
                    _ => outcome.not_mended += 1,
                },
            }
        }
        Ok(())
    }
}

/// Returns the control set of a place: `next-boot`, `capture`; `None` outside of control sets.
fn at(roles: &[Role], requested: At) -> Option<&'static str> {
    let of = |role| roles.contains(&role) && requested.has(role);
    match (of(Role::Default), of(Role::Current)) {
        (true, _) => Some("next-boot"),
        (false, true) => Some("capture"),
        (false, false) => roles.first().map(|role| if *role == Role::Current { "capture" } else { "next-boot" }),
    }
}

/// A key on the path of the walk, and the state of the walk below it.
struct Frame<'h> {
    node: usize,
    /// `None` for an absent key.
    key: Option<Key<'h>>,
    /// `None` for the root.
    name: Option<Name<'static>>,
    is_begun: bool,
    next_name: usize,
    subkeys: Option<Box<dyn Iterator<Item = Result<Key<'h>>> + 'h>>,
}

impl<'h> Frame<'h> {
    fn new(node: usize, key: Option<Key<'h>>, name: Option<Name<'static>>) -> Self {
        Frame { node, key, name, is_begun: false, next_name: 0, subkeys: None }
    }
}

/// Returns the names of the keys on the path.
fn path(frames: &[Frame<'_>]) -> Vec<Name<'static>> {
    frames.iter().filter_map(|frame| frame.name.clone()).collect()
}

/// Returns a key unless it is a link or otherwise special.
///
/// # Errors
/// `key-special`: Windows follows the link, or does not read the key.
fn passable<'h>(key: Option<Key<'h>>, name: &Name<'_>) -> Result<Option<Key<'h>>> {
    match key.as_ref().and_then(|key| special(key, &name.to_string())) {
        Some(error) => Err(error),
        None => Ok(key),
    }
}

/// Location of a key.
struct KeyLocation<'a> {
    start: &'a Start<'a>,
    names: Vec<Name<'static>>,
}

impl KeyLocation<'_> {
    fn registry_path(&self) -> RegistryPath {
        let names = self.start.above.names().iter().chain(&self.names).cloned();
        RegistryPath::new(self.start.kind.clone(), KeyPath::from_names(names))
    }
}

/// Returns the operation that fixes one place, if there is one.
fn mending(check: &Check, place: &KeyLocation<'_>, is_key_there: bool) -> Option<PathOperation> {
    let value = || check.value.clone().unwrap_or_else(|| Name::encode(""));
    let action = match &check.mend {
        Mend::No | Mend::Operations(_) => return None,
        Mend::Set { creates_key: false, .. } if !is_key_there => return None,
        Mend::Set { kind, data, .. } => Action::SetValue { name: value(), kind: *kind, data: data.clone() },
        Mend::DeleteValue => Action::DeleteValue { name: value() },
        Mend::DeleteKey => Action::DeleteKey,
        Mend::CreateKey => Action::CreateKey,
    };
    Some(PathOperation { path: place.registry_path(), action })
}
