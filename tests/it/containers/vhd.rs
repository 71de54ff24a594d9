//! VHD images made by qemu-img, and differencing ones made here.

use super::*;
use crate::support::real::Real;
use crate::support::tools::{have, output, succeeds};
use hivewright_error::Code;

const SUBFORMATS: [&str; 4] =
    ["subformat=dynamic", "subformat=dynamic,force_size", "subformat=fixed", "subformat=fixed,force_size"];

/// Creates `disk.raw` of 12 MiB, of which the blocks 2 and 4 of 2 MiB are zeros, and `disk.vhd` from it.
pub(super) fn made(folder: &Path, options: &str) -> (PathBuf, PathBuf) {
    let (raw, vhd) = (folder.join("disk.raw"), folder.join("disk.vhd"));
    raw_disk(&raw, 12);
    output("qemu-img", &["convert", "-f", "raw", "-O", "vpc", "-o", options, text(&raw), text(&vhd)]);
    (raw, vhd)
}

fn remarks(image: &Image) -> Vec<&'static str> {
    image.about.remarks.iter().map(|(code, _)| code.as_str()).collect()
}

#[test]
fn every_subformat_reads_as_the_disk_and_is_written_to() {
    if !have(&["qemu-img"]) {
        return;
    }
    for options in SUBFORMATS {
        let folder = tempfile::tempdir().unwrap();
        let (raw, vhd) = made(folder.path(), options);
        let (image, recording) = open(&vhd).unwrap();
        assert_eq!((image.about.format, remarks(&image)), ("vhd", vec![]), "{options}");
        assert!(options.contains(&image.about.variant), "{options}: {:?}", image.about);
        let info = output("qemu-img", &["info", "--output=json", "-f", "vpc", text(&vhd)]);
        let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
        assert_eq!(info["virtual-size"].as_u64(), Some(image.disk.len().unwrap()), "{options}");
        assert_same(&image, &raw);

        write(&image, &raw, 1000, b"within");
        write(&image, &raw, (2 << 20) - 3, b"over blocks");
        write(&image, &raw, (12 << 20) - 512, &[7; 512]);
        assert_same(&image, &raw);
        let place = image.disk.locate(1000);
        assert_eq!(place[0].offset, 1000);
        recording.bring_to_disk();
        compare(&raw, &vhd, "vpc");
        assert_same(&open(&vhd).unwrap().0, &raw);
    }
}

#[test]
fn a_write_to_the_same_place_touches_data_only() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, vhd) = made(folder.path(), "subformat=dynamic");
    let (image, recording) = open(&vhd).unwrap();
    for (at, writes) in [(5 << 20, true), (100, false)] {
        let mut there = [0; 700];
        image.disk.read_at(at, &mut there).unwrap();
        image.disk.write_at(at, &there).unwrap();
        image.disk.flush().unwrap();
        let files = recording.0.lock().unwrap();
        assert_eq!(!files[0].2.take().unwrap().1.is_empty(), writes, "{at:#x}");
        image.disk.write_at(at, &[9; 700]).unwrap();
        let (_, written) = files[0].2.take().unwrap();
        assert_eq!(written.iter().map(|w| w.new.len()).sum::<usize>(), 700, "{at:#x}");
    }
}

#[test]
fn a_missing_block_is_allocated_as_by_qemu() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    for options in &SUBFORMATS[..2] {
        let folder = tempfile::tempdir().unwrap();
        let (raw, vhd) = made(folder.path(), options);
        let before = fs::metadata(&vhd).unwrap().len();
        let (image, recording) = open(&vhd).unwrap();
        assert_eq!(image.disk.locate(5 << 20).len(), 1, "it has no place yet");
        write(&image, &raw, 5 << 20, b"new");
        assert_eq!(image.disk.locate(5 << 20).len(), 2);
        assert_same(&image, &raw);
        recording.bring_to_disk();
        assert_eq!(fs::metadata(&vhd).unwrap().len(), before + (2 << 20) + 512);
        compare(&raw, &vhd, "vpc");
        // QEMU continues after this.
        output("qemu-io", &["-f", "vpc", "-c", "write -P 0x5a 9M 64k", text(&vhd)]);
        File::options().write(true).open(&raw).unwrap().write_all_at(&[0x5a; 65536], 9 << 20).unwrap();
        compare(&raw, &vhd, "vpc");
        let (image, _) = open(&vhd).unwrap();
        assert_eq!(remarks(&image), Vec::<&str>::new());
        assert_same(&image, &raw);
    }
}

