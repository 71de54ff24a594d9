use super::*;

const LENGTH: u32 = 4 * 4096;

fn log(sequences: [u32; 2], file_type: u32, marker: u8) -> Vec<u8> {
    let pages = [(4096 + 3584, vec![marker; 512]), (8192, bin(8192, marker))];
    dirt(&base(sequences, LENGTH, file_type), &pages)
}

#[test]
fn dirty_pages_are_applied() {
    let hive = hive([5, 4], 4);
    for file_type in [1, 2] {
        let bytes = log([5, 5], file_type, 0x71);
        let done = recovered(&hive, &[&bytes, b""]);
        assert_eq!(markers(&done), [0, 0x71, 0x71, 3]);
        assert_eq!(done.hive.bytes().read(8192 + 3500, 1).unwrap()[0], 1, "clean pages stay");
        assert_eq!((done.report.sequence_after, done.report.bytes), (Some(7), 512 + 4096));
        assert_eq!((done.report.applied, done.report.pages), (Some([5, 5]), 9));
        assert_eq!(done.report.format, Some(LogFormat::Dirt));
        assert_eq!(done.hive.base_block().last_written.get(), STAMP);
        assert_eq!(done.report.logs[1].left, Some(Rejection::LogEmpty));
    }
}

#[test]
fn the_hive_grows_to_the_log_s_length() {
    let hive = hive([5, 4], 4);
    let bytes = dirt(&base([5, 5], LENGTH + 4096, 1), &[(LENGTH, bin(LENGTH, 0x77))]);
    assert_eq!(markers(&recovered(&hive, &[&bytes])), [0, 1, 2, 3, 0x77]);
}

#[test]
fn a_torn_log_is_refused() {
    let hive = hive([5, 4], 4);
    let whole = log([5, 5], 1, 0x71);
    for len in [whole.len() - 1, whole.len() - 512, 1024, 1023, 518] {
        left_for(&hive, &[&whole[..len]], "dirt-torn");
    }
    let done = recovered(&hive, &[&whole[..2000], &whole]);
    assert_eq!(markers(&done)[1], 0x71, "the other log is whole");
    assert_eq!(done.report.logs[0].left, Some(Rejection::DirtTorn));
}

#[test]
fn a_log_of_another_write_is_rejected() {
    let hive = hive([5, 4], 4);
    left_for(&hive, &[&log([5, 4], 1, 0x99)], "dirt-sequence");
    let mut head = base([5, 5], LENGTH, 1);
    head.last_written = (STAMP + 1).into();
    left_for(&hive, &[&dirt(&seal(head), &[(4096, bin(4096, 0x99))])], "dirt-timestamp");
}

#[test]
fn of_two_matching_logs_the_first_by_name_is_applied() {
    let hive = hive([5, 4], 4);
    let (one, two) = (log([5, 5], 1, 0x71), log([5, 5], 1, 0x72));
    let (one, two) = (Log { name: "SYSTEM.LOG1", bytes: &one }, Log { name: "system.log2", bytes: &two });
    for logs in [[one, two], [two, one]] {
        let done = dirty(&hive).recover(&logs).unwrap_or_else(|failed| panic!("{}", failed.error));
        assert_eq!(markers(&done)[1], 0x71);
        let other = done.report.logs.iter().find(|log| log.name == two.name).unwrap();
        assert_eq!(other.left, Some(Rejection::LogNotUsed));
    }
}

#[test]
fn without_a_base_block_the_first_bin_s_timestamp_decides() {
    let mut hive = hive([5, 4], 4);
    hive[600] = 0xaa;
    hive[100] ^= 1;
    let bytes = log([9, 9], 1, 0x71);
    let done = recovered(&hive, &[&bytes]);
    assert_eq!((markers(&done)[1], done.report.sequence_after), (0x71, Some(11)));
    assert!(done.report.base_block_rebuilt);
    assert_eq!(done.hive.base_block().file_type.get(), 0);
    assert_eq!(done.hive.bytes().read(600, 1).unwrap()[0], 0xaa, "a log has the first sector only");
    hive[4096 + 20..4096 + 28].copy_from_slice(&(STAMP + 1).to_le_bytes());
    left_for(&hive, &[&bytes], "dirt-timestamp");
}

#[test]
fn without_a_base_block_bins_of_the_previous_write_match_the_log() {
    let mut hive = hive([5, 4], 4);
    hive[100] ^= 1;
    hive[4096 + 20..4096 + 28].copy_from_slice(&(STAMP - 1_000_000).to_le_bytes());
    let bytes = log([5, 5], 1, 0x71);
    assert_eq!(markers(&recovered(&hive, &[&bytes]))[1], 0x71);
    // The time of a valid base block has precedence.
    hive[100] ^= 1;
    let mut head = base([5, 4], LENGTH, 0);
    head.last_written = (STAMP - 1_000_000).into();
    hive[..512].copy_from_slice(seal(head).as_bytes());
    left_for(&hive, &[&bytes], "dirt-timestamp");
}

#[test]
fn without_a_base_block_the_latest_log_is_used() {
    let mut hive = hive([5, 4], 4);
    hive[100] ^= 1;
    let mut later = base([6, 6], LENGTH, 1);
    later.last_written = (STAMP + 1).into();
    let one = log([5, 5], 1, 0x71);
    let two = dirt(&seal(later), &[(4096, bin(4096, 0x72))]);
    let done = recovered(&hive, &[&one, &two]);
    assert_eq!((markers(&done)[1], done.report.logs[0].left), (0x72, Some(Rejection::LogNotUsed)));
}
