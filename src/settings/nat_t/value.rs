//! The setting: its name, the meaning of its data, and its state in one service key.
//!
//! Sources: KB926179 (Vista and later), KB885407 (XP SP2), KB818043 (XP before SP2). It takes effect at the next boot,
//! is needed on client and server, and is often not sufficient for a connection; no text here promises that.

use serde::Serialize;

use super::report::ControlSetReport;
use crate::windows::Finding;
use crate::windows::lookup::{self, Damage, Lookup};
use crate::windows::services::{Service, Services};
use crate::windows::version::{Decision, Detection};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::regf::key_value::{Location, ValueType};
use hivewright_hive::{HiveBytes, Key, Value};

/// The name of the value.
pub const NAME: &str = "AssumeUDPEncapsulationContextOnSendRule";
/// Bytes of data that a report shows at most.
pub const MAX_SHOWN: usize = 64;
/// Similar values in a report at most: a damaged list may name one value a million times.
const MOST_LOOKALIKES: usize = 100;

/// Returns the meaning of a number.
pub fn meaning(number: u32) -> &'static str {
    match number {
        0 => "no security association with a server behind NAT",
        1 => "the server may be behind NAT; the client needs a public address",
        2 => "server and client may both be behind NAT",
        _ => "undefined: its effect in Windows is unknown",
    }
}

/// A value of the hive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingValue {
    /// The name, as stored.
    pub name: String,
    /// The name of the type, such as REG_DWORD.
    pub data_type: String,
    /// The number of the type.
    pub data_type_number: u32,
    /// Length of the data in bytes.
    pub size: usize,
    /// The first bytes of data in hexadecimal, up to [`MAX_SHOWN`]; `None` if they cannot be read.
    pub data_hex: Option<String>,
    /// The number, if it is a 4-byte REG_DWORD.
    #[serde(rename = "value")]
    pub number: Option<u32>,
    /// Whether the data are stored in the key value.
    pub inline: bool,
    /// Cell offset of the key value.
    pub cell: u32,
    /// Cell offset of the data, if they are not inline.
    pub data_cell: Option<u32>,
    /// Index in the key's values list.
    pub index: u32,
    /// Whether a layered hive marks it as deleted; Windows then treats it as absent.
    pub tombstone: bool,
}

impl SettingValue {
    fn read<B: HiveBytes>(key: &Key<'_, B>, value: &Value<'_, B>, place: &str, damage: &mut Damage) -> Result<Self> {
        let data = damage.look(place, value.raw_data().map(Some))?.into_found();
        let number = data.as_deref().and_then(|data| <[u8; 4]>::try_from(data).ok()).map(u32::from_le_bytes);
        let data_cell = match value.node().location() {
            Location::Cell { at, size } if size > 0 => Some(at.0),
            Location::Cell { .. } | Location::Inline { .. } => None,
        };
        Ok(SettingValue {
            name: value.name().to_string(),
            data_type: value.data_type().to_string(),
            data_type_number: value.data_type().0,
            size: value.size(),
            data_hex: data.map(|data| data.iter().take(MAX_SHOWN).map(|b| format!("{b:02x}")).collect()),
            number: number.filter(|_| value.data_type() == ValueType::DWORD),
            inline: matches!(value.node().location(), Location::Inline { .. }),
            cell: value.at().0,
            data_cell,
            index: value.index(),
            tombstone: value.node().is_tombstone(key.hive().base_block().minor_version.get()),
        })
    }

    /// Describes the value in a few words.
    pub(super) fn describe(&self) -> String {
        match self.number {
            Some(number) => number.to_string(),
            None => format!("{} of {} bytes", self.data_type, self.size),
        }
    }
}

/// Whether a key or value exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It exists.
    Present,
    /// It does not exist.
    Absent,
    /// Unknown: the path to it is damaged.
    Unreadable,
}

impl<T> From<&Lookup<T>> for Presence {
    fn from(look: &Lookup<T>) -> Self {
        match look {
            Lookup::Found(_) => Presence::Present,
            Lookup::Absent => Presence::Absent,
            Lookup::Unreadable(_) => Presence::Unreadable,
        }
    }
}

