//! Independent programs that judge, where they are installed.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What differs between two hives in keys, values and security, as an independent program sees it; `None` without it.
/// It is the file that `HIVEWRIGHT_ORACLE` names, or `../shared/tools/hive_oracle.py` beside the project.
pub(crate) fn oracle_diff(test: &str, old: &Path, new: &Path) -> Option<Vec<serde_json::Value>> {
    let out = oracle(test, &[Path::new("diff"), old, new])?;
    Some(out.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

/// Whether that program finds a structural violation.
pub(crate) fn oracle_finds(test: &str, hive: &Path) -> Option<serde_json::Value> {
    let out = oracle(test, &[Path::new("check"), hive])?;
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    Some(report["violations"].clone())
}

fn oracle(test: &str, args: &[&Path]) -> Option<String> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/hive_oracle.py");
    let program = std::env::var_os("HIVEWRIGHT_ORACLE").map_or_else(beside, PathBuf::from);
    if !program.is_file() {
        println!("skipped: {test}: no oracle at {}", program.display());
        return None;
    }
    let Ok(output) = Command::new("python3").arg(program).args(args).output() else {
        println!("skipped: {test}: there is no python3");
        return None;
    };
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1)), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A python that has the module: `HIVEWRIGHT_PYTHON`, the one of `target/judges`, or the system's.
pub(crate) fn python_with(test: &str, module: &str) -> Option<PathBuf> {
    let judges = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/judges/bin/python");
    let named = std::env::var_os("HIVEWRIGHT_PYTHON").map(PathBuf::from);
    let candidates = named.into_iter().chain([judges, PathBuf::from("python3")]);
    let has = |python: &PathBuf| {
        let run = Command::new(python).args(["-c", &format!("import {module}")]).output();
        run.is_ok_and(|output| output.status.success())
    };
    let found = candidates.into_iter().find(has);
    if found.is_none() {
        println!("skipped: {test}: no python has the module {module}");
    }
    found
}
