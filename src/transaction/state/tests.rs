//! Tests of the progress of a change: every state after an interruption, in time linear in the patches.

use super::*;
use hivewright_hive::Step;
use hivewright_storage::memory::Memory;

/// Returns `phases` patches of one byte, one phase each, in turn to the first `blocks` blocks.
fn record(phases: usize, blocks: usize) -> Record {
    let len = blocks as u64 * BLOCK;
    let patch = |i: usize| Patch {
        offset: (i % blocks) as u64 * BLOCK + (i / blocks) as u64 % BLOCK,
        old: vec![0],
        new: vec![u8::try_from(i % 3).unwrap()],
        what: "a test".into(),
        step: Step::Link,
    };
    let phases = (0..phases).map(|i| vec![patch(i)]).collect();
    let change = Change::checked(len, len, phases).unwrap();
    Record::new(Path::new("/t"), change, &Memory::new(vec![0; len as usize]), None).unwrap()
}

/// Returns whether an interruption in `group` leaves `there`, by the definition.
fn is_interrupted_in(versions: &Versions<'_>, there: &[Vec<u8>], group: usize) -> bool {
    let touches = |index: usize| versions.touching[index].iter().any(|(of, _)| *of == group);
    there.iter().enumerate().all(|(index, bytes)| touches(index) || *bytes == versions.block(index, group))
}

#[test]
fn each_interruption_is_recognized() {
    let record = record(24, 5);
    let versions = record.versions();
    for begun in 0..=24 {
        for garbled in [None, Some(0), Some(3)] {
            let mut there: Vec<Vec<u8>> = (0..5).map(|index| versions.block(index, begun)).collect();
            garbled.into_iter().for_each(|index: usize| there[index][77] ^= 0xff);
            let meant: Vec<bool> = (0..24).map(|group| is_interrupted_in(&versions, &there, group)).collect();
            assert_eq!(versions.interrupted_in(&there), meant, "{begun} {garbled:?}");
            for (index, bytes) in there.iter().enumerate() {
                let fits = versions.fitting(index, bytes);
                let meant = |groups: usize| *bytes == versions.block(index, groups);
                assert!((0..=24).all(|groups| fits.iter().any(|range| range.contains(&groups)) == meant(groups)));
            }
        }
    }
}

/// If another program has written the file, no group matches, and all are tried.
#[test]
fn the_cost_of_thousands_of_phases_is_linear() {
    for blocks in [1, 4000] {
        let record = record(4000, blocks);
        let mut bytes = vec![0; blocks * BLOCK as usize];
        let last = bytes.len() - 1;
        bytes[last] = 1;
        let begun = std::time::Instant::now();
        let storage = Memory::new(bytes);
        let state = record.state(&storage).unwrap();
        assert!(matches!(state, State::Partly | State::Foreign), "{state:?}");
        record.foreign_file(&storage);
        assert!(begun.elapsed().as_secs() < 5, "{blocks} blocks: {:?}", begun.elapsed());
    }
}
