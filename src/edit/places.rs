//! Hives of an edit, and the operations on each.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Action, Edits, Operation, PathOperation, Plan, Request};
use crate::hive_kind::HiveKind;
use crate::installation::Installation;
use crate::locate::{HiveHandle, Image};
use crate::registry_path::RegistryPath;
use crate::windows::control_set::{ControlSets, LINK};
use crate::windows::lookup::Damage;
use crate::windows::{Selection, kind};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::regf::name::Name;
use hivewright_hive::{Hive, KeyPath};

/// One hive to edit.
#[derive(Debug)]
pub(super) struct HiveEdit {
    pub(super) hive: HiveHandle,
    /// The operations; `None` to recover the hive without an edit.
    pub(super) plan: Option<Arc<dyn Plan>>,
}

/// The hives to edit, in the order of writing.
pub(super) struct Found {
    pub(super) hives: Vec<HiveEdit>,
    /// Reasons why users were skipped.
    pub(super) passed_over: Vec<Error>,
}

impl From<Vec<HiveEdit>> for Found {
    fn from(hives: Vec<HiveEdit>) -> Self {
        Found { hives, passed_over: Vec::new() }
    }
}

/// Finds the hives of a request, in the order in which its operations name them.
///
/// # Errors
/// As [`Image::system_hive`]; a missing hive; `other-hive`; `user-unnamed`.
pub(super) fn find(image: &Image, request: &Request) -> Result<Found> {
    let named = || image.system_hive(&request.choice);
    let (plan, operations) = match &request.edits {
        Edits::Recovery => return Ok(vec![HiveEdit { hive: named()?, plan: None }].into()),
        Edits::Operations { plan: None, paths } if paths.is_empty() => return Ok(Vec::new().into()),
        Edits::Operations { plan, paths } => (plan, &**paths),
    };
    let windows = Installation::of(named()?);
    let mut hives = Vec::new();
    if let Some(plan) = plan {
        hives.push((named()?, HiveOperations { plan: Some(plan.clone()), keys: Vec::new() }));
    }
    let needs_users = request.all_users && !image.is_hive();
    if !needs_users || !operations.iter().any(|operation| operation.path.needs_user()) {
        return add_operations(hives, &windows, image.is_hive(), operations).map(Found::from);
    }
    let (users, passed_over) = windows.users()?;
    let of_users = operations.iter().flat_map(|operation| of_users(operation, &users)).collect::<Vec<_>>();
    Ok(Found { hives: add_operations(hives, &windows, false, &of_users)?, passed_over })
}

