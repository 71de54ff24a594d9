//! One hive of an edit: recovered, edited in memory, and ready for the proof.

use std::sync::{Arc, OnceLock};

use super::expected::Expected;
use super::source::{self, Origin, Source};
use super::{Action, Change, Operation, Plan, Request};
use crate::locate::HiveHandle;
use hivewright_error::{Kind, Result};
use hivewright_hive::recover::Recovery;
use hivewright_hive::regf::BASE_BLOCK_SIZE;
use hivewright_hive::{Delete, EditOptions, Edited, Editor, PatchSet};

/// One hive of an edit.
#[derive(Debug)]
pub struct PreparedHive {
    /// The hive.
    #[doc(hidden)]
    pub hive: HiveHandle,
    /// Clean, recovered, or taken as it stood.
    #[doc(hidden)]
    pub origin: Origin,
    /// What changes where.
    pub changes: Vec<Change>,
    /// The edited file, and all patches from the file as it is.
    #[doc(hidden)]
    pub edited: Edited,
    /// The patches of a recovery alone; they come first. Empty for a hive that was clean.
    pub(super) recovery: PatchSet,
    /// The patches of the edit alone.
    pub(super) edit: PatchSet,
    /// The state that the keys shall have.
    pub(super) expected: Expected,
    /// Whether damage passes that the edit does not touch.
    pub(super) force: bool,
    /// Why the independent parser could not confirm the edit.
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
        // A file grows in large steps. Where its volume has too little left for one, the bins alone may still fit.
        let options = EditOptions { max_file_len: bins_end.max(old_len), ..request.options };
        Self::edited(prepared.hive, plan, request, options).map(|(prepared, _)| prepared)
    }

    /// The edit with `options`, and where the bins end in the edited file.
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
        let mut expected = Expected::of(&source, &operations, request.force)?;
        let mut editor = source.edit(options);
        let mut changes = Vec::new();
        for operation in operations {
            let before = expected.before(&operation);
            let exists = expected.exists(&operation);
            let of_path = |error: hivewright_error::Error| error.about(&operation.path.to_string());
            let changed = apply(&mut editor, &operation, exists, before.len()).map_err(of_path)?;
            expected.follow(&operation);
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

    /// Whether everything is as wanted already.
    pub fn is_already_so(&self) -> bool {
        self.edited.patches.is_empty()
    }

    /// Why the independent parser could not confirm the edit, if the proof has found it so.
    pub fn unconfirmed(&self) -> Option<&str> {
        self.unconfirmed.get().map(String::as_str)
    }

    /// What was replayed, if anything was.
    pub fn recovered(&self) -> Option<&Recovery> {
        match &self.origin {
            Origin::Recovered(recovery) => Some(recovery),
            Origin::Clean | Origin::AsItStood(_) => None,
        }
    }

    /// The patches in the order of writing: the recovery, then the edit; no empty ones.
    pub(super) fn phases(&self) -> Vec<&PatchSet> {
        [&self.recovery, &self.edit].into_iter().filter(|set| !set.is_empty()).collect()
    }
}

/// Makes one operation on a key that is there if `exists`, with so many values of the name.
fn apply(editor: &mut Editor, operation: &Operation, exists: bool, twins: usize) -> Result<bool> {
    let path = &operation.path;
    let key = |editor: &Editor| -> Result<Option<_>> {
        match operation.key {
            Some(key) => Ok(Some(key)),
            None => Ok(editor.hive()?.key(path)?.map(|key| key.at())),
        }
    };
    let mut changed = false;
    match &operation.action {
        Action::CreateKey => return editor.create_key(path),
        Action::DeleteKey => return editor.delete_key(path),
        // Which of two twins Windows reads is not established: one that says what is wanted remains.
        Action::SetValue { name, kind, data } => {
            if !exists {
                changed |= editor.create_key(path)?;
            }
            let Some(key) = key(editor)? else { return Ok(changed) };
            for _ in 1..twins {
                changed |= editor.delete_value_at(key, name, Delete::Any)?;
            }
            changed |= editor.set_value_at(key, name, *kind, data)?;
        }
        // A tombstone says already that there is no such value; without it, that of a lower layer would show.
        Action::DeleteValue { name } => {
            let Some(key) = key(editor)? else { return Ok(false) };
            // Until none is left, and it is known that none is.
            while editor.delete_value_at(key, name, Delete::Live)? {
                changed = true;
            }
        }
    }
    Ok(changed)
}
