use super::*;

const LENGTH: u32 = 4 * 4096;

fn entries_from(first: u32, markers: &[u8]) -> Vec<u8> {
    let specs: Vec<_> = markers.iter().zip(first..).map(|(&m, i)| entry(i, LENGTH, 4096, m)).collect();
    hvle(&specs)
}

#[test]
fn recovery_without_logs_is_refused() {
    let hive = hive([8, 7], 4);
    assert_eq!(refused(&hive, &[]).error.code(), "no-log");
    left_for(&hive, &[b"", &[0; 4096]], "log-empty");
    left_for(&hive, &[b"something else"], "log-not-a-log");
    left_for(&hive, &[&hive], "log-not-a-log");
    left_for(&hive, &[base([8, 8], LENGTH, 6).as_bytes()], "log-empty");
    left_for(&hive, &[base([8, 8], LENGTH, 1).as_bytes()], "log-empty");
    left_for(&hive, &[base([8, 8], LENGTH, 5).as_bytes()], "log-not-a-log");
    let mut log = entries_from(8, &[0x99]);
    log[100] ^= 1;
    left_for(&hive, &[&log], "log-checksum");
    let mut log = entries_from(8, &[0x99]);
    log[..512].copy_from_slice(base([9, 8], LENGTH, 6).as_bytes());
    left_for(&hive, &[&log], "log-sequence");
}

#[test]
fn new_format_logs_are_preferred() {
    let hive = hive([8, 7], 4);
    let old = dirt(&base([8, 8], LENGTH, 1), &[(4096, bin(4096, 0x99))]);
    let new = entries_from(7, &[0x71]);
    let done = recovered(&hive, &[&old, &new]);
    assert_eq!(markers(&done)[1], 0x71);
    assert_eq!(done.report.logs[0].left, Some(Rejection::LogNotUsed));
}

#[test]
fn an_invalid_base_block_comes_from_the_latest_log_alone() {
    let (one, two) = (entries_from(7, &[0x71, 0x72]), hvle(&[entry(9, LENGTH, 8192, 0x73)]));
    let logs = named(&[&two, &one]);
    type Damage = fn(&mut [u8]);
    let cases: [Damage; 4] = [|h| h[50] ^= 1, |h| h[..512].fill(0), |h| h[..512].fill(0xff), |h| h[41] ^= 0x40];
    for damage in cases {
        let mut hive = hive([8, 7], 4);
        damage(&mut hive);
        let done = recover_without_base_block(&hive[..], &logs).unwrap_or_else(|failed| panic!("{}", failed.error));
        assert_eq!(markers(&done), [0, 1, 0x73, 3], "the earlier log is not applied");
        let turned = named(&[&one, &two]);
        let other = recover_without_base_block(&hive[..], &turned).unwrap_or_else(|failed| panic!("{}", failed.error));
        assert_eq!(markers(&other), markers(&done), "whatever the order");
        assert!(done.report.base_block_rebuilt);
        assert_eq!(entries(&done.report.logs[1]), [(7, "log-not-used"), (8, "log-not-used")]);
        assert_eq!(done.hive.base_block().as_bytes(), base([10, 10], LENGTH, 0).as_bytes());
        let patched = patched(&hive, &done.patches().unwrap());
        assert!(matches!(Hive::open(&patched[..]).unwrap(), Opened::Clean(_)));
    }
}

#[test]
fn recovery_without_base_block_refuses_clean_hives_and_other_files() {
    let log = entries_from(7, &[0x71]);
    let clean = hive([7, 7], 4);
    let failed = recover_without_base_block(&clean[..], &named(&[&log])).map(drop).unwrap_err();
    assert_eq!((failed.error.code(), failed.hive), (Code::HiveClean, &clean[..]));
    let failed = recover_without_base_block(&[0u8; 20480][..], &named(&[&log])).map(drop).unwrap_err();
    assert_eq!(failed.error.code(), "cell-size", "there is no root key");
    let mut other = hive([8, 7], 4);
    other[..512].fill(0);
    other[4096 + 20] ^= 1;
    let failed = recover_without_base_block(&other[..], &named(&[&log])).map(drop).unwrap_err();
    assert_eq!(failed.report.logs[0].left, Some(Rejection::LogForeign), "the first bin tells");
}

/// Applies the patches to a copy of `file` and compares the old bytes.
fn patched(file: &[u8], set: &PatchSet) -> Vec<u8> {
    let mut out = file.to_vec();
    assert_eq!(set.old_len, out.len() as u64);
    out.resize(usize::try_from(set.new_len).unwrap(), 0);
    for patch in &set.patches {
        let at = usize::try_from(patch.offset).unwrap();
        let there = file.len().saturating_sub(at).min(patch.new.len());
        assert_eq!(patch.old, file[at.min(file.len())..at.min(file.len()) + there]);
        out[at..at + patch.new.len()].copy_from_slice(&patch.new);
    }
    out
}

