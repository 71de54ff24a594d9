//! Multi-sector protection: the last two bytes of every 512 hold a number that shows whether all of them were written
//! (Linux-NTFS documentation, "Fixup"; Microsoft, "MULTI_SECTOR_HEADER").

use super::corrupt;
use hivewright_error::Result;
use hivewright_storage::{advised, hex};

/// Bytes that one word of the update sequence array protects, whatever the size of a sector.
pub const STRIDE: usize = 512;

/// Puts the real bytes back into a record or block that was read from volume offset `at`. `torn` is the code for a
/// block of which only a part was written.
///
/// # Errors
/// `torn`, or `ntfs-fixup` if the array does not fit.
pub fn apply(bytes: &mut [u8], at: u64, torn: &'static str) -> Result<()> {
    let word = |bytes: &[u8], i: usize| Some([*bytes.get(i)?, *bytes.get(i + 1)?]);
    let field = |i| word(bytes, i).map_or(0, |raw| usize::from(u16::from_le_bytes(raw)));
    let (array, count) = (field(4), field(6));
    let strides = bytes.len() / STRIDE;
    let fits = array >= 8 && array.is_multiple_of(2) && array + 2 * count <= STRIDE - 2;
    if !bytes.len().is_multiple_of(STRIDE) || !fits || count != strides + 1 {
        return Err(corrupt("ntfs-fixup", "the update sequence array does not fit its record", at + 4)
            .expected(format_args!("{} words", strides + 1), format_args!("{count} words at {array}")));
    }
    let number = word(bytes, array).unwrap_or_default();
    for i in 1..count {
        let end = i * STRIDE - 2;
        if bytes[end..end + 2] != number {
            return Err(corrupt(torn, "only a part of the record was written", at + end as u64)
                .expected(hex::encode(&number), hex::encode(&bytes[end..end + 2]))
                .advise(format!("use another copy of the disk, or {}", advised::repair())));
        }
        let real = word(bytes, array + 2 * i).unwrap_or_default();
        bytes[end..end + 2].copy_from_slice(&real);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> Vec<u8> {
        let mut bytes = vec![0; 1024];
        bytes[4..8].copy_from_slice(&[48, 0, 3, 0]);
        bytes[48..54].copy_from_slice(&[7, 0, 1, 2, 3, 4]);
        bytes[510..512].copy_from_slice(&[7, 0]);
        bytes[1022..].copy_from_slice(&[7, 0]);
        bytes
    }

    #[test]
    fn puts_the_real_bytes_back() {
        let mut bytes = block();
        apply(&mut bytes, 0, "torn").unwrap();
        assert_eq!((&bytes[510..512], &bytes[1022..]), (&[1, 2][..], &[3, 4][..]));
    }

    #[test]
    fn a_torn_record_is_named() {
        let mut bytes = block();
        bytes[1022] = 6;
        assert_eq!(apply(&mut bytes, 0, "torn").unwrap_err().code(), "torn");
        for (i, byte) in [(4, 0xff), (5, 0xff), (4, 2), (4, 49), (6, 2), (7, 0xff)] {
            let mut bytes = block();
            bytes[i] = byte;
            assert_eq!(apply(&mut bytes, 0, "torn").unwrap_err().code(), "ntfs-fixup");
        }
        assert!(apply(&mut [0; 3], 0, "torn").is_err() && apply(&mut [], 0, "torn").is_err());
    }
}