#[test]
fn a_damaged_footer_is_replaced_by_its_copy() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, vhd) = made(folder.path(), "subformat=dynamic");
    let (whole, len) = (fs::read(&vhd).unwrap(), fs::metadata(&vhd).unwrap().len());
    let damage = |at: u64| {
        fs::write(&vhd, &whole).unwrap();
        File::options().write(true).open(&vhd).unwrap().write_all_at(&[0xaa; 16], at).unwrap();
    };
    damage(len - 400);
    let (image, _) = open(&vhd).unwrap();
    assert_eq!(remarks(&image), ["vhd-footer-damaged"]);
    assert_same(&image, &raw);
    image.disk.write_at(0, b"there is a block").unwrap();
    assert_eq!(image.disk.write_at(5 << 20, b"there is none").unwrap_err().code(), "not-allocated");
    damage(100);
    let (image, _) = open(&vhd).unwrap();
    assert_eq!(remarks(&image), ["vhd-copy-damaged"]);
    assert_same(&image, &raw);
    damage(0);
    let (image, _) = open(&vhd).unwrap();
    assert_eq!((remarks(&image), image.about.format), (vec!["vhd-copy-damaged"], "vhd"));
    fs::write(&vhd, &whole[..whole.len() - 512]).unwrap();
    let (image, _) = open(&vhd).unwrap();
    assert_same(&image, &raw);
}

#[test]
fn a_raw_disk_that_ends_like_a_vhd_stays_raw() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (raw, vhd) = made(folder.path(), "subformat=fixed,force_size");
    let whole = fs::read(&vhd).unwrap();
    let footer = &whole[whole.len() - 512..];
    let format = |name: &str, bytes: &[&[u8]]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes.concat()).unwrap();
        open(&path).unwrap().0.about
    };
    assert_eq!(format("a.img", &[&whole]).format, "vhd", "by its bytes, not its name");
    assert_eq!(format("b.img", &[&whole, &[0; 512]]).format, "raw", "the footer is not at the end");
    let disk = fs::read(&raw).unwrap();
    assert_eq!(format("c.img", &[&disk, &[0; 4096], footer]).format, "raw", "the footer is of a smaller disk");
    let slack = format("c.vhd", &[&disk, &[0; 4096], footer]);
    assert_eq!((slack.format, slack.size, slack.remarks[0].0), ("vhd", 12 << 20, Code::VhdSlack));
    let cut = [&disk[..disk.len() - 512], footer].concat();
    assert_eq!(format("d.img", &[&cut]).format, "raw", "nothing says that it should be a VHD");
    fs::write(folder.path().join("d.vhd"), &cut).unwrap();
    let told = open(&folder.path().join("d.vhd")).map(|_| ()).unwrap_err();
    assert_eq!(told.code(), "vhd-footer", "the disk is cut short: {told}");
    let mut damaged = footer.to_vec();
    damaged[50] ^= 1;
    assert_eq!(format("e.img", &[&disk, &damaged]).format, "raw", "the checksum is wrong");
    let mut suspended = footer.to_vec();
    (suspended[84], suspended[67]) = (1, suspended[67].wrapping_sub(1));
    assert_eq!(format("f.vhd", &[&disk, &suspended]).refusal.unwrap().code, "vhd-saved-state");
}

/// Parent in a differencing image.
#[derive(Default)]
pub(super) struct Parent<'a> {
    pub(super) relative: &'a str,
    pub(super) absolute: &'a str,
    pub(super) name: &'a str,
    pub(super) uuid: [u8; 16],
    pub(super) time: u32,
}

