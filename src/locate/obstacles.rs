//! Obstacles to a write in place, each with its own code.

use std::path::{Path, PathBuf};

use super::Disk;
use hivewright_disk::container::FoundDependents;
use hivewright_disk::files::{FileInVolume, Files, Hibernation, VolumeState};
use hivewright_disk::partition::TableSource;
use hivewright_error::{Code, Error};
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// A reason against writing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Obstacle {
    /// The stable code.
    pub code: Code,
    /// The reason, as a fragment of a sentence.
    pub what: String,
    /// The advice, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Whether it also means that the read data may be outdated or inconsistent.
    #[serde(skip)]
    pub doubts: bool,
}

/// Obstacles that the user may override, and the option for each.
const IGNORABLE: [(Code, &str); 4] = [
    (Code::VolumeDirty, "--ignore-dirty-volume"),
    (Code::VolumeJournal, "--ignore-journal"),
    (Code::HasChildren, "--ignore-children"),
    (Code::PartOfImage, "--ignore-children"),
];

impl Obstacle {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Obstacle { code, what: what.into(), advice: None, doubts: false }
    }

    fn advise(self, advice: impl Into<String>) -> Self {
        Obstacle { advice: Some(advice.into()), ..self }
    }

    /// Makes an obstacle of an error that prevents a write.
    pub(crate) fn of(error: &Error) -> Self {
        Obstacle { advice: error.advice().map(str::to_owned), ..Obstacle::new(error.code(), error.what()) }
    }

    /// Marks it as one that also casts doubt on the read data.
    pub(crate) fn doubting(self) -> Self {
        Obstacle { doubts: true, ..self }
    }

    /// Returns whether there is an option that overrides it.
    pub(super) fn is_ignorable(&self) -> bool {
        IGNORABLE.iter().any(|(code, _)| *code == self.code)
    }

    /// Returns it as a refusal.
    pub(crate) fn refuse(&self) -> Error {
        let generic = || match self.code {
            Code::TableDamaged => format!("repair the table in a copy of the image: {}", advised::MEND_GPT),
            Code::PartitionsOverlap => {
                format!("delete the obsolete partition in a copy: {}", advised::DELETE_PARTITION)
            }
            Code::VolumeTruncated => {
                "copy the whole disk again, or put its missing segment beside the other segments".to_owned()
            }
            Code::DeviceReadOnly => "unmount it completely, and give --device".to_owned(),
            _ => "mount the volume and edit the hive there, or repair it first".to_owned(),
        };
        Error::refused(self.code, self.what.clone()).advise(self.advice.clone().unwrap_or_else(generic))
    }
}

/// Returns the obstacles of a disk as a whole.
pub(super) fn of_disk(disk: &Disk) -> Vec<Obstacle> {
    let table = &disk.table;
    let overlap = table.warnings.iter().any(|warning| warning.code == Code::PartitionsOverlap);
    let backup = matches!(table.source, TableSource::Backup { .. });
    let all = [
        (
            disk.is_device && !disk.options.device,
            Code::DeviceReadOnly,
            "a block device is written to only with --device",
        ),
        (backup, Code::TableDamaged, "the primary partition table is damaged; only its backup contains the volumes"),
        (overlap, Code::PartitionsOverlap, "partitions overlap, so a write to one may change another"),
    ];
    let own = all.into_iter().filter(|(is, ..)| *is).map(|(_, code, what)| Obstacle::new(code, what));
    let of_image = disk
        .about
        .refusal
        .iter()
        .map(|r| Obstacle { advice: Some(r.advice.clone()), ..Obstacle::new(r.code, &r.what) });
    of_image.chain(own).collect()
}

/// Returns the obstacle for a file that is a part of another image.
pub(super) fn of_whole(files: &[PathBuf], found: &FoundDependents) -> Option<Obstacle> {
    let (whole, file) = (found.wholes.first()?, files.first()?);
    let (whole, file) = (name(whole), name(file));
    let what = format!("{file} is a part of the image that {whole} describes, which would not notice the change");
    let advice = format!("name {whole} instead; or, if it is no longer in use, give --ignore-children");
    Some(Obstacle { advice: Some(advice), ..Obstacle::new(Code::PartOfImage, what) })
}

