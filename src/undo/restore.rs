//! The old bytes back to the disk.

use crate::locate::changed_since;
use crate::transaction::{self, Locked, New, Overlaid, Tried, unfinished, why_in_place};
use hivewright_error::Result;
use hivewright_storage::Host;

use crate::transaction::journal::Journal;
use crate::transaction::record::Mark;

/// How the old bytes came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restored {
    /// They were there already.
    Already,
    /// A new file took the place of the changed one.
    Replaced,
    /// They were written over the new ones.
    InPlace,
}

/// Restores what `journal` holds; the first `begun` groups of the change are written, the last of them perhaps partly.
pub(super) fn restore<H: Host>(journal: &mut Journal<'_, H>, target: &Locked<'_, H>, begun: usize) -> Result<Restored> {
    if replaced(journal, target)? {
        // Should this fail, the next run sees the old bytes and marks it.
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

/// Puts a new file with the old bytes in place of the target. `false`: that is not the way here.
fn replaced<H: Host>(journal: &Journal<'_, H>, target: &Locked<'_, H>) -> Result<bool> {
    let Some(sha256) = journal.record.sha256_before else { return Ok(false) };
    // Of several files, no new one takes the place of all.
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
    Ok(matches!(done?, Tried::Done))
}
