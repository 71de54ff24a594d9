//! Expectations of values and keys.

use std::fmt::Write;

use hivewright_hive::ValueType;
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_hive::security_descriptor::SecurityDescriptor;
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Deserialize;

use super::condition::OneOrMore;
use super::datum::{self, Datum};

/// Size limit of a compiled regular expression in bytes.
const MOST_PATTERN: usize = 1 << 20;

/// Expectation in the syntax of a policy. All parts must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExpectText {
    /// The data equals this.
    equals: Option<Datum>,
    /// The data equals one of these.
    #[serde(rename = "in")]
    one_of: Option<Vec<Datum>>,
    /// The data is a number, and not smaller.
    at_least: Option<u64>,
    /// The data is a number, and not larger.
    at_most: Option<u64>,
    /// The data is a string that this regular expression matches, or a list with such a string.
    matches: Option<String>,
    /// The data is a `REG_MULTI_SZ` with this string, or all of these.
    contains: Option<OneOrMore<String>>,
    /// The type of the data: `REG_DWORD` ..., or its number.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The value or key is present; with `false`, it is absent.
    present: Option<bool>,
    /// The value or key is absent; with `false`, it is present.
    absent: Option<bool>,
    /// An absent value is as expected too.
    #[serde(default)]
    or_absent: bool,
    /// Strings of `equals`, `in` and `contains` are compared without regard to case.
    #[serde(default)]
    ignore_case: bool,
    /// The security descriptor of the key, in SDDL; parts that are left out are not compared.
    security: Option<String>,
    /// Values or subkeys of the key were last changed at this time or later (RFC 3339).
    written_since: Option<String>,
    /// Values or subkeys of the key were last changed before this time (RFC 3339).
    written_before: Option<String>,
}

/// Expectation of a value or key.
#[derive(Clone, Debug, Default)]
pub struct Expectation {
    terms: Vec<Term>,
    or_absent: bool,
    ignore_case: bool,
    /// Text in the syntax of a policy.
    text: String,
}

#[derive(Clone, Debug)]
enum Term {
    Present,
    Absent,
    Type(ValueType),
    Equals(Datum),
    In(Vec<Datum>),
    AtLeast(u64),
    AtMost(u64),
    Matches(Regex),
    Contains(Vec<String>),
    Security(Box<SecurityDescriptor>),
    WrittenSince(FileTime),
    WrittenBefore(FileTime),
}

/// Facts of a key that expectations use.
pub(super) struct KeyFacts {
    /// The security descriptor, if an expectation needs it.
    pub(super) security: Option<SecurityDescriptor>,
    pub(super) last_written: FileTime,
}

impl ExpectText {
    /// Converts the expectation of a value or a key.
    ///
    /// # Errors
    /// A part does not apply to a value or a key, or contradicts another one.
    pub(super) fn read(self, of_value: bool) -> Result<Expectation, String> {
        let text = self.to_string();
        let mut terms = Vec::new();
        for (is_there, field) in [(true, self.present), (false, self.absent)] {
            terms.extend(field.map(|field| if field == is_there { Term::Present } else { Term::Absent }));
        }
        let count_of_both = terms.len();
        if let Some(kind) = &self.kind {
            terms.push(Term::Type(value_type(kind)?));
        }
        terms.extend(self.equals.map(Term::Equals));
        if let Some(all) = self.one_of {
            match all.is_empty() {
                true => return Err("an empty `in` allows no data".to_owned()),
                false => terms.push(Term::In(all)),
            }
        }
        terms.extend(self.at_least.map(Term::AtLeast));
        terms.extend(self.at_most.map(Term::AtMost));
        if let Some(pattern) = &self.matches {
            let built = RegexBuilder::new(pattern).size_limit(MOST_PATTERN).build();
            terms
                .push(Term::Matches(built.map_err(|error| format!("`matches` is not a regular expression: {error}"))?));
        }
        terms.extend(self.contains.map(|all| Term::Contains(all.as_slice().to_vec())));
        let of_data = terms.len() - count_of_both;
        if let Some(sddl) = &self.security {
            let read = SecurityDescriptor::from_sddl(sddl);
            terms.push(Term::Security(Box::new(read.map_err(|error| format!("`security`: {error}"))?)));
        }
        let time =
            |text: &String| text.parse().map_err(|()| format!("\"{text}\" is not a time: use 2024-12-31T00:00:00Z"));
        terms.extend(self.written_since.as_ref().map(time).transpose()?.map(Term::WrittenSince));
        terms.extend(self.written_before.as_ref().map(time).transpose()?.map(Term::WrittenBefore));
        let of_key = terms.len() - count_of_both - of_data;
        let is_absent = terms.iter().any(|term| matches!(term, Term::Absent));
        match () {
            () if terms.is_empty() => Err("`expect` is empty: use equals, in, present, absent ...".to_owned()),
            () if is_absent && (terms.len() > 1 || self.or_absent) => {
                Err("`absent` excludes all other parts: use `or_absent` with them".to_owned())
            }
            () if of_value && of_key > 0 => {
                Err("`security`, `written_since` and `written_before` apply to keys: omit `value`".to_owned())
            }
            () if !of_value && of_data > 0 => {
                Err("`expect` applies to the data of a value: set `value`, \"\" for the default value".to_owned())
            }
            () => Ok(Expectation { terms, or_absent: self.or_absent, ignore_case: self.ignore_case, text }),
        }
    }
}

