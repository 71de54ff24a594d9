//! Proof of an edit on its bytes, before any of them is written.
//!
//! Every byte outside the patches is unchanged. The full check shows that the patches do no damage (no cell is shared,
//! lost or misplaced), and the keys themselves are compared with the requested state, including their other contents.

use std::borrow::Borrow;
use std::collections::HashSet;

use super::values::{self, Values};
use super::{Change, PreparedHive};
use hivewright_error::{Code, Error, Kind, Result, Space};
use hivewright_hive::check::{self, FINDINGS_KEPT, Finding, Report, Rule, Severity};
use hivewright_hive::regf::base_block::BaseBlock;
use hivewright_hive::regf::name::Name;
use hivewright_hive::regf::{BASE_BLOCK_SIZE, CellOffset};
use hivewright_hive::witness::{self, Confirmation, Ours};
use hivewright_hive::{Hive, Key, KeyPath, Opened, ValueType};

impl PreparedHive {
    /// Proves the edited bytes: the full check has no new findings, the keys have the requested contents and their
    /// other contents unchanged, and a second, independent parser reads the same. If that parser cannot read an intact
    /// hive, [`PreparedHive::unconfirmed`] returns the reason.
    ///
    /// # Errors
    /// `damaged` names the finding that prevents the edit; `proof` and `witness` are faults of the program, found
    /// before anything was written.
    pub fn prove(&self) -> Result<()> {
        // An unchanged hive needs no proof, whatever its state.
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
        self.prove_changes(&hive, report.is_consistent())
    }

    fn prove_changes(&self, hive: &Hive<&[u8]>, is_consistent: bool) -> Result<()> {
        let located = self.expected.located(hive)?;
        for key in &located {
            let Some(at) = key.at else {
                self.confirm(&key.path, &[(&Name::encode(""), None)], is_consistent)?;
                continue;
            };
            let key_now = hive.key_at(at)?;
            if let Some(facts) = key.facts()
                && !facts.are_of(&key_now)?
            {
                return Err(not_as_wanted(&key.path));
            }
            if let Some(values) = key.values() {
                self.prove_values(&key_now, &key.path, values, is_consistent)?;
            }
        }
        self.expected.expect_keys(hive, &located)
    }

    fn prove_values(
        &self,
        key: &Key<'_, &[u8]>,
        path: &KeyPath<'static>,
        wanted: &Values,
        is_consistent: bool,
    ) -> Result<()> {
        let mut room = key.hive().length() as usize;
        let entries = values::read(key, path, &mut room, self.force)?;
        if !entries.iter().eq(wanted.entries()) {
            return Err(not_as_wanted(path));
        }
        let number = |(name, wanted): (_, Option<(ValueType, _)>)| (name, wanted.map(|(kind, data)| (kind.0, data)));
        let named: Vec<(&Name<'_>, Ours<'_>)> = wanted.named().map(number).collect();
        self.confirm(path, &named, is_consistent)
    }

