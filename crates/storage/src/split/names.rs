//! The names and the order of the segments of a split image.

use std::collections::HashSet;

use hivewright_error::{Code, Error, Kind, Result};

/// The numbering of the segments of one image, after the stem and the last dot.
#[derive(Clone, Copy, Debug)]
enum Count {
    /// Decimal with at least `width` digits: after 999 comes 1000.
    Digits { width: usize },
    /// `width` lower-case letters.
    Letters { width: usize },
}

impl Count {
    fn suffix(self, index: u64) -> Option<String> {
        match self {
            Count::Digits { width } => Some(format!("{index:0width$}")),
            Count::Letters { width } => {
                let mut letters = vec![b'a'; width];
                let mut rest = index;
                for letter in letters.iter_mut().rev() {
                    // Below 26.
                    *letter += (rest % 26) as u8;
                    rest /= 26;
                }
                (rest == 0).then(|| String::from_utf8_lossy(&letters).into_owned())
            }
        }
    }

    /// Returns the index that `suffix` encodes, if this numbering writes it so.
    fn index(self, suffix: &str) -> Option<u64> {
        let index = match self {
            Count::Digits { .. } => suffix.bytes().all(|b| b.is_ascii_digit()).then(|| suffix.parse().ok())??,
            Count::Letters { .. } => suffix
                .bytes()
                .all(|b| b.is_ascii_lowercase())
                .then(|| suffix.bytes().try_fold(0u64, |n, b| n.checked_mul(26)?.checked_add(u64::from(b - b'a'))))??,
        };
        (self.suffix(index)? == suffix).then_some(index)
    }
}

/// Returns the segments of the image that `one` belongs to, first to last, out of `names`, the names in its folder.
///
/// `None` if `one` is not named like a segment (`disk.001`, `disk.raw.002`, `disk.aa`). The names cannot show that the
/// last segment is missing.
///
/// # Errors
/// `split-missing`: the first segment, or one between the first and the last, is missing.
pub fn order<'a>(one: &str, names: impl IntoIterator<Item = &'a str>) -> Result<Option<Vec<String>>> {
    let Some((stem, suffix)) = one.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else { return Ok(None) };
    let counts = counts_of(suffix);
    if counts.is_empty() {
        return Ok(None);
    }
    let suffixes: HashSet<&str> =
        names.into_iter().filter_map(|n| n.strip_prefix(stem)?.strip_prefix('.')).chain([suffix]).collect();
    let start = |count: Count| {
        let firsts = match count {
            Count::Digits { .. } => 0..2,
            Count::Letters { .. } => 0..1,
        };
        firsts.into_iter().find(|&i| count.suffix(i).is_some_and(|s| suffixes.contains(&*s)))
    };
    let Some((count, first)) = counts.iter().find_map(|&count| Some((count, start(count)?))) else {
        return match counts[0] {
            // Many unrelated names end in two or three letters.
            Count::Letters { .. } => Ok(None),
            Count::Digits { .. } => Err(missing(&format!("{stem}.{}", counts[0].suffix(1).unwrap_or_default()))),
        };
    };
    let last = suffixes.iter().filter_map(|s| count.index(s)).max().unwrap_or(first);
    let mut found = Vec::new();
    for index in first..=last {
        let suffix = count.suffix(index).unwrap_or_default();
        if !suffixes.contains(&*suffix) {
            return Err(missing(&format!("{stem}.{suffix}")));
        }
        found.push(format!("{stem}.{suffix}"));
    }
    Ok(Some(found))
}

/// Returns the possible names of the first segment of the image that `one` is a later segment of; none if `one` is not
/// named like a segment.
pub fn firsts(one: &str) -> Vec<String> {
    let Some((stem, suffix)) = one.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) else { return Vec::new() };
    let numbers = |count| if matches!(count, Count::Digits { .. }) { 0..2 } else { 0..1 };
    let counts = counts_of(suffix);
    let all = counts.iter().flat_map(|&count| numbers(count).filter_map(move |i| count.suffix(i)));
    let own = counts.iter().filter_map(|count| count.index(suffix)).min().unwrap_or(0);
    all.filter(|first| own > 0 && first != suffix).map(|first| format!("{stem}.{first}")).collect()
}

