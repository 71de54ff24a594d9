//! Registration files as expectations and as changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use hivewright_error::{Code, Error, Result};
use hivewright_hive::KeyPath;
use hivewright_hive::reg_text::{self, Change, ReadOptions, RegKey};
use hivewright_hive::regf::name::{Name, upcase};

use super::check::{Check, Mend, Severity};
use super::expectation::Expectation;
use super::path::KeyPattern;
use crate::RegistryPath;
use crate::edit::{Action, PathOperation};

/// Converts an operation of a registration file.
///
/// # Errors
/// `registry-root`; `user-unnamed` for a key of the current user.
pub(super) fn operation(operation: reg_text::RegOperation) -> Result<PathOperation> {
    let path = path_of(&operation.key)?;
    if path.needs_user() {
        let what = format!("{path} is a path of the current user");
        return Err(Error::refused(Code::UserUnnamed, what).advise("name the user: HKEY_USERS\\<SID>"));
    }
    Ok(PathOperation { path, action: action(operation.change) })
}

/// Returns the path of a key of a registration file.
///
/// # Errors
/// As [`RegistryPath::from_names`].
pub(crate) fn path_of(key: &RegKey) -> Result<RegistryPath> {
    let root = std::iter::once(Name::encode(key.root.name()));
    RegistryPath::from_names(KeyPath::from_names(root.chain(key.names.iter().cloned())))
}

/// Converts a change of a registration file to an action of an edit.
pub(crate) fn action(change: Change) -> Action {
    match change {
        Change::CreateKey => Action::CreateKey,
        Change::DeleteKey => Action::DeleteKey,
        Change::SetValue { name, data_type: kind, data } => Action::SetValue { name, kind, data },
        Change::DeleteValue { name } => Action::DeleteValue { name },
    }
}

/// Upper-cased names of a key and of its value; `None` for the key itself.
type Place = (Vec<Vec<u16>>, Option<Vec<u16>>);

/// Returns one check for each line of a registration file. Of contradicting lines the last counts, as in an import. A
/// key of `HKEY_CURRENT_USER` is that of every user.
///
/// # Errors
/// Syntax errors of the file; a key outside of the hives.
pub(super) fn checks(bytes: &[u8], policy: &Arc<str>) -> Result<Vec<Check>> {
    let file = reg_text::parse(bytes, &ReadOptions::default()).map_err(Error::from)?;
    let mut wanted: BTreeMap<Place, (u64, Arc<RegKey>, Change)> = BTreeMap::new();
    for operation in file.operations {
        let line = operation.line;
        let upper = |name: &Name<'_>| name.units().map(upcase).collect::<Vec<u16>>();
        let root = operation.key.root.name().encode_utf16().collect();
        let key: Vec<Vec<u16>> = std::iter::once(root).chain(operation.key.names.iter().map(upper)).collect();
        let value = match &operation.change {
            Change::CreateKey | Change::DeleteKey => None,
            Change::SetValue { name, .. } | Change::DeleteValue { name } => Some(upper(name)),
        };
        match operation.change {
            Change::DeleteKey => {
                let is_below = |(place, _): &Place| place.starts_with(&key);
                let below = wanted.range((key.clone(), None)..).map(|(place, _)| place).take_while(|it| is_below(it));
                let below: Vec<Place> = below.cloned().collect();
                below.iter().for_each(|place| drop(wanted.remove(place)));
            }
            // A key that is deleted and created again is present.
            Change::CreateKey | Change::SetValue { .. } => {
                for depth in 1..=key.len() {
                    let above = (key[..depth].to_vec(), None);
                    if matches!(wanted.get(&above), Some((_, _, Change::DeleteKey))) {
                        wanted.remove(&above);
                    }
                }
            }
            Change::DeleteValue { .. } => {}
        }
        wanted.insert((key, value), (line, operation.key, operation.change));
    }
    let mut wanted: Vec<_> = wanted.into_values().collect();
    wanted.sort_by_key(|(line, ..)| *line);
    wanted.into_iter().map(|(line, key, change)| check(policy, line, &key, change)).collect()
}

fn check(policy: &Arc<str>, line: u64, key: &RegKey, change: Change) -> Result<Check> {
    let of_line = |error: Error| error.about(&format!("line {line}"));
    let (value, expectation, mend) = match change {
        Change::CreateKey => (None, Expectation::of_presence(true), Mend::CreateKey),
        Change::DeleteKey => (None, Expectation::of_presence(false), Mend::DeleteKey),
        Change::SetValue { name, data_type: kind, data } => {
            let mend = Mend::Set { kind, data: data.clone(), creates_key: true };
            (Some(name), Expectation::of_data(kind, data), mend)
        }
        Change::DeleteValue { name } => (Some(name), Expectation::of_presence(false), Mend::DeleteValue),
    };
    Ok(Check {
        policy: policy.clone(),
        id: format!("line-{line}"),
        title: None,
        severity: Severity::default(),
        rationale: None,
        references: Vec::new(),
        key: KeyPattern::of_key(key).map_err(of_line)?,
        value,
        expectation,
        default: None,
        at: super::text::At::default(),
        when: super::condition::When::default(),
        roles: Arc::default(),
        mend,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_contradicting_lines_counts() {
        let text = "Windows Registry Editor Version 5.00\r\n\r\n[-HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n\
                    [HKEY_LOCAL_MACHINE\\SOFTWARE\\a\\B]\r\n\"x\"=dword:1\r\n\"X\"=dword:2\r\n\"y\"=-\r\n\
                    [HKEY_LOCAL_MACHINE\\SOFTWARE\\C]\r\n\"z\"=\"1\"\r\n[-HKEY_LOCAL_MACHINE\\SOFTWARE\\c]\r\n\
                    [HKEY_CURRENT_USER\\*]\r\n";
        let checks = checks(text.as_bytes(), &"policy".into()).unwrap();
        let found: Vec<_> =
            checks.iter().map(|it| (it.id.as_str(), it.key.to_string(), it.expectation.text())).collect();
        assert_eq!(
            found,
            [
                ("line-4", "HKLM\\SOFTWARE\\a\\B".to_owned(), "present = true"),
                ("line-6", "HKLM\\SOFTWARE\\a\\B".to_owned(), "type = \"REG_DWORD\", equals = { hex = \"02000000\" }"),
                ("line-7", "HKLM\\SOFTWARE\\a\\B".to_owned(), "absent = true"),
                ("line-10", "HKLM\\SOFTWARE\\c".to_owned(), "absent = true"),
                ("line-11", "HKCU\\{U+002A}".to_owned(), "present = true"),
            ]
        );
        assert!(super::checks(b"no file", &"policy".into()).is_err());
    }
}
