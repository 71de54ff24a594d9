//! Differencing images and their parents.

use super::maker::{guid_text, put};
use super::*;
use crate::support::real::Real;
use hivewright_error::Code;

const GRANDPARENT: [u8; 16] = [1; 16];
const PARENT: [u8; 16] = [2; 16];
const SIZE: usize = 4 * MIB;

fn pattern(seed: usize) -> Vec<u8> {
    (0..MIB).map(|i| (i / 512 * 31 + seed) as u8).collect()
}

fn locator(path: &str, linkage: &[u8; 16]) -> Option<Vec<(&'static str, String)>> {
    Some(vec![("parent_linkage", guid_text(linkage)), ("relative_path", path.to_owned()), ("other", "x".into())])
}

/// Creates `child.vhdx` on `parent.vhdx` on `base.vhdx`. Returns also the bytes of the disk.
fn chain(folder: &Path, sector: usize) -> (PathBuf, Vec<u8>) {
    let mut base = Maker { sector, size: SIZE, data_write: GRANDPARENT, ..Maker::default() };
    base.blocks.insert(0, Block::Full(pattern(1)));
    base.blocks.insert(1, Block::Full(pattern(2)));
    base.blocks.insert(3, Block::Full(pattern(3)));
    let mut parent = Maker { locator: locator(r".\base.vhdx", &GRANDPARENT), data_write: PARENT, ..base.clone() };
    // Absent, partly absent, zeros over data of the parent, absent.
    let own: Vec<usize> = (0..MIB / sector).filter(|i| i % 5 == 0 || (40..60).contains(i)).collect();
    parent.blocks = [(1, Block::Part(pattern(4), own.clone())), (3, Block::State(2))].into();
    let mut child = Maker { locator: locator(r"parent.vhdx", &PARENT), ..parent.clone() };
    child.data_write = [3; 16];
    child.blocks = [(0, Block::Part(pattern(5), vec![7, 8])), (2, Block::Full(pattern(6)))].into();
    for (name, maker) in [("base.vhdx", &base), ("parent.vhdx", &parent), ("child.vhdx", &child)] {
        fs::write(folder.join(name), maker.build()).unwrap();
    }
    let mut disk = [pattern(1), pattern(2), pattern(6), vec![0; MIB]].concat();
    put(&mut disk, 7 * sector, &pattern(5)[7 * sector..9 * sector]);
    own.iter().for_each(|i| put(&mut disk, MIB + i * sector, &pattern(4)[i * sector..(i + 1) * sector]));
    (folder.join("child.vhdx"), disk)
}

#[test]
fn a_chain_reads_as_one_disk() {
    for sector in [512, 4096] {
        let folder = tempfile::tempdir().unwrap();
        let (child, disk) = chain(folder.path(), sector);
        let raw = folder.path().join("disk.raw");
        fs::write(&raw, &disk).unwrap();
        let real = folder.path().real();
        let standing = ["base", "parent", "child"].map(|name| {
            container::find_dependents(&[real.join(format!("{name}.vhdx"))], &real.join(format!("{name}.vhdx")))
                .children
        });
        assert_eq!(standing, [vec![real.join("parent.vhdx")], vec![real.join("child.vhdx")], Vec::new()]);
        let (image, _) = open(&child).unwrap();
        assert_same(&image, &raw);
        assert_eq!(image.about.variant, "differencing");
        let below = image.about.below.as_ref().unwrap();
        assert_eq!(
            (below.variant.as_str(), below.below.as_ref().unwrap().variant.as_str()),
            ("differencing", "dynamic")
        );
        assert!(below.file.ends_with("parent.vhdx"));
        let names = |at: usize| image.disk.locate(at as u64).iter().map(|p| p.space.to_string()).collect::<Vec<_>>();
        assert_eq!(names(MIB + sector), ["disk", "file 3"], "what only the base has");
        assert_eq!(names(MIB), ["disk", "file 2"]);
        assert_eq!(names(3 * MIB), ["disk"]);
    }
}

#[test]
fn only_own_sectors_are_written_and_parents_stay() {
    for sector in [512, 4096] {
        let folder = tempfile::tempdir().unwrap();
        let (child, mut disk) = chain(folder.path(), sector);
        let before = ["base.vhdx", "parent.vhdx"].map(|name| fs::read(folder.path().join(name)).unwrap());
        let (image, recording) = open(&child).unwrap();
        for (at, len) in [(7 * sector - 1, 2), (9 * sector - 1, 2), (MIB, 1), (3 * MIB, 1), (2 * MIB - 1, 2)] {
            let error = image.disk.write_at(at as u64, &vec![9; len]).unwrap_err();
            assert_eq!(error.code(), "not-allocated", "{at:#x}");
        }
        for (at, len) in [(7 * sector, 2 * sector), (7 * sector + 3, 9), (2 * MIB, MIB)] {
            image.disk.write_at(at as u64, &vec![0xdd; len]).unwrap();
            disk[at..at + len].fill(0xdd);
        }
        // Panics if a backing file was written to.
        recording.bring_to_disk();
        let raw = folder.path().join("disk.raw");
        fs::write(&raw, &disk).unwrap();
        assert_same(&open(&child).unwrap().0, &raw);
        assert!(before == ["base.vhdx", "parent.vhdx"].map(|name| fs::read(folder.path().join(name)).unwrap()));
    }
}

