//! Shared code of the targets of disks: a disk or volume of the fixtures with changed bytes in its structures, and all
//! reads of a volume.

use std::sync::atomic::{AtomicU64, Ordering};

use hivewright::{Code, Error, Kind, Place, Result};
use hivewright_disk::files::Files;
use hivewright_fixtures::disks::Disk;
use hivewright_fixtures::folder::home;
use hivewright_storage::Storage;

/// Maximum number of bytes that are read for one input: many times that of an undamaged volume.
const MOST_READ: u64 = 64 << 20;

/// A fixture with some changed bytes.
pub struct Poked {
    base: &'static [u8],
    /// Offsets and bytes of the changes. Later changes replace earlier ones.
    pub pokes: Vec<(usize, Vec<u8>)>,
    read: AtomicU64,
}

/// Returns a fixture, for as long as the process lives.
pub fn fixture(name: &str) -> &'static [u8] {
    Disk::named(name).unwrap().read(&home()).unwrap().leak()
}

impl Poked {
    /// Takes an input apart: pokes of a block (two bytes, of `blocks` the one of that number), an offset in it (two
    /// bytes), a length (a byte: 1 to 8) and so many bytes.
    pub fn new(base: &'static [u8], blocks: &[usize], mut input: &[u8]) -> Self {
        let mut pokes = Vec::new();
        while let [b0, b1, o0, o1, len, rest @ ..] = input {
            let len = usize::from(len % 8) + 1;
            let block = blocks[usize::from(u16::from_le_bytes([*b0, *b1])) % blocks.len()];
            let at = block + usize::from(u16::from_le_bytes([*o0, *o1])) % 4096;
            let Some((bytes, rest)) = rest.split_at_checked(len) else { break };
            let fits = base.len().saturating_sub(at).min(len);
            pokes.push((at, bytes[..fits].to_vec()));
            input = rest;
        }
        Poked { base, pokes, read: AtomicU64::new(0) }
    }

    /// Bytes as they stand; none where the disk ends before.
    pub fn get(&self, at: usize, len: usize) -> Option<Vec<u8>> {
        let mut bytes = self.base.get(at..at.checked_add(len)?)?.to_vec();
        for (start, poke) in &self.pokes {
            let (from, to) = ((*start).max(at), (start + poke.len()).min(at + len));
            if from < to {
                bytes[from - at..to - at].copy_from_slice(&poke[from - start..to - start]);
            }
        }
        Some(bytes)
    }
}

impl Storage for Poked {
    fn len(&self) -> Result<u64> {
        Ok(self.base.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let read = self.read.fetch_add(buf.len() as u64, Ordering::Relaxed);
        assert!(read < MOST_READ, "read without end");
        let bytes = usize::try_from(offset).ok().and_then(|at| self.get(at, buf.len()));
        buf.copy_from_slice(&bytes.ok_or_else(|| Error::new(Kind::Io, Code::PastEnd, "the disk ends"))?);
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        panic!("reading wrote");
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn locate(&self, _: u64) -> Vec<Place> {
        Vec::new()
    }
}

/// Everything that a reader asks of a volume.
pub fn ask_all<F: Files>(opened: Result<F>) {
    let Ok(volume) = opened else { return };
    let _ = volume.state();
    for folder in ["", "Windows/System32"] {
        let listed = volume.list(folder);
        assert!(listed.iter().flatten().all(|entries| entries.len() <= hivewright_disk::files::MAX_ENTRIES));
    }
    for path in ["Windows/System32/config/SYSTEM", "windows/system32/CONFIG/software", "hiberfil.sys"] {
        let Ok(Some(file)) = volume.open(path) else { continue };
        let len = file.len().unwrap_or(0);
        let mut buf = vec![0; 16 << 10];
        // All of a small file; of one that claims to be large its start and its end.
        for start in (0..len.min(64 << 10)).step_by(buf.len()).chain([len.saturating_sub(buf.len() as u64)]) {
            let some = (len - start).min(buf.len() as u64) as usize;
            let _ = file.read_at(start, &mut buf[..some]);
            let _ = file.locate(start);
        }
        let _ = (file.writable(0, len), volume.confirm(&file), file.extents().len());
        if let Ok(Some(growth)) = volume.plan_growth(path, file.facts().covered_len.saturating_add(100_000)) {
            assert_eq!(growth.extents.overlap(), None);
        }
    }
}
