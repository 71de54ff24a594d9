//! Data in the syntax of a policy: a number, a string, a list of strings, or bytes in hexadecimal.

use std::fmt;

use hivewright_hive::{Data, ValueType};
use hivewright_storage::hex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// Data in the syntax of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Datum {
    /// `REG_DWORD`, `REG_QWORD`.
    Number(u64),
    /// `REG_SZ`, `REG_EXPAND_SZ`.
    Text(String),
    /// `REG_MULTI_SZ`.
    Texts(Vec<String>),
    /// Any type.
    Bytes(Vec<u8>),
}

impl Datum {
    /// Returns whether data of a value equals it.
    pub(super) fn is(&self, kind: ValueType, data: &[u8], ignore_case: bool) -> bool {
        let same = |a: &str, b: &str| if ignore_case { caseless(a) == caseless(b) } else { a == b };
        match self {
            Datum::Number(wanted) => number(kind, data) == Some(*wanted),
            Datum::Text(wanted) => text(kind, data).is_some_and(|text| same(&text, wanted)),
            Datum::Texts(wanted) => texts(kind, data).is_some_and(|texts| {
                texts.len() == wanted.len() && texts.iter().zip(wanted).all(|(text, wanted)| same(text, wanted))
            }),
            Datum::Bytes(wanted) => data == wanted,
        }
    }

    /// Returns the type and bytes of a value with this data; `kind` is the type in the policy.
    ///
    /// # Errors
    /// The type cannot represent it.
    pub(super) fn to_value(&self, kind: Option<ValueType>) -> Result<(ValueType, Vec<u8>), String> {
        let kind = kind.unwrap_or(match self {
            Datum::Number(0..=0xffff_ffff) => ValueType::DWORD,
            Datum::Number(_) => ValueType::QWORD,
            Datum::Text(_) => ValueType::SZ,
            Datum::Texts(_) => ValueType::MULTI_SZ,
            Datum::Bytes(_) => ValueType::BINARY,
        });
        let data = match (self, kind) {
            (Datum::Number(number), ValueType::DWORD | ValueType::DWORD_BIG_ENDIAN) => {
                let number = u32::try_from(*number).map_err(|_| format!("{number} exceeds 32 bits"))?;
                if kind == ValueType::DWORD { number.to_le_bytes().to_vec() } else { number.to_be_bytes().to_vec() }
            }
            (Datum::Number(number), ValueType::QWORD) => number.to_le_bytes().to_vec(),
            (Datum::Text(text), ValueType::SZ | ValueType::EXPAND_SZ) => Data::sz(text).to_bytes(),
            (Datum::Texts(texts), ValueType::MULTI_SZ) => Data::multi_sz(texts).to_bytes(),
            (Datum::Bytes(bytes), _) => bytes.clone(),
            _ => return Err(format!("{self} is not data of {kind}")),
        };
        Ok((kind, data))
    }
}

impl fmt::Display for Datum {
    /// Formats it in the syntax of a policy.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Datum::Number(number) => write!(f, "{number}"),
            Datum::Text(text) => f.write_str(&quoted(text)),
            Datum::Texts(texts) => write!(f, "[{}]", texts.iter().map(|it| quoted(it)).collect::<Vec<_>>().join(", ")),
            Datum::Bytes(bytes) => write!(f, "{{ hex = \"{}\" }}", hex::encode(bytes)),
        }
    }
}

/// Returns a quoted string, which is valid in TOML and JSON.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Returns the number in data of a numeric type.
pub(super) fn number(kind: ValueType, data: &[u8]) -> Option<u64> {
    match Data::new(kind, data) {
        Data::Dword(number) | Data::DwordBigEndian(number) => Some(number.into()),
        Data::Qword(number) => Some(number),
        _ => None,
    }
}

