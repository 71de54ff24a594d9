//! The edit of a hive inside of a disk image: prepared from what the file system gives, written to the image's bytes.

use std::path::Path;

use super::{Prepared, Request, edit_source, settle, source};
use crate::error::{Error, Kind, Place, Result, Space};
use crate::hive::EditOptions;
use crate::session::commit::{Committed, EditOnDisk, Options, commit_on_disk};
use crate::session::disk::{Disk, HiveOnDisk};
use crate::session::target::Target;
use crate::storage::{RealHost, Storage};

/// Bytes of the smallest sector: clusters and what images are made of are multiples of it.
const SECTOR: u64 = 512;

/// Reads the SYSTEM hive of the disk `path` and edits it in memory.
///
/// # Errors
/// As [`super::prepare`], [`Disk::system_hive`] and [`HiveOnDisk::may_be_written`].
pub(super) fn prepare(path: &Path, request: &Request) -> Result<Prepared> {
    // What an interrupted write left is put right before anything of the disk is believed.
    let settled = settle(path, request.settle)?;
    let gone = || Error::refused("changed-since", format!("{} is no disk any more", path.display()));
    let hive = Disk::open_as(path, &request.choice.image)?.ok_or_else(gone)?.system_hive(&request.choice)?;
    hive.may_be_written(&request.ignore)?;
    let source = source::on_disk(path, &hive, request)?;
    let facts = hive.paged().file().facts();
    let max_file_len = request.options.max_file_len.min(facts.len).min(facts.valid_len);
    let inside = Request { options: EditOptions { max_file_len, ..request.options }, ..request.clone() };
    let target = Target { hive: path.to_owned(), windows: None };
    let prepared = edit_source(target, settled, source, &inside)?;
    // Room and places are known before anything is promised.
    hive.placement()?.place(&prepared.edited.patches, hive.disk().len())?;
    Ok(Prepared { on_disk: Some(hive), ..prepared })
}

impl Prepared {
    /// The hive inside of a disk, if it is.
    pub fn on_disk(&self) -> Option<&HiveOnDisk> {
        self.on_disk.as_ref()
    }

    /// Where a byte of the hive is, in every address space; in the hive alone where it is a file of its own.
    pub fn places(&self, offset: u64) -> Vec<Place> {
        let own = Place { space: Space::Hive, offset };
        let below = self.on_disk.as_ref().map(|hive| hive.paged().file().locate(offset)).unwrap_or_default();
        std::iter::once(own).chain(below).collect()
    }

    /// The same for `len` bytes from `offset` on: the pieces in which they lie, each by its length and the place of its
    /// first byte. What lies together in the hive need not do so below.
    pub fn pieces(&self, offset: u64, len: u64) -> Vec<(u64, Vec<Place>)> {
        let is_next = |(so_far, first): &(u64, Vec<Place>), next: &[Place]| {
            first.len() == next.len()
                && first.iter().zip(next).all(|(a, b)| a.space == b.space && a.offset + so_far == b.offset)
        };
        let mut pieces: Vec<(u64, Vec<Place>)> = Vec::new();
        let (mut at, end) = (offset, offset.saturating_add(len));
        while at < end {
            // No storey below parts what lies in one sector.
            let until = (at / SECTOR + 1).saturating_mul(SECTOR).min(end);
            let places = self.places(at);
            match pieces.last_mut().filter(|last| is_next(last, &places)) {
                Some(last) => last.0 += until - at,
                None => pieces.push((until - at, places)),
            }
            at = until;
        }
        pieces
    }

    pub(super) fn commit_on_disk(&self, hive: &HiveOnDisk, options: &Options) -> Result<Committed> {
        if options.output.is_some() {
            return Err(unsupported("disk-output", "a patched copy of a disk image is not written")
                .advise("copy the image (cp --reflink=auto --sparse=always) and edit the copy"));
        }
        let (placement, image_len) = (hive.placement()?, hive.disk().len());
        let place = |patches| placement.place(patches, image_len);
        let edit = EditOnDisk {
            phases: vec![place(&self.recovery)?, place(&self.edit)?],
            whole: place(&self.edited.patches)?,
            proof: &|| self.prove(),
            before: &|image| placement.expect(image, hive.whole()?),
            after: &|| match hive.again()? {
                (bytes, places) if bytes == self.edited.bytes && places == placement => Ok(()),
                _ => {
                    Err(Error::new(Kind::Io, "read-back", "the hive in the image does not read back as it was written"))
                }
            },
        };
        commit_on_disk(&RealHost, &self.target.hive, &edit, options)
    }
}

pub(super) fn unsupported(code: &'static str, what: &str) -> Error {
    Error::new(Kind::Unsupported, code, what)
}
