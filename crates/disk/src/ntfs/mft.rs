//! The master file table: records by number, and the streams of a file.

use std::sync::atomic::{AtomicBool, Ordering};

use super::attribute::{Form, kind};
use super::attribute_list::{self, MAX_SIZE};
use super::boot_sector::Geometry;
use super::cache::Cache;
use super::corrupt;
use super::draft::Draft;
use super::record::{Record, Reference};
use super::stream::{Body, Stream};
use crate::files::Extents;
use hivewright_error::{Code, Kind, Result};

/// Number of records that `$MFTMirr` always copies.
const MIRRORED: u64 = 4;

/// `$MFT`.
pub(crate) struct Mft {
    pub(crate) cache: Cache,
    pub(crate) geometry: Geometry,
    data: Stream,
    mirror_used: AtomicBool,
}

impl Mft {
    /// Reads record 0, which locates all other records.
    pub(crate) fn open(cache: Cache, geometry: Geometry) -> Result<Mft> {
        let first = |at| {
            let mut bytes = vec![0; geometry.record];
            cache.read_at(at, &mut bytes)?;
            let record = Record::parse(bytes, 0, at)?;
            // Each part of the table is found through the parts before it.
            let data = stream(&cache, &geometry, &record, kind::DATA, "", |so_far, reference| {
                read_record(&cache, &geometry, so_far, reference.number())
            })?;
            data.ok_or_else(|| corrupt(Code::NtfsMft, "the record of $MFT has no data", at))
        };
        let (data, mirror_used) = match first(geometry.mft) {
            Err(error) if error.kind() == Kind::Corrupt => (first(geometry.mirror).map_err(|_| error)?, true),
            other => (other?, false),
        };
        Ok(Mft { cache, geometry, data, mirror_used: AtomicBool::new(mirror_used) })
    }

    /// Returns whether `$MFTMirr` was used for a damaged record.
    pub(crate) fn mirror_used(&self) -> bool {
        self.mirror_used.load(Ordering::Relaxed)
    }

    /// Returns the record of that number.
    pub(crate) fn record(&self, number: u64) -> Result<Record> {
        let error = match self.primary(number) {
            Err(error) if number < MIRRORED && error.kind() == Kind::Corrupt => error,
            other => return other,
        };
        let at = self.geometry.mirror + number * self.geometry.record as u64;
        let mut bytes = vec![0; self.geometry.record];
        let copy = self.cache.read_at(at, &mut bytes).and_then(|()| Record::parse(bytes, number, at));
        let copy = copy.map_err(|_| error)?;
        self.mirror_used.store(true, Ordering::Relaxed);
        Ok(copy)
    }

    fn primary(&self, number: u64) -> Result<Record> {
        let size = self.geometry.record as u64;
        if number.checked_add(1).and_then(|count| count.checked_mul(size)).is_none_or(|end| end > self.data.valid_len) {
            return Err(corrupt(Code::NtfsMft, format!("file record {number} is past the end of $MFT"), self.data.at)
                .expected(format_args!("a number below {}", self.data.valid_len / size), number));
        }
        read_record(&self.cache, &self.geometry, self.extents()?, number)
    }

    /// Returns the file of `reference`.
    pub(crate) fn referred(&self, reference: Reference) -> Result<Record> {
        let record = self.record(reference.number())?;
        record.expect(reference)?;
        match record.base {
            None => Ok(record),
            Some(base) => Err(corrupt(Code::NtfsRecordBase, "a name leads to an extension record", record.at + 32)
                .expected("a base record", base)),
        }
    }

    /// Returns the attribute of `kind` called `name` of the file whose base record this is.
    pub(crate) fn stream(&self, base: &Record, kind: u32, name: &str) -> Result<Option<Stream>> {
        stream(&self.cache, &self.geometry, base, kind, name, |_, reference| {
            let record = self.record(reference.number())?;
            record.expect(reference)?;
            Ok(record)
        })
    }
}

impl Mft {
    /// Returns the parts of the attribute of `kind` called `name` of the file whose base record this is, in order: the
    /// record number of each part, and its first cluster.
    pub(crate) fn parts(&self, base: &Record, kind: u32, name: &str) -> Result<Vec<(u64, u64)>> {
        match attribute_list(&self.cache, &self.geometry, base)? {
            None => Ok(part(base, kind, name, 0)?.map(|_| (base.number, 0)).into_iter().collect()),
            Some((list, at)) => {
                let parts = attribute_list::parts(&list, kind, name, at)?;
                Ok(parts.into_iter().map(|part| (part.record.number(), part.lowest_vcn)).collect())
            }
        }
    }

