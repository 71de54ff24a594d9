//! Measures the throughput of the decoders in MB of output for each second, with files of `benches/wim`. Each file is
//! named `COMPRESSION-CHUNK...`, and has the stored and the unpacked length before each chunk.

use std::time::Instant;

use hivewright_disk::wim::decode::{Compression, Decoder};

/// Duration of the measurement of each file in seconds.
const SECONDS: f64 = 1.0;

fn main() {
    // Cargo adds an argument of its own.
    for path in std::env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
        let bytes = std::fs::read(&path).expect("the file is there");
        let name = path.rsplit('/').next().unwrap_or_default();
        let mut parts = name.split('-');
        let compression = match parts.next() {
            Some("xpress") => Compression::Xpress,
            Some("lzx") => Compression::Lzx,
            _ => Compression::Lzms,
        };
        let size: u32 = parts.next().and_then(|size| size.parse().ok()).expect("the name has the size of a chunk");
        let mut chunks: Vec<(&[u8], Vec<u8>)> = Vec::new();
        let mut rest = &bytes[..];
        while let Some((head, chunk)) = rest.split_first_chunk::<8>() {
            let [stored, len] =
                [0, 4].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
            let (stored, more) = chunk.split_at(stored as usize);
            chunks.push((stored, vec![0; len as usize]));
            rest = more;
        }
        let mut decoder = Decoder::new(compression, size);
        let mut best = f64::MAX;
        let (start, mut rounds) = (Instant::now(), 0);
        while start.elapsed().as_secs_f64() < SECONDS || rounds < 3 {
            let round = Instant::now();
            for (stored, out) in &mut chunks {
                decoder.decode(stored, out).expect("a chunk");
            }
            best = best.min(round.elapsed().as_secs_f64());
            rounds += 1;
        }
        let len: usize = chunks.iter().map(|(_, out)| out.len()).sum();
        println!("{name}\t{:.0}", len as f64 / best / 1e6);
    }
}
