//! E01: any bytes are an error or a disk. The checksums of every second input are repaired, so that the fuzzer gets
//! past them.
#![no_main]

mod opened;

use std::sync::Arc;

use hivewright_disk::container::verify;
use hivewright_storage::memory::Memory;
use libfuzzer_sys::fuzz_target;

fn sum(bytes: &mut [u8], start: usize, end: usize) {
    let Some(of) = bytes.get(start..end) else { return };
    let (a, b) = of.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65521;
        (a, (a + b) % 65521)
    });
    if let Some(at) = bytes.get_mut(end..end + 4) {
        at.copy_from_slice(&(b << 16 | a).to_le_bytes());
    }
}

fn mend(bytes: &mut [u8]) {
    let mut at = 13;
    while let Some(head) = bytes.get(at..at + 76) {
        let kind = head[..5].to_owned();
        let next = u64::from_le_bytes(head[16..24].try_into().unwrap()).min(1 << 40) as usize;
        let count = head.len().min(4);
        sum(bytes, at, at + 72);
        let (start, end) = (at + 76, next.saturating_sub(4));
        match &kind[..count] {
            b"volu" | b"disk" if end > start => sum(bytes, start, end),
            b"tabl" => {
                sum(bytes, start, start + 20);
                let entries = bytes.get(start..start + 4).map_or(0, |n| u32::from_le_bytes(n.try_into().unwrap()));
                sum(bytes, start + 24, (start + 24).saturating_add(entries as usize * 4));
            }
            _ => {}
        }
        if next <= at {
            return;
        }
        at = next;
    }
}

fuzz_target!(|data: &[u8]| {
    let [how, bytes @ ..] = data else { return };
    let mut bytes = bytes.to_vec();
    if how & 1 == 0 {
        mend(&mut bytes);
    }
    let Some(image) = opened::open(Arc::new(Memory::new(bytes)), "ewf", false) else { return };
    let len = image.about.size;
    let mut piece = vec![0; len.min(70_000) as usize];
    for at in [0, len / 2 - piece.len() as u64 / 2, len - piece.len() as u64] {
        let _ = image.disk.read_at(at, &mut piece);
        let _ = image.disk.locate(at);
    }
    if len < 1 << 20 {
        let _ = verify(&*image.disk, &image.about);
    }
    assert!(image.disk.write_at(0, &[1]).is_err());
});