/// The setting in one service key of one control set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceReport {
    /// The service.
    pub service: Service,
    /// Path of its key below the root of the hive.
    pub path: String,
    /// Whether this Windows reads the setting from here; `None` if unknown.
    pub counts: Option<bool>,
    /// Whether the key exists.
    pub key: Presence,
    /// Cell offset of the key node.
    pub key_cell: Option<u32>,
    /// When the key's values or subkeys last changed, RFC 3339.
    pub last_written: Option<String>,
    /// The reason why it is unknown whether Windows reads the key: damage, a link or a tombstone in the path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Finding>,
    /// Whether the value exists.
    pub state: Presence,
    /// The value: the first one of that name, which the registry finds.
    #[serde(rename = "key_value")]
    pub value: Option<SettingValue>,
    /// Values that users may take for the setting and the registry does not find: further ones of the same name, and
    /// names that begin or end with spaces.
    pub lookalikes: Vec<SettingValue>,
    /// Whether a subkey has the setting's name.
    pub subkey_of_that_name: bool,
    /// Whether `AllowL2TPWeakCrypto` is here, where Windows does not read it.
    pub misplaced_weak_crypto: bool,
}

impl ServiceReport {
    /// Returns the finding for a service without its key.
    pub(super) fn missing(&self) -> Finding {
        Finding::new(
            Code::ServiceKeyMissing,
            &self.path,
            "the service that reads the setting has no key",
            "do not create it: repair Windows, or choose the right control set",
        )
    }
}

/// Reads one service key.
pub(super) fn look_into<B: HiveBytes>(
    services: &Services<'_, B>,
    service: Service,
    counting: Option<Service>,
    doubt: Option<Finding>,
    damage: &mut Damage,
) -> Result<ServiceReport> {
    let found = services.key(service);
    let path = services.path_of(service.as_str());
    let mut report = ServiceReport {
        service,
        counts: counting.map(|counting| counting == service),
        key: Presence::from(found),
        key_cell: None,
        last_written: None,
        doubt,
        state: Presence::from(found),
        value: None,
        lookalikes: Vec::new(),
        subkey_of_that_name: false,
        misplaced_weak_crypto: false,
        path,
    };
    let Some(key) = found.found() else { return Ok(report) };
    report.key_cell = Some(key.at().0);
    report.last_written = Some(key.last_written().to_string());
    report.state = scan_values(key, &mut report, damage)?;
    report.subkey_of_that_name = damage.key(key, &report.path, NAME)?.found().is_some();
    Ok(report)
}

fn scan_values<B: HiveBytes>(key: &Key<'_, B>, report: &mut ServiceReport, damage: &mut Damage) -> Result<Presence> {
    let path = report.path.clone();
    let damaged = damage.values(key, &path, |value, damage| {
        let name = value.name().to_string();
        let exact = value.name().matches(NAME);
        if exact || name.trim_matches(|c: char| c.is_whitespace() || c == '\0').eq_ignore_ascii_case(NAME) {
            if exact && report.value.is_none() {
                report.value = Some(SettingValue::read(key, value, &format!("{path}\\{name}"), damage)?);
            } else if report.lookalikes.len() < MOST_LOOKALIKES {
                report.lookalikes.push(SettingValue::read(key, value, &format!("{path}\\{name}"), damage)?);
            }
        }
        report.misplaced_weak_crypto |= value.name().matches(super::related::WEAK_CRYPTO);
        Ok(())
    })?;
    // The unreadable value may be the setting; if the setting was found, it does not matter.
    let data = report.value.as_ref().filter(|value| value.data_hex.is_none());
    let damaged = match (&report.value, data) {
        (Some(_), None) => return Ok(Presence::Present),
        (_, Some(value)) => damage.at(&format!("{path}\\{}", value.name)).cloned().or(damaged),
        (None, None) => damaged,
    };
    if report.doubt.is_none() {
        report.doubt.clone_from(&damaged);
    }
    Ok(match (&report.value, damaged) {
        (Some(_), _) => Presence::Present,
        (None, Some(_)) => Presence::Unreadable,
        (None, None) => Presence::Absent,
    })
}

/// Returns the setting's value below a key that must not have it, whatever its type.
pub(super) fn stands_below<B: HiveBytes>(key: &Key<'_, B>, place: &str, damage: &mut Damage) -> Result<Option<String>> {
    let Lookup::Found(value) = damage.look(place, key.value(NAME))? else { return Ok(None) };
    let number = damage.look(place, lookup::number(&value))?.into_found();
    Ok(Some(number.map_or_else(|| value.data_type().to_string(), |number| number.to_string())))
}

