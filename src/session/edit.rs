//! From what the user wants to a proven set of patches: read, find the places, edit in memory, prove.
//!
//! Nothing is written here. [`Prepared::prove`] runs the full check and the witness on the edited bytes; a commit
//! renames or writes only after it has passed.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::commit::{self, Committed, Options};
use super::target::{self, Target};
use crate::error::{Error, Kind, Result};
use crate::hive::check::{self, Finding, Severity};
use crate::hive::witness::{self, Testimony};
use crate::hive::{EditOptions, Edited, Editor, Hive, HiveBytes, Opened};
use crate::regf::CellOffset;
use crate::regf::base_block::{self, BaseBlock};
use crate::regf::key_value::ValueType;
use crate::storage::{FileStorage, Mapped, Storage};
use crate::windows::{self, Era, Place, Selection, rule};

/// The most bytes of a file that is edited: a hive's bins stay below 2 GiB, slack behind them is a fraction of that.
const MAX_FILE_SIZE: usize = 3 << 30;
/// The most values of the rule's name in one key. Each but one is taken out of the list, which moves the others.
const MAX_TWINS: usize = 100;

/// What shall become of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A REG_DWORD of this number.
    Set(u32),
    /// No value of that name.
    Unset,
}

/// What the user asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What shall become of the rule.
    pub wanted: Wanted,
    /// In which control sets.
    pub selection: Selection,
    /// Which Windows it is, whatever the evidence says.
    pub era: Option<Era>,
    /// Edit despite errors of the check that the edit does not touch.
    pub force: bool,
    /// How to edit.
    pub options: EditOptions,
}

/// A value before an edit: its type and data.
pub type Before = (ValueType, Vec<u8>);

/// One key of the edit.
#[derive(Clone, Debug)]
pub struct Change {
    /// The service key.
    pub place: Place,
    /// What stood there under the rule's name, twins in other letters included.
    pub before: Vec<Before>,
    /// Whether anything changes.
    pub changes: bool,
    /// All other values of the key, which stay.
    others: Others,
}

/// SHA-256 over the names, types and data of values, in order.
type Others = [u8; 32];

/// An edit that is ready to be proven and written.
#[derive(Debug)]
pub struct Prepared {
    /// The hive.
    pub target: Target,
    /// What changes where.
    pub changes: Vec<Change>,
    /// The edited file and its patches.
    pub edited: Edited,
    request: Request,
}

/// Reads the hive that `path` stands for and edits it in memory.
///
/// # Errors
/// Refusals as [`windows::plan`] has them; `dirty` for a hive whose last write did not end; damage on the way.
pub fn prepare(path: &Path, request: &Request) -> Result<Prepared> {
    let target = target::find(path)?;
    let hive = match crate::hive::open(read_whole(&target.hive)?)? {
        Opened::Clean(hive) => hive,
        Opened::Dirty(_) => return Err(dirty(&target.hive)),
    };
    let places = windows::plan(&hive, &request.selection, request.era)?;
    let mut changes = Vec::with_capacity(places.len());
    for place in places {
        changes.push(Change {
            others: others(&hive, place.key)?,
            before: rule_values(&hive, place.key)?,
            place,
            changes: false,
        });
    }
    let mut editor = hive.edit(request.options);
    for change in &mut changes {
        change.changes = apply(&mut editor, change, request.wanted)?;
    }
    let edited = editor.finish()?;
    Ok(Prepared { target, changes, edited, request: *request })
}

impl Prepared {
    /// Whether everything is as wanted already.
    pub fn is_already_so(&self) -> bool {
        self.edited.patches.is_empty()
    }

    /// Proves the edit and brings it to the disk.
    ///
    /// # Errors
    /// As [`Prepared::prove`] and [`commit::commit`].
    pub fn commit(&self, options: &Options) -> Result<Committed> {
        self.prove()?;
        commit::commit(&self.target.hive, &self.edited.patches, &self.edited.bytes, options)
    }

