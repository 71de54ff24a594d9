//! A resource: bytes of the archive, uncompressed or compressed in chunks.
//!
//! A compressed resource begins with a table of the offsets of its chunks after the table, except that of the first
//! chunk: 4 bytes each, or 8 if the unpacked size is 4 GiB or more. A chunk whose stored size equals its unpacked size
//! is not compressed. A solid resource has a header and a table of the sizes of its chunks instead. In a pipable
//! archive, the table is at the end, and each chunk is preceded by its size (4 bytes).

mod pieces;

use super::decode::{Compression, Decoder};
use super::header::{Reference, resource_flags};
use crate::little_endian::{u32_at, u64_at};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::{Storage, zeros_in_large_pages};

/// Maximum size of a chunk in bytes, which is held in memory.
pub(super) const MOST_CHUNK: u32 = 1 << 28;
/// Minimum size of a chunk in bytes.
const LEAST_CHUNK: u32 = 1 << 12;
/// Maximum size of a table of chunks in bytes, for 64 GiB in the smallest chunks.
const MOST_TABLE: u64 = 64 << 20;

/// The location of a resource in a file of the archive, and its chunks.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    /// Offset of its first byte.
    at: u64,
    /// Unpacked size in bytes.
    pub(super) len: u64,
    /// Offset of its end.
    end: u64,
    chunks: Option<Chunks>,
}

/// The chunks of a resource.
#[derive(Clone, Debug)]
struct Chunks {
    size: u32,
    compression: Compression,
    /// The offset of each chunk in the archive, and the end of the last one.
    bounds: Vec<u64>,
    /// Number of bytes before each chunk that do not belong to it.
    gap: u64,
}

impl Chunks {
    /// Returns the start and the end of chunk `number`.
    fn place(&self, number: usize) -> Option<(u64, u64)> {
        Some((self.bounds.get(number)? + self.gap, *self.bounds.get(number + 1)?))
    }
}

/// Size of the field before each chunk in a pipable archive.
const PIPE_GAP: u64 = 4;
/// Bytes of the header of a solid resource.
const SOLID_HEADER: usize = 16;
/// Number of bytes that a thread unpacks at once; a larger chunk is one piece.
const PIECE: usize = 256 << 10;

impl Resource {
    /// Reads the table of the chunks of a resource that is not solid; `chunks` is the compression and the chunk
    /// size of the archive.
    ///
    /// # Errors
    /// `wim-blob`; I/O errors.
    pub(super) fn open(
        file: &dyn Storage,
        reference: Reference,
        chunks: Option<(Compression, u32)>,
        is_pipable: bool,
    ) -> Result<Self> {
        let Reference { stored, offset: at, len, .. } = reference;
        let end = within(file, at, stored)?;
        if !reference.has(resource_flags::COMPRESSED) {
            if stored != len {
                return Err(
                    damaged(file, "the two lengths of an uncompressed resource differ", at).expected(len, stored)
                );
            }
            return Ok(Resource { at, len, end, chunks: None });
        }
        let (compression, size) =
            chunks.ok_or_else(|| damaged(file, "a resource of an archive without compression is compressed", at))?;
        expect_chunk(file, size, at)?;
        let count = len.div_ceil(u64::from(size));
        let width = if len >> 32 == 0 { 4 } else { 8 };
        let gap = if is_pipable { PIPE_GAP } else { 0 };
        let table_len = count.saturating_sub(1).saturating_mul(width);
        let table_at = if is_pipable { end.checked_sub(table_len) } else { Some(at) };
        let table_at = table_at
            .filter(|_| table_len <= stored.min(MOST_TABLE))
            .ok_or_else(|| damaged(file, "the resource is too short for its chunk table", at))?;
        let table = read(file, table_at, table_len)?;
        let (first, last) = if is_pipable { (at, table_at) } else { (at + table_len, end) };
        let offset = |i: u64| {
            // Below `count`, whose table was read.
            let entry = usize::try_from((i - 1) * width).unwrap_or(usize::MAX);
            if width == 4 { u64::from(u32_at(&table, entry)) } else { u64_at(&table, entry) }
        };
        let mut bounds = Vec::with_capacity(usize::try_from(count + 1).unwrap_or(0));
        bounds.push(first);
        for i in 1..count {
            // The offsets of the table exclude the sizes before the chunks.
            let next = first.checked_add(offset(i)).and_then(|next| next.checked_add(i * gap));
            bounds.push(next.filter(|next| *next <= last).ok_or_else(|| out_of_order(file, at))?);
        }
        if count > 0 {
            bounds.push(last);
        }
        Self::checked(file, at, len, end, Chunks { size, compression, bounds, gap })
    }

