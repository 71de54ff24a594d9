//! The parts of a record.

#[cfg(feature = "cli")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hivewright_error::{Error, Kind};

/// Status of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It was read; the record contains the facts.
    #[default]
    Read,
    /// A discovered disk (not named by the user) was read and contains no Windows.
    NoWindows,
    /// It could not be read: see the record's error.
    Error,
    /// It is in the baseline, but no longer present.
    Gone,
}

impl Status {
    /// Returns the name in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Read => "read",
            Status::NoWindows => "no-windows",
            Status::Error => "error",
            Status::Gone => "gone",
        }
    }
}

/// A deviation from an expectation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(default)]
pub struct Violation {
    /// The setting: `nat-t`, or the name of a related value; or the `id` of a check.
    pub setting: String,
    /// The control set: `next-boot`, `capture`; `null` outside of control sets.
    pub at: Option<String>,
    /// The expectation: `2`, `set`, `unset`; for a check its `expect` in the syntax of the policy: `equals = 1`.
    pub expected: String,
    /// The actual state: a number, `unset`, `undefined`, `unknown`; for a check `absent`, `unknown`, or type and data.
    pub found: String,
    /// The violated expectation: `--expect`, or the number of the policy's entry (`expect 2`), with its name if it has
    /// one; for a check, the name of its policy.
    pub by: String,
    /// Severity of the check: `info`, `low`, `medium`, `high`, `critical`; `null` without a check, as are the next
    /// fields.
    pub severity: Option<String>,
    /// Title of the check.
    pub title: Option<String>,
    /// Full path of the key; the path in the check if the key could not be looked up.
    pub key: Option<String>,
    /// Name of the value, with escapes; `null` if the check is about the key itself.
    pub value_name: Option<String>,
    /// Type of the actual data.
    pub data_type: Option<String>,
    /// First bytes of that data, in hexadecimal.
    pub data_hex: Option<String>,
    /// Code of the error that makes the actual state unknown.
    pub code: Option<String>,
}

/// Result of a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct CheckResult {
    /// Name of its policy.
    pub policy: String,
    /// Its `id`.
    pub check: String,
    /// Severity: `info`, `low`, `medium`, `high`, `critical`.
    pub severity: String,
    /// Status of the check.
    pub status: CheckStatus,
    /// Number of keys that were checked: more than one for a path with an asterisk.
    pub keys: u64,
}

/// Status of a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum CheckStatus {
    /// It applies to other targets, or no key matches its path.
    #[default]
    NotApplicable,
    /// Everything is as expected.
    Pass,
    /// The state cannot be determined; it does not count as expected.
    Unknown,
    /// At least one place is not as expected.
    Fail,
}

impl CheckStatus {
    /// Returns the name in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            CheckStatus::NotApplicable => "not-applicable",
            CheckStatus::Pass => "pass",
            CheckStatus::Unknown => "unknown",
            CheckStatus::Fail => "fail",
        }
    }
}

impl std::fmt::Display for Violation {
    /// Formats one line: `nat-t at next-boot: expected 2, found 1 (--expect)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Violation { setting, at, expected, found, by, key, value_name, code, .. } = self;
        write!(f, "{setting}")?;
        if let Some(at) = at {
            write!(f, " at {at}")?;
        }
        match (key, value_name.as_deref()) {
            (Some(key), Some("")) => write!(f, ", {key} (default value)")?,
            (Some(key), Some(name)) => write!(f, ", {key}\\{name}")?,
            (Some(key), None) => write!(f, ", {key}")?,
            (None, _) => {}
        }
        write!(f, ": expected {expected}, found {found}")?;
        if let Some(code) = code {
            write!(f, " [{code}]")?;
        }
        write!(f, " ({by})")
    }
}

/// Changes since the baseline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct Drift {
    /// Whether there are changes.
    pub state: DriftState,
    /// The changed facts.
    pub changes: Vec<Change>,
}

/// State of a record in comparison with the baseline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DriftState {
    /// No fact differs.
    #[default]
    Same,
    /// Facts differ.
    Changed,
    /// It is not in the baseline.
    New,
    /// It is only in the baseline.
    Gone,
}

impl DriftState {
    /// Returns the name in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            DriftState::Same => "same",
            DriftState::Changed => "changed",
            DriftState::New => "new",
            DriftState::Gone => "gone",
        }
    }
}

/// A fact that differs from the baseline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct Change {
    /// Its name in a record: `host_name`, `at_next_boot`; for a check `checks.`, its policy and its `id`.
    pub fact: String,
    /// Earlier value; `null` if it was absent.
    pub was: Option<String>,
    /// Current value; `null` if it is absent.
    pub now: Option<String>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |fact: &Option<String>| fact.clone().unwrap_or_else(|| "nothing".to_owned());
        write!(f, "{}: {}, was {}", self.fact, text(&self.now), text(&self.was))
    }
}