#[test]
fn bitmaps_of_later_chunks_are_found() {
    let folder = tempfile::tempdir().unwrap();
    // 4096 blocks per chunk; the last block is in the second chunk.
    let mut base = Maker { sector: 512, size: 4100 * MIB, data_write: PARENT, ..Maker::default() };
    base.blocks.insert(4098, Block::Full(pattern(1)));
    fs::write(folder.path().join("base.vhdx"), base.build()).unwrap();
    let mut child = Maker { locator: locator("base.vhdx", &PARENT), ..base };
    child.blocks = [(0, Block::Part(pattern(7), vec![0])), (4098, Block::Part(pattern(2), vec![3, 2047]))].into();
    fs::write(folder.path().join("child.vhdx"), child.build()).unwrap();
    let (image, _) = open(&folder.path().join("child.vhdx")).unwrap();
    let mut buf = vec![0; MIB];
    image.disk.read_at(4098 << 20, &mut buf).unwrap();
    let mut expected = pattern(1);
    [3, 2047].iter().for_each(|i| put(&mut expected, i * 512, &pattern(2)[i * 512..(i + 1) * 512]));
    assert!(buf == expected);
    image.disk.write_at((4098 << 20) + 3 * 512, &[1; 512]).unwrap();
    assert_eq!(image.disk.write_at((4098 << 20) + 4 * 512, &[1; 512]).unwrap_err().code(), "not-allocated");
}

#[test]
fn a_changed_parent_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (child, _) = chain(folder.path(), 512);
    let parent = folder.path().join("parent.vhdx");
    // A write to the parent changes its identifier.
    let (image, recording) = open(&parent).unwrap();
    image.disk.write_at(MIB as u64, &[1]).unwrap();
    recording.bring_to_disk();
    // A file that is open keeps its name on Windows.
    drop((image, recording));
    let error = open(&child).map(|_| ()).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::VhdxParent, hivewright::Kind::Corrupt));
    assert!(error.wanted().unwrap().contains("02020202-0202"), "{error}");
    fs::remove_file(&parent).unwrap();
    assert_eq!(open(&child).map(|_| ()).unwrap_err().code(), "no-file");
}

#[test]
fn every_path_of_the_locator_is_tried_and_both_linkages_count() {
    let linkage = guid_text(&PARENT);
    for (key, path) in [
        ("relative_path", r".\base.vhdx"),
        ("volume_path", r"\\?\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\vm\base.vhdx"),
        ("absolute_win32_path", r"\\?\C:\vm\base.vhdx"),
        ("absolute_win32_path", r"C:\vm\base.vhdx"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut base = Maker { sector: 512, size: MIB, data_write: PARENT, ..Maker::default() };
        base.blocks.insert(0, Block::Full(pattern(1)));
        fs::write(folder.path().join("base.vhdx"), base.build()).unwrap();
        let mut pairs = vec![("parent_linkage", guid_text(&[9; 16])), ("parent_linkage2", linkage.to_lowercase())];
        pairs.extend([("relative_path", r"..\elsewhere\base.vhdx".to_owned())].into_iter().filter(|(k, _)| *k != key));
        pairs.push((key, path.to_owned()));
        let child = Maker { locator: Some(pairs), blocks: [].into(), ..base };
        fs::write(folder.path().join("child.vhdx"), child.build()).unwrap();
        let mut buf = vec![0; MIB];
        open(&folder.path().join("child.vhdx")).unwrap().0.disk.read_at(0, &mut buf).unwrap();
        assert!(buf == pattern(1), "{key}");
    }
}

#[test]
fn cycles_and_other_images_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let me = folder.path().join("me.vhdx");
    let maker = Maker { sector: 512, size: MIB, data_write: PARENT, ..Maker::default() };
    fs::write(&me, Maker { locator: locator("me.vhdx", &PARENT), ..maker.clone() }.build()).unwrap();
    assert_eq!(open(&me).map(|_| ()).unwrap_err().code(), "image-circle");
    fs::write(folder.path().join("raw"), vec![0; 2 * MIB]).unwrap();
    fs::write(&me, Maker { locator: locator("raw", &PARENT), ..maker.clone() }.build()).unwrap();
    assert_eq!(open(&me).map(|_| ()).unwrap_err().code(), "vhdx-signature");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("base.vhdx"), maker.build()).unwrap();
    let path = outside.path().join("base.vhdx").to_str().unwrap().to_owned();
    fs::write(&me, Maker { locator: locator(&path, &PARENT), ..maker }.build()).unwrap();
    assert_eq!(open(&me).map(|_| ()).unwrap_err().code(), "outside-folder");
}
