//! Output to standard output, standard error, terminals, closed pipes, pages and scripts.

use std::process::{Command, Stdio};

use crate::command::{fixtures, has_code, hivewright};
use crate::copies::Copied;
use crate::support::tools::have;

const BINARY: &str = env!("CARGO_BIN_EXE_hivewright");
const VERBS: [&str; 7] = ["get", "set", "unset", "check", "undo", "completions", "man"];

#[test]
fn no_colour_without_a_terminal() {
    for args in [
        &["get", "findings/twins-in-case/SYSTEM"][..],
        &["check", "check/subkey-hash/SYSTEM"],
        &["get", "none"],
        &["--help"],
        &["set", "9", "x"],
    ] {
        let output = Command::new(BINARY)
            .current_dir(fixtures())
            .args(args)
            .env_remove("NO_COLOR")
            .env("TERM", "xterm-256color")
            .output()
            .unwrap();
        for bytes in [&output.stdout, &output.stderr] {
            assert!(!bytes.contains(&0x1b), "{args:?}: {}", String::from_utf8_lossy(bytes));
        }
        assert!(!output.stdout.is_empty() || !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn wrong_arguments_are_an_error_as_json_too() {
    for args in [
        &["get", "--json", "--partition", "x", "disk.raw"][..],
        &["set", "9", "SYSTEM", "--json"],
        &["undo", "--json", "--nonsense", "a\x1b[2J"],
    ] {
        let run = hivewright(args).failed_as_json(2, "usage");
        assert!(run.err.starts_with("error: "), "{}", run.err);
    }
    let missing = hivewright(["set", "--json"]).json();
    let message = "the following required arguments were not provided: <0|1|2> <TARGET>";
    assert_eq!((&missing["error"]["message"], &missing["error"]["code"]), (&message.into(), &"usage".into()));
    // A file may have this name, and an audit prints records.
    for args in [&["get", "--partition", "x", "--", "--json"][..], &["audit", "--json", "--jobs", "x"], &["get"]] {
        let run = hivewright(args);
        assert!(run.code == 2 && run.out.is_empty() && !run.err.is_empty(), "{run:?}");
    }
    let run = hivewright(["get", "--json", "--help"]);
    assert!(run.code == 0 && run.out.contains("Usage:"), "{run:?}");
}

/// Returns the output of a command line on a terminal of the command `script`.
fn on_a_terminal(line: &str, no_color: bool) -> Option<Vec<u8>> {
    let mut command = Command::new("script");
    command.args(["-qec", line, "/dev/null"]).current_dir(fixtures()).stdin(Stdio::null()).env("TERM", "xterm");
    command.env_remove("NO_COLOR");
    if no_color {
        command.env("NO_COLOR", "1");
    }
    command.output().ok().map(|output| output.stdout)
}

#[test]
fn colour_on_a_terminal_unless_it_is_unwanted() {
    for args in ["get findings/twins-in-case/SYSTEM", "check check/subkey-hash/SYSTEM"] {
        let line = format!("'{BINARY}' {args}");
        let (Some(coloured), Some(plain)) = (on_a_terminal(&line, false), on_a_terminal(&line, true)) else {
            hivewright_fixtures::skip::missing("colour on a terminal: there is no command script");
            return;
        };
        if plain.is_empty() {
            hivewright_fixtures::skip::impossible("colour on a terminal: the command script makes none here");
            return;
        }
        assert!(coloured.contains(&0x1b), "{args}: no colour");
        assert!(!plain.contains(&0x1b), "{args}: colour despite NO_COLOR");
    }
}

/// Runs with a closed standard output.
fn into_a_closed_pipe(copy: &Copied, args: &[&str]) -> (i32, String) {
    let mut command = Command::new(BINARY);
    command.args(args).current_dir(copy.folder.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).output().unwrap();
    (output.status.code().expect("ended by a signal"), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_closed_pipe_is_no_error() {
    let copy = Copied::of("windows/win10");
    for args in [&["get", "SYSTEM"][..], &["check", "SYSTEM"], &["completions", "zsh"], &["man"], &["--help"]] {
        let (_, err) = into_a_closed_pipe(&copy, args);
        assert_eq!(err, "", "{args:?}");
    }
    copy.assert_untouched("a closed pipe");
    // The write is complete: an exit code for "nothing was changed" would be false.
    for args in [&["set", "2", "SYSTEM", "--undo", "U"][..], &["undo", "U"], &["set", "1", "SYSTEM", "--json"]] {
        assert_eq!(into_a_closed_pipe(&copy, args), (0, String::new()), "{args:?}");
    }
    assert_eq!(copy.number_in("ControlSet001"), Some(1));
}

// Windows has no device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_failed_output_is_reported_on_standard_error() {
    let copy = Copied::of("windows/win10");
    let run = |args: &[&str]| {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(BINARY).args(args).current_dir(copy.folder.path()).stdout(full).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, err) = run(&["get", "SYSTEM"]);
    assert_eq!(code, 2, "{err}");
    assert!(has_code(&err, "io"), "{err}");
    let (code, err) = run(&["set", "2", "SYSTEM"]);
    assert_eq!(code, 0, "{err}");
    assert!(has_code(&err, "io"), "{err}");
    assert_eq!(copy.number_in("ControlSet001"), Some(2));
}

#[test]
fn check_prints_its_findings_on_standard_output() {
    let sound = hivewright(["check", "windows/win10/SYSTEM"]).done();
    assert!(sound.out.contains("no findings"), "{}", sound.out);
    let json = hivewright(["check", "--json", "windows/win10/SYSTEM"]).done().json();
    assert_eq!((&json["sound"], json["findings"].as_array().map(Vec::len)), (&true.into(), Some(0)));
    let run = hivewright(["check", "--json", "check/subkey-hash/SYSTEM"]);
    assert_eq!((run.code, run.err.as_str()), (1, ""));
    let finding = &run.json()["findings"][0];
    for name in ["code", "severity", "offset", "cell", "key", "what", "expected", "actual"] {
        assert!(!finding[name].is_null(), "{name}: {finding}");
    }
    hivewright(["check", "none"]).failed(2, "[no-file]");
    hivewright(["check", "--json", "none"]).failed_as_json(2, "no-file");
    let copy = Copied::with(b"MZ".repeat(5000));
    copy.run(["check", "--json", "SYSTEM"]).failed_as_json(2, "base-signature");
}

#[test]
fn help_fits_and_has_examples() {
    for verb in VERBS.iter().map(Some).chain([None]) {
        for flag in ["--help", "-h"] {
            let run = hivewright(verb.into_iter().copied().chain([flag])).done();
            let wide: Vec<&str> = run.out.lines().filter(|line| line.chars().count() > 80).collect();
            assert!(wide.is_empty(), "{verb:?} {flag}: {wide:?}");
            assert!(run.out.contains("Usage: hivewright") && run.out.contains("Example"), "{verb:?}: {}", run.out);
        }
    }
    let all = hivewright(["--help"]).done().out;
    for verb in VERBS {
        assert!(all.contains(&format!("\n  {verb} ")), "{verb}: {all}");
    }
    let version = hivewright(["--version"]).done().out;
    assert_eq!(version, format!("hivewright {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_are_scripts_that_their_shells_read() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, check) in [
        ("bash", Some(["bash", "-n"])),
        ("zsh", Some(["zsh", "-n"])),
        ("fish", Some(["fish", "-n"])),
        ("powershell", None),
        ("elvish", None),
    ] {
        let run = hivewright(["completions", shell]).done();
        for word in VERBS.iter().chain(&["control-set", "keep-timestamps"]) {
            assert!(run.out.contains(word), "{shell}: no {word}");
        }
        let Some([program, flag]) = check else { continue };
        let script = folder.path().join(shell);
        std::fs::write(&script, &run.out).unwrap();
        match Command::new(program).arg(flag).arg(&script).output() {
            Err(_) => hivewright_fixtures::skip::missing(format_args!("completions for {shell}: no such shell")),
            Ok(output) => {
                let err = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success() && err.is_empty(), "{shell}: {err}");
            }
        }
    }
}

/// As bash asks: the words before the cursor, of which the last is begun.
#[test]
fn bash_completes_values_and_files() {
    if !have(&["bash"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("completions"), hivewright(["completions", "bash"]).done().out).unwrap();
    std::fs::write(folder.path().join("SYSTEM.LOG1"), "").unwrap();
    let complete = |words: &[&str]| {
        let [.., previous, current] = words else { panic!("{words:?}") };
        let program = "source completions; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                       _hivewright hivewright \"${@: -1}\" \"${@: -2:1}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
        let run =
            Command::new("bash").args(["--norc", "-c", program, "bash"]).args(words).current_dir(&folder).output();
        let out = String::from_utf8(run.unwrap().stdout).unwrap();
        let mut found: Vec<String> = out.lines().map(str::to_owned).collect();
        found.sort();
        (found, format!("{previous} {current}"))
    };
    let exactly = |words: &[&str], wanted: &[&str]| {
        let (found, asked) = complete(words);
        assert_eq!(found, wanted, "{asked}");
    };
    let values = complete(&["hivewright", "set", ""]).0;
    assert!(["0", "1", "2"].iter().all(|value| values.iter().any(|found| found == value)), "{values:?}");
    exactly(&["hivewright", "audit", "--expect", ""], &["0", "1", "2", "set", "unset"]);
    exactly(&["hivewright", "audit", "--format", "s"], &["sarif"]);
    exactly(&["hivewright", "get", "--format", "vh"], &["vhd", "vhdx"]);
    exactly(&["hivewright", "set", "2", "x", "--control-set", ""], &["all", "current", "default"]);
    exactly(&["hivewright", "reg", "add", "x", "y", "--type", "REG_D"], &["REG_DWORD", "REG_DWORD_BIG_ENDIAN"]);
    exactly(&["hivewright", "get", "--log", "SYS"], &["SYSTEM.LOG1"]);
    // What is suggested is not all that may be said.
    assert!(hivewright(["get", "windows/win10/SYSTEM", "--format", "nosuch"]).has("format-unknown"));
}

#[test]
fn fish_completes_values_and_files() {
    if !have(&["fish"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("completions"), hivewright(["completions", "fish"]).done().out).unwrap();
    std::fs::write(folder.path().join("hive"), "").unwrap();
    let complete = |line: &str| {
        let program = format!("source completions; complete -C '{line}'");
        let run = Command::new("fish").args(["--no-config", "-c", &program]).current_dir(&folder).output().unwrap();
        let out = String::from_utf8(run.stdout).unwrap();
        let mut found: Vec<_> = out.lines().map(|line| line.split('\t').next().unwrap().to_owned()).collect();
        found.sort();
        found
    };
    for (line, wanted) in [
        ("hivewright set ", &["0", "1", "2", "completions", "hive"][..]),
        ("hivewright get hi", &["hive"]),
        ("hivewright completions z", &["zsh"]),
        ("hivewright audit --expect ", &["0", "1", "2", "set", "unset"]),
        ("hivewright audit --format s", &["sarif"]),
        ("hivewright set 2 x --control-set ", &["all", "current", "default"]),
        ("hivewright reg add x y --type REG_D", &["REG_DWORD", "REG_DWORD_BIG_ENDIAN"]),
    ] {
        assert_eq!(complete(line), wanted, "{line}");
    }
}

#[test]
fn manual_pages_render_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().to_str().unwrap();
    assert_eq!(hivewright(["man", "--output-dir", target]).done().out, "");
    let mut pages: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
    pages.sort();
    let names: Vec<_> = pages.iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    for verb in VERBS {
        assert!(names.contains(&format!("hivewright-{verb}.1")), "{names:?}");
    }
    let main = hivewright(["man"]).done().out;
    assert_eq!(main, std::fs::read_to_string(folder.path().join("hivewright.1")).unwrap());
    let mut judges = 0;
    for (program, args) in [
        ("groff", &["-man", "-Tutf8", "-ww", "-z"][..]),
        ("mandoc", &["-T", "lint", "-W", "error"]),
        ("man", &["--warnings", "--local-file", "--troff-device=utf8", "--ditroff"]),
    ] {
        for page in &pages {
            let Ok(output) = Command::new(program).args(args).arg(page).output() else { break };
            // `man` writes the page there.
            let said = if program == "man" { output.stderr } else { [output.stdout, output.stderr].concat() };
            assert!(output.status.success() && said.is_empty(), "{page:?}: {}", String::from_utf8_lossy(&said));
            judges += 1;
        }
    }
    if judges == 0 {
        hivewright_fixtures::skip::missing("manual pages: neither groff nor mandoc is there");
    }
    hivewright(["man", "--output-dir", &format!("{target}/none")]).failed(2, "writing manual pages");
}
