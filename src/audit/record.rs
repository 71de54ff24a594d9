//! The record of one Windows installation: one line, flat, stable.
//!
//! Fields are only added. An unknown fact is `null`; an empty list is `[]`. Times are RFC 3339 in UTC. A record owns
//! its data, so it can be read back ([`Record::read`]) and judged again.

mod parts;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

#[cfg(feature = "cli")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use hivewright_storage::exact;

pub use parts::{
    Blocker, Change, CheckResult, CheckStatus, ControlSet, Drift, DriftState, Failure, Finding, RelatedValue, Replay,
    Status, Verdict, Violation,
};

/// Version number of the record's form. It changes when a field changes its meaning, not when one is added.
pub const FORM: u32 = 2;

/// One Windows installation, or a target that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(JsonSchema))]
#[serde(default)]
pub struct Record {
    /// Version number of the record's form.
    #[cfg_attr(feature = "cli", schemars(extend("const" = FORM)))]
    pub form: u32,
    /// The program and its version, such as `hivewright 0.2.0`.
    pub tool: String,

    /// The target's name: the user's text, followed by the path below it if the target was discovered. For a Windows
    /// folder, that folder; for an image of several files, the first of them.
    pub target: String,
    /// The bytes of that name in hexadecimal (on Windows its UTF-16LE), if it is not UTF-8 and `target` is therefore
    /// only an approximation. The fields `windows_root_hex`, `hive_hex` and `files_hex` do the same for other paths of
    /// the host.
    pub target_hex: Option<String>,
    /// Number of this installation in the target, from 1; 0 if the target has none.
    pub installation: u32,
    /// Number of records of the target that have an installation.
    pub installations: u32,
    /// Number of this record among those of the target, from 1; an unreadable volume has a record too.
    pub part: u32,
    /// Number of records of the target.
    pub parts: u32,

    /// Whether the target could be read.
    pub status: Status,
    /// Whether it is as expected; `null` without an expectation.
    pub compliant: Option<bool>,
    /// Deviations from the expectations.
    pub violations: Vec<Violation>,
    /// Result of each check of the policies, in their order.
    pub checks: Vec<CheckResult>,
    /// Hash of the policies with these checks (sixteen hexadecimal digits); another hash means other policies.
    pub checks_stamp: Option<String>,
    /// Number of further deviations; a check lists at most a hundred in `violations`.
    pub violations_left_out: u64,
    /// Changes since the baseline; `null` without a baseline.
    pub drift: Option<Drift>,
    /// Error that prevented the reading.
    pub error: Option<Failure>,

    /// Time at which the reading began; `null` if records are sorted, so that the same input has the same output.
    pub audited_at: Option<String>,
    /// Seconds that the target took, all of its installations together; `null` if records are sorted.
    pub seconds: Option<f64>,
    /// Bytes read from its files, all of its installations together.
    pub bytes_read: u64,

    /// Size in bytes of the target's files; of a Windows folder, that of its hive.
    pub size: Option<u64>,
    /// Latest time of modification of these files, with nanoseconds.
    pub modified: Option<String>,
    /// Files of the host on which the record depends, except the target itself: further segments, extents and backing
    /// files, transaction logs and the hive SOFTWARE (also if these do not exist). For a Windows folder, its hive comes
    /// first.
    pub files: Vec<String>,
    /// As `target_hex`, for each of `files`: `null` for those that are UTF-8. Empty if all of them are.
    pub files_hex: Vec<Option<String>>,
    /// Hash of names, sizes and times of the target and these files (sixteen hexadecimal digits); another hash means a
    /// change. `null` for a block device, which has none of these.
    pub stamp: Option<String>,

    /// Kind of the target: `hive`, `folder`, `device`, `raw`, `split`, or the name of a container format.
    pub container: Option<String>,
    /// Irregularities of the image, or of its backing files, that do not prevent the reading: further disks that were
    /// not read (`ova-disks`), or a state before a snapshot (`parallels-snapshots`).
    pub image_remarks: Vec<Blocker>,
    /// Images that have this one as their backing file or parent, as files: those of the target's folder and of its
    /// subfolder `Snapshots`. Each has records if it is a target.
    pub dependents: Vec<String>,
    /// As `files_hex`, for each of `dependents`.
    pub dependents_hex: Vec<Option<String>>,
    /// Partitioning scheme of the disk: `gpt`, `mbr`, `none`.
    pub partition_scheme: Option<String>,
    /// Number of the partition, as Linux counts them; 0 is the whole disk. For a WIM archive, the number of the image.
    pub partition: Option<u32>,
    /// Type of the partition in words.
    pub partition_type: Option<String>,
    /// Name of the partition (GPT), or of the image in a WIM archive.
    pub partition_name: Option<String>,
    /// `NTFS`, `FAT32`, ...
    pub file_system: Option<String>,
    /// Label of the volume.
    pub volume_label: Option<String>,
    /// The Windows folder: a path from the root of its volume, or a folder of the host.
    pub windows_root: Option<String>,
    /// As `target_hex`, for a Windows folder of the host.
    pub windows_root_hex: Option<String>,
    /// The SYSTEM hive: a path from the root of its volume, or a file of the host.
    pub hive: Option<String>,
    /// As `target_hex`, for a hive that is a file of the host.
    pub hive_hex: Option<String>,
    /// SHA-256 of the hive's primary file, in lower-case hexadecimal, if requested.
    pub hive_sha256: Option<String>,
    /// Size in bytes of the hive's primary file.
    pub hive_size: Option<u64>,

