//! The proof of an edit, on its bytes, before any of them is written.
//!
//! Every byte outside of the patches is the same. That the patches do no harm is shown by the full check (no cell is
//! shared, lost or misplaced) and by the keys themselves: they hold what was asked for and everything else they held.

use std::collections::HashSet;

use super::expected::ExpectedKey;
use super::values::{self, Named};
use super::{Action, Change, PreparedHive};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_hive::check::{self, FINDINGS_KEPT, Finding, Report, Rule, Severity};
use hivewright_hive::regf::base_block::BaseBlock;
use hivewright_hive::regf::name::Name;
use hivewright_hive::regf::{BASE_BLOCK_SIZE, CellOffset};
use hivewright_hive::witness::{self, Testimony};
use hivewright_hive::{Hive, Opened};

impl PreparedHive {
    /// Proves the edited bytes: the full check finds nothing that was not there, the keys hold what was asked for and
    /// everything else they held, and an independent parser reads the value. Of a sound hive that it cannot read,
    /// [`PreparedHive::unconfirmed`] says so.
    ///
    /// # Errors
    /// `damaged` names the finding that stands in the way; `proof` and `witness` are faults of the program, found
    /// before they could do harm.
    pub fn prove(&self) -> Result<()> {
        // What stays as it is does no harm, in whatever state.
        if self.is_already_so() {
            return Ok(());
        }
        let report = check::check(&self.edited.bytes);
        if report.worst() > Some(Severity::Note) {
            self.compare_findings(&report)?;
        }
        let hive = match Hive::open(&self.edited.bytes[..])? {
            Opened::Clean(hive) => hive,
            Opened::Dirty(_) => return Err(unproven("the edited hive is dirty")),
        };
        self.prove_changes(&hive, report.is_sound())
    }

    fn prove_changes(&self, hive: &Hive<&[u8]>, is_sound: bool) -> Result<()> {
        let mut found = Vec::new();
        for key in self.expected.keys() {
            match self.place_of(hive, key)? {
                Some(at) => {
                    self.prove_values(hive, key, at, is_sound)?;
                    found.push((at, key));
                }
                None => self.ask_witness(key, &Name::encode(""), None, is_sound)?,
            }
        }
        self.expected.expect_keys(hive, &found)
    }

    /// Where a key stands that shall be there; `None` for one that shall not.
    fn place_of(&self, hive: &Hive<&[u8]>, key: &ExpectedKey) -> Result<Option<CellOffset>> {
        // The plan has looked it up, on a way that may be damaged, and no key is created or deleted.
        if let Some(at) = key.original.filter(|_| !self.expected.may_change_keys()) {
            return Ok(Some(at));
        }
        let found = hive.key(&key.path)?.map(|key| key.at());
        let is_right = match (key.exists, found) {
            (true, Some(found)) => key.is_new || key.original == Some(found),
            (is_there, found) => is_there == found.is_some(),
        };
        if is_right { Ok(found) } else { Err(not_as_wanted(key)) }
    }

    fn prove_values(&self, hive: &Hive<&[u8]>, key: &ExpectedKey, at: CellOffset, is_sound: bool) -> Result<()> {
        let mut named: Named = key.values.keys().map(|name| (name.clone(), Vec::new())).collect();
        let others = values::read(hive, at, &key.path, &mut named, self.force)?;
        if others != key.others {
            return Err(unproven(&format!("another value of {} changed", key.path)));
        }
        for (name, (as_named, wanted)) in &key.values {
            if named.get(name) != Some(wanted) {
                return Err(not_as_wanted(key));
            }
            let ours = wanted.first().map(|now| (now.kind.0, now.data.as_slice()));
            self.ask_witness(key, as_named, ours, is_sound)?;
        }
        Ok(())
    }

    fn ask_witness(
        &self,
        key: &ExpectedKey,
        name: &Name<'_>,
        ours: Option<(u32, &[u8])>,
        is_sound: bool,
    ) -> Result<()> {
        let (Some(path), Some(name)) = (as_text(key.path.names()), as_text(std::slice::from_ref(name))) else {
            let what = format!("the second parser takes no such names as {}", key.path);
            let _ = self.unconfirmed.set(what);
            return Ok(());
        };
        match witness::ask_about(&self.edited.bytes, &path, &name, ours) {
            // The check has seen that the lists are sorted as Windows sorts.
            Testimony::Agrees | Testimony::AgreesByLists => {}
            Testimony::Silent(error) if is_sound => {
                let _ = self.unconfirmed.set(error.what().to_owned());
            }
            Testimony::Silent(error) | Testimony::Differs(error) => return Err(error),
        }
        Ok(())
    }

