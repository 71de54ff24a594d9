//! Look-ups for reports: damage becomes a finding, and only I/O errors remain errors.

use std::cmp::Ordering;

use super::Finding;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::{DamagedValue, HiveBytes, Key, Value};

/// The result of a look-up.
#[derive(Clone, Debug)]
pub(crate) enum Lookup<T> {
    Found(T),
    Absent,
    /// Unknown: the path to it is damaged.
    Unreadable(Box<Finding>),
}

impl<T> Lookup<T> {
    pub(crate) fn found(&self) -> Option<&T> {
        match self {
            Lookup::Found(found) => Some(found),
            Lookup::Absent | Lookup::Unreadable(_) => None,
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Lookup::Absent)
    }

    /// Returns the finding for the damage.
    pub(crate) fn damage(&self) -> Option<&Finding> {
        match self {
            Lookup::Unreadable(damage) => Some(damage),
            Lookup::Found(_) | Lookup::Absent => None,
        }
    }

    pub(crate) fn into_found(self) -> Option<T> {
        match self {
            Lookup::Found(found) => Some(found),
            Lookup::Absent | Lookup::Unreadable(_) => None,
        }
    }
}

/// Findings of damage that are reported at most; a damaged list may cause a million.
const MOST_FINDINGS: usize = 100;

/// Collects findings for parts that could not be read.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    findings: Vec<Finding>,
}

const HIDDEN_ADVICE: &str = "Windows uses this list and does not read the keys below; use another copy of the hive";
pub(crate) const ADVICE: &str = "the hive is damaged here: run `hivewright check`, and do not rely on this part";

impl Damage {
    /// Converts the result of a look-up at `place`, and adds a finding for damage.
    ///
    /// # Errors
    /// I/O errors, which are not about the hive.
    pub(crate) fn look<T>(&mut self, place: &str, found: Result<Option<T>>) -> Result<Lookup<T>> {
        match found {
            Ok(Some(found)) => Ok(Lookup::Found(found)),
            Ok(None) => Ok(Lookup::Absent),
            Err(error) => self.note(place, error).map(|finding| Lookup::Unreadable(Box::new(finding))),
        }
    }

