//! Decoders end without panic for any input. `wim::tests` compares their output with that of wimlib.

use super::*;
use proptest::prelude::*;

const ALL: [(Compression, u32); 5] = [
    (Compression::Xpress, 1 << 12),
    (Compression::Xpress, 1 << 16),
    (Compression::Lzx, 1 << 15),
    (Compression::Lzx, 1 << 21),
    (Compression::Lzms, 1 << 17),
];

#[test]
fn short_inputs_are_refused() {
    for (compression, size) in ALL {
        let mut decoder = Decoder::new(compression, size);
        for len in 0..300 {
            for byte in [0, 0x55, 0xff] {
                // Some decoders read zeros as literals; then there are fewer bits than bytes.
                let decoded = decoder.decode(&vec![byte; len], &mut [0; 4096]);
                assert!(decoded.is_err() || compression == Compression::Lzms, "{compression:?} {len} {byte}");
            }
        }
        assert_eq!(decoder.decode(&[], &mut []).is_err(), compression != Compression::Lzx);
    }
    assert!(Decoder::new(Compression::Lzx, 1 << 14).decode(&[0; 100], &mut [0; 10]).is_err());
}

#[test]
fn a_match_copies_what_it_writes() {
    let mut bytes = *b"ab........";
    assert_eq!(copy_match(&mut bytes, 2, 2, 5), Ok(7));
    assert_eq!(&bytes, b"abababa...");
    assert_eq!(copy_match(&mut bytes, 7, 1, 2), Ok(9));
    assert_eq!(&bytes, b"abababaaa.");
    for (at, offset, len) in [(2, 3, 1), (2, 0, 1), (2, 1, 9), (2, 1, usize::MAX)] {
        assert_eq!(copy_match(&mut bytes, at, offset, len), Err(Broken));
    }
}

#[test]
fn an_uncompressed_block_of_lzx_is_copied() {
    // Type 3, not the usual size, 16 bits of size; then aligned, three offsets and the bytes.
    let bits: u32 = 3 << 29 | 5 << 12;
    let mut input: Vec<u8> = [(bits >> 16) as u16, bits as u16].iter().flat_map(|word| word.to_le_bytes()).collect();
    for offset in [1u32, 1, 1] {
        input.extend_from_slice(&offset.to_le_bytes());
    }
    input.extend_from_slice(b"abcde");
    let mut out = [0; 5];
    Decoder::new(Compression::Lzx, 1 << 15).decode(&input, &mut out).unwrap();
    assert_eq!(&out, b"abcde");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_input_ends(which in 0..ALL.len(), len in 0usize..20_000, input in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let (compression, size) = ALL[which];
        let mut decoder = Decoder::new(compression, size);
        let mut out = vec![0; len];
        let first = decoder.decode(&input, &mut out);
        // Chunks are independent.
        let mut again = vec![0; len];
        prop_assert_eq!(first, decoder.decode(&input, &mut again));
        prop_assert!(first.is_err() || out == again);
    }
}
