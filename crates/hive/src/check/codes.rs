//! The table of all rules: a code for programs, a sentence for users, the source of the rule.

use std::fmt;

#[cfg(feature = "serde")]
use serde::{Serialize, Serializer};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Severity {
    /// Unusual, and harmless: real hives have it.
    Note,
    /// A rule that Windows' own writers keep is broken; nothing is lost or misread by it.
    Warning,
    /// Something is lost, misread, or will be: not to be edited.
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
    name: &'static str,
    severity: Severity,
    rule: &'static str,
    explain: &'static str,
}

macro_rules! codes {
    ($($code:ident $name:literal $severity:ident, $rule:literal, $explain:literal;)+) => {
        /// The rule that a finding breaks, in the order of the check.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $(#[doc = $explain] $code,)+ }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$code),+];
        }

        const TABLE: [Entry; Code::ALL.len()] =
            [$(Entry { name: $name, severity: Severity::$severity, rule: $rule, explain: $explain }),+];
    };
}

// "Specification" is Maxim Suhanov's; "measured" is said of what holds in every hive written by Windows that was
// looked at (NT 4.0 to Windows 10, over two million cells).
codes! {
    BaseSignature "base-signature" Error, "specification, Base block",
        "The file does not begin as a hive does; it may be something else.";
    BaseChecksum "base-checksum" Error, "specification, Base block",
        "The base block was damaged, or changed by a careless tool; Windows takes it from a log instead.";
    DirtySequence "dirty-sequence" Warning, "specification, Dirty state of a hive",
        "A write was begun and not finished; newer pages may stand in the transaction logs.";
    BaseVersion "base-version" Error, "specification, Base block",
        "The hive is of a version that this program does not know.";
    FileType "file-type" Error, "specification, Base block",
        "This is not a primary hive file but the base block of a transaction log.";
    FileFormat "file-format" Error, "specification, Base block",
        "The hive is kept in a format that this program does not know.";
    LengthAlignment "length-alignment" Error, "specification, Base block and Hive bin",
        "The length of all hive bins cannot be: it is no positive multiple of 4096 below 2 GiB.";
    LengthPastEnd "length-past-end" Error, "specification, Base block",
        "The file was cut short: hive bins are missing at its end.";
    RaggedEnd "ragged-end" Note, "measured",
        "The file's size is no multiple of 4096: it was cut, or copied badly.";

    BinSignature "bin-signature" Error, "specification, Hive bin",
        "A hive bin does not begin as one: the page was overwritten or never written.";
    BinOffset "bin-offset" Error, "specification, Hive bin",
        "A hive bin does not stand where it says: pages were exchanged or are old.";
    BinSize "bin-size" Error, "specification, Hive bin",
        "A hive bin's size cannot be: it is no multiple of 4096, or runs past the end.";
    CellSize "cell-size" Error, "specification, Cell",
        "A cell's size cannot be, so the rest of its hive bin cannot be read.";
    AdjacentFreeCells "adjacent-free-cells" Warning, "measured",
        "Free cells were not joined: another tool has edited the hive; it only wastes room.";
    UnreferencedCell "unreferenced-cell" Warning, "measured",
        "Nothing refers to the cell: lost room, or what an interrupted or careless edit left.";
    CellReference "cell-reference" Error, "specification, Summary",
        "A reference does not lead to a cell in use, so what should stand there is lost.";
    CellShared "cell-shared" Error, "measured",
        "Two things claim one cell: changing or freeing one damages the other.";

    RootKey "root-key" Error, "specification, Base block and Key node",
        "The base block does not lead to a root key: nothing can be found.";
    RootFlag "root-flag" Note, "specification, Key node (flags); hives made by Microsoft's offline library lack it",
        "The root key is not marked as one; harmless, and seen in hives that were never loaded.";
    KeySignature "key-signature" Error, "specification, Key node",
        "A subkey does not lead to a key node: the key and everything below it are lost.";
    KeySize "key-size" Error, "specification, Key node",
        "A key node's cell is too small: the key and everything below it are lost.";
    KeyName "key-name" Error, "specification, Key node; Microsoft, Registry element size limits",
        "A key's name cannot be, so the key cannot be opened.";
    KeyParent "key-parent" Error, "specification, Key node; measured",
        "A key names another parent than the key that lists it.";
    KeyTwice "key-twice" Error, "measured",
        "A key is listed twice: there is a loop, or two keys share a subtree.";
    KeyDepth "key-depth" Error, "Microsoft, Registry element size limits",
        "Keys are nested deeper than the 512 levels that Windows allows; what is below was not checked.";
    KeyClass "key-class" Error, "specification, Key node",
        "A key's class name runs out of its cell.";
    SubkeyCount "subkey-count" Error, "measured",
        "A key says that it has another number of subkeys than its lists have.";
    MaxSubkeyName "max-subkey-name" Note, "measured: real hives of XP break it",
        "A subkey's name is longer than the key says; programs that trust it may cut the name short.";
    MaxValueName "max-value-name" Warning, "measured",
        "A value's name is longer than the key says; programs that trust it may cut the name short.";
    MaxValueData "max-value-data" Warning, "measured",
        "A value's data is larger than the key says; programs that trust it may fail to read it.";
    LinkValues "link-values" Note, "Microsoft, ZwCreateKey (REG_OPTION_CREATE_LINK)",
        "A symbolic link has other values than SymbolicLinkValue.";
    TombstoneValues "tombstone-values" Note, "specification, Key node (layered keys)",
        "A layered key that marks a deleted one has values.";

    ListSignature "list-signature" Error, "specification, Index leaf to Index root",
        "A list of subkeys cannot be read: the subkeys in it are lost.";
    ListSize "list-size" Error, "specification, Index leaf to Index root",
        "A list of subkeys is larger than its cell: the subkeys in it are lost.";
    ListNested "list-nested" Error, "specification, Index root, note 1",
        "An index root leads to an index root: the subkeys below are lost.";
    ListEmpty "list-empty" Warning, "measured",
        "A list of subkeys has no elements; Windows never keeps such a list.";
    ListVersion "list-version" Warning, "specification, Base block (minor version) and Hash leaf",
        "A list of subkeys is of a kind that the hive's version does not know; old Windows cannot read it.";
    SubkeyOrder "subkey-order" Error, "measured",
        "Subkeys are not sorted, so Windows does not find some of them and damages the hive when it adds others.";
    SubkeyDuplicate "subkey-duplicate" Error, "measured",
        "Two subkeys have the same name: one of them cannot be opened.";
    SubkeyHash "subkey-hash" Error, "specification, Hash leaf; measured",
        "A subkey's hash is not that of its name, so Windows does not find the key.";
    SubkeyHint "subkey-hint" Error, "specification, Fast leaf; measured for names that begin with ASCII",
        "A subkey's hint is not how its name begins, so Windows may not find the key.";

    ValuesListSize "values-list-size" Error, "specification, Key values list",
        "A key has more values than its list has room for: its values are lost.";
    ValueSignature "value-signature" Error, "specification, Key value",
        "An element of a values list is no key value: the value is lost.";
    ValueName "value-name" Error, "specification, Key value; Microsoft, Registry element size limits",
        "A value's name cannot be, so the value cannot be read by name.";
    ValueData "value-data" Error, "specification, Key value",
        "A value's data runs out of its cell.";
    DuplicateValue "duplicate-value" Warning, "Windows never makes one; some hives have them",
        "Two values of a key have the same name but for case: a program sees only one of them.";
    DwordSize "dword-size" Note, "seen in real hives",
        "A REG_DWORD is not four bytes long; programs may ignore it.";
    DataNotInline "data-not-inline" Note, "measured",
        "Data of up to four bytes stands in a cell of its own; Windows writes it into the key value.";
    BigData "big-data" Error, "specification, Big data",
        "A large value's segments are not as they should be: its data is lost.";
    BigDataVersion "big-data-version" Warning, "specification, Big data; measured",
        "Data stands in segments where the hive's version and its size want one cell, or the other way round, so Windows and other programs may not read it.";

    KeySecurity "key-security" Error, "specification, Key security",
        "A key's security descriptor cannot be read: Windows gives the key another one or drops it.";
    SecurityRing "security-ring" Error, "specification, Key security",
        "The ring of security descriptors is broken.";
    SecurityReferences "security-references" Warning, "measured",
        "A security descriptor's number of users is wrong: it may be freed too early, or never.";
}

impl Code {
    /// Returns the stable name.
    pub fn as_str(self) -> &'static str {
        TABLE[self as usize].name
    }

    /// Returns the severity.
    pub fn severity(self) -> Severity {
        TABLE[self as usize].severity
    }

    /// Returns the meaning for the user, in one sentence.
    pub fn explain(self) -> &'static str {
        TABLE[self as usize].explain
    }

    /// Returns the source of the rule.
    pub fn rule(self) -> &'static str {
        TABLE[self as usize].rule
    }

    /// Returns the code called `name`.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(feature = "serde")]
impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_name_and_one_sentence() {
        for (i, &code) in Code::ALL.iter().enumerate() {
            assert_eq!(code as usize, i, "the table is in the order of the codes");
            assert_eq!(Code::from_name(code.as_str()), Some(code), "{code} is there once");
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
            let sentence = code.explain();
            assert!(sentence.ends_with('.') && !sentence.contains(". "), "{code}: {sentence}");
            assert!(!code.rule().is_empty(), "{code}");
        }
    }
}
