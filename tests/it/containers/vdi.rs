//! VDI images made by qemu-img, and differencing ones made here.

use super::*;
use crate::support::real::Real;
use crate::support::tools::{have, output};

const MIB: usize = 1 << 20;

/// Creates `disk.raw` of 12 MiB, in which some MiB are zeros, and `disk.vdi` from it.
fn made(folder: &Path, options: &str) -> (PathBuf, PathBuf) {
    let (raw, vdi) = (folder.join("disk.raw"), folder.join("disk.vdi"));
    raw_disk(&raw, 12);
    output("qemu-img", &["convert", "-f", "raw", "-O", "vdi", "-o", options, text(&raw), text(&vdi)]);
    (raw, vdi)
}

fn refused(image: &Image, at: u64) {
    let mut there = [0; 3];
    image.disk.read_at(at, &mut there).unwrap();
    assert_eq!(image.disk.write_at(at, &there).unwrap_err().code(), "not-allocated", "{at:#x}");
}

fn map(bytes: &[u8], block: usize) -> u32 {
    u32::from_le_bytes(bytes[512 + block * 4..][..4].try_into().unwrap())
}

#[test]
fn static_and_dynamic_images_read_as_the_disk_and_are_written_to() {
    if !have(&["qemu-img"]) {
        return;
    }
    for (options, variant) in [("static=off", "dynamic"), ("static=on", "static")] {
        let folder = tempfile::tempdir().unwrap();
        let (raw, vdi) = made(folder.path(), options);
        let before = fs::read(&vdi).unwrap();
        let (image, recording) = open(&vdi).unwrap();
        assert_eq!((image.about.format, image.about.variant.as_str(), image.about.size), ("vdi", variant, 12 << 20));
        assert_eq!(image.disk.len().unwrap(), 12 << 20);
        assert_same(&image, &raw);
        write(&image, &raw, 1000, b"within");
        write(&image, &raw, MIB as u64 - 3, b"over blocks");
        write(&image, &raw, (12 << 20) - 512, &[7; 512]);
        let count = |bytes: &[u8]| u32::from_le_bytes(bytes[388..392].try_into().unwrap());
        let was = count(&before);
        if variant == "dynamic" {
            // Two missing blocks of the image, and the end of a present one.
            assert_eq!(image.disk.locate(5 << 20).len(), 1);
            write(&image, &raw, 5 << 20, b"made");
            write(&image, &raw, (3 << 20) - 1, b"over into another");
            assert_eq!(image.disk.locate(5 << 20).len(), 2);
        }
        assert_same(&image, &raw);
        recording.bring_to_disk();
        output("qemu-img", &["check", "-f", "vdi", text(&vdi)]);
        compare(&raw, &vdi, "vdi");
        assert_same(&open(&vdi).unwrap().0, &raw);
        let after = fs::read(&vdi).unwrap();
        assert_ne!(before[408..424], after[408..424], "the contents have a new identifier");
        let made = count(&after) - was;
        assert!(if variant == "dynamic" { (2..=3).contains(&made) } else { made == 0 }, "{made}");
        assert!(before[..388] == after[..388] && before[392..408] == after[392..408], "nothing else of the header");
        assert!(before[424..512] == after[424..512]);
    }
}

/// Creates differencing images from a dynamic one: the blocks `own` move from the base to the child, which has `zeros`
/// as zeros; in the base they are overwritten. `extra` bytes precede each block of the child.
fn split(base: &Path, child: &Path, own: &[usize], zeros: &[usize], extra: usize) {
    let whole = fs::read(base).unwrap();
    let mut head = whole[..1024].to_vec();
    head[76] = 4;
    head[380..384].copy_from_slice(&(extra as u32).to_le_bytes());
    head[388..392].copy_from_slice(&(own.len() as u32).to_le_bytes());
    head[424..456].copy_from_slice(&whole[392..424]);
    head[392..424].copy_from_slice(&[[own.len() as u8; 16], [0x99; 16]].concat());
    head[512..560].fill(0xff);
    let mut emptied = whole.clone();
    let mut data = Vec::new();
    for (number, block) in own.iter().enumerate() {
        head[512 + block * 4..][..4].copy_from_slice(&(number as u32).to_le_bytes());
        data.extend(vec![0xee; extra]);
        let at = 1024 + map(&whole, *block) as usize * MIB;
        data.extend(&whole[at..at + MIB]);
        emptied[at..at + MIB].fill(0xdd);
    }
    for block in zeros {
        head[512 + block * 4..][..4].copy_from_slice(&(u32::MAX - 1).to_le_bytes());
    }
    fs::write(base, emptied).unwrap();
    fs::write(child, [head, data].concat()).unwrap();
}

