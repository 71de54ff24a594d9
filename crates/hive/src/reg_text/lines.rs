//! The lines of a file, whatever its encoding: each as UTF-16 code units, so that nothing is lost of a name.

use super::CodePage;

/// An encoding of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf16,
    Utf8,
    CodePage(CodePage),
}

/// Returns the bytes of a file after its byte order mark, and the encoding. `Err` names an encoding that regedit does
/// not read.
pub(super) fn split_mark(bytes: &[u8]) -> Result<(Option<Encoding>, &[u8]), &'static str> {
    if let Some(rest) = bytes.strip_prefix(b"\xff\xfe") {
        return Ok((Some(Encoding::Utf16), rest));
    }
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return Ok((Some(Encoding::Utf8), rest));
    }
    match bytes {
        [0xfe, 0xff, ..] => Err("the file is UTF-16 with the high byte first"),
        [0, _, ..] | [_, 0, ..] => Err("the file is UTF-16 without a byte order mark"),
        _ => Ok((None, bytes)),
    }
}

/// The kind of a line; its number and text are in [`Lines`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The text was decoded.
    Text,
    /// The bytes are invalid in the encoding.
    Undecodable,
}

/// Iterates over the lines of a file. CR, LF and CR LF end a line; the last one needs no end.
pub(super) struct Lines<'b> {
    rest: &'b [u8],
    pub(super) encoding: Encoding,
    /// The number of the line that was read last, counted from 1.
    pub(super) number: u64,
    /// The text of that line.
    pub(super) units: Vec<u16>,
}

impl<'b> Lines<'b> {
    pub(super) fn new(rest: &'b [u8], encoding: Encoding) -> Self {
        Lines { rest, encoding, number: 0, units: Vec::new() }
    }

    /// Reads the next line into the buffer; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Option<Line> {
        if self.rest.is_empty() {
            return None;
        }
        self.number += 1;
        self.units.clear();
        match self.encoding {
            Encoding::Utf16 => Some(self.next_wide()),
            Encoding::Utf8 => {
                let line = self.next_narrow();
                let Ok(text) = std::str::from_utf8(line) else { return Some(Line::Undecodable) };
                if text.is_ascii() {
                    self.units.extend(text.bytes().map(u16::from));
                } else {
                    self.units.extend(text.encode_utf16());
                }
                Some(Line::Text)
            }
            Encoding::CodePage(page) => {
                let line = self.next_narrow();
                Some(page.decode(line, &mut self.units).map_or(Line::Undecodable, |()| Line::Text))
            }
        }
    }

    fn next_narrow(&mut self) -> &'b [u8] {
        // No byte of a letter of several bytes is a line end, in UTF-8 and in all code pages.
        let end = self.rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let (line, behind) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = behind.strip_prefix(b"\r\n").or_else(|| behind.get(1..)).unwrap_or_default();
        line
    }

    fn next_wide(&mut self) -> Line {
        const CR: u16 = 0x0d;
        const LF: u16 = 0x0a;
        let units = self.rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        self.units.extend(units.take_while(|&unit| unit != LF && unit != CR));
        let behind = &self.rest[2 * self.units.len()..];
        if let [_] = behind {
            // Half a code unit at the end of the file.
            self.rest = &[];
            return Line::Undecodable;
        }
        self.rest = behind.strip_prefix(b"\r\0\n\0").or_else(|| behind.get(2..)).unwrap_or_default();
        Line::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], encoding: Encoding) -> Vec<String> {
        let mut lines = Lines::new(bytes, encoding);
        let mut all = Vec::new();
        while let Some(line) = lines.next() {
            all.push(if line == Line::Text { String::from_utf16(&lines.units).unwrap() } else { "?".into() });
        }
        assert_eq!(lines.number, all.len() as u64);
        all
    }

    #[test]
    fn each_end_ends_a_line() {
        let expected = ["a", "", "ä", "", "b"];
        let text = "a\r\n\rä\n\nb";
        assert_eq!(lines(text.as_bytes(), Encoding::Utf8), expected);
        assert_eq!(lines(b"a\r\n\r\xe4\n\nb", Encoding::CodePage(CodePage::WESTERN)), expected);
        let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(lines(&wide, Encoding::Utf16), expected);
        assert_eq!(lines(b"a\n", Encoding::Utf8), ["a"]);
        assert_eq!(lines(b"", Encoding::Utf8), [""; 0]);
    }

    #[test]
    fn undecodable_bytes_are_a_line() {
        assert_eq!(lines(b"a\n\xff\nb", Encoding::Utf8), ["a", "?", "b"]);
        assert_eq!(lines(b"a\0\n\0b", Encoding::Utf16), ["a", "?"]);
        assert_eq!(lines(b"\x81\nb", Encoding::CodePage(CodePage::new(932).unwrap())), ["?", "b"]);
    }

    #[test]
    fn byte_order_marks_select_the_encoding() {
        assert_eq!(split_mark(b"\xff\xfea\0"), Ok((Some(Encoding::Utf16), &b"a\0"[..])));
        assert_eq!(split_mark(b"\xef\xbb\xbfa"), Ok((Some(Encoding::Utf8), &b"a"[..])));
        assert_eq!(split_mark(b"a"), Ok((None, &b"a"[..])));
        for bytes in [&b"\xfe\xff\0a"[..], b"a\0b\0", b"\0a\0b"] {
            assert!(split_mark(bytes).is_err());
        }
    }
}
