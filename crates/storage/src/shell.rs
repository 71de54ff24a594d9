//! Paths in the commands that messages print, quoted for a shell.

use std::path::Path;

/// Returns the path as one word of a shell command: unchanged if every character is safe, else in single quotes. A path
/// with bytes that are not UTF-8, or with characters that a terminal would not show, is quoted as `$'...'` with
/// escapes, which bash, zsh and ksh understand. A word that begins with `-` would be an option; it gets the prefix
/// `./`.
pub fn word(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let before = if bytes.starts_with(b"-") { "./" } else { "" };
    match std::str::from_utf8(bytes) {
        // In zsh, `=name` expands to the path of a program.
        Ok(text) if !text.is_empty() && !text.starts_with('=') && text.chars().all(is_safe) => {
            format!("{before}{text}")
        }
        Ok(text) if !text.chars().any(steers) => format!("'{before}{}'", text.replace('\'', r"'\''")),
        _ => format!("$'{before}{}'", escaped(bytes)),
    }
}

fn is_safe(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/._-+,:=@%".contains(c)
}

/// Returns whether the character controls a terminal or the direction of writing.
pub fn steers(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || c.is_control()
}

/// Returns the bytes escaped for `$'...'`. Octal escapes end after three digits in every shell; others do not.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::new();
    let octal = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:03o}")).collect::<String>();
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\'' | '\\' => out.extend(['\\', c]),
                // `!` may expand to a line of the shell's history.
                '!' => out.push_str("\\041"),
                c if steers(c) => out.push_str(&octal(c.encode_utf8(&mut [0; 4]).as_bytes())),
                c => out.push(c),
            }
        }
        out.push_str(&octal(chunk.invalid()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word() {
        for (path, expected) in [
            ("/srv/a-1_2/disk.raw.hivewright-undo", "/srv/a-1_2/disk.raw.hivewright-undo"),
            ("/a+b,c:d=e@f%g", "/a+b,c:d=e@f%g"),
            ("/my disk.raw", "'/my disk.raw'"),
            ("a;$(touch pwn) b.raw", "'a;$(touch pwn) b.raw'"),
            ("it's", r"'it'\''s'"),
            ("~", "'~'"),
            ("=ls", "'=ls'"),
            ("", "''"),
            ("-n", "./-n"),
            ("-n 1", "'./-n 1'"),
            ("\u{fc}", "'\u{fc}'"),
            ("a\nb'c\\!", r"$'a\nb\'c\\\041'"),
            ("\x1b[2J1", r"$'\033[2J1'"),
            ("\u{202e}x\u{fc}", "$'\\342\\200\\256x\u{fc}'"),
        ] {
            assert_eq!(word(Path::new(path)), expected, "{path:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_numbers() {
        let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"-\xff1 \xe2\x82");
        assert_eq!(word(Path::new(name)), r"$'./-\3771 \342\202'");
    }
}
