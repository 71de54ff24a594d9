//! Files that trip other importers, and facts of which Wine's tests assert that Windows' regedit behaves so: each with
//! the operations that it asks for.

use super::{Change, Form, ReadOptions, RegFile, RegOperation, Writer, parse};
use proptest::prelude::*;

const KEY: &str = "HKEY_LOCAL_MACHINE\\SOFTWARE\\A";

/// Returns a file in the newer form, its lines after a key.
fn file(lines: &str) -> Vec<u8> {
    format!("Windows Registry Editor Version 5.00\r\n\r\n[{KEY}]\r\n{lines}").into_bytes()
}

fn read(bytes: &[u8]) -> RegFile {
    parse(bytes, &ReadOptions::default()).unwrap_or_else(|problems| panic!("{problems}: {}", bytes.escape_ascii()))
}

fn lenient(bytes: &[u8]) -> RegFile {
    parse(bytes, &ReadOptions { lenient: true, code_page: None }).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns an operation in short: `+key`, `-key`, `name=type:bytes`, `name-`.
fn short(operation: &RegOperation) -> String {
    match &operation.change {
        Change::CreateKey => format!("+{}", operation.key),
        Change::DeleteKey => format!("-{}", operation.key),
        Change::SetValue { name, data_type, data } => format!("{name}={:x}:{}", data_type.0, hex(data)),
        Change::DeleteValue { name } => format!("{name}-"),
    }
}

fn all(file: &RegFile) -> Vec<String> {
    file.operations.iter().map(short).collect()
}

/// What a file asks for below the one key that it begins with.
fn below(file: &RegFile) -> String {
    let all = all(file);
    assert_eq!(all[0], format!("+{KEY}"));
    all[1..].join(" ")
}

fn utf16(text: &str) -> Vec<u8> {
    [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect()
}

/// The kinds of input that hivexregedit or reged refuse or read wrongly.
#[test]
fn files_that_other_importers_misread_are_read() {
    let header = "Windows Registry Editor Version 5.00\r\n\r\n";
    let v = "=1:76000000";
    let cases: Vec<(&str, Vec<u8>, String)> = vec![
        ("UTF-16 with a mark", utf16(&format!("{header}[{KEY}]\r\n\"n\"=\"v\"\r\n")), format!("n{v}")),
        ("UTF-8 with a mark", [b"\xef\xbb\xbf", &*file("\"n\"=\"v\"\r\n")].concat(), format!("n{v}")),
        ("UTF-8 without", file("\"n\"=\"ä€\"\r\n"), "n=1:e400ac200000".into()),
        ("line ends of Unix", file("\"n\"=\"v\"\n").into_iter().filter(|&b| b != b'\r').collect(), format!("n{v}")),
        ("line ends of old Macs", file("\"n\"=\"v\"\n").into_iter().filter(|&b| b != b'\n').collect(), format!("n{v}")),
        ("a short number", file("\"n\"=dword:1\r\n"), "n=4:01000000".into()),
        ("white space", file("  \"n\"\t = \t dword: 00000001  \r\n"), "n=4:01000000".into()),
        ("comments behind data", file("\"n\"=dword:1 ;c\r\n\"m\"=\"s\";c\r\n"), "n=4:01000000 m=1:73000000".into()),
        ("a comment between values", file("\"n\"=\"v\"\r\n;c\r\n\"m\"=\"v\"\r\n"), format!("n{v} m{v}")),
        ("a blank line between values", file("\"n\"=\"v\"\r\n\r\n\"m\"=\"v\"\r\n"), format!("n{v} m{v}")),
        ("bytes over lines", file("\"n\"=hex(7):61,00,\\\r\n  00,00,\\\r\n  00,00\r\n"), "n=7:610000000000".into()),
        ("a comment behind a backslash", file("\"n\"=hex:61,\\;c\r\n  62\r\n"), "n=3:6162".into()),
        ("64 bits", file("\"n\"=hex(b):01,00,00,00,00,00,00,00\r\n"), "n=b:0100000000000000".into()),
        ("the default value", file("@=\"v\"\r\n"), v.into()),
        ("the default value by its empty name", file("\"\"=\"v\"\r\n"), v.into()),
        ("values deleted", file("\"n\"=-\r\n@=-\r\n"), "n- -".into()),
        ("escapes", file(r#""a\\b\"c"="p\\q\"r""#), "a\\b\"c=1:70005c007100220072000000".into()),
        ("empty bytes", file("\"n\"=hex(7):\r\n\"m\"=hex:\r\n"), "n=7: m=3:".into()),
        ("a last line without end", file("\"n\"=\"v\""), format!("n{v}")),
        (
            "strings of the code page",
            format!("REGEDIT4\r\n\r\n[{KEY}]\r\n\"n\"=hex(2):25,50,25,00\r\n").into(),
            "n=2:2500500025000000".into(),
        ),
        (
            "many bytes",
            file(&format!("\"n\"=hex:{}00\r\n", "00,\\\r\n".repeat(20_000))),
            format!("n=3:{}", "00".repeat(20_001)),
        ),
    ];
    for (what, bytes, expected) in cases {
        let file = read(&bytes);
        assert_eq!(below(&file), expected, "{what}");
        assert!(file.warnings.is_empty(), "{what}: {}", file.warnings);
        assert_eq!(lenient(&bytes), file, "{what}");
    }
    let keys = [
        (format!("[-{KEY}]\r\n"), format!("-{KEY}")),
        (format!("[-{KEY}\\Nope]\r\n[{KEY}]\r\n"), format!("-{KEY}\\Nope +{KEY}")),
        ("[hkey_local_machine\\software\\a]\r\n".into(), "+HKEY_LOCAL_MACHINE\\software\\a".into()),
        (format!("[{KEY}] ;c\r\n"), format!("+{KEY}")),
        (format!("[{KEY}\\x]y]\r\n"), format!("+{KEY}\\x]y")),
        (format!("[{KEY}\\X\\Y\\Z\\\\]\r\n"), format!("+{KEY}\\X\\Y\\Z")),
        (format!("[{KEY}\\a\"b/c:d e ]\r\n"), format!("+{KEY}\\a\"b/c:d e ")),
    ];
    for (lines, expected) in keys {
        assert_eq!(all(&read(format!("{header}{lines}").as_bytes())).join(" "), expected);
    }
}

#[test]
fn the_header_is_checked_as_in_regedit() {
    for header in ["REGEDIT4", "Windows Registry Editor Version 5.00", " \tREGEDIT4", "REGEDIT4  "] {
        let bytes = format!("{header}\n[HKEY_USERS\\A]");
        assert_eq!(all(&read(bytes.as_bytes())), ["+HKEY_USERS\\A"]);
        assert_eq!(all(&read(&utf16(&bytes))), ["+HKEY_USERS\\A"]);
    }
    for header in [
        "",
        "\n",
        "REGEDIT",
        "REGEDIT3",
        "regedit4",
        "REGEDIT 4",
        "REGEDIT4FOO",
        "REGEDIT4 FOO",
        "REGEDIT5",
        "Windows Registry Editor Version 4.00",
        "Windows Registry Editor Version 5",
        "Windows Registry Editor Version 5.000",
        "windows registry editor version 5.00",
        "\u{feff}",
    ] {
        for lenient in [false, true] {
            let bytes = format!("{header}\n[HKEY_USERS\\A]");
            let problems = parse(bytes.as_bytes(), &ReadOptions { lenient, code_page: None }).unwrap_err();
            assert_eq!((problems.first.len(), problems.first[0].line), (1, 1), "{header}");
        }
    }
    let text = "REGEDIT4\n[HKEY_USERS\\A]";
    let big_endian: Vec<u8> = [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect();
    for bytes in [big_endian, utf16(text)[2..].to_vec(), b"\xff\xfe\xff".to_vec()] {
        assert!(parse(&bytes, &ReadOptions::default()).is_err());
    }
}

/// Lines behind `[HKEY_LOCAL_MACHINE\SOFTWARE\A]` that regedit passes over; what a lenient reading makes of them; the
/// lines that a strict reading names.
#[test]
fn lines_that_regedit_ignores_are_errors_or_warnings() {
    let v = "=1:76000000";
    let cases: Vec<(&str, String, &[u64])> = vec![
        // Numbers.
        ("\"n\"=dword:\n", String::new(), &[4]),
        ("\"n\"=dword:000000001\n", String::new(), &[4]),
        ("\"n\"=dword:0x1\n", String::new(), &[4]),
        ("\"n\"=dword:1 1\n", String::new(), &[4]),
        ("\"n\"=dword:g\n", String::new(), &[4]),
        ("\"n\"=DWORD:1\n", String::new(), &[4]),
        // Types.
        ("\"n\"=hex(100000000):00\n", String::new(), &[4]),
        ("\"n\"=hex(0x2):00\n", String::new(), &[4]),
        ("\"n\"=hex(x2):00\n", String::new(), &[4]),
        ("\"n\"=hex():00\n", String::new(), &[4]),
        ("\"n\"=HEX:00\n", String::new(), &[4]),
        // Bytes.
        ("\"n\"=hex:00,,01\n", String::new(), &[4]),
        ("\"n\"=hex:,01\n", String::new(), &[4]),
        ("\"n\"=hex:100\n", String::new(), &[4]),
        ("\"n\"=hex:01 02\n", String::new(), &[4]),
        ("\"n\"=hex:01#c\n", String::new(), &[4]),
        // Continuation.
        ("\"n\"=hex:01\\\n  02\n", String::new(), &[4]),
        ("\"n\"=hex:01,\\\n\"m\"=\"v\"\n\"o\"=\"v\"\n", format!("o{v}"), &[5]),
        ("\"n\"=hex:01,\\\n[HKEY_USERS]\n\"o\"=\"v\"\n", format!("o{v}"), &[5]),
        ("\"n\"=hex:01,\\\n#c\n", String::new(), &[5]),
        ("\"n\"=hex:01,\\\n\\\n", String::new(), &[5]),
        ("\"n\"=hex:01,\\\n,02\n", String::new(), &[5]),
        ("\"n\"=hex:01,\n  02,\\\n  03\n", "n=3:01".into(), &[5, 6]),
        ("\"n\"=hex:01,\\x\n  02\n", String::new(), &[4, 5]),
        // Text.
        ("\"n\"=\"a\"b\"\n", String::new(), &[4]),
        ("\"n\"=\"\"b\"\n", String::new(), &[4]),
        ("\"n\"=\"a\n", String::new(), &[4]),
        ("\"n\"=\"a\\\nb\"\n", String::new(), &[4, 5]),
        ("\"n\"=\"a\\0b\"\n", String::new(), &[4]),
        ("\"n\"=\"v\" #c\n", String::new(), &[4]),
        ("\"n\"=\"\\v\"\n", format!("n{v}"), &[4]),
        // Names.
        ("\"n=\"v\"\n", String::new(), &[4]),
        ("n=\"v\"\n", String::new(), &[4]),
        ("\"n\" \"v\"\n", String::new(), &[4]),
        ("@x=\"v\"\n", String::new(), &[4]),
        // Deletion.
        ("\"n\"=- #c\n", String::new(), &[4]),
        ("\"n\"=-\"x\"\n", String::new(), &[4]),
        ("\"n\"=\n", String::new(), &[4]),
        ("\"n\"=junk\n", String::new(), &[4]),
        ("#c\n\"n\"=\"v\"\n", format!("n{v}"), &[4]),
        ("junk\n", String::new(), &[4]),
        ("] \n", String::new(), &[4]),
    ];
    for (lines, expected, wrong) in cases {
        let bytes = file(lines);
        let problems = parse(&bytes, &ReadOptions::default()).unwrap_err();
        assert_eq!(problems.first.iter().map(|problem| problem.line).collect::<Vec<_>>(), wrong, "{lines}");
        let file = lenient(&bytes);
        assert_eq!(below(&file), expected, "{lines}");
        assert_eq!(file.warnings.first, problems.first, "{lines}");
    }
}

/// Key lines that make no key: values below them go nowhere.
#[test]
fn values_need_a_key() {
    for line in [
        "",
        "[ HKEY_USERS\\A]",
        "[\tHKEY_USERS\\A]",
        "[ -HKEY_USERS\\A]",
        "[- HKEY_USERS\\A]",
        "HKEY_USERS\\A]",
        "[HKEY_USERS\\A",
        "[HKEY_CURRENT_USERS\\A]",
        "[HKLM\\A]",
        "[HKEY_USERS ]",
        "[\\HKEY_USERS]",
        "[]",
        "[-]",
        "[-HKEY_USERS]",
        "[-HKEY_USERS\\A]",
    ] {
        let bytes = format!("REGEDIT4\n{line}\n\"n\"=\"v\"\n\"m\"=hex:00,\\\n  00\n");
        let problems = parse(bytes.as_bytes(), &ReadOptions::default()).unwrap_err();
        let lines: Vec<_> = problems.first.iter().map(|problem| problem.line).collect();
        let own = if line.is_empty() || line == "[-HKEY_USERS\\A]" { 0 } else { 1 };
        assert_eq!(lines[own..], [3, 4], "{line}");
        assert_eq!(lines.len(), own + 2);
        let changes = lenient(bytes.as_bytes()).operations;
        assert!(changes.iter().all(|operation| operation.change == Change::DeleteKey), "{line}");
    }
}

#[test]
fn continuations_skip_blank_lines_and_comments() {
    let one = file("\"n\"=hex:\\\n\n;c\n  \n 1,2,\\ ;c\n\t03,\n;c \\\n\"m\"=-\n");
    assert_eq!(below(&read(&one)), "n=3:010203 m-");
    // The end of the file in a continuation: what there is counts, and is named.
    let cut = read(&file("\"n\"=hex:01,\\\r\n"));
    assert_eq!((below(&cut).as_str(), cut.warnings.first[0].line), ("n=3:01", 4));
}

#[test]
fn text_without_its_zero_is_kept_and_named_or_completed() {
    let bytes = file("\"n\"=hex(7):61,00\n\"m\"=hex(2):61,00,00,00\n\"o\"=hex:61\n");
    let strict = read(&bytes);
    assert_eq!((below(&strict).as_str(), strict.warnings.first.len()), ("n=7:6100 m=2:61000000 o=3:61", 1));
    let lenient = lenient(&bytes);
    assert_eq!((below(&lenient).as_str(), lenient.warnings.first.len()), ("n=7:61000000 m=2:61000000 o=3:61", 1));
}

/// Nothing behind a zero would be read again, so a zero is an error wherever it is, also behind a backslash.
#[test]
fn a_zero_in_quoted_text_is_an_error() {
    for line in ["\"n\0\"=\"v\"", "\"n\\\0\"=\"v\"", "\"n\"=\"v\0w\"", "\"n\"=\"v\\\0w\""] {
        let bytes = file(&format!("{line}\n\"m\"=dword:1\n"));
        assert_eq!(parse(&bytes, &ReadOptions::default()).unwrap_err().first[0].line, 4, "{line:?}");
        assert_eq!(below(&lenient(&bytes)), "m=4:01000000", "{line:?}");
    }
}

#[test]
fn the_code_page_applies_without_a_byte_order_mark() {
    let cyrillic = super::CodePage::new(1251);
    let options = ReadOptions { lenient: false, code_page: cyrillic };
    for header in ["REGEDIT4", "Windows Registry Editor Version 5.00"] {
        let bytes = [header.as_bytes(), b"\n[HKEY_USERS\\\xca]\n\"\xeb\"=\"\xfe\""].concat();
        assert_eq!(all(&parse(&bytes, &options).unwrap()), ["+HKEY_USERS\\К", "л=1:4e040000"]);
    }
    // Neither the code page nor UTF-8: the line is wrong.
    let problems =
        parse(&file("\"n\"=\"ä\"").into_iter().filter(|&b| b != 0xc3).collect::<Vec<_>>(), &ReadOptions::default());
    assert_eq!(problems.unwrap_err().first[0].line, 4);
}

#[test]
fn problems_are_bounded_and_have_places() {
    let problems = parse(&file(&"  junk\n".repeat(100)), &ReadOptions::default()).unwrap_err();
    assert_eq!((problems.first.len(), problems.left_out), (20, 80));
    assert_eq!((problems.first[1].line, problems.first[1].column), (5, 3));
    let error = hivewright_error::Error::from(problems);
    assert_eq!(error.code(), "reg-text");
    assert_eq!(lenient(&file(&"junk\n".repeat(2000))).warnings.left_out, 1000);
    let deep = format!("[HKEY_USERS{}]", "\\a".repeat(513));
    for line in [format!("[HKEY_USERS\\{}]", "n".repeat(256)), deep, format!("\"{}\"=-", "n".repeat(16_384))] {
        assert!(parse(&file(&line), &ReadOptions::default()).is_err());
    }
}

fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[HKEY_USERS\\A]\n".to_owned()),
        Just("[-HKEY_USERS\\A]\n".to_owned()),
        Just("\"n\"=".to_owned()),
        Just("hex(2):00,\\\n".to_owned()),
        Just("@=\"a\\\"\"".to_owned()),
        "[\\[\\]\"\\\\;,=@#\\- \t\r\n0-9a-fA-Fhexdword:()]{0,12}",
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..20).prop_map(|pieces| pieces.concat())
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    let units = prop_oneof![
        Just(0u16),
        Just(0x0d),
        Just(0x22),
        Just(0x5c),
        Just(0xd800),
        Just(0xdc00),
        any::<u16>(),
        0x20u16..0x7f
    ];
    let text =
        prop::collection::vec(units, 0..40).prop_map(|units| units.into_iter().flat_map(u16::to_le_bytes).collect());
    prop_oneof![text, prop::collection::vec(any::<u8>(), 0..120)]
}

fn written(form: Form, operations: &[RegOperation]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(form, |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    })
    .unwrap();
    operations.iter().for_each(|operation| writer.operation(operation).unwrap());
    writer.finish().unwrap();
    bytes
}

proptest! {
    #[test]
    fn any_text_is_read_and_its_operations_round_trip(text in text(), lenient: bool, wide: bool) {
        let text = format!("Windows Registry Editor Version 5.00\n{text}");
        let bytes = if wide { utf16(&text) } else { text.into_bytes() };
        if let Ok(file) = parse(&bytes, &ReadOptions { lenient, code_page: None }) {
            let first = read(&written(Form::Utf16, &file.operations));
            let second = read(&written(Form::Utf16, &first.operations));
            let changes = |file: &RegFile| file.operations.iter().map(short).collect::<Vec<_>>();
            prop_assert_eq!(changes(&first), changes(&second));
            // A value without a key line of its own gets one.
            let values = |file: &RegFile| changes(file).into_iter().filter(|change| !change.starts_with('+')).collect::<Vec<_>>();
            prop_assert_eq!(values(&file), values(&first));
        }
    }

    #[test]
    fn any_value_survives(
        data in data(),
        data_type in prop_oneof![0u32..13, any::<u32>()],
        name in prop::collection::vec(prop_oneof![any::<u16>(), 1u16..0x100], 0..20),
        key in prop::collection::vec(prop_oneof![any::<u16>(), 1u16..0x100], 1..20),
    ) {
        let data_type = crate::ValueType(data_type);
        let name = crate::regf::name::Name::from_units(&name.into_iter().filter(|&unit| unit != 0).collect::<Vec<_>>());
        let unit = |unit: u16| if matches!(unit, 0 | 0x0a | 0x0d | 0x5c) { 0x20 } else { unit };
        let key = crate::regf::name::Name::from_units(&key.into_iter().map(unit).collect::<Vec<_>>());
        let key = std::sync::Arc::new(super::RegKey { root: super::RootKey::Users, names: vec![key] });
        let operations = [
            RegOperation { line: 3, key: key.clone(), change: Change::CreateKey },
            RegOperation { line: 4, key, change: Change::SetValue { name, data_type, data } },
        ];
        let back = read(&written(Form::Utf16, &operations));
        prop_assert_eq!(&back.operations[..], &operations[..]);
    }
}
