//! Reading a hive where it lies: mapped, or by calls, or inside of a disk, page by page; nothing written.

mod called;
mod confirmed;
mod hash;
mod judged;
mod replayed;
mod shown;

use std::path::Path;

pub use called::HiveFile;
use confirmed::answer;
pub use judged::Judged;
use shown::ByPages;

use super::disk::{Choice, Disk, HiveOnDisk, Obstacle};
use super::logs::{LogChoice, LogFiles};
use super::surroundings;
use super::target::{self, Target};
use super::undo;
use crate::windows::{self, Era, RuleReport};
use hivewright_disk::container::has_type_of_log;
use hivewright_error::{Error, Result};
use hivewright_hive::recover::{self, LogReport, Recovery};
use hivewright_hive::regf::base_block::{BaseBlock, SIGNATURE};
use hivewright_hive::{Hive, Opened};
use hivewright_storage::{Host, Mapped, RealHost};

/// A hive that is read.
#[derive(Debug)]
pub struct Reading {
    target: Target,
    source: Source,
    logs: LogChoice,
}

/// Where the bytes of the primary file are.
#[derive(Debug)]
enum Source {
    Host(Mapped),
    Called(Box<HiveFile>),
    Disk(Box<HiveOnDisk>),
}

/// The transaction logs of a hive.
#[derive(Debug, serde::Serialize)]
pub struct Logs {
    /// Whether the hive is dirty, so that it needs them.
    pub needed: bool,
    /// Whether they can be applied.
    pub usable: bool,
    /// Why not, if they are needed.
    pub why: Option<String>,
    /// Each of them.
    pub logs: Vec<LogReport>,
}

/// What a hive says about the rule, and how sure that is.
#[derive(Debug)]
pub struct Answer {
    /// The report; of a dirty hive, with its logs replayed if that can be done.
    pub report: RuleReport,
    /// Clean, or what came of its logs.
    pub state: State,
    /// Primary and secondary sequence number of the primary file; none if its base block cannot be read.
    pub sequences: Option<[u32; 2]>,
    /// Why the independent parser could not confirm it, if it could not.
    pub unconfirmed: Option<String>,
    /// What the hive itself has against an edit of the setting; [`Reading::obstacles`] has what surrounds it.
    pub obstacles: Vec<Obstacle>,
}

/// What a hive's primary file is worth.
#[derive(Debug)]
pub enum State {
    /// Every finished write is in it.
    Clean,
    /// Its logs were replayed for the answer.
    Recovered {
        /// What was applied.
        recovery: Box<Recovery>,
        /// The answer of the primary file alone; none if that cannot be read without the logs.
        primary_alone: Option<Box<RuleReport>>,
    },
    /// It is dirty and no log could be applied: the answer is of the primary file alone.
    Alone {
        /// Why not.
        why: Error,
        /// What was found in the logs.
        recovery: Box<Recovery>,
    },
}

impl Reading {
    /// Finds the hive that `path` stands for, on the host or inside of the disk that it is.
    ///
    /// # Errors
    /// As [`target::find`], [`Disk::open`] and [`Disk::system_hive`].
    pub fn of(path: &Path, logs: LogChoice) -> Result<Self> {
        Self::choose(path, &Choice::default(), logs)
    }

    /// As [`Reading::of`], where a disk holds several partitions or installations.
    ///
    /// # Errors
    /// As [`Reading::of`] and [`LogChoice::expect`]; `not-a-disk` for a choice where there is none.
    pub fn choose(path: &Path, choice: &Choice, logs: LogChoice) -> Result<Self> {
        logs.expect()?;
        if choice.is_default()
            && let Some(map) = Mapped::open_if(path, &SIGNATURE)?
            && !has_type_of_log(map.as_ref())
        {
            let target = Target { hive: path.to_owned(), windows: None };
            return Ok(Reading { target, source: Source::Host(map), logs });
        }
        if let Some(disk) = Disk::open_as(path, &choice.image)? {
            let hive = disk.system_hive(choice)?;
            return Ok(Self::on(hive, logs));
        }
        let target = target::find(path)?;
        if !choice.is_empty() {
            let what = format!("{} is no disk: there is no partition or folder to choose", path.display());
            return Err(Error::refused("not-a-disk", what));
        }
        let map = Mapped::open(&target.hive)?;
        Ok(Reading { target, source: Source::Host(map), logs })
    }

