//! Determines whether the hive is as consistent after a replay as before. Sequence numbers and hashes prove that a log
//! is complete and in order, but not that hive and log were copied at the same time.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Recovery;

use crate::check::{self, Finding, Report, Rule};
use crate::regf::BASE_BLOCK_SIZE;
use crate::regf::base_block::BaseBlock;
use crate::{Hive, HiveBytes, Overlay};
use hivewright_error::{Code, Error, Result, Space};
use zerocopy::IntoBytes;

/// Returns damage of the replayed hive (`whole`) that the primary file does not have. `None` if there is none, or if
/// the primary file has more damage.
pub(super) fn breach<B: HiveBytes>(
    hive: &Hive<Overlay<'_, B>>,
    whole: &[u8],
    report: &Recovery,
) -> Result<Option<Error>> {
    let replayed = check::check(whole);
    if replayed.is_consistent() {
        return Ok(None);
    }
    let before = check::check(&primary(hive, report)?);
    let known: HashSet<(Rule, u64)> = in_bins(&before).map(|finding| (finding.rule, finding.offset)).collect();
    let added = in_bins(&replayed).find(|finding| !known.contains(&(finding.rule, finding.offset)));
    let Some(added) = added.filter(|_| errors(&before) <= errors(&replayed)) else { return Ok(None) };
    Ok(Some(error(added, report, errors(&before) == 0, hive.bytes.base().len())))
}

/// Returns the primary file. An invalid base block is replaced by that of the log.
fn primary<'h, B: HiveBytes>(hive: &'h Hive<Overlay<'_, B>>, report: &Recovery) -> Result<Cow<'h, [u8]>> {
    let base = hive.bytes.base();
    let len = usize::try_from(base.len()).unwrap_or(usize::MAX);
    let mut bytes = base.read(0, len)?;
    if report.base_block_rebuilt {
        let mut block: BaseBlock = hive.base;
        let bins = base.len().saturating_sub(u64::from(BASE_BLOCK_SIZE)) / 4096 * 4096;
        block.length = block.length.get().min(u32::try_from(bins).unwrap_or(u32::MAX)).into();
        block.checksum = block.computed_checksum().into();
        let block = block.as_bytes();
        if let Some(head) = bytes.to_mut().get_mut(..block.len()) {
            head.copy_from_slice(block);
        }
    }
    Ok(bytes)
}

/// Returns the errors after the base block. A replay always writes the base block.
fn in_bins(report: &Report) -> impl Iterator<Item = &Finding> {
    report.errors().filter(|finding| finding.offset >= u64::from(BASE_BLOCK_SIZE) || finding.rule == Rule::RootKey)
}

fn errors(report: &Report) -> usize {
    in_bins(report).count()
}

fn error(added: &Finding, report: &Recovery, undamaged_before: bool, file_len: u64) -> Error {
    let owner = added.owner().map(|owner| format!(" at {owner}")).unwrap_or_default();
    let logs = report.applied_logs().map(|log| log.name.as_str()).collect::<Vec<_>>().join(" and ");
    let what = format!("the replay of {logs} damages the hive: {}: {}{owner}", added.rule, added.what);
    let error = Error::refused(Code::ReplayBreaks, what).advise(match (report.base_block_rebuilt, undamaged_before) {
        (true, _) => "the hive and the log were not copied at the same time: look for matching copies",
        (false, true) => {
            "the hive and the log were not copied at the same time: look for matching copies; the primary file alone is undamaged"
        }
        (false, false) => {
            "the hive and the log were not copied at the same time: look for matching copies; the primary file alone is damaged too"
        }
    });
    // Appended bytes have no place in the primary file.
    if added.offset < file_len { error.at(Space::Hive, added.offset) } else { error }
}
