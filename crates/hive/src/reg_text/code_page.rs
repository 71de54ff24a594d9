//! Code pages: the encodings of files in the form of Windows 95.

use encoding_rs::Encoding;

/// A code page of Windows.
///
/// # Examples
/// ```
/// use hivewright_hive::reg_text::CodePage;
///
/// assert_eq!(CodePage::new(1251).unwrap().number(), 1251);
/// assert!(CodePage::new(65001).is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodePage {
    number: u16,
    encoding: &'static Encoding,
}

impl CodePage {
    /// The supported code pages, those that Windows uses as ANSI code pages: central European, Cyrillic, western,
    /// Greek, Turkish, Hebrew, Arabic, Baltic, Vietnamese, Thai, Japanese, simplified Chinese, Korean, traditional
    /// Chinese.
    pub const NUMBERS: [u16; 14] = [1250, 1251, 1252, 1253, 1254, 1255, 1256, 1257, 1258, 874, 932, 936, 949, 950];

    /// The code page of western Europe and America, 1252.
    pub const WESTERN: CodePage = CodePage { number: 1252, encoding: encoding_rs::WINDOWS_1252 };

    /// Returns the code page with this number; `None` if it is not among [`CodePage::NUMBERS`].
    pub fn new(number: u16) -> Option<CodePage> {
        let encoding = match number {
            874 => encoding_rs::WINDOWS_874,
            932 => encoding_rs::SHIFT_JIS,
            936 => encoding_rs::GBK,
            949 => encoding_rs::EUC_KR,
            950 => encoding_rs::BIG5,
            1250 => encoding_rs::WINDOWS_1250,
            1251 => encoding_rs::WINDOWS_1251,
            1252 => encoding_rs::WINDOWS_1252,
            1253 => encoding_rs::WINDOWS_1253,
            1254 => encoding_rs::WINDOWS_1254,
            1255 => encoding_rs::WINDOWS_1255,
            1256 => encoding_rs::WINDOWS_1256,
            1257 => encoding_rs::WINDOWS_1257,
            1258 => encoding_rs::WINDOWS_1258,
            _ => return None,
        };
        Some(CodePage { number, encoding })
    }

    /// Returns the number.
    pub fn number(self) -> u16 {
        self.number
    }

    /// Appends the code units of `bytes`; `None` if they are invalid in the code page.
    pub(super) fn decode(self, bytes: &[u8], units: &mut Vec<u16>) -> Option<()> {
        if bytes.is_ascii() {
            units.extend(bytes.iter().copied().map(u16::from));
            return Some(());
        }
        let text = self.encoding.decode_without_bom_handling_and_without_replacement(bytes)?;
        units.extend(text.encode_utf16());
        Some(())
    }

    /// Returns the bytes of code units; `None` if the code page cannot represent them without loss.
    pub(super) fn encode(self, units: &[u16]) -> Option<Vec<u8>> {
        let text = String::from_utf16(units).ok()?;
        let (bytes, _, lost) = self.encoding.encode(&text);
        let mut back = Vec::with_capacity(units.len());
        self.decode(&bytes, &mut back)?;
        (!lost && back == units).then(|| bytes.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_pages_decode_as_windows_does() {
        // Letters of each page, by Microsoft's tables (unicode.org, Public/MAPPINGS/VENDORS/MICSFT/WINDOWS).
        for (number, bytes, text) in [
            (874, &b"\xa1\x80"[..], "ก€"),
            (932, b"\x83\x5c\xb1", "ソｱ"),
            (936, b"\x80\xc4\xe3", "€你"),
            (949, b"\xb0\xa1\x8c\x63", "가똠"),
            (950, b"\xa4\x40", "一"),
            (1250, b"\xb9", "ą"),
            (1251, b"\xca\xeb\xfe\xf7", "Ключ"),
            (1252, b"\x80\xe4\x81", "€ä\u{81}"),
            (1253, b"\xe1", "α"),
            (1254, b"\xfd", "ı"),
            (1255, b"\xe0", "א"),
            (1256, b"\xc7", "ا"),
            (1257, b"\xe0", "ą"),
            (1258, b"\xfe", "₫"),
        ] {
            let page = CodePage::new(number).unwrap();
            let mut units = Vec::new();
            page.decode(bytes, &mut units).unwrap();
            assert_eq!(String::from_utf16(&units).unwrap(), text, "{number}");
            assert_eq!(page.encode(&units).unwrap(), bytes, "{number}");
        }
        assert!(CodePage::NUMBERS.iter().all(|&number| CodePage::new(number).unwrap().number() == number));
        assert_eq!(CodePage::new(1252), Some(CodePage::WESTERN));
    }

    #[test]
    fn letters_outside_the_code_page_are_not_replaced() {
        let units: Vec<u16> = "Ж".encode_utf16().collect();
        assert_eq!(CodePage::WESTERN.encode(&units), None);
        assert_eq!(CodePage::WESTERN.encode(&[0xd800]), None);
        assert_eq!(CodePage::new(932).unwrap().decode(b"\x83", &mut Vec::new()), None);
    }
}