    /// Reads a hive that was found on a disk.
    pub fn on(hive: HiveOnDisk, logs: LogChoice) -> Self {
        let target = Target { hive: hive.disk().path().to_owned(), windows: None };
        Reading { target, source: Source::Disk(Box::new(hive)), logs }
    }

    /// Reads a hive of the host by calls, not through a map: for files that others may cut short meanwhile.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn by_calls(target: Target, logs: LogChoice) -> Result<Self> {
        let file = Box::new(HiveFile::open(&target.hive)?);
        Ok(Reading { target, source: Source::Called(file), logs })
    }

    /// Bytes read of the primary file or its disk, where that is counted.
    pub fn bytes_read(&self) -> Option<u64> {
        match &self.source {
            Source::Host(_) => None,
            Source::Called(file) => Some(file.bytes_read()),
            Source::Disk(hive) => Some(hive.disk().bytes_read()),
        }
    }

    /// The hive inside of a disk, if it is.
    pub fn on_disk(&self) -> Option<&HiveOnDisk> {
        match &self.source {
            Source::Host(_) | Source::Called(_) => None,
            Source::Disk(hive) => Some(hive),
        }
    }

    /// The hive in words: its file, and where in the file if that is a disk.
    pub fn name(&self) -> String {
        let file = self.target.hive.display();
        match self.on_disk() {
            None => file.to_string(),
            Some(hive) => match hive.installation().partition {
                0 => format!("{} in {file}", hive.path()),
                number => format!("{} in partition {number} of {file}", hive.path()),
            },
        }
    }

    /// Bytes of the primary file, and whether it is `clean` or `dirty`.
    ///
    /// # Errors
    /// It is no hive, or cannot be read.
    pub fn size_and_state(&self) -> Result<(u64, &'static str)> {
        let whole = self.whole()?;
        let state = match Hive::open(whole).map_err(|error| self.neither(error))? {
            Opened::Clean(_) => "clean",
            Opened::Dirty(_) => "dirty",
        };
        Ok((whole.len() as u64, state))
    }

    /// All bytes of the primary file.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn whole(&self) -> Result<&[u8]> {
        match &self.source {
            Source::Host(map) => Ok(map),
            Source::Called(file) => file.whole(),
            Source::Disk(hive) => hive.whole(),
        }
    }

    fn neither(&self, error: Error) -> Error {
        if self.on_disk().is_some() { error } else { target::neither(error, &self.target.hive) }
    }

    fn by_pages(&self) -> Option<&dyn ByPages> {
        match &self.source {
            Source::Host(_) => None,
            Source::Called(file) => Some(&**file),
            Source::Disk(hive) => Some(&**hive),
        }
    }

    fn log_files(&self) -> Result<LogFiles> {
        match (&self.source, &self.logs) {
            (Source::Disk(hive), LogChoice::Beside) => Ok(LogFiles::in_memory(hive.logs()?)),
            (Source::Called(_), _) => LogFiles::read(&self.target.hive, &self.logs, called::MOST_BYTES),
            _ => LogFiles::open(&self.target.hive, &self.logs),
        }
    }

    /// Which hive it is, as far as its primary file shows: `SYSTEM`, `SOFTWARE`.
    pub fn kind(&self) -> Option<&'static str> {
        windows::kind(Hive::open(self.whole().ok()?).ok()?.primary_alone())
    }

    /// What writes that did not end have against what is read, a sentence fragment each: then it may be neither the old
    /// state nor the new one. Asked of every file that is read of a disk.
    pub fn unfinished(&self) -> Vec<String> {
        let Some(hive) = self.on_disk() else {
            let hive = RealHost.resolve(&self.target.hive);
            return hive.map(|hive| undo::doubts(&[hive], false)).unwrap_or_default();
        };
        hive.disk().unfinished()
    }

    /// Everything that is known to stand against a write to the hive; of an image all but the other images that stand on it,
    /// which [`Disk::children`] looks for.
    pub fn obstacles(&self) -> Vec<Obstacle> {
        self.on_disk().map_or_else(|| surroundings::obstacles(&self.target), HiveOnDisk::all_obstacles)
    }

    /// Whether the hive belongs to a hibernated session. `None` where that cannot be told, or there is no volume at hand.
    pub fn is_hibernated(&self) -> Option<bool> {
        let state = match self.on_disk() {
            Some(hive) => hive.volume_state().ok()?.hibernation,
            None => surroundings::hibernation(&self.target)?,
        };
        state.is_saved()
    }

    /// How many shadow copies its volume has. `None` where that cannot be told, or there is no volume at hand.
    pub fn shadow_copies(&self) -> Option<u32> {
        match self.on_disk() {
            Some(hive) => hive.volume_state().ok()?.shadow_copies,
            None => surroundings::shadow_copies(&self.target),
        }
    }

    /// Which hive.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What the logs hold and what a replay would make of them; none for a clean hive, unless `always`.
    ///
    /// # Errors
    /// Logs that cannot be read.
    pub fn logs(&self, always: bool) -> Result<Option<Logs>> {
        let whole = self.whole()?;
        let (clean, readable) = match Hive::open(whole) {
            Ok(Opened::Clean(_)) => (true, true),
            Ok(Opened::Dirty(_)) => (false, true),
            // Damage elsewhere than in what tells clean from dirty is no matter of the logs.
            Err(_) => (BaseBlock::parse(whole).is_ok_and(|base| !base.is_dirty()), false),
        };
        if clean && !always {
            return Ok(None);
        }
        let files = self.log_files()?;
        if !readable && !always && files.is_empty() {
            return Ok(None);
        }
        let logs = files.logs();
        let (needed, usable, why, mut logs) = if clean {
            (false, false, None, recover::list(&logs))
        } else {
            match recover::recover_headless(whole, &logs) {
                Ok(recovered) => (true, true, None, recovered.report.logs),
                Err(failed) => (true, false, Some(failed.error.what().to_owned()), failed.report.logs),
            }
        };
        files.name(&mut logs);
        Ok(Some(Logs { needed, usable, why, logs }))
    }

    /// What the hive says about the rule; each value read is confirmed by an independent parser. Where that reads something
    /// else, the verdict is unknown.
    ///
    /// # Errors
    /// Not a hive, or a root that cannot be read; `not-system` for a hive of another kind.
    pub fn rule(&self, era: Option<Era>) -> Result<Answer> {
        if let Some(by_pages) = self.by_pages() {
            match Hive::open(by_pages.pages()) {
                Ok(Opened::Clean(hive)) => return answer(&hive, by_pages, era, State::Clean, Some(sequences(&hive))),
                // What is no hive, and has no logs that could make it one again, is not read to its end.
                Err(error) if self.log_files()?.hold_nothing() => return Err(error),
                _ => {}
            }
        }
        let whole = self.whole()?;
        let opened = match Hive::open(whole) {
            Ok(Opened::Clean(hive)) => return answer(&hive, whole, era, State::Clean, Some(sequences(&hive))),
            Ok(Opened::Dirty(hive)) => Ok(hive),
            Err(error) => Err(error),
        };
        let files = self.log_files()?;
        let logs = files.logs();
        let replayed = recover::replay(whole, &logs);
        let mut answer = match opened {
            Ok(dirty) => {
                let primary = dirty.primary_alone();
                let (alone, numbers) = (windows::report(primary, era).ok(), Some(sequences(primary)));
                match replayed.map_err(Ok).and_then(|it| replayed::answer_of(it, era, alone, numbers)) {
                    Ok(answer) => Ok(answer),
                    Err(failed) => {
                        let failed = failed?;
                        let state = State::Alone { why: failed.error, recovery: Box::new(failed.report) };
                        answer(primary, whole, era, state, numbers)
                    }
                }
            }
            Err(error) => match replayed.map_err(Ok).and_then(|it| replayed::answer_of(it, era, None, None)) {
                Ok(answer) => Ok(answer),
                Err(failed) => match failed?.error {
                    breaks if breaks.code() == recover::REPLAY_BREAKS => Err(breaks),
                    // Without a log that fits, the file is what it looks like.
                    _ => Err(self.neither(error)),
                },
            },
        }?;
        if let State::Recovered { recovery, .. } | State::Alone { recovery, .. } = &mut answer.state {
            files.name(&mut recovery.logs);
        }
        Ok(answer)
    }
}

fn sequences<B>(hive: &Hive<B>) -> [u32; 2] {
    let base = hive.base_block();
    [base.primary_sequence.get(), base.secondary_sequence.get()]
}
