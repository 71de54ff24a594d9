//! Random bytes and new identifiers.

use hivewright_error::{Code, Error, Kind, Result};

/// Returns random bytes of the operating system.
pub(in crate::container) fn bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::new(Kind::Io, Code::NoRandom, format!("the operating system returned no random bytes: {error}"))
    })?;
    Ok(bytes)
}

/// Returns a UUID of version 4 (RFC 9562, 5.4) as Microsoft and VirtualBox store it: the first three parts are
/// little-endian.
pub(in crate::container) fn uuid() -> Result<[u8; 16]> {
    let mut uuid = bytes()?;
    // The version lies in the third part.
    uuid[7] = uuid[7] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    Ok(uuid)
}
