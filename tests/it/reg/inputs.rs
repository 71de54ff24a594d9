//! The 26 inputs that `hivexregedit --merge` or `reged -I` handle wrongly, each with the right result.

use hivewright_fixtures::{HiveSpec, Minor};
use hivewright_hive::Hive;

use crate::command::hivewright_in;

const HEADER: &str = "Windows Registry Editor Version 5.00\r\n\r\n";

/// Returns a file in the newer form, with lines below the key `A`.
fn below_a(lines: &str) -> Vec<u8> {
    format!("{HEADER}[HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n{lines}").into_bytes()
}

/// Returns every key and value of a hive: `\A`, and `\A:name=type:bytes`.
fn contents(bytes: &[u8]) -> Vec<String> {
    let hive = Hive::open(bytes).unwrap().clean().unwrap();
    let (mut found, mut rest) = (Vec::new(), vec![(String::new(), hive.root().unwrap())]);
    while let Some((path, key)) = rest.pop() {
        for value in key.values().unwrap().map(Result::unwrap) {
            let data: String = value.raw_data().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
            found.push(format!("{path}:{}={}:{data}", value.name(), value.data_type().0));
        }
        for subkey in key.subkeys().unwrap().map(Result::unwrap) {
            let path = format!("{path}\\{}", subkey.name());
            found.push(path.clone());
            rest.push((path, subkey));
        }
    }
    found.sort();
    found
}

/// The contents before: the key `A` with a value and a default value.
const BEFORE: [&str; 3] = ["\\A", "\\A:=1:64000000", "\\A:old=1:78000000"];

/// A file, its additions, and its removals.
type Case = (&'static str, Vec<u8>, Vec<String>, Vec<&'static str>);