#[test]
fn a_chain_reads_block_by_block_and_only_its_top_is_written_to() {
    if !have(&["qemu-img"]) {
        return;
    }
    for extra in [0, 512] {
        let folder = tempfile::tempdir().unwrap();
        let (raw, base) = made(folder.path(), "static=off");
        let (middle, top) = (folder.path().join("{1}.vdi"), folder.path().join("{2}.VDI"));
        // Blocks 0, 1, 2, 6 and 11 have data; 11 becomes zeros, like 5.
        split(&base, &middle, &[0, 2, 6], &[5, 11], 0);
        split(&middle, &top, &[2], &[5], extra);
        File::options().write(true).open(&raw).unwrap().write_all_at(&[0; MIB], 11 << 20).unwrap();
        let before = [fs::read(&base).unwrap(), fs::read(&middle).unwrap()];
        let real = |path: &Path| path.real();
        let standing =
            [&base, &middle, &top].map(|path| container::find_dependents(&[real(path)], &real(path)).children);
        assert_eq!(standing, [vec![real(&middle)], vec![real(&top)], Vec::new()]);
        let (image, recording) = open(&top).unwrap();
        assert_eq!((image.about.variant.as_str(), &image.about.remarks), ("differencing", &vec![]));
        assert_eq!(image.about.below.as_ref().unwrap().below.as_ref().unwrap().file, base.real());
        assert_same(&image, &raw);
        write(&image, &raw, (2 << 20) + 77, b"own");
        for at in [0, 1 << 20, (2 << 20) - 1, (3 << 20) - 1, 5 << 20, 7 << 20] {
            refused(&image, at);
        }
        assert_same(&image, &raw);
        recording.bring_to_disk();
        assert!(before == [fs::read(&base).unwrap(), fs::read(&middle).unwrap()], "a parent was written to");
        assert_same(&open(&top).unwrap().0, &raw);
    }
}

#[test]
fn the_parent_is_found_by_its_identifier() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, base) = made(folder.path(), "static=off");
    let snapshots = folder.path().join("Snapshots");
    fs::create_dir(&snapshots).unwrap();
    let child = snapshots.join("{1}.vdi");
    split(&base, &child, &[0], &[], 0);
    let opened = |allowed: &[PathBuf]| {
        let policy = PathPolicy::new(Arc::new(Recording::default()), allowed);
        let image = container::open(&policy, &child, None).map(Option::unwrap);
        (image, policy.files().len())
    };
    let code = |allowed: &[PathBuf]| opened(allowed).0.map(|_| ()).map_err(|error| error.code().as_str());
    assert_eq!(code(&[]), Err("no-file"), "the folder above was not allowed");
    let above = [folder.path().to_owned()];
    // Other images are examined, and do not become files of the image.
    fs::write(folder.path().join("a.vdi"), b"no image").unwrap();
    fs::copy(&raw, folder.path().join("b.vdi")).unwrap();
    let (image, files) = opened(&above);
    assert_eq!(files, 2);
    assert_same(&image.unwrap(), &raw);

    let copy = folder.path().join("copy.vdi");
    fs::copy(&base, &copy).unwrap();
    assert_eq!(code(&above), Err("vdi-parent-ambiguous"));
    // A parent that has changed since is not used if there is an unchanged one.
    let (written, recording) = open(&copy).unwrap();
    written.disk.write_at(0, &[0; 512]).unwrap();
    recording.bring_to_disk();
    assert_eq!(opened(&above).0.unwrap().about.below.unwrap().file, base.real());
    fs::remove_file(&base).unwrap();
    let image = opened(&above).0.unwrap();
    assert_eq!(image.about.remarks[0].0, "vdi-parent-changed");
}
