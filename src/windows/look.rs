//! Look-ups for reading: damage on the way becomes a line of the report, a failing medium stays an error.

use std::cmp::Ordering;

use super::Mistake;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::{DamagedValue, HiveBytes, Key, Value};

/// What a look-up found.
#[derive(Clone, Debug)]
pub(crate) enum Look<T> {
    There(T),
    Absent,
    /// It may be there: the way to it is damaged.
    Unreadable(Box<Mistake>),
}

impl<T> Look<T> {
    pub(crate) fn there(&self) -> Option<&T> {
        match self {
            Look::There(found) => Some(found),
            Look::Absent | Look::Unreadable(_) => None,
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Look::Absent)
    }

    /// What stands in the way.
    pub(crate) fn damage(&self) -> Option<&Mistake> {
        match self {
            Look::Unreadable(damage) => Some(damage),
            Look::There(_) | Look::Absent => None,
        }
    }

    pub(crate) fn into_there(self) -> Option<T> {
        match self {
            Look::There(found) => Some(found),
            Look::Absent | Look::Unreadable(_) => None,
        }
    }
}

/// The most places of damage that are told one by one. A damaged list may lead to a million.
const MOST_TOLD: usize = 100;

/// Collects what could not be read.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    mistakes: Vec<Mistake>,
}

const HIDDEN_ADVICE: &str =
    "Windows goes by this list: it does not read what stands below; take another copy of the hive";
pub(crate) const ADVICE: &str =
    "the hive is damaged here: see what `hivewright check` finds, and do not rely on this part";

impl Damage {
    /// Passes on what was found at `place`, and notes it if it is damaged.
    ///
    /// # Errors
    /// Those of the operating system: they say nothing about the hive.
    pub(crate) fn look<T>(&mut self, place: &str, found: Result<Option<T>>) -> Result<Look<T>> {
        match found {
            Ok(Some(found)) => Ok(Look::There(found)),
            Ok(None) => Ok(Look::Absent),
            Err(error) => self.note(place, error).map(|mistake| Look::Unreadable(Box::new(mistake))),
        }
    }

