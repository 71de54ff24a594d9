//! Valid and invalid results for `--resume`.

use std::fs;

use hivewright_fixtures::{Release, SystemHive};

use super::audit;
use crate::command::Run;

fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("fleet")).unwrap();
    for name in ["a", "b"] {
        fs::write(home.path().join("fleet").join(name), SystemHive::new(Release::Win10).build().bytes).unwrap();
    }
    home
}

#[test]
fn invalid_results_are_refused_before_anything_is_written() {
    let home = home();
    let resume = |name: &str| audit(home.path(), &["--json", "--report", "r.html", "--resume", name, "fleet"]);
    let csv = audit(home.path(), &["--format", "csv", "fleet"]).out;
    let pretty = format!("{:#}\n", serde_json::json!({"form": 2, "tool": "hivewright 0.1.0"}));
    for (name, text) in [
        ("words", b"root:x:0:0:root:/root:/bin/bash\n".as_slice()),
        ("picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"),
        ("csv", csv.as_bytes()),
        ("pretty", pretty.as_bytes()),
        ("other", b"\n\n{\"target\":\"x\"}\n"),
        ("number", b"1"),
    ] {
        fs::write(home.path().join(name), text).unwrap();
        let run = resume(name);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{name}: {}", run.err);
        let line = if name == "other" { "line 3" } else { "line 1" };
        for word in [name, line, "not a record of an audit", "advice: ", "hivewright audit --json"] {
            assert!(run.err.contains(word), "{name}: {word}: {}", run.err);
        }
    }
    let missing = resume("missing");
    assert_eq!(missing.code, 2);
    assert!(missing.has("no-file") && missing.err.contains("empty file"), "{}", missing.err);
    let folder = resume("fleet");
    assert_eq!(folder.code, 2);
    assert!(folder.has("resume-no-file"), "{}", folder.err);
    assert!(!home.path().join("r.html").exists());
}

#[test]
fn results_of_interrupted_runs_are_accepted() {
    let home = home();
    let whole = audit(home.path(), &["--json", "-j", "1", "fleet"]).out;
    let resume = |text: &[u8]| -> Run {
        fs::write(home.path().join("r.jsonl"), text).unwrap();
        let run = audit(home.path(), &["--json", "--resume", "r.jsonl", "fleet"]);
        assert_eq!((run.code, run.out.lines().count()), (0, 2), "{}", run.err);
        run
    };
    let kept = |run: &Run, count: usize| {
        let told = run.err.contains(&format!("{count} reused"));
        assert_eq!((told, run.err.contains("reused")), (count > 0, count > 0), "{}", run.err);
    };
    kept(&resume(b""), 0);
    kept(&resume(whole.as_bytes()), 2);
    let first = whole.find('\n').unwrap() + 1;
    for end in [1, 9, first - 1, first, first + 1, whole.len() - 1] {
        let run = resume(&whole.as_bytes()[..end]);
        kept(&run, usize::from(end >= first));
        assert!(!run.err.contains("warning"), "{}", run.err);
        // Records appended by the next run, and zeros of a power cut.
        kept(&resume(&[&whole.as_bytes()[..end], whole.as_bytes()].concat()), if end < first { 1 } else { 2 });
        kept(&resume(&[&whole.as_bytes()[..end], &[0; 4096]].concat()), usize::from(end >= first));
    }
    let added = whole.replace("{\"form\":2,", "{\"added\":{\"by\":[\"others\"]},\"form\":2,");
    kept(&resume(added.as_bytes()), 2);
    let tool = concat!("hivewright ", env!("CARGO_PKG_VERSION"));
    for other in [whole.replace(tool, "hivewright 99.0.0"), whole.replace("\"form\":2,", "\"form\":3,")] {
        let run = resume(other.as_bytes());
        kept(&run, 0);
        assert!(run.has("earlier-records"), "{}", run.err);
    }
    let noisy = resume(format!("{whole}hivewright: 2 targets, 2 installations read, in 0.0 s\n").as_bytes());
    kept(&noisy, 2);
    assert!(noisy.has("earlier-records"), "{}", noisy.err);
}
