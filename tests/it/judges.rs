//! Independent readers of hives, if installed; they share no code with this project.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::{Value, json};

use crate::corpus;

/// Answers one list of jobs per line: the start of Python costs more than most jobs.
const DRIVER: &str = r#"
import json, sys
sys.dont_write_bytecode = True
judge, kept = sys.argv[1], {}
if judge == "oracle":
    import importlib.util
    spec = importlib.util.spec_from_file_location("hive_oracle", sys.argv[2])
    oracle = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(oracle)
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
elif judge == "regipy":
    from regipy.registry import RegistryHive
    def read(path, key, name):
        return {v.name: v.value for v in RegistryHive(path).get_key("\\" + key).iter_values()}.get(name)
else:
    from dissect.regf import regf
    def read(path, key, name):
        with open(path, "rb") as file:
            return regf.RegistryHive(file).open(key).value(name).value
for line in sys.stdin:
    kept.clear()
    out = []
    for job in json.loads(line):
        try:
            out.append(dict(ok=globals()[job[0]](*job[1:])))
        except Exception as e:
            out.append(dict(error=f"{type(e).__name__}: {e}"))
    print(json.dumps(out, default=repr), flush=True)
"#;

/// A judge in Python: two processes, which end with the tests.
pub(crate) struct Judge {
    name: &'static str,
    processes: [Mutex<Option<Process>>; 2],
    python: PathBuf,
    oracle: Option<PathBuf>,
}

struct Process {
    child: Child,
    answers: BufReader<ChildStdout>,
}

static ORACLE: OnceLock<Option<Judge>> = OnceLock::new();

impl Judge {
    fn new(name: &'static str, python: PathBuf, oracle: Option<PathBuf>) -> Self {
        Judge { name, processes: Default::default(), python, oracle }
    }

    /// Returns the oracle of the corpus. Without it, prints that the test goes without.
    pub(crate) fn oracle(corpus: &Path, test: &str) -> Option<&'static Self> {
        let find = || {
            let beside = || corpus.join("../tools/hive_oracle.py");
            let oracle = std::env::var_os("HIVEWRIGHT_ORACLE").map_or_else(beside, PathBuf::from);
            // PyPy takes a third of the time.
            let pythons = [PathBuf::from("pypy3")].into_iter().chain(pythons());
            let python = pythons.into_iter().find(|python| oracle.is_file() && can(python, "import json"))?;
            Some(Judge::new("oracle", python, Some(oracle)))
        };
        let found = ORACLE.get_or_init(find).as_ref();
        if found.is_none() {
            hivewright_fixtures::skip::missing(format_args!(
                "{test}: the oracle beside the corpus, or a Python for it"
            ));
        }
        found
    }

    /// Returns the readers regipy and dissect.regf, if a Python has them. Prints those that are missing.
    pub(crate) fn readers(test: &str) -> Vec<Self> {
        let mut found = Vec::new();
        for (name, module) in [("regipy", "regipy.registry"), ("dissect", "dissect.regf")] {
            found.extend(python_with(test, module).map(|python| Judge::new(name, python, None)));
        }
        found
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    fn start(&self) -> Process {
        let mut command = Command::new(&self.python);
        command.args(["-c", DRIVER, self.name]).args(&self.oracle).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Process { child, answers }
    }

    /// Returns the answers to jobs such as `["check", PATH]`, `["new_faults", OLD, NEW]`, `["diff", OLD, NEW]` or
    /// `["read", PATH, KEY, VALUE]`, in order.
    pub(crate) fn ask(&self, jobs: &[Value]) -> Vec<Value> {
        let [first, second] = &self.processes;
        let mut process = first.try_lock().or_else(|_| second.try_lock()).unwrap_or_else(|_| first.lock().unwrap());
        let process = process.get_or_insert_with(|| self.start());
        let mut answers = String::new();
        writeln!(process.child.stdin.as_mut().unwrap(), "{}", Value::from(jobs)).unwrap();
        process.answers.read_line(&mut answers).unwrap();
        assert!(!answers.is_empty(), "the judge {} failed: its error stands above", self.name);
        let answers: Vec<Value> = serde_json::from_str(&answers).unwrap();
        assert_eq!(answers.len(), jobs.len());
        answers
    }

    /// As [`Judge::ask`], by both processes in parallel.
    pub(crate) fn ask_both(&self, jobs: [&[Value]; 2]) -> [Vec<Value>; 2] {
        std::thread::scope(|scope| {
            let first = scope.spawn(|| self.ask(jobs[0]));
            let second = self.ask(jobs[1]);
            [first.join().unwrap(), second]
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Returns the differences of two hives in keys, values and security according to the oracle; `None` without it.
pub(crate) fn oracle_diff(test: &str, old: &Path, new: &Path) -> Option<Vec<Value>> {
    ask_oracle(test, json!(["diff", old, new]))?.as_array().cloned()
}

/// Returns the structural violations that the oracle finds; `None` without it.
pub(crate) fn oracle_finds(test: &str, hive: &Path) -> Option<Value> {
    ask_oracle(test, json!(["check", hive]))
}

fn ask_oracle(test: &str, job: Value) -> Option<Value> {
    let answer = Judge::oracle(&corpus::folder(test)?, test)?.ask(std::slice::from_ref(&job)).remove(0);
    assert!(answer["error"].is_null(), "{job}: {answer}");
    Some(answer["ok"].clone())
}

/// Returns a Python with the module. Without one, prints that the test goes without.
pub(crate) fn python_with(test: &str, module: &str) -> Option<PathBuf> {
    let found = pythons().into_iter().find(|p| can(p, &format!("import {module}")));
    if found.is_none() {
        hivewright_fixtures::skip::missing(format_args!("{test}: no Python has the module {module}"));
    }
    found
}

/// The interpreter of a virtual environment of Python.
const PYTHON: &str = if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" };

/// Returns paths of a Python with the judges.
fn pythons() -> Vec<PathBuf> {
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges").join(PYTHON);
    let named = std::env::var_os("HIVEWRIGHT_PYTHON").map(PathBuf::from);
    [PathBuf::from("python3"), judges].into_iter().chain(named).collect()
}

fn can(python: &Path, what: &str) -> bool {
    let output = Command::new(python).args(["-B", "-c", what]).output();
    output.is_ok_and(|output| output.status.success())
}

/// Returns whether a command is installed. Without it, prints that the test goes without.
pub(crate) fn has(command: &str, test: &str) -> bool {
    let there = Command::new(command).arg("--version").stdin(Stdio::null()).output().is_ok();
    if !there {
        hivewright_fixtures::skip::missing(format_args!("{test}: there is no command {command}"));
    }
    there
}

/// Returns the output of hivexget for a value.
pub(crate) fn hivexget(hive: &Path, key: &str, value: &str) -> String {
    let output = Command::new("hivexget").arg(hive).arg(format!("\\{key}")).arg(value).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "hivexget: {}: {said}", hive.display());
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Returns the export of a whole hive by hivexregedit.
pub(crate) fn hivexregedit(hive: &Path) -> String {
    let output =
        Command::new("hivexregedit").args(["--export", "--prefix", "SYSTEM"]).arg(hive).arg("\\").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "hivexregedit: {}: {said}", hive.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
