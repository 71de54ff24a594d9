//! The text of a table's cell: its width, and its abbreviation.

/// Returns the columns of a text on a terminal. East Asian characters have two, combining marks none (Unicode Standard
/// Annex 11); a few others may be off by one, which only affects the alignment.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

fn columns(c: char) -> usize {
    match u32::from(c) {
        0x300..=0x36f
        | 0x483..=0x489
        | 0x591..=0x5bd
        | 0x610..=0x61a
        | 0x64b..=0x65f
        | 0x200b..=0x200d
        | 0x20d0..=0x20ff => 0,
        0xfe00..=0xfe0f | 0xfe20..=0xfe2f | 0xfeff | 0xe0100..=0xe01ef => 0,
        0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0xa4cf | 0xa960..=0xa97f | 0xac00..=0xd7a3 => 2,
        0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Returns the text, or as much of its beginning as fits.
pub(super) fn fitted(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    beginning(text.chars(), room.saturating_sub(1)) + "\u{2026}"
}

/// Returns the text, or as much of its beginning and end as fits, for paths.
pub(super) fn fitted_in_the_middle(text: &str, room: usize) -> String {
    if width(text) <= room {
        return text.to_owned();
    }
    let head = room.saturating_sub(1) / 3;
    let tail = beginning(text.chars().rev(), room.saturating_sub(1) - head);
    beginning(text.chars(), head) + "\u{2026}" + &tail.chars().rev().collect::<String>()
}

fn beginning(text: impl Iterator<Item = char>, room: usize) -> String {
    let mut used = 0;
    text.take_while(|&c| {
        used += columns(c);
        used <= room
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_fits_its_cell() {
        assert_eq!((fitted("abc", 3), fitted("abcd", 3)), ("abc".to_owned(), "ab\u{2026}".to_owned()));
        assert_eq!(fitted_in_the_middle("/srv/images/disk.raw", 13), "/srv\u{2026}disk.raw");
        for text in ["", "a", "/srv/\u{4e2d}\u{6587}/\u{304b}\u{3099}.img", "e\u{301}e\u{301}e\u{301}"] {
            for room in 1..20 {
                assert!(width(&fitted(text, room)) <= room, "{text} {room}");
                assert!(width(&fitted_in_the_middle(text, room)) <= room, "{text} {room}");
            }
        }
    }
}
