//! Checks: expectations of keys and values, and the operations that fix them.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use hivewright_hive::ValueType;
use hivewright_hive::reg_text::{self, ReadOptions};
use hivewright_hive::regf::name::Name;
use hivewright_storage::probe::read_named;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::condition::{OneOrMore, Roles, When};
use super::datum::Datum;
use super::expectation::{ExpectText, Expectation, value_type};
use super::path::KeyPattern;
use super::reg_file;
use super::text::At;
use crate::edit::PathOperation;

/// Severity of a failed check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Informational.
    Info,
    /// Low.
    Low,
    /// Medium, the default.
    #[default]
    Medium,
    /// High.
    High,
    /// Critical.
    Critical,
}

impl Severity {
    /// Returns the name in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// A check in the syntax of a policy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckText {
    /// The name of the check in results, unique in its policy.
    id: String,
    /// The check in one line.
    title: Option<String>,
    #[serde(default)]
    severity: Severity,
    /// The reason of the check.
    rationale: Option<String>,
    /// Its documentation.
    reference: Option<OneOrMore<String>>,
    /// The path of the key: `HKLM\SYSTEM\CurrentControlSet\Services\*`. `*` matches any one name; `HKU\*` is every
    /// user.
    key: String,
    /// The name of the value, empty for the default value; without it, the check is about the key itself.
    value: Option<String>,
    /// The expectation of the value or key.
    expect: ExpectText,
    /// The data that Windows uses if the value is absent.
    default: Option<Datum>,
    /// The control set for `CurrentControlSet`.
    #[serde(default)]
    at: At,
    /// Conditions on the targets; all must hold.
    #[serde(default)]
    when: When,
    /// The fix that `apply` makes. By default, `equals` is set and an `absent` value is deleted; with `false`, nothing
    /// is changed.
    mend: Option<MendText>,
}

/// The fix of a check in the syntax of a policy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum MendText {
    /// Whether the default fix applies.
    Usual(bool),
    This(ThisText),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ThisText {
    /// The data to set.
    set: Option<Datum>,
    /// The type of `set`.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Whether `set` creates missing keys; with `false`, only a value of an existing key is set.
    create_key: Option<bool>,
    /// Deletes the value; without a value, the key and everything below it.
    delete: Option<bool>,
    /// Creates the key.
    create: Option<bool>,
    /// The text of a registration file to import.
    reg: Option<String>,
    /// The name of a registration file to import, relative to the policy.
    reg_file: Option<String>,
}

/// The fix of a check.
#[derive(Clone, Debug)]
pub(super) enum Mend {
    /// No fix.
    No,
    Set {
        kind: ValueType,
        data: Vec<u8>,
        creates_key: bool,
    },
    DeleteValue,
    DeleteKey,
    CreateKey,
    /// Changes of a registration file, which are made once.
    Operations(Arc<[PathOperation]>),
}

/// A check.
#[derive(Clone, Debug)]
pub struct Check {
    /// The name of its policy.
    pub policy: Arc<str>,
    /// Its `id`.
    pub id: String,
    /// The check in one line.
    pub title: Option<String>,
    /// Its severity.
    pub severity: Severity,
    /// The reason of the check.
    pub rationale: Option<String>,
    /// Its documentation.
    pub references: Vec<String>,
    /// The path of the keys.
    pub key: KeyPattern,
    /// The name of the value; `None` for the key itself.
    pub value: Option<Name<'static>>,
    /// The expectation.
    pub expectation: Expectation,
    pub(super) default: Option<(ValueType, Vec<u8>)>,
    pub(super) at: At,
    pub(super) when: When,
    pub(super) roles: Arc<Roles>,
    pub(super) mend: Mend,
}

