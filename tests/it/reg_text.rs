//! Registration files and comparisons, judged by other programs: hivexregedit exports the same, hivexregedit and reged
//! import our exports, and the oracle finds the same differences.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use hivewright_fixtures::{HiveSpec, Minor};
use hivewright_hive::compare::{CompareOptions, What, compare};
use hivewright_hive::reg_text::{Change, Form, ReadOptions, RegFile, RegOperation, Writer, parse};
use hivewright_hive::{Data, EditOptions, Hive, Opened};

use crate::corpus;
use crate::judges::oracle_diff;
use crate::support::tools;

const TEST: &str = "reg_text";
const ROOT: &str = r"HKEY_LOCAL_MACHINE\SYSTEM";

fn export(form: Form, hive: &Opened<Vec<u8>>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = Writer::new(form, |piece: &[u8]| {
        file.extend_from_slice(piece);
        Ok(())
    })
    .unwrap();
    let exported = writer.export(&hive.primary_alone().root().unwrap(), &ROOT.parse().unwrap()).unwrap();
    writer.finish().unwrap();
    assert_eq!(exported.left_out_count, 0);
    file
}

fn fixture() -> Vec<u8> {
    let spec = HiveSpec::new(Minor::V5)
        .key("Select", |key| key.dword("Current", 1).sz("Re\"mark\\", "c:\\a \"b\"").sz("", "default"))
        .key("Setup", |key| key.key("Below", |key| key.key("Deeper", |key| key.sz("x", ""))).key("Other", |key| key));
    spec.build().bytes
}

/// Parses changes without their line numbers; normalizes trailing backslashes and the like.
fn changes(file: &RegFile) -> Vec<(String, &Change)> {
    let change = |operation: &'_ RegOperation| operation.key.to_string();
    file.operations.iter().map(|operation| (change(operation), &operation.change)).collect()
}

