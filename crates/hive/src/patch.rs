//! Patches. Every change of a hive is a set of patches.

use std::borrow::Cow;

use hivewright_error::{Code, Error, Kind, Result};

/// The order in which patches are written. Each step is durable before the next begins, and the hive is consistent
/// after each: an interruption leaves the old state, the new one, or the old one with unused cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Step {
    /// Writes unreferenced bytes: the contents of free cells, new bins.
    Prepare,
    /// Writes the headers of newly allocated cells.
    Allocate,
    /// Writes the base block: sequence numbers and the length that makes new bins part of the hive.
    Base,
    /// Writes pointers, counts and data in place: the change takes effect.
    Link,
    /// Writes fields that must follow a pointer, such as a count.
    // The name in undo files, which other versions read.
    #[cfg_attr(feature = "serde", serde(rename = "settle"))]
    Finish,
    /// Writes the headers of freed cells.
    Release,
}

/// A run of bytes to replace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The offset in the hive file.
    pub offset: u64,
    /// The bytes before; shorter than `new` only where the file ends.
    pub old: Vec<u8>,
    /// The bytes after.
    pub new: Vec<u8>,
    /// A description, for users.
    pub what: Cow<'static, str>,
    /// The step in which it is written.
    pub step: Step,
}

/// All patches of one change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatchSet {
    /// The length of the file before, in bytes.
    pub old_len: u64,
    /// The length of the file after, which is never less. New bytes outside the patches are zero.
    pub new_len: u64,
    /// The patches in the order of writing; they do not overlap.
    pub patches: Vec<Patch>,
}

impl PatchSet {
    /// Returns whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty() && self.old_len == self.new_len
    }

    /// Returns the number of bytes that differ.
    pub fn changed_bytes(&self) -> u64 {
        let differ = |p: &Patch| p.new.iter().enumerate().filter(|&(i, new)| p.old.get(i) != Some(new)).count() as u64;
        self.patches.iter().map(differ).sum()
    }

    /// Applies the change to `image`, the bytes before it.
    ///
    /// # Errors
    /// `patch-set` if the patches do not match the bytes.
    pub fn apply(&self, image: &mut Vec<u8>) -> Result<()> {
        if image.len() as u64 != self.old_len {
            return Err(mismatch());
        }
        image.resize(usize::try_from(self.new_len).map_err(|_| mismatch())?, 0);
        self.each(image, |patch, place| {
            if !place.starts_with(&patch.old) {
                return Err(mismatch());
            }
            place.copy_from_slice(&patch.new);
            Ok(())
        })
    }

    /// Reverts the change in `image`, the bytes after it.
    ///
    /// # Errors
    /// As [`PatchSet::apply`].
    pub fn revert(&self, image: &mut Vec<u8>) -> Result<()> {
        if image.len() as u64 != self.new_len {
            return Err(mismatch());
        }
        self.each(image, |patch, place| {
            if place != patch.new {
                return Err(mismatch());
            }
            place[..patch.old.len()].copy_from_slice(&patch.old);
            Ok(())
        })?;
        image.truncate(usize::try_from(self.old_len).map_err(|_| mismatch())?);
        Ok(())
    }

    fn each(&self, image: &mut [u8], visit: impl Fn(&Patch, &mut [u8]) -> Result<()>) -> Result<()> {
        for patch in &self.patches {
            let start = usize::try_from(patch.offset).map_err(|_| mismatch())?;
            let place = image.get_mut(start..).and_then(|rest| rest.get_mut(..patch.new.len()));
            visit(patch, place.ok_or_else(mismatch)?)?;
        }
        Ok(())
    }
}

fn mismatch() -> Error {
    Error::new(Kind::Corrupt, Code::PatchSet, "the patches do not match the bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_apply_and_revert_only_on_matching_bytes() {
        let patch = |offset, old: &[u8], new: &[u8]| Patch {
            offset,
            old: old.to_vec(),
            new: new.to_vec(),
            what: "x".into(),
            step: Step::Link,
        };
        let set = PatchSet { old_len: 4, new_len: 6, patches: vec![patch(1, b"b", b"B"), patch(4, b"", b"ef")] };
        let mut image = b"abcd".to_vec();
        set.apply(&mut image).unwrap();
        assert_eq!(image, b"aBcdef");
        assert_eq!(set.changed_bytes(), 3);
        assert_eq!(set.apply(&mut image.clone()).unwrap_err().code(), "patch-set");
        set.revert(&mut image).unwrap();
        assert_eq!(image, b"abcd");
        assert_eq!(set.apply(&mut b"aXcd".to_vec()).unwrap_err().code(), "patch-set");
        assert_eq!(set.revert(&mut image).unwrap_err().code(), "patch-set");
    }
}
