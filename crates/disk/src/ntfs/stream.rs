//! Streams: the bytes of an attribute, assembled from its parts.

use super::attribute::{Attribute, Form, flags};
use super::boot_sector::Geometry;
use super::cache::Cache;
use super::{corrupt, runs, unsupported};
use crate::files::Extents;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::span::zeros_behind;

/// The place of a stream's bytes.
#[derive(Debug)]
pub(crate) enum Body {
    /// In the record.
    Resident(Vec<u8>),
    /// In clusters.
    Clusters(Extents),
}

/// A stream.
#[derive(Debug)]
pub(crate) struct Stream {
    /// Length in bytes.
    pub(crate) len: u64,
    /// Valid data length in bytes.
    pub(crate) valid_len: u64,
    /// See [`flags`].
    pub(crate) flags: u16,
    /// Power of two of the clusters in a compression unit.
    pub(crate) compression_unit: u8,
    pub(crate) body: Body,
    /// Volume offset of its first attribute.
    pub(crate) at: u64,
}

impl Stream {
    /// Creates a stream from its first part. [`Stream::append`] adds the others.
    pub(crate) fn start(first: &Attribute<'_>, geometry: &Geometry) -> Result<Stream> {
        let mut stream = Stream {
            len: 0,
            valid_len: 0,
            flags: first.flags,
            compression_unit: 0,
            body: Body::Clusters(Extents::default()),
            at: first.at,
        };
        match first.form {
            Form::Resident(value) => {
                stream.len = value.len() as u64;
                stream.valid_len = stream.len;
                stream.body = Body::Resident(value.to_vec());
            }
            Form::Runs(header, _) => {
                (stream.len, stream.valid_len) = (header.len.get(), header.valid_len.get());
                stream.compression_unit = header.compression_unit;
                if stream.len > i64::MAX as u64 || stream.valid_len > stream.len {
                    return Err(corrupt(Code::NtfsStreamSize, "the sizes of a stream", first.at + 48)
                        .expected(format_args!("a valid length up to {}", stream.len), stream.valid_len));
                }
                stream.append(first, geometry)?;
            }
        }
        Ok(stream)
    }

    /// Adds the next part.
    pub(crate) fn append(&mut self, part: &Attribute<'_>, geometry: &Geometry) -> Result<()> {
        let (Form::Runs(header, encoded), Body::Clusters(extents)) = (part.form, &mut self.body) else {
            return Err(corrupt(Code::NtfsStreamGap, "a resident attribute is a part of a larger stream", part.at));
        };
        let (lowest, highest) = (header.lowest_vcn.get(), header.highest_vcn.get());
        let covered = extents.len() / geometry.cluster;
        if lowest != covered {
            return Err(corrupt(Code::NtfsStreamGap, "a part of a stream is missing", part.at + 16)
                .expected(format_args!("cluster {covered} of the stream"), lowest));
        }
        // All ones is the cluster before the first: the stream is empty.
        let clusters = highest.wrapping_add(1).checked_sub(lowest);
        let clusters = clusters
            .ok_or_else(|| corrupt(Code::NtfsStreamGap, "a part of a stream ends before it begins", part.at + 24))?;
        let at = part.at + u64::from(header.runs_offset.get());
        runs::append(encoded, clusters, geometry.cluster, geometry.clusters, at, extents)
    }

    /// Checks that no part is missing.
    pub(crate) fn finish(self) -> Result<Stream> {
        if let Body::Clusters(extents) = &self.body
            && extents.len() < self.len
            // The last compression unit may end with an unrecorded hole.
            && self.flags & flags::COMPRESSED == 0
        {
            return Err(corrupt(Code::NtfsStreamShort, "the clusters of a stream are fewer than its bytes", self.at)
                .expected(format_args!("{} bytes", self.len), extents.len()));
        }
        Ok(self)
    }

    /// Returns its clusters; `None` if it is resident.
    pub(crate) fn extents(&self) -> Option<&Extents> {
        match &self.body {
            Body::Clusters(extents) => Some(extents),
            Body::Resident(_) => None,
        }
    }

    /// Fills `buf` from `offset` on; for metadata, which is neither compressed nor encrypted.
    pub(crate) fn read_at(&self, cache: &Cache, offset: u64, buf: &mut [u8]) -> Result<()> {
        let end = offset.checked_add(buf.len() as u64).filter(|&end| end <= self.len);
        if end.is_none() {
            return Err(corrupt(Code::NtfsStreamShort, "a stream ends too early", self.at)
                .expected(format_args!("more than {offset} bytes"), self.len));
        }
        let extents = match &self.body {
            Body::Resident(value) => {
                // Below the length of the vector.
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                buf.copy_from_slice(&value[start..start + buf.len()]);
                return Ok(());
            }
            Body::Clusters(extents) => extents,
        };
        if super::record::is_transformed(self.flags) {
            return Err(unsupported(
                Code::NtfsMetadataCompressed,
                "metadata is marked compressed or encrypted",
                self.at,
            ));
        }
        let stored = zeros_behind(self.valid_len, offset, buf);
        extents.read(offset, stored, |at, part| cache.read_at(at, part))
    }

    /// Returns all bytes, if they are at most `limit`.
    pub(crate) fn read_all(&self, cache: &Cache, limit: u64, code: Code) -> Result<Vec<u8>> {
        if self.len > limit {
            return Err(corrupt(code, "a stream of metadata is too long", self.at)
                .expected(format_args!("at most {limit} bytes"), self.len));
        }
        let len = usize::try_from(self.len).map_err(|_| Error::new(Kind::Unsupported, code, "too long"))?;
        let mut bytes = vec![0; len];
        self.read_at(cache, 0, &mut bytes)?;
        Ok(bytes)
    }
}
