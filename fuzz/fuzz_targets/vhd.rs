//! VHD images, with repaired checksums, so that most inputs are opened.
#![no_main]

mod image;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    let end = bytes.len();
    for (start, len, own) in [(0, 512, 64), (512, 1024, 36), (end.saturating_sub(512), 512, 64)] {
        let Some(part) = bytes.get_mut(start..start + len) else { continue };
        part[own..own + 4].fill(0);
        let sum = !part.iter().fold(0u32, |sum, byte| sum + u32::from(*byte));
        part[own..own + 4].copy_from_slice(&sum.to_be_bytes());
    }
    image::run(bytes, "vhd");
});
