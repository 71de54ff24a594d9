//! Names out of hives and images, made harmless.

/// Nothing in the text steers a terminal or turns the direction of writing: control characters and direction marks become
/// U+FFFD.
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
