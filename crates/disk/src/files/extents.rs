//! The extents of a file in its volume.

use hivewright_error::Result;

/// A range of a file that is contiguous in the volume, or not stored at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Extent {
    /// Offset in the file, in bytes.
    pub file_offset: u64,
    /// Offset in the volume, in bytes; `None` for a hole, which reads as zeros.
    pub volume_offset: Option<u64>,
    /// Length in bytes.
    pub len: u64,
}

impl Extent {
    /// Returns the offset in the file after the last byte.
    pub fn end(&self) -> u64 {
        self.file_offset + self.len
    }
}

/// The extents of one file, in order and without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extents(Vec<Extent>);

impl Extents {
    /// Appends `len` bytes and merges extents that are contiguous in the volume. Returns `false`, and appends nothing,
    /// if the file or the volume would end past 2^63 bytes.
    #[must_use]
    pub fn push(&mut self, volume_offset: Option<u64>, len: u64) -> bool {
        let limit = i64::MAX as u64;
        let file_offset = self.len();
        let fits = |start: u64| start.checked_add(len).is_some_and(|end| end <= limit);
        if !fits(file_offset) || !volume_offset.is_none_or(fits) {
            return false;
        }
        if len == 0 {
            return true;
        }
        if let Some(last) = self.0.last_mut()
            && last.volume_offset.map(|start| start + last.len) == volume_offset
        {
            last.len += len;
        } else {
            self.0.push(Extent { file_offset, volume_offset, len });
        }
        true
    }

    /// Returns the total length of the extents in bytes.
    pub fn len(&self) -> u64 {
        self.0.last().map_or(0, Extent::end)
    }

    /// Returns whether there are no extents.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the extents.
    pub fn as_slice(&self) -> &[Extent] {
        &self.0
    }

    /// Returns the rest of an extent from `offset` in the file on.
    pub fn from(&self, offset: u64) -> Option<Extent> {
        let extent = self.0.get(self.0.partition_point(|extent| extent.end() <= offset))?;
        let skip = offset - extent.file_offset;
        Some(Extent {
            file_offset: offset,
            volume_offset: extent.volume_offset.map(|start| start + skip),
            len: extent.len - skip,
        })
    }

    /// Returns the extents of `len` bytes from `offset` on, limited to that range; fewer bytes if the extents end
    /// before.
    pub fn within(&self, offset: u64, len: u64) -> impl Iterator<Item = Extent> {
        let end = offset.saturating_add(len);
        let mut at = offset;
        std::iter::from_fn(move || {
            let mut extent = if at < end { self.from(at)? } else { return None };
            extent.len = extent.len.min(end - at);
            at += extent.len;
            Some(extent)
        })
    }

    /// Fills `buf` from `offset` on with `read`, which gets volume offsets. Holes and bytes past the end read as zeros.
    ///
    /// # Errors
    /// Errors of `read`.
    pub fn read(&self, offset: u64, buf: &mut [u8], mut read: impl FnMut(u64, &mut [u8]) -> Result<()>) -> Result<()> {
        let mut rest = buf;
        for extent in self.within(offset, rest.len() as u64) {
            // Limited to the buffer, so it fits.
            let (part, behind) = rest.split_at_mut(usize::try_from(extent.len).unwrap_or(usize::MAX));
            match extent.volume_offset {
                Some(start) => read(start, part)?,
                None => part.fill(0),
            }
            rest = behind;
        }
        rest.fill(0);
        Ok(())
    }

    /// Returns the volume offset of the first byte that two extents share.
    pub fn overlap(&self) -> Option<u64> {
        let mut stored: Vec<(u64, u64)> =
            self.0.iter().filter_map(|e| e.volume_offset.map(|start| (start, start + e.len))).collect();
        stored.sort_unstable();
        stored.windows(2).find(|pair| pair[1].0 < pair[0].1).map(|pair| pair[1].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contiguous_extents_are_merged_and_holes_are_kept() {
        let mut extents = Extents::default();
        assert!(extents.push(Some(100), 10) && extents.push(Some(110), 5) && extents.push(None, 7));
        assert!(extents.push(None, 3) && extents.push(Some(0), 2));
        assert_eq!(extents.as_slice().len(), 3);
        assert_eq!(extents.len(), 27);
        let cut: Vec<_> = extents.within(12, 6).collect();
        assert_eq!(cut[0], Extent { file_offset: 12, volume_offset: Some(112), len: 3 });
        assert_eq!(cut[1], Extent { file_offset: 15, volume_offset: None, len: 3 });
        assert_eq!(cut.len(), 2);
    }

    #[test]
    fn sizes_above_the_limit_are_refused() {
        let mut extents = Extents::default();
        assert!(!extents.push(Some(u64::MAX - 1), 1));
        assert!(extents.push(None, i64::MAX as u64));
        assert!(!extents.push(None, 1));
    }

    #[test]
    fn overlap_is_detected() {
        let mut extents = Extents::default();
        assert!(extents.push(Some(100), 10) && extents.push(Some(50), 10));
        assert_eq!(extents.overlap(), None);
        assert!(extents.push(Some(59), 1));
        assert_eq!(extents.overlap(), Some(59));
    }
}