/// Parses a data type, by its name or number.
pub(super) fn value_type(text: &str) -> Result<ValueType, String> {
    text.parse().map_err(|()| format!("\"{text}\" is not a data type: use REG_SZ, REG_DWORD ..."))
}

impl std::fmt::Display for ExpectText {
    /// Formats one line in the syntax of a policy.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |all: &[Datum]| format!("[{}]", all.iter().map(Datum::to_string).collect::<Vec<_>>().join(", "));
        let quoted = |text: &String| datum::quoted(text);
        let texts = |all: &OneOrMore<String>| match all {
            OneOrMore::One(one) => quoted(one),
            OneOrMore::More(all) => Datum::Texts(all.clone()).to_string(),
        };
        let all = [
            ("present", self.present.map(|is| is.to_string())),
            ("absent", self.absent.map(|is| is.to_string())),
            ("type", self.kind.as_ref().map(quoted)),
            ("equals", self.equals.as_ref().map(Datum::to_string)),
            ("in", self.one_of.as_deref().map(list)),
            ("at_least", self.at_least.map(|it| it.to_string())),
            ("at_most", self.at_most.map(|it| it.to_string())),
            ("matches", self.matches.as_ref().map(quoted)),
            ("contains", self.contains.as_ref().map(texts)),
            ("security", self.security.as_ref().map(quoted)),
            ("written_since", self.written_since.as_ref().map(quoted)),
            ("written_before", self.written_before.as_ref().map(quoted)),
            ("or_absent", self.or_absent.then(|| "true".to_owned())),
            ("ignore_case", self.ignore_case.then(|| "true".to_owned())),
        ];
        let mut text = String::new();
        for (name, text_of_field) in
            all.iter().filter_map(|(name, text_of_field)| Some((name, text_of_field.as_ref()?)))
        {
            let comma = if text.is_empty() { "" } else { ", " };
            write!(text, "{comma}{name} = {text_of_field}")?;
        }
        f.write_str(&text)
    }
}

impl Expectation {
    /// Creates the expectation that a value has this type and these bytes.
    pub(super) fn of_data(kind: ValueType, data: Vec<u8>) -> Self {
        let bytes = Datum::Bytes(data);
        let text = format!("type = \"{kind}\", equals = {bytes}");
        Expectation { terms: vec![Term::Type(kind), Term::Equals(bytes)], text, ..Expectation::default() }
    }

    /// Creates the expectation that a value or key is present, or absent.
    pub(super) fn of_presence(is_there: bool) -> Self {
        let (term, text) = if is_there { (Term::Present, "present = true") } else { (Term::Absent, "absent = true") };
        Expectation { terms: vec![term], text: text.to_owned(), ..Expectation::default() }
    }

    /// Returns one line in the syntax of a policy.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the only data that is as expected; `None` if there is not exactly one.
    pub(super) fn only(&self) -> Option<(&Datum, Option<ValueType>)> {
        let kind = self.terms.iter().find_map(|term| if let Term::Type(kind) = term { Some(*kind) } else { None });
        let is_rest = |term: &&Term| !matches!(term, Term::Present | Term::Type(_));
        match &self.terms.iter().filter(is_rest).collect::<Vec<_>>()[..] {
            [Term::Equals(wanted)] => Some((wanted, kind)),
            _ => None,
        }
    }

    /// Returns whether the value or key must be absent.
    pub(super) fn wants_absent(&self) -> bool {
        self.terms.iter().any(|term| matches!(term, Term::Absent))
    }