    /// Holds the findings on the edited bytes against those on the hive before the edit, its logs replayed. Whatever
    /// stands in the way is damage that was there before: only where there was none is it a fault of the program.
    fn compare_findings(&self, after: &Report) -> Result<()> {
        let mut original = self.edited.bytes.clone();
        self.edit.revert(&mut original)?;
        let before = check::check(&original);
        let worse = |(rule, count): &(Rule, u64)| {
            rule.severity() > Severity::Note && *rule != Rule::DirtySequence && *count > before.counts.of(*rule)
        };
        let added = after.counts.iter().find(worse);
        if let Some(first) = self.errors_that_stay(&before).next() {
            if !self.force {
                return Err(damaged(first, "the check finds damage").advise(
                    "see `hivewright check`; --force edits nevertheless where the damage is not touched by the edit",
                ));
            }
            self.refuse_touched(&before, &original)?;
        }
        let Some((rule, _)) = added else { return Ok(()) };
        let spread = |finding: &&Finding| finding.severity > Severity::Note && finding.rule != Rule::DirtySequence;
        match before.findings.iter().filter(spread).max_by_key(|finding| finding.severity) {
            Some(cause) => Err(damaged(cause, &format!("the edit would add {} to the damage", rule))
                .advise("repair the hive first, or take another copy: --force does not go this far")),
            None => Err(unproven(&format!("the edit would add {} to the check's findings", rule))),
        }
    }

    fn refuse_touched(&self, before: &Report, original: &[u8]) -> Result<()> {
        // What was counted and not kept cannot be told to be far away.
        let all_known = before.counts.iter().all(|(_, count)| count <= FINDINGS_KEPT);
        let cells = self.cells_of_keys(original)?;
        let mut staying = self.errors_that_stay(before);
        match staying.find(|finding| !all_known || self.touches(finding, &cells, original)) {
            Some(touched) => Err(damaged(touched, "the edit would touch damage")
                .advise("repair the hive first, or take another copy: --force does not go this far")),
            None => Ok(()),
        }
    }

