//! Bytes put aside until they are wanted again: in memory while they are few, then in a file without a name.

use std::io::{self, Seek, Write};

use tempfile::SpooledTempFile;

/// Bytes that stay in memory.
const IN_MEMORY: usize = 1 << 20;

/// What was put aside. It is gone with its owner, also one that was killed.
pub struct Scratch(SpooledTempFile);

impl Scratch {
    /// Nothing yet.
    pub fn new() -> Self {
        Scratch(SpooledTempFile::new(IN_MEMORY))
    }

    /// Hands all of it to `out`.
    ///
    /// # Errors
    /// Those of the temporary file, and of `out`.
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

/// Nobody knows of this file: the error has to say where it is.
fn named(error: io::Error) -> io::Error {
    let folder = std::env::temp_dir();
    io::Error::new(error.kind(), format!("a temporary file in {} (see TMPDIR): {error}", folder.display()))
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
