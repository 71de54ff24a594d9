//! `reg query`.

use hivewright_error::{Error, Result};
use hivewright_hive::reg_text::RegKey;
use hivewright_hive::regf::name::{Name, upcase};
use hivewright_hive::{HiveBytes, Key, Value, ValueType};
use hivewright_storage::hex;
use serde_json::json;

use super::args::{QueryArgs, SearchIn};
use super::{data, no_key, open};
use crate::cli::exit::Outcome;
use crate::cli::report::plain;

/// Which keys and values are shown.
struct Filter {
    value: Option<Name<'static>>,
    kind: Option<ValueType>,
    /// Code units in upper case.
    text: Option<Vec<u16>>,
    places: Vec<SearchIn>,
}

/// A value as it is shown.
struct Shown {
    name: String,
    kind: ValueType,
    text: String,
    bytes: Vec<u8>,
}

pub(super) fn run(args: &QueryArgs) -> anyhow::Result<Outcome> {
    let opened = open(&args.target, &args.disk.choice(), args.user.path(&args.key)?)?;
    let value = match (&args.value.name, args.value.default) {
        (Some(name), _) => Some(Name::from_escaped(name)),
        (None, true) => Some(Name::encode("")),
        (None, false) => None,
    };
    let all = [SearchIn::Keys, SearchIn::Names, SearchIn::Data];
    let filter = Filter {
        value,
        kind: args.kind.as_deref().map(data::type_of).transpose()?,
        text: args.find.as_deref().map(folded),
        places: if args.places.is_empty() { all.to_vec() } else { args.places.clone() },
    };
    let Some(top) = opened.hive.key(opened.path.key().clone())? else {
        crate::cli::warn(no_key(&opened.shown).what());
        return Ok(Outcome::No);
    };
    let mut path = opened.shown.clone();
    let mut out = Printer { json: args.json, filter, found: false, damaged: false };
    out.key(&top, &path)?;
    let mut open_keys = vec![top.subkeys()?];
    let deep = args.recursive || out.filter.text.is_some();
    while let Some(subkeys) = open_keys.last_mut() {
        match subkeys.next() {
            Some(Ok(key)) => {
                path.names.push(key.name().clone().into_owned());
                if deep {
                    out.key(&key, &path)?;
                    // The number of keys of a hive bounds the walk; its depth is bounded by the format.
                    match key.subkeys() {
                        Ok(below) if open_keys.len() <= MAX_DEPTH => {
                            open_keys.push(below);
                            continue;
                        }
                        Ok(_) => {}
                        Err(error) => out.damage(&path, error)?,
                    }
                } else {
                    out.name_of_subkey(&path)?;
                }
                path.names.pop();
            }
            Some(Err(error)) => out.damage(&path, error)?,
            None => {
                open_keys.pop();
                if !open_keys.is_empty() {
                    path.names.pop();
                }
            }
        }
    }
    Ok(match (out.damaged, out.found) {
        (true, _) => Outcome::CouldNot,
        (false, true) => Outcome::Yes,
        (false, false) => Outcome::No,
    })
}

/// Levels of keys that are gone down: as many as a path of the registry has (Microsoft Learn, "Registry element size limits").
const MAX_DEPTH: usize = 512;

fn folded(text: &str) -> Vec<u16> {
    text.encode_utf16().map(upcase).collect()
}

impl Filter {
    fn contains(&self, place: SearchIn, text: &str) -> bool {
        let Some(wanted) = &self.text else { return false };
        self.places.contains(&place) && !wanted.is_empty() && folded(text).windows(wanted.len()).any(|it| it == wanted)
    }

    fn shows(&self, value: &Shown, name: &Name<'_>) -> bool {
        self.value.as_ref().is_none_or(|wanted| wanted.matches(name.clone()))
            && self.kind.is_none_or(|wanted| wanted == value.kind)
            && (self.text.is_none()
                || self.contains(SearchIn::Names, &value.name)
                || self.contains(SearchIn::Data, &value.text))
    }
}

struct Printer {
    json: bool,
    filter: Filter,
    found: bool,
    damaged: bool,
}

impl Printer {
    fn key<B: HiveBytes>(&mut self, key: &Key<'_, B>, path: &RegKey) -> anyhow::Result<()> {
        let mut shown = Vec::new();
        match key.values() {
            Err(error) => self.damage(path, error)?,
            Ok(values) => {
                for value in values {
                    match value.map_err(Error::from).and_then(|value| Ok((show(&value)?, value.name().clone()))) {
                        Ok((value, name)) if self.filter.shows(&value, &name) => shown.push(value),
                        Ok(_) => {}
                        Err(error) => self.damage(path, error)?,
                    }
                }
            }
        }
        let is_searched = self.filter.value.is_some() || self.filter.kind.is_some() || self.filter.text.is_some();
        let last = path.names.last().map(Name::to_escaped).unwrap_or_default();
        if is_searched && shown.is_empty() && !self.filter.contains(SearchIn::Keys, &last) {
            return Ok(());
        }
        self.found = true;
        if self.json {
            let value = |value: &Shown| {
                json!({ "name": value.name, "data_type": value.kind.to_string(), "data_type_number": value.kind.0,
                        "data": value.text, "data_hex": hex::encode(&value.bytes) })
            };
            let line = json!({ "key": full(path), "last_written": key.last_written().to_string(),
                               "values": shown.iter().map(value).collect::<Vec<_>>() });
            return crate::cli::print(format!("{line}\n").as_bytes());
        }
        let mut text = format!("{}\n", plain(&full(path)));
        for value in &shown {
            let name = if value.name.is_empty() { "(Default)" } else { &value.name };
            text += &format!("    {}    {}    {}\n", plain(name), value.kind, plain(&value.text));
        }
        text.push('\n');
        crate::cli::print(text.as_bytes())
    }

    fn name_of_subkey(&mut self, path: &RegKey) -> anyhow::Result<()> {
        let is_searched = self.filter.value.is_some() || self.filter.kind.is_some();
        if is_searched {
            return Ok(());
        }
        let line = match self.json {
            true => format!("{}\n", json!({ "key": full(path) })),
            false => format!("{}\n", plain(&full(path))),
        };
        crate::cli::print(line.as_bytes())
    }

    /// Warns of a part that cannot be read; the rest is shown.
    fn damage(&mut self, path: &RegKey, error: Error) -> Result<()> {
        if error.kind() == hivewright_error::Kind::Io {
            return Err(error);
        }
        self.damaged = true;
        crate::cli::warn(&format!("{}: {error}", full(path)));
        Ok(())
    }
}

fn show<B: HiveBytes>(value: &Value<'_, B>) -> Result<Shown> {
    let data = value.data()?;
    let (name, kind) = (value.name().to_escaped(), value.data_type());
    Ok(Shown { name, kind, text: data::shown(&data), bytes: data.to_bytes() })
}

/// The full path, with escapes for what text cannot have.
fn full(path: &RegKey) -> String {
    path.names.iter().fold(path.root.to_string(), |path, name| format!("{path}\\{}", name.to_escaped()))
}