/// Operations on one hive.
#[derive(Debug, Default)]
struct HiveOperations {
    /// Yields the first operations.
    plan: Option<Arc<dyn Plan>>,
    /// The further operations.
    keys: Vec<(KeyPath<'static>, Action)>,
}

/// Returns the operation for each of `users` if its path is below the current user, otherwise unchanged.
fn of_users(operation: &PathOperation, users: &[HiveKind]) -> Vec<PathOperation> {
    if !operation.path.needs_user() {
        return vec![operation.clone()];
    }
    users.iter().map(|user| operation.clone().of_user(user)).collect()
}

/// Adds each of `operations` to the hive of its path.
fn add_operations(
    mut hives: Vec<(HiveHandle, HiveOperations)>,
    windows: &Installation,
    is_bare: bool,
    operations: &[PathOperation],
) -> Result<Vec<HiveEdit>> {
    let mut known: HashMap<Option<&HiveKind>, usize> = HashMap::new();
    for PathOperation { path, action } in operations {
        let index = match known.get(&path.hive()) {
            Some(index) => *index,
            None => {
                let hive = hive_of(windows, is_bare, path)?;
                // Two kinds may name the same file.
                let index = hives.iter().position(|(other, _)| other.is_same_file(&hive)).unwrap_or(hives.len());
                if index == hives.len() {
                    hives.push((hive, HiveOperations::default()));
                }
                *known.entry(path.hive()).or_insert(index)
            }
        };
        if let Action::CopyKey { from } = action
            && from.hive() != path.hive()
            && !hive_of(windows, is_bare, from)?.is_same_file(&hives[index].0)
        {
            let what = format!("{from} and {path} are in different hives");
            return Err(Error::new(Kind::Unsupported, Code::OtherHive, what)
                .advise("export the key, change its path in the registration file, and import the file"));
        }
        hives[index].1.keys.push((path.key().clone(), action.clone()));
    }
    let edit = |(hive, plan): (HiveHandle, HiveOperations)| HiveEdit { hive, plan: Some(Arc::new(plan)) };
    Ok(hives.into_iter().map(edit).collect())
}

/// Finds the hive of a path: in an installation, or the bare hive that the user named.
///
/// # Errors
/// As [`find`].
pub(crate) fn hive_of(windows: &Installation, is_bare: bool, path: &RegistryPath) -> Result<HiveHandle> {
    if is_bare { bare(windows, path) } else { of_installation(windows, path) }
}

fn of_installation(windows: &Installation, path: &RegistryPath) -> Result<HiveHandle> {
    if path.needs_user() {
        let what = format!("{path} is a path of the current user");
        return Err(
            Error::refused(Code::UserUnnamed, what).advise("select a user: by SID, by name, or the default user")
        );
    }
    match path.hive() {
        Some(kind) => windows.find(kind),
        None => windows.find(&HiveKind::System),
    }
}

/// Returns the bare hive, if it can contain the path.
fn bare(windows: &Installation, path: &RegistryPath) -> Result<HiveHandle> {
    let hive = windows.find(&HiveKind::System)?;
    let wanted = if path.needs_user() { Some(&HiveKind::DefaultUser) } else { path.hive() };
    let found = Hive::open(&hive)?;
    if let (Some(wanted), Some(found)) = (wanted, kind(found.primary_alone()))
        && !wanted.may_be(found)
    {
        let what = format!("{}: {path} is not in the hive {found}", hive.description());
        return Err(Error::new(Kind::NotFound, Code::OtherHive, what)
            .advise("name the Windows folder, the volume or the image with all hives"));
    }
    Ok(hive)
}

impl Plan for HiveOperations {
    fn operations(&self, hive: &Hive<Vec<u8>>, despite_damage: bool) -> Result<Vec<Operation>> {
        let planned = self.plan.as_ref().map(|plan| plan.operations(hive, despite_damage)).transpose()?;
        let (mut operations, mut sets) = (planned.unwrap_or_default(), None);
        if !self.keys.is_empty() {
            // Further operations may concern the same key by its path, and must share one expectation with these.
            for operation in &mut operations {
                let at = hive.key(&operation.path)?.map(|key| key.at());
                operation.key = operation.key.filter(|_| at != operation.key);
            }
        }
        let is_system = kind(hive) == Some("SYSTEM");
        for (path, action) in &self.keys {
            let from = if let Action::CopyKey { from } = action { Some(from.key()) } else { None };
            let is_linked = |path: &KeyPath<'_>| is_system && is_below_link(path);
            if !is_linked(path) && !from.is_some_and(is_linked) {
                operations.push(Operation { control_set: None, path: path.clone(), key: None, action: action.clone() });
                continue;
            }
            if sets.is_none() {
                sets = Some(control_sets(hive)?);
            }
            // A destination outside the control sets receives the key of the next boot only.
            let count = if is_linked(path) { usize::MAX } else { 1 };
            for (number, name) in sets.iter().flatten().take(count) {
                let mut action = action.clone();
                if let Action::CopyKey { from } = &mut action {
                    *from = RegistryPath::new(HiveKind::System, in_set(from.key(), name));
                }
                let control_set = is_linked(path).then_some(*number);
                operations.push(Operation { control_set, path: in_set(path, name), key: None, action });
            }
        }
        Ok(operations)
    }
}

fn is_below_link(path: &KeyPath<'_>) -> bool {
    path.names().first().is_some_and(|first| first.matches(LINK))
}

/// Replaces `CurrentControlSet` at the beginning of a path by the name of a control set.
fn in_set(path: &KeyPath<'static>, set: &str) -> KeyPath<'static> {
    match path.names() {
        [_, below @ ..] if is_below_link(path) => {
            KeyPath::from_names(std::iter::once(Name::encode(set)).chain(below.iter().cloned()))
        }
        _ => path.clone(),
    }
}

/// Returns the control sets for `CurrentControlSet` in a write: that of the next boot and, if different, that of the
/// captured boot.
fn control_sets(hive: &Hive<Vec<u8>>) -> Result<Vec<(u32, String)>> {
    let mut damage = Damage::default();
    let sets = ControlSets::find(hive, &mut damage)?;
    let picked = Selection::Standard.pick(&sets)?;
    Ok(picked.into_iter().map(|set| (set.number, set.name.clone())).collect())
}