    fn confirm(&self, path: &KeyPath<'static>, named: &[(&Name<'_>, Ours<'_>)], is_consistent: bool) -> Result<()> {
        let text_path = as_text(path.names());
        let names: Vec<Option<String>> =
            named.iter().map(|(name, _)| as_text(std::slice::from_ref(name)).filter(|_| text_path.is_some())).collect();
        if names.contains(&None) {
            let what = format!("the second parser does not support names such as {path}");
            let _ = self.unconfirmed.set(what);
        }
        let (Some(text_path), texts) = (text_path, names.iter().zip(named)) else { return Ok(()) };
        let named: Vec<(&str, Ours<'_>)> =
            texts.filter_map(|(name, (_, ours))| Some((name.as_deref()?, *ours))).collect();
        for confirmation in witness::confirm_all(&self.edited.bytes, &text_path, &named) {
            match confirmation {
                // The check has verified the order of the lists.
                Confirmation::Agrees | Confirmation::AgreesLinearly => {}
                Confirmation::Silent(error) if is_consistent => {
                    let _ = self.unconfirmed.set(error.what().to_owned());
                }
                Confirmation::Silent(error) | Confirmation::Differs(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Compares the findings on the edited bytes with those on the hive before the edit, its logs replayed. A new
    /// finding in an intact hive is a fault of the program; in a damaged hive, the earlier damage may be its cause.
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
                return Err(damaged(first, "the check finds damage")
                    .advise("see `hivewright check`; --force edits anyway if the edit does not touch the damage"));
            }
            self.refuse_touched(&before, &original)?;
        }
        let Some((rule, _)) = added else { return Ok(()) };
        let is_damage = |finding: &&Finding| finding.severity > Severity::Note && finding.rule != Rule::DirtySequence;
        match before.findings.iter().filter(is_damage).max_by_key(|finding| finding.severity) {
            Some(cause) => Err(damaged(cause, &format!("the edit would add {} to the damage", rule))
                .advise("repair the hive first, or use another copy; --force does not permit this")),
            None => Err(unproven(&format!("the edit would add {} to the check's findings", rule))),
        }
    }

    fn refuse_touched(&self, before: &Report, original: &[u8]) -> Result<()> {
        // A finding that was counted but not kept may be close to the edit.
        let all_known = before.counts.iter().all(|(_, count)| count <= FINDINGS_KEPT);
        let cells = self.cells_of_keys(original)?;
        let mut staying = self.errors_that_stay(before);
        match staying.find(|finding| !all_known || self.touches(finding, &cells, original)) {
            Some(touched) => Err(damaged(touched, "the edit would touch damage")
                .advise("repair the hive first, or use another copy; --force does not permit this")),
            None => Ok(()),
        }
    }

    /// Returns the errors of a hive except wrong names of keys that the edit deletes: these disappear, and their cells
    /// are known.
    fn errors_that_stay<'f>(&self, before: &'f Report) -> impl Iterator<Item = &'f Finding> {
        let is_removed = |finding: &Finding| {
            finding.rule == Rule::KeyName && finding.cell.is_some_and(|cell| self.expected.is_deleted(cell))
        };
        before.errors().filter(move |finding| !is_removed(finding))
    }

    /// Returns whether an edit affects a finding: it changes the same cell, the same key or one on its path, a key
    /// whose `cells` another key references, or a hive bin whose cells cannot be separated from the finding on. A value
    /// beside the edited one is not affected if its own bytes and the list are unchanged.
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
            // Damage of the root key, and of its unreadable subkeys list, affects every path.
            let begins = |long: &str, short: &str| {
                short.is_empty() || long.get(..short.len()).is_some_and(|start| start.eq_ignore_ascii_case(short))
            };
            // For an operation on a tree, everything below counts too.
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

    /// Returns the paths of the edited keys, and whether everything below them is edited too.
    fn paths(&self) -> impl Iterator<Item = (String, bool)> {
        let of = |change: &Change| (change.operation.path.to_string(), change.operation.action.is_of_tree());
        self.changes.iter().map(of)
    }

    /// Returns every cell of the edited keys: key node, values list, values and their data, if these can be read.
    fn cells_of_keys(&self, original: &[u8]) -> Result<Cells> {
        let base = BaseBlock::parse(original)?;
        let hive = Hive::of(original, base);
        let mut cells = Cells::default();
        for (at, names) in self.expected.changed() {
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
                let is_edited = names.contains(&values::upper(value.name()));
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

/// Joins names with backslashes; `None` if the result would be other names.
fn as_text<'n, N: Borrow<Name<'n>>>(names: &[N]) -> Option<String> {
    let mut text = String::new();
    for (i, name) in names.iter().enumerate() {
        let name: String = char::decode_utf16(name.borrow().units()).collect::<std::result::Result<_, _>>().ok()?;
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
    /// Key nodes, and the cells of the edited values.
    edited: HashSet<CellOffset>,
    /// Values lists, and the cells of the other values.
    beside: HashSet<CellOffset>,
}

/// Returns the size of a cell in bytes.
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

pub(super) fn not_as_wanted(path: &KeyPath<'_>) -> Error {
    unproven(&format!("{path} does not have the requested contents"))
}

pub(super) fn unproven(what: &str) -> Error {
    Error::new(Kind::Corrupt, Code::Proof, format!("{what}; nothing was written"))
        .advise("this is a bug: please report it with the hive")
}
