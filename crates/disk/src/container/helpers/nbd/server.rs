//! The NBD server for the files below: one export for each, named by its number.
//!
//! A hostile image may have taken control of QEMU. It can reach only these storages, and its requests are bounded.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::wire::{self, broken, command, errno, export, info, option, reply};
use crate::container::cut_short;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::span::read_then_zeros;

/// Growth of a file at most, in bytes; an edit of a hive allocates far less.
const MOST_GROWTH: u64 = 256 << 20;
/// Bytes of an option at most: the name of an export and the requested information.
const MOST_OPTION: u32 = 4096;

/// A served storage.
pub(super) struct Export {
    storage: Arc<dyn Storage>,
    writable: bool,
    /// Length in bytes when it was first served.
    original: u64,
    /// Announced length in bytes, which never changes.
    announced: u64,
    /// Unit of growth in bytes; a format may need whole clusters.
    step: u64,
    /// Whether writers of the format write all clusters completely.
    whole: bool,
}

impl Export {
    /// Serves `storage` with `ahead` bytes past its end, which read as zeros until they are written; the file then
    /// grows by multiples of `step`, and of 512.
    pub(super) fn new(storage: Arc<dyn Storage>, writable: bool, ahead: u64, step: u64) -> Result<Self> {
        let original = storage.len()?;
        let announced = original.checked_add(ahead).and_then(|len| len.checked_next_multiple_of(512));
        let announced = announced.filter(|&len| i64::try_from(len).is_ok()).ok_or_else(|| {
            Error::new(
                Kind::Unsupported,
                Code::TooLarge,
                format!("a file of {original} bytes is too large for qemu-nbd"),
            )
        })?;
        Ok(Export { storage, writable, original, announced, step: step.clamp(512, MOST_GROWTH), whole: false })
    }

    /// Sets whether clusters are complete.
    pub(super) fn whole(self, whole: bool) -> Self {
        Export { whole, ..self }
    }

    /// Reads, with zeros past the end: the size is announced in sectors, and may be ahead of the file. A read that
    /// begins past the end means that the file lost bytes.
    fn read(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let len = self.storage.len()?;
        let (ahead, end) = (self.announced > len.next_multiple_of(512), offset.saturating_add(buf.len() as u64));
        if !self.writable && ahead && (offset >= len || self.whole && end > len.next_multiple_of(512)) {
            let what = "a cluster or table of the image lies past its end";
            return Err(cut_short(Code::ImageTruncated, what, end, len));
        }
        read_then_zeros(&*self.storage, len, offset, buf)
    }

    /// Writes, and grows the file first if the write ends past it, by as many steps as needed. Returns whether it grew.
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<bool> {
        let end = offset.saturating_add(bytes.len() as u64);
        let grows = end > self.storage.len()?;
        if grows {
            if end > self.original.saturating_add(MOST_GROWTH) {
                let what = format!("the image would grow by more than {} MiB", MOST_GROWTH >> 20);
                return Err(Error::new(Kind::NoRoom, Code::NotAllocated, what)
                    .advise(format!("convert a copy of it: {}", advised::TO_RAW)));
            }
            self.storage.set_len(self.original + (end - self.original).next_multiple_of(self.step))?;
        }
        self.storage.write_at(offset, bytes)?;
        Ok(grows)
    }
}

/// The exports, and the state of the server.
pub(super) struct Shared {
    exports: Vec<Export>,
    /// The first error of a storage; QEMU receives only a number.
    failed: Mutex<Option<Error>>,
    grown: AtomicBool,
}

impl Shared {
    pub(super) fn new(exports: Vec<Export>) -> Self {
        Shared { exports, failed: Mutex::default(), grown: AtomicBool::new(false) }
    }

    /// Returns the first error of a storage, once.
    pub(super) fn take_failure(&self) -> Option<Error> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns whether a file has outgrown its announced length, so that QEMU cannot read it back.
    pub(super) fn has_outgrown(&self) -> bool {
        self.grown.load(Ordering::Acquire)
    }

    /// Keeps the error and returns its number for QEMU.
    fn fail(&self, error: Error) -> u32 {
        let number = if error.kind() == Kind::NoRoom { errno::NO_SPACE } else { errno::IO };
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        number
    }
}

/// Serves one connection to its end.
///
/// # Errors
/// I/O errors or violations of the protocol; the client sees the disconnect.
pub(super) fn serve(stream: &mut (impl Read + Write), shared: &Shared) -> io::Result<()> {
    match negotiate(stream, shared)? {
        Some(export) => transmit(stream, shared, export),
        None => Ok(()),
    }
}

/// Negotiates the export.
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
            return Err(broken("the option is too long"));
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