    pub(super) fn needs_security(&self) -> bool {
        self.terms.iter().any(|term| matches!(term, Term::Security(_)))
    }

    /// Returns whether a value is as expected; `default` is the data that Windows uses without the value.
    pub(super) fn holds_for_value(
        &self,
        value: Option<(ValueType, &[u8])>,
        default: Option<&(ValueType, Vec<u8>)>,
    ) -> bool {
        if value.is_none() && self.or_absent {
            return true;
        }
        let is_there = value.is_some();
        let data = value.or(default.map(|(kind, data)| (*kind, &**data)));
        let of_data = |is: &dyn Fn(ValueType, &[u8]) -> bool| data.is_some_and(|(kind, data)| is(kind, data));
        let same = |a: &str, b: &str| match self.ignore_case {
            true => datum::caseless(a) == datum::caseless(b),
            false => a == b,
        };
        self.terms.iter().all(|term| match term {
            Term::Present => is_there,
            Term::Absent => !is_there,
            // The default has the type that Windows reads.
            Term::Type(wanted) => data.is_some() && value.is_none_or(|(kind, _)| kind == *wanted),
            Term::Equals(wanted) => of_data(&|kind, data| wanted.is(kind, data, self.ignore_case)),
            Term::In(all) => of_data(&|kind, data| all.iter().any(|it| it.is(kind, data, self.ignore_case))),
            Term::AtLeast(least) => of_data(&|kind, data| datum::number(kind, data).is_some_and(|it| it >= *least)),
            Term::AtMost(most) => of_data(&|kind, data| datum::number(kind, data).is_some_and(|it| it <= *most)),
            Term::Matches(pattern) => of_data(&|kind, data| match datum::text(kind, data) {
                Some(text) => pattern.is_match(&text),
                None => datum::texts(kind, data).is_some_and(|all| all.iter().any(|text| pattern.is_match(text))),
            }),
            Term::Contains(wanted) => of_data(&|kind, data| {
                let texts = datum::texts(kind, data);
                texts.is_some_and(|all| wanted.iter().all(|it| all.iter().any(|text| same(text, it))))
            }),
            Term::Security(_) | Term::WrittenSince(_) | Term::WrittenBefore(_) => false,
        })
    }

    /// Returns whether a key is as expected.
    pub(super) fn holds_for_key(&self, key: Option<&KeyFacts>) -> bool {
        if key.is_none() && self.or_absent {
            return true;
        }
        self.terms.iter().all(|term| match (term, key) {
            (Term::Present, _) => key.is_some(),
            (Term::Absent, _) => key.is_none(),
            (Term::WrittenSince(time), Some(key)) => key.last_written >= *time,
            (Term::WrittenBefore(time), Some(key)) => key.last_written < *time,
            (Term::Security(wanted), Some(key)) => key.security.as_ref().is_some_and(|it| is_secured(it, wanted)),
            _ => false,
        })
    }
}

