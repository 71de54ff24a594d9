//! The output of `set`, `unset` and `recover`.

use std::fmt::Write;
use std::path::Path;

use crate::Place;
use crate::edit::commit::{ChangedFile, Committed, How};
use crate::edit::{Before, Change, PreparedHive};
use crate::settings::nat_t::{self, Wanted};
use crate::undo;
use hivewright_hive::recover::Recovery;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::{Patch, PatchSet};
use hivewright_storage::exact::field;
use hivewright_storage::hex;
use serde::Serialize;
use serde_json::{Value, json};

use super::plain;
use crate::cli::subject::Subject;
use crate::cli::{print, print_done};

/// Result of a write command.
#[derive(Debug)]
pub(crate) enum Ending {
    /// Nothing had to be changed.
    AlreadySo,
    /// Proven and printed, but not written.
    DryRun,
    /// Written; possibly only its logs were emptied.
    Written(Box<Committed>),
}

impl Ending {
    /// Returns the state in documents; `already_so` means that nothing has to be changed.
    pub(crate) fn state(&self, already_so: bool) -> &'static str {
        match self {
            // With --output, a copy is written even if nothing changes.
            Ending::Written(_) => "written",
            Ending::DryRun if !already_so => "dry-run",
            Ending::DryRun | Ending::AlreadySo => "already-so",
        }
    }

    /// Returns the commit, if there was one.
    pub(crate) fn committed(&self) -> Option<&Committed> {
        match self {
            Ending::Written(committed) => Some(committed),
            Ending::DryRun | Ending::AlreadySo => None,
        }
    }

    /// Prints the result. A failure to print the result of a completed write is only a warning.
    pub(crate) fn print(&self, words: anyhow::Result<Vec<u8>>) -> anyhow::Result<()> {
        match self {
            Ending::Written(_) => print_done(words),
            Ending::DryRun | Ending::AlreadySo => print(&words?)?,
        }
        Ok(())
    }
}

/// Returns the text.
pub(crate) fn text(prepared: &PreparedHive, wanted: Option<Wanted>, ending: &Ending) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_text(&mut out, prepared, wanted, ending);
    out
}

fn write_text(out: &mut String, prepared: &PreparedHive, wanted: Option<Wanted>, ending: &Ending) -> std::fmt::Result {
    let hive = shown(prepared.hive.host_file());
    let patches = &prepared.edited.patches;
    let already = prepared.is_already_so();
    match (wanted, ending) {
        (None, _) if already => writeln!(out, "{hive}: already clean, nothing was changed")?,
        (Some(wanted), _) if already => writeln!(out, "{hive}: already {}, nothing was changed", now(wanted))?,
        (_, Ending::DryRun) => writeln!(out, "{hive}: would change {}; nothing was written", extent(patches))?,
        (Some(wanted), _) => writeln!(out, "{} is now {}", nat_t::NAME, now(wanted))?,
        (None, _) => writeln!(out, "{hive}: recovered")?,
    }
    for (change, wanted) in prepared.changes.iter().zip(wanted.into_iter().cycle()) {
        let before = change.before.iter().map(describe).collect::<Vec<_>>().join(" and ");
        let before = if before.is_empty() { "not set".to_owned() } else { before };
        let after = if change.changes { now(wanted) } else { "left".to_owned() };
        writeln!(out, "  {}: {before} -> {after}", plain(&change.operation.path.to_string()))?;
    }
    if let Some(recovery) = prepared.recovered() {
        writeln!(out, "The hive was dirty: {}", super::recovery::applied(recovery))?;
    }
    match ending {
        Ending::AlreadySo => {}
        Ending::DryRun => write_patches(out, prepared)?,
        Ending::Written(committed) => {
            write_committed(out, &extent(patches), committed, already)?;
            if wanted.is_some() && !already {
                writeln!(out, "Windows reads it at its next boot.")?;
            }
        }
    }
    Ok(())
}

/// Formats a path for the terminal.
fn shown(path: &Path) -> String {
    plain(&path.display().to_string())
}

/// Formats a file, and the path inside it for an image.
fn place_of(path: &Path, inside: Option<&str>) -> String {
    match inside {
        Some(inside) => format!("{} in {}", plain(inside), shown(path)),
        None => shown(path),
    }
}

pub(crate) fn write_committed(out: &mut String, what: &str, committed: &Committed, already: bool) -> std::fmt::Result {
    let path = place_of(&committed.path, committed.inside.as_deref());
    match committed.how {
        How::Unchanged => {}
        // Only its logs were written.
        How::InPlace if already => {}
        How::Replaced => writeln!(out, "{path} was replaced: {what}")?,
        How::InPlace => writeln!(out, "{path} was changed in place: {what}")?,
        How::Output => writeln!(out, "{path} was written: {what}; the original is unchanged")?,
        How::OutputHive => writeln!(out, "{path} was written: only the hive; the image is unchanged")?,
    }
    for log in &committed.emptied {
        writeln!(out, "{} was emptied", place_of(&log.path, log.inside.as_deref()))?;
    }
    if let Some(why) = &committed.why_in_place {
        writeln!(out, "in place: {}", plain(why))?;
    }
    if let Some(undo) = &committed.undo {
        writeln!(out, "to undo: {}", undo::command(undo))?;
    }
    committed.notes.iter().try_for_each(|note| writeln!(out, "note: {}", plain(note)))
}

