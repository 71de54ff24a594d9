//! Large zeroed buffers of which little is used.

use std::ops::Deref;

use super::mapped::Anonymous;
use hivewright_error::Result;

/// A zeroed buffer whose parts are set by [`SparseBuffer::lay`]: a memory map, where an allocator might clear all of it.
pub struct SparseBuffer(Anonymous);

impl SparseBuffer {
    /// Returns `len` zeros.
    ///
    /// # Errors
    /// `no-memory`: the host cannot map `len` bytes.
    pub fn new(len: usize) -> Result<Self> {
        Anonymous::new(len).map(SparseBuffer)
    }

    /// Copies `bytes` to `start`, if they fit.
    pub fn lay(&mut self, start: usize, bytes: &[u8]) {
        if let Some(into) = self.0.get_mut(start..start.saturating_add(bytes.len())) {
            into.copy_from_slice(bytes);
        }
    }
}

impl Deref for SparseBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_zeros_but_for_what_is_laid() {
        let bytes = |len| vec![0xa5; len];
        for len in [9000, 0, 1, 4096, 3 << 20, 5000] {
            let mut buffer = SparseBuffer::new(len).unwrap();
            assert!(buffer.len() == len && buffer.iter().all(|&byte| byte == 0), "{len}");
            for (start, count) in
                [(0, 10), (len / 2, 1), (len.saturating_sub(5), 5), (usize::MAX, 2), (len, 1), (0, len)]
            {
                buffer.lay(start, &bytes(count));
                let fits = start.checked_add(count).is_some_and(|end| end <= len);
                assert!(!fits || buffer[start..start + count] == bytes(count), "{len} {start}");
            }
            assert!(buffer.iter().all(|&byte| byte == 0xa5), "{len}");
        }
        assert_eq!(SparseBuffer::new(usize::MAX / 4).map(|_| ()).unwrap_err().code(), "no-memory");
    }
}
