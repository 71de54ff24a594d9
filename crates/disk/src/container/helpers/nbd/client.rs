//! The client for the guest's disk, which QEMU exports.

use std::io::{self, Read, Write};

use super::wire::{self, broken, command, export, info, option, reply};

/// Bytes of an option reply at most; names and messages are shorter.
const MOST_ANSWER: u32 = 64 << 10;

/// A connection in the transmission phase.
pub(super) struct Client<S> {
    stream: S,
    /// Size of the disk in bytes.
    pub(super) size: u64,
    flags: u16,
    cookie: u64,
}

/// The reason why a request failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// QEMU replied with this error number; the connection stays open.
    Refused(u32),
    /// The connection is unusable.
    Broken(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Broken(error)
    }
}

impl<S: Read + Write> Client<S> {
    /// Connects to the export without a name.
    ///
    /// # Errors
    /// I/O errors; a timeout; a violation of the protocol.
    pub(super) fn connect(mut stream: S) -> io::Result<Self> {
        if &wire::array::<16>(&mut stream)? != wire::GREETING {
            return Err(broken("it is not an NBD server"));
        }
        if wire::u16(&mut stream)? & wire::HANDSHAKE_FLAGS != wire::HANDSHAKE_FLAGS {
            return Err(broken("it does not support the fixed newstyle negotiation"));
        }
        let mut hello = u32::from(wire::HANDSHAKE_FLAGS).to_be_bytes().to_vec();
        hello.extend_from_slice(&wire::OPTION.to_be_bytes());
        hello.extend_from_slice(&option::GO.to_be_bytes());
        // Six bytes follow: an empty name and no information requests.
        hello.extend_from_slice(&6u32.to_be_bytes());
        hello.extend_from_slice(&[0; 6]);
        stream.write_all(&hello)?;
        let mut received = None;
        loop {
            if wire::u64(&mut stream)? != wire::OPTION_REPLY || wire::u32(&mut stream)? != option::GO {
                return Err(broken("it replies to another option"));
            }
            let (kind, len) = (wire::u32(&mut stream)?, wire::u32(&mut stream)?);
            if len > MOST_ANSWER {
                return Err(broken("its answer is too long"));
            }
            let mut data = vec![0; len as usize];
            stream.read_exact(&mut data)?;
            match kind {
                reply::ACK => break,
                reply::INFO => received = exported(&data).or(received),
                _ => return Err(broken("it refuses the export")),
            }
        }
        let (size, flags) = received.ok_or_else(|| broken("it does not send the size of the export"))?;
        Ok(Client { stream, size, flags, cookie: 0 })
    }

    /// Fills `buf`, at most [`wire::MOST`] bytes.
    pub(super) fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Failure> {
        self.request(command::READ, offset, buf.len(), &[])?;
        Ok(self.stream.read_exact(buf)?)
    }

    /// Writes `bytes`, at most [`wire::MOST`].
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.request(command::WRITE, offset, bytes.len(), bytes)
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        if self.flags & export::SEND_FLUSH == 0 {
            return Err(broken("it does not support flush").into());
        }
        self.request(command::FLUSH, 0, 0, &[])
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.flags & export::READ_ONLY != 0
    }

    /// Sends a disconnect request, which has no reply.
    pub(super) fn disconnect(&mut self) -> io::Result<()> {
        let request = self.header(command::DISCONNECT, 0, 0);
        self.stream.write_all(&request)
    }

    fn header(&mut self, kind: u16, offset: u64, len: u32) -> Vec<u8> {
        self.cookie += 1;
        let mut request = wire::REQUEST.to_be_bytes().to_vec();
        request.extend_from_slice(&0u16.to_be_bytes());
        request.extend_from_slice(&kind.to_be_bytes());
        request.extend_from_slice(&self.cookie.to_be_bytes());
        request.extend_from_slice(&offset.to_be_bytes());
        request.extend_from_slice(&len.to_be_bytes());
        request
    }

    fn request(&mut self, kind: u16, offset: u64, len: usize, payload: &[u8]) -> Result<(), Failure> {
        let len = u32::try_from(len).ok().filter(|&len| len <= wire::MOST);
        let len = len.ok_or_else(|| broken("a request is too long"))?;
        let mut request = self.header(kind, offset, len);
        request.extend_from_slice(payload);
        self.stream.write_all(&request)?;
        if wire::u32(&mut self.stream)? != wire::REPLY {
            return Err(broken("it does not reply").into());
        }
        let (error, cookie) = (wire::u32(&mut self.stream)?, wire::u64(&mut self.stream)?);
        match error {
            _ if cookie != self.cookie => Err(broken("it replies to another request").into()),
            0 => Ok(()),
            error => Err(Failure::Refused(error)),
        }
    }
}

/// Parses size and flags of the export, if `data` has that information.
fn exported(data: &[u8]) -> Option<(u64, u16)> {
    let (kind, rest) = data.split_first_chunk::<2>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (flags, _) = rest.split_first_chunk::<2>()?;
    let is = u16::from_be_bytes(*kind) == info::EXPORT;
    is.then_some((u64::from_be_bytes(*size), u16::from_be_bytes(*flags)))
}
