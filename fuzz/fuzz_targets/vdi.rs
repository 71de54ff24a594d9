//! VDI images.
#![no_main]

mod image;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| image::run(data.to_vec(), "vdi"));
