//! Run lists: which clusters hold a stream (Linux-NTFS documentation, "Data Runs").

use super::corrupt;
use crate::files::Extents;
use hivewright_error::Result;

/// Extents that one stream may have. A volume of 16 TiB in clusters of 4 KiB has fewer in its worst real files.
pub const MAX_EXTENTS: usize = 1 << 20;

/// Appends the runs of one attribute to `extents`.
///
/// `encoded` stands at volume offset `at`; it must cover exactly `clusters` clusters of `cluster` bytes, each below
/// `limit`, the volume's number of clusters.
///
/// # Errors
/// `ntfs-runs`.
pub fn append(encoded: &[u8], clusters: u64, cluster: u64, limit: u64, at: u64, extents: &mut Extents) -> Result<()> {
    let wrong = |what, i: usize| corrupt("ntfs-runs", what, at + i as u64);
    let (mut i, mut lcn, mut rest) = (0, 0i64, clusters);
    while rest > 0 {
        let head = *encoded.get(i).ok_or_else(|| wrong("a run list has no end", i))?;
        let (length_size, offset_size) = (usize::from(head & 15), usize::from(head >> 4));
        if head == 0 {
            return Err(wrong("a run list ends before its stream", i).expected(clusters, clusters - rest));
        }
        let part = |from: usize, size: usize| encoded.get(from..from + size).filter(|_| size <= 8);
        let length = part(i + 1, length_size).map(signed).filter(|&length| length > 0);
        let delta = part(i + 1 + length_size, offset_size);
        let (Some(length), Some(delta)) = (length, delta) else {
            return Err(wrong("a run is malformed", i));
        };
        let length = length.unsigned_abs();
        if length > rest {
            return Err(wrong("a run list is longer than its stream", i).expected(rest, length));
        }
        // Without an offset it is a hole. A delta that leads before the volume shows as a negative cluster.
        let start = if delta.is_empty() {
            None
        } else {
            lcn = lcn.checked_add(signed(delta)).unwrap_or(-1);
            let start = u64::try_from(lcn).ok().filter(|&start| start < limit && length <= limit - start);
            Some(start.ok_or_else(|| {
                wrong("a run leaves the volume", i)
                    .expected(format_args!("clusters below {limit}"), format_args!("{length} from {lcn}"))
            })?)
        };
        push(extents, start, length, cluster).ok_or_else(|| wrong("a stream has too many runs, or is too long", i))?;
        rest -= length;
        i += 1 + length_size + offset_size;
    }
    match encoded.get(i) {
        Some(0) | None => Ok(()),
        Some(_) => Err(wrong("a run list goes on behind its stream", i)),
    }
}

fn push(extents: &mut Extents, start: Option<u64>, length: u64, cluster: u64) -> Option<()> {
    // Below the volume's clusters, whose bytes were checked to fit.
    let volume_offset = start.map(|start| start * cluster);
    let added = extents.push(volume_offset, length.checked_mul(cluster)?);
    (added && extents.as_slice().len() <= MAX_EXTENTS).then_some(())
}

/// A little-endian number of up to 8 bytes with its sign.
fn signed(bytes: &[u8]) -> i64 {
    let fill = if bytes.last().is_some_and(|&top| top >= 0x80) { 0xff } else { 0 };
    let mut wide = [fill; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoded: &[u8], clusters: u64) -> Result<Vec<(Option<u64>, u64)>> {
        let mut extents = Extents::default();
        append(encoded, clusters, 16, 0x40_0000, 0, &mut extents)?;
        Ok(extents.as_slice().iter().map(|e| (e.volume_offset, e.len)).collect())
    }

    #[test]
    fn known_answers() {
        // The scrambled and the sparse file of the Linux-NTFS documentation.
        let scrambled = [0x11, 0x30, 0x60, 0x21, 0x10, 0x00, 0x01, 0x11, 0x20, 0xe0, 0];
        assert_eq!(
            decode(&scrambled, 0x60).unwrap(),
            [(Some(0x600), 0x300), (Some(0x1600), 0x100), (Some(0x1400), 0x200)]
        );
        let sparse = [0x11, 0x30, 0x20, 0x01, 0x60, 0x11, 0x10, 0x30, 0];
        assert_eq!(decode(&sparse, 0xa0).unwrap(), [(Some(0x200), 0x300), (None, 0x600), (Some(0x500), 0x100)]);
        assert_eq!(decode(&[], 0).unwrap(), []);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (encoded, clusters) in [
            (&[0x11, 0x30][..], 0x30),
            (&[0x11, 0x30, 0x60, 0], 0x31),
            (&[0x11, 0x30, 0x60, 0], 0x2f),
            (&[0x11, 0x30, 0x60, 0x11, 1, 1, 0], 0x30),
            (&[0x11, 0x80, 0x60, 0], 0x80),
            (&[0x11, 0x01, 0xff, 0], 1),
            (&[0x10, 0x01, 0], 1),
            (&[0x91, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0], 1),
            (&[0x81, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], 1),
            (&[0x31, 0x10, 0xf1, 0xff, 0x3f, 0], 0x10),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0], i64::MAX as u64),
        ] {
            assert_eq!(decode(encoded, clusters).unwrap_err().code(), "ntfs-runs", "{encoded:02x?}");
        }
        assert!(decode(&[0x31, 0x10, 0xf0, 0xff, 0x3f, 0], 0x10).is_ok(), "up to the last cluster");
    }
}
