//! Damaged and hostile images.

use super::builder::{GRAIN, S, Wide, cowd, descriptor, hosted, se_sparse, stream};
use super::*;
use hivewright_disk::container::{Opening, open_layer};
use hivewright_storage::memory::Memory;

const OWN: &str = "RW 512 SPARSE \"disk.vmdk\"";

fn open_bytes(bytes: Vec<u8>, format: &str) -> hivewright::Result<Image> {
    let policy = PathPolicy::shut();
    let opening = Opening::of(&policy, Arc::new(Memory::new(bytes)), Path::new("/nowhere/disk.vmdk"));
    let image = open_layer(opening, Some(format));
    assert!(policy.files().is_empty(), "a file of the host was opened");
    image.map(|image| image.expect("an image"))
}

/// Opens an image, reads both of its ends, and writes; any result is accepted.
pub(in crate::containers) fn read_all(bytes: Vec<u8>, format: &str) {
    let Ok(image) = open_bytes(bytes, format) else { return };
    let size = image.disk.len().unwrap();
    let most = size.min(64 * (GRAIN * S) as u64);
    let mut buf = vec![0; most as usize];
    for at in [0, size - most] {
        let _ = image.disk.read_at(at, &mut buf);
        let _ = image.disk.write_at(at, &buf[..buf.len().min(5000)]);
        let _ = image.disk.locate(at);
    }
    assert_eq!(image.disk.read_at(size, &mut [0]).unwrap_err().code(), "past-end");
    let _ = image.disk.flush();
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut packed = vec![0; bytes.len() + 100];
    let len = libdeflater::Compressor::new(libdeflater::CompressionLvl::default()).zlib_compress(bytes, &mut packed);
    packed.truncate(len.unwrap());
    packed
}

fn small_stream() -> Vec<u8> {
    let text = descriptor(7, None, "streamOptimized", OWN);
    stream(&text, &[(0, zlib(&[1; GRAIN * S])), (9, zlib(&[2; GRAIN * S])), (63, zlib(&[3; GRAIN * S]))])
}

#[test]
fn images_of_the_builders_are_read() {
    let text = descriptor(7, None, "monolithicSparse", OWN);
    for (bytes, refused) in [(hosted(&text, &[(0, 1), (9, 2), (63, 3)]), false), (small_stream(), true)] {
        let image = open_bytes(bytes, "vmdk").unwrap();
        assert_eq!((image.about.refusal.is_some(), image.about.remarks.len()), (refused, 0));
        let mut all = vec![9; 64 * GRAIN * S];
        image.disk.read_at(0, &mut all).unwrap();
        for (i, grain) in all.chunks(GRAIN * S).enumerate() {
            let byte = [(0, 1), (9, 2), (63, 3)].iter().find(|(at, _)| *at == i).map_or(0, |(_, byte)| *byte);
            assert!(grain.iter().all(|&b| b == byte), "grain {i}");
        }
    }
}

#[test]
fn every_byte_of_a_header_may_be_anything() {
    let text = descriptor(7, None, "monolithicSparse", OWN);
    let (sparse, stream) = (hosted(&text, &[(0, 1), (9, 2), (63, 3)]), small_stream());
    // Headers, directories and tables; of the stream, its end as well.
    let ends = [
        (0..2 * S).chain(5 * S..9 * S).collect::<Vec<_>>(),
        (0..S).chain(16 * S..16 * S + 40).chain(19 * S..stream.len()).collect(),
    ];
    for (bytes, places) in [&sparse, &stream].into_iter().zip(ends) {
        for at in places {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                read_all(changed, "vmdk");
            }
        }
        (0..bytes.len()).step_by(61).for_each(|len| read_all(bytes[..len].to_vec(), "vmdk"));
        // Integers near the ends of their ranges.
        for at in (0..80).step_by(4) {
            for number in [u64::MAX, u64::MAX / 512, 1 << 63, 1 << 55, 1 << 40, 0xffff_ffff] {
                let mut changed = bytes.clone();
                changed[at..at + 8].copy_from_slice(&number.to_le_bytes());
                read_all(changed, "vmdk");
            }
        }
    }
}