    /// Notes damage at `place`.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn note(&mut self, place: &str, error: Error) -> Result<Mistake> {
        if error.kind() == Kind::Io {
            return Err(error);
        }
        let mistake = Mistake::of_error(Code::Unreadable, place, &error, ADVICE);
        self.keep(mistake.clone());
        Ok(mistake)
    }

    /// Notes damage below the root, unless it is known which key it is of.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn note_unnamed(&mut self, error: Error) -> Result<()> {
        let place = error.trail().first().map(|place| place.offset);
        if place.is_none() || !self.mistakes.iter().any(|mistake| mistake.offset == place) {
            self.note("", error)?;
        }
        Ok(())
    }

    /// Keeps a finding that is new, if they are not too many.
    pub(crate) fn keep(&mut self, mistake: Mistake) {
        match self.mistakes.len().cmp(&MOST_TOLD) {
            Ordering::Less if !self.mistakes.contains(&mistake) => self.mistakes.push(mistake),
            Ordering::Equal => self.mistakes.push(Mistake::new(
                Code::Unreadable,
                mistake.place,
                "and more from here on",
                "the hive is badly damaged: `hivewright check` names every place",
            )),
            Ordering::Less | Ordering::Greater => {}
        }
    }

    /// The first finding at `place`.
    pub(crate) fn at(&self, place: &str) -> Option<&Mistake> {
        self.mistakes.iter().find(|mistake| mistake.place == place)
    }

    /// How many findings there are.
    pub(crate) fn count(&self) -> usize {
        self.mistakes.len()
    }

    /// The first finding behind the first `count`.
    pub(crate) fn since(&self, count: usize) -> Option<&Mistake> {
        self.mistakes.get(count)
    }

    /// The subkey of `key` at `path`, whose own path is `place`.
    pub(crate) fn key<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        path: &str,
    ) -> Result<Look<Key<'h, B>>> {
        let found = descend(key, path);
        self.look(&format!("{place}\\{path}"), found)
    }

    /// The subkey of that name, without which nothing is found. Where no look-up finds it, every subkey is read to see
    /// whether a wrong hash hides it.
    pub(crate) fn required<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        name: &str,
    ) -> Result<Look<Key<'h, B>>> {
        match self.look(place, key.subkey(name))? {
            Look::Absent => self.hidden(key, place, name),
            found => Ok(found),
        }
    }

    /// Whether a key that no look-up finds is hidden.
    pub(crate) fn hidden<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        name: &str,
    ) -> Result<Look<Key<'h, B>>> {
        // Damage that may hide the key has ended the look-up; what else is damaged is no matter of this key.
        match key.hidden_subkey(name) {
            Ok(Some(error)) => {
                let mistake = Mistake::of_error(error.code(), place, &error, HIDDEN_ADVICE);
                self.keep(mistake.clone());
                Ok(Look::Unreadable(Box::new(mistake)))
            }
            Ok(None) => Ok(Look::Absent),
            Err(error) if error.kind() == Kind::Io => Err(error),
            Err(_) => Ok(Look::Absent),
        }
    }

    /// The first value called `name` of the key whose path is `place`. Damaged values are noted.
    pub(crate) fn value<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        name: &str,
    ) -> Result<Look<Value<'h, B>>> {
        let all = match self.look(place, key.values().map(Some))? {
            Look::There(all) => all,
            Look::Absent => return Ok(Look::Absent),
            Look::Unreadable(damage) => return Ok(Look::Unreadable(damage)),
        };
        let mut first = None;
        for value in all {
            match value {
                Ok(value) if value.name().matches(name) => return Ok(Look::There(value)),
                Ok(_) => {}
                Err(damaged) => {
                    let mistake = self.damaged(place, damaged)?;
                    first.get_or_insert(mistake);
                }
            }
        }
        Ok(first.map_or(Look::Absent, |damage| Look::Unreadable(Box::new(damage))))
    }

    /// Shows `each` the values of a key that can be read, and gives the first damage of the others.
    pub(crate) fn values<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        mut each: impl FnMut(&Value<'h, B>, &mut Self) -> Result<()>,
    ) -> Result<Option<Mistake>> {
        let all = match self.look(place, key.values().map(Some))? {
            Look::There(all) => all,
            Look::Absent => return Ok(None),
            Look::Unreadable(damage) => return Ok(Some(*damage)),
        };
        let mut first = None;
        for value in all {
            match value {
                Ok(value) => each(&value, self)?,
                Err(damaged) => {
                    let mistake = self.damaged(place, damaged)?;
                    first.get_or_insert(mistake);
                }
            }
        }
        Ok(first)
    }

    fn damaged(&mut self, key: &str, damaged: DamagedValue) -> Result<Mistake> {
        let place = damaged.name.as_ref().map_or_else(|| key.to_owned(), |name| format!("{key}\\{name}"));
        // The place has the name already.
        let error = if damaged.name.is_some() { damaged.error } else { Error::from(damaged) };
        self.note(&place, error)
    }

    /// The number in a 4-byte REG_DWORD; `None` for anything else.
    pub(crate) fn dword<B: HiveBytes>(&mut self, key: &Key<'_, B>, place: &str, name: &str) -> Result<Option<u32>> {
        let Look::There(value) = self.value(key, place, name)? else { return Ok(None) };
        Ok(self.look(&format!("{place}\\{name}"), number(&value))?.into_there())
    }

    /// The text in a REG_SZ or REG_EXPAND_SZ, up to its first zero; `None` for anything else.
    pub(crate) fn text<B: HiveBytes>(&mut self, key: &Key<'_, B>, place: &str, name: &str) -> Result<Option<String>> {
        let Look::There(value) = self.value(key, place, name)? else { return Ok(None) };
        Ok(self.look(&format!("{place}\\{name}"), text(&value))?.into_there())
    }

    /// What was collected.
    pub(crate) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes
    }
}

/// The subkey at `path` below `key`.
pub(crate) fn descend<'h, B: HiveBytes>(key: &Key<'h, B>, path: &str) -> Result<Option<Key<'h, B>>> {
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
pub(crate) fn number<B: HiveBytes>(value: &Value<'_, B>) -> Result<Option<u32>> {
    if value.data_type() != ValueType::DWORD || value.size() != 4 {
        return Ok(None);
    }
    let data = value.raw_data()?;
    Ok(data.first_chunk().map(|raw| u32::from_le_bytes(*raw)))
}

fn text<B: HiveBytes>(value: &Value<'_, B>) -> Result<Option<String>> {
    if value.data_type() != ValueType::SZ && value.data_type() != ValueType::EXPAND_SZ {
        return Ok(None);
    }
    Ok(Some(utf16(&value.raw_data()?)))
}

/// UTF-16LE up to the first zero. Unpaired surrogates come out as U+FFFD.
pub(crate) fn utf16(data: &[u8]) -> String {
    let units = data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).take_while(|&unit| unit != 0);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}
