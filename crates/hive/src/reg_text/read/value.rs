//! Parses the lines of values.

use std::sync::Arc;

use super::{Reader, Wrong, is_blank, skip_blanks, wrong};
use crate::reg_text::{Change, RegKey, RegOperation};
use crate::regf::key_value::{MAX_NAME_CHARACTERS, ValueType};
use crate::regf::name::Name;

/// A value whose bytes continue in the next line.
pub(super) struct OpenValue {
    pub(super) line: u64,
    key: Arc<RegKey>,
    name: Name<'static>,
    data_type: ValueType,
    bytes: Vec<u8>,
}

const QUOTE: u16 = b'"' as u16;
const BACKSLASH: u16 = b'\\' as u16;
const COMMA: u16 = b',' as u16;
const COMMENT: u16 = b';' as u16;

impl Reader {
    pub(super) fn value_line(&mut self, units: &[u16], start: usize) -> Result<(), Wrong> {
        let (name, behind) = if units[start] == QUOTE {
            let (name, behind) = self.quoted(units, start)?;
            if name.len() > MAX_NAME_CHARACTERS {
                return Err(wrong(start, "the value's name has more than 16,383 characters"));
            }
            (Name::from_units(&name), behind)
        } else {
            (Name::from_units(&[]), start + 1)
        };
        let equals = skip_blanks(units, behind);
        if units.get(equals) != Some(&u16::from(b'=')) {
            return Err(wrong(equals, "the name of a value is not followed by \"=\""));
        }
        let at = skip_blanks(units, equals + 1);
        let rest = units.get(at..).unwrap_or_default();
        if rest.first() == Some(&QUOTE) {
            let (text, behind) = self.quoted(units, at)?;
            nothing_behind(units, behind, "a quotation mark ends the text; write \\\" for one within it")?;
            let data = text.into_iter().chain([0]).flat_map(u16::to_le_bytes).collect();
            return self.set(name, ValueType::SZ, data);
        }
        if rest.first() == Some(&u16::from(b'-')) {
            nothing_behind(units, at + 1, "write \"name\"=- to delete a value")?;
            return self.push(Change::DeleteValue { name });
        }
        if let Some(behind) = token(rest, "dword:") {
            let data = dword(units, at + behind)?;
            return self.set(name, ValueType::DWORD, data.to_le_bytes().into());
        }
        let (data_type, behind) = hex_type(rest).ok_or_else(|| unknown_data(rest, at))?;
        let key = self.section().inspect_err(|_| self.swallow = goes_on(units))?;
        let open = OpenValue { line: self.number, key, name, data_type, bytes: Vec::new() };
        self.take_bytes(open, units, at + behind)
    }

    /// Reads a line after one that ended in a backslash.
    pub(super) fn continue_value(&mut self, open: OpenValue, units: &[u16], start: usize) {
        match units.get(start) {
            None | Some(&COMMENT) => self.open = Some(open),
            Some(&unit) if hex_digit(unit).is_some() => {
                if let Err(wrong) = self.take_bytes(open, units, start) {
                    self.pass_over(wrong);
                }
            }
            Some(_) => {
                let what = format!("the value of line {} breaks off, and this line does not count", open.line);
                self.pass_over(wrong(start, what).advise("end the last line of a value without a backslash"));
            }
        }
    }

    fn take_bytes(&mut self, mut open: OpenValue, units: &[u16], at: usize) -> Result<(), Wrong> {
        match bytes(units, at, &mut open.bytes) {
            Ok(true) => self.open = Some(open),
            Ok(false) => return self.close_value(open),
            Err(wrong) => {
                self.swallow = goes_on(units);
                return Err(wrong);
            }
        }
        Ok(())
    }

