//! Constants of "The NBD protocol" (doc/proto.md of the Network Block Device project): fixed newstyle negotiation and
//! simple replies, all big-endian.

use std::io::{self, Read};

/// `NBDMAGIC`, then `IHAVEOPT`: the greeting of a server.
pub(super) const GREETING: &[u8; 16] = b"NBDMAGICIHAVEOPT";
/// Precedes each option of a client.
pub(super) const OPTION: u64 = u64::from_be_bytes(*b"IHAVEOPT");
/// Precedes each reply to an option.
pub(super) const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
/// Precedes each request.
pub(super) const REQUEST: u32 = 0x2560_9513;
/// Precedes each simple reply.
pub(super) const REPLY: u32 = 0x6744_6698;

/// `NBD_FLAG_FIXED_NEWSTYLE` and `NBD_FLAG_NO_ZEROES`, of both sides.
pub(super) const HANDSHAKE_FLAGS: u16 = 1 | 2;

/// Options of a client.
pub(super) mod option {
    pub(in super::super) const ABORT: u32 = 2;
    pub(in super::super) const INFO: u32 = 6;
    pub(in super::super) const GO: u32 = 7;
}

/// Kinds of answers to an option; those with the top bit set are errors.
pub(super) mod reply {
    pub(in super::super) const ACK: u32 = 1;
    pub(in super::super) const INFO: u32 = 3;
    pub(in super::super) const ERROR: u32 = 1 << 31;
    pub(in super::super) const UNSUPPORTED: u32 = ERROR + 1;
    pub(in super::super) const INVALID: u32 = ERROR + 3;
    pub(in super::super) const UNKNOWN: u32 = ERROR + 6;
}

/// Kinds of information in an answer [`reply::INFO`].
pub(super) mod info {
    pub(in super::super) const EXPORT: u16 = 0;
    pub(in super::super) const BLOCK_SIZE: u16 = 3;
}

/// Abilities of an export.
pub(super) mod export {
    pub(in super::super) const HAS_FLAGS: u16 = 1;
    pub(in super::super) const READ_ONLY: u16 = 1 << 1;
    pub(in super::super) const SEND_FLUSH: u16 = 1 << 2;
    pub(in super::super) const SEND_FUA: u16 = 1 << 3;
}

/// Requests, and the one flag of them that we know.
pub(super) mod command {
    pub(in super::super) const READ: u16 = 0;
    pub(in super::super) const WRITE: u16 = 1;
    pub(in super::super) const DISCONNECT: u16 = 2;
    pub(in super::super) const FLUSH: u16 = 3;
    /// `NBD_CMD_FLAG_FUA`: on the medium before the answer.
    pub(in super::super) const FLAG_FUA: u16 = 1;
}

/// Errors in replies.
pub(super) mod errno {
    pub(in super::super) const PERM: u32 = 1;
    pub(in super::super) const IO: u32 = 5;
    pub(in super::super) const INVALID: u32 = 22;
    pub(in super::super) const NO_SPACE: u32 = 28;
}

/// No request has more bytes than this; larger ones end the connection.
pub(super) const MOST: u32 = 32 << 20;

pub(super) fn array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

pub(super) fn u16(from: &mut impl Read) -> io::Result<u16> {
    array(from).map(u16::from_be_bytes)
}

pub(super) fn u32(from: &mut impl Read) -> io::Result<u32> {
    array(from).map(u32::from_be_bytes)
}

pub(super) fn u64(from: &mut impl Read) -> io::Result<u64> {
    array(from).map(u64::from_be_bytes)
}

/// Returns the error for a violation of the protocol.
pub(super) fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
