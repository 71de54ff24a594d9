//! Replay of real logs, compared with the results of Windows and the counts of other readers.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;

use hivewright_hive::recover::{Log, LogReport, Recovered, highest_sequence, recover_without_base_block};
use hivewright_hive::{Hive, HiveBytes, Opened, PatchSet};

use crate::support::hex::sha256;

fn corpus() -> Option<PathBuf> {
    crate::corpus::folder("corpus_recovery").filter(|_| crate::corpus::can_unpack("corpus_recovery"))
}

/// Returns a file of the corpus, whose name may have the suffix `.zst`.
fn file(name: &str) -> Vec<u8> {
    crate::corpus::find(&corpus().unwrap(), name).unwrap_or_else(|| panic!("{name} is not in the corpus"))
}

struct Case {
    hive: Vec<u8>,
    logs: Vec<(String, Vec<u8>)>,
}

impl Case {
    fn new(hive: &str, logs: &[&str]) -> Self {
        Case { hive: file(hive), logs: logs.iter().map(|&log| (log.to_owned(), file(log))).collect() }
    }

    fn logs(&self) -> Vec<Log<'_>> {
        self.logs.iter().map(|(name, bytes)| Log { name, bytes }).collect()
    }

    fn recovered(&self) -> Recovered<'_, &[u8]> {
        match Hive::open(&self.hive[..]).unwrap() {
            Opened::Dirty(hive) => hive.recover(&self.logs()).unwrap_or_else(|failed| panic!("{}", failed.error)),
            Opened::Clean(_) => panic!("clean"),
        }
    }
}

/// Counts keys, including the root, and values.
fn count<B: HiveBytes>(hive: &Hive<B>) -> (u64, u64) {
    let (mut keys, mut values) = (0, 0);
    let mut seen = BTreeSet::new();
    let mut rest = vec![hive.root().unwrap()];
    while let Some(key) = rest.pop() {
        assert!(seen.insert(key.at()), "a key is met twice");
        keys += 1;
        for value in key.values().unwrap() {
            value.unwrap().raw_data().unwrap();
            values += 1;
        }
        rest.extend(key.subkeys().unwrap().map(Result::unwrap));
    }
    (keys, values)
}

fn bins<B: HiveBytes>(hive: &Hive<B>) -> Cow<'_, [u8]> {
    hive.bytes().read(4096, hive.length() as usize).unwrap()
}

/// Applies the patches to `file`.
fn patched(file: &[u8], set: &PatchSet) -> Vec<u8> {
    let mut out = file.to_vec();
    out.resize(usize::try_from(set.new_len).unwrap(), 0);
    for patch in &set.patches {
        let at = usize::try_from(patch.offset).unwrap();
        out[at..at + patch.new.len()].copy_from_slice(&patch.new);
    }
    out
}

/// Returns the offsets at which two files of one length differ.
fn differences(a: &[u8], b: &[u8]) -> Vec<usize> {
    assert_eq!(a.len(), b.len());
    (0..a.len()).filter(|&i| a[i] != b[i]).collect()
}

/// Compares every hive with logs of the corpus with the counts and hashes of `truth.json`.
#[test]
fn counts_and_bins_are_those_of_other_readers() {
    let Some(folder) = corpus() else { return };
    let truth: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("truth.json")).unwrap()).unwrap();
    let mut recovered = 0;
    for (name, replay) in truth["replay"].as_object().unwrap() {
        let paths: Vec<_> = replay["logs"].as_array().unwrap().iter().map(|log| log.as_str().unwrap()).collect();
        let case = Case::new(replay["primary"].as_str().unwrap(), &paths);
        let own = &replay["own_replay"];
        let wanted = (own["keys"].as_u64().unwrap(), own["values"].as_u64().unwrap());
        match Hive::open(&case.hive[..]).unwrap() {
            Opened::Clean(hive) => {
                assert_eq!(own["dirty"], false, "{name}");
                assert_eq!(count(&hive), wanted, "{name}");
            }
            // The author of the corpus applied the rest of the torn log; Windows and hivewright do not.
            Opened::Dirty(hive) if own["torn"] == true => {
                let failed = hive.recover(&case.logs()).map(drop).unwrap_err();
                assert_eq!(failed.error.code(), "no-usable-log");
                assert_eq!(failed.report.logs[0].left.unwrap().code(), "dirt-torn");
            }
            Opened::Dirty(_) => {
                let done = case.recovered();
                assert_eq!(count(&done.hive), wanted, "{name}");
                assert_eq!(sha256(&bins(&done.hive)), own["bins_sha256"], "{name}");
                let whole = done.hive.bytes().to_vec().unwrap();
                assert_eq!(patched(&case.hive, &done.patches().unwrap()), whole, "{name}");
                assert!(matches!(Hive::open(whole).unwrap(), Opened::Clean(_)));
                recovered += 1;
            }
        }
    }
    assert_eq!(recovered, 8);
}

