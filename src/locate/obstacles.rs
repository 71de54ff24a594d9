//! What stands in the way of a write in place, each with its own code.

use std::path::{Path, PathBuf};

use super::Disk;
use hivewright_disk::container::FoundDependents;
use hivewright_disk::files::{FileInVolume, Files, Hibernation, VolumeState};
use hivewright_disk::partition::TableSource;
use hivewright_error::{Code, Error};
use hivewright_hive::recover::REPLAY_BREAKS;
use hivewright_storage::Storage;
use hivewright_storage::advised;

/// A reason not to write.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Obstacle {
    /// Stable code.
    pub code: Code,
    /// One sentence fragment.
    pub what: String,
    /// What to do instead, where its finder knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Whether it also means that what is read may not be the newest, or be torn.
    #[serde(skip)]
    pub doubts: bool,
}

/// Obstacles that a user may take upon himself, and the option that does.
const IGNORABLE: [(Code, &str); 4] = [
    (Code::VolumeDirty, "--ignore-dirty-volume"),
    (Code::VolumeJournal, "--ignore-journal"),
    (HAS_CHILDREN, "--ignore-children"),
    (PART_OF_IMAGE, "--ignore-children"),
];
/// See [`of_children`].
pub(crate) const HAS_CHILDREN: Code = Code::HasChildren;
/// The file is a part of an image that another one describes.
const PART_OF_IMAGE: Code = Code::PartOfImage;

impl Obstacle {
    pub(crate) fn new(code: Code, what: impl Into<String>) -> Self {
        Obstacle { code, what: what.into(), advice: None, doubts: false }
    }

    fn advise(self, advice: impl Into<String>) -> Self {
        Obstacle { advice: Some(advice.into()), ..self }
    }

    /// Of an error, which then keeps a write from beginning.
    pub(crate) fn of(error: &Error) -> Self {
        Obstacle { advice: error.advice().map(str::to_owned), ..Obstacle::new(error.code(), error.what()) }
    }

    /// Marks it as one that makes what is read doubtful too.
    pub(crate) fn doubting(self) -> Self {
        Obstacle { doubts: true, ..self }
    }

    /// Whether there is an option that overrides it.
    pub(super) fn is_ignorable(&self) -> bool {
        IGNORABLE.iter().any(|(code, _)| *code == self.code)
    }

    /// As a refusal.
    pub(crate) fn refuse(&self) -> Error {
        let generic = || match self.code {
            Code::TableDamaged => format!("have the table mended in a copy of the image: {}", advised::MEND_GPT),
            Code::PartitionsOverlap => {
                format!("take the one that is a leftover out of the table of a copy: {}", advised::DELETE_PARTITION)
            }
            Code::VolumeTruncated => {
                "copy the disk again, whole, or put its missing segment beside the others".to_owned()
            }
            Code::DeviceReadOnly => "see that nothing of it is mounted, and give --device".to_owned(),
            _ => "mount the volume and edit the hive there, or repair it first".to_owned(),
        };
        Error::refused(self.code, self.what.clone()).advise(self.advice.clone().unwrap_or_else(generic))
    }
}

/// What a disk as a whole has against writes.
pub(super) fn of_disk(disk: &Disk) -> Vec<Obstacle> {
    let table = &disk.table;
    let overlap = table.warnings.iter().any(|warning| warning.code == Code::PartitionsOverlap);
    let backup = matches!(table.source, TableSource::Backup { .. });
    let all = [
        (
            disk.is_device && !disk.options.device,
            Code::DeviceReadOnly,
            "a block device is only written to when asked for",
        ),
        (backup, Code::TableDamaged, "the primary partition table is damaged: only its backup says where volumes are"),
        (overlap, Code::PartitionsOverlap, "partitions overlap: a write to one may hit another"),
    ];
    let own = all.into_iter().filter(|(is, ..)| *is).map(|(_, code, what)| Obstacle::new(code, what));
    let of_image = disk
        .about
        .refusal
        .iter()
        .map(|r| Obstacle { advice: Some(r.advice.clone()), ..Obstacle::new(r.code, &r.what) });
    of_image.chain(own).collect()
}

/// What the image of which that file is a part has against writes past it.
pub(super) fn of_whole(files: &[PathBuf], found: &FoundDependents) -> Option<Obstacle> {
    let (whole, file) = (found.wholes.first()?, files.first()?);
    let (whole, file) = (name(whole), name(file));
    let what = format!("{file} is a part of the image that {whole} describes, which would not know of the change");
    let advice = format!("name {whole} instead; --ignore-children where it is not in use any more");
    Some(Obstacle { advice: Some(advice), ..Obstacle::new(PART_OF_IMAGE, what) })
}

