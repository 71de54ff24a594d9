//! The values of a key that operations name, and a hash over all others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use zerocopy::IntoBytes;

use super::Before;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::name::{Name, upcase};
use hivewright_hive::{Hive, HiveBytes, Value};

/// SHA-256 over the names, types and data of values, in order.
pub(super) type Others = [u8; 32];

/// A name as the registry compares it: upper-cased code units.
pub(super) type Upper = Vec<u16>;

/// The values of each name, twins in other letters included.
pub(super) type Named = BTreeMap<Upper, Vec<Before>>;

/// The most values of one name in one key. Each but one is taken out of the list, which moves the others.
const MAX_TWINS: usize = 100;

/// Returns `name` as the registry compares it.
pub(super) fn upper(name: &Name<'_>) -> Upper {
    name.units().map(upcase).collect()
}

/// Returns the hash over no values.
pub(super) fn no_others() -> Others {
    Sha256::new().finalize().into()
}

/// Reads all values of the key at `key`, which stands at `path`: fills in those under the names of `named`, and returns a hash
/// over the others; with `despite_damage`, over the bytes of those that cannot be read.
///
/// # Errors
/// A value cannot be read; `duplicate-value` for more than a hundred of one name.
pub(super) fn read<B: HiveBytes>(
    hive: &Hive<B>,
    key: CellOffset,
    path: &dyn std::fmt::Display,
    named: &mut Named,
    despite_damage: bool,
) -> Result<Others> {
    let mut others = Sha256::new();
    let mut room = hive.length() as usize;
    let minor = hive.base_block().minor_version.get();
    let of_key = |error: Error| error.about(&path.to_string());
    for value in hive.key_at(key).map_err(of_key)?.values().map_err(of_key)? {
        // Values may share data only where the hive is damaged, and then a list of them is work without end.
        let mut take = |bytes: &[u8], at: CellOffset| {
            room = room.checked_sub(bytes.len()).ok_or_else(|| {
                Error::corrupt(
                    Code::ValueData,
                    "the key's values have more data than the hive has room for",
                    at.in_file(),
                )
            })?;
            Ok(())
        };
        let value = match value {
            Err(damaged) if despite_damage && damaged.error.kind() != Kind::Io => {
                let cell = hive.cell(damaged.at).unwrap_or_default();
                take(&cell, damaged.at).map_err(of_key)?;
                others.update(damaged.at.0.to_le_bytes());
                others.update(cell);
                continue;
            }
            value => value.map_err(|damaged| of_key(damaged.into()))?,
        };
        let of_value = |error: Error| error.about(&format!("value {} of {path}", value.name()));
        let mut of_name = named.get_mut(&upper(value.name()));
        let data = match value.raw_data() {
            Err(error) if despite_damage && error.kind() != Kind::Io && of_name.is_none() => {
                others.update(value.node().as_bytes());
                Cow::default()
            }
            data => data.map_err(of_value)?,
        };
        take(&data, value.at()).map_err(of_value)?;
        match &mut of_name {
            None => hash_value(&mut others, &value, &data),
            Some(of_name) if of_name.len() == MAX_TWINS => {
                let what = "the key has hundreds of values of that name";
                return Err(of_key(Error::corrupt(Code::DuplicateValue, what, value.at().in_file()))
                    .advise("no careless tool does that: take another copy of the hive"));
            }
            Some(of_name) => {
                let tombstone = value.node().is_tombstone(minor);
                of_name.push(Before { kind: value.data_type(), data: data.into_owned(), tombstone });
            }
        }
    }
    Ok(others.finalize().into())
}

fn hash_value<B: HiveBytes>(hash: &mut Sha256, value: &Value<'_, B>, data: &[u8]) {
    let name = value.name().bytes();
    for number in [name.len() as u64, data.len() as u64, u64::from(value.data_type().0)] {
        hash.update(number.to_le_bytes());
    }
    hash.update(value.node().flags.get().to_le_bytes());
    hash.update(name);
    hash.update(data);
}
