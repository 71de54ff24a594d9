//! Look-up of the key or value of a check.

use hivewright_error::Result;
use hivewright_hive::ValueType;
use hivewright_hive::security_descriptor::SecurityDescriptor;
use hivewright_storage::hex;

use super::check::Check;
use super::datum;
use super::evaluate::Place;
use super::expectation::KeyFacts;
use crate::Key;

/// The most bytes of data in a result.
const MOST_DATA: usize = 256;

/// Result of the look-up.
pub(super) enum Found {
    Value(Option<(ValueType, Vec<u8>)>),
    Key(Option<KeyFacts>),
}

/// Looks up the facts of a present or absent key that a check needs.
///
/// # Errors
/// The key or value cannot be read.
pub(super) fn look_up(check: &Check, key: Option<&Key<'_>>) -> Result<Found> {
    let Some(name) = &check.value else {
        let Some(key) = key else { return Ok(Found::Key(None)) };
        let security = match check.expectation.needs_security() {
            true => Some(SecurityDescriptor::from_bytes(&key.security_descriptor()?)?),
            false => None,
        };
        return Ok(Found::Key(Some(KeyFacts { security, last_written: key.last_written() })));
    };
    let value = match key {
        Some(key) => key.value(name)?,
        None => None,
    };
    // Windows treats a value with the tombstone flag as absent.
    let is_live = |value: &crate::Value<'_>| !value.node().is_tombstone(value.hive().base_block().minor_version.get());
    let data = |value: crate::Value<'_>| -> Result<_> { Ok((value.data_type(), value.raw_data()?.into_owned())) };
    Ok(Found::Value(value.filter(is_live).map(data).transpose()?))
}

impl Found {
    /// Returns whether it is as expected.
    pub(super) fn holds(&self, check: &Check) -> bool {
        match self {
            Found::Value(value) => {
                let value = value.as_ref().map(|(kind, data)| (*kind, &**data));
                check.expectation.holds_for_value(value, check.default.as_ref())
            }
            Found::Key(key) => check.expectation.holds_for_key(key.as_ref()),
        }
    }

    /// Returns its description as a place.
    pub(super) fn to_place(&self) -> Place {
        match self {
            Found::Value(None) | Found::Key(None) => Place { found: "absent".to_owned(), ..Place::default() },
            Found::Value(Some((kind, data))) => Place {
                found: format!("{kind} {}", shown(*kind, data)),
                data_type: Some(kind.to_string()),
                data_hex: Some(hex::encode(&data[..data.len().min(MOST_DATA)])),
                ..Place::default()
            },
            Found::Key(Some(KeyFacts { security, last_written })) => {
                let sddl = security.as_ref().and_then(|descriptor| descriptor.to_sddl().ok());
                let found = sddl.map_or_else(|| format!("last written {last_written}"), |sddl| sddl.text);
                Place { found, ..Place::default() }
            }
        }
    }
}

/// Formats data in one line, in the syntax of a policy; long data is cut.
fn shown(kind: ValueType, data: &[u8]) -> String {
    let beginning = &data[..data.len().min(MOST_DATA)];
    let more = if beginning.len() < data.len() { format!(" ({} bytes)", data.len()) } else { String::new() };
    let text = if let Some(number) = datum::number(kind, data) {
        number.to_string()
    } else if let Some(text) = datum::text(kind, beginning) {
        datum::quoted(&text)
    } else if let Some(texts) = datum::texts(kind, beginning) {
        datum::Datum::Texts(texts).to_string()
    } else {
        hex::encode(beginning)
    };
    format!("{text}{more}")
}
