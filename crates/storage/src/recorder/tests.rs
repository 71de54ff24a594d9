use super::*;
use crate::memory::Memory;

fn recorder(bytes: Vec<u8>) -> (Arc<Memory>, Recorder) {
    let below = Arc::new(Memory::new(bytes));
    (below.clone(), Recorder::new(below).unwrap())
}

fn all(storage: &dyn Storage) -> Vec<u8> {
    let mut bytes = vec![0; storage.len().unwrap() as usize];
    storage.read_at(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn reads_what_was_written_and_leaves_the_bytes_below() {
    let (below, recorder) = recorder((0..10_000).map(|i| i as u8).collect());
    let mut expected = all(&*below);
    recorder.write_at(4090, &[0xaa; 20]).unwrap();
    expected[4090..4110].fill(0xaa);
    assert_eq!(all(&recorder), expected);
    recorder.set_len(20_000).unwrap();
    recorder.write_at(9_995, &[0xbb; 10]).unwrap();
    recorder.write_at(15_000, &[]).unwrap();
    recorder.write_at(16_384, &[0xcc; 3]).unwrap();
    recorder.read_at(16_384, &mut [0; 3]).unwrap();
    expected.resize(20_000, 0);
    expected[16_384..16_387].fill(0xcc);
    expected[9_995..10_005].fill(0xbb);
    assert_eq!(all(&recorder), expected);
    assert_eq!(all(&*below), (0..10_000).map(|i| i as u8).collect::<Vec<_>>());
    for (offset, len) in [(19_999, 2), (20_000, 1), (u64::MAX, 2)] {
        assert_eq!(recorder.write_at(offset, &vec![0; len]).unwrap_err().code(), "past-end");
        assert_eq!(recorder.read_at(offset, &mut vec![0; len]).unwrap_err().code(), "past-end");
    }
    assert_eq!(recorder.set_len(5).unwrap_err().code(), "fixed-length");
}

#[test]
fn tells_what_changed_since_it_was_last_asked() {
    let (_, recorder) = recorder(vec![0; 9000]);
    recorder.write_at(10, &[1, 0, 3]).unwrap();
    recorder.flush().unwrap();
    recorder.flush().unwrap();
    recorder.write_at(8190, &[0, 7, 7, 0]).unwrap();
    recorder.write_at(500, &[0; 50]).unwrap();
    let at = |offset, old: &[u8], new: &[u8], epoch| Written { offset, old: old.into(), new: new.into(), epoch };
    let (first, second) = (at(10, &[0; 3], &[1, 0, 3], 0), at(8191, &[0; 2], &[7, 7], 1));
    assert_eq!(recorder.take().unwrap(), (9000, vec![first, second]));
    recorder.write_at(11, &[2]).unwrap();
    recorder.set_len(9003).unwrap();
    recorder.write_at(8999, &[5, 6]).unwrap();
    let (first, second) = (at(11, &[0], &[2], 0), at(8999, &[0], &[5, 6, 0, 0], 0));
    assert_eq!(recorder.take().unwrap(), (9000, vec![first, second]));
    assert_eq!(recorder.take().unwrap(), (9003, vec![]));
}

#[test]
fn recorders_of_one_clock_know_what_came_first() {
    let clock = Arc::new(Clock::default());
    let make = || Recorder::timed(Arc::new(Memory::new(vec![0; 100])), clock.clone()).unwrap();
    let (a, b) = (make(), make());
    a.write_at(0, &[1; 8]).unwrap();
    a.flush().unwrap();
    b.write_at(0, &[2]).unwrap();
    a.write_at(2, &[3; 2]).unwrap();
    let of = |recorder: &Recorder| -> Vec<(u64, usize, u32)> {
        recorder.take().unwrap().1.iter().map(|w| (w.offset, w.new.len(), w.epoch)).collect()
    };
    assert_eq!(of(&a), [(0, 8, 0), (2, 2, 1)]);
    assert_eq!(of(&b), [(0, 1, 1)]);
    b.write_at(1, &[2]).unwrap();
    assert_eq!(of(&b), [(1, 1, 0)]);
}

#[test]
fn a_byte_written_in_two_epochs_is_told_twice() {
    let (_, recorder) = recorder(vec![0; 100]);
    recorder.write_at(0, &[1, 1, 1, 1]).unwrap();
    recorder.flush().unwrap();
    recorder.write_at(1, &[2, 2]).unwrap();
    recorder.write_at(2, &[3]).unwrap();
    recorder.flush().unwrap();
    // Marked, and the mark is gone again; and room that is used later.
    recorder.write_at(0, &[0]).unwrap();
    recorder.set_len(104).unwrap();
    recorder.flush().unwrap();
    recorder.write_at(101, &[4]).unwrap();
    let (len, written) = recorder.take().unwrap();
    let found: Vec<_> = written.iter().map(|w| (w.epoch, w.offset, w.old.clone(), w.new.clone())).collect();
    let expected = [
        (0, 0, vec![0; 4], vec![1; 4]),
        (1, 1, vec![1; 2], vec![2, 3]),
        (2, 0, vec![1], vec![0]),
        (2, 100, vec![], vec![0; 4]),
        (3, 101, vec![0], vec![4]),
    ];
    assert_eq!((len, &found[..]), (100, &expected[..]));
    recorder.write_at(0, &[9]).unwrap();
    let (len, written) = recorder.take().unwrap();
    assert_eq!((len, written[0].epoch, &written[0].old[..]), (104, 0, &[0][..]));
}
