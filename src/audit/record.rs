//! What an audit says of one Windows installation: one line, flat, stable.
//!
//! Fields are only ever added. A field that is not known is `null`, a list that has nothing is empty. Times are RFC
//! 3339 in UTC. Nothing here borrows, so that a record can be read back ([`Record::read`]) and judged again.

mod parts;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

#[cfg(feature = "cli")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hivewright_storage::exact;

pub use parts::{Blocker, ControlSet, Failure, Mistake, Neighbour, Replay, Status, Verdict, Violation};

/// The number of this form of a record. It grows when a field changes its meaning, not when one is added.
pub const FORM: u32 = 1;

/// One Windows installation, or a target that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(default)]
pub struct Record {
    /// The number of this form.
    #[cfg_attr(feature = "cli", schemars(extend("const" = FORM)))]
    pub form: u32,
    /// The program and its version: `hivewright 0.1.0`.
    pub tool: String,

    /// The target's name: as the user gave it, or that with the way below it appended. For a Windows folder, that folder;
    /// for an image in several files, the first of them.
    pub target: String,
    /// The bytes of that name in hexadecimal (on Windows its UTF-16, the lower byte first), where it is not UTF-8 and `target`
    /// therefore only resembles it. The same of other paths of the host is in the fields `windows_root_hex`, `hive_hex` and
    /// `files_hex`.
    pub target_hex: Option<String>,
    /// The number of this installation among those of the target, from 1; 0 where the target has none.
    pub installation: u32,
    /// How many records the target has with an installation in them.
    pub installations: u32,
    /// The number of this record among all those of the target, from 1: a volume that cannot be read has one too.
    pub part: u32,
    /// How many records the target has.
    pub parts: u32,

    /// Whether the target could be read.
    pub status: Status,
    /// Whether it is as expected; `null` where nothing was expected of it.
    pub compliant: Option<bool>,
    /// What is not as expected.
    pub violations: Vec<Violation>,
    /// Why it could not be read.
    pub error: Option<Failure>,

    /// When the reading began.
    pub audited_at: String,
    /// Seconds that the target took, all of its installations together.
    pub seconds: f64,
    /// Bytes read of its files for the answer, all of its installations together.
    pub bytes_read: u64,

    /// Bytes of the target's file or files; of a Windows folder, of its hive.
    pub size: Option<u64>,
    /// When these were last modified, the latest of them, with nanoseconds.
    pub modified: Option<String>,
    /// Files of the host that the answer rests on beside the target itself: further segments, extents and backing files,
    /// transaction logs and the hive SOFTWARE (also where these could be and are not). Of a Windows folder, its hive comes first.
    pub files: Vec<String>,
    /// As `target_hex`, of each of `files`, `null` for those that are UTF-8. Empty where all of them are.
    pub files_hex: Vec<Option<String>>,
    /// Sixteen hexadecimal digits made of names, sizes and times of the target and these files: another one means that
    /// something has changed. `null` for a block device, which does not say.
    pub stamp: Option<String>,

    /// What the target is: `hive`, `folder`, `device`, `raw`, `split`, or the name of a container format.
    pub container: Option<String>,
    /// What is out of order in the image, or in one below it, and did not keep it from being read: that it has further disks
    /// at which nobody looked (`ova-disks`), or is the state before a snapshot (`parallels-snapshots`).
    pub image_remarks: Vec<Blocker>,
    /// Images that stand on this one directly (it is their backing file or parent), as files: those of the target's folder,
    /// and of the folder `Snapshots` below it. Each has records of its own where it is a target.
    pub dependents: Vec<String>,
    /// As `files_hex`, of each of `dependents`.
    pub dependents_hex: Vec<Option<String>>,
    /// What divides the disk: `gpt`, `mbr`, `none`.
    pub partition_scheme: Option<String>,
    /// Number of the partition, as Linux counts them; 0 is the whole disk.
    pub partition: Option<u32>,
    /// The partition's type in words.
    pub partition_type: Option<String>,
    /// The partition's name (GPT).
    pub partition_name: Option<String>,
    /// `NTFS`, `FAT32`, ...
    pub file_system: Option<String>,
    /// The volume's label.
    pub volume_label: Option<String>,
    /// The Windows folder: from the root of its volume, or as a folder of the host.
    pub windows_root: Option<String>,
    /// As `target_hex`, of a Windows folder of the host.
    pub windows_root_hex: Option<String>,
    /// The SYSTEM hive: from the root of its volume, or as a file of the host.
    pub hive: Option<String>,
    /// As `target_hex`, of a hive that is a file of the host.
    pub hive_hex: Option<String>,
    /// SHA-256 of the hive's primary file, in lower-case hexadecimal, where that was asked for.
    pub hive_sha256: Option<String>,
    /// Bytes of the hive's primary file.
    pub hive_size: Option<u64>,

    /// `ProductName`, corrected for Windows 11. This and the next seven are from the hive SOFTWARE, its primary file.
    pub product: Option<String>,
    /// Major and minor version: `10.0`.
    pub version: Option<String>,
    /// Number of the build.
    pub build: Option<u32>,
    /// `UBR`, the number behind the build.
    pub revision: Option<u32>,
    /// `22H2`, `1909`.
    pub release: Option<String>,
    /// `EditionID`: `Professional`.
    pub edition: Option<String>,
    /// The service pack, in words.
    pub service_pack: Option<String>,
    /// `Client`, `Server`, `Server Core`.
    pub installation_type: Option<String>,
    /// Why SOFTWARE told nothing, where it is there.
    pub software_error: Option<Failure>,