fn cases() -> Vec<Case> {
    let utf16 = |text: &[u8]| {
        let text = String::from_utf8(text.to_vec()).unwrap();
        [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect::<Vec<u8>>()
    };
    let n = || vec!["\\A:n=1:76000000".to_owned()];
    let all = |values: &[&str]| values.iter().map(|value| format!("\\A:{value}")).collect::<Vec<_>>();
    let keys = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>();
    let v = "\"n\"=\"v\"\r\n";
    let one_line = |line: &str| format!("{HEADER}{line}").into_bytes();
    let many: String = std::iter::repeat_n("41,", 19_999).collect();
    vec![
        ("utf16bom", utf16(&below_a(v)), n(), vec![]),
        ("utf8bom", [b"\xef\xbb\xbf", &*below_a(v)].concat(), n(), vec![]),
        ("utf8", below_a("\"n\"=\"ä€\"\r\n"), all(&["n=1:e400ac200000"]), vec![]),
        ("lf", String::from_utf8(below_a(v)).unwrap().replace('\r', "").into(), n(), vec![]),
        (
            "missing_parents",
            one_line("[HKEY_LOCAL_MACHINE\\SOFTWARE\\X\\Y\\Z]\r\n\"n\"=\"v\"\r\n"),
            keys(&["\\X", "\\X\\Y", "\\X\\Y\\Z", "\\X\\Y\\Z:n=1:76000000"]),
            vec![],
        ),
        ("short_dword", below_a("\"n\"=dword:1\r\n"), all(&["n=4:01000000"]), vec![]),
        ("spaces", below_a("  \"n\" = dword:00000001\r\n"), all(&["n=4:01000000"]), vec![]),
        (
            "trail_comment",
            below_a("\"n\"=dword:00000001 ;c\r\n\"m\"=\"s\";c\r\n"),
            all(&["m=1:73000000", "n=4:01000000"]),
            vec![],
        ),
        (
            "comment_inside",
            below_a("\"n\"=\"1\"\r\n;c\r\n\"m\"=\"2\"\r\n"),
            all(&["m=1:32000000", "n=1:31000000"]),
            vec![],
        ),
        ("blank_inside", below_a("\"n\"=\"1\"\r\n\r\n\"m\"=\"2\"\r\n"), all(&["m=1:32000000", "n=1:31000000"]), vec![]),
        (
            "multiline",
            below_a("\"n\"=hex(7):61,00,\\\r\n  00,00,\\\r\n  00,00\r\n"),
            all(&["n=7:610000000000"]),
            vec![],
        ),
        ("multiline_comment", below_a("\"n\"=hex:61,\\;c\r\n  62\r\n"), all(&["n=3:6162"]), vec![]),
        ("qword", below_a("\"n\"=hex(b):01,00,00,00,00,00,00,00\r\n"), all(&["n=11:0100000000000000"]), vec![]),
        ("default", below_a("@=\"new\"\r\n"), all(&["=1:6e00650077000000"]), vec![BEFORE[1]]),
        ("delete_value", below_a("\"old\"=-\r\n@=-\r\n"), vec![], vec![BEFORE[1], BEFORE[2]]),
        ("delete_key", one_line("[-HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n"), vec![], BEFORE.to_vec()),
        (
            "delete_missing",
            [&*one_line("[-HKEY_LOCAL_MACHINE\\SOFTWARE\\Nope]\r\n\r\n"), &below_a(v)[HEADER.len()..]].concat(),
            n(),
            vec![],
        ),
        // The name of an existing value is kept, as in Windows.
        (
            "case",
            one_line("[hkey_local_machine\\software\\a]\r\n\"OLD\"=\"y\"\r\n"),
            all(&["old=1:79000000"]),
            vec![BEFORE[2]],
        ),
        ("key_comment", one_line("[HKEY_LOCAL_MACHINE\\SOFTWARE\\A] ;c\r\n\"n\"=\"v\"\r\n"), n(), vec![]),
        (
            "escapes",
            below_a("\"a\\\\b\\\"c\"=\"p\\\\q\\\"r\"\r\n"),
            all(&["a\\b\"c=1:70005c007100220072000000"]),
            vec![],
        ),
        ("empty_hex", below_a("\"n\"=hex(7):\r\n\"m\"=hex:\r\n"), all(&["m=3:", "n=7:"]), vec![]),
        ("no_final_newline", below_a("\"n\"=\"v\""), n(), vec![]),
        (
            "regedit4",
            b"REGEDIT4\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\A]\r\n\"n\"=hex(2):25,50,25,00\r\n".to_vec(),
            all(&["n=2:2500500025000000"]),
            vec![],
        ),
        // With --lenient as in regedit; strictly, nothing is applied: see below.
        (
            "bad_line",
            below_a("\"n\"=\"v\"\r\n\"bad\"=junk\r\n\"m\"=\"w\"\r\n"),
            all(&["m=1:77000000", "n=1:76000000"]),
            vec![],
        ),
        ("big", below_a(&format!("\"n\"=hex:{many}41\r\n")), all(&[&format!("n=3:{}", "41".repeat(20_000))]), vec![]),
        (
            "brackets",
            one_line("[HKEY_LOCAL_MACHINE\\SOFTWARE\\A\\x]y]\r\n\"n\"=\"v\"\r\n"),
            keys(&["\\A\\x]y", "\\A\\x]y:n=1:76000000"]),
            vec![],
        ),
    ]
}

#[test]
fn difficult_inputs_are_imported_as_by_regedit() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let spec = HiveSpec::new(Minor::V5).file_name("SOFTWARE").key("A", |key| key.sz("old", "x").sz("", "d"));
    let before = spec.build().bytes;
    assert_eq!(contents(&before), BEFORE);
    let all = cases();
    assert_eq!(all.len(), 26);
    for (name, file, added, removed) in all {
        std::fs::write(path("SOFTWARE"), &before).unwrap();
        std::fs::write(path("a.reg"), &file).unwrap();
        let mut args = vec!["reg", "import", "SOFTWARE", "a.reg"];
        if name == "bad_line" {
            let strict = hivewright_in(folder.path(), &args);
            assert!(strict.code == 2 && strict.err.contains("line 5"), "{strict:?}");
            assert!(std::fs::read(path("SOFTWARE")).unwrap() == before);
            args.push("--lenient");
        }
        let run = hivewright_in(folder.path(), &args);
        assert_eq!(run.code, 0, "{name}: {run:?}");
        let mut expected: Vec<String> = BEFORE.iter().map(|&line| line.to_owned()).collect();
        expected.retain(|line| !removed.contains(&line.as_str()));
        expected.extend(added);
        expected.sort();
        assert_eq!(contents(&std::fs::read(path("SOFTWARE")).unwrap()), expected, "{name}");
    }
}
