//! Comparison of records with those of an earlier run.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::record::{Change, Drift, DriftState, Record, Status};
use super::resume::{Earlier, hash};
use super::shard::Shard;
use hivewright_error::Result;

/// Records of an earlier run, and the targets that this run has found.
#[derive(Debug, Default)]
pub struct Baseline {
    earlier: Earlier,
    found: HashSet<u64>,
}

impl Baseline {
    /// Reads the records of a file of JSON Lines.
    ///
    /// # Errors
    /// As [`Earlier::add`].
    pub fn load(path: &Path) -> Result<Self> {
        let mut earlier = Earlier::default();
        earlier.add(path)?;
        Ok(Baseline { earlier, found: HashSet::new() })
    }

    /// Returns the earlier records.
    pub fn earlier(&self) -> &Earlier {
        &self.earlier
    }

    /// Sets the drift of the records of one target, and appends a record for each installation that is gone.
    pub fn compare(&mut self, records: &mut Vec<Record>) {
        let Some(target) =
            records.first().map(|record| record.target_path().unwrap_or_else(|| (&record.target).into()))
        else {
            return;
        };
        self.found.insert(hash(target.as_os_str()));
        let mut then = self.earlier.recorded(&target);
        then.retain(|then| then.status != Status::Gone);
        for record in records.iter_mut() {
            let place = |record: &Record| (record.partition, record.windows_root.clone());
            let found = then.iter().position(|then| place(then) == place(record));
            let drift = match found.map(|at| then.remove(at)) {
                None => Drift { state: DriftState::New, changes: Vec::new() },
                Some(then) => {
                    let changes = changes(&then, record);
                    let state = if changes.is_empty() { DriftState::Same } else { DriftState::Changed };
                    Drift { state, changes }
                }
            };
            record.drift = Some(drift);
        }
        records.extend(then.into_iter().map(gone));
    }

    /// Returns the records of all targets that were not found, of those in `shard`.
    pub fn missing(&self, shard: Option<Shard>) -> Vec<Record> {
        let mut missing: Vec<(PathBuf, Vec<Record>)> = Vec::new();
        for mut records in self.earlier.all(|hash| !self.found.contains(&hash)) {
            records.retain(|then| then.status != Status::Gone);
            let Some(target) = records.first().and_then(Record::target_path) else { continue };
            if shard.is_none_or(|shard| shard.has(target.as_os_str())) {
                missing.push((target, records));
            }
        }
        missing.sort_by(|a, b| a.0.cmp(&b.0));
        missing.into_iter().flat_map(|(_, records)| records).map(gone).collect()
    }
}

/// Creates the record of an installation that is gone: its place, without the facts of the earlier run.
fn gone(then: Record) -> Record {
    let now = Record::new(then.target_path().unwrap_or_else(|| PathBuf::from(&then.target)));
    Record {
        installation: then.installation,
        installations: then.installations,
        part: then.part,
        parts: then.parts,
        status: Status::Gone,
        container: then.container,
        partition: then.partition,
        windows_root: then.windows_root,
        windows_root_hex: then.windows_root_hex,
        drift: Some(Drift { state: DriftState::Gone, changes: Vec::new() }),
        ..now
    }
}

/// Returns the facts that differ. A hash or a check that one of the runs lacks does not count.
fn changes(then: &Record, now: &Record) -> Vec<Change> {
    let (mut then, now) = (facts(then), facts(now));
    let mut changes = Vec::new();
    for (fact, now) in now {
        let was = then.remove(&fact);
        let is_optional = fact.starts_with("checks.") || fact == "hive_sha256";
        if was.as_ref() != Some(&now) && !(is_optional && was.is_none()) {
            changes.push(Change { fact, was, now: Some(now) });
        }
    }
    let gone = then.into_iter().filter(|(fact, _)| !fact.starts_with("checks.") && fact != "hive_sha256");
    changes.extend(gone.map(|(fact, was)| Change { fact, was: Some(was), now: None }));
    changes.sort_by(|a, b| a.fact.cmp(&b.fact));
    changes
}

