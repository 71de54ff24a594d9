//! The witness: an independent parser (the crate nt-hive) that reads a value back from the same bytes.
//!
//! It may panic on damaged input, so it is asked only about what our own reader has just read, and a panic counts as
//! its disagreeing. It exposes no offsets, timestamps or security, which is why it is not the reader itself.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Kind, Result};

thread_local! {
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is asking the witness. A program's panic hook may stay silent then: the panic is caught.
pub fn is_asking() -> bool {
    ASKING.get()
}

/// What the witness saw: the number of the type, and the data.
pub type Seen = Option<(u32, Vec<u8>)>;

/// Reads the value `name` of the key at `path` from a whole hive file. `None` if the key or the value is not there.
///
/// # Errors
/// `witness` if the other parser cannot read that far or panics.
pub fn read(hive: &[u8], path: &str, name: &str) -> Result<Seen> {
    ASKING.set(true);
    let answer = catch_unwind(AssertUnwindSafe(|| ask(hive, path, name)));
    ASKING.set(false);
    match answer {
        Ok(Ok(seen)) => Ok(seen),
        Ok(Err(error)) => Err(disagreement(path, name).expected("an answer", error)),
        Err(_) => Err(disagreement(path, name).expected("an answer", "a panic")),
    }
}

/// What came of asking the witness.
#[derive(Debug)]
pub enum Testimony {
    /// It reads what we read.
    Agrees,
    /// It could not read that far.
    Silent(Error),
    /// It reads something else.
    Differs(Error),
}

/// Asks the witness and holds its answer against ours: type and data, or `None` for no such value.
pub fn ask_about(hive: &[u8], path: &str, name: &str, ours: Option<(u32, &[u8])>) -> Testimony {
    match read(hive, path, name) {
        Err(error) => Testimony::Silent(error),
        Ok(seen) if seen.as_ref().map(|(kind, data)| (*kind, data.as_slice())) == ours => Testimony::Agrees,
        Ok(seen) => {
            Testimony::Differs(disagreement(path, name).expected(format_args!("{ours:x?}"), format_args!("{seen:x?}")))
        }
    }
}

fn ask(bytes: &[u8], path: &str, name: &str) -> nt_hive::Result<Seen> {
    // Sequence numbers and checksum are judged by our own reader, which also reads dirty hives.
    let hive = nt_hive::Hive::without_validation(bytes)?;
    let root = hive.root_key_node()?;
    let Some(key) = root.subpath(path) else { return Ok(None) };
    let Some(values) = key?.values() else { return Ok(None) };
    for value in values? {
        let value = value?;
        // Compared here, because nt-hive's own look-up yields the next value behind a damaged one.
        if value.name()? == *name {
            return Ok(Some((value.data_type()? as u32, value.data()?.into_vec()?)));
        }
    }
    Ok(None)
}

fn disagreement(path: &str, name: &str) -> Error {
    Error::new(Kind::Corrupt, "witness", format!("two parsers disagree about the value {name} of {path}"))
        .advise("run `hivewright check` on the hive, and please report it with the hive if the check finds nothing")
}
