//! Paths in the commands that messages print, quoted for a shell.

use std::path::Path;

/// Returns the path as one word of a command, as the shells of this system read it.
pub fn word(path: &Path) -> String {
    if cfg!(windows) { windows_word(path) } else { unix_word(path) }
}

/// Returns the path as cmd and PowerShell read it: unchanged if every character is safe, else in double quotes. If
/// these would not hold every character, only PowerShell reads it: in single quotes, with other characters as numbers.
/// A word that begins with `-` would be an option; it gets the prefix `.\`.
fn windows_word(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes();
    let before = if bytes.starts_with(b"-") { r".\" } else { "" };
    // PowerShell takes typographic quotes for quotes.
    let is_plain = |c: char| !steers(c) && !"$`%\"\u{201c}\u{201d}\u{201e}".contains(c);
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || r"\/._-+:".contains(c)) => {
            format!("{before}{text}")
        }
        Ok(text) if text.chars().all(is_plain) => {
            // A backslash before the closing quote would take its meaning.
            let end = if text.ends_with('\\') { r"\" } else { "" };
            format!("\"{before}{text}{end}\"")
        }
        _ => {
            let (mut parts, mut quoted) = (Vec::new(), String::from(before));
            let end_quoted = |quoted: &mut String, parts: &mut Vec<String>| {
                if !quoted.is_empty() {
                    parts.push(format!("'{}'", std::mem::take(quoted)));
                }
            };
            for unit in units(bytes) {
                match unit {
                    Ok(c) if !steers(c) => {
                        let quotes = if "'\u{2018}\u{2019}\u{201a}\u{201b}".contains(c) { 2 } else { 1 };
                        quoted.extend(std::iter::repeat_n(c, quotes));
                    }
                    other => {
                        end_quoted(&mut quoted, &mut parts);
                        parts.push(format!("[char]0x{:04x}", other.map_or_else(u32::from, u32::from)));
                    }
                }
            }
            end_quoted(&mut quoted, &mut parts);
            match &parts[..] {
                [only] if only.starts_with('\'') => only.clone(),
                _ => format!(
                    "({})",
                    ["''"].into_iter().chain(parts.iter().map(String::as_str)).collect::<Vec<_>>().join("+")
                ),
            }
        }
    }
}

/// Returns the characters and unpaired surrogates of a path of Windows ([`std::ffi::OsStr::as_encoded_bytes`]).
fn units(mut bytes: &[u8]) -> Vec<Result<char, u16>> {
    let mut units = Vec::new();
    while let Some(chunk) = bytes.utf8_chunks().next() {
        units.extend(chunk.valid().chars().map(Ok));
        bytes = &bytes[chunk.valid().len()..];
        if let [0xed, second, third, rest @ ..] = bytes {
            units.push(Err(0xd000 | u16::from(second & 0x3f) << 6 | u16::from(third & 0x3f)));
            bytes = rest;
        } else {
            bytes = bytes.get(1..).unwrap_or_default();
        }
    }
    units
}

/// Returns the path as the shells of Unix read it: unchanged if every character is safe, else in single quotes. A path
/// with bytes that are not UTF-8, or with characters that a terminal would not show, is quoted as `$'...'` with
/// escapes, which bash, zsh and ksh understand. A word that begins with `-` would be an option; it gets the prefix
/// `./`.
fn unix_word(path: &Path) -> String {
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
            assert_eq!(unix_word(Path::new(path)), expected, "{path:?}");
        }
    }

    #[test]
    fn a_path_is_one_word_of_windows() {
        for (path, expected) in [
            (r"C:\VMs\a-1_2.raw.hivewright-undo", r"C:\VMs\a-1_2.raw.hivewright-undo"),
            (r"C:\my disks\a.raw", "\"C:\\my disks\\a.raw\""),
            (r"C:\my disks\", "\"C:\\my disks\\\\\""),
            ("a,b;c&d(1)@'x", "\"a,b;c&d(1)@'x\""),
            ("", "\"\""),
            ("-n", r".\-n"),
            ("-n 1", "\".\\-n 1\""),
            ("100%.raw", "'100%.raw'"),
            ("$a's `x", "'$a''s `x'"),
            ("a\u{201d}b", "'a\u{201d}b'"),
            ("\u{202e}x", "(''+[char]0x202e+'x')"),
            ("\u{fc}", "\"\u{fc}\""),
        ] {
            assert_eq!(windows_word(Path::new(path)), expected, "{path:?}");
        }
    }

    #[cfg(windows)]
    #[test]
    fn surrogates_are_numbers() {
        use std::os::windows::ffi::OsStringExt;
        let odd = std::ffi::OsString::from_wide(&[0x61, 0xd800, 0x62, 0xdfff]);
        assert_eq!(word(Path::new(&odd)), "(''+'a'+[char]0xd800+'b'+[char]0xdfff)");
    }

    // Names of any bytes exist on Unix alone; there is a test for UTF-16.
    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_numbers() {
        let name: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"-\xff1 \xe2\x82");
        assert_eq!(unix_word(Path::new(name)), r"$'./-\3771 \342\202'");
    }
}