/// Error of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct Failure {
    /// `io`, `corrupt`, `unsupported`, `refused`, `notfound`, `noroom`, `unfinished`.
    pub kind: String,
    /// Stable code in kebab case: `timeout`, `panic`, `changed` or the code of any other error.
    pub code: String,
    /// Message in one line, with all places.
    pub message: String,
    /// Advice for the user, if there is any.
    pub advice: Option<String>,
}

/// Options in advice that apply to one target and not to an audit.
const OF_OTHER_VERBS: [&str; 3] = ["--format ", "--windows-root", "--partition"];

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        let kind = match error.kind() {
            Kind::Io => "io",
            Kind::Corrupt => "corrupt",
            Kind::Unsupported => "unsupported",
            Kind::Refused => "refused",
            Kind::NotFound => "notfound",
            Kind::NoRoom => "noroom",
            Kind::Unfinished => "unfinished",
        };
        let elsewhere = |advice: &str| match OF_OTHER_VERBS.iter().any(|option| advice.contains(option)) {
            true => format!("{advice}; an audit does not have this option: use `hivewright info` for this target"),
            false => advice.to_owned(),
        };
        let (code, advice) = (error.code().to_string(), error.advice().map(elsewhere));
        Failure { kind: kind.to_owned(), code, message: error.to_string(), advice }
    }
}

/// A control set, and the setting in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(default)]
pub struct ControlSet {
    /// Its number.
    pub number: u32,
    /// Name of its key.
    pub name: String,
    /// Roles: `current`, `default`, `last_known_good`, `failed`; empty for a set without a role.
    pub roles: Vec<String>,
    /// Key of the service that reads the setting in this Windows, below the root of the hive; `null` if unknown.
    pub key: Option<String>,
    /// Time of the last change of that key's values or subkeys.
    pub key_last_written: Option<String>,
    /// State of the setting: `present`, `absent`, `unreadable`; `null` if the key is unknown.
    pub presence: Option<String>,
    /// Its type: `REG_DWORD`.
    pub data_type: Option<String>,
    /// First bytes of its data, in hexadecimal.
    pub data_hex: Option<String>,
    /// Its number, if it is a REG_DWORD of 4 bytes.
    pub value: Option<u32>,
    /// Meaning of the number.
    pub meaning: Option<String>,
}

/// The effective setting of a boot.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(default)]
pub struct Verdict {
    /// Number of the control set.
    pub control_set: Option<u32>,
    /// `set`: present and defined; `absent`; `undefined`: present, with an effect that is not established; `unknown`.
    pub state: String,
    /// Number of the value.
    pub value: Option<u32>,
    /// Effective number: 0, 1 or 2; `null` if not established.
    pub effective: Option<u32>,
    /// Meaning in words.
    pub meaning: String,
}

/// Replay of the transaction logs of a dirty hive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(default)]
pub struct Replay {
    /// Whether any log was applied.
    pub applied: bool,
    /// Reason why not.
    pub why_not: Option<String>,
    /// Numbers of the first and the last entry applied.
    pub entries: Option<[u32; 2]>,
    /// Pages written.
    pub pages: u64,
    /// Bytes of those pages.
    pub bytes: u64,
    /// Value of both sequence numbers afterwards.
    pub sequence_after: Option<u32>,
    /// Whether the primary file alone has another verdict; `null` if it cannot be read without its logs, or without a
    /// replay.
    pub changed_verdict: Option<bool>,
    /// Verdict of the primary file alone, for the next boot.
    pub primary_alone: Option<Verdict>,
}

/// A value without its intended effect, or an unreadable key or value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct Finding {
    /// Stable code in kebab case.
    pub code: String,
    /// Path of the key or value below the root of the hive.
    pub place: String,
    /// Description of the state.
    pub what: String,
    /// Advice for the user.
    pub advice: String,
    /// Offset in bytes from the start of the hive file, if there is one.
    pub offset: Option<u64>,
}

/// A related value in the hive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct RelatedValue {
    /// The value's name: `ProhibitIpSec`, `AllowL2TPWeakCrypto`, `NegotiateDH2048_AES256`.
    pub name: String,
    /// Path of the value below the root of the hive.
    pub place: String,
    /// Its number; `null` if it is not a REG_DWORD of 4 bytes.
    pub value: Option<u32>,
    /// Whether it is on: any number but 0.
    pub on: bool,
    /// Meaning when it is on.
    pub meaning: String,
}

/// An obstacle to a write to the hive, or an irregularity of its image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct Blocker {
    /// Stable code in kebab case.
    pub code: String,
    /// Description in one sentence fragment.
    pub what: String,
}
