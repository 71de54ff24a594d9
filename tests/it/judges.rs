//! Independent readers of hives, where they are at hand: they share no code with this project.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::corpus;
use crate::support::tools::answer;

/// Runs many jobs in one process: starting Python costs more than most of them.
const DRIVER: &str = r#"
import json, sys
sys.dont_write_bytecode = True
task = json.load(sys.stdin)
if task["judge"] == "oracle":
    import importlib.util
    spec = importlib.util.spec_from_file_location("hive_oracle", task["oracle"])
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
    kept = {}
    def flat(path):
        if path not in kept:
            if len(kept) > 1:
                kept.pop(next(iter(kept)))
            kept[path] = oracle.flat(oracle.Hive(path))
        return kept[path]
    def check(path):
        bad, first, facts = oracle.check(oracle.Hive(path))
        return dict(bad)
    def new_faults(old, new):
        found = check(new)
        before = check(old) if found else {}
        return {code: n for code, n in found.items() if n > before.get(code, 0)}
    def diff(old, new):
        old, new = flat(old), flat(new)
        return [dict(key=at[0], value=at[1], old=old.get(at), new=new.get(at))
                for at in sorted(set(old) | set(new), key=lambda x: (x[0], x[1] or "")) if old.get(at) != new.get(at)]
elif task["judge"] == "regipy":
    from regipy.registry import RegistryHive
    def read(path, key, name):
        return {v.name: v.value for v in RegistryHive(path).get_key("\\" + key).iter_values()}.get(name)
else:
    from dissect.regf import regf
    def read(path, key, name):
        with open(path, "rb") as file:
            return regf.RegistryHive(file).open(key).value(name).value
out = []
for job in task["jobs"]:
    try:
        out.append(dict(ok=globals()[job[0]](*job[1:])))
    except Exception as e:
        out.append(dict(error=f"{type(e).__name__}: {e}"))
json.dump(out, sys.stdout, default=repr)
"#;

/// A judge in Python.
pub(crate) struct Judge {
    name: &'static str,
    python: PathBuf,
    oracle: Option<PathBuf>,
}

impl Judge {
    /// The oracle that stands beside the corpus. Says that a test goes without it where it is missing.
    pub(crate) fn oracle(corpus: &Path, test: &str) -> Option<Self> {
        let beside = || corpus.join("../tools/hive_oracle.py");
        let oracle = std::env::var_os("HIVEWRIGHT_ORACLE").map_or_else(beside, PathBuf::from);
        let Some(python) = pythons().into_iter().find(|p| oracle.is_file() && can(p, "import json")) else {
            hivewright_fixtures::skip::missing(format_args!(
                "{test}: the oracle beside the corpus, or a Python for it"
            ));
            return None;
        };
        Some(Judge { name: "oracle", python, oracle: Some(oracle) })
    }

    /// The readers regipy and dissect.regf, as far as a Python has them. Says so of those that none has.
    pub(crate) fn readers(test: &str) -> Vec<Self> {
        let mut found = Vec::new();
        for (name, module) in [("regipy", "regipy.registry"), ("dissect", "dissect.regf")] {
            found.extend(python_with(test, module).map(|python| Judge { name, python, oracle: None }));
        }
        found
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The answers to jobs such as `["check", PATH]`, `["new_faults", OLD, NEW]`,
    /// `["diff", OLD, NEW]` or `["read", PATH, KEY, VALUE]`, in order.
    pub(crate) fn ask(&self, jobs: &[Value]) -> Vec<Value> {
        let task = json!({"judge": self.name, "oracle": self.oracle, "jobs": jobs});
        let output = answer(Command::new(&self.python).args(["-c", DRIVER]), task.to_string().as_bytes());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the judge {} failed: {errors}", self.name);
        let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answers.len(), jobs.len());
        answers
    }

    /// As [`Judge::ask`], by two processes at once.
    pub(crate) fn ask_both(&self, jobs: [&[Value]; 2]) -> [Vec<Value>; 2] {
        std::thread::scope(|scope| {
            let first = scope.spawn(|| self.ask(jobs[0]));
            let second = self.ask(jobs[1]);
            [first.join().unwrap(), second]
        })
    }
}

/// What differs between two hives in keys, values and security, as the oracle sees it; `None` without it.
pub(crate) fn oracle_diff(test: &str, old: &Path, new: &Path) -> Option<Vec<Value>> {
    ask_oracle(test, json!(["diff", old, new]))?.as_array().cloned()
}

/// The structural violations that the oracle finds; `None` without it.
pub(crate) fn oracle_finds(test: &str, hive: &Path) -> Option<Value> {
    ask_oracle(test, json!(["check", hive]))
}

fn ask_oracle(test: &str, job: Value) -> Option<Value> {
    let answer = Judge::oracle(&corpus::folder(test)?, test)?.ask(std::slice::from_ref(&job)).remove(0);
    assert!(answer["error"].is_null(), "{job}: {answer}");
    Some(answer["ok"].clone())
}

/// A Python that has the module. Says that a test goes without it where there is none.
pub(crate) fn python_with(test: &str, module: &str) -> Option<PathBuf> {
    let found = pythons().into_iter().find(|p| can(p, &format!("import {module}")));
    if found.is_none() {
        hivewright_fixtures::skip::missing(format_args!("{test}: no Python has the module {module}"));
    }
    found
}

/// Where a Python with the judges may be.
fn pythons() -> Vec<PathBuf> {
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges/bin/python");
    let named = std::env::var_os("HIVEWRIGHT_PYTHON").map(PathBuf::from);
    [PathBuf::from("python3"), judges].into_iter().chain(named).collect()
}

fn can(python: &Path, what: &str) -> bool {
    let output = Command::new(python).args(["-B", "-c", what]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Whether a command is there. Says that a test goes without it where it is not.
pub(crate) fn has(command: &str, test: &str) -> bool {
    let there = Command::new(command).arg("--version").stdin(Stdio::null()).output().is_ok();
    if !there {
        hivewright_fixtures::skip::missing(format_args!("{test}: there is no command {command}"));
    }
    there
}

/// What hivexget prints for a value.
pub(crate) fn hivexget(hive: &Path, key: &str, value: &str) -> String {
    let output = Command::new("hivexget").arg(hive).arg(format!("\\{key}")).arg(value).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "hivexget: {}: {said}", hive.display());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The whole hive as hivexregedit exports it.
pub(crate) fn hivexregedit(hive: &Path) -> String {
    let output =
        Command::new("hivexregedit").args(["--export", "--prefix", "SYSTEM"]).arg(hive).arg("\\").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "hivexregedit: {}: {said}", hive.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