/// Creates an image of one extent in a folder, in which only the extent changes.
fn with_extent(kind: &str, bytes: &[u8], mut change: impl FnMut(&dyn Fn(&[u8]) -> Result<Image, &'static str>)) {
    let folder = tempfile::tempdir().unwrap();
    let sectors = 40_000;
    let path = folder.path().join("disk.vmdk");
    let lines = format!("RW {sectors} {kind} \"extent.vmdk\"");
    fs::write(&path, descriptor(7, None, "custom", &lines)).unwrap();
    change(&|changed| {
        fs::write(folder.path().join("extent.vmdk"), changed).unwrap();
        let (image, _) = open(&path).map_err(|e| e.code().as_str())?;
        let (mut buf, size) = (vec![0; 100_000], image.disk.len().unwrap());
        for at in [0, size / 2, size - 100_000] {
            image.disk.read_at(at, &mut buf).map_err(|e| e.code().as_str())?;
        }
        let _ = image.disk.write_at(0, &buf[..700]);
        Ok(image)
    });
    assert!(!bytes.is_empty());
}

#[test]
fn extents_of_esx_may_be_anything() {
    let (delta, wide) =
        (cowd(40_000, &[(0, 1), (1, 1), (39_999, 2)]), se_sparse(40_000, &[(0, Wide::Data(1)), (4999, Wide::Data(2))]));
    for (kind, bytes, places) in [
        ("VMFSSPARSE", &delta, (0..40).chain(1640..1656).chain(2048..2072).chain(2560..2580).collect::<Vec<_>>()),
        ("SESPARSE", &wide, (0..208).chain(512..544).chain(2048..2064).chain(2560..2576).collect()),
    ] {
        with_extent(kind, bytes, |try_one| {
            assert!(try_one(bytes).is_ok());
            for &at in &places {
                for value in [0, 1, 0x7f, 0xff] {
                    let mut changed = bytes.clone();
                    changed[at] = value;
                    let _ = try_one(&changed);
                }
            }
            (0..bytes.len()).step_by(2999).for_each(|len| assert!(try_one(&bytes[..len]).is_err(), "{kind} of {len}"));
        });
    }
}

#[test]
fn decompression_bombs_and_false_sizes() {
    let text = descriptor(7, None, "streamOptimized", OWN);
    let read = |grain: usize, packed: Vec<u8>| {
        let image = open_bytes(stream(&text, &[(grain, packed)]), "vmdk").unwrap();
        image.disk.read_at((grain * GRAIN * S) as u64, &mut [0; 10]).map_err(|e| e.code().as_str())
    };
    assert_eq!(read(3, zlib(&[5; GRAIN * S])), Ok(()));
    assert_eq!(read(3, zlib(&vec![0; 64 << 20])), Err("vmdk-grain"), "a bomb");
    assert_eq!(read(3, zlib(&[5; GRAIN * S - 1])), Err("vmdk-grain"), "too short");
    assert_eq!(read(3, zlib(&[5; GRAIN * S])[..15].to_vec()), Err("vmdk-grain"), "cut");
    let mut bad_sum = zlib(&[5; GRAIN * S]);
    *bad_sum.last_mut().unwrap() ^= 1;
    assert_eq!(read(3, bad_sum), Err("vmdk-grain"), "checksum");
    // Two entries refer to one grain, whose marker contains its number.
    let mut bytes = small_stream();
    let table = 16 * S + bytes[16 * S..].windows(4).position(|w| w == 16_u32.to_le_bytes()).unwrap();
    bytes.copy_within(table..table + 4, table + 4);
    for before in [None, Some(0)] {
        let disk = open_bytes(bytes.clone(), "vmdk").unwrap().disk;
        before.into_iter().for_each(|at| disk.read_at(at, &mut [0; 10]).unwrap());
        assert_eq!(code(disk.read_at((GRAIN * S) as u64, &mut [0; 10])), "vmdk-grain", "{before:?}");
        assert_eq!(code(disk.read_at(0, &mut vec![0; 2 * GRAIN * S])), "vmdk-grain");
    }
}

#[test]
fn harmful_writes_are_refused() {
    let text = descriptor(7, None, "monolithicSparse", OWN);
    let good = hosted(&text, &[(0, 1), (9, 2)]);
    let written = |change: &[(usize, &[u8])]| {
        let mut bytes = good.clone();
        change.iter().for_each(|(at, new)| bytes[*at..*at + new.len()].copy_from_slice(new));
        let image = open_bytes(bytes, "vmdk").map_err(|e| e.code().as_str())?;
        image.disk.write_at(0, b"x").map_err(|e| e.code().as_str())
    };
    assert_eq!(written(&[]), Ok(()));
    assert_eq!(written(&[(6 * S, &[24])]), Err("vmdk-tables-differ"));
    for sector in [1, 4, 5, 6, 7, 8] {
        let entry = [sector, 0, 0, 0];
        assert_eq!(written(&[(6 * S, &entry), (8 * S, &entry)]), Err("vmdk-grain-in-tables"), "{sector}");
    }
    // A missing grain is allocated, for which this file would have to grow.
    assert_eq!(written(&[(6 * S, &[0]), (8 * S, &[0])]), Err("fixed-length"));
    assert_eq!(written(&[(6 * S, &[0])]), Err("vmdk-tables-differ"));
    assert_eq!(written(&[(8 * S, &[0])]), Err("vmdk-tables-differ"));
    // Grain 10 in the place of grain 0, partly in it, and in that of grain 9, which is not written.
    for (index, sector, expected) in [(10, 16, "vmdk-grain-shared"), (10, 20, "vmdk-grain-shared"), (10, 24, "")] {
        let (second, first) = (6 * S + index * 4, 8 * S + index * 4);
        let shared = written(&[(second, &[sector]), (first, &[sector])]);
        assert_eq!(shared.err().unwrap_or_default(), expected, "{sector}");
    }
    assert_eq!(written(&[(6 * S + 64 * 4, &[16]), (8 * S + 64 * 4, &[16])]), Ok(()), "behind the end");
    assert_eq!(written(&[(72, &[1])]), Err("vmdk-unclean"));
    assert_eq!(written(&[(56, &[0xff; 3])]), Err("vmdk-damaged"), "read through the second directory");
    assert_eq!(written(&[(8, &[1]), (56, &[0xff; 3])]), Err("vmdk-header"));
    assert_eq!(written(&[(73, b"\r\n")]), Err("vmdk-newlines"));
    assert_eq!(written(&[(4, &[4])]), Err("vmdk-version"));
}

#[test]
fn invalid_descriptors() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("vm");
    fs::create_dir(&folder).unwrap();
    let secret = outer.path().join("secret");
    fs::write(&secret, [1; 8 * S]).unwrap();
    let path = folder.join("disk.vmdk");
    fs::write(folder.join("flat.bin"), [1; 8 * S]).unwrap();
    fs::write(folder.join("other.vmdk"), hosted(&descriptor(7, None, "x", OWN), &[])).unwrap();
    let opened = |kind: &str, lines: &str| {
        fs::write(&path, descriptor(7, None, kind, lines)).unwrap();
        open(&path).map(|(image, _)| image.about.size).map_err(|e| e.code().as_str())
    };
    let flat = "RW 4 FLAT \"flat.bin\" ";
    for (kind, lines, expected) in [
        ("custom", "RW 4 FLAT \"flat.bin\" 0\nRW 3 ZERO\nRW 4 FLAT \"./flat.bin\" 4".to_owned(), Ok(11 * 512)),
        ("custom", format!("{flat}0\n{flat}3"), Err("vmdk-extents-overlap")),
        ("custom", format!("{flat}0\nRW 4 FLAT \"./flat.bin\" 3"), Err("vmdk-extents-overlap")),
        ("custom", format!("{flat}5"), Err("vmdk-extent-size")),
        ("custom", "RW 1 FLAT \"disk.vmdk\" 0".into(), Err("vmdk-extents-overlap")),
        ("custom", "RW 512 SPARSE \"other.vmdk\"\nRW 512 SPARSE \"./other.vmdk\"".into(), Err("vmdk-extents-overlap")),
        ("custom", "RW 513 SPARSE \"other.vmdk\"".into(), Err("vmdk-extent-size")),
        ("custom", "RW 504 SPARSE \"other.vmdk\"".into(), Err("vmdk-extent-size")),
        ("custom", "RW 505 SPARSE \"other.vmdk\"".into(), Ok(505 * 512)),
        ("custom", "RW 4 VMFSSPARSE \"other.vmdk\"".into(), Err("vmdk-magic")),
        ("custom", "RW 4 SESPARSE \"other.vmdk\"".into(), Err("vmdk-magic")),
        ("custom", "RW 4 SPARSE \"flat.bin\"".into(), Err("vmdk-magic")),
        ("custom", "RW 4 VSANSPARSE \"flat.bin\"".into(), Err("vmdk-extent-kind")),
        ("custom", format!("RW 4 FLAT \"{}\" 0", secret.display()), Err("outside-folder")),
        ("custom", "RW 4 FLAT \"../secret\" 0".into(), Err("outside-folder")),
        ("custom", "RW 4 FLAT \"/dev/sda\" 0".into(), Err("vmdk-device")),
        ("custom", r#"RW 4 FLAT "\\.\PhysicalDrive0" 0"#.into(), Err("vmdk-device")),
        ("custom", "RW 4 VMFSRDM \"flat.bin\"".into(), Err("vmdk-device")),
        ("fullDevice", format!("{flat}0"), Ok(4 * 512)),
        ("partitionedDevice", format!("{flat}0"), Ok(4 * 512)),
        ("fullDevice", "RW 4 FLAT \"/dev/sda\" 0".into(), Err("vmdk-device")),
        ("fullDevice", r#"RW 4 FLAT "\\?\Volume{6cd1e3ac-0000-0000-0000-100000000000}" 0"#.into(), Err("vmdk-device")),
        ("partitionedDevice", format!("{flat}0\nRW 4 FLAT \"/dev/sda1\""), Err("vmdk-device")),
        ("vmfsRDM", format!("{flat}0"), Err("vmdk-device")),
        ("custom", "RW 4 FLAT \"gone.bin\" 0".into(), Err("no-file")),
        ("custom", "RW 18014398509481983 ZERO\n".repeat(2), Err("vmdk-descriptor")),
        ("custom", "RW 1 ZERO\n".repeat(4096), Ok(4096 * 512)),
        ("custom", "RW 1 ZERO\n".repeat(4097), Err("vmdk-descriptor")),
        ("custom", "RW 1 ZERO\n".repeat(200_000), Err("vmdk-descriptor")),
    ] {
        assert_eq!(opened(kind, &lines), expected, "{kind} {:.80}", lines);
    }
    // Thousands of names of one file are one open file.
    let many: String = (0..4000).map(|_| "RW 1 FLAT \"flat.bin\" 0\n").collect();
    assert_eq!(opened("custom", &many), Err("vmdk-extents-overlap"));
    // Access for reading and writing.
    opened("custom", "RDONLY 4 FLAT \"flat.bin\" 0\nNOACCESS 4 FLAT \"flat.bin\" 4").unwrap();
    let (image, _) = open(&path).unwrap();
    image.disk.read_at(0, &mut [0; 4 * S]).unwrap();
    let told = [image.disk.write_at(0, b"x"), image.disk.read_at(4 * S as u64, &mut [0])].map(Result::unwrap_err);
    assert_eq!(told.each_ref().map(|error| error.code().as_str()), ["vmdk-read-only-extent", "vmdk-no-access"]);
    assert!(told.iter().all(|error| error.advice().is_some_and(|advice| advice.contains("descriptor"))), "{told:?}");
    fs::write(
        &path,
        [&descriptor(7, None, "custom", "RW 4 ZERO")[..], b"ddb.iofilters = \"vmwarevmcrypt\"\n"].concat(),
    )
    .unwrap();
    assert_eq!(code(open(&path)), "vmdk-encrypted");
    fs::write(
        &path,
        [&descriptor(7, None, "custom", "RW 4 ZERO")[..], b"changeTrackPath=\"disk-ctk.vmdk\"\n"].concat(),
    )
    .unwrap();
    assert_eq!(open(&path).unwrap().0.about.remarks[0].0, "vmdk-change-tracking");
}
