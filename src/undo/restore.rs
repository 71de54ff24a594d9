//! Restores the old bytes.

use crate::locate::changed_since;
use crate::transaction::{self, Locked, New, Overlaid, Replaced, unfinished, why_in_place};
use hivewright_error::Result;
use hivewright_storage::Host;

use crate::transaction::journal::Journal;
use crate::transaction::record::Mark;

/// The way in which the old bytes were restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Restored {
    /// The file had them already.
    Already,
    /// A new file replaced the changed one.
    Replaced,
    /// They were written in place.
    InPlace,
}

/// Restores the old bytes of `journal`; the first `begun` groups of the change are written, the last of them perhaps
/// partly.
pub(super) fn restore<H: Host>(journal: &mut Journal<'_, H>, target: &Locked<'_, H>, begun: usize) -> Result<Restored> {
    if replaced(journal, target)? {
        // If this fails, the next run finds the old bytes and marks the undo file.
        let _ = journal.mark(Mark::Restored);
        return Ok(Restored::Replaced);
    }
    if journal.record.mark != Mark::Open {
        journal.point(&target.path)?;
        journal.mark(Mark::Undoing)?;
    }
    let files = journal.record.files_of(&target.path)?;
    let (storage, reopen) = (target.storage_of(&files)?, || target.reopen(&files));
    transaction::restore(journal, &*storage, &reopen, begun).map_err(|e| unfinished(e, &journal.path))?;
    let _ = journal.mark(Mark::Restored);
    Ok(Restored::InPlace)
}

/// Replaces the target by a new file with the old bytes. Returns `false` if that is not possible.
fn replaced<H: Host>(journal: &Journal<'_, H>, target: &Locked<'_, H>) -> Result<bool> {
    let Some(sha256) = journal.record.sha256_before else { return Ok(false) };
    // A new file cannot replace several files.
    if !journal.record.files.is_empty() || why_in_place(&target.about).is_some() {
        return Ok(false);
    }
    let there = journal.record.whole(&*target.file)?;
    let old = journal.record.old_image(&there);
    if old.sha256() != sha256 {
        return Err(changed_since(&target.path));
    }
    let bytes = old.to_vec();
    let done =
        transaction::replace(target, &Overlaid::plain(&there), &New::known(&Overlaid::plain(&bytes), false), || Ok(()));
    Ok(matches!(done?, Replaced::Done))
}
