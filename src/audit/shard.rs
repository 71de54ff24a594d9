//! A stable hash, and the division of the targets among several machines.

use std::ffi::OsStr;
use std::str::FromStr;

use hivewright_error::{Code, Error, Kind, Result};

/// FNV-1a of 64 bits (Fowler, Noll and Vo; RFC 9923).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    /// Returns the hash after more bytes.
    #[must_use]
    pub fn with(self, bytes: &[u8]) -> Self {
        Fnv(bytes.iter().fold(self.0, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// Returns the hash of all bytes.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Shard I of N: the targets of one machine.
///
/// A target belongs to shard `1 + (h xor h >> 32) mod N`, where h is the FNV-1a hash (64 bits) of the bytes of the
/// target's name in the record. All machines must therefore use the same names. The upper half is folded in (RFC 9923)
/// because the lowest bit of h alone is the parity of the name's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 1 to `of`.
    pub number: u64,
    /// Number of shards.
    pub of: u64,
}

impl Shard {
    /// Returns whether a target of this name belongs to the shard.
    pub fn has(&self, name: &OsStr) -> bool {
        let hash = Fnv::default().with(name.as_encoded_bytes()).get();
        (hash ^ hash >> 32) % self.of + 1 == self.number
    }
}

impl FromStr for Shard {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((number, of)) if number >= 1 && number <= of => Ok(Shard { number, of }),
            _ => Err(Error::new(Kind::Unsupported, Code::Shard, format!("\"{text}\" is not a shard"))
                .advise("use I/N with I from 1 to N, such as 1/4")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_the_authors_do() {
        // Test vectors of RFC 9923.
        for (text, hash) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(Fnv::default().with(text.as_bytes()).get(), hash);
        }
    }

    #[test]
    fn every_target_has_one_shard_and_none_is_empty() {
        let shards: Vec<Shard> = (1..=4).map(|i| format!("{i}/4").parse().unwrap()).collect();
        let mut sizes = [0; 4];
        for i in (0..4000).step_by(4) {
            let name = format!("images/{i}.raw");
            let homes: Vec<_> = (0..4).filter(|&s| shards[s].has(OsStr::new(&name))).collect();
            assert_eq!(homes.len(), 1);
            sizes[homes[0]] += 1;
        }
        assert!(sizes.iter().all(|&size| size > 200), "{sizes:?}");
        for wrong in ["0/4", "5/4", "1/0", "1", "a/b", "-1/2", "1/2/3"] {
            assert_eq!(wrong.parse::<Shard>().unwrap_err().code(), "shard", "{wrong}");
        }
    }
}
