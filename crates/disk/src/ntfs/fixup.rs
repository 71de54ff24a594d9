//! Multi-sector protection: the last two bytes of each 512 have a number that shows whether all strides were written
//! (Linux-NTFS documentation, "Fixup"; Microsoft, "MULTI_SECTOR_HEADER").

use super::corrupt;
use hivewright_error::{Code, Result};
use hivewright_storage::{advised, hex};

/// Bytes protected by one word of the update sequence array, whatever the sector size.
pub const STRIDE: usize = 512;

/// Restores the real bytes of a record or block that was read from volume offset `at`. `torn` is the code for a partly
/// written block.
///
/// # Errors
/// `torn`; `ntfs-fixup` if the array is invalid.
pub fn apply(bytes: &mut [u8], at: u64, torn: Code) -> Result<()> {
    let (array, count) = array(bytes, at)?;
    let number = word(bytes, array);
    for i in 1..count {
        let end = i * STRIDE - 2;
        if bytes[end..end + 2] != number {
            return Err(corrupt(torn, "the record was written only partly", at + end as u64)
                .expected(hex::encode(&number), hex::encode(&bytes[end..end + 2]))
                .advise(format!("use another copy of the disk, or {}", advised::repair())));
        }
        let real = word(bytes, array + 2 * i);
        bytes[end..end + 2].copy_from_slice(&real);
    }
    Ok(())
}

/// Reverts [`apply`]: the bytes are then as on the medium. With `renew` it uses the next number, so that strides of two
/// writes do not match.
///
/// # Errors
/// `ntfs-fixup`.
pub fn protect(bytes: &mut [u8], at: u64, renew: bool) -> Result<()> {
    let (array, count) = array(bytes, at)?;
    let mut number = u16::from_le_bytes(word(bytes, array));
    if renew {
        // 0 and all ones are not used as numbers.
        number = if number >= u16::MAX - 1 { 1 } else { number + 1 };
        bytes[array..array + 2].copy_from_slice(&number.to_le_bytes());
    }
    for i in 1..count {
        let end = i * STRIDE - 2;
        bytes.copy_within(end..end + 2, array + 2 * i);
        bytes[end..end + 2].copy_from_slice(&number.to_le_bytes());
    }
    Ok(())
}

/// Returns the offset of the array in its block, and its number of words: the number, then one for each stride.
fn array(bytes: &[u8], at: u64) -> Result<(usize, usize)> {
    let field = |i| usize::from(u16::from_le_bytes(word(bytes, i)));
    let (array, count) = (field(4), field(6));
    let strides = bytes.len() / STRIDE;
    let fits = array >= 8 && array.is_multiple_of(2) && array + 2 * count <= STRIDE - 2;
    if !bytes.len().is_multiple_of(STRIDE) || !fits || count != strides + 1 {
        return Err(corrupt(Code::NtfsFixup, "the update sequence array does not fit its record", at + 4)
            .expected(format_args!("{} words", strides + 1), format_args!("{count} words at {array}")));
    }
    Ok((array, count))
}

fn word(bytes: &[u8], i: usize) -> [u8; 2] {
    bytes.get(i..i + 2).and_then(|word| word.try_into().ok()).unwrap_or_default()
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
    fn the_real_bytes_are_restored() {
        let mut bytes = block();
        apply(&mut bytes, 0, Code::NtfsRecordTorn).unwrap();
        assert_eq!((&bytes[510..512], &bytes[1022..]), (&[1, 2][..], &[3, 4][..]));
    }

    #[test]
    fn protection_reverts_the_fix_up() {
        let (before, mut bytes) = (block(), block());
        apply(&mut bytes, 0, Code::NtfsRecordTorn).unwrap();
        let real = bytes.clone();
        protect(&mut bytes, 0, false).unwrap();
        assert_eq!(bytes, before);
        for (number, next) in [(7u16, 8u16), (u16::MAX - 2, u16::MAX - 1), (u16::MAX - 1, 1), (u16::MAX, 1), (0, 1)] {
            let mut renewed = real.clone();
            renewed[48..50].copy_from_slice(&number.to_le_bytes());
            protect(&mut renewed, 0, true).unwrap();
            assert_eq!((&renewed[48..50], &renewed[1022..]), (&next.to_le_bytes()[..], &next.to_le_bytes()[..]));
            apply(&mut renewed, 0, Code::NtfsRecordTorn).unwrap();
            assert_eq!(renewed[54..], real[54..]);
        }
        assert_eq!(protect(&mut [0; 512], 0, false).unwrap_err().code(), "ntfs-fixup");
    }

    #[test]
    fn a_torn_record_is_an_error() {
        let mut bytes = block();
        bytes[1022] = 6;
        assert_eq!(apply(&mut bytes, 0, Code::NtfsRecordTorn).unwrap_err().code(), "ntfs-record-torn");
        for (i, byte) in [(4, 0xff), (5, 0xff), (4, 2), (4, 49), (6, 2), (7, 0xff)] {
            let mut bytes = block();
            bytes[i] = byte;
            assert_eq!(apply(&mut bytes, 0, Code::NtfsRecordTorn).unwrap_err().code(), "ntfs-fixup");
        }
        assert!(
            apply(&mut [0; 3], 0, Code::NtfsRecordTorn).is_err() && apply(&mut [], 0, Code::NtfsRecordTorn).is_err()
        );
    }
}
