//! Writes text in the three encodings.

use super::{Form, Writer, cannot_carry_name};
use crate::regf::name::Name;
use hivewright_error::Result;

/// The digits of each byte with a comma after them, as UTF-16LE.
const WIDE_HEX: [[u8; 6]; 256] = {
    let mut table = [[0; 6]; 256];
    let mut byte = 0;
    while byte < 256 {
        let [high, low, comma] = HEX[byte];
        table[byte] = [high, 0, low, 0, comma, 0];
        byte += 1;
    }
    table
};

/// The digits of each byte with a comma after them.
const HEX: [[u8; 3]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut table = [[0; 3]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15], b','];
        byte += 1;
    }
    table
};

/// Returns the text of string data without its terminating zero, if the text represents the data completely: one zero,
/// at the end, and no line ends or unpaired surrogates.
pub(super) fn plain_text(data: &[u8]) -> Option<&[u8]> {
    let text = data.strip_suffix(&[0, 0]).filter(|text| text.len().is_multiple_of(2))?;
    let mut pair_opened = false;
    for unit in text.chunks_exact(2) {
        let low = matches!(unit[1], 0xdc..=0xdf);
        if low != pair_opened || matches!(unit, [0 | b'\r' | b'\n', 0]) {
            return None;
        }
        pair_opened = matches!(unit[1], 0xd8..=0xdb);
    }
    (!pair_opened).then_some(text)
}

/// Appends Latin-1 as UTF-16LE.
fn widen(buffer: &mut Vec<u8>, text: &[u8]) {
    let start = buffer.len();
    buffer.resize(start + 2 * text.len(), 0);
    for (place, &byte) in buffer[start..].chunks_exact_mut(2).zip(text) {
        place.copy_from_slice(&u16::from(byte).to_le_bytes());
    }
}

impl<S: FnMut(&[u8]) -> Result<()>> Writer<S> {
    pub(super) fn ascii(&mut self, text: &str) {
        match self.form {
            Form::Utf16 => widen(&mut self.buffer, text.as_bytes()),
            _ => self.buffer.extend_from_slice(text.as_bytes()),
        }
    }

    /// Writes a name unchanged; `None` if the encoding cannot represent it, after writing a part of it.
    pub(super) fn name(&mut self, name: &Name<'_>) -> Option<()> {
        match self.form {
            Form::Utf16 if name.is_latin1() => widen(&mut self.buffer, name.bytes()),
            Form::Utf16 => self.buffer.extend_from_slice(&name.bytes()[..name.bytes().len() & !1]),
            _ if name.is_latin1() && name.bytes().is_ascii() => self.buffer.extend_from_slice(name.bytes()),
            _ => return self.units(&name.units().collect::<Vec<_>>()),
        }
        Some(())
    }

    /// Writes a value's name in quotation marks, or `@` for the default value; nothing where that is an error.
    pub(super) fn value_name(&mut self, name: &Name<'_>) -> Result<()> {
        let start = self.buffer.len();
        if name.bytes().is_empty() {
            self.ascii("@");
            return Ok(());
        }
        self.ascii("\"");
        let special = |unit: u16| matches!(u8::try_from(unit), Ok(0 | b'\r' | b'\n' | b'"' | b'\\'));
        let carried = if name.units().any(special) {
            let mut escaped = Vec::with_capacity(2 * name.bytes().len());
            for unit in name.units() {
                match u8::try_from(unit) {
                    Ok(b'\r') => escaped.extend(r"\r".encode_utf16()),
                    Ok(b'\n') => escaped.extend(r"\n".encode_utf16()),
                    Ok(b'"') => escaped.extend(r#"\""#.encode_utf16()),
                    Ok(b'\\') => escaped.extend(r"\\".encode_utf16()),
                    _ => escaped.push(unit),
                }
            }
            if escaped.contains(&0) { None } else { self.units(&escaped) }
        } else {
            self.name(name)
        };
        if carried.is_none() {
            self.buffer.truncate(start);
            return Err(cannot_carry_name("value", name));
        }
        self.ascii("\"");
        Ok(())
    }

    /// Writes UTF-16LE text in quotation marks; writes nothing and returns `false` if the encoding cannot represent it.
    pub(super) fn quoted_text(&mut self, text: &[u8]) -> bool {
        let start = self.buffer.len();
        self.ascii("\"");
        let carried = match self.form {
            Form::Utf16 => {
                let mut copied = 0;
                for (at, unit) in text.chunks_exact(2).enumerate() {
                    if matches!(unit, [b'"' | b'\\', 0]) {
                        self.buffer.extend_from_slice(&text[copied..2 * at]);
                        self.buffer.extend([b'\\', 0]);
                        copied = 2 * at;
                    }
                }
                self.buffer.extend_from_slice(&text[copied..]);
                Some(())
            }
            _ => {
                let mut escaped = Vec::with_capacity(text.len());
                for unit in text.chunks_exact(2) {
                    if matches!(unit, [b'"' | b'\\', 0]) {
                        escaped.push(u16::from(b'\\'));
                    }
                    escaped.push(u16::from_le_bytes([unit[0], unit[1]]));
                }
                self.units(&escaped)
            }
        };
        if carried.is_none() {
            self.buffer.truncate(start);
            return false;
        }
        self.ascii("\"");
        true
    }

    /// Writes code units; `None` if the encoding cannot represent them.
    fn units(&mut self, units: &[u16]) -> Option<()> {
        match self.form {
            Form::Utf16 => self.buffer.extend(units.iter().flat_map(|unit| unit.to_le_bytes())),
            Form::Utf8 => {
                for c in char::decode_utf16(units.iter().copied()) {
                    self.buffer.extend_from_slice(c.ok()?.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            Form::CodePage(page) => self.buffer.extend(page.encode(units)?),
        }
        Some(())
    }

    /// Returns the number of characters written from `start` on in the current line.
    pub(super) fn characters_from(&self, start: usize) -> usize {
        let written = &self.buffer[start..];
        match self.form {
            Form::Utf16 => written.len() / 2,
            // Continuation bytes do not count.
            Form::Utf8 => written.iter().filter(|&&byte| byte & 0xc0 != 0x80).count(),
            Form::CodePage(_) => written.len(),
        }
    }

    pub(super) fn hex_with_commas(&mut self, bytes: &[u8]) {
        fn fill<const N: usize>(buffer: &mut Vec<u8>, bytes: &[u8], table: &[[u8; N]; 256]) {
            let start = buffer.len();
            buffer.resize(start + N * bytes.len(), 0);
            for (place, &byte) in buffer[start..].chunks_exact_mut(N).zip(bytes) {
                place.copy_from_slice(&table[usize::from(byte)]);
            }
        }
        match self.form {
            Form::Utf16 => fill(&mut self.buffer, bytes, &WIDE_HEX),
            _ => fill(&mut self.buffer, bytes, &HEX),
        }
    }
}
