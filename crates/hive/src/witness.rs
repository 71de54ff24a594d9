//! The witness: a second, independent parser (the crate nt-hive) that reads a value from the same bytes.
//!
//! Without it, an error in the reader of this crate would confirm itself: the same code would read an edit back.
//! nt-hive shares no code with the reader. It may panic on damaged input, so it reads only values that this crate has
//! read before, and a panic is not an answer. It exposes no offsets, timestamps or security descriptors, so it cannot
//! be the reader.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::regf::key_node;
use crate::regf::key_value::ValueType;
use hivewright_error::{Code, Error, Kind, Result};

thread_local! {
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether this thread runs the witness. A panic hook can then be silent: the panic is caught.
pub fn is_asking() -> bool {
    ASKING.get()
}

/// The type and the data of a value according to the witness.
pub type WitnessedValue = Option<(u32, Vec<u8>)>;

/// Reads the value `name` of the key at `path` with the witness. `hive` is the whole file. Returns `None` if the key or
/// the value does not exist.
///
/// # Errors
/// `witness` if the other parser cannot read the path, or panics.
pub fn read(hive: &[u8], path: &str, name: &str) -> Result<WitnessedValue> {
    let mut answers = read_by(Search::Binary, hive, path, &[name]).map_err(|why| silent(path, &why))?;
    answers.pop().unwrap_or(Ok(None)).map_err(|why| silent(path, &why))
}

/// The values of several names. An error is the reason why the witness cannot read a value.
type Answers = Vec<std::result::Result<WitnessedValue, String>>;

/// The search from a key to its subkey.
#[derive(Clone, Copy)]
enum Search {
    /// The binary search of nt-hive, which requires a sorted list.
    Binary,
    /// Linear search, which is independent of nt-hive's order of letters. That differs from the order of Windows.
    Linear,
}

fn read_by(search: Search, hive: &[u8], path: &str, names: &[&str]) -> std::result::Result<Answers, String> {
    ASKING.set(true);
    let answer = catch_unwind(AssertUnwindSafe(|| ask(search, hive, path, names)));
    ASKING.set(false);
    match answer {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("it panics".to_owned()),
    }
}

/// The result of asking the witness.
#[derive(Debug)]
pub enum Confirmation {
    /// The witness reads the same value.
    Agrees,
    /// The witness reads the same value, but its binary search does not find the key. If the list has the order of
    /// Windows, the cause is the different order of letters beyond U+007F in nt-hive.
    AgreesLinearly,
    /// The witness cannot read the value.
    Silent(Error),
    /// The witness reads another value.
    Differs(Error),
}

/// Compares the value that the witness reads with `ours`.
pub fn confirm_value(hive: &[u8], path: &str, name: &str, ours: Ours<'_>) -> Confirmation {
    let mut confirmations = confirm_all(hive, path, &[(name, ours)]);
    confirmations.pop().unwrap_or_else(|| Confirmation::Silent(silent(path, "it was not asked")))
}

/// Type and data of a value; `None` for a missing value.
pub type Ours<'o> = Option<(u32, &'o [u8])>;

