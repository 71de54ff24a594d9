//! The guest disk, as QEMU exports it.

use std::io::{self, Read, Write};

use super::wire::{self, broken, command, export, info, option, reply};

/// The longest answer to an option that is looked at: names and messages are shorter.
const MOST_ANSWER: u32 = 64 << 10;

/// One connection, in the state of transmission.
pub(super) struct Client<S> {
    stream: S,
    /// Bytes of the disk.
    pub(super) size: u64,
    flags: u16,
    cookie: u64,
}

/// Why a request was not fulfilled.
#[derive(Debug)]
pub(super) enum Failure {
    /// By this number of an error; the connection goes on.
    Refused(u32),
    /// Nothing can be asked any more.
    Broken(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Broken(error)
    }
}

impl<S: Read + Write> Client<S> {
    /// Chooses the export without a name.
    ///
    /// # Errors
    /// The other side broke off, took too long, or does not keep to the protocol.
    pub(super) fn connect(mut stream: S) -> io::Result<Self> {
        if &wire::array::<16>(&mut stream)? != wire::GREETING {
            return Err(broken("it does not greet as an NBD server"));
        }
        if wire::u16(&mut stream)? & wire::HANDSHAKE_FLAGS != wire::HANDSHAKE_FLAGS {
            return Err(broken("it does not know the fixed newstyle negotiation"));
        }
        let mut hello = u32::from(wire::HANDSHAKE_FLAGS).to_be_bytes().to_vec();
        hello.extend_from_slice(&wire::OPTION.to_be_bytes());
        hello.extend_from_slice(&option::GO.to_be_bytes());
        // Six bytes follow: a name of no bytes, no wishes.
        hello.extend_from_slice(&6u32.to_be_bytes());
        hello.extend_from_slice(&[0; 6]);
        stream.write_all(&hello)?;
        let mut told = None;
        loop {
            if wire::u64(&mut stream)? != wire::OPTION_REPLY || wire::u32(&mut stream)? != option::GO {
                return Err(broken("it does not answer what was asked"));
            }
            let (kind, len) = (wire::u32(&mut stream)?, wire::u32(&mut stream)?);
            if len > MOST_ANSWER {
                return Err(broken("its answer is too long"));
            }
            let mut data = vec![0; len as usize];
            stream.read_exact(&mut data)?;
            match kind {
                reply::ACK => break,
                reply::INFO => told = exported(&data).or(told),
                _ => return Err(broken("it does not let the export be used")),
            }
        }
        let (size, flags) = told.ok_or_else(|| broken("it does not tell the size of the export"))?;
        Ok(Client { stream, size, flags, cookie: 0 })
    }

    /// Fills `buf`, which has at most [`wire::MOST`] bytes.
    pub(super) fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<(), Failure> {
        self.request(command::READ, offset, buf.len(), &[])?;
        Ok(self.stream.read_exact(buf)?)
    }

    /// Writes `bytes`, at most [`wire::MOST`] of them.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.request(command::WRITE, offset, bytes.len(), bytes)
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        if self.flags & export::SEND_FLUSH == 0 {
            return Err(broken("it does not offer to flush").into());
        }
        self.request(command::FLUSH, 0, 0, &[])
    }

    pub(super) fn is_read_only(&self) -> bool {
        self.flags & export::READ_ONLY != 0
    }

    /// Says good-bye. There is no answer to it.
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
        let len = len.ok_or_else(|| broken("a request of ours is too long"))?;
        let mut request = self.header(kind, offset, len);
        request.extend_from_slice(payload);
        self.stream.write_all(&request)?;
        if wire::u32(&mut self.stream)? != wire::REPLY {
            return Err(broken("it does not reply").into());
        }
        let (error, cookie) = (wire::u32(&mut self.stream)?, wire::u64(&mut self.stream)?);
        match error {
            _ if cookie != self.cookie => Err(broken("it replies to something else").into()),
            0 => Ok(()),
            error => Err(Failure::Refused(error)),
        }
    }
}

/// Size and flags, if that is what was told.
fn exported(data: &[u8]) -> Option<(u64, u16)> {
    let (kind, rest) = data.split_first_chunk::<2>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (flags, _) = rest.split_first_chunk::<2>()?;
    let is = u16::from_be_bytes(*kind) == info::EXPORT;
    is.then_some((u64::from_be_bytes(*size), u16::from_be_bytes(*flags)))
}