fn summed(bytes: &mut [u8], at: usize) {
    bytes[at..at + 4].fill(0);
    let sum = !bytes.iter().fold(0u32, |sum, byte| sum + u32::from(*byte));
    bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
}

/// Creates a differencing image with blocks of 64 KiB; `sectors` are its own sectors: their numbers and their bytes.
pub(super) fn differencing(path: &Path, size: u64, parent: &Parent<'_>, sectors: &[(u64, u8)]) -> [u8; 16] {
    const BLOCK: u64 = 65536;
    let uuid = [size as u8 ^ 0x55; 16];
    let mut footer = vec![0; 512];
    footer[..8].copy_from_slice(b"conectix");
    footer[8..16].copy_from_slice(&[0, 0, 0, 2, 0, 1, 0, 0]);
    footer[16..24].copy_from_slice(&512u64.to_be_bytes());
    footer[28..32].copy_from_slice(b"test");
    footer[48..56].copy_from_slice(&size.to_be_bytes());
    footer[63] = 4;
    footer[68..84].copy_from_slice(&uuid);
    summed(&mut footer, 64);
    let blocks = size.div_ceil(BLOCK);
    let mut header = vec![0; 1024];
    header[..16].copy_from_slice(b"cxsparse\xff\xff\xff\xff\xff\xff\xff\xff");
    header[16..24].copy_from_slice(&4096u64.to_be_bytes());
    header[24..28].copy_from_slice(&[0, 1, 0, 0]);
    header[28..32].copy_from_slice(&(blocks as u32).to_be_bytes());
    header[32..36].copy_from_slice(&(BLOCK as u32).to_be_bytes());
    header[40..56].copy_from_slice(&parent.uuid);
    header[56..60].copy_from_slice(&parent.time.to_be_bytes());
    let name: Vec<u8> = parent.name.encode_utf16().flat_map(u16::to_be_bytes).collect();
    header[64..64 + name.len()].copy_from_slice(&name);
    let mut file = vec![0; 4096 + (blocks as usize * 4).next_multiple_of(512)];
    for (i, (code, name)) in [(b"W2ku", parent.absolute), (b"W2ru", parent.relative)].into_iter().enumerate() {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (entry, at) = (576 + 24 * i, 1536 + 512 * i);
        header[entry..entry + 4].copy_from_slice(code);
        header[entry + 4..entry + 8].copy_from_slice(&1u32.to_be_bytes());
        header[entry + 8..entry + 12].copy_from_slice(&(name.len() as u32).to_be_bytes());
        header[entry + 16..entry + 24].copy_from_slice(&(at as u64).to_be_bytes());
        file[at..at + name.len()].copy_from_slice(&name);
    }
    summed(&mut header, 36);
    file[..512].copy_from_slice(&footer);
    file[512..1536].copy_from_slice(&header);
    file[4096..].fill(0xff);
    for (sector, fill) in sectors {
        let (block, within) = ((sector / 128) as usize, (sector % 128) as usize);
        let entry = 4096 + block * 4;
        if file[entry..entry + 4] == [0xff; 4] {
            let at = (file.len() / 512) as u32;
            file[entry..entry + 4].copy_from_slice(&at.to_be_bytes());
            // Sectors of the parent contain garbage.
            file.extend([0; 512].into_iter().chain([0xee; BLOCK as usize]));
        }
        let start = u32::from_be_bytes(file[entry..entry + 4].try_into().unwrap()) as usize * 512;
        file[start + within / 8] |= 0x80 >> (within % 8);
        file[start + 512 + within * 512..][..512].fill(*fill);
    }
    file.extend(footer);
    fs::write(path, file).unwrap();
    uuid
}

pub(super) fn uuid_of(vhd: &Path) -> [u8; 16] {
    let bytes = fs::read(vhd).unwrap();
    bytes[bytes.len() - 444..][..16].try_into().unwrap()
}

