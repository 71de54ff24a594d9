//! Writes files in the form that regedit exports.

mod text;

use std::sync::Arc;

use super::{Change, CodePage, HEADER_4, HEADER_5, RegKey, RegOperation};
use crate::regf::key_value::ValueType;
use crate::regf::name::Name;
use hivewright_error::{Code, Error, Kind, Result};
use text::plain_text;

/// The encoding of a file, and with it the version of its form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Version 5.00 in UTF-16LE with a byte order mark: regedit's own form, and the only one that carries every name.
    #[default]
    Utf16,
    /// Version 5.00 in UTF-8 without a mark. regedit reads it as text of the ANSI code page, which is the same for
    /// ASCII.
    Utf8,
    /// `REGEDIT4`, in a code page: names and strings with other letters cannot be written.
    CodePage(CodePage),
}

/// Writes a file piece by piece.
///
/// # Examples
/// ```
/// use hivewright_hive::reg_text::{Form, Writer};
/// use hivewright_hive::Hive;
///
/// # let bytes = hivewright_fixtures::HiveSpec::new(hivewright_fixtures::Minor::V5)
/// #     .key("Select", |key| key.dword("Current", 1)).build().bytes;
/// let hive = Hive::open(bytes)?.clean()?;
/// let mut file = Vec::new();
/// let mut writer = Writer::new(Form::Utf8, |piece: &[u8]| {
///     file.extend_from_slice(piece);
///     Ok(())
/// })?;
/// let key = hive.key("Select")?.expect("a SYSTEM hive has this key");
/// let exported = writer.export(&key, &r"HKLM\SYSTEM\Select".parse()?)?;
/// writer.finish()?;
/// assert_eq!((exported.keys, exported.values), (1, 1));
/// assert_eq!(
///     String::from_utf8(file).unwrap(),
///     "Windows Registry Editor Version 5.00\r\n\r\n\
///      [HKEY_LOCAL_MACHINE\\SYSTEM\\Select]\r\n\"Current\"=dword:00000001\r\n\r\n"
/// );
/// # Ok::<(), hivewright_hive::Error>(())
/// ```
#[derive(Debug)]
pub struct Writer<S> {
    form: Form,
    sink: S,
    /// Bytes that were not yet passed to the sink.
    buffer: Vec<u8>,
    /// The key of the section that is open.
    section: Option<Arc<RegKey>>,
    in_section: bool,
}

/// Approximate size of the pieces passed to the sink, in bytes.
const PIECE: usize = 1 << 16;
/// regedit breaks a line of bytes after the comma that brings it to so many characters.
const LINE_LENGTH: usize = 77;
/// The white space in front of a line that continues a value.
const INDENT: &str = "  ";

