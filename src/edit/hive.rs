//! One hive of an edit: recovered, edited in memory, and ready for the proof.

use std::sync::{Arc, OnceLock};

use super::expected::{Expected, Found};
use super::source::{self, Origin, Source};
use super::{Action, Change, Operation, Plan, Request};
use crate::locate::HiveHandle;
use hivewright_error::{Kind, Result};
use hivewright_hive::recover::Recovery;
use hivewright_hive::regf::{BASE_BLOCK_SIZE, CellOffset};
use hivewright_hive::{Delete, EditOptions, Edited, Editor, PatchSet};

/// One hive of an edit.
#[derive(Debug)]
pub struct PreparedHive {
    /// The hive.
    #[doc(hidden)]
    pub hive: HiveHandle,
    /// State before the edit: clean, recovered, or used without its logs.
    #[doc(hidden)]
    pub origin: Origin,
    /// The changes.
    pub changes: Vec<Change>,
    /// The edited file, and all patches from the original file.
    #[doc(hidden)]
    pub edited: Edited,
    /// The patches of the recovery, which are written first. Empty for a clean hive.
    pub(super) recovery: PatchSet,
    /// The patches of the edit.
    pub(super) edit: PatchSet,
    /// Expected state of the keys.
    pub(super) expected: Expected,
    /// Whether damage is accepted that the edit does not touch.
    pub(super) force: bool,
    /// Reason why the second parser could not confirm the edit.
    pub(super) unconfirmed: OnceLock<String>,
}

impl PreparedHive {
    /// Reads `hive`, recovers it if it is dirty, and edits it in memory.
    pub(super) fn of(hive: HiveHandle, plan: Option<&Arc<dyn Plan>>, request: &Request) -> Result<Self> {
        let (prepared, bins_end) = Self::edited(hive, plan, request, request.options)?;
        let PatchSet { old_len, new_len, .. } = prepared.edited.patches;
        let is_too_long = prepared.hive.disk().is_some()
            && new_len > bins_end.max(old_len)
            && prepared.hive.plan_growth(new_len).is_err_and(|error| error.kind() == Kind::NoRoom);
        if !is_too_long {
            return Ok(prepared);
        }
        // A file grows in large steps. If its volume has no room for one, the hive bins alone may still fit.
        let options = EditOptions { max_file_len: bins_end.max(old_len), ..request.options };
        Self::edited(prepared.hive, plan, request, options).map(|(prepared, _)| prepared)
    }

    /// Edits with `options`. Returns also the end of the hive bins in the edited file.
    fn edited(
        hive: HiveHandle,
        plan: Option<&Arc<dyn Plan>>,
        request: &Request,
        options: EditOptions,
    ) -> Result<(Self, u64)> {
        let source = source::open_source(&hive, plan.is_some(), request)?;
        let options = EditOptions { above_sequence: source.highest_sequence, ..options };
        let Source { hive: source, origin, recovery, .. } = source;
        let operations = match plan {
            Some(plan) => plan.operations(&source, request.force)?,
            None => Vec::new(),
        };
        let (expected, found) = Expected::of(&source, &operations, request.force)?;
        let mut editor = source.edit(options);
        let (mut changes, mut last): (Vec<Change>, _) = (Vec::new(), None);
        for (operation, Found { exists, before }) in operations.into_iter().zip(found) {
            let of_path = |error: hivewright_error::Error| error.about(&operation.path.to_string());
            // Consecutive operations often have the same key.
            let is_same = changes.last().is_some_and(|change| change.operation.path == operation.path);
            let known = operation.key.or(last.filter(|_| is_same));
            let changed;
            (changed, last) = apply(&mut editor, &operation, known, exists, before.len()).map_err(of_path)?;
            changes.push(Change { operation, before, changes: changed });
        }
        let bins_end = u64::from(BASE_BLOCK_SIZE) + u64::from(editor.hive()?.length());
        let Edited { bytes, patches: edit } = editor.finish()?;
        let patches = if recovery.is_empty() { edit.clone() } else { recovery.then(&edit, &bytes) };
        let edited = Edited { bytes, patches };
        let force = request.force;
        let prepared = PreparedHive {
            hive,
            origin,
            changes,
            edited,
            recovery,
            edit,
            expected,
            force,
            unconfirmed: OnceLock::new(),
        };
        Ok((prepared, bins_end))
    }

    /// Returns whether nothing has to be changed.
    pub fn is_already_so(&self) -> bool {
        self.edited.patches.is_empty()
    }

    /// Returns the reason why the second parser could not confirm the edit; known after the proof.
    pub fn unconfirmed(&self) -> Option<&str> {
        self.unconfirmed.get().map(String::as_str)
    }

    /// Returns the replay of the logs, if there was one.
    pub fn recovered(&self) -> Option<&Recovery> {
        match &self.origin {
            Origin::Recovered(recovery) => Some(recovery),
            Origin::Clean | Origin::LogsDiscarded(_) => None,
        }
    }

    /// Returns the nonempty patch sets in the order of writing: the recovery, then the edit.
    pub(super) fn phases(&self) -> Vec<&PatchSet> {
        [&self.recovery, &self.edit].into_iter().filter(|set| !set.is_empty()).collect()
    }
}

/// Performs one operation on a key that exists if `exists`, at `known` if its place is known; `twins` is the number of
/// values with the name. Returns whether anything changed, and the place of the key if known.
fn apply(
    editor: &mut Editor,
    operation: &Operation,
    known: Option<CellOffset>,
    exists: bool,
    twins: usize,
) -> Result<(bool, Option<CellOffset>)> {
    let path = &operation.path;
    let mut changed = false;
    match &operation.action {
        Action::CreateKey => return Ok((editor.create_key(path)?, None)),
        Action::DeleteKey => return Ok((editor.delete_key(path)?, None)),
        Action::RenameKey { name } => return Ok((editor.rename_key(path, name)?, None)),
        Action::CopyKey { from } => return Ok((editor.copy_key(from.key(), path)?, None)),
        Action::SetSecurity { .. } | Action::SetValue { .. } if !exists => changed |= editor.create_key(path)?,
        _ => {}
    }
    let key = match known {
        Some(key) => key,
        None => match editor.find_key(path)? {
            Some(key) => key,
            None => return Ok((changed, None)),
        },
    };
    match &operation.action {
        Action::SetSecurity { descriptor } => changed |= editor.set_security_at(key, descriptor)?,
        // Windows may read either of two duplicates, so only one remains.
        Action::SetValue { name, kind, data } => {
            for _ in 1..twins {
                changed |= editor.delete_value_at(key, name, Delete::Any)?;
            }
            changed |= editor.set_value_at(key, name, *kind, data)?;
        }
        // A tombstone already marks the value as absent; without it, the value of a lower layer would appear.
        Action::DeleteValue { name } => {
            // The loop ends after a pass that finds no further value.
            while editor.delete_value_at(key, name, Delete::Live)? {
                changed = true;
            }
        }
        Action::DeleteAllValues => changed |= editor.delete_all_values_at(key, Delete::Live)? > 0,
        Action::CreateKey | Action::DeleteKey | Action::RenameKey { .. } | Action::CopyKey { .. } => {}
    }
    Ok((changed, Some(key)))
}
