//! Policies for keys and values: `audit --policy`, `apply`, and the included policies.

mod applied;
mod judged;
mod shipped;

use std::path::Path;

use serde_json::Value;

use crate::command::{Run, hivewright_in};

/// A folder with a Windows installation, and the policy `p.toml`.
pub(crate) struct Here(pub(crate) tempfile::TempDir);

impl Here {
    /// Audits `target`, a name below the folder.
    pub(crate) fn audit(&self, policy: &str, target: &str) -> (Run, Vec<Value>) {
        std::fs::write(self.path().join("p.toml"), policy).unwrap();
        let run = hivewright_in(self.path(), ["audit", "--json", "--policy", "p.toml", target]);
        let records = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (run, records)
    }

    /// Returns the result of each check of one record: its id and status.
    pub(crate) fn results(&self, policy: &str, target: &str) -> Vec<(String, String)> {
        let (run, records) = self.audit(policy, target);
        assert_eq!(records.len(), 1, "{run:?}");
        statuses(&records[0])
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Returns the result of each check of a record.
pub(crate) fn statuses(record: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    record["checks"].as_array().unwrap().iter().map(|it| (text(&it["check"]), text(&it["status"]))).collect()
}

/// Formats a check of a policy.
pub(crate) fn check(id: &str, key: &str, value: Option<&str>, rest: &str) -> String {
    let value = value.map(|value| format!("value = '{value}'\n")).unwrap_or_default();
    format!("[[check]]\nid = \"{id}\"\nkey = '{key}'\n{value}{rest}\n")
}