/// Returns the string in data of a string type, up to its first NUL. Unpaired surrogates become U+FFFD.
pub(super) fn text(kind: ValueType, data: &[u8]) -> Option<String> {
    match Data::new(kind, data) {
        Data::Sz(text) | Data::ExpandSz(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Returns the strings of a `REG_MULTI_SZ`.
pub(super) fn texts(kind: ValueType, data: &[u8]) -> Option<Vec<String>> {
    match Data::new(kind, data) {
        Data::MultiSz(texts) => Some(texts.strings().collect()),
        _ => None,
    }
}

/// Returns a string for comparison without regard to case.
pub(super) fn caseless(text: &str) -> String {
    text.to_lowercase()
}

impl JsonSchema for Datum {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Data".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Data of a value: a number, a string, a list of strings, or bytes in hexadecimal",
            "oneOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } },
                {
                    "type": "object",
                    "properties": { "hex": { "type": "string", "pattern": "^([0-9a-fA-F]{2})*$" } },
                    "required": ["hex"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

impl<'de> Deserialize<'de> for Datum {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(DatumVisitor)
    }
}

struct DatumVisitor;

impl<'de> Visitor<'de> for DatumVisitor {
    type Value = Datum;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a non-negative number, a string, a list of strings, or { hex = \"...\" }")
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Datum, E> {
        let fitting = u64::try_from(number);
        fitting.map(Datum::Number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Datum, E> {
        Ok(Datum::Number(number))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Datum, E> {
        Ok(Datum::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Datum, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = list.next_element()? {
            texts.push(text);
        }
        Ok(Datum::Texts(texts))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Datum, A::Error> {
        let mut bytes = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "hex" {
                return Err(de::Error::unknown_field(&key, &["hex"]));
            }
            let text: String = map.next_value()?;
            let digits = text.replace([' ', ','], "").to_ascii_lowercase();
            let wrong = || de::Error::invalid_value(Unexpected::Str(&text), &"an even number of hexadecimal digits");
            bytes = Some(hex::decode(&digits).ok_or_else(wrong)?);
        }
        bytes.map(Datum::Bytes).ok_or_else(|| de::Error::missing_field("hex"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_compared_by_its_type() {
        let is = |wanted: &Datum, kind, data: &[u8]| wanted.is(kind, data, false);
        let one = Datum::Number(1);
        assert!(is(&one, ValueType::DWORD, &[1, 0, 0, 0]) && is(&one, ValueType::QWORD, &[1, 0, 0, 0, 0, 0, 0, 0]));
        assert!(is(&one, ValueType::DWORD_BIG_ENDIAN, &[0, 0, 0, 1]));
        // A number as a string, of the wrong size, or as bytes does not match.
        assert!(!is(&one, ValueType::SZ, b"1\0\0\0") && !is(&one, ValueType::DWORD, &[1]));
        assert!(!is(&one, ValueType::BINARY, &[1, 0, 0, 0]));
        let text = Datum::Text("Ab".to_owned());
        assert!(is(&text, ValueType::EXPAND_SZ, b"A\0b\0\0\0") && !is(&text, ValueType::SZ, b"a\0b\0\0\0"));
        assert!(text.is(ValueType::SZ, b"a\0B\0\0\0", true));
        let texts = Datum::Texts(vec!["a".to_owned(), "b".to_owned()]);
        let bytes = texts.to_value(None).unwrap().1;
        assert!(is(&texts, ValueType::MULTI_SZ, &bytes) && !is(&texts, ValueType::SZ, &bytes));
        assert!(is(&Datum::Bytes(bytes.clone()), ValueType::MULTI_SZ, &bytes));
    }

    #[test]
    fn a_type_that_cannot_represent_it_is_refused() {
        let kind = |wanted: Datum, kind| wanted.to_value(kind).map(|(kind, data)| (kind.to_string(), data.len()));
        assert_eq!(kind(Datum::Number(1 << 32), None).unwrap(), ("REG_QWORD".to_owned(), 8));
        assert_eq!(kind(Datum::Text("a".to_owned()), Some(ValueType::EXPAND_SZ)).unwrap().1, 4);
        assert!(kind(Datum::Number(1 << 32), Some(ValueType::DWORD)).is_err());
        assert!(kind(Datum::Text("1".to_owned()), Some(ValueType::DWORD)).is_err());
        assert!(kind(Datum::Texts(Vec::new()), Some(ValueType::SZ)).is_err());
    }
}