    /// Proves the edited bytes: the full check finds nothing that was not there, the keys hold what was asked for and
    /// everything else they held, and an independent parser reads the value.
    ///
    /// # Errors
    /// `damaged` names the finding that stands in the way; `proof` and `witness` are faults of the program, found
    /// before they could do harm.
    pub fn prove(&self) -> Result<()> {
        let report = check::check(&self.edited.bytes);
        if report.worst().is_some_and(|worst| worst >= Severity::Warning) {
            self.compare_findings(&report)?;
        }
        let hive = match crate::hive::open(&self.edited.bytes[..])? {
            Opened::Clean(hive) => hive,
            Opened::Dirty(_) => return Err(unproven("the edited hive is dirty")),
        };
        for change in &self.changes {
            let place = &change.place;
            if others(&hive, place.key)? != change.others {
                return Err(unproven(&format!("another value of {} changed", place.path)));
            }
            let now = rule_values(&hive, place.key)?;
            let wanted = match self.request.wanted {
                Wanted::Set(number) => vec![(ValueType::DWORD, number.to_le_bytes().to_vec())],
                Wanted::Unset => Vec::new(),
            };
            if now != wanted {
                return Err(unproven(&format!("{} does not hold what was asked for", place.path)));
            }
            let ours = now.first().map(|(kind, data)| (kind.0, data.as_slice()));
            match witness::ask_about(&self.edited.bytes, &place.path, rule::NAME, ours) {
                Testimony::Agrees => {}
                Testimony::Silent(error) | Testimony::Differs(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Holds the findings on the edited bytes against those on the original.
    fn compare_findings(&self, after: &check::Report) -> Result<()> {
        let original = Mapped::open(&self.target.hive)?;
        let before = check::check(&original);
        for (code, count) in after.counts.iter() {
            if code.severity() >= Severity::Warning && count > before.counts.of(code) {
                return Err(unproven(&format!("the edit would add {} to the check's findings", code.as_str())));
            }
        }
        let mut errors = before.errors().peekable();
        let Some(&first) = errors.peek() else { return Ok(()) };
        if !self.request.force {
            return Err(damaged(first, "the check finds damage").advise(
                "see `hivewright check`; --force edits nevertheless where the damage is not touched by the edit",
            ));
        }
        match errors.find(|finding| self.touches(finding)) {
            Some(touched) => Err(damaged(touched, "the edit would touch damage")
                .advise("repair the hive first, or take another copy: --force does not go this far")),
            None => Ok(()),
        }
    }

    /// Whether an edit comes near a finding: it changes the same cell, the same key or one on the way to it, or a hive
    /// bin that cannot be told apart from there on.
    fn touches(&self, finding: &Finding) -> bool {
        if finding.offset < u64::from(crate::regf::BASE_BLOCK_SIZE) {
            return true;
        }
        let patches = || self.edited.patches.patches.iter().filter(|p| p.offset >= 4096);
        if finding.code.as_str().starts_with("bin-") || finding.code.as_str() == "cell-size" {
            let page = finding.offset & !0xfff;
            return patches().any(|p| p.offset >= page);
        }
        if let Some(key) = &finding.key {
            let on_the_way = |place: &str| {
                let key = key.trim_start_matches('\\');
                place.len() >= key.len()
                    && place.is_char_boundary(key.len())
                    && place[..key.len()].eq_ignore_ascii_case(key)
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

fn apply(editor: &mut Editor, change: &Change, wanted: Wanted) -> Result<bool> {
    let key = change.place.key;
    let mut changed = false;
    // Which of two twins Windows reads is not established: one that says what is wanted remains.
    let keep = usize::from(matches!(wanted, Wanted::Set(_)));
    for _ in keep..change.before.len() {
        changed |= editor.delete_value(key, rule::NAME)?;
    }
    if let Wanted::Set(number) = wanted {
        changed |= editor.set_value(key, rule::NAME, ValueType::DWORD, &number.to_le_bytes())?;
    }
    Ok(changed)
}

/// All values of the key under the rule's name, in any letters.
fn rule_values<B: HiveBytes>(hive: &Hive<B>, key: CellOffset) -> Result<Vec<Before>> {
    let mut found = Vec::new();
    for value in hive.key_at(key)?.values()? {
        let value = value?;
        if value.name.matches(rule::NAME) {
            if found.len() == MAX_TWINS {
                let what = "the key has hundreds of values of the rule's name";
                return Err(Error::corrupt("duplicate-value", what, value.at.in_file())
                    .advise("no careless tool does that: take another copy of the hive"));
            }
            found.push((value.data_type(), hive.data(&value)?.into_owned()));
        }
    }
    Ok(found)
}

/// All values of the key under other names.
fn others<B: HiveBytes>(hive: &Hive<B>, key: CellOffset) -> Result<Others> {
    let mut hash = Sha256::new();
    let mut room = hive.length() as usize;
    for value in hive.key_at(key)?.values()? {
        let value = value?;
        if value.name.matches(rule::NAME) {
            continue;
        }
        let data = hive.data(&value)?;
        // Values may share data only where the hive is damaged, and then a list of them is work without end.
        room = room.checked_sub(data.len()).ok_or_else(|| {
            let what = "the key's values have more data than the hive has room for";
            Error::corrupt("value-data", what, value.at.in_file())
        })?;
        let name = value.name.bytes();
        for number in [name.len() as u64, data.len() as u64, u64::from(value.data_type().0)] {
            hash.update(number.to_le_bytes());
        }
        hash.update([u8::from(value.name.is_latin1())]);
        hash.update(name);
        hash.update(&data);
    }
    Ok(hash.finalize().into())
}

/// Reads a whole hive file into memory; anything that is no hive is refused by its first bytes.
fn read_whole(path: &Path) -> Result<Vec<u8>> {
    let file = FileStorage::open(path)?;
    let len = file.len()?;
    let mut head = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(base_block::SIZE)];
    file.read_at(0, &mut head)?;
    BaseBlock::parse(&head)?.validate(len)?;
    let Some(len) = usize::try_from(len).ok().filter(|&len| len <= MAX_FILE_SIZE) else {
        return Err(Error::new(Kind::Unsupported, "too-large", format!("{} has {len} bytes", path.display())));
    };
    let mut bytes = vec![0; len];
    file.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn dirty(hive: &Path) -> Error {
    Error::refused("dirty", format!("{} is dirty: its newest state may stand in its transaction logs", hive.display()))
}

fn damaged(finding: &Finding, what: &str) -> Error {
    let mut error = Error::refused("damaged", format!("{what}: {}: {}", finding.code.as_str(), finding.what))
        .at(crate::error::Space::Hive, finding.offset);
    if let (Some(expected), Some(actual)) = (&finding.expected, &finding.actual) {
        error = error.expected(expected, actual);
    }
    error
}

fn unproven(what: &str) -> Error {
    Error::new(Kind::Corrupt, "proof", format!("{what}; nothing was written"))
        .advise("this is a fault of the program: please report it with the hive")
}
