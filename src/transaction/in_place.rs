//! Writes patches over the present bytes, with an undo file that is durable before the first write.

use super::journal::command;
use super::{Journal, State};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::Patch;
use hivewright_storage::{Host, Storage};

use super::change::Change;

/// The unit that a medium writes atomically, in bytes.
const SECTOR: u64 = 512;

/// Opens the written storage again, for the read-back.
pub(crate) type Reopen<'a> = &'a dyn Fn() -> Result<Box<dyn Storage>>;

/// Writes the change of `journal` to `storage`. On return, it is complete and durable; or nothing was changed, the undo
/// file is removed, and the error states this; or the error is [`Kind::Unfinished`] and names the undo file.
pub(crate) fn write<H: Host>(journal: &Journal<'_, H>, storage: &dyn Storage, reopen: Reopen<'_>) -> Result<()> {
    let change = &journal.record.change;
    if let Err(error) = journal.record.expect_old(storage) {
        let _ = journal.remove();
        return Err(error);
    }
    let mut begun = 0;
    let written = write_patches(change, storage, &mut begun).and_then(|()| expect(journal, reopen, State::Written));
    written.map_err(|error| roll_back(journal, storage, reopen, begun, error))
}

/// Grows the storage, then writes one group after the other; each is durable before the next. `begun` counts groups.
pub(crate) fn write_patches(change: &Change, storage: &dyn Storage, begun: &mut usize) -> Result<()> {
    if change.grows() {
        storage.set_len(change.len_after)?;
        storage.flush()?;
    }
    for group in change.groups() {
        *begun += 1;
        for run in change.patches[group].chunk_by(share_a_sector) {
            write_run(storage, run)?;
        }
        storage.flush()?;
    }
    Ok(())
}

/// Returns whether one patch ends in the sector in which the next begins: they are then written in one call, so that no
/// interruption separates them. A base block with new sequence numbers and the old checksum would be invalid.
fn share_a_sector(a: &Patch, b: &Patch) -> bool {
    let last = a.offset + (a.new.len() as u64).saturating_sub(1);
    last / SECTOR == b.offset / SECTOR
}

/// Writes patches that are close together, in ascending order, with the unchanged bytes between them.
fn write_run(storage: &dyn Storage, run: &[Patch]) -> Result<()> {
    let [first, .., last] = run else {
        return run.iter().try_for_each(|patch| storage.write_at(patch.offset, &patch.new));
    };
    let len = last.offset - first.offset + last.new.len() as u64;
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    storage.read_at(first.offset, &mut bytes)?;
    for patch in run {
        // A difference within `bytes`.
        let start = usize::try_from(patch.offset - first.offset).unwrap_or(usize::MAX);
        bytes[start..start + patch.new.len()].copy_from_slice(&patch.new);
    }
    storage.write_at(first.offset, &bytes)
}

fn expect<H: Host>(journal: &Journal<'_, H>, reopen: Reopen<'_>, wanted: State) -> Result<()> {
    if journal.record.state(&*reopen()?)? == wanted {
        return Ok(());
    }
    Err(Error::new(Kind::Io, Code::ReadBack, "the bytes read back differ from those that were written"))
}

/// After a failure, tries to restore the old bytes, and adds the result to the error.
fn roll_back<H: Host>(
    journal: &Journal<'_, H>,
    storage: &dyn Storage,
    reopen: Reopen<'_>,
    begun: usize,
    error: Error,
) -> Error {
    match restore(journal, storage, reopen, begun) {
        Ok(()) => {
            // If the undo file stays, the next run finds nothing to do and removes it.
            let _ = journal.remove();
            error
        }
        Err(_) => unfinished(error, &journal.path),
    }
}

/// Undoes the first `begun` groups and the growth, and reads the old bytes back.
pub(crate) fn restore<H: Host>(
    journal: &Journal<'_, H>,
    storage: &dyn Storage,
    reopen: Reopen<'_>,
    begun: usize,
) -> Result<()> {
    journal.record.versions().roll_back(storage, begun)?;
    expect(journal, reopen, State::Untouched)
}

/// Returns the error of a write that began and did not end.
pub(crate) fn unfinished(error: Error, undo: &std::path::Path) -> Error {
    error
        .adding(&format!("the file was written only partly; {} restores it", undo.display()))
        .becoming(Kind::Unfinished, Code::UnfinishedWrite)
        .advise(command(undo))
}
