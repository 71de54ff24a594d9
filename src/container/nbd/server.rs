//! The files below, as QEMU sees them: one export each, named by its number.
//!
//! QEMU may have been taken over by a hostile image. It gets at nothing but these storages, and what it asks is bounded.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::wire::{self, broken, command, errno, export, info, option, reply};
use crate::error::{Error, Kind, Result};
use crate::storage::Storage;

/// How far a file may grow, in bytes: what an edit of a hive allocates is far less.
const MOST_GROWTH: u64 = 256 << 20;
/// The longest option that is looked at: the name of an export and what is asked of it.
const MOST_OPTION: u32 = 4096;

/// A storage that is served.
pub(super) struct Export {
    storage: Arc<dyn Storage>,
    writable: bool,
    /// Bytes that it had when it was first served.
    original: u64,
    /// Bytes that are announced: a fixed number, whatever happens.
    announced: u64,
    /// Bytes by which it grows: a format may want its clusters whole.
    step: u64,
}

impl Export {
    /// Serves `storage` with `ahead` more bytes than it has, which read as zeros until they are written; the file then
    /// grows by multiples of `step`, and of 512.
    pub(super) fn new(storage: Arc<dyn Storage>, writable: bool, ahead: u64, step: u64) -> Result<Self> {
        let original = storage.len()?;
        let announced = original.checked_add(ahead).and_then(|len| len.checked_next_multiple_of(512));
        let announced = announced.filter(|&len| i64::try_from(len).is_ok()).ok_or_else(|| {
            Error::new(Kind::Unsupported, "too-large", format!("a file of {original} bytes is too large for qemu-nbd"))
        })?;
        Ok(Export { storage, writable, original, announced, step: step.clamp(512, MOST_GROWTH) })
    }

    /// Zeros past the end: the size is announced in sectors, and may be ahead of the file.
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let there = self.storage.len()?.saturating_sub(offset);
        let (there, past) = buf.split_at_mut(usize::try_from(there).map_or(buf.len(), |there| there.min(buf.len())));
        past.fill(0);
        if there.is_empty() { Ok(()) } else { self.storage.read_at(offset, there) }
    }

    /// Grows the file first, where the write ends past it, by as many steps as it needs. Says whether it did.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<bool> {
        let end = offset.saturating_add(bytes.len() as u64);
        let grows = end > self.storage.len()?;
        if grows {
            if end > self.original.saturating_add(MOST_GROWTH) {
                let what = format!("the image would grow by more than {} MiB", MOST_GROWTH >> 20);
                return Err(Error::new(Kind::NoRoom, "not-allocated", what)
                    .advise("convert a copy of it: qemu-img convert -O raw IMAGE DISK.raw"));
            }
            self.storage.set_len(self.original + (end - self.original).next_multiple_of(self.step))?;
        }
        self.storage.write_at(offset, bytes)?;
        Ok(grows)
    }
}

/// What is served, and what became of it.
pub(super) struct Shared {
    exports: Vec<Export>,
    /// The first error that a storage gave: QEMU hears of it as a number only.
    failed: Mutex<Option<Error>>,
    grown: AtomicBool,
}

impl Shared {
    pub(super) fn new(exports: Vec<Export>) -> Self {
        Shared { exports, failed: Mutex::default(), grown: AtomicBool::new(false) }
    }

    /// What a storage said first, once.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether a file has grown past what was announced for it, so that QEMU could not read it back.
    pub(super) fn has_outgrown(&self) -> bool {
        self.grown.load(Ordering::Acquire)
    }

    /// The number of an error for QEMU; the error itself is kept.
    fn fail(&self, error: Error) -> u32 {
        let number = if error.kind() == Kind::NoRoom { errno::NO_SPACE } else { errno::IO };
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        number
    }
}

/// Serves one connection to its end.
///
/// # Errors
/// The other side broke off, or does not keep to the protocol; whoever waits for it sees that there.
pub(super) fn serve(stream: &mut (impl Read + Write), shared: &Shared) -> io::Result<()> {
    match negotiate(stream, shared)? {
        Some(export) => transmit(stream, shared, export),
        None => Ok(()),
    }
}

/// Lets the client choose an export.
fn negotiate<'a>(stream: &mut (impl Read + Write), shared: &'a Shared) -> io::Result<Option<&'a Export>> {
    stream.write_all(wire::GREETING)?;
    stream.write_all(&wire::HANDSHAKE_FLAGS.to_be_bytes())?;
    let _flags = wire::u32(stream)?;
    loop {
        if wire::u64(stream)? != wire::OPTION {
            return Err(broken("no option"));
        }
        let (option, len) = (wire::u32(stream)?, wire::u32(stream)?);
        if len > MOST_OPTION {
            return Err(broken("option too long"));
        }
        let mut data = vec![0; len as usize];
        stream.read_exact(&mut data)?;
        match option {
            option::GO | option::INFO => match chosen(&data, shared) {
                Ok(export) => {
                    describe(stream, option, export)?;
                    if option == option::GO {
                        return Ok(Some(export));
                    }
                }
                Err(error) => answer(stream, option, error, &[])?,
            },
            option::ABORT => {
                answer(stream, option, reply::ACK, &[])?;
                return Ok(None);
            }
            _ => answer(stream, option, reply::UNSUPPORTED, &[])?,
        }
    }
}

