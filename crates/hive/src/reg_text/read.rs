//! Reads a file: header, sections, and the operation of each line.

mod value;

use std::sync::Arc;

use super::lines::{Encoding, Line, Lines, split_mark};
use super::problem::{MOST_ERRORS, MOST_WARNINGS};
use super::{Change, CodePage, HEADER_4, HEADER_5, Problem, Problems, RegKey, RegOperation, RootKey, equals};
use crate::regf::key_node::{MAX_DEPTH, MAX_NAME_CHARACTERS};
use crate::regf::name::Name;
use value::OpenValue;

/// Options of [`parse`].
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// Ignores, with a warning, the lines that regedit ignores, instead of reporting errors.
    pub lenient: bool,
    /// The code page of a file without a byte order mark, and of the strings of a file in the form of Windows 95.
    /// Without it that is [`CodePage::WESTERN`], but a file in the newer form without a mark is UTF-8.
    pub code_page: Option<CodePage>,
}

/// A file that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegFile {
    /// The changes, in the order of the file, which counts.
    pub operations: Vec<RegOperation>,
    /// Warnings about lines, and with [`ReadOptions::lenient`] also about ignored lines.
    pub warnings: Problems,
}

/// Reads a file.
///
/// Time and memory are linear in its size.
///
/// # Errors
/// The first line is not a header that regedit reads, or the encoding is unknown; without [`ReadOptions::lenient`], the
/// first twenty lines that regedit would ignore.
pub fn parse(bytes: &[u8], options: &ReadOptions) -> Result<RegFile, Problems> {
    let mut reader = Reader::new(options);
    let mut lines = reader.header(bytes)?;
    while let Some(line) = lines.next() {
        reader.number = lines.number;
        reader.line((line == Line::Text).then_some(&lines.units));
    }
    reader.end();
    if reader.errors.is_empty() { Ok(reader.file) } else { Err(reader.errors) }
}

/// The key that lines of values belong to.
enum Section {
    /// No key line was read.
    None,
    Key(Arc<RegKey>),
    /// The last key line deletes a key.
    Deleted,
    /// The last key line was wrong.
    Wrong,
}

/// An error in the current line; the column counts from 0.
struct Wrong {
    at: usize,
    what: String,
    advice: Option<&'static str>,
}

fn wrong(at: usize, what: impl Into<String>) -> Wrong {
    Wrong { at, what: what.into(), advice: None }
}

impl Wrong {
    fn advise(self, advice: &'static str) -> Self {
        Wrong { advice: Some(advice), ..self }
    }
}

struct Reader {
    lenient: bool,
    code_page: CodePage,
    chosen_code_page: Option<CodePage>,
    /// Whether the file is in the form of Windows 95, whose strings in hexadecimal are of the code page.
    old_form: bool,
    section: Section,
    /// A value whose bytes go on in the next line.
    open: Option<OpenValue>,
    /// Whether the following lines of bytes belong to a wrong value, which is reported once.
    swallow: bool,
    /// The number of the current line.
    number: u64,
    file: RegFile,
    errors: Problems,
}

impl Reader {
    fn new(options: &ReadOptions) -> Self {
        Reader {
            lenient: options.lenient,
            code_page: options.code_page.unwrap_or(CodePage::WESTERN),
            chosen_code_page: options.code_page,
            old_form: false,
            section: Section::None,
            open: None,
            swallow: false,
            number: 1,
            file: RegFile::default(),
            errors: Problems::default(),
        }
    }

