//! The proof of an edit, on its bytes, before any of them is written.
//!
//! Every byte outside of the patches is the same. That the patches do no harm is shown by the full check (no cell is
//! shared, lost or misplaced) and by the keys themselves: they hold what was asked for and everything else they held.

use super::{Prepared, Wanted, values};
use crate::error::{Error, Kind, Result, Space};
use crate::hive::check::{self, Code, FINDINGS_KEPT, Finding, Report, Severity};
use crate::hive::witness::{self, Testimony};
use crate::hive::{Hive, Opened, open};
use crate::regf::key_value::ValueType;
use crate::regf::{BASE_BLOCK_SIZE, CellOffset};
use crate::windows::rule;

impl Prepared {
    /// Proves the edited bytes: the full check finds nothing that was not there, the keys hold what was asked for and
    /// everything else they held, and an independent parser reads the value. Of a sound hive that it cannot read,
    /// [`Prepared::unconfirmed`] says so.
    ///
    /// # Errors
    /// `damaged` names the finding that stands in the way; `proof` and `witness` are faults of the program, found
    /// before they could do harm.
    pub fn prove(&self) -> Result<()> {
        let report = check::check(&self.edited.bytes);
        if report.worst().is_some_and(|worst| worst >= Severity::Warning) {
            self.compare_findings(&report)?;
        }
        let hive = match open(&self.edited.bytes[..])? {
            Opened::Clean(hive) => hive,
            Opened::Dirty(_) => return Err(unproven("the edited hive is dirty")),
        };
        match self.request.wanted {
            Some(wanted) => self.prove_changes(&hive, wanted, report.is_sound()),
            None => Ok(()),
        }
    }

    fn prove_changes(&self, hive: &Hive<&[u8]>, wanted: Wanted, is_sound: bool) -> Result<()> {
        let wanted = match wanted {
            Wanted::Set(number) => vec![(ValueType::DWORD, number.to_le_bytes().to_vec())],
            Wanted::Unset => Vec::new(),
        };
        for change in &self.changes {
            let place = &change.place;
            let (now, others) = values(hive, place.key)?;
            if others != change.others {
                return Err(unproven(&format!("another value of {} changed", place.path)));
            }
            if now != wanted {
                return Err(unproven(&format!("{} does not hold what was asked for", place.path)));
            }
            let ours = now.first().map(|(kind, data)| (kind.0, data.as_slice()));
            match witness::ask_about(&self.edited.bytes, &place.path, rule::NAME, ours) {
                // The check has seen that the lists are sorted as Windows sorts.
                Testimony::Agrees | Testimony::AgreesByLists => {}
                Testimony::Silent(error) if is_sound => {
                    let _ = self.unconfirmed.set(error.what().to_owned());
                }
                Testimony::Silent(error) | Testimony::Differs(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Holds the findings on the edited bytes against those on the hive before the edit, its logs replayed.
    fn compare_findings(&self, after: &Report) -> Result<()> {
        let mut original = self.edited.bytes.clone();
        self.edit.revert(&mut original)?;
        let before = check::check(&original);
        for (code, count) in after.counts.iter() {
            let known = code == Code::DirtySequence || count <= before.counts.of(code);
            if code.severity() >= Severity::Warning && !known {
                return Err(unproven(&format!("the edit would add {} to the check's findings", code.as_str())));
            }
        }
        let Some(first) = after.errors().next() else { return Ok(()) };
        if !self.request.force {
            return Err(damaged(first, "the check finds damage").advise(
                "see `hivewright check`; --force edits nevertheless where the damage is not touched by the edit",
            ));
        }
        // What was counted and not kept cannot be told to be far away.
        let all_known = after.counts.iter().all(|(_, count)| count <= FINDINGS_KEPT);
        match after.errors().find(|finding| !all_known || self.touches(finding)) {
            Some(touched) => Err(damaged(touched, "the edit would touch damage")
                .advise("repair the hive first, or take another copy: --force does not go this far")),
            None => Ok(()),
        }
    }

    /// Whether an edit comes near a finding: it changes the same cell, the same key or one on the way to it, or a hive
    /// bin that cannot be told apart from there on.
    fn touches(&self, finding: &Finding) -> bool {
        if finding.offset < u64::from(BASE_BLOCK_SIZE) {
            return true;
        }
        let patches = || self.edit.patches.iter().filter(|p| p.offset >= u64::from(BASE_BLOCK_SIZE));
        if matches!(finding.code, Code::BinSignature | Code::BinOffset | Code::BinSize | Code::CellSize) {
            let page = finding.offset & !0xfff;
            return patches().any(|p| p.offset >= page);
        }
        if let Some(key) = &finding.key {
            // The root is on the way to everything, and so is what cannot be read of its list.
            let on_the_way = |place: &str| {
                key.is_empty() || place.get(..key.len()).is_some_and(|start| start.eq_ignore_ascii_case(key))
            };
            if self.changes.iter().any(|change| on_the_way(&change.place.path)) {
                return true;
            }
        }
        let Some(cell) = finding.cell else { return true };
        let size = self.cell_size(cell).unwrap_or(8);
        patches().any(|p| p.offset < cell.in_file() + size && cell.in_file() < p.offset + p.new.len() as u64)
    }

    fn cell_size(&self, cell: CellOffset) -> Option<u64> {
        let start = usize::try_from(cell.in_file()).ok()?;
        let raw = self.edited.bytes.get(start..)?.first_chunk::<4>()?;
        Some(u64::from(i32::from_le_bytes(*raw).unsigned_abs()))
    }
}

fn damaged(finding: &Finding, what: &str) -> Error {
    let error = Error::refused("damaged", format!("{what}: {}: {}", finding.code.as_str(), finding.what))
        .at(Space::Hive, finding.offset);
    match (&finding.expected, &finding.actual) {
        (Some(expected), Some(actual)) => error.expected(expected, actual),
        _ => error,
    }
}

fn unproven(what: &str) -> Error {
    Error::new(Kind::Corrupt, "proof", format!("{what}; nothing was written"))
        .advise("this is a fault of the program: please report it with the hive")
}