/// The kind of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SettingState {
    /// The value exists and is defined.
    Set,
    /// The value does not exist: Windows uses its default.
    Unset,
    /// The value exists and its effect is unknown: it is above 2, or has the wrong type or size.
    Undefined,
    /// Unknown because of `Select`, the version of Windows, or damage.
    Unknown,
}

/// Codes of causes other than damage: the hive does not have the answer.
const UNSETTLED: [Code; 9] = [
    Code::SelectMissing,
    Code::SelectType,
    Code::SelectTombstone,
    Code::SelectZero,
    Code::ControlSetMissing,
    Code::WindowsUnknown,
    Code::WindowsContradictory,
    Code::Windows2000,
    Code::ServiceKeyMissing,
];

/// The effect of the setting in one control set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// Number of the control set.
    pub control_set: Option<u32>,
    /// The kind of the verdict.
    pub state: SettingState,
    /// The stored number.
    #[serde(rename = "value")]
    pub number: Option<u32>,
    /// The number that Windows uses: 0, 1 or 2; `None` if unknown.
    pub effective: Option<u32>,
    /// The meaning in words.
    pub meaning: String,
    /// The cause, if the verdict is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Finding>,
}

impl Verdict {
    pub(super) fn unknown(control_set: Option<u32>, cause: Finding) -> Self {
        let (state, number, effective, meaning) = (SettingState::Unknown, None, None, cause.in_words());
        Verdict { control_set, state, number, effective, meaning, cause: Some(cause) }
    }

    /// Returns the error for a caller that needs an answer, if damage, a link or a tombstone prevents it; `None` if an
    /// undamaged hive does not have it.
    pub fn error(&self) -> Option<Error> {
        let cause = self.cause.as_ref().filter(|cause| !UNSETTLED.contains(&cause.code))?;
        let kind = if cause.code == Code::KeySpecial { Kind::Unsupported } else { Kind::Corrupt };
        Some(cause.to_error(kind))
    }

    /// Returns the verdict on a control set, by the service key that Windows reads. `evidence` is damage of the
    /// evidence for that key.
    pub(super) fn of(set: &ControlSetReport, evidence: Option<&Finding>, windows: &Detection) -> Self {
        let unknown = |cause| Self::unknown(Some(set.number), cause);
        let Some(service) = set.counting() else {
            let decision = windows.effective();
            return unknown(match evidence {
                Some(damage) if decision != Decision::Windows2000 => damage.clone(),
                _ => decision.open(&set.name),
            });
        };
        match (&service.doubt, service.key, &service.value) {
            (Some(doubt), ..) => unknown(doubt.clone()),
            (None, Presence::Absent, _) => unknown(service.missing()),
            (None, _, Some(value)) if !value.tombstone => Self::of_value(set.number, value),
            _ => Self::absent(set.number, windows),
        }
    }

    fn of_value(control_set: u32, value: &SettingValue) -> Self {
        let (state, meaning) = match value.number {
            Some(number @ 0..=2) => (SettingState::Set, meaning(number).to_owned()),
            Some(number) => (SettingState::Undefined, meaning(number).to_owned()),
            None => (
                SettingState::Undefined,
                format!("{}, not a REG_DWORD of 4: its effect in Windows is unknown", value.describe()),
            ),
        };
        let effective = value.number.filter(|_| state == SettingState::Set);
        Verdict { control_set: Some(control_set), state, number: value.number, effective, meaning, cause: None }
    }

    /// KB818043 gave XP before SP2 the behaviour of 2; SP2 made it 0.
    fn absent(control_set: u32, windows: &Detection) -> Self {
        let (effective, meaning) = match windows.is_xp_before_sp2() {
            _ if windows.service_pack_unreadable => {
                let what =
                    "XP before Service Pack 2 behaves as for 2, later ones as for 0; the service pack cannot be read";
                (None, what.to_owned())
            }
            true => (Some(2), format!("XP before Service Pack 2 (with KB818043) behaves as for 2, {}", meaning(2))),
            false => (Some(0), format!("Windows uses 0: {}", meaning(0))),
        };
        let (state, number) = (SettingState::Unset, None);
        Verdict { control_set: Some(control_set), state, number, effective, meaning, cause: None }
    }
}
