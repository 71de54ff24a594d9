//! The description of an opened image, for people and for programs.

use std::path::{Path, PathBuf};

use super::formats::vhdx;
use hivewright_storage::exact::field;

/// What is known of an opened image, for people and for programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct About {
    /// [`Format::name`].
    pub format: &'static str,
    /// Which kind of it, such as `dynamic`.
    pub variant: String,
    /// Its file.
    #[serde(flatten, serialize_with = "field::file")]
    pub file: PathBuf,
    /// Bytes of the disk that the guest sees.
    pub size: u64,
    /// Whatever else is worth to be known, by name; stored hashes, number of snapshots, identifiers.
    #[serde(serialize_with = "as_map")]
    pub facts: Vec<(&'static str, String)>,
    /// Why nothing in it can be written in place, if so.
    pub refusal: Option<Refusal>,
    /// What is out of order and did not keep it from being read, by a stable code.
    #[serde(serialize_with = "as_map")]
    pub remarks: Vec<(&'static str, String)>,
    /// The image that this one stands on: a backing file, a parent, what is inside of an archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<Box<About>>,
}

/// Codes of remarks that may be the reason why nothing, or something damaged, is found on the disk.
const DOUBTS: [&str; 5] = ["looks-like", "backing-short", "qcow2-data-file-short", "ova-disks", "parallels-snapshots"];
/// Codes of remarks that whoever reads the disk has to know: what he sees may not be all, or not what its user last saw.
const WARNINGS: [&str; 8] = [
    "looks-like",
    "ova-disks",
    "parallels-in-use",
    "parallels-snapshots",
    "qcow2-corrupt",
    "qcow2-dirty",
    "qed-need-check",
    vhdx::LOG_WAITS,
];

impl About {
    /// Whether the top image has a log that was read as if it were in its places, and that the next write brings there.
    pub fn log_waits(&self) -> bool {
        self.remarks.iter().any(|(code, _)| *code == vhdx::LOG_WAITS)
    }

    /// What the readers of the disk are to be warned of, of all images that it is made of.
    pub fn warnings(&self) -> Vec<String> {
        self.remarked(&WARNINGS).map(|(file, what)| format!("{}: {what}", file.display())).collect()
    }

    /// What speaks against the disk being what its maker meant, of all images that it is made of.
    pub fn doubts(&self) -> Vec<&str> {
        self.remarked(&DOUBTS).map(|(_, what)| what).collect()
    }

    /// The remarks of these codes, and about which file they are.
    fn remarked<'a>(&'a self, codes: &'static [&str]) -> impl Iterator<Item = (&'a Path, &'a str)> {
        let all =
            self.layers().flat_map(|about| about.remarks.iter().map(|(code, what)| (code, &*about.file, &**what)));
        all.filter(|(code, ..)| codes.contains(code)).map(|(_, file, what)| (file, what))
    }

    /// The remarks of all images that the disk is made of.
    pub fn all_remarks(&self) -> impl Iterator<Item = &(&'static str, String)> {
        self.layers().flat_map(|about| &about.remarks)
    }

    /// The images that the disk is made of, the top one first.
    pub fn layers(&self) -> impl Iterator<Item = &About> {
        std::iter::successors(Some(self), |about| about.below.as_deref())
    }
}

fn as_map<S: serde::Serializer>(
    pairs: &[(&'static str, String)],
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

/// Why an image is not written to in place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// Stable code.
    pub code: &'static str,
    /// One sentence fragment.
    pub what: String,
    /// What to do instead.
    pub advice: String,
}
