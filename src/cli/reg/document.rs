//! Keys and values in text and in JSON: see `docs/reg.md`.

use hivewright_error::Result;
use hivewright_hive::reg_text::RegKey;
use hivewright_hive::regf::name::Name;
use hivewright_hive::security_descriptor::SecurityDescriptor;
use hivewright_hive::{HiveBytes, Key, Text, Value, ValueType};
use hivewright_storage::hex;
use serde_json::{Map, json};

use super::{data, full};

/// A value for output.
pub(super) struct ShownValue {
    pub(super) name: Name<'static>,
    pub(super) kind: ValueType,
    pub(super) text: String,
    pub(super) bytes: Vec<u8>,
    pub(super) tombstone: bool,
}

impl ShownValue {
    /// # Errors
    /// The data cannot be read.
    pub(super) fn of<B: HiveBytes>(value: &Value<'_, B>) -> Result<Self> {
        let data = value.data()?;
        let minor = value.hive().base_block().minor_version.get();
        Ok(ShownValue {
            name: value.name().clone().into_owned(),
            kind: value.data_type(),
            text: data::shown(&data),
            bytes: data.to_bytes(),
            tombstone: value.node().is_tombstone(minor),
        })
    }

    fn document(&self) -> serde_json::Value {
        let mut value = json!({
            "name": self.name.to_escaped(),
            "data_type": self.kind.to_string(),
            "data_type_number": self.kind.0,
            "data": self.text,
            "data_hex": hex::encode(&self.bytes),
        });
        if self.tombstone {
            value["tombstone"] = true.into();
        }
        value
    }
}

/// Returns the JSON of a key with some of its values.
///
/// # Errors
/// Its class or its security cannot be read.
pub(super) fn of_key<B: HiveBytes>(
    path: &RegKey,
    key: &Key<'_, B>,
    values: &[ShownValue],
    with_security: bool,
) -> Result<serde_json::Value> {
    let mut document = Map::new();
    document.insert("key".to_owned(), full(path).into());
    document.insert("last_written".to_owned(), key.last_written().to_string().into());
    if let Some(class) = key.class()? {
        let text = class.to_str();
        let is_whole = text.as_ref().is_some_and(|text| text.encode_utf16().eq(class.units()));
        document.insert("class".to_owned(), text.into());
        if !is_whole {
            document.insert("class_hex".to_owned(), hex::encode(Text::as_bytes(&class)).into());
        }
    }
    if with_security {
        let descriptor = key.security_descriptor()?;
        let (text, is_whole) = sddl(&descriptor);
        document.insert("security".to_owned(), text.into());
        if !is_whole {
            document.insert("security_hex".to_owned(), hex::encode(&descriptor).into());
        }
    }
    document.insert("values".to_owned(), values.iter().map(ShownValue::document).collect());
    Ok(document.into())
}

/// Returns a descriptor as SDDL, `None` if SDDL cannot represent it, and whether the text is complete.
pub(super) fn sddl(descriptor: &[u8]) -> (Option<String>, bool) {
    match SecurityDescriptor::from_bytes(descriptor).and_then(|descriptor| descriptor.to_sddl()) {
        Ok(sddl) => (Some(sddl.text), sddl.omitted.is_empty()),
        Err(_) => (None, false),
    }
}

/// Returns a descriptor as SDDL, or in hexadecimal if SDDL cannot represent it.
pub(super) fn sddl_or_hex(descriptor: &[u8]) -> String {
    sddl(descriptor).0.unwrap_or_else(|| hex::encode(descriptor))
}