    /// The errors of a hive but for wrong names of keys that the edit deletes: they are gone with it, and their cells are known.
    fn errors_that_stay<'f>(&self, before: &'f Report) -> impl Iterator<Item = &'f Finding> {
        let goes = |finding: &Finding| {
            finding.rule == Rule::KeyName && finding.cell.is_some_and(|cell| self.expected.is_deleted(cell))
        };
        before.errors().filter(move |finding| !goes(finding))
    }

    /// Whether an edit comes near a finding: it changes the same cell, the same key or one on the way to it, a key whose
    /// `cells` another one claims, or a hive bin that cannot be told apart from there on. A value beside the setting is not
    /// near while its own bytes and the list stay as they are.
    fn touches(&self, finding: &Finding, cells: &Cells, original: &[u8]) -> bool {
        if finding.offset < u64::from(BASE_BLOCK_SIZE) {
            return true;
        }
        let patches = || self.edit.patches.iter().filter(|p| p.offset >= u64::from(BASE_BLOCK_SIZE));
        if matches!(finding.rule, Rule::BinSignature | Rule::BinOffset | Rule::BinSize | Rule::CellSize) {
            let page = finding.offset & !0xfff;
            return patches().any(|p| p.offset >= page);
        }
        let paths: Vec<(String, bool)> = self.paths().collect();
        let is_edited = |key: &String| paths.iter().any(|(path, _)| path.eq_ignore_ascii_case(key));
        let is_beside = finding.key.as_ref().is_some_and(is_edited)
            && finding.of_value.or(finding.cell).is_some_and(|cell| cells.beside.contains(&cell));
        if let Some(key) = finding.key.as_ref().filter(|_| !is_beside) {
            // The root is on the way to everything, and so is what cannot be read of its list.
            let begins = |long: &str, short: &str| {
                short.is_empty() || long.get(..short.len()).is_some_and(|start| start.eq_ignore_ascii_case(short))
            };
            // Of a tree that is deleted, everything below counts too.
            if paths.iter().any(|(path, is_tree)| begins(path, key) || *is_tree && begins(key, path)) {
                return true;
            }
        }
        let Some(cell) = finding.cell else { return true };
        let is_near = |cell: &CellOffset| cells.edited.contains(cell) || !is_beside && cells.beside.contains(cell);
        [Some(cell), finding.target].into_iter().flatten().any(|cell| {
            let end = cell.in_file() + cell_size(original, cell).unwrap_or(8);
            let patched = patches().any(|p| p.offset < end && cell.in_file() < p.offset + p.new.len() as u64);
            patched || is_near(&cell)
        })
    }

    /// Paths of the edited keys, and whether all below them is edited too.
    fn paths(&self) -> impl Iterator<Item = (String, bool)> {
        let of = |change: &Change| (change.operation.path.to_string(), change.operation.action == Action::DeleteKey);
        self.changes.iter().map(of)
    }

    /// Every cell of the edited keys: key node, values list, values and their data, as far as these can be read.
    fn cells_of_keys(&self, original: &[u8]) -> Result<Cells> {
        let base = BaseBlock::parse(original)?;
        let hive = Hive::of(original, base);
        let mut cells = Cells::default();
        for expected in self.expected.keys() {
            let Some(at) = expected.original else { continue };
            let key = hive.key_at(at)?;
            cells.edited.insert(key.at());
            cells.beside.insert(CellOffset(key.node().values_list.get()));
            for value in key.values()? {
                let value = match value {
                    Ok(value) => value,
                    Err(damaged) => {
                        cells.beside.insert(damaged.at);
                        continue;
                    }
                };
                let is_edited = expected.values.values().any(|(name, _)| value.name().compare(name).is_eq());
                let kind = if is_edited { &mut cells.edited } else { &mut cells.beside };
                kind.insert(value.at());
                match hive.cells_of_data(value.node()) {
                    Ok(of_data) => kind.extend(of_data),
                    Err(error) if is_edited => return Err(error),
                    Err(_) => {}
                }
            }
        }
        cells.edited.remove(&CellOffset::NIL);
        cells.beside.remove(&CellOffset::NIL);
        Ok(cells)
    }
}

/// Names as one text that backslashes part; `None` where that would be other names.
fn as_text(names: &[Name<'_>]) -> Option<String> {
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        let name: String = char::decode_utf16(name.units()).collect::<std::result::Result<_, _>>().ok()?;
        if names.len() > 1 && (name.contains('\\') || name.is_empty()) {
            return None;
        }
        text += if i == 0 { "" } else { "\\" };
        text += &name;
    }
    Some(text)
}

/// Cells of the edited keys.
#[derive(Default)]
struct Cells {
    /// Key nodes, and what the rule's values consist of.
    edited: HashSet<CellOffset>,
    /// Values lists, and what the other values consist of.
    beside: HashSet<CellOffset>,
}

/// Bytes of the cell at `cell`.
fn cell_size(hive: &[u8], cell: CellOffset) -> Option<u64> {
    let start = usize::try_from(cell.in_file()).ok()?;
    let raw = hive.get(start..)?.first_chunk::<4>()?;
    Some(u64::from(i32::from_le_bytes(*raw).unsigned_abs()))
}

fn damaged(finding: &Finding, what: &str) -> Error {
    let owner = finding.owner().map(|owner| format!(" at {owner}")).unwrap_or_default();
    let what = format!("{what}: {}: {}{owner}", finding.rule, finding.what);
    let error = Error::refused(Code::Damaged, what).at(Space::Hive, finding.offset);
    match (&finding.expected, &finding.actual) {
        (Some(expected), Some(actual)) => error.expected(expected, actual),
        _ => error,
    }
}

fn not_as_wanted(key: &ExpectedKey) -> Error {
    unproven(&format!("{} does not hold what was asked for", key.path))
}

pub(super) fn unproven(what: &str) -> Error {
    Error::new(Kind::Corrupt, Code::Proof, format!("{what}; nothing was written"))
        .advise("this is a fault of the program: please report it with the hive")
}
