//! The case data of an E01 image: lines of fields that are separated by tabs.
//!
//! Facts: libewf, EWF, "Header section", "Header2 section".

use crate::container::helpers::inflate::{Failed, inflate};

/// Limits of the decompressed text, in bytes: the maximum, and the first attempt.
const MAX_TEXT: usize = 1 << 20;
const USUAL: usize = 4 << 10;

/// Returns the fields of a header section by name. Leaves out empty ones and passwords.
pub(super) fn fields(section: &[u8]) -> Vec<(&'static str, String)> {
    let mut bytes = vec![0; USUAL];
    let mut len = inflate(section, &mut bytes);
    if len == Err(Failed::TooLong) {
        bytes = vec![0; MAX_TEXT];
        len = inflate(section, &mut bytes);
    }
    let Ok(len) = len else { return Vec::new() };
    bytes.truncate(len);
    let text = match bytes.strip_prefix(b"\xff\xfe") {
        Some(wide) => {
            let units: Vec<u16> = wide.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
            String::from_utf16_lossy(&units)
        }
        None => String::from_utf8_lossy(&bytes).into_owned(),
    };
    let mut lines = text.lines().skip_while(|line| line.trim() != "main").skip(1);
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return Vec::new() };
    let found = names.split('\t').zip(values.split('\t')).filter_map(|(name, value)| {
        let value = value.trim();
        Some((known(name.trim())?, value)).filter(|_| !value.is_empty())
    });
    found.map(|(name, value)| (name, date(name, value).unwrap_or_else(|| value.chars().take(500).collect()))).collect()
}

fn known(name: &str) -> Option<&'static str> {
    Some(match name {
        "c" => "case-number",
        "n" => "evidence-number",
        "a" => "description",
        "e" => "examiner",
        "t" => "notes",
        "av" => "acquired-with",
        "ov" => "acquired-on",
        "m" => "acquired",
        "u" => "system-date",
        "md" => "model",
        "sn" => "serial-number",
        _ => return None,
    })
}

/// Formats `2026 11 22 15 8 40` as `2026-11-22 15:08:40`; the time zone is not stored.
fn date(name: &str, value: &str) -> Option<String> {
    let parts: Vec<u32> = value.split(' ').map_while(|part| part.parse().ok()).collect();
    match parts[..] {
        [year, month, day, hour, minute, second] if matches!(name, "acquired" | "system-date") => {
            Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_in_both_encodings() {
        let text = "1\r\nmain\r\nc\tn\ta\te\tt\tm\tp\r\n7\t\tdisk\tMe\tsome notes\t2026 1 2 3 4 5\tsecret\r\n";
        let expected = [
            ("case-number", "7"),
            ("description", "disk"),
            ("examiner", "Me"),
            ("notes", "some notes"),
            ("acquired", "2026-01-02 03:04:05"),
        ];
        let expected = expected.map(|(name, value)| (name, value.to_owned()));
        let pack = crate::container::helpers::inflate::deflate;
        assert_eq!(fields(&pack(text.as_bytes())), expected);
        let wide: Vec<u8> = "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(fields(&pack(&wide)), expected);
        let long = fields(&pack(text.replace("some notes", &"n".repeat(USUAL)).as_bytes()));
        assert!(long[3].1.starts_with("nnn") && long[4] == expected[4], "{long:?}");
        for bytes in [&b""[..], b"no zlib", &pack(b"main\n"), &pack(b"\xff\xfe\0"), &pack(&vec![b'\t'; 1 << 22])] {
            assert_eq!(fields(bytes), []);
        }
    }
}
