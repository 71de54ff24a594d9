//! What stands in the way of a write in place, each with its own code.

use std::path::{Path, PathBuf};

use super::Disk;
use crate::container;
use crate::error::Error;
use crate::files::{FileInVolume, Files, Hibernation, VolumeState};
use crate::partition::TableSource;
use crate::storage::Storage;

/// A reason not to write.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Obstacle {
    /// Stable code.
    pub code: &'static str,
    /// One sentence fragment.
    pub what: String,
    /// What to do instead, where its finder knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// Obstacles that a user may take upon himself, and the option that does.
pub(super) const IGNORABLE: [(&str, &str); 3] = [
    ("volume-dirty", "--ignore-dirty-volume"),
    ("volume-journal", "--ignore-journal"),
    (HAS_CHILDREN, "--ignore-children"),
];
/// See [`of_children`].
pub(in crate::session) const HAS_CHILDREN: &str = "has-children";

impl Obstacle {
    pub(super) fn new(code: &'static str, what: impl Into<String>) -> Self {
        Obstacle { code, what: what.into(), advice: None }
    }

    /// As a refusal.
    pub(in crate::session) fn refuse(&self) -> Error {
        let option = IGNORABLE.iter().find(|(code, _)| *code == self.code);
        let generic = || match (self.code, option) {
            (_, Some((_, option))) => format!("let Windows (chkdsk) or ntfsfix settle it, or give {option}"),
            ("volume-hibernated" | "volume-fast-startup", _) => {
                "start that Windows and shut it down fully: shutdown /s /t 0".to_owned()
            }
            ("table-damaged", _) => {
                "have gdisk mend it in a copy of the image: it finds the backup, and `w` writes both again".to_owned()
            }
            ("partitions-overlap", _) => "mend the table in a copy of the image: gdisk or sfdisk".to_owned(),
            ("device-read-only", _) => "see that nothing of it is mounted, and give --device".to_owned(),
            _ => "mount the volume and edit the hive there, or repair it first".to_owned(),
        };
        Error::refused(self.code, self.what.clone()).advise(self.advice.clone().unwrap_or_else(generic))
    }
}

/// What a disk as a whole has against writes.
pub(super) fn of_disk(disk: &Disk) -> Vec<Obstacle> {
    let table = &disk.table;
    let overlap = table.warnings.iter().any(|warning| warning.code == "partitions-overlap");
    let backup = matches!(table.source, TableSource::Backup { .. });
    let all = [
        (
            disk.is_device && !disk.options.device,
            "device-read-only",
            "a block device is only written to when asked for",
        ),
        (backup, "table-damaged", "the primary partition table is damaged: only its backup says where volumes are"),
        (overlap, "partitions-overlap", "partitions overlap: a write to one may hit another"),
    ];
    let own = all.into_iter().filter(|(is, ..)| *is).map(|(_, code, what)| Obstacle::new(code, what));
    let of_image = disk
        .about
        .refusal
        .iter()
        .map(|r| Obstacle { advice: Some(r.advice.clone()), ..Obstacle::new(r.code, &r.what) });
    of_image.chain(own).collect()
}

/// What images that stand on the one of these files have against writes to it: their bytes are changes to what it was.
pub(in crate::session) fn of_children(files: &[PathBuf]) -> Option<Obstacle> {
    const SHOWN: usize = 5;
    let children = container::children(files);
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut names = children.iter().take(SHOWN).map(|path| name(path)).collect::<Vec<_>>().join(", ");
    if children.len() > SHOWN {
        names += &format!(" and {} more", children.len() - SHOWN);
    }
    let stand = match children.len() {
        0 => return None,
        1 => "stands",
        _ => "stand",
    };
    let image = files.first().map(|path| name(path)).unwrap_or_default();
    let what = format!("{names} {stand} on {image}, and would be damaged when that changes below");
    let copy = match files.len() {
        1 => "a copy (--output)",
        _ => "a copy of all its files in another folder (cp --reflink=auto)",
    };
    let advice = format!(
        "edit the image at the top of the chain instead, or {copy}; --ignore-children where {names} may be lost"
    );
    Some(Obstacle { advice: Some(advice), ..Obstacle::new(HAS_CHILDREN, what) })
}

/// What a virtual machine that has that file of the image open for writing has against others.
pub(super) fn of_machine(file: &Path) -> Obstacle {
    let what = format!("{} is open for writing elsewhere: what is read of it may be half written", file.display());
    Obstacle { advice: Some("shut the virtual machine down first".to_owned()), ..Obstacle::new("in-use", what) }
}

/// What the state of a volume has against writes. Each of it also means that what is read may not be the newest.
pub(super) fn of_volume(state: &VolumeState) -> Vec<Obstacle> {
    let all = [
        (
            state.hibernation.is_saved(),
            "volume-hibernated",
            "the volume belongs to a hibernated session, which still holds the old hive and would bring it back",
        ),
        (
            state.journal.may_be_cached(),
            "volume-fast-startup",
            "the volume was not fully shut down (Fast Startup, hibernation or a crash): Windows may keep newer metadata",
        ),
        (state.dirty, "volume-dirty", "the volume is marked dirty: it asks to be checked before it is used"),
        (
            state.journal.is_unclean(),
            "volume-journal",
            "the volume's journal has work to redo: its metadata is not what it is going to be",
        ),
    ];
    let short = match state.hibernation {
        Hibernation::Short(len) => Some(format!(
            "hiberfil.sys has {len} bytes, too few to rule out that a session is saved (elsewhere, maybe), \
             which would bring the old hive back"
        )),
        _ => None,
    };
    let words = |code, what: &str| match &short {
        Some(short) if code == "volume-hibernated" => short.clone(),
        _ => what.to_owned(),
    };
    let own = all.into_iter().filter(|(is, ..)| *is).map(|(_, code, what)| Obstacle::new(code, words(code, what)));
    own.chain(state.remarks.iter().map(|r| Obstacle::new(r.code, &r.what))).collect()
}

/// What a file has against being written in place.
pub(super) fn of_file(files: &dyn Files, file: &FileInVolume) -> Vec<Obstacle> {
    let len = file.len().unwrap_or(0);
    let plain = file.writable(0, len);
    // Only what lies in clusters can be looked up in the map of clusters.
    let confirmed = plain.is_ok().then(|| files.confirm(file));
    [Some(plain), confirmed]
        .into_iter()
        .flatten()
        .filter_map(Result::err)
        .map(|error| Obstacle {
            advice: error.advice().map(str::to_owned),
            ..Obstacle::new(error.code(), error.what())
        })
        .collect()
}