/// Returns the numberings that write `suffix`: a number of four digits may be the thousandth of three.
fn counts_of(suffix: &str) -> Vec<Count> {
    let all = |test: fn(&u8) -> bool| suffix.bytes().all(|b| test(&b));
    let width = suffix.len();
    let counts: Vec<Count> = if (3..=6).contains(&width) && all(u8::is_ascii_digit) {
        (3..=width).map(|width| Count::Digits { width }).collect()
    } else if (2..=3).contains(&width) && all(u8::is_ascii_lowercase) && suffix.starts_with('a') {
        vec![Count::Letters { width }]
    } else {
        Vec::new()
    };
    counts.into_iter().filter(|count| count.index(suffix).is_some()).collect()
}

fn missing(name: &str) -> Error {
    Error::new(Kind::NotFound, Code::SplitMissing, format!("segment {name} of the split image is missing"))
        .advise("put all segments into one folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(one: &str, names: &[&str]) -> Option<Vec<String>> {
        order(one, names.iter().copied()).unwrap()
    }

    #[test]
    fn finds_the_segments_whichever_is_named() {
        let folder = ["d.003", "d.001", "d.002", "e.001", "d.raw", "d.0001", "d.txt", "d.001.txt"];
        for one in ["d.001", "d.002", "d.003"] {
            assert_eq!(found(one, &folder).unwrap(), ["d.001", "d.002", "d.003"]);
        }
        assert_eq!(found("d.0001", &folder).unwrap(), ["d.0001"]);
        assert_eq!(found("disk.raw.001", &["disk.raw.001", "disk.raw.002"]).unwrap().len(), 2);
        assert_eq!(found("d.000", &["d.000", "d.001"]).unwrap(), ["d.000", "d.001"]);
        assert_eq!(found("d.ab", &["d.aa", "d.ab", "d.ac"]).unwrap(), ["d.aa", "d.ab", "d.ac"]);
        for other in ["disk.raw", "d.1", "d.01", ".001", "001", "d.zip", "d.avi", "d.", "d.ABC", "d.9999999"] {
            assert_eq!(found(other, &[other]), None, "{other}");
        }
    }

    #[test]
    fn counts_past_its_width() {
        let names: Vec<String> = (1..=1001).map(|i| format!("d.{i:03}")).collect();
        let listed = found("d.1000", &names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(listed, names);
        let letters: Vec<String> = (0..30).filter_map(|i| Count::Letters { width: 2 }.suffix(i)).collect();
        assert_eq!((&*letters[25], &*letters[26], letters.len()), ("az", "ba", 30));
        assert_eq!(Count::Letters { width: 2 }.suffix(26 * 26), None);
    }

    #[test]
    fn names_what_the_first_could_be() {
        assert_eq!(firsts("d.002"), ["d.000", "d.001"]);
        assert_eq!(firsts("d.001"), ["d.000"]);
        assert_eq!(firsts("d.1000"), ["d.000", "d.001", "d.0000", "d.0001"]);
        assert_eq!(firsts("d.ab"), ["d.aa"]);
        for none in ["d.000", "d.aa", "d.raw", "d", ".002", "d.zip"] {
            assert_eq!(firsts(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn names_the_missing_segment() {
        for (one, names, lost) in [
            ("d.001", &["d.001", "d.002", "d.004"][..], "d.003"),
            ("d.004", &["d.004"], "d.001"),
            ("d.ac", &["d.aa", "d.ac"], "d.ab"),
        ] {
            let error = order(one, names.iter().copied()).unwrap_err();
            assert_eq!(error.code(), "split-missing");
            assert!(error.what().contains(lost), "{error}");
        }
    }
}
