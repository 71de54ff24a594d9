//! The parts of a record.

#[cfg(feature = "cli")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hivewright_error::{Error, Kind};

/// What came of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It was read: the facts are in the record.
    #[default]
    Read,
    /// A disk that was come across (not named by the user) was read and holds no Windows.
    NoWindows,
    /// It could not be read: see the record's error.
    Error,
}

impl Status {
    /// As it stands in a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Read => "read",
            Status::NoWindows => "no-windows",
            Status::Error => "error",
        }
    }
}

/// Something that is not as expected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct Violation {
    /// Which setting: `rule`, or the name of a value next door.
    pub setting: String,
    /// Where: `next-boot`, `capture`.
    pub at: String,
    /// What is expected: `2`, `set`, `unset`.
    pub expected: String,
    /// What is there: a number, `unset`, `undefined`, `unknown`.
    pub found: String,
    /// Which expectation it breaks: `--expect`, or the number of the policy's entry (`expect 2`), with its name if it has
    /// one.
    pub by: String,
}

impl std::fmt::Display for Violation {
    /// In one line: `rule at next-boot: expected 2, found 1 (--expect)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Violation { setting, at, expected, found, by } = self;
        write!(f, "{setting} at {at}: expected {expected}, found {found} ({by})")
    }
}

/// Why a target could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct Failure {
    /// `io`, `corrupt`, `unsupported`, `refused`, `notfound`, `noroom`, `unfinished`.
    pub kind: String,
    /// Stable, in kebab case: `timeout`, `panic` and `changed` beside those of every error.
    pub code: String,
    /// For people, in one line, with all places.
    pub message: String,
    /// What to do next, if there is something to do.
    pub advice: Option<String>,
}

/// Options in advice that make sense for one target and for no fleet.
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
            true => format!("{advice}; an audit cannot be told so: look at this one alone with `hivewright info`"),
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
    /// Its key's name.
    pub name: String,
    /// What it is for: `current`, `default`, `last_known_good`, `failed`; empty for a set that nothing points to.
    pub roles: Vec<String>,
    /// The key of the service that reads the setting in this Windows, below the root of the hive; `null` where that is
    /// open.
    pub key: Option<String>,
    /// When that key's values or subkeys last changed.
    pub key_last_written: Option<String>,
    /// Whether the setting is there: `present`, `absent`, `unreadable`; `null` where it is open which key counts.
    pub rule: Option<String>,
    /// Its type: `REG_DWORD`.
    pub data_type: Option<String>,
    /// The first bytes of its data, in hexadecimal.
    pub data_hex: Option<String>,
    /// Its number, if it is a REG_DWORD of 4 bytes.
    pub value: Option<u32>,
    /// What the number means.
    pub meaning: Option<String>,
}

/// What Windows goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(default)]
pub struct Verdict {
    /// Number of the control set.
    pub control_set: Option<u32>,
    /// `set`: there and defined; `absent`; `undefined`: there, and what Windows does with it is not established;
    /// `unknown`.
    pub state: String,
    /// The number that stands there.
    pub value: Option<u32>,
    /// What Windows goes by: 0, 1 or 2; `null` where that is not established.
    pub effective: Option<u32>,
    /// In words.
    pub meaning: String,
}

/// What became of the transaction logs of a dirty hive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(default)]
pub struct Replay {
    /// Whether any log was applied.
    pub applied: bool,
    /// Why not.
    pub why_not: Option<String>,
    /// Numbers of the first and the last entry applied.
    pub entries: Option<[u32; 2]>,
    /// Pages written.
    pub pages: u64,
    /// Bytes of those pages.
    pub bytes: u64,
    /// Both sequence numbers afterwards.
    pub sequence_after: Option<u32>,
    /// Whether the primary file alone gives another verdict; `null` where it cannot be read without its logs, or there
    /// was no replay.
    pub changed_verdict: Option<bool>,
    /// What the primary file alone says of the next boot.
    pub primary_alone: Option<Verdict>,
}

/// Something that does not do what its author meant, or could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct Mistake {
    /// Stable, in kebab case.
    pub code: String,
    /// Path of the key or value below the root of the hive.
    pub place: String,
    /// What is there.
    pub what: String,
    /// What to do about it.
    pub advice: String,
    /// Where it stands, in bytes from the start of the hive file, if that is one place.
    pub offset: Option<u64>,
}

/// A setting next door that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct Neighbour {
    /// The value's name: `ProhibitIpSec`, `AllowL2TPWeakCrypto`, `NegotiateDH2048_AES256`.
    pub name: String,
    /// Path of the value below the root of the hive.
    pub place: String,
    /// Its number; `null` if it is not a REG_DWORD of 4 bytes.
    pub value: Option<u32>,
    /// Whether it is on: any number but 0.
    pub on: bool,
    /// What it means when it is on.
    pub meaning: String,
}

/// What stands against writing to the hive, or is out of order in its image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
pub struct Blocker {
    /// Stable, in kebab case.
    pub code: String,
    /// One sentence fragment.
    pub what: String,
}