    /// `ProductName`, corrected for Windows 11. This and the next seven are from the primary file of the hive SOFTWARE.
    pub product: Option<String>,
    /// Major and minor version: `10.0`.
    pub version: Option<String>,
    /// Build number.
    pub build: Option<u32>,
    /// `UBR`, the number after the build.
    pub revision: Option<u32>,
    /// `22H2`, `1909`.
    pub release: Option<String>,
    /// `EditionID`: `Professional`.
    pub edition: Option<String>,
    /// Service pack, in words.
    pub service_pack: Option<String>,
    /// `Client`, `Server`, `Server Core`.
    pub installation_type: Option<String>,
    /// Error that prevented the reading of an existing SOFTWARE.
    pub software_error: Option<Failure>,

    /// The narrowest product family that SYSTEM allows. This and the next four are from the hive SYSTEM.
    pub family: Option<String>,
    /// Service that determines the place of the setting: `PolicyAgent`, `IPSec`, `Windows2000`, `Unknown`,
    /// `Contradictory`.
    pub decision: Option<String>,
    /// `client`, `server`, `domain_controller`.
    pub product_type: Option<String>,
    /// `x86`, `AMD64`, `ARM64`.
    pub architecture: Option<String>,
    /// Name of the computer.
    pub host_name: Option<String>,
    /// Whether SYSTEM and SOFTWARE indicate the same era of Windows; `null` if one of them indicates none.
    pub hives_agree: Option<bool>,

    /// `clean`; `recovered`: dirty, and read with its logs replayed; `primary-alone`: dirty, and no log could be
    /// applied.
    pub hive_state: Option<String>,
    /// Primary and secondary sequence number of the primary file.
    pub sequence_numbers: Option<[u32; 2]>,
    /// Result of the replay of the logs, or the reason why there was none.
    pub replay: Option<Replay>,
    /// Whether an independent parser has read the same.
    pub confirmed: Option<bool>,

    /// All control sets, by number, each with the setting in it.
    pub control_sets: Vec<ControlSet>,
    /// Setting of the captured boot.
    pub at_capture: Option<Verdict>,
    /// Setting of the next boot.
    pub at_next_boot: Option<Verdict>,
    /// Findings: values without their intended effect, and unreadable keys or values.
    pub findings: Vec<Finding>,
    /// Related values in the control sets of the two verdicts.
    pub related: Vec<RelatedValue>,

    /// Whether a saved session will overwrite this hive with its own; `null` without a volume, or if that cannot be
    /// ruled out (see `obstacles`).
    pub hibernated: Option<bool>,
    /// Obstacles to a write to the hive.
    pub obstacles: Vec<Blocker>,
    /// Number of shadow copies of the volume, or of all volumes of a disk without Windows; `null` without a volume, or
    /// if unknown.
    pub shadow_copies: Option<u32>,
}

impl Record {
    /// Creates a record of this form and program that contains only the target's name.
    pub fn new(target: impl Into<OsString>) -> Self {
        let tool = concat!("hivewright ", env!("CARGO_PKG_VERSION")).to_owned();
        let target = target.into();
        let (text, target_hex) = (target.to_string_lossy().into_owned(), exact::hex(&target));
        Record { form: FORM, tool, target: text, target_hex, ..Self::default() }
    }

    /// Returns the target's complete name; `None` if its hexadecimal form is invalid.
    pub fn target_path(&self) -> Option<PathBuf> {
        exact::path(&self.target, self.target_hex.as_deref())
    }

    /// Returns the files on which the record depends, in the order of [`Record::files`]. `None` as there.
    pub fn file_paths(&self) -> Option<Vec<PathBuf>> {
        paths(&self.files, &self.files_hex)
    }

    /// Returns the dependent images, as [`Record::file_paths`].
    pub fn dependent_paths(&self) -> Option<Vec<PathBuf>> {
        paths(&self.dependents, &self.dependents_hex)
    }

    /// Sets the files on which the record depends.
    pub(super) fn set_files<'a>(&mut self, files: impl Iterator<Item = &'a Path> + Clone) {
        (self.files, self.files_hex) = texts(files);
    }

    /// Sets the dependent images.
    pub(super) fn set_dependents<'a>(&mut self, images: impl Iterator<Item = &'a Path> + Clone) {
        (self.dependents, self.dependents_hex) = texts(images);
    }

    /// Returns one line of JSON with its line feed. JSON has no raw line feeds, so a line is a record.
    pub fn line(&self) -> Vec<u8> {
        // A record contains only numbers, strings and lists, whose serialization cannot fail.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    /// Reads a line; `None` for a torn line or another form.
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().filter(|record: &Record| record.form == FORM)
    }
}

/// Returns paths as text, and in hexadecimal if the text of any is only an approximation.
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
    fn a_record_is_read_back_unchanged() {
        let mut record = Record::new("a\nb\u{2028}\"");
        record.status = Status::Error;
        record.error =
            Some(Failure { kind: "io".into(), code: Code::Io.to_string(), message: "x\r\ny".into(), advice: None });
        record.control_sets.push(ControlSet { number: 1, value: Some(2), ..ControlSet::default() });
        record.seconds = Some(0.25);
        let line = record.line();
        assert_eq!(line.iter().filter(|&&b| b == b'\n').count(), 1);
        assert_eq!(Record::read(&line), Some(record));
        for end in 0..line.len() - 1 {
            assert_eq!(Record::read(&line[..end]), None, "{end}");
        }
        assert_eq!(Record::read(br#"{"form":1}"#), None);
        assert_eq!(Record::read(br#"{"form":2,"from_the_future":[]}"#).unwrap().form, 2);
    }
}
