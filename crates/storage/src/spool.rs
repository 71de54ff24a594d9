//! A temporary file without a name, written once and then read as a storage.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use super::FileStorage;
use super::scratch::named;
use hivewright_error::{Error, Result};

/// Bytes of a block. A block of zeros becomes a hole.
const BLOCK: usize = 64 << 10;

/// A temporary file during its writing. The system deletes it even if the process is killed. Blocks of zeros take no
/// room.
pub struct Spool {
    file: File,
    /// Bytes that are not written yet.
    block: Vec<u8>,
    len: u64,
    most: u64,
}

impl Spool {
    /// Creates an empty file of at most `most` bytes.
    ///
    /// # Errors
    /// I/O errors.
    pub fn new(most: u64) -> Result<Self> {
        let file = tempfile::tempfile().map_err(|error| failed("create", error))?;
        // Where that is not possible, the file only takes more room.
        #[cfg(windows)]
        let _ = super::win32::make_sparse(&file);
        Ok(Spool { file, block: Vec::with_capacity(BLOCK), len: 0, most })
    }

    /// Returns whether a write exceeded the limit. Later writes fail.
    pub fn is_full(&self) -> bool {
        self.len > self.most
    }

    /// Returns the file as a storage.
    ///
    /// # Errors
    /// I/O errors.
    pub fn finish(mut self) -> Result<FileStorage> {
        self.put().and_then(|()| self.file.set_len(self.len)).map_err(|error| failed("write", error))?;
        Ok(FileStorage::new(self.file, std::env::temp_dir()))
    }

    /// Writes the block, or leaves a hole.
    fn put(&mut self) -> io::Result<()> {
        let len = self.block.len() as i64;
        if self.block.iter().all(|byte| *byte == 0) {
            self.file.seek(SeekFrom::Current(len))?;
        } else {
            self.file.write_all(&self.block)?;
        }
        self.block.clear();
        Ok(())
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_full() {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than the limit"));
        }
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        self.len += taken as u64;
        if self.block.len() == BLOCK {
            self.put().map_err(named)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed(what: &str, error: io::Error) -> Error {
    let error = named(error);
    Error::io(format!("cannot {what} a file for unpacked bytes: {error}"), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Storage;

    #[test]
    fn bytes_are_read_back_and_zeros_take_no_room() {
        let mut bytes = vec![0; 5 << 20];
        bytes[3 << 20] = 7;
        bytes.extend_from_slice(b"end");
        let mut spool = Spool::new(bytes.len() as u64).unwrap();
        bytes.chunks(10_001).for_each(|chunk| spool.write_all(chunk).unwrap());
        assert!(!spool.is_full());
        let storage = spool.finish().unwrap();
        let mut back = vec![1; bytes.len()];
        assert_eq!(storage.len().unwrap(), bytes.len() as u64);
        storage.read_at(0, &mut back).unwrap();
        assert!(back == bytes);
        #[cfg(target_os = "linux")]
        assert!(std::os::unix::fs::MetadataExt::blocks(&storage.file().metadata().unwrap()) < 1000);
    }

    #[test]
    fn bytes_beyond_the_limit_are_refused() {
        let mut spool = Spool::new(100_000).unwrap();
        let written = io::copy(&mut io::repeat(1), &mut spool);
        assert!(written.is_err() && spool.is_full() && spool.len <= 100_000 + BLOCK as u64);
    }
}