    /// Reads the header and the table of a solid resource, which has `stored` bytes from `at` on.
    ///
    /// # Errors
    /// As [`Resource::open`]; `wim-version`.
    pub(super) fn open_solid(file: &dyn Storage, at: u64, stored: u64) -> Result<Self> {
        let end = within(file, at, stored)?;
        if stored < SOLID_HEADER as u64 {
            return Err(damaged(file, "a solid resource is too short", at));
        }
        let head = read(file, at, SOLID_HEADER as u64)?;
        let (len, size) = (u64_at(&head, 0), u32_at(&head, 8));
        let compression = match u32_at(&head, 12) {
            0 => {
                return Ok(Resource { at: at + SOLID_HEADER as u64, len, end, chunks: None })
                    .and_then(|it| it.plain(file));
            }
            1 => Compression::Xpress,
            2 => Compression::Lzx,
            3 => Compression::Lzms,
            other => {
                let what = "the compression method of a solid resource is not supported";
                return Err(placed(
                    Error::new(Kind::Unsupported, Code::WimVersion, what).expected("0 to 3", other),
                    file,
                    at,
                ));
            }
        };
        expect_chunk(file, size, at)?;
        let count = len.div_ceil(u64::from(size));
        let room = stored - SOLID_HEADER as u64;
        let table_len = count.checked_mul(4).filter(|len| *len <= room.min(MOST_TABLE));
        let table_len = table_len.ok_or_else(|| damaged(file, "the resource is too short for its chunk table", at))?;
        let table = read(file, at + SOLID_HEADER as u64, table_len)?;
        let mut bound = at + SOLID_HEADER as u64 + table_len;
        let mut bounds = vec![bound];
        for size in table.as_chunks::<4>().0 {
            bound += u64::from(u32::from_le_bytes(*size));
            bounds.push(bound);
        }
        Self::checked(file, at, len, end, Chunks { size, compression, bounds, gap: 0 })
    }

    fn plain(self, file: &dyn Storage) -> Result<Self> {
        if self.end - self.at == self.len {
            Ok(self)
        } else {
            Err(damaged(file, "the two lengths of a solid resource differ", self.at))
        }
    }

    fn checked(file: &dyn Storage, at: u64, len: u64, end: u64, chunks: Chunks) -> Result<Self> {
        let is_ordered =
            chunks.bounds.windows(2).all(|pair| pair[0].checked_add(chunks.gap).is_some_and(|first| first <= pair[1]));
        if !is_ordered || chunks.bounds.last().is_some_and(|last| *last > end) {
            return Err(out_of_order(file, at));
        }
        Ok(Resource { at, len, end, chunks: Some(chunks) })
    }

    /// Returns the number of bytes that are unpacked at once.
    pub(super) fn unit(&self) -> u64 {
        self.chunks.as_ref().map_or(self.len.max(1), |chunks| u64::from(chunks.size))
    }

    /// Returns whether it is compressed in chunks of that size.
    pub(super) fn has_chunks(&self, chunks: Option<(Compression, u32)>) -> bool {
        self.chunks.as_ref().map(|own| (own.compression, own.size)) == chunks && chunks.is_some()
    }

    /// Returns the stored bytes of chunk `number`; nothing if it does not exist or the resource has no table.
    ///
    /// # Errors
    /// I/O errors.
    pub(super) fn stored_chunk(&self, file: &dyn Storage, number: usize) -> Result<Option<Vec<u8>>> {
        let place = self.chunks.as_ref().and_then(|chunks| chunks.place(number));
        place.map(|(first, last)| read(file, first, last - first)).transpose()
    }

    /// Unpacks the resource, and passes its bytes in order to `then`.
    ///
    /// # Errors
    /// `wim-blob`; I/O errors.
    pub(super) fn unpack_through(&self, file: &dyn Storage, then: impl FnMut(&[u8])) -> Result<Vec<u8>> {
        let mut bytes =
            zeros_in_large_pages(usize::try_from(self.len).map_err(|_| too_large(file, self.len, self.at))?);
        // A chunk has at most 2^28 bytes.
        let unit = self.chunks.as_ref().map_or(1, |chunks| chunks.size as usize);
        let in_piece = (PIECE / unit).max(1);
        let decoder = || self.chunks.as_ref().map(|chunks| Decoder::new(chunks.compression, chunks.size));
        let fill = |decoder: &mut Option<Decoder>, number: usize, piece: &mut [u8]| match (&self.chunks, decoder) {
            (Some(chunks), Some(decoder)) => self.unpack_chunks(file, chunks, decoder, number * in_piece, piece),
            _ => file.read_at(self.at + (number * PIECE) as u64, piece),
        };
        pieces::fill(&mut bytes, in_piece * unit, decoder, fill, then)?;
        Ok(bytes)
    }

    /// Unpacks the resource.
    ///
    /// # Errors
    /// As [`Resource::unpack_through`].
    pub(super) fn unpack(&self, file: &dyn Storage) -> Result<Vec<u8>> {
        self.unpack_through(file, |_| ())
    }