    /// Finishes a value whose bytes are complete.
    pub(super) fn close_value(&mut self, open: OpenValue) -> Result<(), Wrong> {
        let OpenValue { line, key, name, data_type, mut bytes } = open;
        if matches!(data_type, ValueType::SZ | ValueType::EXPAND_SZ | ValueType::MULTI_SZ) {
            if self.old_form {
                let mut units = Vec::with_capacity(bytes.len());
                if self.code_page.decode(&bytes, &mut units).is_none() {
                    return Err(wrong(0, format!("the bytes are not text of code page {}", self.code_page.number())));
                }
                bytes = units.into_iter().flat_map(u16::to_le_bytes).collect();
            }
            if !bytes.is_empty() && !bytes.ends_with(&[0, 0]) {
                let what = "the text does not end in a zero";
                if self.lenient {
                    bytes.extend([0, 0]);
                    self.warn(wrong(0, what).advise("one was added, as regedit does"));
                } else {
                    self.warn(wrong(0, what).advise("regedit would add one"));
                }
            }
        }
        let change = Change::SetValue { name, data_type, data: bytes };
        self.file.operations.push(RegOperation { line, key, change });
        Ok(())
    }

    fn set(&mut self, name: Name<'static>, data_type: ValueType, data: Vec<u8>) -> Result<(), Wrong> {
        self.push(Change::SetValue { name, data_type, data })
    }

    fn push(&mut self, change: Change) -> Result<(), Wrong> {
        let key = self.section()?;
        self.file.operations.push(RegOperation { line: self.number, key, change });
        Ok(())
    }

    /// Reads the text between the quotation mark at `at` and the next one that is not escaped.
    fn quoted(&mut self, units: &[u16], at: usize) -> Result<(Vec<u16>, usize), Wrong> {
        let mut text = Vec::with_capacity(units.len() - at);
        let mut place = at + 1;
        loop {
            match units.get(place) {
                Some(&QUOTE) => return Ok((text, place + 1)),
                Some(&BACKSLASH) => {
                    let escaped = *units.get(place + 1).ok_or_else(|| no_end(at))?;
                    text.push(match char::from_u32(u32::from(escaped)) {
                        Some('\\' | '"') => escaped,
                        Some('\0') => return Err(has_zero(place + 1)),
                        Some('n') => u16::from(b'\n'),
                        Some('r') => u16::from(b'\r'),
                        Some('0') => {
                            return Err(
                                wrong(place, "\\0 is not an escape").advise("write hex(1): for text with zeros")
                            );
                        }
                        other => {
                            // Mostly a path without escapes: regedit drops the backslash.
                            let shown = other.unwrap_or(char::REPLACEMENT_CHARACTER);
                            let what = format!("\\{shown} is the letter {shown} alone");
                            self.pass_over(wrong(place, what).advise("write \\\\ for a backslash"));
                            escaped
                        }
                    });
                    place += 2;
                }
                Some(0) => return Err(has_zero(place)),
                Some(&unit) => {
                    text.push(unit);
                    place += 1;
                }
                None => return Err(no_end(at)),
            }
        }
    }
}

fn no_end(at: usize) -> Wrong {
    wrong(at, "the quotation mark is not closed in this line")
        .advise("text cannot go on in the next line; write hex(1): for text with line ends")
}

/// Checks that only white space or a comment follows.
fn nothing_behind(units: &[u16], at: usize, advice: &'static str) -> Result<(), Wrong> {
    let behind = skip_blanks(units, at);
    match units.get(behind) {
        None | Some(&COMMENT) => Ok(()),
        Some(_) => Err(wrong(behind, "more text follows, so regedit does not set the value").advise(advice)),
    }
}

/// Returns the length of `text` if the units begin with it.
fn token(units: &[u16], text: &str) -> Option<usize> {
    let begins =
        units.len() >= text.len() && units.iter().zip(text.bytes()).all(|(&unit, byte)| unit == u16::from(byte));
    begins.then_some(text.len())
}

fn dword(units: &[u16], at: usize) -> Result<u32, Wrong> {
    let start = skip_blanks(units, at);
    let digits = units[start..].iter().map_while(|&unit| hex_digit(unit));
    let (count, number) =
        digits.fold((0, 0u64), |(count, number), digit| (count + 1, (number << 4 | u64::from(digit)) & 0xffff_ffff));
    if !(1..=8).contains(&count) {
        return Err(wrong(start, "dword: takes 1 to 8 hexadecimal digits").advise("write dword:0000000a for 10"));
    }
    nothing_behind(units, start + count, "write the number in hexadecimal, without 0x")?;
    u32::try_from(number).map_err(|_| wrong(start, "the number does not fit"))
}

