use super::*;

const LENGTH: u32 = 4 * 4096;

/// Returns a log of entries `first..` that write `markers` into bin 1 in turn.
fn log(first: u32, markers: &[u8]) -> Vec<u8> {
    let specs: Vec<_> =
        markers.iter().zip(0..).map(|(&marker, i)| entry(first.wrapping_add(i), LENGTH, 4096, marker)).collect();
    hvle(&specs)
}

#[test]
fn both_logs_apply_in_any_order() {
    let hive = hive([8, 7], 4);
    let (one, two) = (log(7, &[0x71, 0x72]), log(9, &[0x73]));
    for logs in [[&one[..], &two[..]], [&two, &one]] {
        let done = recovered(&hive, &logs);
        assert_eq!(markers(&done), [0, 0x73, 2, 3]);
        assert_eq!(done.report.applied, Some([7, 9]), "an entry of the file's own number counts");
        assert_eq!(done.report.sequence_before, Some([8, 7]));
        assert_eq!(done.report.sequence_after, Some(10));
        assert_eq!((done.report.pages, done.report.bytes), (3, 3 * 4096));
        assert!(!done.report.base_block_rebuilt && !done.hive.base_block().is_dirty());
        let changed: Vec<_> = (0..512).filter(|&i| done.hive.base_block().as_bytes()[i] != hive[i]).collect();
        assert!(changed.iter().all(|i| [4, 8, 508, 509, 510, 511].contains(i)), "{changed:?}");
    }
}

#[test]
fn a_gap_before_the_first_entry_is_normal() {
    let hive = hive([8, 7], 4);
    let late = log(2107, &[0x71]);
    let done = recovered(&hive, &[&late]);
    assert_eq!((markers(&done)[1], done.report.sequence_after), (0x71, Some(2108)));
}

#[test]
fn a_gap_between_logs_ends_the_replay() {
    let hive = hive([8, 7], 4);
    let (far, near) = (log(20, &[0x99]), log(7, &[0x71]));
    let done = recovered(&hive, &[&far, &near]);
    assert_eq!((markers(&done)[1], done.report.sequence_after), (0x71, Some(8)));
    assert_eq!(entries(&done.report.logs[0]), [(20, "entry-gap")]);
    assert_eq!(done.report.logs[0].left, Some(Rejection::EntryGap));
}

#[test]
fn a_gap_within_a_log_ends_the_replay() {
    let hive = hive([8, 7], 4);
    let bytes = hvle(&[entry(7, LENGTH, 4096, 0x71), entry(9, LENGTH, 4096, 0x99), entry(10, LENGTH, 4096, 0x99)]);
    let done = recovered(&hive, &[&bytes]);
    assert_eq!((markers(&done)[1], done.report.sequence_after), (0x71, Some(8)));
    let report = &done.report.logs[0];
    assert_eq!(entries(report), [(7, ""), (9, "entry-gap"), (10, "entry-behind-stop")]);
    assert_eq!(report.stopped, Some(Stop { offset: 512 + 4608, why: Rejection::EntryGap }));
}

#[test]
fn the_first_entry_must_have_the_log_s_number() {
    let hive = hive([8, 7], 4);
    let mut bytes = log(9, &[0x99]);
    bytes[..512].copy_from_slice(base([8, 8], LENGTH, 6).as_bytes());
    left_for(&hive, &[&bytes], "entry-gap");
}

#[test]
fn a_log_without_entries_leaves_a_gap() {
    let hive = hive([8, 7], 4);
    let mut one = log(7, &[0x71]);
    one[600] ^= 1;
    let two = log(8, &[0x99]);
    let failed = refused(&hive, &[&one, &two]);
    assert_eq!(failed.report.logs[0].left, Some(Rejection::EntryHash1));
    assert_eq!(failed.report.logs[1].left, Some(Rejection::EntryGap));
}

#[test]
fn stale_entries_are_skipped() {
    let hive = hive([8, 7], 4);
    left_for(&hive, &[&log(6, &[0x99, 0x99])], "entry-stale");
    let bytes = hvle(&[entry(7, LENGTH, 4096, 0x71), entry(3, LENGTH, 4096, 0x99)]);
    let old = log(5, &[0x99]);
    let done = recovered(&hive, &[&old, &bytes]);
    assert_eq!(markers(&done)[1], 0x71);
    assert_eq!(entries(&done.report.logs[0]), [(5, "entry-stale")]);
    assert_eq!(entries(&done.report.logs[1]), [(7, ""), (3, "entry-stale")]);
    let twice = recovered(&hive, &[&bytes, &bytes]);
    assert_eq!(twice.report.logs[1].left, Some(Rejection::EntryStale), "the same log again");
}

#[test]
fn numbers_wrap() {
    let hive = hive([u32::MAX, u32::MAX - 1], 4);
    let (one, two) = (log(u32::MAX - 1, &[0x71, 0x72, 0x73]), log(1, &[0x74]));
    let done = recovered(&hive, &[&two, &one]);
    assert_eq!((markers(&done)[1], done.report.sequence_after), (0x74, Some(2)));
    assert_eq!(entries(&done.report.logs[1]), [(u32::MAX - 1, ""), (u32::MAX, ""), (0, "")]);
}