    /// Adds a finding for damage at `place`.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn note(&mut self, place: &str, error: Error) -> Result<Finding> {
        if error.kind() == Kind::Io {
            return Err(error);
        }
        let finding = Finding::of_error(Code::Unreadable, place, &error, ADVICE);
        self.keep(finding.clone());
        Ok(finding)
    }

    /// Adds a finding for damage below the root, unless the key is known.
    ///
    /// # Errors
    /// I/O errors.
    pub(crate) fn note_unnamed(&mut self, error: Error) -> Result<()> {
        let place = error.trail().first().map(|place| place.offset);
        if place.is_none() || !self.findings.iter().any(|finding| finding.offset == place) {
            self.note("", error)?;
        }
        Ok(())
    }

    /// Adds a new finding, up to the limit.
    pub(crate) fn keep(&mut self, finding: Finding) {
        match self.findings.len().cmp(&MOST_FINDINGS) {
            Ordering::Less if !self.findings.contains(&finding) => self.findings.push(finding),
            Ordering::Equal => self.findings.push(Finding::new(
                Code::Unreadable,
                finding.place,
                "and more after this",
                "the hive is badly damaged: `hivewright check` lists all damage",
            )),
            Ordering::Less | Ordering::Greater => {}
        }
    }

    /// Returns the first finding at `place`.
    pub(crate) fn at(&self, place: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.place == place)
    }

    /// Returns the number of findings.
    pub(crate) fn count(&self) -> usize {
        self.findings.len()
    }

    /// Returns the first finding after the first `count`.
    pub(crate) fn since(&self, count: usize) -> Option<&Finding> {
        self.findings.get(count)
    }

    /// Returns the subkey of `key` at `path`, whose own path is `place`.
    pub(crate) fn key<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        path: &str,
    ) -> Result<Lookup<Key<'h, B>>> {
        let found = descend(key, path);
        self.look(&format!("{place}\\{path}"), found)
    }

    /// Returns the required subkey of that name. If no look-up finds it, all subkeys are read to check whether a wrong
    /// hash hides it.
    pub(crate) fn required<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        name: &str,
    ) -> Result<Lookup<Key<'h, B>>> {
        match self.look(place, key.subkey(name))? {
            Lookup::Absent => self.hidden(key, place, name),
            found => Ok(found),
        }
    }

    /// Returns whether a key that no look-up finds is hidden.
    pub(crate) fn hidden<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        name: &str,
    ) -> Result<Lookup<Key<'h, B>>> {
        // Damage that may hide the key ended the look-up; other damage does not concern this key.
        match key.hidden_subkey(name) {
            Ok(Some(error)) => {
                let finding = Finding::of_error(error.code(), place, &error, HIDDEN_ADVICE);
                self.keep(finding.clone());
                Ok(Lookup::Unreadable(Box::new(finding)))
            }
            Ok(None) => Ok(Lookup::Absent),
            Err(error) if error.kind() == Kind::Io => Err(error),
            Err(_) => Ok(Lookup::Absent),
        }
    }

    /// Returns the first value called `name` of the key whose path is `place`. Adds findings for damaged values.
    pub(crate) fn value<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        name: &str,
    ) -> Result<Lookup<Value<'h, B>>> {
        let all = match self.look(place, key.values().map(Some))? {
            Lookup::Found(all) => all,
            Lookup::Absent => return Ok(Lookup::Absent),
            Lookup::Unreadable(damage) => return Ok(Lookup::Unreadable(damage)),
        };
        let mut first = None;
        for value in all {
            match value {
                Ok(value) if value.name().matches(name) => return Ok(Lookup::Found(value)),
                Ok(_) => {}
                Err(damaged) => {
                    let finding = self.damaged(place, damaged)?;
                    first.get_or_insert(finding);
                }
            }
        }
        Ok(first.map_or(Lookup::Absent, |damage| Lookup::Unreadable(Box::new(damage))))
    }

    /// Passes the readable values of a key to `each`, and returns the first damage of the others.
    pub(crate) fn values<'h, B: HiveBytes>(
        &mut self,
        key: &Key<'h, B>,
        place: &str,
        mut each: impl FnMut(&Value<'h, B>, &mut Self) -> Result<()>,
    ) -> Result<Option<Finding>> {
        let all = match self.look(place, key.values().map(Some))? {
            Lookup::Found(all) => all,
            Lookup::Absent => return Ok(None),
            Lookup::Unreadable(damage) => return Ok(Some(*damage)),
        };
        let mut first = None;
        for value in all {
            match value {
                Ok(value) => each(&value, self)?,
                Err(damaged) => {
                    let finding = self.damaged(place, damaged)?;
                    first.get_or_insert(finding);
                }
            }
        }
        Ok(first)
    }

    fn damaged(&mut self, key: &str, damaged: DamagedValue) -> Result<Finding> {
        let place = damaged.name.as_ref().map_or_else(|| key.to_owned(), |name| format!("{key}\\{name}"));
        // The place includes the name already.
        let error = if damaged.name.is_some() { damaged.error } else { Error::from(damaged) };
        self.note(&place, error)
    }

    /// Returns the number in a 4-byte REG_DWORD; `None` for anything else.
    pub(crate) fn dword<B: HiveBytes>(&mut self, key: &Key<'_, B>, place: &str, name: &str) -> Result<Option<u32>> {
        let Lookup::Found(value) = self.value(key, place, name)? else { return Ok(None) };
        Ok(self.look(&format!("{place}\\{name}"), number(&value))?.into_found())
    }

    /// Returns the text in a REG_SZ or REG_EXPAND_SZ, up to its first zero; `None` for anything else.
    pub(crate) fn text<B: HiveBytes>(&mut self, key: &Key<'_, B>, place: &str, name: &str) -> Result<Option<String>> {
        let Lookup::Found(value) = self.value(key, place, name)? else { return Ok(None) };
        Ok(self.look(&format!("{place}\\{name}"), text(&value))?.into_found())
    }

    /// Returns the findings.
    pub(crate) fn into_findings(self) -> Vec<Finding> {
        self.findings
    }
}

/// Returns the subkey at `path` below `key`.
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

/// Returns the number in a 4-byte REG_DWORD.
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

/// Decodes UTF-16LE up to the first zero. Unpaired surrogates become U+FFFD.
pub(crate) fn utf16(data: &[u8]) -> String {
    let units = data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).take_while(|&unit| unit != 0);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}