/// Returns the export that the data of a GO option names: length of the name, name, information requests.
fn chosen<'a>(data: &[u8], shared: &'a Shared) -> std::result::Result<&'a Export, u32> {
    let (len, rest) = data.split_first_chunk::<4>().ok_or(reply::INVALID)?;
    let name = rest.get(..u32::from_be_bytes(*len) as usize).ok_or(reply::INVALID)?;
    let number = std::str::from_utf8(name).ok().and_then(|name| name.parse::<usize>().ok());
    number.and_then(|number| shared.exports.get(number)).ok_or(reply::UNKNOWN)
}

/// Sends size and flags, block sizes, and the acknowledgement.
fn describe(stream: &mut impl Write, option: u32, export: &Export) -> io::Result<()> {
    let read_only = if export.writable { 0 } else { export::READ_ONLY };
    let flags = export::HAS_FLAGS | export::SEND_FLUSH | export::SEND_FUA | read_only;
    let mut size = info::EXPORT.to_be_bytes().to_vec();
    size.extend_from_slice(&export.announced.to_be_bytes());
    size.extend_from_slice(&flags.to_be_bytes());
    answer(stream, option, reply::INFO, &size)?;
    let mut blocks = info::BLOCK_SIZE.to_be_bytes().to_vec();
    // A minimum block size of 1, so that QEMU writes only the bytes that it changes.
    for bytes in [1u32, 4096, 2 << 20] {
        blocks.extend_from_slice(&bytes.to_be_bytes());
    }
    answer(stream, option, reply::INFO, &blocks)?;
    answer(stream, option, reply::ACK, &[])
}

