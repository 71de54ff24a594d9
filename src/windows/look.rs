//! Look-ups for reading: damage on the way becomes a line of the report, a failing medium stays an error.

use super::Mistake;
use crate::error::{Kind, Result};
use crate::hive::{HiveBytes, Key, Value};
use crate::regf::key_value::ValueType;

/// What a look-up found.
#[derive(Clone, Debug)]
pub(super) enum Look<T> {
    There(T),
    Absent,
    /// It may be there: the way to it is damaged.
    Unreadable,
}

impl<T> Look<T> {
    pub(super) fn there(&self) -> Option<&T> {
        match self {
            Look::There(found) => Some(found),
            Look::Absent | Look::Unreadable => None,
        }
    }

    pub(super) fn into_there(self) -> Option<T> {
        match self {
            Look::There(found) => Some(found),
            Look::Absent | Look::Unreadable => None,
        }
    }
}

/// The most places of damage that are told one by one. A damaged list may lead to a million.
const MOST_TOLD: usize = 100;

/// Collects what could not be read.
#[derive(Debug, Default)]
pub(super) struct Damage {
    mistakes: Vec<Mistake>,
}

impl Damage {
    /// Passes on what was found at `place`, and notes it if it is damaged.
    ///
    /// # Errors
    /// Those of the operating system: they say nothing about the hive.
    pub(super) fn look<T>(&mut self, place: &str, found: Result<Option<T>>) -> Result<Look<T>> {
        match found {
            Ok(Some(found)) => Ok(Look::There(found)),
            Ok(None) => Ok(Look::Absent),
            Err(error) if error.kind() == Kind::Io => Err(error),
            Err(_) if self.mistakes.len() > MOST_TOLD => Ok(Look::Unreadable),
            Err(error) => {
                if self.mistakes.len() == MOST_TOLD {
                    self.mistakes.push(Mistake::new(
                        "unreadable",
                        place,
                        "and more from here on",
                        "the hive is badly damaged: `hivewright check` names every place",
                    ));
                    return Ok(Look::Unreadable);
                }
                let mistake = Mistake::new(
                    "unreadable",
                    place,
                    error.to_string(),
                    "the hive is damaged here: see what `hivewright check` finds, and do not rely on this part",
                );
                if !self.mistakes.contains(&mistake) {
                    self.mistakes.push(mistake);
                }
                Ok(Look::Unreadable)
            }
        }
    }

    /// The subkey of `key` at `path`, whose own path is `place`.
    pub(super) fn key<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        path: &str,
    ) -> Result<Look<Key<'h, B>>> {
        let found = descend(key, path);
        self.look(&format!("{place}\\{path}"), found)
    }

    /// Shows `each` the values of a key that can be read, and says whether that is all of them.
    pub(super) fn values<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        mut each: impl FnMut(&Value<'h>, &mut Self) -> Result<()>,
    ) -> Result<bool> {
        let Look::There(all) = self.look(place, key.values().map(Some))? else { return Ok(false) };
        let mut complete = true;
        for value in all {
            match self.look(place, value.map(Some))? {
                Look::There(value) => each(&value, self)?,
                Look::Absent | Look::Unreadable => complete = false,
            }
        }
        Ok(complete)
    }

    /// The number in a 4-byte REG_DWORD; `None` for anything else.
    pub(super) fn dword<B: HiveBytes>(&mut self, key: &Key<'_, B>, place: &str, name: &str) -> Result<Option<u32>> {
        let found = key.value(name).and_then(|value| value.map_or(Ok(None), |value| number(key, &value)));
        Ok(self.look(&format!("{place}\\{name}"), found)?.into_there())
    }

    /// The text in a REG_SZ or REG_EXPAND_SZ, up to its first zero; `None` for anything else.
    pub(super) fn text<B: HiveBytes>(&mut self, key: &Key<'_, B>, place: &str, name: &str) -> Result<Option<String>> {
        let found = key.value(name).and_then(|value| value.map_or(Ok(None), |value| text(key, &value)));
        Ok(self.look(&format!("{place}\\{name}"), found)?.into_there())
    }

    /// What was collected.
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }
}

/// The subkey at `path` below `key`.
pub(super) fn descend<'h, B: HiveBytes>(key: &Key<'h, B>, path: &str) -> Result<Option<Key<'h, B>>> {
    let mut at = key.clone();
    for name in path.split('\\') {
        match at.subkey(name)? {
            Some(next) => at = next,
            None => return Ok(None),
        }
    }
    Ok(Some(at))
}

/// The number in a 4-byte REG_DWORD.
pub(super) fn number<B: HiveBytes>(key: &Key<'_, B>, value: &Value<'_>) -> Result<Option<u32>> {
    if value.data_type() != ValueType::DWORD || value.size() != 4 {
        return Ok(None);
    }
    let data = key.hive().data(value)?;
    Ok(data.first_chunk().map(|raw| u32::from_le_bytes(*raw)))
}

fn text<B: HiveBytes>(key: &Key<'_, B>, value: &Value<'_>) -> Result<Option<String>> {
    if value.data_type() != ValueType::SZ && value.data_type() != ValueType::EXPAND_SZ {
        return Ok(None);
    }
    Ok(Some(utf16(&key.hive().data(value)?)))
}

/// UTF-16LE up to the first zero. Unpaired surrogates come out as U+FFFD.
pub(super) fn utf16(data: &[u8]) -> String {
    let units = data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).take_while(|&unit| unit != 0);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}
