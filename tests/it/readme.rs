//! What the README shows is what the command does.

use std::fs;
use std::path::Path;

use hivewright_error::Code;

use crate::command::{hivewright, hivewright_in};

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

#[test]
fn console_examples_are_true() {
    let text = readme();
    let mut shown = 0;
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let (command, expected) = block.split_once('\n').unwrap();
        let args = command.strip_prefix("$ hivewright ").unwrap().split(' ');
        let run = hivewright_in(Path::new(env!("CARGO_MANIFEST_DIR")), args);
        assert_eq!(run.out, expected, "{command}");
        shown += 1;
    }
    assert!(shown > 0);
}

#[test]
fn the_main_job_runs_on_the_fixture_that_ships() {
    let text = readme();
    let line = text.lines().find(|line| line.trim_start().starts_with("cargo run --release -- ")).unwrap();
    let args: Vec<&str> = line.trim_start().strip_prefix("cargo run --release -- ").unwrap().split(' ').collect();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("SYSTEM.patched");
    let args: Vec<&str> =
        args.iter().map(|&a| if a == "SYSTEM.patched" { output.to_str().unwrap() } else { a }).collect();
    let run = hivewright_in(Path::new(env!("CARGO_MANIFEST_DIR")), args);
    assert_eq!(run.code, 0, "{}", run.err);
    let value = hivewright_in(folder.path(), ["get", "--value", "SYSTEM.patched"]);
    assert_eq!((value.code, value.out.as_str()), (0, "2\n"));
}

#[test]
fn the_table_of_formats_is_the_one_of_the_code() {
    let table = hivewright_disk::container::table();
    assert!(readme().contains(&table), "the README wants this table:\n{table}");
    assert_eq!(hivewright(["info", "--formats"]).out, table);
}

#[test]
fn the_list_of_codes_is_the_one_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/codes.md");
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_key(|code| code.as_str());
    let rows: String = codes.iter().map(|code| format!("| `{code}` | {} |\n", code.explain())).collect();
    let text = fs::read_to_string(&path).unwrap();
    let head = "| code | meaning |\n|---|---|\n";
    let (before, _) = text.split_once(head).unwrap();
    let now = format!("{before}{head}{rows}");
    if std::env::var_os("HIVEWRIGHT_BLESS").is_some() {
        fs::write(&path, &now).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == now, "HIVEWRIGHT_BLESS=1 writes docs/codes.md anew");
}

#[test]
fn every_verb_is_named_and_every_named_option_exists() {
    let text = readme();
    let help = hivewright(["--help"]).out;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut all_help = help.clone();
    for verb in verbs.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|verb| !verb.is_empty()) {
        assert!(verb == "help" || text.contains(&format!("hivewright {verb}")), "the README does not name {verb}");
        all_help += &hivewright(["help", verb]).out;
    }
    for verb in ["query", "add", "delete", "import", "export", "compare", "extract"] {
        assert!(text.contains(&format!("hivewright reg {verb}")), "the README does not name reg {verb}");
        all_help += &hivewright(["reg", verb, "--help"]).out;
    }
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    // Cargo's, and hivexregedit's.
    let theirs =
        ["--release", "--profile", "--export", "--workspace", "--locked", "--path", "--open", "--target", "--merge"];
    let ours = |word: &&str| !theirs.contains(word);
    let options = words.filter(|word| word.starts_with("--") && !word.trim_matches('-').is_empty()).filter(ours);
    for option in options {
        assert!(all_help.contains(option), "the README names {option}, which no help does");
    }
}
