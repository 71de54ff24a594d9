//! The waist: every change of a hive is a set of patches.

/// When a patch is written, relative to others. Each step is durable before the next begins, and the hive is sound
/// after each: an interruption leaves the old state, or the new one, or the old one with cells that nothing uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// Bytes that nothing refers to yet: the inside of free cells, new bins.
    Prepare,
    /// The headers of cells taken out of free space.
    Allocate,
    /// The base block: sequence numbers and the length that makes new bins part of the hive.
    Base,
    /// Pointers, counts and data in place: the moment of change.
    Link,
    /// What has to follow a pointer, such as a count.
    Settle,
    /// The headers of cells given back.
    Release,
}

/// A run of bytes to replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// Where, in the hive file.
    pub offset: u64,
    /// What is there now; shorter than `new` only where the file ends.
    pub old: Vec<u8>,
    /// What shall be there.
    pub new: Vec<u8>,
    /// What it is, for people.
    pub what: String,
    /// When it is written.
    pub step: Step,
}

/// All patches of one change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchSet {
    /// Bytes of the file before.
    pub old_len: u64,
    /// Bytes of the file after; never less.
    pub new_len: u64,
    /// In the order in which they are to be written; they do not overlap.
    pub patches: Vec<Patch>,
}

impl PatchSet {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty() && self.old_len == self.new_len
    }

    /// Number of bytes that differ.
    pub fn changed_bytes(&self) -> u64 {
        let differ = |p: &Patch| p.new.iter().enumerate().filter(|&(i, new)| p.old.get(i) != Some(new)).count() as u64;
        self.patches.iter().map(differ).sum()
    }
}