    /// Unpacks the chunks from number `first` on, which have as many bytes as `out`.
    fn unpack_chunks(
        &self,
        file: &dyn Storage,
        chunks: &Chunks,
        decoder: &mut Decoder,
        first: usize,
        out: &mut [u8],
    ) -> Result<()> {
        let size = chunks.size as usize;
        let place = |number: usize| chunks.place(number).ok_or_else(|| out_of_order(file, self.at));
        let (start, _) = place(first)?;
        let (_, end) = place(first + out.len().div_ceil(size) - 1)?;
        // Chunks are in order: see `checked`.
        let stored = read(file, start, end - start)?;
        for (number, out) in (first..).zip(out.chunks_mut(size)) {
            let (from, until) = place(number)?;
            // Both lie in the bytes that were read.
            let [from, until] = [from, until].map(|at| usize::try_from(at - start).unwrap_or(usize::MAX));
            self.unpack_chunk(file, &stored[from..until], decoder, number, out)?;
        }
        Ok(())
    }

    /// Unpacks the piece with that number. Pieces have [`Resource::unit`] bytes.
    ///
    /// # Errors
    /// As [`Resource::unpack`].
    pub(super) fn unpack_unit(&self, file: &dyn Storage, number: u64) -> Result<Vec<u8>> {
        let start = number.saturating_mul(self.unit());
        let len = self.len.saturating_sub(start).min(self.unit());
        let mut bytes = zeros_in_large_pages(usize::try_from(len).map_err(|_| too_large(file, len, self.at))?);
        match &self.chunks {
            None => file.read_at(self.at + start, &mut bytes)?,
            Some(chunks) => {
                let number = usize::try_from(number).map_err(|_| out_of_order(file, self.at))?;
                let stored = self.stored_chunk(file, number)?.ok_or_else(|| out_of_order(file, self.at))?;
                self.unpack_chunk(
                    file,
                    &stored,
                    &mut Decoder::new(chunks.compression, chunks.size),
                    number,
                    &mut bytes,
                )?;
            }
        }
        Ok(bytes)
    }

    fn unpack_chunk(
        &self,
        file: &dyn Storage,
        stored: &[u8],
        decoder: &mut Decoder,
        number: usize,
        out: &mut [u8],
    ) -> Result<()> {
        if stored.len() == out.len() {
            out.copy_from_slice(stored);
            return Ok(());
        }
        if stored.len() > out.len() {
            return Err(damaged(file, "a chunk is longer than its decompressed data", self.at)
                .expected(out.len(), stored.len()));
        }
        decoder.decode(stored, out).map_err(|_| {
            damaged(file, "a chunk cannot be decompressed", self.at)
                .expected("compressed bytes", format_args!("chunk {number}"))
        })
    }
}

/// Returns the end of `len` bytes from `at` on, if they lie in the file.
fn within(file: &dyn Storage, at: u64, len: u64) -> Result<u64> {
    let size = file.len()?;
    at.checked_add(len).filter(|end| *end <= size).ok_or_else(|| {
        damaged(file, "the file is truncated or damaged: a resource ends past the end of the file", at)
            .expected(format_args!("an end of at most {size}"), u128::from(at) + u128::from(len))
            .advise("copy it again from its source; the missing bytes cannot be restored")
    })
}

/// Reads bytes, whose range was checked.
fn read(file: &dyn Storage, at: u64, len: u64) -> Result<Vec<u8>> {
    within(file, at, len)?;
    let mut bytes = zeros_in_large_pages(usize::try_from(len).map_err(|_| too_large(file, len, at))?);
    file.read_at(at, &mut bytes)?;
    Ok(bytes)
}

fn expect_chunk(file: &dyn Storage, size: u32, at: u64) -> Result<()> {
    if size.is_power_of_two() && (LEAST_CHUNK..=MOST_CHUNK).contains(&size) {
        return Ok(());
    }
    let what = "the chunk size of a resource is not supported";
    let error = Error::new(Kind::Unsupported, Code::WimVersion, what);
    Err(placed(error.expected(format_args!("a power of two from {LEAST_CHUNK} to {MOST_CHUNK}"), size), file, at))
}

fn out_of_order(file: &dyn Storage, at: u64) -> Error {
    damaged(file, "the chunks of a resource are out of order", at)
}

/// Returns the error for damage at an offset of the file.
pub(super) fn damaged(file: &dyn Storage, what: &str, at: u64) -> Error {
    placed(Error::new(Kind::Corrupt, Code::WimBlob, what), file, at)
}

/// Returns the error for a too large resource at an offset of the file.
pub(super) fn too_large(file: &dyn Storage, len: u64, at: u64) -> Error {
    placed(
        Error::new(Kind::Unsupported, Code::TooLarge, format!("the decompressed data of a resource has {len} bytes")),
        file,
        at,
    )
}

/// Adds the places of a byte of the file, which is a part of the archive.
pub(super) fn placed(error: Error, file: &dyn Storage, at: u64) -> Error {
    file.locate(at).into_iter().fold(error, |error, place| error.at(place.space, place.offset))
}
