//! The README and the chapters of the book agree with the command.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hivewright_error::Code;

use crate::command::{hivewright, hivewright_in};

const HOME: &str = env!("CARGO_MANIFEST_DIR");

fn readme() -> String {
    fs::read_to_string(Path::new(HOME).join("README.md")).unwrap()
}

/// The names of the chapters, as the table of contents has them.
fn chapters() -> Vec<String> {
    let summary = fs::read_to_string(Path::new(HOME).join("docs/SUMMARY.md")).unwrap();
    links(&summary).collect()
}

/// The README and all chapters.
fn documents() -> String {
    let chapters =
        chapters().into_iter().map(|name| fs::read_to_string(Path::new(HOME).join("docs").join(name)).unwrap());
    std::iter::once(readme()).chain(chapters).collect::<Vec<_>>().join("\n")
}

/// Where the links of a text lead.
fn links(text: &str) -> impl Iterator<Item = String> {
    let ends = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    ends.map(|(link, _)| link.to_owned()).collect::<Vec<_>>().into_iter()
}

#[test]
fn the_book_has_every_chapter_and_no_link_leads_nowhere() {
    let listed: BTreeSet<String> = chapters().into_iter().collect();
    let files = fs::read_dir(Path::new(HOME).join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let files =
        files.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".md") && name != "SUMMARY.md");
    assert_eq!(listed, files.collect());
    let of_book = listed.iter().map(|name| format!("docs/{name}"));
    let mut followed = 0;
    for name in of_book.chain(["README.md".to_owned(), "ARCHITECTURE.md".to_owned(), "recipes/README.md".to_owned()]) {
        let path = Path::new(HOME).join(name);
        let text = fs::read_to_string(&path).unwrap();
        for link in links(&text).filter(|link| !link.starts_with("http") && !link.starts_with('#')) {
            let file = link.split('#').next().unwrap();
            assert!(path.parent().unwrap().join(file).exists(), "{path:?}: {link}");
            // mdBook knows no file outside of the book.
            assert!(!path.starts_with(Path::new(HOME).join("docs")) || listed.contains(file), "{path:?}: {link}");
            followed += 1;
        }
    }
    assert!(followed > 20, "{followed}");
}

/// Scripts, tests and folders of this repository that the documents name in `code`.
#[test]
fn files_that_are_named_exist() {
    let text = documents();
    let mut named = 0;
    for word in text.split('`').filter(|word| !word.contains(char::is_whitespace)) {
        if ["benches/", "tests/", "recipes/", "examples/", "fixtures/", ".ci/", "fuzz/", "bindings/"]
            .iter()
            .any(|folder| word.starts_with(folder))
        {
            let path = Path::new(HOME).join(word);
            assert!(path.exists() || path.with_extension("rs").exists(), "{word}");
            named += 1;
        }
    }
    assert!(named > 15, "{named}");
}

#[test]
fn console_examples_are_true() {
    let text = documents();
    let mut shown = 0;
    for block in text.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        let (command, expected) = block.split_once('\n').unwrap();
        let args = command.strip_prefix("$ hivewright ").unwrap().split(' ');
        let run = hivewright_in(Path::new(HOME), args);
        assert_eq!(run.out, expected, "{command}");
        shown += 1;
    }
    assert!(shown > 0);
}

#[test]
fn the_main_job_runs_on_the_fixture_that_ships() {
    let text = readme();
    let line = text.lines().find(|line| line.trim_start().starts_with("cargo run --locked -- ")).unwrap();
    let args: Vec<&str> = line.trim_start().strip_prefix("cargo run --locked -- ").unwrap().split(' ').collect();
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("SYSTEM.patched");
    let args: Vec<&str> =
        args.iter().map(|&a| if a == "SYSTEM.patched" { output.to_str().unwrap() } else { a }).collect();
    let run = hivewright_in(Path::new(HOME), args);
    assert_eq!(run.code, 0, "{}", run.err);
    let value = hivewright_in(folder.path(), ["get", "--value", "SYSTEM.patched"]);
    assert_eq!((value.code, value.out.as_str()), (0, "2\n"));
}

#[test]
fn the_table_of_formats_is_the_one_of_the_code() {
    let table = hivewright_disk::container::table();
    let chapter = fs::read_to_string(Path::new(HOME).join("docs/formats.md")).unwrap();
    assert!(chapter.contains(&table), "docs/formats.md wants this table:\n{table}");
    assert_eq!(hivewright(["info", "--formats"]).out, table);
}

#[test]
fn the_list_of_codes_is_the_one_of_the_code() {
    let path = Path::new(HOME).join("docs/codes.md");
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
fn every_command_is_mentioned_and_every_mentioned_option_exists() {
    let text = documents();
    let help = hivewright(["--help"]).out;
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let mut all_help = help.clone();
    for verb in verbs.filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).filter(|verb| !verb.is_empty()) {
        assert!(verb == "help" || text.contains(&format!("hivewright {verb}")), "no document names {verb}");
        all_help += &hivewright(["help", verb]).out;
    }
    for verb in ["query", "add", "delete", "copy", "rename", "import", "export", "compare", "extract"] {
        assert!(text.contains(&format!("hivewright reg {verb}")), "no document names reg {verb}");
        all_help += &hivewright(["reg", verb, "--help"]).out;
    }
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    // Options of Cargo and hivexregedit.
    let theirs =
        ["--release", "--profile", "--export", "--workspace", "--locked", "--path", "--open", "--target", "--merge"];
    let ours = |word: &&str| !theirs.contains(word);
    let options = words.filter(|word| word.starts_with("--") && !word.trim_matches('-').is_empty()).filter(ours);
    for option in options {
        assert!(all_help.contains(option), "a document names {option}, which no help does");
    }
}
