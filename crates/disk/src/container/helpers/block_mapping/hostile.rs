//! Shared code of the tests of damaged images.

use std::path::Path;
use std::sync::Arc;

use crate::container::{Format, Image, Opening, PathPolicy};
use hivewright_error::{Kind, Result};
use hivewright_storage::memory::Memory;
use hivewright_storage::recorder::Recorder;

/// Opens an image of one file in that format. Writes are recorded.
pub(in crate::container) fn open(format: &Format, bytes: Vec<u8>) -> Result<(Image, Arc<Recorder>)> {
    let file = Arc::new(Recorder::new(Arc::new(Memory::new(bytes)))?);
    let (policy, path) = (PathPolicy::shut(), format!("/nowhere/x.{}", format.name));
    let image = (format.open)(Opening::of(&policy, file.clone(), Path::new(&path)))?;
    Ok((image, file))
}

/// Opens, reads and writes `new`. The result must be data or an error of the format.
pub(in crate::container) fn judge(format: &Format, bytes: Vec<u8>, new: &[u8]) -> Option<Vec<u8>> {
    let (image, _) = open(format, bytes).map_err(|error| assert_ne!(error.kind(), Kind::Io, "{error}")).ok()?;
    let mut whole = vec![0; image.disk.len().unwrap().min(1 << 16) as usize];
    for (i, piece) in whole.chunks_mut(1000).enumerate() {
        image.disk.locate(i as u64 * 1000);
        image.disk.read_at(i as u64 * 1000, piece).ok()?;
    }
    for at in (0..whole.len() as u64 + 1 - new.len() as u64).step_by(3001) {
        let _ = image.disk.write_at(at, new);
    }
    Some(whole)
}

/// Counts of the results of damaged images.
#[derive(Default)]
pub(in crate::container) struct Tally {
    same: u32,
    other: u32,
    errors: u32,
}

impl Tally {
    /// Counts the result of an image whose undamaged disk is `disk`.
    pub(in crate::container) fn count(&mut self, read: Option<Vec<u8>>, disk: &[u8]) {
        match read {
            Some(read) if read == disk => self.same += 1,
            Some(_) => self.other += 1,
            None => self.errors += 1,
        }
    }

    /// Asserts that all three results occurred, and that more images than the given number were read unchanged.
    pub(in crate::container) fn is_above(&self, same: u32, errors: u32) {
        let Tally { same: was, other, errors: were } = *self;
        println!("{was} read as before, {other} otherwise, {were} not");
        assert!(was > same && other > 0 && were > errors);
    }
}