/// What images that stand on the one of these files have against writes to it: their bytes are changes to what it was.
/// Where it is not known whether there are any, that is said.
pub(crate) fn of_children(files: &[PathBuf], found: &FoundDependents) -> Option<Obstacle> {
    let image = files.first().map(|path| name(path)).unwrap_or_default();
    let obstacle = |what, advice| Some(Obstacle { advice: Some(advice), ..Obstacle::new(HAS_CHILDREN, what) });
    if !found.children.is_empty() {
        let (names, stand) = (names(&found.children), if found.children.len() == 1 { "stands" } else { "stand" });
        let copy = match files.len() {
            1 => "a copy (--output)",
            _ => &format!("a copy of all its files in another folder ({})", advised::COPY_ALL),
        };
        let generic = || format!("edit the image at the top of the chain instead, or {copy}");
        let instead = found.advice.clone().unwrap_or_else(generic);
        return obstacle(
            format!("{names} {stand} on {image}, and would be damaged when that changes below"),
            format!("{instead}; --ignore-children where {names} may be lost"),
        );
    }
    if !found.closed.is_empty() {
        let names = names(&found.closed);
        return obstacle(
            format!("whether {names} stands on {image} is not known: it cannot be opened"),
            "run as who may read it; --ignore-children where it is known that it does not".to_owned(),
        );
    }
    found.is_cut.then_some(())?;
    obstacle(
        format!("whether an image stands on {image} is not known: there are more files around it than are looked at"),
        "move it into a folder of its own, with what stands on it; --ignore-children where nothing does".to_owned(),
    )
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The first of them, and how many more.
fn names(paths: &[PathBuf]) -> String {
    const SHOWN: usize = 5;
    let names = paths.iter().take(SHOWN).map(|path| name(path)).collect::<Vec<_>>().join(", ");
    match paths.len().checked_sub(SHOWN) {
        None | Some(0) => names,
        Some(more) => format!("{names} and {more} more"),
    }
}

/// What the hibernation file has against writes: `path` where it is one of the host.
pub(crate) fn of_hibernation(state: &Hibernation, path: Option<&Path>) -> Option<Obstacle> {
    let (code, what, advice) = match (state, state.is_saved()) {
        (_, Some(false)) => return None,
        (_, Some(true)) => (
            Code::VolumeHibernated,
            "the volume belongs to a hibernated session, which still holds the old hive and would bring it back"
                .to_owned(),
            shut_down(),
        ),
        (Hibernation::Unreadable { .. }, None) => (
            Code::VolumeHibernationUnknown,
            format!("whether the volume belongs to a hibernated session is not known: {state}"),
            format!("see why the file cannot be read; where the volume is damaged, {}", advised::repair()),
        ),
        (_, None) => (
            Code::VolumeHibernationUnknown,
            format!("that the volume belongs to a hibernated session cannot be ruled out: {state}"),
            format!("{}; where no session is known to be saved, the file is a leftover: move it away", shut_down()),
        ),
    };
    let what = path.map_or(what.clone(), |path| format!("{what} ({})", path.display()));
    Some(Obstacle::new(code, what).advise(advice).doubting())
}

fn shut_down() -> String {
    format!("start that Windows and shut it down fully: {}", advised::SHUT_DOWN)
}

/// What the state of a volume has against writes. Each of it also means that what is read may not be the newest.
pub(crate) fn of_volume(state: &VolumeState) -> Vec<Obstacle> {
    let all = [
        (
            state.journal.may_be_cached(),
            Code::VolumeFastStartup,
            "the volume was not fully shut down (Fast Startup, hibernation or a crash): Windows may keep newer metadata",
        ),
        (state.dirty, Code::VolumeDirty, "the volume is marked dirty: it asks to be checked before it is used"),
        (
            state.journal.is_unclean(),
            Code::VolumeJournal,
            "the volume's journal has work to redo: its metadata is not what it is going to be",
        ),
    ];
    let tool = if state.file_system == "NTFS" { advised::SETTLE_NTFS } else { advised::SETTLE_FAT };
    let advice = |code| match IGNORABLE.iter().find(|(ignorable, _)| *ignorable == code) {
        Some((_, option)) => {
            format!("settle it, in Windows ({}) or by `{tool}`; or give {option}", advised::CHECK_DISK)
        }
        None => shut_down(),
    };
    let own =
        all.into_iter().filter(|(is, ..)| *is).map(|(_, code, what)| Obstacle::new(code, what).advise(advice(code)));
    let remarks = state.remarks.iter().map(|remark| Obstacle::new(remark.code, &remark.what));
    of_hibernation(&state.hibernation, None).into_iter().chain(own).chain(remarks).map(Obstacle::doubting).collect()
}

/// What a dirty hive has against an edit, since its logs cannot be applied.
pub(crate) fn of_dirty(why: &Error) -> Obstacle {
    let code = if why.code() == REPLAY_BREAKS { REPLAY_BREAKS } else { Code::Dirty };
    Obstacle::new(code, format!("the hive is dirty, and its logs cannot be applied: {}", why.what()))
}

/// What a file has against being written in place.
pub(crate) fn of_file(files: &dyn Files, file: &FileInVolume) -> Vec<Obstacle> {
    let len = file.len().unwrap_or(0);
    let plain = file.writable(0, len);
    // Only what lies in clusters can be looked up in the map of clusters.
    let confirmed = plain.is_ok().then(|| files.confirm(file));
    [Some(plain), confirmed].into_iter().flatten().filter_map(Result::err).map(|error| Obstacle::of(&error)).collect()
}
