//! The recipes for packages: they parse, they name this version, and the commands that they give are commands.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::command::{hivewright, hivewright_in};
use crate::copies::fixture;
use crate::judges::python_with;
use crate::support::tools::{have, output};

fn recipe(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes").join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(recipe(name)).unwrap()
}

fn yaml(test: &str, name: &str) -> Option<Value> {
    let python = python_with(test, "yaml")?;
    let program = "import json, sys, yaml\nprint(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let text = output(python.to_str().unwrap(), &["-c", program, recipe(name).to_str().unwrap()]);
    Some(serde_json::from_slice(&text).unwrap())
}

/// Whether there is such a verb with such options.
fn expect_options(verb: &str, options: &[&str]) {
    let help = hivewright(["help", verb]).done().out;
    for option in options {
        assert!(help.contains(option), "{verb} has no {option}");
    }
}

#[test]
fn every_recipe_names_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    for (name, named) in [
        ("homebrew/hivewright.rb", format!("hivewright-{version}.tar.gz")),
        ("nix/flake.nix", format!("version = \"{version}\";")),
        ("container/Containerfile", format!("ADD hivewright-{version}-x86_64-linux-static.tar.xz /opt/")),
        ("container/Containerfile", format!("\"/opt/hivewright-{version}-x86_64-linux-static/hivewright\"")),
    ] {
        assert!(text(name).contains(&named), "{name}: {named}");
    }
    let python = text("../bindings/python/Cargo.toml");
    assert!(python.contains(&format!("version = \"{version}\"")));
}

#[test]
fn scripts_the_formula_and_the_flake_parse() {
    for (program, arguments, name) in [
        ("shellcheck", &[][..], "release"),
        ("shellcheck", &[], "windows"),
        ("shellcheck", &[], "try-on-debian"),
        ("ruby", &["-c"], "homebrew/hivewright.rb"),
        ("nix-instantiate", &["--parse"], "nix/flake.nix"),
        ("python3", &["-m", "py_compile"], "notices"),
    ] {
        if have(&[program]) {
            let file = recipe(name);
            let arguments = [arguments, &[file.to_str().unwrap()]].concat();
            let folder = tempfile::tempdir().unwrap();
            let run = Command::new(program).args(arguments).env("PYTHONPYCACHEPREFIX", folder.path()).output().unwrap();
            assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
        }
    }
}

/// The steps of the action, run by bash as GitHub's runner does, with an archive that the test makes.
#[test]
fn the_action_audits_with_the_archive_whose_sum_is_given() {
    let Some(action) = yaml("the_action_audits_with_the_archive_whose_sum_is_given", "github-action/action.yml") else {
        return;
    };
    if !have(&["bash", "curl", "xz", "sha256sum"]) {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir(home.path().join("release")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hivewright"), home.path().join("release/hivewright")).unwrap();
    output("tar", &["-C", &path(""), "-cJf", &path("release.tar.xz"), "release"]);
    fs::write(home.path().join("SYSTEM"), fixture("windows/win10")).unwrap();
    let sum = String::from_utf8(output("sha256sum", &[&path("release.tar.xz")])).unwrap();
    let sum = sum.split(' ').next().unwrap().to_owned();
    let run = |step: usize, sum: &str| {
        let script = action["runs"]["steps"][step]["run"].as_str().unwrap();
        let mut command = Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script]).current_dir(&home);
        command
            .env("RUNNER_TEMP", home.path())
            .env("ARCHIVE", format!("file://{}", path("release.tar.xz")))
            .env("SHA256", sum);
        command.env("TARGETS", "SYS*").env("POLICIES", "nat-t smb1-off").env("REPORT", "report.sarif");
        command.output().unwrap()
    };
    assert!(!run(0, &"0".repeat(64)).status.success(), "another sum");
    let installed = run(0, &sum);
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    let audited = run(1, &sum);
    assert_eq!(audited.status.code(), Some(1), "{}", String::from_utf8_lossy(&audited.stderr));
    let report: Value = serde_json::from_slice(&fs::read(home.path().join("report.sarif")).unwrap()).unwrap();
    assert_eq!(report["version"], "2.1.0");
    assert!(!report["runs"][0]["results"].as_array().unwrap().is_empty());
}

#[test]
fn the_play_reads_what_set_and_get_print() {
    let Some(plays) = yaml("the_play_reads_what_set_and_get_print", "ansible/nat_t.yml") else { return };
    let tasks = plays[0]["tasks"].as_array().unwrap();
    let words = |task: &Value| task["ansible.builtin.command"]["argv"].to_string();
    assert!(words(&tasks[0]).contains("set") && words(&tasks[1]).contains("--value"), "{tasks:?}");
    expect_options("set", &["--json", "--undo", "--dry-run"]);
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("SYSTEM"), fixture("windows/win10")).unwrap();
    let state = |run: crate::command::Run| run.done().json()["state"].as_str().unwrap().to_owned();
    // What `changed_when` asks.
    assert!(tasks[0]["changed_when"].as_str().unwrap().contains("state != \"already-so\""));
    assert_ne!(state(hivewright_in(home.path(), ["set", "2", "SYSTEM", "--json", "--dry-run"])), "already-so");
    assert_ne!(state(hivewright_in(home.path(), ["set", "2", "SYSTEM", "--json", "--undo", "u"])), "already-so");
    assert_eq!(state(hivewright_in(home.path(), ["set", "2", "SYSTEM", "--json"])), "already-so");
    assert_eq!(hivewright_in(home.path(), ["get", "--value", "SYSTEM"]).out.trim(), "2");
}

/// The folder is there before the pages are written.
#[test]
fn what_builds_packages_makes_the_folder_of_the_pages() {
    for (name, made) in [("homebrew/hivewright.rb", "mkdir \"man\"\n"), ("nix/flake.nix", "mkdir man\n")] {
        let text = text(name);
        let pages = text.find("--output-dir").unwrap();
        assert!(text.find(made).is_some_and(|at| at < pages), "{name}");
    }
}

#[test]
fn the_packages_install_what_the_release_lays_out() {
    let manifest = text("../Cargo.toml");
    let release = text("release");
    let mut assets = 0;
    for part in manifest.split("target/package/").skip(1) {
        let file = part.split('"').next().unwrap();
        let (folder, name) = file.rsplit_once('/').unwrap();
        // The pages are as many as there are verbs.
        let made = if folder == "man" { "man --output-dir \"$package/man\"" } else { name.trim_end_matches(".gz") };
        assert!(release.contains(made) && release.contains(&format!("$package/{folder}")), "{file}");
        assets += 1;
    }
    assert!(assets > 10, "{assets}");
}
