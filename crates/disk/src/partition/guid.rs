//! GUIDs of GPT: the first three fields are little-endian (UEFI 2.10, appendix A).

use crate::little_endian::{u16_at, u32_at};

/// The sixteen bytes as stored on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guid([u8; 16]);

impl Guid {
    pub(super) fn at(bytes: &[u8], at: usize) -> Self {
        Guid(bytes.get(at..).and_then(|b| b.first_chunk()).copied().unwrap_or_default())
    }

    pub(super) fn is_zero(self) -> bool {
        self.0 == [0; 16]
    }
}

impl std::fmt::Display for Guid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let b = &self.0;
        write!(f, "{:08X}-{:04X}-{:04X}-{:02X}{:02X}-", u32_at(b, 0), u16_at(b, 4), u16_at(b, 6), b[8], b[9])?;
        b[10..].iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}
