//! The witness: a second, independent parser (the crate nt-hive) that reads a value from the same bytes.
//!
//! A mistake in this crate's reader would otherwise confirm itself: the same code would read an edit back. nt-hive shares no
//! code with it. nt-hive may panic on damaged input, so it is asked only about values that this crate has just read, and a
//! panic counts as no answer. It exposes no offsets, timestamps or security, so it cannot be the reader.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::regf::key_node;
use crate::regf::key_value::ValueType;
use hivewright_error::{Code, Error, Kind, Result};

thread_local! {
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Returns whether this thread is in the witness. A panic hook can stay silent then: the panic is caught.
pub fn is_asking() -> bool {
    ASKING.get()
}

/// A value as the witness reads it: the number of its type, and its data.
pub type Seen = Option<(u32, Vec<u8>)>;

/// Reads the value `name` of the key at `path` with the witness. `hive` is the whole file. Returns `None` if the key or
/// the value is not there.
///
/// # Errors
/// `witness` if the other parser cannot read that far or panics.
pub fn read(hive: &[u8], path: &str, name: &str) -> Result<Seen> {
    let mut answers = read_by(Way::Halves, hive, path, &[name]).map_err(|why| silent(path, &why))?;
    answers.pop().unwrap_or(Ok(None)).map_err(|why| silent(path, &why))
}

/// The values of several names, or why the witness cannot read one.
type Answers = Vec<std::result::Result<Seen, String>>;

/// The way from a key to its subkey.
#[derive(Clone, Copy)]
enum Way {
    /// nt-hive's binary search, which takes the list to be sorted.
    Halves,
    /// Element by element, so that nt-hive's order of letters, which is not Windows', does not matter.
    Lists,
}

fn read_by(way: Way, hive: &[u8], path: &str, names: &[&str]) -> std::result::Result<Answers, String> {
    ASKING.set(true);
    let answer = catch_unwind(AssertUnwindSafe(|| ask(way, hive, path, names)));
    ASKING.set(false);
    match answer {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("it ends in a panic".to_owned()),
    }
}

/// The result of asking the witness.
#[derive(Debug)]
pub enum Testimony {
    /// The witness reads the same.
    Agrees,
    /// The witness reads the same, but its binary search does not find the key. If the list is sorted as Windows sorts, the
    /// cause is that nt-hive orders letters beyond U+007F differently.
    AgreesByLists,
    /// The witness cannot read the value.
    Silent(Error),
    /// The witness reads something else.
    Differs(Error),
}

/// Compares the witness's reading with `ours`: type and data, or `None` for no such value.
pub fn ask_about(hive: &[u8], path: &str, name: &str, ours: Ours<'_>) -> Testimony {
    let mut testimonies = ask_about_all(hive, path, &[(name, ours)]);
    testimonies.pop().unwrap_or_else(|| Testimony::Silent(silent(path, "it was asked about nothing")))
}

/// Type and data of a value, or `None` for no such value.
pub type Ours<'o> = Option<(u32, &'o [u8])>;

/// As [`ask_about`], about several values of one key, whose way is gone once: a testimony for each.
pub fn ask_about_all(hive: &[u8], path: &str, asked: &[(&str, Ours<'_>)]) -> Vec<Testimony> {
    let names: Vec<&str> = asked.iter().map(|(name, _)| *name).collect();
    let is_ours = |seen: &Seen, ours: Ours<'_>| seen.as_ref().map(|(kind, data)| (*kind, data.as_slice())) == ours;
    let by_halves = read_by(Way::Halves, hive, path, &names).unwrap_or_default();
    let agrees =
        |i: usize| by_halves.get(i).is_some_and(|seen| seen.as_ref().is_ok_and(|seen| is_ours(seen, asked[i].1)));
    if (0..asked.len()).all(agrees) {
        return asked.iter().map(|_| Testimony::Agrees).collect();
    }
    let by_lists = read_by(Way::Lists, hive, path, &names);
    let testimony = |(i, (name, ours)): (usize, &(&str, Ours<'_>))| match &by_lists {
        _ if agrees(i) => Testimony::Agrees,
        Err(why) => Testimony::Silent(silent(path, why)),
        Ok(answers) => match &answers[i] {
            Ok(seen) if is_ours(seen, *ours) => Testimony::AgreesByLists,
            Ok(seen) => Testimony::Differs(disagreement(path, name, *ours, seen.as_ref())),
            Err(why) => Testimony::Silent(silent(path, why)),
        },
    };
    asked.iter().enumerate().map(testimony).collect()
}

fn ask(way: Way, bytes: &[u8], path: &str, names: &[&str]) -> nt_hive::Result<Answers> {
    // Sequence numbers and checksum are judged by our own reader, which also reads dirty hives.
    let hive = nt_hive::Hive::without_validation(bytes)?;
    let root = hive.root_key_node()?;
    let found = match way {
        Way::Halves => root.subpath(path).transpose()?,
        Way::Lists => walk(root, path, bytes.len())?,
    };
    let mut answers: Vec<Option<Seen>> = vec![None; names.len()];
    let Some(values) = found.and_then(|key| key.values()) else { return Ok(vec![Ok(None); names.len()]) };
    let (mut damage, mut missing) = (None, names.len());
    for value in values? {
        if missing == 0 {
            break;
        }
        // A damaged value may lie beside the one that is asked for. Names are compared here, because nt-hive's own
        // look-up yields the next value after a damaged one.
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

/// Finds the key at `path` through the lists. Those of a damaged hive may name one key a million times.
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

/// Returns whether a key has the name; of ASCII names without nt-hive's folding of case.
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
    fn what_a_parser_reads_is_said_in_words() {
        assert_eq!(in_words(None), "no such value");
        assert_eq!(in_words(Some((4, &[2, 0, 0, 0]))), "the REG_DWORD 2");
        assert_eq!(in_words(Some((4, &[2, 0]))), "a REG_DWORD of 2 bytes");
        assert_eq!(in_words(Some((1, &[2, 0, 0, 0]))), "a REG_SZ of 4 bytes");
    }
}