#[test]
fn hivexregedit_exports_the_same_keys_and_values() {
    if !tools::have(&["hivexregedit"]) {
        return;
    }
    let mut hives = vec![fixture()];
    if let Some(folder) = corpus::folder(TEST) {
        hives.extend(["edge/hivex/large", "edge/artemis/NTUSER.DAT"].iter().filter_map(|n| corpus::find(&folder, n)));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hive");
    for bytes in hives {
        std::fs::write(&path, &bytes).unwrap();
        let theirs = tools::output("hivexregedit", &["--export", "--prefix", ROOT, path.to_str().unwrap(), "\\"]);
        let options = ReadOptions::default();
        let ours = parse(&export(Form::Utf16, &Hive::open(bytes).unwrap()), &options).unwrap();
        let theirs = parse(&theirs, &options).unwrap();
        // hivexregedit sorts the values of a key.
        let sorted = |file: &RegFile| {
            let mut all: Vec<String> = changes(file).iter().map(|change| format!("{change:?}")).collect();
            all.sort();
            all
        };
        assert_eq!(sorted(&ours), sorted(&theirs));
    }
}

/// Function that imports `text` into the hive at `path`.
type Import = fn(&Path, &Path);

fn hivexregedit(hive: &Path, text: &Path) {
    let (hive, text) = (hive.to_str().unwrap(), text.to_str().unwrap());
    tools::output("hivexregedit", &["--merge", "--prefix", ROOT, hive, text]);
}

fn reged(hive: &Path, text: &Path) {
    // reged ends with 2 after a write.
    let out = Command::new("reged").args(["-C", "-I"]).arg(hive).args([ROOT]).arg(text).output().unwrap();
    assert_eq!(out.status.code(), Some(2), "{}", String::from_utf8_lossy(&out.stdout));
}

#[test]
fn others_import_what_we_export() {
    let mut hives = vec![fixture()];
    hives.extend(corpus::folder(TEST).and_then(|folder| corpus::find(&folder, "edge/hivex/large")));
    let folder = tempfile::tempdir().unwrap();
    let (path, text) = (folder.path().join("hive"), folder.path().join("text.reg"));
    let importers: [(&str, Import); 2] = [("hivexregedit", hivexregedit), ("reged", reged)];
    for (number, bytes) in hives.into_iter().enumerate() {
        let hive = Hive::open(bytes).unwrap();
        let exported = export(Form::Utf8, &hive);
        std::fs::write(&text, &exported).unwrap();
        for (program, import) in importers {
            // reged ends a name at a quotation mark.
            if !tools::have(&[program]) || (program == "reged" && number == 0) {
                continue;
            }
            std::fs::write(&path, HiveSpec::new(Minor::V5).build().bytes).unwrap();
            import(&path, &text);
            let back = Hive::open(std::fs::read(&path).unwrap()).unwrap();
            let (a, b) = (hive.primary_alone(), back.primary_alone());
            let found = compare(&a.root().unwrap(), &b.root().unwrap(), CompareOptions::default());
            for difference in found {
                let difference = difference.unwrap();
                // Registration files cannot express them.
                let carried = !matches!(difference.what, What::Security { .. } | What::Class { .. });
                assert!(!carried, "{program}: {}", difference.path());
            }
        }
    }
}

/// Two copies of one hive, of which another program rewrote one and set a value.
#[test]
fn a_rewritten_hive_differs_only_by_the_set_value() {
    let Some(folder) = corpus::folder(TEST) else { return };
    let names = ["system/win7_sp1_x86/SYSTEM", "system/win7_sp1_x86_edited/SYSTEM"];
    let [Some(old), Some(new)] = names.map(|name| corpus::find(&folder, name)) else { return };
    let [old, new] = [old, new].map(|bytes| Hive::open(bytes).unwrap());
    let (a, b) = (old.primary_alone().root().unwrap(), new.primary_alone().root().unwrap());
    let found: Vec<_> = compare(&a, &b, CompareOptions::default()).map(Result::unwrap).collect();
    let [only] = &found[..] else { panic!("{}", found.len()) };
    assert!(matches!(&only.what, What::ValueOnlyInB { unsure: false, .. }));
    assert_eq!(only.path(), r"ControlSet001\Control\SecurityProviders\WDigest");
}

#[test]
fn the_oracle_finds_the_same_differences() {
    let Some(folder) = corpus::folder(TEST) else { return };
    let Some(old) = corpus::find(&folder, "edge/hivex/large") else { return };
    let scratch = tempfile::tempdir().unwrap();
    let [old_path, new_path] = ["old", "new"].map(|name| scratch.path().join(name));
    let mut edit = Hive::open(old.clone()).unwrap().clean().unwrap().edit(EditOptions::default());
    edit.create_key(r"New\Below").unwrap();
    edit.set_value(r"New\Below", "Value", &Data::sz("x")).unwrap();
    edit.set_value("", "Root", &Data::Dword(1)).unwrap();
    let gone = edit.hive().unwrap().root().unwrap().subkeys().unwrap().last().unwrap().unwrap().name().to_string();
    edit.delete_key(&gone).unwrap();
    let new = edit.finish().unwrap().bytes;
    std::fs::write(&old_path, &old).unwrap();
    std::fs::write(&new_path, &new).unwrap();
    let [old, new] = [old, new].map(|bytes| Hive::open(bytes).unwrap());
    let (a, b) = (old.primary_alone().root().unwrap(), new.primary_alone().root().unwrap());
    let mut ours = BTreeSet::new();
    for difference in compare(&a, &b, CompareOptions { times: false, inside: true }).map(Result::unwrap) {
        let key =
            difference.names.iter().map(|name| format!("\\{}", name.to_string().to_uppercase())).collect::<String>();
        let mut values = |names: Vec<String>| ours.extend(names.into_iter().map(|name| (key.clone(), Some(name))));
        let all = |key: Vec<String>| key.into_iter().map(|name| name.to_uppercase()).collect();
        match &difference.what {
            What::KeyOnlyInA { key, .. } => {
                values(all(key.values().unwrap().map(|value| value.unwrap().name().to_string()).collect()));
            }
            What::KeyOnlyInB { key, .. } => {
                values(all(key.values().unwrap().map(|value| value.unwrap().name().to_string()).collect()));
            }
            What::ValueOnlyInB { value, .. } => {
                ours.insert((key, Some(value.name().to_string().to_uppercase())));
                continue;
            }
            other => panic!("{other:?}"),
        }
        ours.insert((key, None));
    }
    let Some(theirs) = oracle_diff(TEST, &old_path, &new_path) else { return };
    let text = |field: &serde_json::Value| field.as_str().map(str::to_owned);
    let theirs: BTreeSet<_> = theirs.iter().map(|one| (text(&one["key"]).unwrap(), text(&one["value"]))).collect();
    assert!(ours.len() > 4);
    assert_eq!(ours, theirs);
}