impl CheckText {
    /// Converts the check. `folder` contains the files beside the policy, `ids` the names of the previous checks.
    ///
    /// # Errors
    /// The check is invalid.
    pub(super) fn read(
        self,
        policy: &Arc<str>,
        roles: &Arc<Roles>,
        folder: Option<&Path>,
        ids: &mut HashSet<String>,
    ) -> Result<Check, String> {
        if self.id.is_empty() || !ids.insert(self.id.clone()) {
            return Err(format!("the id \"{}\" is empty or not unique", self.id));
        }
        let key = KeyPattern::parse(&self.key).map_err(|error| error.to_string())?;
        let value = self.value.as_deref().map(Name::from_escaped);
        let expectation = self.expect.read(value.is_some())?;
        for role in self.when.role.iter().flat_map(OneOrMore::as_slice) {
            if !roles.contains_key(role) {
                return Err(format!("there is no role \"{role}\" in the table `roles`"));
            }
        }
        let default = self.default.map(|data| data.to_value(None)).transpose()?;
        if default.is_some() && value.is_none() {
            return Err("`default` applies to a value: set `value`".to_owned());
        }
        let mend = mend(self.mend, &expectation, value.is_some(), folder)?;
        let references = self.reference.map_or_else(Vec::new, |all| all.as_slice().to_vec());
        Ok(Check {
            policy: policy.clone(),
            id: self.id,
            title: self.title,
            severity: self.severity,
            rationale: self.rationale,
            references,
            key,
            value,
            expectation,
            default,
            at: self.at,
            when: self.when,
            roles: roles.clone(),
            mend,
        })
    }
}

fn mend(
    text: Option<MendText>,
    expectation: &Expectation,
    is_value: bool,
    folder: Option<&Path>,
) -> Result<Mend, String> {
    let set = |data: &Datum, kind: Option<ValueType>, creates_key: bool| {
        let (kind, data) = data.to_value(kind)?;
        Ok(Mend::Set { kind, data, creates_key })
    };
    let this = match text {
        Some(MendText::Usual(false)) => return Ok(Mend::No),
        Some(MendText::This(this)) => this,
        Some(MendText::Usual(true)) | None => {
            return match expectation.only() {
                Some((data, kind)) if is_value => set(data, kind, true),
                // A key is deleted only by an explicit `delete`.
                _ if is_value && expectation.wants_absent() => Ok(Mend::DeleteValue),
                _ => Ok(Mend::No),
            };
        }
    };
    let of_reg = |bytes: &[u8]| {
        let file = reg_text::parse(bytes, &ReadOptions::default());
        let file = file.map_err(|problems| hivewright_error::Error::from(problems).to_string())?;
        let operations = file.operations.into_iter().map(reg_file::operation).collect::<Result<Vec<_>, _>>();
        Ok(Mend::Operations(operations.map_err(|error| error.to_string())?.into()))
    };
    let ThisText { set: data, kind, create_key, delete, create, reg, reg_file } = this;
    let is_set = data.is_some();
    let kind = kind.as_deref().map(value_type).transpose()?;
    if !is_set && (kind.is_some() || create_key.is_some()) {
        return Err("`type` and `create_key` of `mend` need `set`".to_owned());
    }
    match (data, delete, create, reg, reg_file) {
        (Some(data), None, None, None, None) if is_value => set(&data, kind, create_key.unwrap_or(true)),
        (None, Some(true), None, None, None) => Ok(if is_value { Mend::DeleteValue } else { Mend::DeleteKey }),
        (None, None, Some(true), None, None) if !is_value => Ok(Mend::CreateKey),
        (None, None, None, Some(text), None) => of_reg(text.as_bytes()),
        (None, None, None, None, Some(name)) => {
            let file = folder.map_or_else(|| Path::new(&name).to_owned(), |folder| folder.join(&name));
            of_reg(&read_named(&file, super::MOST_REG_BYTES).map_err(|error| error.to_string())?)
        }
        _ => {
            Err("`mend` needs exactly one of set (for a value), delete, create (for a key), reg and reg_file"
                .to_owned())
        }
    }
}