/// Returns the obstacle of images that depend on one of these files: they have changes relative to its old contents. If
/// it is unknown whether there are any, that is an obstacle too.
pub(crate) fn of_children(files: &[PathBuf], found: &FoundDependents) -> Option<Obstacle> {
    let image = files.first().map(|path| name(path)).unwrap_or_default();
    let obstacle = |what, advice| Some(Obstacle { advice: Some(advice), ..Obstacle::new(Code::HasChildren, what) });
    if !found.children.is_empty() {
        let (names, depend) = (names(&found.children), if found.children.len() == 1 { "depends" } else { "depend" });
        let copy = match files.len() {
            1 => "a copy (--output)",
            _ => &format!("a copy of all its files in another folder ({})", advised::COPY_ALL),
        };
        let generic = || format!("edit the image at the top of the chain instead, or {copy}");
        let instead = found.advice.clone().unwrap_or_else(generic);
        return obstacle(
            format!("{names} {depend} on {image}: a change would damage them"),
            format!("{instead}; --ignore-children if {names} may be lost"),
        );
    }
    if !found.closed.is_empty() {
        let names = names(&found.closed);
        return obstacle(
            format!("{names} may depend on {image}: it cannot be opened"),
            "run as a user who may read it; if it does not depend on the image, give --ignore-children".to_owned(),
        );
    }
    found.is_cut.then_some(())?;
    obstacle(
        format!("an image may depend on {image}: its folder has more files than are searched"),
        "move it and its dependents into a separate folder; if there are none, give --ignore-children".to_owned(),
    )
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns the first name, and the number of the others.
fn names(paths: &[PathBuf]) -> String {
    const SHOWN: usize = 5;
    let names = paths.iter().take(SHOWN).map(|path| name(path)).collect::<Vec<_>>().join(", ");
    match paths.len().checked_sub(SHOWN) {
        None | Some(0) => names,
        Some(more) => format!("{names} and {more} more"),
    }
}

/// Returns the obstacle of a hibernation file; `path` is its path if it is on the host.
pub(crate) fn of_hibernation(state: &Hibernation, path: Option<&Path>) -> Option<Obstacle> {
    let (code, what, advice) = match (state, state.is_saved()) {
        (_, Some(false)) => return None,
        (_, Some(true)) => (
            Code::VolumeHibernated,
            "the volume belongs to a hibernated session, which has the old hive in memory and would restore it"
                .to_owned(),
            shut_down(),
        ),
        (Hibernation::Unreadable { .. }, None) => (
            Code::VolumeHibernationUnknown,
            format!("the volume may belong to a hibernated session: {state}"),
            format!("find out why the file cannot be read; if the volume is damaged, {}", advised::repair()),
        ),
        (_, None) => (
            Code::VolumeHibernationUnknown,
            format!("the volume may belong to a hibernated session: {state}"),
            format!("{}; if no session is saved, move the obsolete file to another folder", shut_down()),
        ),
    };
    let what = path.map_or(what.clone(), |path| format!("{what} ({})", path.display()));
    Some(Obstacle::new(code, what).advise(advice).doubting())
}

fn shut_down() -> String {
    format!("start that Windows, and shut it down fully: {}", advised::SHUT_DOWN)
}

/// Returns the obstacles in the state of a volume. Each of them also casts doubt on the read data.
pub(crate) fn of_volume(state: &VolumeState) -> Vec<Obstacle> {
    let all = [
        (
            state.journal.may_be_cached(),
            Code::VolumeFastStartup,
            "the volume was not fully shut down (Fast Startup, hibernation or a crash): Windows may keep newer metadata",
        ),
        (state.dirty, Code::VolumeDirty, "the volume is marked as dirty: it needs a check"),
        (
            state.journal.is_unclean(),
            Code::VolumeJournal,
            "the journal of the volume has operations that were not applied: its metadata may be outdated",
        ),
    ];
    let tool = if state.file_system == "NTFS" { advised::SETTLE_NTFS } else { advised::SETTLE_FAT };
    let advice = |code| match IGNORABLE.iter().find(|(ignorable, _)| *ignorable == code) {
        Some((_, option)) => {
            format!("repair it in Windows ({}) or with `{tool}`; or give {option}", advised::CHECK_DISK)
        }
        None => shut_down(),
    };
    let own =
        all.into_iter().filter(|(is, ..)| *is).map(|(_, code, what)| Obstacle::new(code, what).advise(advice(code)));
    let remarks = state.remarks.iter().map(|remark| Obstacle::new(remark.code, &remark.what));
    of_hibernation(&state.hibernation, None).into_iter().chain(own).chain(remarks).map(Obstacle::doubting).collect()
}

/// Returns the obstacle of a dirty hive whose logs cannot be applied.
pub(crate) fn of_dirty(why: &Error) -> Obstacle {
    let code = if why.code() == Code::ReplayBreaks { Code::ReplayBreaks } else { Code::Dirty };
    Obstacle::new(code, format!("the hive is dirty, and its logs cannot be applied: {}", why.what()))
}

/// Returns the obstacles to writing to a file in place.
pub(crate) fn of_file(files: &dyn Files, file: &FileInVolume) -> Vec<Obstacle> {
    let len = file.len().unwrap_or(0);
    let plain = file.writable(0, len).or_else(|error| match error.code() {
        Code::FileNotPlain if files.replaces_files() => Ok(()),
        _ => Err(error),
    });
    // Only files in clusters can be checked against the map of clusters.
    let confirmed = plain.is_ok().then(|| files.confirm(file));
    [Some(plain), confirmed].into_iter().flatten().filter_map(Result::err).map(|error| Obstacle::of(&error)).collect()
}
