//! The setting: its name, what its data mean, and what stands in one service key.
//!
//! Sources: KB926179 (Vista and later), KB885407 (XP SP2), KB818043 (XP before SP2). It takes effect at the next boot,
//! is needed on client and server, and is often not enough for a connection to work: no text here promises that.

use serde::Serialize;

use super::report::ControlSetReport;
use crate::windows::Mistake;
use crate::windows::look::{self, Damage, Look};
use crate::windows::services::{Service, Services};
use crate::windows::version::{Decision, Detection};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::regf::key_value::{Location, ValueType};
use hivewright_hive::{HiveBytes, Key, Value};

/// The name of the value.
pub const NAME: &str = "AssumeUDPEncapsulationContextOnSendRule";
/// The most bytes of data that a report shows.
pub const MAX_SHOWN: usize = 64;
/// The most lookalikes that a report holds. A damaged list may name one value a million times.
const MOST_LOOKALIKES: usize = 100;

/// What a number means.
pub fn meaning(number: u32) -> &'static str {
    match number {
        0 => "no security association with a server behind NAT",
        1 => "the server may be behind NAT, the client needs a public address",
        2 => "server and client may both be behind NAT",
        _ => "undefined: must not be used; what Windows does with it is not established",
    }
}

/// A value, as it stands in the hive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingValue {
    /// The name, in its own letters.
    pub name: String,
    /// REG_DWORD and the like.
    pub data_type: String,
    /// The number of the type.
    pub data_type_number: u32,
    /// Bytes of data.
    pub size: usize,
    /// The first bytes of data in hexadecimal, up to [`MAX_SHOWN`]; none if they cannot be read.
    pub data_hex: Option<String>,
    /// The number, if it is a 4-byte REG_DWORD.
    pub number: Option<u32>,
    /// Whether the data stand in the key value itself.
    pub inline: bool,
    /// Cell offset of the key value.
    pub cell: u32,
    /// Cell offset of the data, if they are not inline.
    pub data_cell: Option<u32>,
    /// Place in the key's list of values.
    pub index: u32,
    /// Whether a layered hive marks it as deleted: then Windows takes it for absent.
    pub tombstone: bool,
}

impl SettingValue {
    fn read<B: HiveBytes>(key: &Key<'_, B>, value: &Value<'_, B>, place: &str, damage: &mut Damage) -> Result<Self> {
        let data = damage.look(place, value.raw_data().map(Some))?.into_there();
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

    /// What stands there, in a few words.
    pub(super) fn describe(&self) -> String {
        match self.number {
            Some(number) => number.to_string(),
            None => format!("{} of {} bytes", self.data_type, self.size),
        }
    }
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// It is.
    Present,
    /// It is not.
    Absent,
    /// The way to it is damaged.
    Unreadable,
}

impl<T> From<&Look<T>> for Presence {
    fn from(look: &Look<T>) -> Self {
        match look {
            Look::There(_) => Presence::Present,
            Look::Absent => Presence::Absent,
            Look::Unreadable(_) => Presence::Unreadable,
        }
    }
}

/// What one service key of one control set holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServiceReport {
    /// Which service.
    pub service: Service,
    /// Path of its key below the root of the hive.
    pub path: String,
    /// Whether this Windows reads the setting from here; none if that is open.
    pub counts: Option<bool>,
    /// Whether the key is there.
    pub key: Presence,
    /// Cell offset of the key node.
    pub key_cell: Option<u32>,
    /// When the key's values or subkeys last changed, RFC 3339.
    pub last_written: Option<String>,
    /// Why it is open whether Windows reads what stands here: damage, a link or a tombstone on the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Mistake>,
    /// Whether the value is there.
    pub state: Presence,
    /// The value: the first of that name, as the registry finds it.
    pub value: Option<SettingValue>,
    /// Values that the registry does not find under the setting's name and people take for it: further ones of the same
    /// name, and names with space around.
    pub lookalikes: Vec<SettingValue>,
    /// Whether a subkey has the setting's name.
    pub subkey_of_that_name: bool,
    /// Whether `AllowL2TPWeakCrypto` stands here, where nothing reads it.
    pub misplaced_weak_crypto: bool,
}

