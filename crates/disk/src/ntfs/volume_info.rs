//! `$Volume`, record 3: label, version, flags.

use super::attribute::kind;
use super::corrupt;
use super::mft::Mft;
use hivewright_error::{Code, Result};

const RECORD: u64 = 3;
/// The volume requests chkdsk.
pub(crate) const DIRTY: u16 = 1;

/// The contents of `$Volume`.
#[derive(Debug)]
pub(crate) struct VolumeInfo {
    pub(crate) label: String,
    pub(crate) version: (u8, u8),
    pub(crate) flags: u16,
}

impl VolumeInfo {
    pub(crate) fn read(mft: &Mft) -> Result<VolumeInfo> {
        let record = mft.record(RECORD)?;
        let label = record.value(kind::VOLUME_NAME)?.unwrap_or_default();
        let units: Vec<u16> = label.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
        // Eight unused bytes, major, minor, flags (Linux-NTFS documentation, "$VOLUME_INFORMATION").
        let [_, _, _, _, _, _, _, _, major, minor, low, high, ..] =
            *record.value(kind::VOLUME_INFORMATION)?.unwrap_or_default()
        else {
            return Err(corrupt(Code::NtfsVolume, "$Volume has no version and flags", record.at));
        };
        let flags = u16::from_le_bytes([low, high]);
        Ok(VolumeInfo { label: String::from_utf16_lossy(&units), version: (major, minor), flags })
    }
}