/// Compares several values of one key, which is looked up once. Returns a confirmation for each value.
pub fn confirm_all(hive: &[u8], path: &str, asked: &[(&str, Ours<'_>)]) -> Vec<Confirmation> {
    let names: Vec<&str> = asked.iter().map(|(name, _)| *name).collect();
    let is_ours =
        |seen: &WitnessedValue, ours: Ours<'_>| seen.as_ref().map(|(kind, data)| (*kind, data.as_slice())) == ours;
    let by_binary_search = read_by(Search::Binary, hive, path, &names).unwrap_or_default();
    let agrees = |i: usize| {
        by_binary_search.get(i).is_some_and(|seen| seen.as_ref().is_ok_and(|seen| is_ours(seen, asked[i].1)))
    };
    if (0..asked.len()).all(agrees) {
        return asked.iter().map(|_| Confirmation::Agrees).collect();
    }
    let by_linear_search = read_by(Search::Linear, hive, path, &names);
    let confirmation = |(i, (name, ours)): (usize, &(&str, Ours<'_>))| match &by_linear_search {
        _ if agrees(i) => Confirmation::Agrees,
        Err(why) => Confirmation::Silent(silent(path, why)),
        Ok(answers) => match &answers[i] {
            Ok(seen) if is_ours(seen, *ours) => Confirmation::AgreesLinearly,
            Ok(seen) => Confirmation::Differs(disagreement(path, name, *ours, seen.as_ref())),
            Err(why) => Confirmation::Silent(silent(path, why)),
        },
    };
    asked.iter().enumerate().map(confirmation).collect()
}

fn ask(search: Search, bytes: &[u8], path: &str, names: &[&str]) -> nt_hive::Result<Answers> {
    // The reader of this crate checks sequence numbers and checksum, and also reads dirty hives.
    let hive = nt_hive::Hive::without_validation(bytes)?;
    let root = hive.root_key_node()?;
    let found = match search {
        Search::Binary => root.subpath(path).transpose()?,
        Search::Linear => walk(root, path, bytes.len())?,
    };
    let mut answers: Vec<Option<WitnessedValue>> = vec![None; names.len()];
    let Some(values) = found.and_then(|key| key.values()) else { return Ok(vec![Ok(None); names.len()]) };
    let (mut damage, mut missing) = (None, names.len());
    for value in values? {
        if missing == 0 {
            break;
        }
        // Another value may be damaged. Names are compared here, because the look-up of nt-hive returns the wrong value
        // after a damaged one.
        let one = value.and_then(|value| {
            let name = value.name()?;
            for i in (0..names.len()).filter(|&i| answers[i].is_none()).collect::<Vec<_>>() {
                if name == *names[i] {
                    answers[i] = Some(Some((value.data_type()? as u32, value.data()?.into_vec()?)));
                    missing -= 1;
                }
            }
            Ok(())
        });
        if let Err(error) = one {
            damage.get_or_insert(error.to_string());
        }
    }
    Ok(answers.into_iter().map(|answer| answer.map_or_else(|| damage.clone().map_or(Ok(None), Err), Ok)).collect())
}

/// Finds the key at `path` by linear search. The lists of a damaged hive may contain one key a million times.
fn walk<'h>(
    root: nt_hive::KeyNode<'h, &'h [u8]>,
    path: &str,
    room: usize,
) -> nt_hive::Result<Option<nt_hive::KeyNode<'h, &'h [u8]>>> {
    let mut key = root;
    for wanted in path.split('\\').filter(|name| !name.is_empty()) {
        let Some(subkeys) = key.subkeys() else { return Ok(None) };
        let (mut next, mut damage) = (None, None);
        for subkey in subkeys?.take(room / key_node::SIZE) {
            match subkey.and_then(|subkey| Ok((is_called(&subkey.name()?, wanted), subkey))) {
                Ok((true, subkey)) => {
                    next = Some(subkey);
                    break;
                }
                Ok((false, _)) => {}
                Err(error) => {
                    damage.get_or_insert(error);
                }
            }
        }
        key = match (next, damage) {
            (Some(next), _) => next,
            (None, None) => return Ok(None),
            (None, Some(error)) => return Err(error),
        };
    }
    Ok(Some(key))
}

/// Returns whether a key has the name. ASCII names are compared without the case folding of nt-hive.
fn is_called(name: &nt_hive::NtHiveNameString<'_>, wanted: &str) -> bool {
    if wanted.is_ascii() { name.to_string_lossy().eq_ignore_ascii_case(wanted) } else { *name == *wanted }
}

fn silent(path: &str, why: &str) -> Error {
    let what = format!("the second parser, nt-hive, cannot read the values of {path}: {why}");
    Error::new(Kind::Corrupt, Code::Witness, what).advise(ADVICE)
}

fn disagreement(path: &str, name: &str, ours: Option<(u32, &[u8])>, theirs: Option<&(u32, Vec<u8>)>) -> Error {
    let what = format!(
        "two parsers disagree about the value {name} of {path}: this program reads {}, nt-hive reads {}",
        in_words(ours),
        in_words(theirs.map(|(kind, data)| (*kind, data.as_slice())))
    );
    Error::new(Kind::Corrupt, Code::Witness, what).advise(ADVICE)
}

fn in_words(seen: Option<(u32, &[u8])>) -> String {
    let Some((kind, data)) = seen else { return "no such value".to_owned() };
    let kind = ValueType(kind);
    match <[u8; 4]>::try_from(data) {
        Ok(raw) if kind == ValueType::DWORD => format!("the {kind} {}", u32::from_le_bytes(raw)),
        _ => format!("a {kind} of {} bytes", data.len()),
    }
}

const ADVICE: &str =
    "run `hivewright check` on the hive, and please report it with the hive if the check finds nothing";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_describes_both_values() {
        assert_eq!(in_words(None), "no such value");
        assert_eq!(in_words(Some((4, &[2, 0, 0, 0]))), "the REG_DWORD 2");
        assert_eq!(in_words(Some((4, &[2, 0]))), "a REG_DWORD of 2 bytes");
        assert_eq!(in_words(Some((1, &[2, 0, 0, 0]))), "a REG_SZ of 4 bytes");
    }
}
