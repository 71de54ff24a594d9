//! The answer of a hive with its logs replayed, and the decision whether the logs are valid.

use super::answer::{Answer, Basis, confirmed};
use super::{SettingReport, SettingState};
use crate::windows::Era;
use hivewright_error::Result;
use hivewright_hive::recover::{Recovered, Unrecovered};

type NoAnswer<'w> = Result<Box<Unrecovered<&'w [u8]>>>;

/// Returns the answer of a hive with its logs replayed. `alone` is the report on the primary file alone.
///
/// Logs with matching sequence numbers may still break the hive. The full check, which shows that, costs more than
/// everything else, so it runs only where damaged logs could change the answer.
///
/// # Errors
/// The replay is abandoned because it breaks the hive, or because a part cannot be read.
pub(super) fn answer_of<'w>(
    recovered: Recovered<'_, &'w [u8]>,
    era: Option<Era>,
    alone: Option<SettingReport>,
    sequences: Option<[u32; 2]>,
) -> std::result::Result<Answer, NoAnswer<'w>> {
    // The second parser and the check need all bytes in one slice.
    let whole = recovered.hive.bytes().to_vec().map_err(Err)?;
    let found = confirmed(&recovered.hive, &whole[..], era, Basis::Clean, sequences);
    if !found.as_ref().is_ok_and(|found| is_settled(found, alone.as_ref()))
        && let Some(error) = recovered.breach(&whole).map_err(Err)?
    {
        return Err(Ok(recovered.into_unrecovered(error)));
    }
    let mut found = found.map_err(Err)?;
    found.state = Basis::Recovered { recovery: Box::new(recovered.report), primary_alone: alone.map(Box::new) };
    Ok(found)
}

/// Returns whether the answer is complete and confirmed, and the same as without the logs.
fn is_settled(answer: &Answer, alone: Option<&SettingReport>) -> bool {
    let report = &answer.report;
    let is_open = [&report.at_next_boot, &report.at_capture].iter().any(|it| it.state == SettingState::Unknown);
    let is_damaged = report.findings.iter().any(|finding| finding.offset.is_some());
    !is_open && !is_damaged && answer.unconfirmed.is_none() && alone == Some(report)
}