#[test]
fn damage_ends_the_replay_before_it() {
    type Damage = fn(&mut Vec<u8>);
    let second = 512 + 4608;
    let cases: [(&str, Damage); 8] = [
        ("entry-hash-1", |log| log[512 + 4608 + 100] ^= 1),
        ("entry-hash-2", |log| log[512 + 4608 + 33] ^= 1),
        ("entry-size", |log| log.truncate(512 + 4608 + 1024)),
        ("entry-size", |log| header(log, 4, 4608 + 8)),
        ("entry-size", |log| header(log, 4, 0)),
        ("entry-length", |log| header(log, 16, 4095)),
        ("entry-length", |log| header(log, 16, 0x8000_0000)),
        ("entry-page-bounds", |log| header(log, 20, u32::MAX)),
    ];
    let hive = hive([8, 7], 4);
    for (code, damage) in cases {
        let mut bytes = log(7, &[0x71, 0x99, 0x99]);
        damage(&mut bytes);
        let done = recovered(&hive, &[&bytes]);
        assert_eq!((markers(&done)[1], done.report.sequence_after), (0x71, Some(8)), "{code}");
        let stop = done.report.logs[0].stopped.unwrap();
        assert_eq!((stop.offset, stop.why.code()), (second, code));
        let left = entries(&done.report.logs[0]);
        assert!(left[1..].iter().all(|(_, why)| !why.is_empty()) && left[0] == (7, ""), "{code}: {left:?}");
    }
}

/// Changes a field in the header of the second entry and updates its hash 2.
fn header(log: &mut [u8], field: usize, word: u32) {
    let entry = &mut log[512 + 4608..];
    entry[field..field + 4].copy_from_slice(&word.to_le_bytes());
    rehash_header(entry);
}

#[test]
fn pages_stay_within_the_bins_and_the_entry() {
    let hive = hive([8, 7], 4);
    let good = vec![0x99; 512];
    for (offset, data) in [
        (LENGTH, good.clone()),
        (LENGTH - 512, vec![0x99; 1024]),
        (u32::MAX - 511, good.clone()),
        (4100, good.clone()),
        (4096, vec![0x99; 100]),
        (4096, Vec::new()),
    ] {
        let spec =
            EntrySpec { sequence: 7, length: LENGTH, flags: 0, pages: vec![(4096, good.clone()), (offset, data)] };
        left_for(&hive, &[&hvle(&[spec])], "entry-page-bounds");
    }
    left_for(
        &hive,
        &[&hvle(&[EntrySpec { sequence: 7, length: LENGTH, flags: 0, pages: vec![] }])],
        "entry-page-bounds",
    );
    let mut long = hvle(&[entry(7, LENGTH, 4096, 0x99)]);
    long[512 + 44..512 + 48].copy_from_slice(&8192u32.to_le_bytes());
    rehash(&mut long[512..]);
    left_for(&hive, &[&long], "entry-page-bounds");
}

#[test]
fn later_pages_win_within_an_entry_too() {
    let hive = hive([8, 7], 4);
    let mut spec = entry(7, LENGTH, 4096, 0x70);
    spec.pages.push((4096 + 3584, vec![0x71; 512]));
    spec.pages.push((4096, bin(4096, 0x72)[..3584].to_vec()));
    let bytes = hvle(&[spec]);
    let done = recovered(&hive, &[&bytes]);
    assert_eq!(markers(&done)[1], 0x71);
    assert_eq!(done.hive.bytes().read(8192 + 3500, 1).unwrap()[0], 0x72);
}

#[test]
fn the_hive_grows_and_carries_the_flag() {
    let hive = hive([8, 7], 4);
    let mut grown = entry(7, LENGTH + 4096, LENGTH, 0x77);
    grown.flags = 0xffff_ffff;
    let bytes = hvle(&[grown]);
    let done = recovered(&hive, &[&bytes]);
    assert_eq!(markers(&done), [0, 1, 2, 3, 0x77]);
    assert_eq!((done.report.length_before, done.report.length_after), (Some(LENGTH), Some(LENGTH + 4096)));
    assert_eq!(done.hive.bytes().len(), u64::from(LENGTH) + 8192);
    assert_eq!(&done.hive.base_block().as_bytes()[144..148], [1, 0, 0, 0], "only bit 0 is carried");
}

#[test]
fn growth_without_pages_is_refused() {
    let hive = hive([8, 7], 4);
    let bytes = hvle(&[entry(7, 0x7fff_f000, 4096, 0x99)]);
    let failed = refused(&hive, &[&bytes]);
    assert_eq!(failed.error.code(), "recovered-hole");
}

#[test]
fn logs_of_another_hive_are_rejected() {
    let hive = hive([8, 7], 4);
    let change = |edit: fn(&mut BaseBlock)| {
        let mut bytes = log(7, &[0x99]);
        let mut head = BaseBlock::parse(&bytes).unwrap();
        edit(&mut head);
        bytes[..512].copy_from_slice(seal(head).as_bytes());
        bytes
    };
    left_for(&hive, &[&change(|head| head.reserved[3] ^= 1)], "log-foreign");
    left_for(&hive, &[&change(|head| head.minor_version = 3.into())], "log-foreign");
    left_for(&hive, &[&change(|head| (head.reserved[52], head.file_name[0]) = (0, b'T'))], "log-foreign");
    let same = change(|head| head.file_name[0] = b'T');
    assert_eq!(markers(&recovered(&hive, &[&same]))[1], 0x99, "the id outweighs the name");
}
