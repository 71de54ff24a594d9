//! Run lists: the clusters of a stream (Linux-NTFS documentation, "Data Runs").

use super::corrupt;
use crate::files::Extents;
use hivewright_error::{Code, Result};

/// Maximum number of extents of one stream. A volume of 16 TiB in clusters of 4 KiB has fewer in the most fragmented
/// real files.
pub const MAX_EXTENTS: usize = 1 << 20;

/// Appends the runs of one attribute to `extents`.
///
/// `encoded` lies at volume offset `at`; it must cover exactly `clusters` clusters of `cluster` bytes, each below
/// `limit`, the volume's number of clusters.
///
/// # Errors
/// `ntfs-runs`.
pub fn append(encoded: &[u8], clusters: u64, cluster: u64, limit: u64, at: u64, extents: &mut Extents) -> Result<()> {
    let wrong = |what, i: usize| corrupt(Code::NtfsRuns, what, at + i as u64);
    let (mut i, mut lcn, mut rest) = (0, 0i64, clusters);
    while rest > 0 {
        let Run { length, delta, size } = Run::read(encoded, i, at)?
            .ok_or_else(|| wrong("a run list ends before its stream", i).expected(clusters, clusters - rest))?;
        if length > rest {
            return Err(wrong("a run list is longer than its stream", i).expected(rest, length));
        }
        // A run without an offset is a hole. A delta to before the volume gives a negative cluster.
        let start = match delta {
            None => None,
            Some(delta) => {
                lcn = lcn.checked_add(delta).unwrap_or(-1);
                let start = u64::try_from(lcn).ok().filter(|&start| start < limit && length <= limit - start);
                Some(start.ok_or_else(|| {
                    wrong("a run exceeds the volume", i)
                        .expected(format_args!("clusters below {limit}"), format_args!("{length} from {lcn}"))
                })?)
            }
        };
        push(extents, start, length, cluster).ok_or_else(|| wrong("a stream has too many runs or is too long", i))?;
        rest -= length;
        i += size;
    }
    match encoded.get(i) {
        Some(0) | None => Ok(()),
        Some(_) => Err(wrong("a run list continues past its stream", i)),
    }
}

/// Returns the run list `encoded` of a stream of `clusters` clusters, with `added` appended: first cluster and number
/// of clusters of each. Present runs do not change, except the last one if the first of `added` follows it.
///
/// # Errors
/// `ntfs-runs`.
pub fn extend(encoded: &[u8], clusters: u64, at: u64, added: &[(u64, u64)]) -> Result<Vec<u8>> {
    let wrong = |what, i: usize| corrupt(Code::NtfsRuns, what, at + i as u64);
    // The last run: its offset, its first cluster and its length; and the first cluster of the run before it.
    let (mut i, mut last, mut before) = (0, None, 0i64);
    let (mut lcn, mut rest) = (0i64, clusters);
    while rest > 0 {
        let run = Run::read(encoded, i, at)?.filter(|run| run.length <= rest);
        let run = run.ok_or_else(|| wrong("a run list does not end with its stream", i))?;
        before = lcn;
        let next = run.delta.and_then(|delta| lcn.checked_add(delta));
        lcn = next.ok_or_else(|| wrong("a run that has no clusters", i))?;
        last = Some((i, lcn, run.length));
        rest -= run.length;
        i += run.size;
    }
    let mut new = encoded.get(..i).unwrap_or_default().to_vec();
    let put = |new: &mut Vec<u8>, from: i64, start: i64, length: u64| {
        let (length, delta) = (shortest(i64::try_from(length).unwrap_or(i64::MAX)), shortest(start - from));
        // Eight bytes at most.
        new.push(u8::try_from(delta.len() << 4 | length.len()).unwrap_or(0));
        new.extend(length);
        new.extend(delta);
    };
    for &(start, length) in added {
        let start = i64::try_from(start).map_err(|_| wrong("a run exceeds the volume", i))?;
        match last {
            Some((at, first, so_far)) if first.checked_add_unsigned(so_far) == Some(start) => {
                new.truncate(at);
                put(&mut new, before, first, so_far + length);
                last = Some((at, first, so_far + length));
            }
            _ => {
                let at = new.len();
                put(&mut new, lcn, start, length);
                (last, before, lcn) = (Some((at, start, length)), lcn, start);
            }
        }
    }
    new.push(0);
    Ok(new)
}

/// Returns the shortest two's complement of a number, at least one byte.
fn shortest(number: i64) -> Vec<u8> {
    let bytes = number.to_le_bytes();
    let len = (1..8).find(|&len| signed(&bytes[..len]) == number).unwrap_or(8);
    bytes[..len].to_vec()
}

