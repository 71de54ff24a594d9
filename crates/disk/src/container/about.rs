//! The description of an opened image, for users and for programs.

use hivewright_error::Code;
use std::path::{Path, PathBuf};

use hivewright_storage::exact::field;

/// The description of an opened image.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// Its name in [`FORMATS`](super::formats::FORMATS).
    pub format: &'static str,
    /// The variant of the format, such as `dynamic`.
    pub variant: String,
    /// The file of the image.
    #[serde(flatten, serialize_with = "field::file")]
    pub file: PathBuf,
    /// Size of the guest's disk, in bytes.
    pub size: u64,
    /// Further facts by name: stored hashes, the number of snapshots, identifiers.
    #[serde(serialize_with = "as_map")]
    pub facts: Vec<(&'static str, String)>,
    /// The reason why it cannot be written in place, if there is one.
    pub refusal: Option<Refusal>,
    /// Defects that did not prevent reading, each with a stable code.
    #[serde(serialize_with = "as_map")]
    pub remarks: Vec<(Code, String)>,
    /// The image below this one: a backing file, a parent, or an image in an archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<Box<About>>,
}

/// Codes of remarks that may explain why no file system, or a damaged one, is found on the disk.
const DOUBTS: [Code; 5] =
    [Code::LooksLike, Code::BackingShort, Code::Qcow2DataFileShort, Code::OvaDisks, Code::ParallelsSnapshots];
/// Codes of remarks that warn readers: the disk may be incomplete, or older than its last state in the guest.
const WARNINGS: [Code; 8] = [
    Code::LooksLike,
    Code::OvaDisks,
    Code::ParallelsInUse,
    Code::ParallelsSnapshots,
    Code::Qcow2Corrupt,
    Code::Qcow2Dirty,
    Code::QedNeedCheck,
    Code::VhdxLogWaits,
];

impl About {
    /// Returns whether the top image has a log that was replayed in memory, and that the next write replays in the
    /// file.
    pub fn log_waits(&self) -> bool {
        self.remarks.iter().any(|(code, _)| *code == Code::VhdxLogWaits)
    }

    /// Returns the warnings for readers of the disk, of all images in the chain.
    pub fn warnings(&self) -> Vec<(Code, String)> {
        let warning = |(code, file, what): (Code, &Path, &str)| (code, format!("{}: {what}", file.display()));
        self.remarked(&WARNINGS).map(warning).collect()
    }

    /// Returns the remarks that may explain a disk without partitions, or a damaged one, of all images in the chain.
    pub fn doubts(&self) -> Vec<&str> {
        self.remarked(&DOUBTS).map(|(.., what)| what).collect()
    }

    /// Returns the remarks of these codes, each with its file.
    fn remarked<'a>(&'a self, codes: &'static [Code]) -> impl Iterator<Item = (Code, &'a Path, &'a str)> {
        let all =
            self.layers().flat_map(|about| about.remarks.iter().map(|(code, what)| (*code, &*about.file, &**what)));
        all.filter(|(code, ..)| codes.contains(code))
    }

    /// Returns the remarks of all images in the chain.
    pub fn all_remarks(&self) -> impl Iterator<Item = &(Code, String)> {
        self.layers().flat_map(|about| &about.remarks)
    }

    /// Returns the images in the chain, the top one first.
    pub fn layers(&self) -> impl Iterator<Item = &About> {
        std::iter::successors(Some(self), |about| about.below.as_deref())
    }
}

fn as_map<S: serde::Serializer>(
    pairs: &[(impl serde::Serialize, String)],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

/// The reason why an image is not written in place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// The reason, as a fragment of a sentence.
    pub what: String,
    /// The remedy.
    pub advice: String,
}