#[test]
fn patches_turn_the_file_into_the_overlay() {
    let hive = hive([8, 7], 4);
    let log = hvle(&[entry(7, LENGTH, 8192, 2), entry(8, LENGTH, 4096, 0x71), entry(9, LENGTH + 4096, LENGTH, 0)]);
    let done = recovered(&hive, &[&log]);
    let set = done.patches().unwrap();
    let whole = done.hive.bytes().to_vec().unwrap();
    assert_eq!(patched(&hive, &set), whole);
    assert!(set.patches.iter().all(|p| p.offset != 8192 + 4096), "a page that is the same needs no patch");
    assert!(set.patches.windows(2).all(|pair| pair[0].step <= pair[1].step && pair[0].offset != pair[1].offset));
    assert!(set.patches.iter().all(|p| (p.step == Step::Base) == (p.offset < 4096)), "the base block is last");
    // After every prefix the file is dirty, and a replay has the same result.
    for written in 0..set.patches.iter().filter(|p| p.step == Step::Prepare).count() {
        let part = PatchSet { patches: set.patches[..=written].to_vec(), ..set.clone() };
        let half = patched(&hive, &part);
        assert_eq!(recovered(&half, &[&log]).hive.bytes().to_vec().unwrap(), whole);
    }
}

#[test]
fn the_highest_number_counts_stale_and_torn_entries() {
    let mut log = entries_from(7, &[1, 2]);
    assert_eq!(highest_sequence(&named(&[&log])), Some(8));
    log.extend(entry(40, LENGTH, 4096, 3).bytes());
    let len = log.len();
    log[len - 5] ^= 1;
    log.extend([0; 1024]);
    log.extend(entry(30, LENGTH, 4096, 3).bytes());
    assert_eq!(highest_sequence(&named(&[&log, b""])), Some(40));
    assert_eq!(highest_sequence(&named(&[&log, &dirt(&base([55, 54], LENGTH, 1), &[])])), Some(55));
    assert_eq!(highest_sequence(&named(&[&entries_from(u32::MAX - 1, &[1]), &entries_from(3, &[1])])), Some(3));
    assert_eq!(highest_sequence(&[]), None);
}

#[test]
fn damaged_logs_never_panic() {
    let hive = hive([8, 7], 4);
    let mut spec = entry(8, LENGTH + 4096, LENGTH, 0x72);
    spec.pages.push((512, vec![7; 1024]));
    let new = hvle(&[entry(7, LENGTH, 4096, 0x71), spec]);
    let old = dirt(&base([8, 8], LENGTH, 1), &[(4096, bin(4096, 0x71))]);
    let mut seed = 1u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut done = 0;
    for round in 0..6000 {
        let mut log = if round % 2 == 0 { new.clone() } else { old.clone() };
        for _ in 0..=random(3) {
            let (at, word) = ([random(48), 512 + random(60), 5120 + random(60)][random(3)], random(1 << 31));
            let word = [0, 1, u32::MAX, u32::try_from(word).unwrap(), 0x7fff_f000][random(5)];
            let at = at.min(log.len() - 4);
            log[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        // Hashes and checksum are updated, so that they do not hide the fault.
        for at in [512, log.len().min(5120)] {
            if at + 40 > log.len() {
                continue;
            }
            let size = u32::from_le_bytes(log[at + 4..at + 8].try_into().unwrap()) as usize;
            if log[at..at + 4] == *b"HvLE" && size > 40 && size <= log.len() - at {
                rehash(&mut log[at..at + size]);
            }
        }
        if let Ok(head) = BaseBlock::parse(&log) {
            log[..512].copy_from_slice(seal(head).as_bytes());
        }
        log.truncate(log.len() - random(3) * random(600));
        if let Ok(recovered) = dirty(&hive).recover(&named(&[&log])) {
            assert!(recovered.hive.bytes().to_vec().unwrap().len() <= hive.len() + log.len());
            recovered.patches().unwrap();
            done += 1;
        }
        highest_sequence(&named(&[&log]));
    }
    assert!((600..5400).contains(&done), "{done}");
}

#[test]
fn each_sector_is_hashed_at_most_once() {
    // 32 MiB in which every sector claims to be an entry of all following bytes: hashing each would take hours.
    let hive = hive([8, 7], 4);
    let mut log = base([7, 7], LENGTH, 6).as_bytes().to_vec();
    let len = 32 << 20;
    while log.len() < len {
        let mut sector = entry(7, LENGTH, 4096, 0).bytes()[..512].to_vec();
        sector[4..8].copy_from_slice(&u32::try_from(len - log.len()).unwrap().to_le_bytes());
        rehash_header(&mut sector);
        log.extend(sector);
    }
    let begun = std::time::Instant::now();
    left_for(&hive, &[&log], "entry-hash-1");
    assert_eq!(highest_sequence(&named(&[&log])), Some(7));
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}