const OWN: [(u64, u8); 6] = [(1, 0x11), (2047, 0x22), (4097, 0x33), (4098, 0x34), (10_000, 0x55), (24_575, 0x66)];

#[test]
fn a_chain_reads_sector_by_sector_and_only_its_top_is_written_to() {
    if !have(&["qemu-img"]) {
        return;
    }
    for options in SUBFORMATS {
        let folder = tempfile::tempdir().unwrap();
        let (raw, base) = made(folder.path(), options);
        let (middle, top) = (folder.path().join("middle.vhd"), folder.path().join("top.avhd"));
        let size = open(&base).unwrap().0.disk.len().unwrap();
        let parent = Parent { relative: r".\disk.vhd", uuid: uuid_of(&base), ..Parent::default() };
        let uuid = differencing(&middle, size, &parent, &[(1, 0xaa), (3, 0x44), (9000, 0x77)]);
        differencing(&top, size, &Parent { relative: r".\middle.vhd", uuid, ..Parent::default() }, &OWN);
        let file = File::options().write(true).open(&raw).unwrap();
        for (sector, fill) in [(3, 0x44), (9000, 0x77)].iter().chain(&OWN) {
            file.write_all_at(&[*fill; 512], sector * 512).unwrap();
        }
        let before = [fs::read(&base).unwrap(), fs::read(&middle).unwrap()];
        let real = |path: &Path| path.real();
        let standing =
            [&base, &middle, &top].map(|path| container::find_dependents(&[real(path)], &real(path)).children);
        assert_eq!(standing, [vec![real(&middle)], vec![real(&top)], Vec::new()]);
        let (image, recording) = open(&top).unwrap();
        assert_same(&image, &raw);
        let below = image.about.below.as_ref().unwrap();
        assert_eq!((image.about.variant.as_str(), below.variant.as_str()), ("differencing", "differencing"));
        assert!(options.contains(&below.below.as_ref().unwrap().variant), "{below:?}");

        write(&image, &raw, 4097 * 512 + 7, &[1; 900]);
        for (at, len) in [(4096 * 512, 1), (4097 * 512, 1025), (0, 512), (9000 * 512, 4), (30_000, 1)] {
            let mut there = vec![0; len];
            image.disk.read_at(at, &mut there).unwrap();
            let error = image.disk.write_at(at, &there).unwrap_err();
            assert_eq!(
                (error.code(), error.kind()),
                (Code::NotAllocated, hivewright::Kind::NoRoom),
                "{at:#x}: equal bytes"
            );
        }
        assert_same(&image, &raw);
        let part = |sector: u64| image.disk.locate(sector * 512).get(1).map(|place| place.space);
        assert_eq!(part(4097), Some(hivewright::Space::File));
        assert_eq!(part(9000), Some(hivewright::Space::Part(2)));
        recording.bring_to_disk();
        assert!(before == [fs::read(&base).unwrap(), fs::read(&middle).unwrap()], "a parent was written to");
        assert_same(&open(&top).unwrap().0, &raw);
    }
}