/// Windows 10 recovered this hive: every byte is the same, including the base block.
#[test]
fn windows_10_made_the_same_file() {
    if corpus().is_none() {
        return;
    }
    let folder = "dirty/hvle_yarp1";
    let logs = [&*format!("{folder}/NewDirtyHive.LOG1"), &format!("{folder}/NewDirtyHive.LOG2")];
    let case = Case::new(&format!("{folder}/NewDirtyHive"), &logs);
    let done = case.recovered();
    assert_eq!(done.hive.bytes().to_vec().unwrap(), file(&format!("{folder}/RecoveredHive_Windows10")));
    assert_eq!((done.report.applied, done.report.sequence_after), (Some([2, 5]), Some(6)));
}

/// Windows 7 recovered this hive, from a copy in another folder, and left it loaded. All differences are listed here.
#[test]
fn windows_7_made_the_same_pages() {
    if corpus().is_none() {
        return;
    }
    let folder = "dirty/dirt_yarp";
    let logs = [&*format!("{folder}/OldDirtyHive.LOG1"), &format!("{folder}/OldDirtyHive.LOG2")];
    let case = Case::new(&format!("{folder}/OldDirtyHive"), &logs);
    let done = case.recovered();
    let (ours, theirs) = (done.hive.bytes().to_vec().unwrap(), file(&format!("{folder}/RecoveredHive_Windows7")));
    assert_eq!(&ours[4..12], &theirs[4..12], "both sequence numbers");
    for at in differences(&ours, &theirs) {
        let known = match at {
            // Last-written timestamp: the time of loading.
            12..20 => true,
            // File name: the folder of the copy.
            48..112 => true,
            // The checksum over both.
            508..512 => true,
            // The copy of the timestamp in the first hive bin.
            4116..4124 => true,
            // Largest value name of key 4500: 24 in the log's page, "New Value #1"; Windows set it to 2, the size of
            // the name of the key's only value ("V"). Both are upper bounds.
            0x6bdc8 => ours[at] == 24 && theirs[at] == 2,
            _ => false,
        };
        assert!(known, "byte {at:#x}");
    }
}

#[test]
fn a_real_system_hive_is_recovered_from_its_logs() {
    if corpus().is_none() {
        return;
    }
    let folder = "system/win10_1709_dirty";
    let logs = [&*format!("{folder}/SYSTEM.LOG2"), &format!("{folder}/SYSTEM.LOG1")];
    let case = Case::new(&format!("{folder}/SYSTEM"), &logs);
    let begun = std::time::Instant::now();
    let done = case.recovered();
    println!("recovered in {:?}", begun.elapsed());
    let begun = std::time::Instant::now();
    let set = done.patches().unwrap();
    println!("{} patches, {} bytes in {:?}", set.patches.len(), set.changed_bytes(), begun.elapsed());
    let report = &done.report;
    assert_eq!((report.applied, report.sequence_before), (Some([2107, 2130]), Some([1622, 1621])));
    assert_eq!((report.sequence_after, highest_sequence(&case.logs())), (Some(2131), Some(2130)));
    assert_eq!((report.length_before, report.length_after), (Some(12_398_592), Some(12_591_104)));
    let applied = |log: &LogReport| log.entries.iter().filter(|entry| entry.left.is_none()).count();
    assert_eq!(report.logs.iter().map(applied).collect::<Vec<_>>(), [20, 4]);
    assert!(report.logs.iter().all(|log| log.stopped.is_none()));
    // LOG1 was longer: remnants of an earlier time follow its four entries.
    let stale = &report.logs[1].entries[4..];
    assert_eq!(stale.len(), 30);
    assert!(stale.iter().all(|entry| entry.sequence < 2107 && entry.left.unwrap().code() == "entry-stale"));
    assert_eq!(count(&done.hive), (35595, 78901));
    let json = serde_json::to_value(report).unwrap();
    assert_eq!((&json["format"], &json["logs"][0]["entries"][0]["left"]), (&"hvle".into(), &serde_json::Value::Null));
    // Apart from hive bins, only the sequence numbers, the length and the checksum change.
    let changed = differences(&case.hive[..512], &done.hive.bytes().read(0, 512).unwrap());
    assert!(changed.iter().all(|at| (4..12).contains(at) || (40..44).contains(at) || *at >= 508), "{changed:?}");
}

