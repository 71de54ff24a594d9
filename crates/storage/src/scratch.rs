//! Temporary bytes: in memory while they are few, then in a file without a name.

use std::io::{self, Seek, Write};

use tempfile::SpooledTempFile;

/// Bytes that are kept in memory at most.
const IN_MEMORY: usize = 1 << 20;

/// A temporary buffer. The system deletes its file even if the process is killed.
pub struct Scratch(SpooledTempFile);

impl Scratch {
    /// Returns an empty buffer.
    pub fn new() -> Self {
        Scratch(SpooledTempFile::new(IN_MEMORY))
    }

    /// Copies all bytes to `out`.
    ///
    /// # Errors
    /// I/O errors of the temporary file and of `out`.
    pub fn copy_to(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.0.rewind().map_err(named)?;
        io::copy(&mut self.0, out)?;
        Ok(())
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Scratch {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(named)
    }
}

/// Adds the folder of temporary files to an error about one: such a file has no name.
pub fn named(error: io::Error) -> io::Error {
    let folder = std::env::temp_dir();
    let variable = if cfg!(windows) { "TMP" } else { "TMPDIR" };
    io::Error::new(error.kind(), format!("a temporary file in {} (see {variable}): {error}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_and_many_bytes_come_back() {
        for count in [0, 10, 3 * IN_MEMORY] {
            let bytes: Vec<u8> = (0..count).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut scratch = Scratch::new();
            bytes.chunks(1000).for_each(|chunk| scratch.write_all(chunk).unwrap());
            let mut back = Vec::new();
            scratch.copy_to(&mut back).unwrap();
            assert_eq!(back, bytes);
        }
    }
}