impl ServiceReport {
    /// The service has no key where it has to have one.
    pub(super) fn missing(&self) -> Mistake {
        Mistake::new(
            Code::ServiceKeyMissing,
            &self.path,
            "the service that reads the setting has no key",
            "never make it by hand: mend Windows, or look whether this is the right control set",
        )
    }
}

/// Looks into one service key.
pub(super) fn look_into<B: HiveBytes>(
    services: &Services<'_, B>,
    service: Service,
    counting: Option<Service>,
    doubt: Option<Mistake>,
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
    let Some(key) = found.there() else { return Ok(report) };
    report.key_cell = Some(key.at().0);
    report.last_written = Some(key.last_written().to_string());
    report.state = scan_values(key, &mut report, damage)?;
    report.subkey_of_that_name = damage.key(key, &report.path, NAME)?.there().is_some();
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
    // What cannot be read may be the value; where that is there, it does not matter.
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

/// Whether the setting's value stands below a key, whatever its type: for places where it has no business.
pub(super) fn stands_below<B: HiveBytes>(key: &Key<'_, B>, place: &str, damage: &mut Damage) -> Result<Option<String>> {
    let Look::There(value) = damage.look(place, key.value(NAME))? else { return Ok(None) };
    let number = damage.look(place, look::number(&value))?.into_there();
    Ok(Some(number.map_or_else(|| value.data_type().to_string(), |number| number.to_string())))
}

/// What kind of answer a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingState {
    /// The value is there and defined.
    Set,
    /// It is not there: Windows takes its default.
    Absent,
    /// It is there, and what Windows does with it is not established: above 2, or of the wrong type or size.
    Undefined,
    /// It cannot be told: `Select`, the Windows or the hive's damage stand in the way.
    Unknown,
}

/// Codes of causes that are no damage: the hive does not say.
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

/// What Windows does in one control set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Number of the control set.
    pub control_set: Option<u32>,
    /// What kind of answer this is.
    pub state: SettingState,
    /// The number that stands there.
    pub number: Option<u32>,
    /// What Windows goes by: 0, 1 or 2; none where that is not established.
    pub effective: Option<u32>,
    /// In words.
    pub meaning: String,
    /// What makes it unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Mistake>,
}

impl Verdict {
    pub(super) fn unknown(control_set: Option<u32>, cause: Mistake) -> Self {
        let (state, number, effective, meaning) = (SettingState::Unknown, None, None, cause.in_words());
        Verdict { control_set, state, number, effective, meaning, cause: Some(cause) }
    }

    /// The error of a caller that needs an answer, where damage, a link or a tombstone keeps it from being had. What a
    /// sound hive leaves open is none.
    pub fn error(&self) -> Option<Error> {
        let cause = self.cause.as_ref().filter(|cause| !UNSETTLED.contains(&cause.code))?;
        let kind = if cause.code == crate::windows::special::CODE { Kind::Unsupported } else { Kind::Corrupt };
        Some(cause.to_error(kind))
    }

    /// The verdict on a control set, from the service key that counts. `evidence` is what damages the evidence of which key
    /// that is.
    pub(super) fn of(set: &ControlSetReport, evidence: Option<&Mistake>, windows: &Detection) -> Self {
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
                format!("{}, not a REG_DWORD of 4: what Windows does with it is not established", value.describe()),
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
                    "XP before Service Pack 2 does as for 2, later ones as for 0; the service pack cannot be read";
                (None, what.to_owned())
            }
            true => (Some(2), format!("XP before Service Pack 2 (with KB818043) does as for 2, {}", meaning(2))),
            false => (Some(0), format!("Windows takes 0, {}", meaning(0))),
        };
        let (state, number) = (SettingState::Absent, None);
        Verdict { control_set: Some(control_set), state, number, effective, meaning, cause: None }
    }
}
