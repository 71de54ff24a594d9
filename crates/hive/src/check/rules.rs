//! The table of all rules of the check: the code, the severity, the source of the rule.

use std::fmt;

use hivewright_error::Code;

#[cfg(feature = "serde")]
use serde::{Serialize, Serializer};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Severity {
    /// Unusual but harmless: it occurs in real hives.
    Note,
    /// Windows never breaks this rule, but no data is lost or misread.
    Warning,
    /// Data is or will be lost or misread. The hive must not be edited.
    Error,
}

impl Severity {
    /// Returns the name in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

struct Entry {
    code: Code,
    severity: Severity,
    source: &'static str,
}

macro_rules! rules {
    ($($rule:ident $severity:ident, $source:literal;)+) => {
        /// A rule of the check, in the order of the check. Each has the code of the same name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule { $(#[doc = concat!("See [`Code::", stringify!($rule), "`].")] $rule,)+ }

        impl Rule {
            /// Every rule, in the order of the table.
            pub const ALL: &'static [Rule] = &[$(Rule::$rule),+];
        }

        const TABLE: [Entry; Rule::ALL.len()] =
            [$(Entry { code: Code::$rule, severity: Severity::$severity, source: $source }),+];
    };
}

// "Specification" is Maxim Suhanov's; "measured" means that the rule holds in all examined hives written by Windows (NT
// 4.0 to Windows 10, over two million cells).
rules! {
    BaseSignature Error, "specification, Base block";
    BaseChecksum Error, "specification, Base block";
    DirtySequence Warning, "specification, Dirty state of a hive";
    BaseVersion Error, "specification, Base block";
    FileType Error, "specification, Base block";
    FileFormat Error, "specification, Base block";
    LengthAlignment Error, "specification, Base block and Hive bin";
    LengthPastEnd Error, "specification, Base block";
    RaggedEnd Note, "measured";

    BinSignature Error, "specification, Hive bin";
    BinOffset Error, "specification, Hive bin";
    BinSize Error, "specification, Hive bin";
    CellSize Error, "specification, Cell";
    AdjacentFreeCells Warning, "measured";
    UnreferencedCell Warning, "measured";
    CellReference Error, "specification, Summary";
    CellShared Error, "measured";

    RootKey Error, "specification, Base block and Key node";
    RootFlag Note, "specification, Key node (flags); hives made by Microsoft's offline library lack it";
    KeySignature Error, "specification, Key node";
    KeySize Error, "specification, Key node";
    KeyName Error, "specification, Key node; Microsoft, Registry element size limits";
    KeyParent Error, "specification, Key node; measured";
    KeyTwice Error, "measured";
    KeyDepth Error, "Microsoft, Registry element size limits";
    KeyClass Error, "specification, Key node";
    SubkeyCount Error, "measured";
    MaxSubkeyName Note, "measured: real hives of XP break it";
    MaxValueName Warning, "measured";
    MaxValueData Warning, "measured";
    LinkValues Note, "Microsoft, ZwCreateKey (REG_OPTION_CREATE_LINK)";
    TombstoneValues Note, "specification, Key node (layered keys)";

    ListSignature Error, "specification, Index leaf to Index root";
    ListSize Error, "specification, Index leaf to Index root";
    ListNested Error, "specification, Index root, note 1";
    ListEmpty Warning, "measured";
    ListVersion Warning, "specification, Base block (minor version) and Hash leaf";
    SubkeyOrder Error, "measured";
    SubkeyDuplicate Error, "measured";
    SubkeyHash Error, "specification, Hash leaf; measured";
    SubkeyHint Error, "specification, Fast leaf; measured for names that begin with ASCII";

    ValuesListSize Error, "specification, Key values list";
    ValueSignature Error, "specification, Key value";
    ValueName Error, "specification, Key value; Microsoft, Registry element size limits";
    ValueData Error, "specification, Key value";
    DuplicateValue Warning, "Windows never makes one; some hives have them";
    DwordSize Note, "seen in real hives";
    DataNotInline Note, "measured";
    BigData Error, "specification, Big data";
    BigDataVersion Warning, "specification, Big data; measured";

    KeySecurity Error, "specification, Key security";
    SecurityRing Error, "specification, Key security";
    SecurityReferences Warning, "measured";
}

impl Rule {
    /// Returns the code, which has the same name and describes the rule.
    pub fn code(self) -> Code {
        TABLE[self as usize].code
    }

    /// Returns the severity.
    pub fn severity(self) -> Severity {
        TABLE[self as usize].severity
    }

    /// Returns the source of the rule.
    pub fn source(self) -> &'static str {
        TABLE[self as usize].source
    }

    /// Returns the rule of a code; `None` if the check has no such rule.
    pub fn of(code: Code) -> Option<Rule> {
        Rule::ALL.iter().copied().find(|rule| rule.code() == code)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.code().fmt(f)
    }
}

#[cfg(feature = "serde")]
impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.code().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_its_own_code_and_a_source() {
        for (i, &rule) in Rule::ALL.iter().enumerate() {
            assert_eq!(rule as usize, i, "the table is in the order of the rules");
            assert_eq!(Rule::of(rule.code()), Some(rule), "{rule} is there once");
            assert!(!rule.source().is_empty(), "{rule}");
        }
    }
}