    /// Returns the clusters of the table.
    pub(crate) fn extents(&self) -> Result<&Extents> {
        match &self.data.body {
            Body::Clusters(extents) => Ok(extents),
            Body::Resident(_) => Err(corrupt(Code::NtfsMft, "the data of $MFT is resident", self.data.at)),
        }
    }

    /// Returns the record of that number as a draft.
    pub(crate) fn draft(&self, number: u64) -> Result<Draft> {
        // The record was readable, and not from the mirror.
        self.primary(number)?;
        let size = self.geometry.record;
        Draft::read(&self.cache, self.extents()?, number * size as u64, size, Code::NtfsRecordTorn)
    }
}

fn read_record(cache: &Cache, geometry: &Geometry, table: &Extents, number: u64) -> Result<Record> {
    let gone = || corrupt(Code::NtfsMft, format!("file record {number} is past the end of $MFT"), geometry.mft);
    let offset = number.checked_mul(geometry.record as u64).ok_or_else(gone)?;
    let at = table.from(offset).ok_or_else(gone)?.volume_offset.unwrap_or(geometry.mft);
    let mut bytes = vec![0; geometry.record];
    table.read(offset, &mut bytes, |at, part| cache.read_at(at, part))?;
    Record::parse(bytes, number, at)
}

/// Assembles a stream. `read` gets the extents found so far and the reference of the record with the next part.
fn stream(
    cache: &Cache,
    geometry: &Geometry,
    base: &Record,
    kind: u32,
    name: &str,
    mut read: impl FnMut(&Extents, Reference) -> Result<Record>,
) -> Result<Option<Stream>> {
    let Some((list, list_at)) = attribute_list(cache, geometry, base)? else {
        return match part(base, kind, name, 0)? {
            None => Ok(None),
            Some(only) => Stream::start(&only, geometry)?.finish().map(Some),
        };
    };
    let mut whole: Option<Stream> = None;
    for next in attribute_list::parts(&list, kind, name, list_at)? {
        let extension;
        let record = if next.record.number() == base.number {
            base.expect(next.record)?;
            base
        } else {
            let none = Extents::default();
            let so_far = whole.as_ref().map_or(&none, |stream| match &stream.body {
                Body::Clusters(extents) => extents,
                Body::Resident(_) => &none,
            });
            // $MFT's own base record maps the first records, though its list may name it for a later part.
            extension = read(so_far, next.record)?;
            extends(&extension, base)?;
            &extension
        };
        let attribute = part(record, kind, name, next.lowest_vcn)?.ok_or_else(|| {
            corrupt(Code::NtfsAttributeList, "an attribute is not in the record that the list names", record.at)
        })?;
        match &mut whole {
            None if next.lowest_vcn == 0 => whole = Some(Stream::start(&attribute, geometry)?),
            None => return Err(corrupt(Code::NtfsStreamGap, "the first part of a stream is missing", list_at)),
            Some(stream) => stream.append(&attribute, geometry)?,
        }
    }
    whole.map(Stream::finish).transpose()
}

pub(super) fn part<'r>(
    record: &'r Record,
    kind: u32,
    name: &str,
    lowest_vcn: u64,
) -> Result<Option<super::attribute::Attribute<'r>>> {
    for attribute in record.attributes() {
        let attribute = attribute?;
        if attribute.is(kind, name) && attribute.lowest_vcn() == lowest_vcn {
            return Ok(Some(attribute));
        }
    }
    Ok(None)
}

fn extends(extension: &Record, base: &Record) -> Result<()> {
    if extension.base.is_some_and(|to| to.number() == base.number && [0, base.sequence].contains(&to.sequence())) {
        return Ok(());
    }
    let found = extension.base.map_or("none".to_owned(), |to| to.to_string());
    Err(corrupt(Code::NtfsRecordBase, "an attribute list names a record of another file", extension.at + 32)
        .expected(format_args!("{}-{}", base.number, base.sequence), found))
}

/// Returns the bytes of the attribute list, and the volume offset of its attribute.
fn attribute_list(cache: &Cache, geometry: &Geometry, base: &Record) -> Result<Option<(Vec<u8>, u64)>> {
    let Some(attribute) = base.first(kind::ATTRIBUTE_LIST)? else { return Ok(None) };
    if let Form::Resident(value) = attribute.form {
        return Ok(Some((value.to_vec(), attribute.at)));
    }
    let stream = Stream::start(&attribute, geometry)?.finish()?;
    Ok(Some((stream.read_all(cache, MAX_SIZE, Code::NtfsAttributeList)?, attribute.at)))
}
