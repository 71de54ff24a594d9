//! The decoders of WIM: the first two bytes select a decoder and the size of its output. It ends for any input.
#![no_main]

use hivewright_disk::wim::decode::{Compression, Decoder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [which, len, input @ ..] = data else { return };
    let (compression, chunk) = match which % 5 {
        0 => (Compression::Xpress, 1 << 12),
        1 => (Compression::Xpress, 1 << 16),
        2 => (Compression::Lzx, 1 << 15),
        3 => (Compression::Lzx, 1 << 21),
        _ => (Compression::Lzms, 1 << 17),
    };
    let mut out = vec![0; usize::from(*len) * 257];
    let first = Decoder::new(compression, chunk).decode(input, &mut out);
    let mut again = vec![0xff; out.len()];
    let mut decoder = Decoder::new(compression, chunk);
    let _ = decoder.decode(&[0x55; 600], &mut again);
    assert!(decoder.decode(input, &mut again) == first && (first.is_err() || out == again));
});