    /// Reads the first line and finds the encoding of the others.
    fn header<'b>(&mut self, bytes: &'b [u8]) -> Result<Lines<'b>, Problems> {
        const SAVE: &str = "save it as UTF-16 or UTF-8 with a byte order mark";
        let (mark, text) = split_mark(bytes).map_err(|what| self.failed(wrong(0, what.to_owned()).advise(SAVE)))?;
        let mut lines = Lines::new(text, mark.unwrap_or(Encoding::CodePage(CodePage::WESTERN)));
        if lines.next() != Some(Line::Text) {
            return Err(self.failed(no_header()));
        }
        let blank = |unit: &u16| is_blank(*unit);
        let start = lines.units.iter().take_while(|unit| blank(unit)).count();
        let end = lines.units.len() - lines.units[start..].iter().rev().take_while(|unit| blank(unit)).count();
        let header = String::from_utf16_lossy(&lines.units[start..end]);
        self.old_form = match &*header {
            HEADER_5 => false,
            HEADER_4 => true,
            "REGEDIT" => {
                // Its lines are `HKEY_CLASSES_ROOT\name = text`; no source says how its regedit took what is odd in
                // them.
                let what = "the file has the form of Windows 3.1, which has neither names of values nor types";
                return Err(self.failed(wrong(start, what).advise(
                    "write it in the form of REGEDIT4: [HKEY_CLASSES_ROOT\\name] in a line, @=\"text\" in the next one",
                )));
            }
            _ => return Err(self.failed(no_header())),
        };
        lines.encoding = mark.unwrap_or(match self.chosen_code_page {
            // regedit uses the ANSI code page here too, which equals UTF-8 for ASCII.
            None if !self.old_form => Encoding::Utf8,
            _ => Encoding::CodePage(self.code_page),
        });
        Ok(lines)
    }

    /// Returns the only problem of an unreadable file.
    fn failed(&self, wrong: Wrong) -> Problems {
        Problems { first: vec![self.problem(wrong)], left_out: 0 }
    }

    fn problem(&self, wrong: Wrong) -> Problem {
        Problem { line: self.number, column: wrong.at as u64 + 1, what: wrong.what, advice: wrong.advice }
    }

    /// Reports that the current line is ignored, or has a meaning that its author hardly intends: an error, or a
    /// warning in a lenient reading.
    fn pass_over(&mut self, wrong: Wrong) {
        let problem = self.problem(wrong);
        if self.lenient {
            self.file.warnings.add(MOST_WARNINGS, problem);
        } else {
            self.errors.add(MOST_ERRORS, problem);
        }
    }

    /// Adds a warning about a line that is not ignored.
    fn warn(&mut self, wrong: Wrong) {
        let problem = self.problem(wrong);
        self.file.warnings.add(MOST_WARNINGS, problem);
    }

    /// Reads one line; `None` is one that could not be decoded.
    fn line(&mut self, units: Option<&Vec<u16>>) {
        let Some(units) = units else {
            self.open = None;
            let undecodable = wrong(0, "the line is not valid in the file's encoding");
            return self.pass_over(undecodable.advise("name the code page, or save the file as UTF-16"));
        };
        let start = skip_blanks(units, 0);
        if let Some(open) = self.open.take() {
            return self.continue_value(open, units, start);
        }
        let first = units.get(start).map(|&unit| char::from_u32(u32::from(unit)).unwrap_or('\0'));
        if let None | Some(';') = first {
            return;
        }
        if std::mem::take(&mut self.swallow) && value::looks_like_bytes(&units[start..]) {
            self.swallow = value::goes_on(units);
            return;
        }
        let done = match first {
            Some('[') => self.key_line(units, start),
            Some('"' | '@') => self.value_line(units, start),
            Some('#') => Err(wrong(start, "\"#\" begins no comment").advise("begin comments with \";\"")),
            _ if value::looks_like_bytes(&units[start..]) => Err(wrong(start, "the bytes belong to no value")
                .advise("end each line but the last of a value with \",\\\"")),
            _ => Err(wrong(start, "the line is not a key, value or comment")),
        };
        if let Err(wrong) = done {
            self.pass_over(wrong);
        }
    }

    fn end(&mut self) {
        if let Some(open) = self.open.take() {
            let what = "the file ends inside the bytes of a value";
            self.number = open.line;
            self.warn(wrong(0, what));
            if let Err(wrong) = self.close_value(open) {
                self.pass_over(wrong);
            }
        }
    }

    fn key_line(&mut self, units: &[u16], start: usize) -> Result<(), Wrong> {
        self.section = Section::Wrong;
        let close = units.iter().rposition(|&unit| unit == u16::from(b']'));
        let close = close.filter(|&close| close > start).ok_or_else(|| {
            wrong(units.len(), "the key has no closing bracket").advise("write a key and its brackets in one line")
        })?;
        let mut first = start + 1;
        let blank = |at: usize| units.get(at).is_some_and(|&unit| is_blank(unit));
        let no_blank = |at| wrong(at, "white space after the bracket: regedit ignores the key").advise("remove it");
        if blank(first) {
            return Err(no_blank(first));
        }
        let delete = units[first] == u16::from(b'-');
        if delete {
            first += 1;
            if blank(first) {
                return Err(no_blank(first));
            }
        }
        let key = self.path(&units[first..close], first)?;
        if delete && key.names.is_empty() {
            return Err(wrong(first, format!("{} cannot be deleted", key.root)));
        }
        let behind = skip_blanks(units, close + 1);
        if units.get(behind).is_some_and(|&unit| unit != u16::from(b';')) {
            self.pass_over(wrong(behind, "text after the key is ignored").advise("write it in the next line"));
        }
        let key = Arc::new(key);
        let change = if delete { Change::DeleteKey } else { Change::CreateKey };
        self.section = if delete { Section::Deleted } else { Section::Key(Arc::clone(&key)) };
        self.file.operations.push(RegOperation { line: self.number, key, change });
        Ok(())
    }

    /// Reads a path: `at` is its place in the line.
    fn path(&mut self, path: &[u16], at: usize) -> Result<RegKey, Wrong> {
        if let Some(zero) = path.iter().position(|&unit| unit == 0) {
            return Err(wrong(at + zero, "the key's name contains a zero"));
        }
        // Trailing backslashes do not count.
        let end = path.iter().rposition(|&unit| unit != u16::from(b'\\')).map_or(0, |last| last + 1);
        let mut parts = path[..end].split(|&unit| unit == u16::from(b'\\'));
        let first = parts.next().unwrap_or_default();
        let root = RootKey::from_units(first).ok_or_else(|| {
            let is_short = |root: &RootKey| equals(first, root.short_name());
            let error = wrong(at, format!("{:?} is not a root of the registry", String::from_utf16_lossy(first)));
            match RootKey::ALL.iter().find(|root| is_short(root)) {
                Some(_) => error.advise("regedit needs the full name, such as HKEY_LOCAL_MACHINE"),
                None => error.advise("begin with HKEY_LOCAL_MACHINE, HKEY_USERS or another root"),
            }
        })?;
        let mut names = Vec::new();
        let mut place = at + first.len();
        for part in parts {
            place += 1;
            if part.is_empty() {
                self.pass_over(
                    wrong(place, "there are two backslashes in a row").advise("separate names with one backslash"),
                );
            } else if part.len() > MAX_NAME_CHARACTERS {
                return Err(wrong(place, "the key's name has more than 255 characters"));
            } else {
                names.push(Name::from_units(part));
            }
            place += part.len();
        }
        if names.len() > MAX_DEPTH {
            return Err(wrong(at, "the key would be nested below 512 others"));
        }
        if let Some(bracket) = comment_in_name(path) {
            self.warn(wrong(
                at + bracket,
                "the name ends at the last bracket of the line, so the comment is part of it",
            ));
        }
        Ok(RegKey { root, names })
    }

    /// Returns the key that a line of a value belongs to.
    fn section(&self) -> Result<Arc<RegKey>, Wrong> {
        match &self.section {
            Section::Key(key) => Ok(Arc::clone(key)),
            Section::None => Err(wrong(0, "there is no key before the value").advise("write [HKEY_...] before it")),
            Section::Deleted => Err(wrong(0, "the value is below a key that is deleted")
                .advise("write the key once more, without \"-\", before it")),
            Section::Wrong => Err(wrong(0, "the key of the value is wrong")),
        }
    }
}

fn no_header() -> Wrong {
    wrong(0, "the first line is not a header that regedit reads")
        .advise("write \"Windows Registry Editor Version 5.00\" there, letter by letter")
}

fn is_blank(unit: u16) -> bool {
    unit == u16::from(b' ') || unit == u16::from(b'\t')
}

/// Returns the index of the first unit from `at` on that is not a space or tab.
fn skip_blanks(units: &[u16], at: usize) -> usize {
    let rest = units.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|&&unit| is_blank(unit)).count()
}

/// Returns the index of a bracket after which a comment seems to begin.
fn comment_in_name(path: &[u16]) -> Option<usize> {
    path.iter()
        .enumerate()
        .filter(|(_, unit)| **unit == u16::from(b']'))
        .map(|(at, _)| at)
        .find(|&at| path.get(skip_blanks(path, at + 1)) == Some(&u16::from(b';')))
}
