//! The writes of a plan to a storage, without a file system.

use std::sync::Arc;

use super::{Group, Growth, VolumePatch};
use crate::files::{Extents, Facts, FileInVolume, Traits};
use hivewright_storage::Storage;
use hivewright_storage::memory::Memory;
use hivewright_storage::recorder::{Recorder, Written};

/// Returns a file of 10 bytes, of which 6 were filled, in one cluster of 16 bytes at 32; it gets 20 bytes at 100.
fn growth(volume: Arc<dyn Storage>) -> Growth {
    let mut extents = Extents::default();
    assert!(extents.push(Some(32), 16));
    let facts = Facts { id: 1, len: 10, valid_len: 6, covered_len: 16, links: 1, traits: Traits::default() };
    let file = FileInVolume::new(volume.clone(), facts, extents, None);
    let group = |what, offset| Group { what, patches: vec![VolumePatch { offset, old: vec![7], new: vec![8] }] };
    let groups = vec![group("first", 1), Group { what: "empty", patches: Vec::new() }, group("second", 0)];
    Growth::new(volume, &file, 30, &[(100, 32)], groups).unwrap()
}

#[test]
fn zeros_are_written_before_the_groups() {
    let recorder = Arc::new(Recorder::new(Arc::new(Memory::new(vec![7; 200]))).unwrap());
    let growth = growth(recorder.clone());
    assert_eq!((growth.groups.len(), growth.extents.len(), growth.added.len()), (2, 48, 1));
    growth.make_room().unwrap();
    assert_eq!(recorder.take().unwrap().1, []);
    growth.write().unwrap();
    let written = |offset, len: usize, new, epoch| Written { offset, old: vec![7; len], new: vec![new; len], epoch };
    let expected = [written(38, 10, 0, 0), written(100, 14, 0, 0), written(1, 1, 8, 1), written(0, 1, 8, 2)];
    assert_eq!(recorder.take().unwrap().1, expected);
}

#[test]
fn a_changed_volume_is_not_written() {
    let memory = Arc::new(Memory::new(vec![7; 200]));
    let growth = growth(memory.clone());
    memory.write_at(0, &[6]).unwrap();
    assert_eq!(growth.write().unwrap_err().code(), "changed-since");
    let mut now = [0; 200];
    memory.read_at(0, &mut now).unwrap();
    assert!(now[0] == 6 && now[1..].iter().all(|&byte| byte == 7));
}