/// Returns the compared facts by their names in a record. Facts that every boot changes (times, sequence numbers,
/// whether the hive is dirty) are left out.
fn facts(record: &Record) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    let mut add = |name: &str, fact: Option<String>| drop(fact.map(|fact| facts.insert(name.to_owned(), fact)));
    let text = |text: &Option<String>| text.clone();
    add("status", Some(record.status.as_str().to_owned()));
    add("error", record.error.as_ref().map(|error| error.code.clone()));
    add("product", text(&record.product));
    add("version", text(&record.version));
    add("build", record.build.map(|it| it.to_string()));
    add("revision", record.revision.map(|it| it.to_string()));
    add("edition", text(&record.edition));
    add("product_type", text(&record.product_type));
    add("architecture", text(&record.architecture));
    add("host_name", text(&record.host_name));
    add("hive_sha256", text(&record.hive_sha256));
    for (name, verdict) in [("at_next_boot", &record.at_next_boot), ("at_capture", &record.at_capture)] {
        let number = |number: Option<u32>| number.map(|number| format!(" {number}")).unwrap_or_default();
        add(name, verdict.as_ref().map(|verdict| format!("{}{}", verdict.state, number(verdict.value))));
    }
    let mut codes: Vec<&str> = record.findings.iter().map(|finding| &*finding.code).collect();
    codes.sort_unstable();
    add("findings", (!codes.is_empty()).then(|| codes.join(" ")));
    for found in &record.related {
        let number = found.value.map_or_else(|| "undefined".to_owned(), |value| value.to_string());
        add(&format!("related.{}", found.place), Some(number));
    }
    for check in &record.checks {
        let own = record.violations.iter().filter(|it| it.by == check.policy && it.setting == check.check);
        let mut found: Vec<String> =
            own.map(|it| format!("{}: {}", it.key.as_deref().unwrap_or_default(), it.found)).collect();
        found.sort_unstable();
        let found = std::iter::once(check.status.as_str().to_owned()).chain(found).collect::<Vec<_>>();
        add(&format!("checks.{}.{}", check.policy, check.check), Some(found.join("; ")));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::{CheckResult, CheckStatus, Verdict};

    fn record(target: &str, state: &str, check: CheckStatus) -> Record {
        let at_next_boot = Some(Verdict { state: state.to_owned(), ..Verdict::default() });
        let checks =
            vec![CheckResult { policy: "p".into(), check: "c".into(), status: check, ..CheckResult::default() }];
        Record { part: 1, parts: 1, at_next_boot, checks, stamp: Some("0".to_owned()), ..Record::new(target) }
    }

    #[test]
    fn changed_new_and_gone_targets_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.jsonl");
        let then = [
            record("a", "set", CheckStatus::Pass),
            record("b", "set", CheckStatus::Pass),
            record("c", "set", CheckStatus::Pass),
        ];
        std::fs::write(&path, then.iter().flat_map(Record::line).collect::<Vec<_>>()).unwrap();
        let mut baseline = Baseline::load(&path).unwrap();
        let mut compare = |record: Record| {
            let mut records = vec![record];
            baseline.compare(&mut records);
            let drift = records[0].drift.clone().unwrap();
            let changes =
                drift.changes.iter().map(|it| format!("{} {:?} {:?}", it.fact, it.was.as_deref(), it.now.as_deref()));
            (drift.state, changes.collect::<Vec<_>>())
        };
        assert_eq!(compare(record("a", "set", CheckStatus::Pass)), (DriftState::Same, vec![]));
        let changes = ["at_next_boot Some(\"set\") Some(\"absent\")", "checks.p.c Some(\"pass\") Some(\"fail\")"];
        assert_eq!(
            compare(record("b", "absent", CheckStatus::Fail)),
            (DriftState::Changed, changes.map(str::to_owned).to_vec())
        );
        assert_eq!(compare(record("d", "set", CheckStatus::Pass)).0, DriftState::New);
        // Another policy has other checks, which is no change.
        assert_eq!(compare(Record { checks: Vec::new(), ..record("a", "set", CheckStatus::Pass) }).0, DriftState::Same);
        let missing: Vec<(String, Status)> =
            baseline.missing(None).into_iter().map(|it| (it.target, it.status)).collect();
        assert_eq!(missing, [("c".to_owned(), Status::Gone)]);
    }
}
