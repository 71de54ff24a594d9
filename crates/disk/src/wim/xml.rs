//! The description of the images: XML in UTF-16, with a byte order mark (Microsoft, "Windows Imaging File Format
//! (WIM)", "XML data").
//!
//! A change replaces the text of some elements. Everything else is unchanged.

use std::ops::Range;

use crate::container::helpers::xml::entities;
use hivewright_error::{Code, Error, Kind, Result};

/// Maximum size of a description in bytes.
pub(super) const MOST_BYTES: u64 = 4 << 20;
/// Maximum depth of elements, and maximum length of a path of interest in bytes.
const MOST_DEPTH: usize = 32;
const LONGEST_PATH: usize = 100;

/// A parsed description.
pub(super) struct Xml {
    text: String,
    elements: Vec<Element>,
}

/// An element with text.
struct Element {
    /// Its path, such as `/WIM/IMAGE/NAME`.
    path: String,
    /// The number of the enclosing image.
    image: Option<u32>,
    text: Range<usize>,
}

/// The description of an image. Each field is unverified text, and may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Described {
    /// The name.
    pub name: Option<String>,
    /// The name in Windows Setup.
    pub display_name: Option<String>,
    /// The edition: `Professional`.
    pub edition: Option<String>,
    /// The kind of installation: `Client`, `Server`, `WindowsPE`.
    pub installation_type: Option<String>,
    /// The processor: `x64`.
    pub architecture: Option<String>,
    /// The version with its build: `10.0.22621.1`.
    pub version: Option<String>,
    /// Bytes of all files.
    pub total_bytes: Option<u64>,
}

impl Xml {
    /// Parses a description.
    ///
    /// # Errors
    /// `wim-xml`; `wim-encrypted`.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let damaged = |what: &str| Error::new(Kind::Corrupt, Code::WimXml, what);
        let units: Vec<u16> = bytes.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
        let units = units.strip_prefix(&[0xfeff]).ok_or_else(|| damaged("the XML data is not UTF-16"))?;
        let text = String::from_utf16(units).map_err(|_| damaged("the XML data is not UTF-16"))?;
        let elements = elements(&text).ok_or_else(|| damaged("the XML data is not well-formed"))?;
        let xml = Xml { text, elements };
        if xml.elements.iter().any(|element| element.path.starts_with("/ESD/ENCRYPTED")) {
            return Err(Error::new(Kind::Unsupported, Code::WimEncrypted, "the archive is encrypted by Microsoft")
                .advise("decrypt it with its key, or use the ISO file of the installation medium"));
        }
        Ok(xml)
    }

    fn element(&self, image: Option<u32>, path: &str) -> Option<&Element> {
        self.elements.iter().find(|element| element.image == image && element.path == path)
    }

    fn text(&self, image: u32, name: &str) -> Option<String> {
        let element = self.element(Some(image), &format!("/WIM/IMAGE/{name}"))?;
        Some(entities(self.text[element.text.clone()].trim())).filter(|text| !text.is_empty())
    }

    /// Returns the description of an image.
    pub(super) fn image(&self, number: u32) -> Described {
        let text = |name: &str| self.text(number, name);
        let version = ["MAJOR", "MINOR", "BUILD", "SPBUILD"].map(|part| text(&format!("WINDOWS/VERSION/{part}")));
        let version: Vec<String> = version.into_iter().map_while(|part| part).collect();
        let architecture = text("WINDOWS/ARCH").map(|number| match &*number {
            "0" => "x86".to_owned(),
            "5" => "ARM".to_owned(),
            "6" => "IA-64".to_owned(),
            "9" => "x64".to_owned(),
            "12" => "ARM64".to_owned(),
            _ => number,
        });
        Described {
            name: text("NAME"),
            display_name: text("DISPLAYNAME"),
            edition: text("WINDOWS/EDITIONID"),
            installation_type: text("WINDOWS/INSTALLATIONTYPE"),
            architecture,
            version: Some(version.join(".")).filter(|version| !version.is_empty()),
            total_bytes: text("TOTALBYTES").and_then(|number| number.parse().ok()),
        }
    }

    /// Replaces the text of existing elements of an image, or of the archive.
    pub(super) fn set(&mut self, image: Option<u32>, name: &str, text: &str) {
        let path = if image.is_some() { format!("/WIM/IMAGE/{name}") } else { format!("/WIM/{name}") };
        let Some(range) = self.element(image, &path).map(|element| element.text.clone()) else { return };
        self.text.replace_range(range.clone(), text);
        let new_end = range.start + text.len();
        for Element { text, .. } in &mut self.elements {
            // A tag separates the texts of two elements.
            if text.start > range.start {
                *text = text.start - range.end + new_end..text.end - range.end + new_end;
            } else if text.start == range.start {
                text.end = new_end;
            }
        }
    }

    /// Returns the number that is the text of an element.
    pub(super) fn number(&self, image: u32, name: &str) -> Option<u64> {
        self.text(image, name)?.parse().ok()
    }

    /// Returns its bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        std::iter::once(0xfeff).chain(self.text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    }
}