/// One run of a list.
struct Run {
    /// Number of clusters, at least 1.
    length: u64,
    /// Distance of the first cluster from that of the previous run; `None` for a hole.
    delta: Option<i64>,
    /// Its bytes in the list.
    size: usize,
}

impl Run {
    /// Returns the run at `i`; `None` at the end mark. `encoded` lies at volume offset `at`.
    fn read(encoded: &[u8], i: usize, at: u64) -> Result<Option<Run>> {
        let wrong = |what| corrupt(Code::NtfsRuns, what, at + i as u64);
        let head = *encoded.get(i).ok_or_else(|| wrong("a run list has no end"))?;
        if head == 0 {
            return Ok(None);
        }
        let (length_size, offset_size) = (usize::from(head & 15), usize::from(head >> 4));
        let part = |from: usize, size: usize| encoded.get(from..from + size).filter(|_| size <= 8).map(signed);
        let length =
            part(i + 1, length_size).and_then(|length| u64::try_from(length).ok()).filter(|&length| length > 0);
        let (Some(length), Some(delta)) = (length, part(i + 1 + length_size, offset_size)) else {
            return Err(wrong("a run is malformed"));
        };
        let delta = (offset_size > 0).then_some(delta);
        Ok(Some(Run { length, delta, size: 1 + length_size + offset_size }))
    }
}

fn push(extents: &mut Extents, start: Option<u64>, length: u64, cluster: u64) -> Option<()> {
    // Below the volume's number of clusters, whose bytes were checked not to overflow.
    let volume_offset = start.map(|start| start * cluster);
    let added = extents.push(volume_offset, length.checked_mul(cluster)?);
    (added && extents.as_slice().len() <= MAX_EXTENTS).then_some(())
}

/// Decodes a signed little-endian number of up to 8 bytes.
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
    fn documented_run_lists_are_decoded() {
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
    fn extended_lists_have_the_old_and_the_new_runs() {
        let scrambled = [0x11, 0x30, 0x60, 0x21, 0x10, 0x00, 0x01, 0x11, 0x20, 0xe0, 0, 0xaa, 0xaa];
        for (added, expected) in [
            (&[][..], &[0x11, 0x30, 0x60, 0x21, 0x10, 0x00, 0x01, 0x11, 0x20, 0xe0, 0][..]),
            // A run after the last run, then a run far before it.
            (
                &[(0x160, 0x60), (0x20, 0x7f)],
                &[0x11, 0x30, 0x60, 0x21, 0x10, 0x00, 0x01, 0x12, 0x80, 0x00, 0xe0, 0x21, 0x7f, 0xe0, 0xfe, 0],
            ),
            (
                &[(0x161, 1), (0x162, 1)],
                &[0x11, 0x30, 0x60, 0x21, 0x10, 0x00, 0x01, 0x11, 0x20, 0xe0, 0x11, 0x02, 0x21, 0],
            ),
        ] {
            assert_eq!(extend(&scrambled, 0x60, 0, added).unwrap(), expected, "{added:x?}");
        }
        assert_eq!(extend(&[], 0, 0, &[(200, 200)]).unwrap(), [0x22, 200, 0, 200, 0, 0]);
        for (encoded, clusters) in [(&[0x11, 0x30][..], 0x30), (&[0x01, 0x30, 0], 0x30), (&[0x11, 0x30, 0x60, 0], 0x31)]
        {
            assert_eq!(extend(encoded, clusters, 0, &[(1, 1)]).unwrap_err().code(), "ntfs-runs", "{encoded:02x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn run_lists_round_trip(runs in proptest::collection::vec((0u64..0x3f_0000, 1u64..0xffff), 1..20), cut in 0usize..20) {
            let (old, new) = runs.split_at(cut.min(runs.len()));
            let count = |runs: &[(u64, u64)]| runs.iter().map(|run| run.1).sum::<u64>();
            let first = extend(&[], 0, 0, old).unwrap();
            let all = extend(&first, count(old), 0, new).unwrap();
            let mut expected = Extents::default();
            runs.iter().for_each(|&(start, len)| assert!(expected.push(Some(start * 16), len * 16)));
            let expected: Vec<_> = expected.as_slice().iter().map(|e| (e.volume_offset, e.len)).collect();
            proptest::prop_assert_eq!(decode(&all, count(&runs)).unwrap(), expected);
        }
    }

    #[test]
    fn invalid_runs_are_refused() {
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
