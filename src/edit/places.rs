//! Which hives an edit concerns, and the operations on each.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Action, Edits, Operation, PathOperation, Plan, Request};
use crate::hive_kind::HiveKind;
use crate::installation::Installation;
use crate::locate::{HiveHandle, Image};
use crate::windows::control_set::{ControlSets, LINK};
use crate::windows::look::Damage;
use crate::windows::{Selection, kind};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::regf::name::Name;
use hivewright_hive::{Hive, KeyPath};

/// One hive to be edited.
#[derive(Debug)]
pub(super) struct HiveEdit {
    pub(super) hive: HiveHandle,
    /// `None`: it is recovered, and no more.
    pub(super) plan: Option<Arc<dyn Plan>>,
}

/// Finds the hives that a request concerns, in the order in which its operations name them.
///
/// # Errors
/// As [`Image::system_hive`]; a hive that an operation names is not there; `other-hive`; `user-unnamed`.
pub(super) fn find(image: &Image, request: &Request) -> Result<Vec<HiveEdit>> {
    let named = || image.system_hive(&request.choice);
    match &request.edits {
        Edits::None => Ok(vec![HiveEdit { hive: named()?, plan: None }]),
        Edits::Named(plan) => Ok(vec![HiveEdit { hive: named()?, plan: Some(plan.clone()) }]),
        Edits::Paths(operations) if operations.is_empty() => Ok(Vec::new()),
        Edits::Paths(operations) => on_paths(Installation(named()?), image.is_hive(), operations),
    }
}

/// The operations on one hive.
#[derive(Debug, Default)]
struct OnKeys(Vec<(KeyPath<'static>, Action)>);

fn on_paths(windows: Installation, is_bare: bool, operations: &[PathOperation]) -> Result<Vec<HiveEdit>> {
    let mut hives: Vec<(HiveHandle, OnKeys)> = Vec::new();
    let mut known: HashMap<Option<&HiveKind>, usize> = HashMap::new();
    for PathOperation { path, action } in operations {
        let index = match known.get(&path.hive()) {
            Some(index) => *index,
            None => {
                let hive = hive_of(&windows, is_bare, path)?;
                // One hive may be named in two ways.
                let index = hives.iter().position(|(other, _)| other.is_same_file(&hive)).unwrap_or(hives.len());
                if index == hives.len() {
                    hives.push((hive, OnKeys::default()));
                }
                *known.entry(path.hive()).or_insert(index)
            }
        };
        hives[index].1.0.push((path.key().clone(), action.clone()));
    }
    let edit = |(hive, plan): (HiveHandle, OnKeys)| HiveEdit { hive, plan: Some(Arc::new(plan)) };
    Ok(hives.into_iter().map(edit).collect())
}

/// Finds the hive that a path leads to: of an installation, or the one that was named itself.
///
/// # Errors
/// As [`find`].
pub(crate) fn hive_of(windows: &Installation, is_bare: bool, path: &crate::RegistryPath) -> Result<HiveHandle> {
    if is_bare { bare(windows, path) } else { of_installation(windows, path) }
}

fn of_installation(windows: &Installation, path: &crate::RegistryPath) -> Result<HiveHandle> {
    if path.needs_user() {
        let what = format!("{path} is a path of whichever user is logged on");
        return Err(
            Error::refused(Code::UserUnnamed, what).advise("say which user: by SID, by name, or the default user")
        );
    }
    match path.hive() {
        Some(kind) => windows.find(kind),
        None => windows.find(&HiveKind::System),
    }
}

/// The hive that was named itself, if it can be the one that the path leads to.
fn bare(windows: &Installation, path: &crate::RegistryPath) -> Result<HiveHandle> {
    let hive = windows.find(&HiveKind::System)?;
    let wanted = if path.needs_user() { Some(&HiveKind::DefaultUser) } else { path.hive() };
    let found = Hive::open(&hive)?;
    if let (Some(wanted), Some(found)) = (wanted, kind(found.primary_alone()))
        && !wanted.fits(found)
    {
        let what = format!("{path} is not in {}, which is the hive {found}", hive.description());
        return Err(Error::new(Kind::NotFound, Code::OtherHive, what)
            .advise("name the Windows folder, the volume or the image that has all hives"));
    }
    Ok(hive)
}

impl Plan for OnKeys {
    fn operations(&self, hive: &Hive<Vec<u8>>, _despite_damage: bool) -> Result<Vec<Operation>> {
        let (mut operations, mut sets) = (Vec::new(), None);
        for (path, action) in &self.0 {
            let operation = |control_set, path| Operation { control_set, path, key: None, action: action.clone() };
            let below_link = match path.names() {
                [first, below @ ..] if first.matches(LINK) && kind(hive) == Some("SYSTEM") => below,
                _ => {
                    operations.push(operation(None, path.clone()));
                    continue;
                }
            };
            if sets.is_none() {
                sets = Some(control_sets(hive)?);
            }
            for (number, name) in sets.iter().flatten() {
                let names = std::iter::once(Name::encode(name)).chain(below_link.iter().cloned());
                operations.push(operation(Some(*number), KeyPath::from_names(names)));
            }
        }
        Ok(operations)
    }
}

/// The control sets that `CurrentControlSet` stands for in a write: the set of the next boot and, where it is another one, the
/// set of the captured boot.
fn control_sets(hive: &Hive<Vec<u8>>) -> Result<Vec<(u32, String)>> {
    let mut damage = Damage::default();
    let sets = ControlSets::find(hive, &mut damage)?;
    let picked = Selection::Standard.pick(&sets)?;
    Ok(picked.into_iter().map(|set| (set.number, set.name.clone())).collect())
}
