//! Random edits of keys and values, several in one change. The result matches a model, is consistent after every step,
//! and can be reverted. Other parsers agree.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

mod lists;
mod model;
mod random;
mod real;
mod refusals;

use hivewright_hive::check::{Severity, check};
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_hive::security_descriptor::SecurityDescriptor;
use hivewright_hive::{EditOptions, Edited, Editor, Hive, PatchSet, Step};

use model::contents;

const STEPS: [Step; 6] = [Step::Prepare, Step::Allocate, Step::Base, Step::Link, Step::Finish, Step::Release];

/// Returns the number of cases of a random test; an environment variable raises it.
fn cases(usual: u32) -> u32 {
    let named = std::env::var("HIVEWRIGHT_CASES").ok().filter(|cases| !cases.is_empty());
    named.map_or(usual, |cases| cases.parse().unwrap())
}

fn edit(bytes: &[u8], tick: u64) -> Editor {
    let options = EditOptions { timestamp: Some(FileTime(tick)), ..EditOptions::default() };
    Hive::open(bytes.to_vec()).unwrap().clean().unwrap().edit(options)
}

/// Returns the security descriptor of a new key below a key with the descriptor `parent`.
fn security_below(parent: &[u8]) -> Vec<u8> {
    let above = SecurityDescriptor::from_bytes(parent).unwrap();
    let new = above.for_new_key();
    if new == above { parent.to_vec() } else { new.to_bytes().unwrap() }
}

fn prefix(old: &[u8], set: &PatchSet, upto: Step) -> Vec<u8> {
    let mut bytes = old.to_vec();
    bytes.resize(set.new_len as usize, 0);
    for patch in set.patches.iter().filter(|patch| patch.step <= upto) {
        bytes[patch.offset as usize..][..patch.new.len()].copy_from_slice(&patch.new);
    }
    bytes
}

fn is_consistent(old: &[u8], edited: &Edited) {
    let (before, after) = (contents(old), contents(&edited.bytes));
    for step in STEPS {
        let bytes = prefix(old, &edited.patches, step);
        let errors: Vec<_> =
            check(&bytes).errors().map(|finding| (finding.rule.code().as_str(), finding.offset)).collect();
        // After a removal from the middle of a values list, an entry is in it twice until the count is written.
        let twice = step == Step::Link && errors.iter().all(|&(code, _)| code == "cell-shared");
        assert!(errors.is_empty() || twice, "after {step:?}: {errors:x?}");
        if step < Step::Link {
            assert!(contents(&bytes) == before, "after {step:?}");
        }
        if step >= Step::Finish {
            assert!(contents(&bytes) == after, "after {step:?}");
        }
    }
    is_reverted(old, edited);
}

fn is_reverted(old: &[u8], edited: &Edited) {
    let mut bytes = old.to_vec();
    edited.patches.apply(&mut bytes).unwrap();
    assert!(bytes == edited.bytes, "the patches are the whole change");
    edited.patches.revert(&mut bytes).unwrap();
    assert!(bytes == old, "the change can be reverted");
}

fn assert_no_findings(bytes: &[u8]) {
    let report = check(bytes);
    let worst = report.findings.iter().find(|finding| finding.severity > Severity::Note);
    assert_eq!(worst, None);
}
