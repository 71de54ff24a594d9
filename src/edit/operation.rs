//! Operations of an edit on a hive.

use std::fmt;
use std::sync::Arc;

use crate::hive_kind::HiveKind;
use crate::registry_path::RegistryPath;
use hivewright_error::Result;
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::regf::name::Name;
use hivewright_hive::{Hive, KeyPath};

/// One operation on one key of a hive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Number of the control set of the key, if there is one.
    pub control_set: Option<u32>,
    /// Path of the key below the root of the hive.
    pub path: KeyPath<'static>,
    /// Cell offset of the key node, if the plan has looked it up. Such an operation creates no key.
    pub key: Option<CellOffset>,
    /// The change.
    pub action: Action,
}

/// Change of an [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Creates the key, and the missing keys on its path.
    CreateKey,
    /// Deletes the key and everything below it.
    DeleteKey,
    /// Renames the key; the new name may differ only in case. The key must exist, and the new name must be unused.
    RenameKey {
        /// The new name.
        name: Name<'static>,
    },
    /// Copies another key and everything below it to the key, which is created if it is missing. An existing key keeps
    /// its security and class, and values with the same names are replaced.
    CopyKey {
        /// The other key, in the same hive.
        from: RegistryPath,
    },
    /// Sets the security descriptor of the key; a missing key is created. Keys below are unchanged.
    SetSecurity {
        /// The descriptor, self-relative.
        descriptor: Vec<u8>,
    },
    /// Sets the value. Duplicates with the same name are deleted; a missing key is created.
    SetValue {
        /// The name of the value; empty for the default value.
        name: Name<'static>,
        /// The type of the data.
        kind: ValueType,
        /// The data.
        data: Vec<u8>,
    },
    /// Deletes every value with the name, except tombstones, which already mark the value as absent.
    DeleteValue {
        /// The name of the value; empty for the default value.
        name: Name<'static>,
    },
    /// Deletes every value of the key except tombstones.
    DeleteAllValues,
}

impl Action {
    /// Returns the name of the value that it concerns; `None` for a key.
    pub fn value_name(&self) -> Option<&Name<'static>> {
        match self {
            Action::SetValue { name, .. } | Action::DeleteValue { name } => Some(name),
            Action::CreateKey
            | Action::DeleteKey
            | Action::RenameKey { .. }
            | Action::CopyKey { .. }
            | Action::SetSecurity { .. }
            | Action::DeleteAllValues => None,
        }
    }

    /// Returns whether it can create, rename or delete a key.
    pub(super) fn may_change_keys(&self) -> bool {
        !matches!(self, Action::DeleteValue { .. } | Action::DeleteAllValues)
    }

    /// Returns whether it concerns everything below the key too.
    pub(super) fn is_of_tree(&self) -> bool {
        matches!(self, Action::DeleteKey | Action::RenameKey { .. } | Action::CopyKey { .. })
    }
}

/// Source of the operations of an edit that depend on the hive.
pub trait Plan: fmt::Debug + Send + Sync {
    /// Returns the operations on `hive`; with `despite_damage`, damage is accepted that the operations do not touch.
    ///
    /// # Errors
    /// The edit is refused.
    fn operations(&self, hive: &Hive<Vec<u8>>, despite_damage: bool) -> Result<Vec<Operation>>;
}

/// The operations of an edit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Edits {
    /// No operations: the hive that the user named is only recovered.
    Recovery,
    /// Operations on several hives.
    Operations {
        /// Yields the first operations, on the hive that the user named.
        plan: Option<Arc<dyn Plan>>,
        /// Operations on registry paths, in this order.
        paths: Arc<[PathOperation]>,
    },
}

impl Edits {
    /// Returns the operations of a plan.
    pub fn of_plan(plan: impl Plan + 'static) -> Self {
        Edits::Operations { plan: Some(Arc::new(plan)), paths: Arc::default() }
    }

    /// Returns operations on registry paths.
    pub fn of_paths(paths: impl Into<Arc<[PathOperation]>>) -> Self {
        Edits::Operations { plan: None, paths: paths.into() }
    }
}

/// One operation on a key of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathOperation {
    /// The path of the key.
    pub path: RegistryPath,
    /// The change.
    pub action: Action,
}

impl PathOperation {
    /// Returns the same operation with paths below `HKCU` as those of a user.
    #[must_use]
    pub(crate) fn of_user(self, user: &HiveKind) -> Self {
        let action = match self.action {
            Action::CopyKey { from } => Action::CopyKey { from: from.of_user(user) },
            action => action,
        };
        PathOperation { path: self.path.of_user(user), action }
    }
}

/// A value before an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Before {
    /// The type of its data.
    pub kind: ValueType,
    /// Its data.
    pub data: Vec<u8>,
    /// Whether it is a tombstone: Windows treats the value as absent, whatever a lower layer contains.
    pub tombstone: bool,
}

/// One operation of an edit, and its effect.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Change {
    /// The operation.
    pub operation: Operation,
    /// The earlier values with that name, including duplicates in another case.
    pub before: Vec<Before>,
    /// Whether anything changes.
    pub changes: bool,
}