/// Returns whether a security descriptor has the wanted parts. Whether an access control list was inherited is not
/// compared, since it grants no rights.
fn is_secured(found: &SecurityDescriptor, wanted: &SecurityDescriptor) -> bool {
    use hivewright_hive::security_descriptor::control;
    let has = |descriptor: &SecurityDescriptor, bit: u16| descriptor.control & bit != 0;
    let same_list = |present: u16, protected: u16, found_list: bool| {
        !has(wanted, present) || has(found, present) && has(found, protected) == has(wanted, protected) && found_list
    };
    wanted.owner.as_ref().is_none_or(|owner| found.owner.as_ref() == Some(owner))
        && wanted.group.as_ref().is_none_or(|group| found.group.as_ref() == Some(group))
        && same_list(control::DACL_PRESENT, control::DACL_PROTECTED, found.dacl == wanted.dacl)
        && same_list(control::SACL_PRESENT, control::SACL_PROTECTED, found.sacl == wanted.sacl)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, of_value: bool) -> Result<Expectation, String> {
        toml::from_str::<ExpectText>(text).unwrap().read(of_value)
    }

    fn value(kind: ValueType, data: &[u8]) -> Option<(ValueType, &[u8])> {
        Some((kind, data))
    }

    #[test]
    fn all_terms_must_hold() {
        let dword = |number: u32| number.to_le_bytes();
        for (text, holds) in [
            ("equals = 2", [false, true, false]),
            ("in = [1, 3]", [false, false, true]),
            ("at_least = 2", [false, true, true]),
            ("at_least = 2\nat_most = 2", [false, true, false]),
            ("at_most = 2\nor_absent = true", [true, true, false]),
            ("absent = true", [true, false, false]),
            ("present = true\ntype = 'REG_DWORD'", [false, true, true]),
            ("type = 'REG_QWORD'", [false, false, false]),
            ("absent = false", [false, true, true]),
            ("matches = '2'", [false, false, false]),
            ("in = [{ hex = '02 00 00 00' }, 'x', 3]", [false, true, true]),
        ] {
            let expectation = read(text, true).unwrap();
            let (two, three) = (dword(2), dword(3));
            let values = [None, value(ValueType::DWORD, &two), value(ValueType::DWORD, &three)];
            assert_eq!(values.map(|it| expectation.holds_for_value(it, None)), holds, "{text}");
        }
        // The default replaces an absent value, which is absent all the same.
        let default = (ValueType::DWORD, dword(2).to_vec());
        let with_default = |text: &str| read(text, true).unwrap().holds_for_value(None, Some(&default));
        assert!(
            with_default("equals = 2")
                && with_default("at_least = 1\ntype = 'REG_DWORD'")
                && with_default("absent = true")
        );
        assert!(!with_default("equals = 0") && !with_default("present = true"));
    }

    #[test]
    fn texts_and_lists() {
        let list = hivewright_hive::Data::multi_sz(["Tcpip", "RpcSs"]).to_bytes();
        let text = hivewright_hive::Data::sz(r"C:\Windows\x.dll").to_bytes();
        for (expect, of_list, of_text) in [
            ("contains = 'RpcSs'", true, false),
            ("contains = ['rpcss', 'TCPIP']\nignore_case = true", true, false),
            ("contains = ['RpcSs', 'x']", false, false),
            ("matches = '^Rpc'", true, false),
            ("matches = '(?i)\\\\X\\.DLL$'", false, true),
            ("equals = ['Tcpip', 'RpcSs']", true, false),
            ("equals = ['RpcSs', 'Tcpip']", false, false),
            ("equals = 'c:\\windows\\X.dll'\nignore_case = true", false, true),
        ] {
            let expectation = read(expect, true).unwrap();
            let found = [(ValueType::MULTI_SZ, &list), (ValueType::SZ, &text)];
            let found = found.map(|(kind, data)| expectation.holds_for_value(value(kind, data), None));
            assert_eq!(found, [of_list, of_text], "{expect}");
        }
    }

    #[test]
    fn keys_have_security_and_times() {
        let key = |sddl: &str| KeyFacts {
            security: Some(SecurityDescriptor::from_sddl(sddl).unwrap()),
            last_written: "2020-01-02T03:04:05Z".parse().unwrap(),
        };
        let found = key("O:BAG:SYD:PAI(A;CI;KA;;;BA)");
        for (text, holds) in [
            ("security = 'O:BA'", true),
            ("security = 'D:P(A;CI;KA;;;BA)'", true),
            ("security = 'D:(A;CI;KA;;;BA)'", false),
            ("security = 'O:SYD:P(A;CI;KA;;;BA)'", false),
            ("written_since = '2020-01-02T03:04:05Z'", true),
            ("written_before = '2020-01-02T03:04:05Z'", false),
            ("written_since = '2019-12-31'\nwritten_before = '2021-01-01'", true),
            ("present = true", true),
            ("absent = true", false),
        ] {
            assert_eq!(read(text, false).unwrap().holds_for_key(Some(&found)), holds, "{text}");
            assert_eq!(read(text, false).unwrap().holds_for_key(None), text == "absent = true", "{text}");
        }
    }

    #[test]
    fn invalid_expectations_are_refused() {
        for (text, of_value) in [
            ("", true),
            ("in = []", true),
            ("absent = true\nequals = 1", true),
            ("absent = true\nor_absent = true", true),
            ("security = 'O:BA'", true),
            ("equals = 1", false),
            ("security = 'nonsense'", false),
            ("written_since = 'yesterday'", false),
            ("matches = '('", true),
            ("type = 'REG_NOTHING'", true),
        ] {
            assert!(read(text, of_value).is_err(), "{text}");
        }
        let text = "present = true, type = \"REG_DWORD\", equals = 1, or_absent = true";
        let expectation = read("equals = 1\nor_absent = true\ntype = 'REG_DWORD'\npresent = true", true).unwrap();
        assert_eq!(expectation.text(), text);
    }
}
