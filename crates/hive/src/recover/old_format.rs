//! Replay of the old format: one log, completely or not at all (specification, "Old format").

use std::cmp::Reverse;

use super::{Candidate, Plan, Primary, Recovery};
use crate::regf::base_block::BaseBlock;
use crate::regf::log::dirty_vector::DirtyVector;
use crate::regf::log::{LogFormat, Rejection};

/// Difference between the sequence numbers of a recovered hive and its log. In the only known pair, Windows 7 wrote 7
/// after a log of 5 (a file of 5 and 4). It also wrote the load time to both timestamps, and the new path of the file.
/// Those are not part of the replay.
const RAISE: u32 = 2;

/// Applies the first of `logs` that is complete, the latest first, and by name if their times are equal; `None` if none
/// is complete. Their times can differ only if the primary file has no base block to compare them with.
pub(super) fn plan<'l>(primary: &Primary, logs: &[Candidate<'l>], report: &mut Recovery) -> Option<Plan<'l>> {
    let mut order: Vec<_> = logs.iter().collect();
    order.sort_by_key(|log| (Reverse(log.base.last_written.get()), log.log.name.to_ascii_lowercase()));
    let mut plan = None;
    for log in order {
        let report_of_log = &mut report.logs[log.index];
        match DirtyVector::parse(log.log.bytes, log.base.length.get()) {
            Err(flaw) => report_of_log.reject(&log.log, flaw),
            Ok(_) if plan.is_some() => report_of_log.reject(&log.log, Rejection::LogNotUsed),
            Ok(vector) => {
                let base = finished(primary.head.unwrap_or(log.base), &log.base);
                plan = Some(Plan { base, pages: vector.pages().collect() });
                report.format = Some(LogFormat::Dirt);
                report.applied = Some([log.base.primary_sequence.get(); 2]);
                report.base_block_rebuilt = primary.head.is_none();
            }
        }
    }
    plan
}

/// Returns the base block of the result: the log's length, and sequence numbers above the log's.
fn finished(mut base: BaseBlock, log: &BaseBlock) -> BaseBlock {
    let sequence = log.primary_sequence.get().wrapping_add(RAISE);
    base.primary_sequence = sequence.into();
    base.secondary_sequence = sequence.into();
    base.length = log.length;
    base.file_type = 0.into();
    base.checksum = base.computed_checksum().into();
    base
}