fn write_patches(out: &mut String, prepared: &PreparedHive) -> std::fmt::Result {
    let patches = &prepared.edited.patches;
    if patches.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nPatches, by hive offset, in the order of writing:")?;
    for patch in &patches.patches {
        writeln!(out, "{:#010x}  {} bytes  {}", patch.offset, patch.new.len(), plain(&patch.what))?;
        write_places(out, &prepared.pieces(patch.offset, patch.new.len() as u64))?;
        for (start, new) in patch.new.chunks(16).enumerate().map(|(i, chunk)| (i * 16, chunk)) {
            let old = patch.old.get(start..patch.old.len().min(start + 16)).unwrap_or_default();
            writeln!(out, "    - {}", if old.is_empty() { "(new space)".to_owned() } else { spaced(old) })?;
            writeln!(out, "    + {}", spaced(new))?;
        }
    }
    Ok(())
}

/// Writes the places of a patch below the hive, piece by piece.
fn write_places(out: &mut String, pieces: &[(u64, Vec<Place>)]) -> std::fmt::Result {
    for (len, places) in pieces.iter().filter(|(_, places)| places.len() > 1) {
        let names: Vec<String> = places.iter().map(ToString::to_string).collect();
        let len = if pieces.len() > 1 { format!(": {len} bytes") } else { String::new() };
        writeln!(out, "    at {}{len}", names.join(", "))?;
    }
    Ok(())
}

/// The JSON document.
#[derive(Serialize)]
pub(crate) struct Document<'a> {
    #[serde(flatten, serialize_with = "field::target")]
    target: &'a Path,
    #[serde(flatten)]
    subject: Subject<'a>,
    value_name: &'static str,
    verb: &'static str,
    wanted: Option<u32>,
    state: &'static str,
    changed_bytes: u64,
    old_len: u64,
    new_len: u64,
    changes: Vec<Value>,
    patches: Vec<Value>,
    recovery: Option<&'a Recovery>,
    shadow_copies: Option<u32>,
    commit: Option<&'a Committed>,
    logs_emptied: &'a [ChangedFile],
}

/// Returns the JSON document.
pub(crate) fn document<'a>(
    target: &'a Path,
    prepared: &'a PreparedHive,
    wanted: Option<Wanted>,
    ending: &'a Ending,
) -> Document<'a> {
    let patches = &prepared.edited.patches;
    let commit = ending.committed();
    Document {
        target,
        subject: Subject::of(&prepared.hive),
        value_name: nat_t::NAME,
        verb: match wanted {
            Some(Wanted::Set(_)) => "set",
            Some(Wanted::Unset) => "unset",
            None => "recover",
        },
        wanted: match wanted {
            Some(Wanted::Set(number)) => Some(number),
            _ => None,
        },
        state: ending.state(prepared.is_already_so()),
        changed_bytes: patches.changed_bytes(),
        old_len: patches.old_len,
        new_len: patches.new_len,
        changes: prepared.changes.iter().map(place).collect(),
        patches: patches.patches.iter().map(|of| patch(prepared, of)).collect(),
        recovery: prepared.recovered(),
        shadow_copies: prepared.hive.shadow_copies(),
        commit,
        logs_emptied: commit.map_or(&[], |commit| &commit.emptied),
    }
}

/// Returns the values before a change, for documents.
pub(crate) fn before(change: &Change) -> Value {
    let before = change.before.iter().map(|Before { kind, data, tombstone }| {
        json!({
            "data_type": kind.to_string(),
            "data_type_number": kind.0,
            "data_hex": hex::encode(data),
            "tombstone": tombstone,
        })
    });
    before.collect()
}

fn place(change: &Change) -> Value {
    json!({
        "control_set": change.operation.control_set,
        "key": change.operation.path.to_string(),
        "before": before(change),
        "changes": change.changes,
    })
}

fn patch(prepared: &PreparedHive, patch: &Patch) -> Value {
    json!({
        "hive_offset": patch.offset,
        "places": prepared.places(patch.offset),
        "pieces": prepared.pieces(patch.offset, patch.new.len() as u64).into_iter().map(piece).collect::<Vec<_>>(),
        "old": hex::encode(&patch.old),
        "new": hex::encode(&patch.new),
        "what": patch.what,
        "step": patch.step,
    })
}

fn piece((len, places): (u64, Vec<Place>)) -> Value {
    json!({ "len": len, "places": places })
}

pub(crate) fn extent(patches: &PatchSet) -> String {
    let growth = match patches.new_len - patches.old_len {
        0 => String::new(),
        more => format!(", {more} bytes added at the end"),
    };
    format!("{} bytes in {} places{growth}", patches.changed_bytes(), patches.patches.len())
}

fn now(wanted: Wanted) -> String {
    match wanted {
        Wanted::Set(number) => number.to_string(),
        Wanted::Unset => "not set".to_owned(),
    }
}

fn describe(Before { kind, data, tombstone }: &Before) -> String {
    if *tombstone {
        return "a tombstone (not set)".to_owned();
    }
    match (*kind, <[u8; 4]>::try_from(data.as_slice())) {
        (ValueType::DWORD, Ok(raw)) => u32::from_le_bytes(raw).to_string(),
        _ => format!("{kind} of {} bytes", data.len()),
    }
}

fn spaced(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}
