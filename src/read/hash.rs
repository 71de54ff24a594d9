//! The hash of a hive's primary file, without keeping all of it.

use sha2::{Digest, Sha256};

use super::Reading;
use hivewright_error::Result;
use hivewright_storage::Storage;

/// How much is hashed at once.
const PIECE: u64 = 1 << 18;

impl Reading {
    /// SHA-256 of the primary file, in lower-case hexadecimal.
    ///
    /// # Errors
    /// It cannot be read.
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
