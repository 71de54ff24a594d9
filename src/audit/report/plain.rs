//! Sanitizes names from hives and images.

/// Replaces control characters and direction marks by U+FFFD, so that the text cannot control a terminal or change the
/// writing direction.
pub fn plain(text: &str) -> String {
    let harmless = |c: char| match c {
        c if hivewright_storage::shell::steers(c) => '\u{fffd}',
        c => c,
    };
    text.chars().map(harmless).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_the_terminal() {
        assert_eq!(plain("a\x1b[2Jb\n\u{202e}c \u{e4}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c \u{e4}");
    }
}
