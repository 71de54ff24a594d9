//! CRC-32C (Castagnoli; RFC 3720, B.4) of headers, region tables and log entries ([MS-VHDX] 2.2.2).
//!
//! Only a few KiB of a clean image have checksums, so a table is fast enough.

/// The polynomial 0x1edc6f41 with reversed bits.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0_u32;
    while byte < 256 {
        let (mut crc, mut bit) = (byte, 0);
        while bit < 8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { crc >> 1 ^ POLYNOMIAL };
            bit += 1;
        }
        table[byte as usize] = crc;
        byte += 1;
    }
    table
}

/// An incomplete checksum.
pub(super) struct Crc(u32);

impl Crc {
    pub(super) fn new() -> Crc {
        Crc(u32::MAX)
    }

    #[must_use]
    pub(super) fn with(self, bytes: &[u8]) -> Crc {
        Crc(bytes.iter().fold(self.0, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc.to_le_bytes()[0] ^ byte)]))
    }

    pub(super) fn sum(self) -> u32 {
        !self.0
    }
}

/// Returns the checksum of a structure whose own checksum is in bytes 4 to 8 and counts as zeros.
pub(super) fn with_hole(bytes: &[u8]) -> u32 {
    let (start, rest) = bytes.split_at(bytes.len().min(4));
    Crc::new().with(start).with(&[0; 4]).with(rest.get(4..).unwrap_or_default()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_of_the_rfc() {
        let sum = |bytes: &[u8]| Crc::new().with(bytes).sum();
        assert_eq!(sum(b"123456789"), 0xe306_9283);
        assert_eq!(sum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(sum(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(with_hole(b"abcd\x01\x02\x03\x04efgh"), sum(b"abcd\0\0\0\0efgh"));
    }
}
