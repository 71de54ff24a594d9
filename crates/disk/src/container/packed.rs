//! Images that are compressed as a whole. If the user allows it, they are unpacked into a temporary file and opened
//! there.
//!
//! A compressed stream has no random access, so all of it is unpacked before the first read. Packed images are
//! read-only.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::{StreamingDecoder, errors::FrameDecoderError, errors::ReadFrameHeaderError};

use super::{Image, Opening, Probe, Refusal, open_layer};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised::{self, Command};
use hivewright_storage::spool::Spool;

/// Bytes read at once.
const PIECE: usize = 256 << 10;
/// KiB of the dictionary of an xz file at most. The largest preset, `xz -9`, has 64 MiB.
const MOST_DICTIONARY: u32 = 256 << 10;

/// A compression of whole files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
    Xz,
}

impl Packing {
    /// Returns the compression of a file with these first bytes: RFC 1952, 2.3.1; RFC 8878, 3.1.1; The .xz File
    /// Format, 2.1.1.1.
    fn of(head: &[u8]) -> Option<Self> {
        let all =
            [(&b"\x1f\x8b\x08"[..], Packing::Gzip), (b"\x28\xb5\x2f\xfd", Packing::Zstd), (b"\xfd7zXZ\0", Packing::Xz)];
        all.into_iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, packing)| packing)
    }

    fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
            Packing::Xz => "xz",
        }
    }

    fn command(self) -> Command {
        match self {
            Packing::Gzip => advised::GUNZIP,
            Packing::Zstd => advised::UNZSTD,
            Packing::Xz => advised::UNXZ,
        }
    }

    /// Unpacks all members, streams or frames of `from`.
    fn unpack(self, from: impl io::BufRead, to: &mut Spool) -> io::Result<()> {
        match self {
            Packing::Gzip => io::copy(&mut MultiGzDecoder::new(from), to).map(drop),
            Packing::Xz => io::copy(&mut XzReader::new_mem_limit(from, true, MOST_DICTIONARY), to).map(drop),
            Packing::Zstd => unpack_zstd(from, to),
        }
    }
}

/// Unpacks all frames; skippable frames have no data.
fn unpack_zstd(mut from: impl io::BufRead, to: &mut Spool) -> io::Result<()> {
    while !from.fill_buf()?.is_empty() {
        let mut frame = match StreamingDecoder::new(&mut from) {
            Ok(frame) => frame,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                let skipped = io::copy(&mut (&mut from).take(length.into()), &mut io::sink())?;
                if skipped < length.into() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                continue;
            }
            Err(error) => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        io::copy(&mut frame, to)?;
        let decoder = &frame.decoder;
        if decoder.get_checksum_from_data().is_some_and(|sum| decoder.get_calculated_checksum() != Some(sum)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of a frame is wrong"));
        }
    }
    Ok(())
}

/// Opens the image in a compressed file. Returns `None` if the file is not compressed, or may not be unpacked.
///
/// # Errors
/// `packed-too-large`: the image has more bytes than the user allows; `packed-damaged`; errors of the image.
pub(super) fn open(opening: &Opening<'_>, probe: &Probe<'_>) -> Result<Option<Image>> {
    let Some((packing, most)) = Packing::of(probe.head).zip(opening.policy.unpack) else { return Ok(None) };
    let path = opening.path.display();
    let mut spool = Spool::new(most)?;
    let mut from = BufReader::with_capacity(PIECE, Reading { file: &*opening.file, at: 0, error: None });
    let unpacked = packing.unpack(&mut from, &mut spool);
    if let Some(error) = from.into_inner().error {
        return Err(error);
    }
    if spool.is_full() {
        let what = format!("the unpacked data of {path} has more than {most} bytes");
        return Err(Error::new(Kind::Unsupported, Code::PackedTooLarge, what)
            .advise(format!("allow more (--unpack SIZE), or unpack it yourself: {}", packing.command().line)));
    }
    if let Err(error) = unpacked {
        return Err(match error.kind() {
            // The temporary file is full.
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::io(format!("cannot unpack {path}: {error}"), error)
                    .advise("name a folder with more space: TMPDIR=FOLDER")
            }
            _ => Error::new(Kind::Corrupt, Code::PackedDamaged, format!("{path} cannot be unpacked: {error}"))
                .advise("it is damaged or truncated: use another copy"),
        });
    }
    let inner = Opening { file: Arc::new(spool.finish()?), depth: opening.depth + 1, ..*opening };
    let Some(mut image) = open_layer(inner, None)? else {
        let what = format!("{path} contains no disk image");
        return Err(Error::new(Kind::Unsupported, Code::Compressed, what)
            .advise(format!("unpack it: {}", packing.command().line)));
    };
    image.about.facts.push(("packed", packing.name().to_owned()));
    image.about.refusal = Some(Refusal {
        code: Code::Compressed,
        what: format!("the image is compressed ({})", packing.name()),
        advice: format!("unpack it, and edit the result: {}", packing.command().line),
    });
    Ok(Some(image))
}

/// Reads a storage sequentially, and keeps its first error.
struct Reading<'a> {
    file: &'a dyn Storage,
    at: u64,
    error: Option<Error>,
}

impl Read for Reading<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut read = || -> Result<usize> {
            let left = self.file.len()?.saturating_sub(self.at);
            let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
            self.file.read_at(self.at, &mut bytes[..len])?;
            self.at += len as u64;
            Ok(len)
        };
        read().map_err(|error| {
            self.error = Some(error);
            io::Error::other("the file cannot be read")
        })
    }
}