/// Replies to requests until the client disconnects.
fn transmit(stream: &mut (impl Read + Write), shared: &Shared, export: &Export) -> io::Result<()> {
    let mut buf = Vec::new();
    loop {
        if wire::u32(stream)? != wire::REQUEST {
            return Err(broken("no request"));
        }
        let (flags, kind) = (wire::u16(stream)?, wire::u16(stream)?);
        let (cookie, offset, len) = (wire::array::<8>(stream)?, wire::u64(stream)?, wire::u32(stream)?);
        if len > wire::MOST {
            return Err(broken("the request is too long"));
        }
        // The reply and its data are sent in one call.
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

#[cfg(test)]
mod tests {
    use super::super::client::{Client, Failure};
    use super::*;
    use hivewright_storage::memory::Memory;
    use hivewright_storage::recorder::Recorder;

    /// A stream with all input in memory.
    struct Talk(io::Cursor<Vec<u8>>, Vec<u8>);

    impl Read for Talk {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read(buf)
        }
    }

    impl Write for Talk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn option(number: u32, data: &[u8]) -> Vec<u8> {
        [b"IHAVEOPT", &number.to_be_bytes()[..], &u32::try_from(data.len()).unwrap().to_be_bytes(), data].concat()
    }

    fn request(kind: u16, flags: u16, offset: u64, len: u32, data: &[u8]) -> Vec<u8> {
        let head = [&wire::REQUEST.to_be_bytes()[..], &flags.to_be_bytes(), &kind.to_be_bytes(), b"cookie!!"].concat();
        [&head[..], &offset.to_be_bytes(), &len.to_be_bytes(), data].concat()
    }

    fn go(name: &[u8]) -> Vec<u8> {
        option(option::GO, &[&u32::try_from(name.len()).unwrap().to_be_bytes()[..], name, &[0, 0]].concat())
    }

    fn talk(shared: &Shared, said: &[Vec<u8>]) -> (io::Result<()>, Vec<u8>) {
        let mut talk = Talk(io::Cursor::new([&[0, 0, 0, 3][..], &said.concat()].concat()), Vec::new());
        (serve(&mut talk, shared), talk.1)
    }

    fn shared(writable: bool, ahead: u64) -> (Shared, Arc<Recorder>) {
        let file = Arc::new(Recorder::new(Arc::new(Memory::new(vec![7; 1000]))).unwrap());
        (Shared::new(vec![Export::new(file.clone(), writable, ahead, 4096).unwrap()]), file)
    }

    /// Returns the error number and the data of the last reply, which has `len` bytes of data.
    fn last(answer: &[u8], len: usize) -> (u32, &[u8]) {
        let reply = &answer[answer.len() - 16 - len..];
        assert_eq!((&reply[..4], &reply[8..16]), (&wire::REPLY.to_be_bytes()[..], &b"cookie!!"[..]));
        (u32::from_be_bytes(reply[4..8].try_into().unwrap()), &reply[16..])
    }

    #[test]
    fn options_are_answered_and_strangers_are_not_served() {
        let (shared, _) = shared(false, 0);
        let (_, answer) = talk(&shared, &[option(8, b""), go(b"1"), go(b"../0"), option(option::ABORT, b"")]);
        let refusal = |option: u32, kind: u32| [option.to_be_bytes(), kind.to_be_bytes()].concat();
        for expected in [refusal(8, reply::UNSUPPORTED), refusal(7, reply::UNKNOWN), refusal(2, reply::ACK)] {
            assert!(answer.windows(8).any(|window| window == expected), "{expected:?}");
        }
        assert!(talk(&shared, &[option(7, &[0xff; 8])]).0.is_err());
        assert!(talk(&shared, &[[&b"IHAVEOPT\0\0\0\x07"[..], &[0xff; 4]].concat()]).0.is_err());
    }

    #[test]
    fn reads_past_the_end_are_zeros_and_writes_there_grow_the_file_by_steps() {
        let (shared, file) = shared(true, 1 << 20);
        let (_, answer) = talk(&shared, &[go(b"0"), request(command::READ, 0, 998, 6, b"")]);
        assert_eq!(last(&answer, 6), (0, &[7, 7, 0, 0, 0, 0][..]));
        let write = request(command::WRITE, command::FLAG_FUA, 1100, 3, b"abc");
        let (_, answer) = talk(&shared, &[go(b"0"), write, request(command::READ, 0, 1099, 5, b"")]);
        assert_eq!((last(&answer, 5), file.len().unwrap()), ((0, &b"\0abc\0"[..]), 1000 + 4096));
        assert!(!shared.has_outgrown());
        let (_, answer) = talk(&shared, &[go(b"0"), request(command::WRITE, 0, 2 << 20, 1, b"x")]);
        assert_eq!((last(&answer, 0).0, shared.has_outgrown()), (0, true));
        let (_, answer) = talk(&shared, &[go(b"0"), request(command::WRITE, 0, 1 << 40, 1, b"x")]);
        assert_eq!((last(&answer, 0).0, shared.take_failure().unwrap().code()), (errno::NO_SPACE, Code::NotAllocated));
    }

    #[test]
    fn what_is_read_only_stays_as_it_is() {
        let (shared, file) = shared(false, 0);
        let write = request(command::WRITE, 0, 0, 1, b"x");
        let (_, answer) = talk(&shared, &[go(b"0"), write, request(command::FLUSH, 0, 0, 0, b"")]);
        assert_eq!(last(&answer[..answer.len() - 16], 0).0, errno::PERM);
        let (_, answer) = talk(&shared, &[go(b"0"), request(6, 0, 0, 512, b"")]);
        assert_eq!((last(&answer, 0).0, file.take().unwrap().1.len()), (errno::INVALID, 0));
    }

    #[test]
    fn nonsense_ends_the_connection_and_nothing_else() {
        let (shared, _) = shared(true, 0);
        let whole =
            [go(b"0"), request(command::WRITE, 0, 8, 4, b"data"), request(command::READ, 0, 0, 64, b"")].concat();
        for len in 0..whole.len() {
            assert!(talk(&shared, &[whole[..len].to_vec()]).0.is_err());
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut said = whole.clone();
                said[at] = value;
                let _ = talk(&shared, &[said]);
            }
        }
        assert!(talk(&shared, &[go(b"0"), request(command::READ, 0, 0, wire::MOST + 1, b"")]).0.is_err());
    }

    #[test]
    fn the_client_believes_no_nonsense_either() {
        let export = |kind: u32, data: &[u8]| {
            let head = [&wire::OPTION_REPLY.to_be_bytes()[..], &option::GO.to_be_bytes(), &kind.to_be_bytes()].concat();
            [&head[..], &u32::try_from(data.len()).unwrap().to_be_bytes(), data].concat()
        };
        let size = export(reply::INFO, b"\0\0\0\0\0\0\0\0\x10\0\0\x05");
        let hello = [&wire::GREETING[..], &[0, 3], &size, &export(reply::ACK, b"")].concat();
        let replied = [&wire::REPLY.to_be_bytes()[..], &[0; 4], &1u64.to_be_bytes(), b"data"].concat();
        let ask = |said: Vec<u8>| -> std::result::Result<[u8; 4], Failure> {
            let mut client = Client::connect(Talk(io::Cursor::new(said), Vec::new()))?;
            let mut buf = [0; 4];
            client.read(0, &mut buf).map(|()| buf)
        };
        let whole = [&hello[..], &replied].concat();
        assert_eq!(ask(whole.clone()).unwrap(), *b"data");
        for len in 0..whole.len() {
            assert!(matches!(ask(whole[..len].to_vec()), Err(Failure::Broken(_))), "{len}");
        }
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut said = whole.clone();
                said[at] = value;
                let _ = ask(said);
            }
        }
        let refused = [&hello[..], &wire::REPLY.to_be_bytes(), &[0, 0, 0, 28], &1u64.to_be_bytes()].concat();
        assert!(matches!(ask(refused), Err(Failure::Refused(errno::NO_SPACE))));
    }
}
