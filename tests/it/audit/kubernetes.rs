//! The recipe for Kubernetes: the manifest is valid, and its script has the result of a single run.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{audit, maker, records, steady};
use crate::judges::python_with;
use crate::support::tools::output;

/// Returns the documents of the manifest.
fn manifest(test: &str) -> Option<Vec<Value>> {
    let python = python_with(test, "yaml")?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/kubernetes/job.yaml");
    let program = "import json, sys, yaml\nprint(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let text = output(python.to_str().unwrap(), &["-c", program, file.to_str().unwrap()]);
    Some(serde_json::from_slice(&text).unwrap())
}

#[test]
fn each_index_takes_a_shard_and_together_they_are_one_run() {
    let Some(documents) = manifest("each_index_takes_a_shard_and_together_they_are_one_run") else { return };
    let [config, job] = &documents[..] else { panic!("{documents:?}") };
    let spec = &job["spec"];
    assert_eq!((&job["kind"], &spec["completionMode"]), (&"Job".into(), &"Indexed".into()));
    let container = &spec["template"]["spec"]["containers"][0];
    let environment = |name: &str| {
        let all = container["env"].as_array().unwrap();
        all.iter().find(|it| it["name"] == name).unwrap()["value"].as_str().unwrap().to_owned()
    };
    assert_eq!(environment("SHARDS"), spec["completions"].to_string());
    assert_eq!(spec["completions"], spec["parallelism"]);
    // Each path that the script uses is mounted, and each mount has its volume.
    let mounts = container["volumeMounts"].as_array().unwrap();
    let volumes = spec["template"]["spec"]["volumes"].as_array().unwrap();
    for mount in mounts {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
    }
    for place in ["IMAGES", "RESULTS", "POLICY"].map(environment) {
        assert!(mounts.iter().any(|mount| place.starts_with(mount["mountPath"].as_str().unwrap())), "{place}");
    }
    let policy = config["data"]["policy.toml"].as_str().unwrap();
    assert!(volumes.iter().any(|volume| volume["configMap"]["name"] == config["metadata"]["name"]));

    let home = tempfile::tempdir().unwrap();
    maker::make(&home.path().join("fleet"), 24);
    fs::write(home.path().join("p.toml"), policy).unwrap();
    let script = container["args"][0].as_str().unwrap();
    let bin = Path::new(env!("CARGO_BIN_EXE_hivewright")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let pod = |index: usize| {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).current_dir(home.path()).env("PATH", &path);
        command.env("SHARDS", "3").env("IMAGES", "fleet").env("RESULTS", ".").env("POLICY", "p.toml");
        command.env("JOB_COMPLETION_INDEX", index.to_string()).output().unwrap()
    };
    for index in 0..3 {
        let done = pod(index);
        assert!(done.status.success(), "{done:?}");
    }
    let parts: Vec<String> =
        (0..3).map(|index| fs::read_to_string(home.path().join(format!("shard-{index}.jsonl"))).unwrap()).collect();
    let one = audit(home.path(), &["--json", "--policy", "p.toml", "fleet"]);
    assert_eq!(steady(records(&parts.concat())), steady(records(&one.out)));
    // A killed pod leaves a part, and the next one continues there.
    let cut = parts[0].lines().next().unwrap().len() + 1;
    fs::remove_file(home.path().join("shard-0.jsonl")).unwrap();
    fs::write(home.path().join("shard-0.jsonl.new"), &parts[0][..cut + 30]).unwrap();
    assert!(pod(0).status.success());
    let again = fs::read_to_string(home.path().join("shard-0.jsonl")).unwrap();
    assert_eq!(steady(records(&again)), steady(records(&parts[0])));
    assert!(again.contains(&parts[0][..cut]), "the record of the first pod, as it was");
    // A usage error is a failure.
    fs::write(home.path().join("p.toml"), "nonsense").unwrap();
    assert!(!pod(1).status.success());
}