/// Expected files that the author of the corpus made with other code. They keep the log's sequence numbers in the old
/// format; Windows does not (see `windows_7_made_the_same_pages`).
#[test]
fn synthetic_pairs_are_recovered_as_expected() {
    if corpus().is_none() {
        return;
    }
    for (folder, log) in [("dirt_grow", "SYSTEM.LOG1"), ("dirt_inplace", "SYSTEM.LOG")] {
        let folder = format!("synthetic/{folder}");
        let case = Case::new(&format!("{folder}/SYSTEM"), &[&format!("{folder}/{log}")]);
        let done = case.recovered();
        let different = differences(&done.hive.bytes().to_vec().unwrap(), &file(&format!("{folder}/EXPECTED")));
        assert!(different.iter().all(|at| (4..12).contains(at) || (508..512).contains(at)), "{different:?}");
    }
    let case = Case::new(
        "synthetic/hvle_two_logs/SYSTEM",
        &["synthetic/hvle_two_logs/SYSTEM.LOG2", "synthetic/hvle_two_logs/SYSTEM.LOG1"],
    );
    assert_eq!(*bins(&case.recovered().hive), file("synthetic/hvle_two_logs/EXPECTED_BINS"));
    let case = Case::new(
        "synthetic/hvle_bad_third/SYSTEM",
        &["synthetic/hvle_bad_third/SYSTEM.LOG1", "synthetic/hvle_bad_third/SYSTEM.LOG2"],
    );
    let done = case.recovered();
    assert_eq!(done.report.logs[1].stopped.unwrap().why.code(), "entry-hash-1");
    assert_eq!((done.report.sequence_after, highest_sequence(&case.logs())), (Some(208), Some(208)));
}

/// Two real machines from one stock image: the timestamps agree, but the resource managers' identifiers do not.
#[test]
fn logs_of_another_machine_are_refused() {
    if corpus().is_none() {
        return;
    }
    let case = Case::new(
        "system/win81_dirty_nologs/SYSTEM",
        &["logs_only/win10_a/SYSTEM.LOG1", "logs_only/win10_a/SYSTEM.LOG2"],
    );
    let Opened::Dirty(hive) = Hive::open(&case.hive[..]).unwrap() else { panic!("clean") };
    let failed = hive.recover(&case.logs()).map(drop).unwrap_err();
    assert_eq!(failed.error.code(), "no-usable-log");
    assert!(failed.report.logs.iter().all(|log| log.left.unwrap().code() == "log-foreign" && !log.entries.is_empty()));
    assert_eq!(highest_sequence(&case.logs()), Some(216));
}

/// A lost base block of a real hive is restored from the later log alone, including all of the file's own fields.
#[test]
fn a_lost_base_block_is_rebuilt() {
    if corpus().is_none() {
        return;
    }
    let folder = "dirty/hvle_usrclass";
    let logs = [&*format!("{folder}/UsrClass.dat.LOG1"), &format!("{folder}/UsrClass.dat.LOG2")];
    let mut case = Case::new(&format!("{folder}/UsrClass.dat"), &logs);
    let kept = case.hive[..512].to_vec();
    case.hive[..512].fill(0);
    assert_eq!(Hive::open(&case.hive[..]).map(drop).unwrap_err().code(), "base-signature");
    let done =
        recover_without_base_block(&case.hive[..], &case.logs()).unwrap_or_else(|failed| panic!("{}", failed.error));
    assert_eq!((done.report.applied, done.report.sequence_after), (Some([291, 300]), Some(301)));
    let changed = differences(&kept, &done.hive.bytes().read(0, 512).unwrap());
    assert!(changed.iter().all(|at| (4..12).contains(at) || *at >= 508), "{changed:?}");
}