impl<S: FnMut(&[u8]) -> Result<()>> Writer<S> {
    /// Begins a file. `sink` takes the bytes, piece by piece.
    ///
    /// # Errors
    /// Errors of the sink.
    pub fn new(form: Form, sink: S) -> Result<Self> {
        let mut writer = Writer { form, sink, buffer: Vec::with_capacity(2 * PIECE), section: None, in_section: false };
        let header = match form {
            Form::Utf16 => {
                writer.buffer.extend([0xff, 0xfe]);
                HEADER_5
            }
            Form::Utf8 => HEADER_5,
            Form::CodePage(_) => HEADER_4,
        };
        writer.ascii(header);
        writer.ascii("\r\n\r\n");
        Ok(writer)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Errors of the sink.
    pub fn finish(mut self) -> Result<()> {
        self.end_section();
        (self.sink)(&self.buffer)
    }

    /// Writes an operation. Successive ones of one key share a section.
    ///
    /// # Errors
    /// `reg-name` and `reg-data`: the form cannot represent the name or the data, and nothing of the operation was
    /// written; errors of the sink.
    pub fn operation(&mut self, operation: &RegOperation) -> Result<()> {
        let key = &operation.key;
        match &operation.change {
            Change::CreateKey => self.begin_section(key, false)?,
            Change::DeleteKey => self.begin_section(key, true)?,
            Change::SetValue { .. } | Change::DeleteValue { .. } if self.section.as_ref() != Some(key) => {
                self.begin_section(key, false)?;
            }
            _ => {}
        }
        match &operation.change {
            Change::CreateKey => self.section = Some(Arc::clone(key)),
            Change::DeleteKey => self.section = None,
            Change::SetValue { name, data_type, data } => {
                self.section = Some(Arc::clone(key));
                self.value(name, *data_type, data)?;
            }
            Change::DeleteValue { name } => {
                self.section = Some(Arc::clone(key));
                self.value_name(name)?;
                self.ascii("=-\r\n");
            }
        }
        self.drain()
    }

    /// Passes the written bytes to the sink if there are enough.
    pub(super) fn drain(&mut self) -> Result<()> {
        if self.buffer.len() >= PIECE {
            (self.sink)(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    fn begin_section(&mut self, key: &RegKey, delete: bool) -> Result<()> {
        if delete && key.names.is_empty() {
            return Err(Error::refused(Code::RootKey, format!("{} cannot be deleted", key.root)));
        }
        key.names.iter().try_for_each(check_key_name)?;
        self.open_section(if delete { "[-" } else { "[" }, key.root.name(), &key.names)
    }

    /// Writes the line of a key whose names were checked.
    pub(super) fn open_section(&mut self, bracket: &str, root: &str, names: &[Name<'_>]) -> Result<()> {
        self.end_section();
        let start = self.buffer.len();
        self.ascii(bracket);
        self.ascii(root);
        for name in names {
            self.ascii("\\");
            if self.name(name).is_none() {
                self.buffer.truncate(start);
                return Err(cannot_carry_name("key", name));
            }
        }
        self.ascii("]\r\n");
        self.in_section = true;
        Ok(())
    }

    fn end_section(&mut self) {
        if std::mem::take(&mut self.in_section) {
            self.ascii("\r\n");
        }
    }

    /// Writes the line or lines of a value; nothing on error.
    pub(super) fn value(&mut self, name: &Name<'_>, data_type: ValueType, data: &[u8]) -> Result<()> {
        let start = self.buffer.len();
        self.value_name(name)?;
        self.ascii("=");
        let done = self.data(start, data_type, data);
        if done.is_err() {
            self.buffer.truncate(start);
        }
        done
    }

    fn data(&mut self, start: usize, data_type: ValueType, data: &[u8]) -> Result<()> {
        if data_type == ValueType::SZ
            && let Some(text) = plain_text(data)
            && self.quoted_text(text)
        {
            self.ascii("\r\n");
            return Ok(());
        }
        let ansi;
        let mut bytes = data;
        if let Form::CodePage(page) = self.form
            && matches!(data_type, ValueType::SZ | ValueType::EXPAND_SZ | ValueType::MULTI_SZ)
        {
            let units: Vec<u16> = data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            ansi = page.encode(&units).filter(|_| data.len().is_multiple_of(2)).ok_or_else(|| {
                let what = format!("REGEDIT4 in code page {} cannot represent the text", page.number());
                Error::new(Kind::Unsupported, Code::RegData, what).advise("write the file in UTF-16")
            })?;
            bytes = &ansi;
        }
        match (data_type, bytes) {
            (ValueType::DWORD, &[a, b, c, d]) => {
                self.ascii(&format!("dword:{:08x}", u32::from_le_bytes([a, b, c, d])));
            }
            (ValueType::BINARY, _) => self.ascii("hex:"),
            _ => self.ascii(&format!("hex({:x}):", data_type.0)),
        }
        if data_type != ValueType::DWORD || bytes.len() != 4 {
            let column = self.characters_from(start);
            self.hex(bytes, column)?;
        }
        self.ascii("\r\n");
        Ok(())
    }

    /// Writes bytes, in lines as regedit breaks them.
    fn hex(&mut self, bytes: &[u8], column: usize) -> Result<()> {
        let Some((last, mut rest)) = bytes.split_last() else { return Ok(()) };
        let mut room = LINE_LENGTH.saturating_sub(column).div_ceil(3).max(1);
        while rest.len() >= room {
            let (line, behind) = rest.split_at(room);
            self.hex_with_commas(line);
            self.ascii("\\\r\n");
            self.ascii(INDENT);
            room = (LINE_LENGTH - INDENT.len()).div_ceil(3);
            rest = behind;
            // A failure here ends the whole file, so nothing is reverted.
            self.drain()?;
        }
        self.hex_with_commas(rest);
        self.hex_with_commas(&[*last]);
        let comma = if self.form == Form::Utf16 { 2 } else { 1 };
        self.buffer.truncate(self.buffer.len() - comma);
        Ok(())
    }
}

/// Checks that a line of a key can hold the name.
pub(super) fn check_key_name(name: &Name<'_>) -> Result<()> {
    let cannot_stand = |unit: u16| matches!(u8::try_from(unit), Ok(0 | b'\r' | b'\n' | b'\\'));
    if name.bytes().is_empty() || name.units().any(cannot_stand) {
        return Err(cannot_carry_name("key", name));
    }
    Ok(())
}

fn cannot_carry_name(what: &str, name: &Name<'_>) -> Error {
    let text = name.to_string();
    Error::new(
        Kind::Unsupported,
        Code::RegName,
        format!("a registration file cannot represent the name of the {what} {text:?}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reg_text::{ReadOptions, parse};

    fn written(form: Form, operations: &[RegOperation]) -> (Vec<u8>, Vec<Code>) {
        let (mut file, mut errors) = (Vec::new(), Vec::new());
        let mut writer = Writer::new(form, |piece: &[u8]| {
            file.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        for operation in operations {
            if let Err(error) = writer.operation(operation) {
                errors.push(error.code());
            }
        }
        writer.finish().unwrap();
        (file, errors)
    }

    fn set(name: Name<'static>, data_type: u32, data: &[u8]) -> RegOperation {
        let change = Change::SetValue { name, data_type: ValueType(data_type), data: data.to_vec() };
        RegOperation { line: 0, key: Arc::new(r"HKLM\SOFTWARE\A".parse().unwrap()), change }
    }

    fn line(data_type: u32, data: &[u8]) -> String {
        let (file, errors) = written(Form::Utf8, &[set(Name::encode("v"), data_type, data)]);
        assert_eq!(errors, [""; 0]);
        let text = String::from_utf8(file).unwrap();
        let text =
            text.strip_prefix("Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n");
        text.unwrap().strip_suffix("\r\n\r\n").unwrap().strip_prefix("\"v\"=").unwrap().to_owned()
    }

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn data_has_the_form_of_regedit() {
        for (data_type, data, expected) in [
            (1, wide("a\\b\"c\0"), r#""a\\b\"c""#),
            (1, wide("\0"), r#""""#),
            (1, wide("𝄞\0"), r#""𝄞""#),
            (4, vec![0x0a, 0, 0, 0x80], "dword:8000000a"),
            (4, vec![1, 2], "hex(4):01,02"),
            (3, vec![], "hex:"),
            (3, vec![0xff], "hex:ff"),
            (0, vec![], "hex(0):"),
            (2, wide("%\0"), "hex(2):25,00,00,00"),
            (11, vec![1, 0, 0, 0, 0, 0, 0, 0], "hex(b):01,00,00,00,00,00,00,00"),
            (0xffff_0001, vec![1], "hex(ffff0001):01"),
        ] {
            assert_eq!(line(data_type, &data), expected);
        }
    }

    #[test]
    fn text_that_cannot_be_quoted_is_written_as_bytes() {
        for data in [vec![], wide("a"), wide("a\0b\0"), wide("a\0\0"), vec![b'a', 0, 0], wide("a\r\nb\0"), wide("\n\0")]
        {
            assert!(line(1, &data).starts_with("hex(1):"), "{data:?}");
        }
        assert_eq!(line(1, b"\x00\xd8\0\0"), "hex(1):00,d8,00,00");
        assert_eq!(line(1, b"\x00\xdc\x00\xd8\0\0"), "hex(1):00,dc,00,d8,00,00");
    }

    #[test]
    fn lines_of_bytes_break_as_regedit_breaks_them() {
        // "v"=hex: has 8 characters; with 23 bytes and their commas that is 77.
        let one = "00,".repeat(22) + "00";
        assert_eq!(line(3, &[0; 23]), format!("hex:{one}"));
        assert_eq!(line(3, &[0; 24]), format!("hex:{one},\\\r\n  00"));
        let more = "00,".repeat(24) + "00";
        assert_eq!(line(3, &[0; 48]), format!("hex:{one},\\\r\n  {more}"));
        assert_eq!(line(3, &[0; 49]), format!("hex:{one},\\\r\n  {more},\\\r\n  00"));
        let long = set(Name::encode(&"n".repeat(100)), 3, &[0; 2]);
        let (file, _) = written(Form::Utf8, &[long]);
        assert!(String::from_utf8(file).unwrap().ends_with("\"=hex:00,\\\r\n  00\r\n\r\n"));
    }

    #[test]
    fn unrepresentable_names_are_errors() {
        let key = |name: &[u16]| {
            let key = RegKey { root: super::super::RootKey::Users, names: vec![Name::from_units(name)] };
            RegOperation { line: 0, key: Arc::new(key), change: Change::CreateKey }
        };
        for name in [&[][..], &[0x61, 0], &[0x0d], &[0x0a], &[0x5c]] {
            assert_eq!(written(Form::Utf16, &[key(name)]).1, ["reg-name"]);
        }
        assert_eq!(written(Form::Utf16, &[set(Name::from_units(&[0x61, 0]), 3, &[])]).1, ["reg-name"]);
        let surrogate = [set(Name::from_units(&[0xd800]), 3, &[]), key(&[0xd800])];
        assert_eq!(written(Form::Utf16, &surrogate).1, [""; 0]);
        assert_eq!(written(Form::Utf8, &surrogate).1, ["reg-name", "reg-name"]);
        let cyrillic = [set(Name::encode("Ж"), 1, &wide("\0")), set(Name::encode("a"), 1, &wide("Ж\0"))];
        assert_eq!(written(Form::CodePage(CodePage::WESTERN), &cyrillic).1, ["reg-name", "reg-data"]);
        let root = RegKey { root: super::super::RootKey::Users, names: vec![] };
        let root = RegOperation { line: 0, key: Arc::new(root), change: Change::DeleteKey };
        assert_eq!(written(Form::Utf16, &[root]).1, ["root-key"]);
    }

    #[test]
    fn the_old_form_has_strings_of_the_code_page() {
        let operations = [set(Name::encode("ä"), 2, &wide("%ö%\0")), set(Name::encode(""), 1, &wide("ü\0"))];
        let (file, errors) = written(Form::CodePage(CodePage::WESTERN), &operations);
        assert_eq!(errors, [""; 0]);
        let expected =
            b"REGEDIT4\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n\"\xe4\"=hex(2):25,f6,25,00\r\n@=\"\xfc\"\r\n\r\n";
        assert_eq!(file, expected);
        let read = parse(&file, &ReadOptions::default()).unwrap().operations;
        assert_eq!(
            read[1..].iter().map(|op| &op.change).collect::<Vec<_>>(),
            operations.map(|op| op.change).iter().collect::<Vec<_>>()
        );
    }
}