/// Returns the type of `hex:` or `hex(T):`, and the length of that.
fn hex_type(units: &[u16]) -> Option<(ValueType, usize)> {
    if let Some(len) = token(units, "hex:") {
        return Some((ValueType::BINARY, len));
    }
    let start = token(units, "hex(")?;
    let digits = units[start..].iter().map_while(|&unit| hex_digit(unit)).take(9);
    let (count, number) = digits.fold((0, 0u64), |(count, number), digit| (count + 1, number << 4 | u64::from(digit)));
    let end = token(units.get(start + count..)?, "):")?;
    let number = u32::try_from(number).ok().filter(|_| (1..=8).contains(&count))?;
    Some((ValueType(number), start + count + end))
}

fn unknown_data(rest: &[u16], at: usize) -> Wrong {
    let error = wrong(at, "the data is none of \"text\", dword:, hex:, hex(type): and -");
    let lower: Vec<u16> = rest.iter().take(4).map(|&unit| unit | 0x20).collect();
    match rest.len() {
        0 => error.advise("write \"name\"=- to delete a value, \"name\"=\"\" for empty text"),
        _ if token(&lower, "hex").is_some() || token(&lower, "dwor").is_some() => {
            error.advise("write hex, dword and the type in lower case, followed by a colon")
        }
        _ => error.advise("put text in quotation marks"),
    }
}

/// Reads bytes, separated by commas, from `at` on. Returns whether they continue in the next line.
fn bytes(units: &[u16], at: usize, bytes: &mut Vec<u8>) -> Result<bool, Wrong> {
    let mut place = at;
    loop {
        place = skip_blanks(units, place);
        match units.get(place) {
            None | Some(&COMMENT) => return Ok(false),
            Some(&BACKSLASH) => {
                nothing_behind(units, place + 1, "a backslash ends the line")?;
                return Ok(true);
            }
            Some(_) => {}
        }
        let start = place;
        let mut byte = 0;
        while let Some(digit) = units.get(place).copied().and_then(hex_digit) {
            byte = byte << 4 | digit;
            place += 1;
            if place - start > 2 {
                return Err(wrong(start, "a byte has at most two digits").advise("separate bytes with commas"));
            }
        }
        if place == start {
            return Err(wrong(start, "there is no byte here")
                .advise("write bytes as two hexadecimal digits, separated by commas"));
        }
        bytes.push(byte);
        match units.get(place) {
            Some(&COMMA) => place += 1,
            Some(&BACKSLASH) => {
                return Err(wrong(place, "the backslash does not follow a comma")
                    .advise("write \",\\\" to continue in the next line"));
            }
            _ => {
                nothing_behind(units, place, "separate bytes with one comma, without white space before it")?;
                return Ok(false);
            }
        }
    }
}

/// Returns whether a line looks like the continuation of bytes.
pub(super) fn looks_like_bytes(line: &[u16]) -> bool {
    let digits = line.iter().take_while(|&&unit| hex_digit(unit).is_some()).count();
    let next = line.get(digits).copied();
    (1..=2).contains(&digits) && next.is_none_or(|next| is_blank(next) || [COMMA, BACKSLASH, COMMENT].contains(&next))
}

/// Returns whether a line ends in a backslash, so that its bytes continue.
pub(super) fn goes_on(line: &[u16]) -> bool {
    line.iter().rev().find(|unit| !is_blank(**unit)) == Some(&BACKSLASH)
}

fn hex_digit(unit: u16) -> Option<u8> {
    match u8::try_from(unit).ok()? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn has_zero(place: usize) -> Wrong {
    wrong(place, "the line contains a zero").advise("write hex(1): for text with zeros")
}
