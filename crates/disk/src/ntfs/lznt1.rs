//! LZNT1, the compression of NTFS (Microsoft, MS-XCA 2.5).

/// Bytes of a decompressed chunk.
pub const CHUNK: usize = 4096;

/// Decompresses all chunks into `out`, each at its multiple of 4096, until an empty header, the end of `input` or a
/// full `out`. A chunk that yields fewer bytes leaves the rest of its place unchanged. `None` if the input is invalid.
pub fn decompress(input: &[u8], out: &mut [u8]) -> Option<()> {
    let mut rest = input;
    for place in out.chunks_mut(CHUNK) {
        let Some((head, behind)) = rest.split_first_chunk::<2>() else { return Some(()) };
        let head = u16::from_le_bytes(*head);
        if head == 0 {
            return Some(());
        }
        let (chunk, next) = behind.split_at_checked(usize::from(head & 0x0fff) + 1)?;
        if head & 0x8000 != 0 {
            expand(chunk, place)?;
        } else {
            place.get_mut(..chunk.len())?.copy_from_slice(chunk);
        }
        rest = next;
    }
    Some(())
}

/// Decompresses a chunk: groups of a byte of flags and eight items, each a literal byte or a pair of a distance and a
/// length.
fn expand(chunk: &[u8], out: &mut [u8]) -> Option<()> {
    let (mut i, mut at) = (0, 0);
    while i < chunk.len() {
        let flags = chunk[i];
        i += 1;
        for bit in 0..8 {
            let Some(&byte) = chunk.get(i) else { return Some(()) };
            if flags >> bit & 1 == 0 {
                *out.get_mut(at)? = byte;
                (i, at) = (i + 1, at + 1);
                continue;
            }
            let pair = u16::from_le_bytes([byte, *chunk.get(i + 1)?]);
            i += 2;
            // With the position in the chunk, the distance gets more bits and the length fewer: 4 to 12.
            let distance_bits = (usize::BITS - at.checked_sub(1)?.leading_zeros()).clamp(4, 12);
            let length_bits = 16 - distance_bits;
            let distance = usize::from(pair >> length_bits) + 1;
            let length = usize::from(pair & ((1 << length_bits) - 1)) + 3;
            let from = at.checked_sub(distance)?;
            if length > out.len() - at {
                return None;
            }
            // Byte by byte, since the copy may overlap itself.
            for j in 0..length {
                out[at + j] = out[from + j];
            }
            at += length;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_decoded() {
        // MS-XCA 3.3, example of LZNT1.
        let compressed = [
            0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00, 0x10, 0xa2, 0x47, 0x01, 0xa0, 0x45,
            0x20, 0x44, 0x00, 0x08, 0x45, 0x01, 0x50, 0x79, 0x00, 0xc0, 0x45, 0x20, 0x05, 0x24, 0x13, 0x88, 0x05, 0xb4,
            0x02, 0x4a, 0x44, 0xef, 0x03, 0x58, 0x02, 0x8c, 0x09, 0x16, 0x01, 0x48, 0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00,
            0x04, 0x01, 0x18, 0x90, 0x00,
        ];
        let expected =
            b"F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# \
            G F# E D E A F# F# G A A G F# E D D E F# E D D\0";
        let mut out = [0xffu8; 142];
        decompress(&compressed, &mut out).unwrap();
        assert_eq!(out[..expected.len()].escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    #[test]
    fn invalid_input_ends_without_panic() {
        let mut out = [0; CHUNK];
        assert!(decompress(&[0xff, 0xbf, 1], &mut out).is_none(), "cut short");
        assert!(decompress(&[2, 0xb0, 1, 0, 0], &mut out).is_none(), "a pair first");
        assert!(decompress(&[3, 0xb0, 2, 65, 0xff, 0xff], &mut out).is_none(), "a distance before the chunk");
        let mut state = 12345u32;
        for _ in 0..2000 {
            let bytes: Vec<u8> = (0..300)
                .map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (state >> 24) as u8
                })
                .collect();
            decompress(&bytes, &mut out);
        }
    }
}
