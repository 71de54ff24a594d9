//! The check of the real hives of the corpus.

use std::path::{Path, PathBuf};

use hivewright_hive::check::{Report, Rule, Severity, check};

use crate::corpus;

const TEST: &str = "corpus_check";

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "images") {
            files(&path, out);
        } else if path.is_file() {
            out.push(path);
        }
    }
}

/// Returns all findings worse than a note, except a pending write.
fn complaints(report: &Report) -> Vec<String> {
    let worse = report.findings.iter().filter(|f| f.severity > Severity::Note && f.rule != Rule::DirtySequence);
    worse.map(ToString::to_string).collect()
}

#[test]
fn real_hives_are_clean() {
    let Some(folder) = corpus::folder(TEST) else { return };
    let hives = [
        ("system/nt40_server/SYSTEM.zst", 1971),
        ("system/xp_sp2_pyregedit/SYSTEM.zst", 5975),
        ("system/xp_sp3_ietest/SYSTEM.zst", 10269),
        ("system/xp_sp3_regsave/SYSTEM.zst", 4917),
        ("system/win7_sp1_x86/SYSTEM.zst", 30756),
        ("system/win81_dirty_nologs/SYSTEM.zst", 20015),
        ("system/win10_1709_dirty/SYSTEM.zst", 33123),
        ("system/win10_21h2/SYSTEM.zst", 33317),
        ("edge/yarp/ManySubkeysHive.zst", 5003),
        ("edge/yarp/CompHive", 4),
        ("edge/yarp/UnicodeHive", 3),
        ("edge/yarp/BigDataHive", 2),
        ("edge/nt-hive/testhive", 528),
        ("edge/offreg/OffregLib_ExampleHive", 3),
        ("dirty/clean_single_log/NTUSER.DAT.zst", 1597),
    ];
    for (name, keys) in hives {
        let Some(bytes) = corpus::read(&folder, name) else { return };
        let report = check(&bytes);
        assert_eq!(complaints(&report), [""; 0], "{name}");
        assert_eq!(report.facts.keys, keys, "{name}");
    }
}

#[test]
fn damaged_hives_show_their_damage() {
    let Some(folder) = corpus::folder(TEST) else { return };
    let hives = [
        ("synthetic/damaged/bad_checksum.zst", Rule::BaseChecksum),
        ("synthetic/damaged/cycle_to_ancestor.zst", Rule::KeyTwice),
        ("synthetic/damaged/hbin_sig_broken.zst", Rule::BinSignature),
        ("synthetic/damaged/nk_name_beyond_cell.zst", Rule::KeyName),
        ("synthetic/damaged/root_offset_bad.zst", Rule::RootKey),
        ("synthetic/damaged/subkey_count_huge.zst", Rule::SubkeyCount),
        ("synthetic/damaged/truncated_half.zst", Rule::LengthPastEnd),
        ("synthetic/damaged/vlist_out_of_file.zst", Rule::CellReference),
        ("edge/yarp/DuplicateSubkeysHive.zst", Rule::SubkeyDuplicate),
        ("edge/yarp/InvalidParentHive.zst", Rule::KeyParent),
    ];
    for (name, code) in hives {
        let Some(bytes) = corpus::read(&folder, name) else { return };
        assert!(check(&bytes).counts.of(code) > 0, "{name} shows {code}");
    }
}

#[test]
fn no_file_of_the_corpus_causes_a_panic() {
    let Some(folder) = corpus::folder(TEST) else { return };
    let mut paths = Vec::new();
    files(&folder, &mut paths);
    assert!(paths.len() > 100);
    for path in paths {
        let Some(bytes) = corpus::read(&folder, path.strip_prefix(&folder).unwrap().to_str().unwrap()) else { return };
        let report = check(&bytes);
        assert!(bytes.starts_with(b"regf") || report.counts.of(Rule::BaseSignature) == 1, "{}", path.display());
    }
}
