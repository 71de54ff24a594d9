//! Reads and writes of a file that name their offset, on every system.

#[cfg(unix)]
pub(crate) use std::os::unix::fs::FileExt;

/// The methods of `std::os::unix::fs::FileExt` that tests use.
#[cfg(windows)]
pub(crate) trait FileExt {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()>;
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()>;
}

#[cfg(windows)]
impl FileExt for std::fs::File {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        let mut filled = 0;
        while filled < buf.len() {
            match std::os::windows::fs::FileExt::seek_read(self, &mut buf[filled..], offset + filled as u64)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                count => filled += count,
            }
        }
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> std::io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            written += std::os::windows::fs::FileExt::seek_write(self, &bytes[written..], offset + written as u64)?;
        }
        Ok(())
    }
}