fn answer(stream: &mut impl Write, option: u32, kind: u32, data: &[u8]) -> io::Result<()> {
    let mut bytes = wire::OPTION_REPLY.to_be_bytes().to_vec();
    bytes.extend_from_slice(&option.to_be_bytes());
    bytes.extend_from_slice(&kind.to_be_bytes());
    // Never above 14.
    bytes.extend_from_slice(&u32::try_from(data.len()).unwrap_or(0).to_be_bytes());
    bytes.extend_from_slice(data);
    stream.write_all(&bytes)
}

/// The export that the data of a GO names: length of the name, the name, what else is asked.
fn chosen<'a>(data: &[u8], shared: &'a Shared) -> std::result::Result<&'a Export, u32> {
    let (len, rest) = data.split_first_chunk::<4>().ok_or(reply::INVALID)?;
    let name = rest.get(..u32::from_be_bytes(*len) as usize).ok_or(reply::INVALID)?;
    let number = std::str::from_utf8(name).ok().and_then(|name| name.parse::<usize>().ok());
    number.and_then(|number| shared.exports.get(number)).ok_or(reply::UNKNOWN)
}

/// Size and abilities, block sizes, and that it may begin.
fn describe(stream: &mut impl Write, option: u32, export: &Export) -> io::Result<()> {
    let read_only = if export.writable { 0 } else { export::READ_ONLY };
    let flags = export::HAS_FLAGS | export::SEND_FLUSH | export::SEND_FUA | read_only;
    let mut size = info::EXPORT.to_be_bytes().to_vec();
    size.extend_from_slice(&export.announced.to_be_bytes());
    size.extend_from_slice(&flags.to_be_bytes());
    answer(stream, option, reply::INFO, &size)?;
    let mut blocks = info::BLOCK_SIZE.to_be_bytes().to_vec();
    // Single bytes, so that QEMU writes no more than it means to.
    for bytes in [1u32, 4096, 2 << 20] {
        blocks.extend_from_slice(&bytes.to_be_bytes());
    }
    answer(stream, option, reply::INFO, &blocks)?;
    answer(stream, option, reply::ACK, &[])
}

/// Answers requests until the client goes.
fn transmit(stream: &mut (impl Read + Write), shared: &Shared, export: &Export) -> io::Result<()> {
    let mut buf = Vec::new();
    loop {
        if wire::u32(stream)? != wire::REQUEST {
            return Err(broken("no request"));
        }
        let (flags, kind) = (wire::u16(stream)?, wire::u16(stream)?);
        let (cookie, offset, len) = (wire::array::<8>(stream)?, wire::u64(stream)?, wire::u32(stream)?);
        if len > wire::MOST {
            return Err(broken("request too long"));
        }
        // The reply and what it carries go out in one call.
        const HEAD: usize = 16;
        let carries = matches!(kind, command::READ | command::WRITE);
        buf.resize(HEAD + if carries { len as usize } else { 0 }, 0);
        let (head, body) = buf.split_at_mut(HEAD);
        if kind == command::WRITE {
            stream.read_exact(body)?;
        }
        let error = match kind {
            command::DISCONNECT => return Ok(()),
            command::READ => export.read(offset, body).err().map(|error| shared.fail(error)),
            command::WRITE if !export.writable => Some(errno::PERM),
            command::WRITE => write(shared, export, offset, body, flags).err().map(|error| shared.fail(error)),
            command::FLUSH if !export.writable => None,
            command::FLUSH => export.storage.flush().err().map(|error| shared.fail(error)),
            _ => Some(errno::INVALID),
        };
        head[..4].copy_from_slice(&wire::REPLY.to_be_bytes());
        head[4..8].copy_from_slice(&error.unwrap_or(0).to_be_bytes());
        head[8..].copy_from_slice(&cookie);
        let answered = if kind == command::READ && error.is_none() { &buf[..] } else { &buf[..HEAD] };
        stream.write_all(answered)?;
    }
}

fn write(shared: &Shared, export: &Export, offset: u64, bytes: &[u8], flags: u16) -> Result<()> {
    let grows = export.write(offset, bytes)?;
    if grows && export.storage.len()? > export.announced {
        shared.grown.store(true, Ordering::Release);
    }
    if flags & command::FLAG_FUA == 0 { Ok(()) } else { export.storage.flush() }
}