/// Finds the elements that are empty or have only text. `None` if start and end tags do not match.
fn elements(text: &str) -> Option<Vec<Element>> {
    let mut found = Vec::new();
    // For each open element: the length of the path before it, and the start of its text if it has no child element.
    let mut open: Vec<(usize, Option<usize>)> = Vec::new();
    let (mut path, mut image) = (String::new(), None);
    let mut at = 0;
    while let Some(start) = text[at..].find('<').map(|found| at + found) {
        let rest = &text[start + 1..];
        let skipped = [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>"), ("!", ">")];
        if let Some((_, end)) = skipped.iter().find(|(begin, _)| rest.starts_with(begin)) {
            at = start + 1 + rest.find(end)? + end.len();
            continue;
        }
        let end = rest.find('>')?;
        at = start + 1 + end + 1;
        let tag = &rest[..end];
        if let Some(name) = tag.strip_prefix('/') {
            let (before, text_at) = open.pop()?;
            if path.get(before + 1..) != Some(name.trim_end()) {
                return None;
            }
            if let Some(text_at) = text_at.filter(|_| path.len() <= LONGEST_PATH) {
                found.push(Element { path: path.clone(), image, text: text_at..start });
            }
            path.truncate(before);
            if path == "/WIM" {
                image = None;
            }
            continue;
        }
        if let Some((_, text_at)) = open.last_mut() {
            *text_at = None;
        }
        if tag.ends_with('/') {
            continue;
        }
        let (name, attributes) = tag.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((tag, ""));
        if open.len() == MOST_DEPTH {
            return None;
        }
        open.push((path.len(), Some(at)));
        path.push('/');
        path += name;
        if path == "/WIM/IMAGE" {
            image = attributes.split(['"', '\'']).nth(1).and_then(|number| number.parse().ok());
        }
    }
    open.is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Xml> {
        let bytes: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        Xml::parse(&bytes)
    }

    const TEXT: &str = "<WIM><TOTALBYTES>100</TOTALBYTES><IMAGE INDEX=\"1\"><NAME>A &amp; B</NAME><TOTALBYTES>7</TOTALBYTES>\
        <WINDOWS><ARCH>9</ARCH><EDITIONID>Pro</EDITIONID><VERSION><MAJOR>10</MAJOR><MINOR>0</MINOR><BUILD>22621</BUILD>\
        </VERSION></WINDOWS></IMAGE><IMAGE INDEX=\"2\"><NAME></NAME><TOTALBYTES>8</TOTALBYTES></IMAGE></WIM>";

    #[test]
    fn images_are_described() {
        let xml = parse(TEXT).unwrap();
        let one = xml.image(1);
        assert_eq!((one.name.as_deref(), one.edition.as_deref()), (Some("A & B"), Some("Pro")));
        assert_eq!((one.architecture.as_deref(), one.version.as_deref()), (Some("x64"), Some("10.0.22621")));
        assert_eq!(xml.image(2), Described { total_bytes: Some(8), ..Described::default() });
        assert_eq!(xml.image(3), Described::default());
    }

    #[test]
    fn a_change_replaces_only_the_text() {
        let mut xml = parse(TEXT).unwrap();
        xml.set(None, "TOTALBYTES", "123456");
        xml.set(Some(2), "TOTALBYTES", "");
        xml.set(Some(1), "TOTALBYTES", "99");
        xml.set(Some(1), "NOTHING", "99");
        xml.set(Some(2), "TOTALBYTES", "10");
        let expected = TEXT.replace(">100<", ">123456<").replace(">8<", ">10<").replace(">7<", ">99<");
        assert_eq!(xml.text, expected);
        assert_eq!(parse(&xml.text).unwrap().to_bytes(), xml.to_bytes());
    }

    #[test]
    fn invalid_xml_is_refused() {
        for text in ["<WIM>", "</WIM>", "<WIM></IMAGE>", "<WIM", &"<A>".repeat(100)] {
            assert_eq!(parse(text).map(drop).unwrap_err().code(), Code::WimXml);
        }
        assert_eq!(Xml::parse(b"<WIM/>").map(drop).unwrap_err().code(), Code::WimXml);
        let encrypted = parse("<ESD><ENCRYPTED><KEY>1</KEY></ENCRYPTED></ESD>");
        assert_eq!(encrypted.map(drop).unwrap_err().code(), Code::WimEncrypted);
    }
}
