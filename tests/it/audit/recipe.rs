//! The recipe for Dask has the result of a single run, even if a shard is killed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::maker::make;
use super::{audit, records, steady};
use crate::judges::python_with;
use crate::support::tools::output;

/// Creates a `hivewright` that is killed during its first run of the second shard.
fn unreliable(folder: &Path) -> PathBuf {
    let path = folder.join("unreliable");
    let real = env!("CARGO_BIN_EXE_hivewright");
    let mark = folder.join("was-killed");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *'--shard 2/'*) if [ ! -e '{mark}' ]; then touch '{mark}'\n\
         '{real}' \"$@\" | head -n 3; kill -9 $$; fi;; esac\nexec '{real}' \"$@\"\n",
        mark = mark.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn recipe(python: &Path, home: &Path, program: &Path) -> (i32, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/dask/audit.py");
    let mut command = Command::new(python);
    command.arg(script).current_dir(home).arg("--hivewright").arg(program);
    let out = command
        .args(["--shards", "3", "--workers", "2", "--out", "r.parquet", "fleet", "--", "--expect", "2"])
        .output();
    let out = out.unwrap();
    (out.status.code().unwrap(), String::from_utf8_lossy(&out.stderr).into_owned())
}

fn collected(python: &Path, home: &Path) -> BTreeMap<(String, u64), Value> {
    let program = "import sys, pyarrow.parquet as p\nt = p.read_table(sys.argv[1])\n\
                   assert t.column('target').null_count == 0\n\
                   for line in t.column('record').to_pylist(): sys.stdout.buffer.write(line.encode() + b'\\n')";
    let parquet = home.join("r.parquet");
    let text = output(python.to_str().unwrap(), &["-c", program, parquet.to_str().unwrap()]);
    steady(records(&String::from_utf8(text).unwrap()))
}

#[test]
fn the_merged_result_of_all_shards_is_that_of_one_run() {
    let test = "the_merged_result_of_all_shards_is_that_of_one_run";
    let Some(python) = python_with(test, "dask.distributed, pyarrow.parquet") else { return };
    let home = tempfile::tempdir().unwrap();
    make(&home.path().join("fleet"), 60);
    let one = audit(home.path(), &["--json", "--expect", "2", "fleet"]);
    let whole = steady(records(&one.out));
    let program = unreliable(home.path());
    let (code, errors) = recipe(&python, home.path(), &program);
    assert_eq!(code, one.code, "{errors}");
    assert!(home.path().join("was-killed").exists(), "nothing was killed");
    assert!(collected(&python, home.path()) == whole);
    // A second run with the existing results.
    let (code, errors) = recipe(&python, home.path(), &program);
    assert_eq!(code, one.code, "{errors}");
    assert!(collected(&python, home.path()) == whole);
}