    /// The narrowest product family that the hive SYSTEM supports. This and the next four are from SYSTEM.
    pub family: Option<String>,
    /// What decides where the setting is read: `PolicyAgent`, `IPSec`, `Windows2000`, `Unknown`, `Contradictory`.
    pub decision: Option<String>,
    /// `client`, `server`, `domain_controller`.
    pub product_type: Option<String>,
    /// `x86`, `AMD64`, `ARM64`.
    pub architecture: Option<String>,
    /// The computer's name.
    pub host_name: Option<String>,
    /// Whether SYSTEM and SOFTWARE speak of the same era; `null` if one of them is silent.
    pub hives_agree: Option<bool>,

    /// `clean`; `recovered`: dirty, and its logs were replayed for the answer; `primary-alone`: dirty, and no log could be
    /// applied.
    pub hive_state: Option<String>,
    /// Primary and secondary sequence number of the primary file.
    pub sequence_numbers: Option<[u32; 2]>,
    /// What the replay of the logs did, or why there was none.
    pub replay: Option<Replay>,
    /// Whether an independent parser has read the same.
    pub confirmed: Option<bool>,

    /// All control sets, by number, each with the setting in it.
    pub control_sets: Vec<ControlSet>,
    /// What the captured boot went by.
    pub at_capture: Option<Verdict>,
    /// What the next boot goes by.
    pub at_next_boot: Option<Verdict>,
    /// What does not do what its author meant, and what could not be read.
    pub mistakes: Vec<Mistake>,
    /// Settings next door, in the control sets of the two verdicts.
    pub neighbours: Vec<Neighbour>,

    /// Whether a saved session will write its own hive over this one; `null` where there is no volume to ask, or that cannot be
    /// ruled out: see `write_blockers`.
    pub hibernated: Option<bool>,
    /// What stands against writing to the hive.
    pub write_blockers: Vec<Blocker>,
    /// How many shadow copies the volume has, or all volumes of a disk without Windows; `null` where there is no volume to ask, or that cannot be told.
    pub shadow_copies: Option<u32>,
}

impl Record {
    /// A record of this form and program that says nothing yet.
    pub fn new(target: impl Into<OsString>) -> Self {
        let tool = concat!("hivewright ", env!("CARGO_PKG_VERSION")).to_owned();
        let target = target.into();
        let (text, target_hex) = (target.to_string_lossy().into_owned(), exact::hex(&target));
        Record { form: FORM, tool, target: text, target_hex, ..Self::default() }
    }

    /// The target's name, whole. `None` where its bytes are no bytes.
    pub fn target_path(&self) -> Option<PathBuf> {
        exact::path(&self.target, self.target_hex.as_deref())
    }

    /// The files that the answer rests on, in the order of [`Record::files`]. `None` as there.
    pub fn file_paths(&self) -> Option<Vec<PathBuf>> {
        paths(&self.files, &self.files_hex)
    }

    /// The images that stand on it, as [`Record::file_paths`].
    pub fn dependent_paths(&self) -> Option<Vec<PathBuf>> {
        paths(&self.dependents, &self.dependents_hex)
    }

    /// Puts these down as the files that the answer rests on.
    pub(super) fn rests_on<'a>(&mut self, files: impl Iterator<Item = &'a Path> + Clone) {
        (self.files, self.files_hex) = texts(files);
    }

    /// Puts these down as the images that stand on it.
    pub(super) fn bears<'a>(&mut self, images: impl Iterator<Item = &'a Path> + Clone) {
        (self.dependents, self.dependents_hex) = texts(images);
    }

    /// As one line of JSON, with its line feed. JSON has no raw line feeds, so a line is a record.
    pub fn line(&self) -> Vec<u8> {
        // A record is numbers, texts and lists: none of the reasons for which this can fail.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// Reads a line back. `None` for one that is torn, or of another form.
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().filter(|record: &Record| record.form == FORM)
    }
}

/// Paths as text, and in hexadecimal where the text of any only resembles it.
fn texts<'a>(paths: impl Iterator<Item = &'a Path> + Clone) -> (Vec<String>, Vec<Option<String>>) {
    let texts = paths.clone().map(|path| path.to_string_lossy().into_owned()).collect();
    let hexes: Vec<_> = paths.map(exact::hex).collect();
    (texts, if hexes.iter().all(Option::is_none) { Vec::new() } else { hexes })
}

fn paths(texts: &[String], hexes: &[Option<String>]) -> Option<Vec<PathBuf>> {
    let hexes = hexes.iter().map(Option::as_deref).chain(std::iter::repeat(None));
    texts.iter().zip(hexes).map(|(text, hex)| exact::path(text, hex)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_error::Code;

    #[test]
    fn comes_back_as_it_went() {
        let mut record = Record::new("a\nb\u{2028}\"");
        record.status = Status::Error;
        record.error =
            Some(Failure { kind: "io".into(), code: Code::Io.to_string(), message: "x\r\ny".into(), advice: None });
        record.control_sets.push(ControlSet { number: 1, value: Some(2), ..ControlSet::default() });
        record.seconds = 0.25;
        let line = record.line();
        assert_eq!(line.iter().filter(|&&b| b == b'\n').count(), 1);
        assert_eq!(Record::read(&line), Some(record));
        for end in 0..line.len() - 1 {
            assert_eq!(Record::read(&line[..end]), None, "{end}");
        }
        assert_eq!(Record::read(br#"{"form":2}"#), None);
        assert_eq!(Record::read(br#"{"form":1,"from_the_future":[]}"#).unwrap().form, 1);
    }
}