#[test]
fn the_parent_is_found_by_any_of_its_names_and_known_by_its_identifier() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (_, base) = made(folder.path(), "subformat=fixed");
    let (uuid, child) = (uuid_of(&base), folder.path().join("child.vhd"));
    let size = open(&base).unwrap().0.disk.len().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let outside = folder.path().join("sub/child.vhd");
    let opened = |path: &Path, parent: Parent<'_>| {
        differencing(
            path,
            size,
            &Parent { uuid: if parent.uuid == [0; 16] { uuid } else { parent.uuid }, ..parent },
            &OWN,
        );
        open(path).map(|(image, _)| remarks(&image)).map_err(|error| error.code().as_str())
    };
    for parent in [
        Parent { relative: r".\disk.vhd", ..Parent::default() },
        Parent { relative: "disk.vhd", absolute: r"C:\gone.vhd", ..Parent::default() },
        Parent { relative: r"..\elsewhere\gone.vhd", absolute: r"D:\machines\disk.vhd", ..Parent::default() },
        Parent { absolute: r"\\?\C:\machines\disk.vhd", ..Parent::default() },
        Parent { name: "disk.vhd", ..Parent::default() },
    ] {
        assert_eq!(opened(&child, parent), Ok(vec![]));
    }
    let relative = r".\disk.vhd";
    assert_eq!(opened(&child, Parent { relative, time: 5, ..Parent::default() }), Ok(vec!["vhd-parent-time"]));
    let changed = fs::metadata(&base).unwrap().modified().unwrap();
    let time = changed.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as u32 - 946_684_800;
    assert_eq!(opened(&child, Parent { relative, time, ..Parent::default() }), Ok(vec![]));
    let uuid = [9; 16];
    assert_eq!(opened(&child, Parent { relative, uuid, ..Parent::default() }), Err("vhd-parent-mismatch"));
    assert_eq!(opened(&child, Parent { relative: "gone.vhd", ..Parent::default() }), Err("no-file"));
    assert_eq!(opened(&child, Parent::default()), Err("vhd-parent"));
    assert_eq!(opened(&outside, Parent { relative: r"..\disk.vhd", ..Parent::default() }), Err("outside-folder"));
    let own = [size as u8 ^ 0x55; 16];
    assert_eq!(opened(&child, Parent { relative: "child.vhd", uuid: own, ..Parent::default() }), Err("image-circle"));
    assert!(succeeds("qemu-img", &["info", "-f", "vpc", text(&base)]), "the parent is as it was");
}

#[test]
fn damaged_differencing_images_are_an_answer_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (base, child) = (folder.path().join("base.vhd"), folder.path().join("child.vhd"));
    let mut footer = vec![0; 512];
    footer[..16].copy_from_slice(b"conectix\0\0\0\x02\0\x01\0\0");
    (footer[53], footer[63], footer[68]) = (4, 2, 7);
    summed(&mut footer, 64);
    fs::write(&base, [vec![0xbb; 4 << 16], footer].concat()).unwrap();
    let parent = Parent { relative: r".\base.vhd", uuid: uuid_of(&base), ..Parent::default() };
    differencing(&child, 4 << 16, &parent, &[(1, 1), (130, 2), (131, 3)]);
    let whole = fs::read(&child).unwrap();
    let read = || -> hivewright::Result<Vec<u8>> {
        let (image, _) = open(&child)?;
        let mut disk = vec![0; image.disk.len()?.min(1 << 20) as usize];
        disk.chunks_mut(5000).enumerate().try_for_each(|(i, piece)| image.disk.read_at(i as u64 * 5000, piece))?;
        (0..disk.len()).step_by(700).for_each(|at| drop(image.disk.write_at(at as u64, &[9; 600])));
        Ok(disk)
    };
    let disk = read().unwrap();
    assert_eq!([0, 512, 1024, 130 * 512, 132 * 512].map(|at: usize| disk[at]), [0xbb, 1, 0xbb, 2, 0xbb]);
    let file = File::options().write(true).open(&child).unwrap();
    let (mut same, mut errors) = (0, 0);
    // Copy of the footer, header with a corrected checksum, texts of locators, table, first bitmap.
    for at in (0..536).chain(536..700).chain(1080..1160).chain(1536..1560).chain(2048..2070).chain(4096..4200) {
        for value in [whole[at] ^ 1, 0x80, 0xff] {
            let mut damaged = whole[..5120].to_vec();
            damaged[at] = value;
            summed(&mut damaged[..512], 64);
            summed(&mut damaged[512..1536], 36);
            file.write_all_at(&damaged, 0).unwrap();
            match read() {
                Ok(found) => same += u32::from(found == disk),
                Err(error) => {
                    assert_ne!(error.kind(), hivewright::Kind::Io, "{at:#x}: {error}");
                    errors += 1;
                }
            }
        }
    }
    assert!(same > 500 && errors > 50, "{same} as before, {errors} errors");
    assert!(fs::read(&base).unwrap()[..4 << 16].iter().all(|byte| *byte == 0xbb));
}
