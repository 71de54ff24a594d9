//! The hash of a hive's primary file, read in pieces.

use sha2::{Digest, Sha256};

use super::Reading;
use hivewright_error::Result;
use hivewright_storage::Storage;

/// Bytes hashed at once.
const PIECE: u64 = 1 << 18;

impl Reading {
    /// Returns the SHA-256 of the primary file in lower-case hexadecimal.
    ///
    /// # Errors
    /// I/O errors.
    pub fn sha256(&self) -> Result<String> {
        let mut hash = Sha256::new();
        let Some(paged) = self.hive.paged() else {
            hash.update(self.hive.whole()?);
            return Ok(hex(&hash.finalize()));
        };
        let file = paged.file();
        let len = file.len()?;
        let mut piece = Vec::new();
        let mut at = 0;
        while at < len {
            let size = PIECE.min(len - at);
            piece.resize(usize::try_from(size).unwrap_or(0), 0);
            file.read_at(at, &mut piece)?;
            hash.update(&piece);
            at += size;
        }
        Ok(hex(&hash.finalize()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
