//! What an edit does to a hive, one operation after the other.

use std::fmt;
use std::sync::Arc;

use hivewright_error::Result;
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::regf::name::Name;
use hivewright_hive::{Hive, KeyPath};

/// One operation on one key of a hive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Number of the control set that the key belongs to, if to one.
    pub control_set: Option<u32>,
    /// Path of the key below the root of the hive.
    pub path: KeyPath<'static>,
    /// Cell offset of the key node, where the plan has looked it up. Such an operation makes no key.
    pub key: Option<CellOffset>,
    /// What to do.
    pub action: Action,
}

/// What an [`Operation`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Creates the key, and the keys on the way that are not there.
    CreateKey,
    /// Deletes the key and everything below it.
    DeleteKey,
    /// Sets the value. Further values of the same name are deleted; a key that is not there is created.
    SetValue {
        /// The name of the value; empty for the default value.
        name: Name<'static>,
        /// The type of the data.
        kind: ValueType,
        /// The data.
        data: Vec<u8>,
    },
    /// Deletes every value of the name. Tombstones stay: they say already that there is no such value.
    DeleteValue {
        /// The name of the value; empty for the default value.
        name: Name<'static>,
    },
}

impl Action {
    /// Returns the name of the value that it concerns; `None` for a key.
    pub fn value_name(&self) -> Option<&Name<'static>> {
        match self {
            Action::SetValue { name, .. } | Action::DeleteValue { name } => Some(name),
            Action::CreateKey | Action::DeleteKey => None,
        }
    }
}

/// The operations of an edit, once the hive can be read.
pub trait Plan: fmt::Debug + Send + Sync {
    /// Returns the operations on `hive`; with `despite_damage`, damage passes that the operations do not touch.
    ///
    /// # Errors
    /// The edit is refused.
    fn operations(&self, hive: &Hive<Vec<u8>>, despite_damage: bool) -> Result<Vec<Operation>>;
}

/// What to edit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Edits {
    /// Nothing: the hive that was named is recovered, and no more.
    None,
    /// What a plan makes of the hive that was named.
    Named(Arc<dyn Plan>),
    /// Operations on registry paths, in this order.
    Paths(Arc<[PathOperation]>),
}

/// One operation on a key of an installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathOperation {
    /// Where the key is.
    pub path: crate::RegistryPath,
    /// What to do.
    pub action: Action,
}

/// A value before an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Before {
    /// The type of its data.
    pub kind: ValueType,
    /// Its data.
    pub data: Vec<u8>,
    /// Whether it is a tombstone: Windows takes the value for absent, whatever a lower layer has.
    pub tombstone: bool,
}

/// One operation of an edit, and what it found.
#[derive(Clone, Debug)]
pub struct Change {
    /// The operation.
    pub operation: Operation,
    /// What stood there under the name of the value, twins in other letters included.
    pub before: Vec<Before>,
    /// Whether anything changes.
    pub changes: bool,
}
