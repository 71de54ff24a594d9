//! qcow2 images, compared with QEMU, which creates, checks and compares them.

use std::collections::HashSet;
use std::process::{Command, Output};

use hivewright_error::{Code, Place, Space};

use super::fixtures::Unpacked;
use super::*;
use crate::support::tools::{have, succeeds};

/// Returns pieces to write: single sectors, across clusters, over zeros, at both ends; different bytes in each.
fn pieces(len: u64) -> Vec<(u64, Vec<u8>)> {
    let text = |n: usize, salt: u8| (0..n).map(|i| (i as u8).wrapping_mul(31) ^ salt).collect::<Vec<u8>>();
    vec![
        (0, text(512, 1)),
        (3 << 20, text(4, 2)),
        ((2 << 20) - 700, text(1400, 3)),
        ((4000 + 300) * 512 + 5, text(70_000, 4)),
        (len / 2 + 8192, text(3, 5)),
        (len - 512, text(512, 6)),
        (len / 16 * 15, text(5000, 7)),
    ]
}

fn run(folder: &Path, line: &str) -> Output {
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    Command::new(words.next().unwrap()).args(words).current_dir(folder).output().unwrap()
}

fn done(folder: &Path, line: &str) -> String {
    let output = run(folder, line);
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Writes the pieces to the raw disk.
fn write_raw(path: &Path) {
    let file = File::options().write(true).open(path).unwrap();
    let len = file.metadata().unwrap().len();
    pieces(len).iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
}

/// Returns the places that changed since the last call.
fn changed(recording: &Recording) -> Vec<Place> {
    let mut places = Vec::new();
    for (number, (_, _, file)) in recording.0.lock().unwrap().iter().enumerate() {
        let space = if number == 0 { Space::File } else { Space::Part(number as u16 + 1) };
        for written in file.take().unwrap().1 {
            let differ = (0..written.new.len()).filter(|i| written.old.get(*i) != Some(&written.new[*i]));
            places.extend(differ.map(|i| Place { space, offset: written.offset + i as u64 }));
        }
    }
    places
}

/// Reads `image.qcow2` completely; allocates room for the pieces, then writes them and asserts that only data changes;
/// compares the result with `disk.raw`.
fn judge(folder: &Path) {
    let (raw, path) = (folder.join("disk.raw"), folder.join("image.qcow2"));
    let (image, recording) = open(&path).unwrap();
    assert_same(&image, &raw);
    let disk = &image.disk;
    let len = fs::metadata(&raw).unwrap().len();
    let pieces = pieces(len);
    for (at, bytes) in &pieces {
        let mut same = vec![0; bytes.len()];
        disk.read_at(*at, &mut same).unwrap();
        disk.write_at(*at, &same).unwrap();
    }
    disk.flush().unwrap();
    assert_same(&image, &raw);
    recording.bring_to_disk();
    done(folder, "qemu-img check -q image.qcow2");
    done(folder, "qemu-img compare -q image.qcow2 disk.raw");
    let places: Vec<_> = pieces.iter().map(|(at, _)| disk.locate(*at)).collect();
    for (at, bytes) in &pieces {
        disk.write_at(*at, bytes).unwrap();
    }
    disk.flush().unwrap();
    // No cluster is smaller than a sector.
    let places_in = |start: u64, end: u64| {
        let Place { space, offset } = disk.locate(start)[1];
        (0..end - start).map(move |i| Place { space, offset: offset + i })
    };
    let mut data = HashSet::new();
    for (start, bytes) in &pieces {
        let end = start + bytes.len() as u64;
        for sector in start / 512..end.div_ceil(512) {
            data.extend(places_in(*start.max(&(sector * 512)), end.min(sector * 512 + 512)));
        }
    }
    let changed = changed(&recording);
    assert!(changed.len() > 50_000, "nothing was written");
    assert_eq!(changed.iter().find(|place| !data.contains(place)), None, "what is no data was written");
    for ((at, _), places) in pieces.iter().zip(places) {
        assert_eq!(places.len(), 2, "{at:#x}");
        assert_eq!(disk.locate(*at), places, "a later write moved what had its place");
    }
    recording.write_whole();
    write_raw(&raw);
    assert_same(&image, &raw);
    let check = done(folder, "qemu-img check image.qcow2");
    assert!(check.contains("No errors were found"), "{check}");
    done(folder, "qemu-img compare -q image.qcow2 disk.raw");
}

fn folder_with_disk() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    raw_disk(&folder.path().join("disk.raw"), 5);
    folder
}

fn judge_converted(options: &str) {
    let folder = folder_with_disk();
    done(folder.path(), &format!("qemu-img convert -O qcow2 {options} disk.raw image.qcow2"));
    println!("{options}");
    judge(folder.path());
}

#[test]
fn every_size_of_clusters_and_both_versions() {
    if !have(&["qemu-img"]) {
        return;
    }
    for cluster in ["512", "4k", "64k", "2M"] {
        for compat in ["0.10", "1.1"] {
            judge_converted(&format!("-o compat={compat},cluster_size={cluster}"));
            judge_converted(&format!("-c -o compat={compat},cluster_size={cluster}"));
        }
    }
    for cluster in ["1k", "2k", "8k", "16k", "32k", "128k", "256k", "512k", "1M"] {
        judge_converted(&format!("-c -o cluster_size={cluster}"));
    }
}

#[test]
fn every_width_of_refcounts_and_every_preallocation() {
    if !have(&["qemu-img"]) {
        return;
    }
    for bits in [1, 2, 4, 8, 16, 32, 64] {
        judge_converted(&format!("-o cluster_size=512,refcount_bits={bits}"));
    }
    judge_converted("-o lazy_refcounts=on");
    for how in ["metadata", "falloc", "full"] {
        judge_converted(&format!("-S 0 -o preallocation={how},cluster_size=4k"));
    }
}

#[test]
fn zstd_and_clusters_in_parts() {
    if !have(&["qemu-img"]) {
        return;
    }
    for cluster in ["512", "4k", "64k", "2M"] {
        judge_converted(&format!("-c -o compression_type=zstd,cluster_size={cluster}"));
    }
    for cluster in ["16k", "64k", "2M"] {
        for compress in ["", "-c ", "-c -o compression_type=zstd "] {
            judge_converted(&format!("{compress}-o extended_l2=on,cluster_size={cluster}"));
        }
    }
}

#[test]
fn external_data_files_raw_or_not() {
    if !have(&["qemu-img"]) {
        return;
    }
    for raw in ["on", "off"] {
        for more in ["", ",preallocation=metadata", ",cluster_size=4k", ",extended_l2=on"] {
            judge_converted(&format!("-o data_file=image.data,data_file_raw={raw}{more}"));
        }
    }
}

#[test]
fn snapshots_stay_as_they_were() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let all =
        ["cluster_size=512", "cluster_size=64k", "compat=0.10", "refcount_bits=4,cluster_size=4k", "extended_l2=on"];
    for options in all {
        for compress in ["", "-c "] {
            let folder = folder_with_disk();
            let at = folder.path();
            done(at, &format!("qemu-img convert -O qcow2 {compress}-o {options} disk.raw image.qcow2"));
            done(at, "qemu-img snapshot -c first image.qcow2");
            qemu_io(at, "image.qcow2", "write -P 7 1M 100k");
            done(at, "qemu-img snapshot -c second image.qcow2");
            done(at, "qemu-img convert -O raw image.qcow2 now.raw");
            fs::rename(at.join("disk.raw"), at.join("first.raw")).unwrap();
            fs::copy(at.join("now.raw"), at.join("second.raw")).unwrap();
            fs::rename(at.join("now.raw"), at.join("disk.raw")).unwrap();
            judge(at);
            for name in ["first", "second"] {
                done(at, &format!("qemu-img convert -l snapshot.name={name} -O raw image.qcow2 out.raw"));
                assert!(fs::read(at.join("out.raw")).unwrap() == fs::read(at.join(format!("{name}.raw"))).unwrap());
            }
            let (image, _) = open(&at.join("image.qcow2")).unwrap();
            assert!(image.about.facts.contains(&("snapshots", "2: first, second".to_owned())));
            done(at, "qemu-img snapshot -a first image.qcow2");
            done(at, "qemu-img check -q image.qcow2");
            done(at, "qemu-img compare -q image.qcow2 first.raw");
        }
    }
}

/// Quotes one command of qemu-io, which contains blanks.
fn qemu_io(folder: &Path, image: &str, command: &str) {
    let output = Command::new("qemu-io").args(["-f", "qcow2", "-c", command, image]).current_dir(folder).output();
    assert!(output.unwrap().status.success(), "{command}");
}

#[test]
fn backing_files_are_read_and_never_written_to() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    for (format, options, said) in [
        ("raw", "", "-F raw "),
        ("qcow2", "-o cluster_size=4k ", "-F qcow2 "),
        ("qcow2", "-c -o compat=0.10 ", "-F qcow2 "),
    ] {
        for cluster in ["512", "64k", "2M", "64k,extended_l2=on"] {
            let folder = folder_with_disk();
            let at = folder.path();
            done(at, &format!("qemu-img convert -O {format} {options}disk.raw base.img"));
            done(at, &format!("qemu-img create -q -f qcow2 -b base.img {said}middle.qcow2"));
            qemu_io(at, "middle.qcow2", "write -P 9 2M 70k");
            // Longer than its backing file.
            let create = "qemu-img create -q -f qcow2 -b middle.qcow2 -F qcow2";
            done(at, &format!("{create} -o cluster_size={cluster} image.qcow2 6M"));
            qemu_io(at, "image.qcow2", "write -P 8 3M 1k");
            done(at, "qemu-img convert -O raw image.qcow2 disk.raw");
            let below = ["base.img", "middle.qcow2"].map(|name| fs::read(at.join(name)).unwrap());
            judge(at);
            assert!(below == ["base.img", "middle.qcow2"].map(|name| fs::read(at.join(name)).unwrap()));
            let (image, _) = open(&at.join("image.qcow2")).unwrap();
            let middle = image.about.below.unwrap();
            assert_eq!((middle.format, middle.below.unwrap().format), ("qcow2", format));
        }
    }
}

fn code(path: &Path) -> (&'static str, hivewright_error::Kind) {
    open(path).map(|_| ()).map_err(|e| (e.code().as_str(), e.kind())).unwrap_err()
}

#[test]
fn unsupported_images_are_reported() {
    use hivewright_error::Kind;
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = folder_with_disk();
    let at = folder.path();
    let image = at.join("image.qcow2");
    let convert = |options: &str| done(at, &format!("qemu-img convert -O qcow2 {options} disk.raw image.qcow2"));
    let secret = "--object secret,id=k,data=x -o encrypt.key-secret=k,encrypt.iter-time=10,encrypt.format=luks";
    convert(secret);
    assert_eq!(code(&image), ("qcow2-encrypted", Kind::Unsupported));
    let refused = |bits: &[(u64, u8)]| {
        let file = File::options().write(true).open(&image).unwrap();
        bits.iter().for_each(|(offset, byte)| file.write_all_at(&[*byte], *offset).unwrap());
        let before = fs::read(&image).unwrap();
        let (opened, recording) = open(&image).unwrap();
        assert_same(&opened, &at.join("disk.raw"));
        let error = opened.disk.write_at(0, &[1]).unwrap_err();
        opened.disk.flush().unwrap();
        recording.bring_to_disk();
        assert!(fs::read(&image).unwrap() == before);
        (error.code(), opened.about.refusal.map(|r| r.code))
    };
    convert("");
    assert_eq!(refused(&[(79, 1)]), (Code::Qcow2Dirty, Some(Code::Qcow2Dirty)));
    assert_eq!(refused(&[(79, 2)]), (Code::Qcow2Corrupt, Some(Code::Qcow2Corrupt)));
    convert("");
    done(at, "qemu-img bitmap --add image.qcow2 changes");
    assert_eq!(refused(&[]), (Code::Qcow2Bitmaps, Some(Code::Qcow2Bitmaps)));
    // The entry of the first block of refcounts: all refcounts are lost.
    convert("");
    assert_eq!(refused(&(0x10000..0x10008).map(|i| (i, 0)).collect::<Vec<_>>()), (Code::Qcow2Unsound, None));
    // A writer clears unknown bits; the bit for raw external data stays.
    convert("-o data_file=image.data,data_file_raw=on");
    File::options().write(true).open(&image).unwrap().write_all_at(&[0x82], 95).unwrap();
    let (opened, recording) = open(&image).unwrap();
    recording.bring_to_disk();
    assert_eq!(fs::read(&image).unwrap()[95], 0x82);
    opened.disk.write_at(0, &[1]).unwrap();
    opened.disk.flush().unwrap();
    recording.bring_to_disk();
    assert_eq!(fs::read(&image).unwrap()[95], 2);
}

/// The incomplete state of the last writer is reported to readers, and the advice to writers repairs it: the deferred
/// refcounts are computed, and no data of the machine is lost.
#[test]
fn a_dirty_image_is_reported_and_repaired_as_advised() {
    if !have(&["qemu-img", "qemu-io"]) {
        return;
    }
    let image = Unpacked::named("qcow2-lazy");
    let path = image.path();
    let at = path.to_str().unwrap();
    let write = ["-c", "write -P 0x11 3M 64k", "-c", "flush", "-c", "abort", at];
    assert!(!succeeds("qemu-io", &write), "it does not close the image");
    for verb in ["get", "check"] {
        let run = image.run(&[verb, "IMAGE"]);
        assert!(run.has("qcow2-dirty"), "{verb}: {run:?}");
    }
    let run = image.run(&["set", "2", "IMAGE"]);
    assert!(run.code == 3 && run.err.contains("qemu-img check -r all IMAGE"), "{run:?}");
    assert!(succeeds("qemu-img", &["check", "-q", "-r", "all", at]));
    assert_eq!(image.run(&["set", "2", "IMAGE"]).code, 0);
    let is_there = |bytes: &str| succeeds("qemu-io", &["-r", "-c", &format!("read -P {bytes} 3M 64k"), at]);
    assert!(is_there("0x11") && succeeds("qemu-img", &["check", "-q", at]));
    // A mark of damage is reported too.
    File::options().write(true).open(&path).unwrap().write_all_at(&[2], 79).unwrap();
    let run = image.run(&["get", "IMAGE"]);
    assert!(run.has("qcow2-corrupt"), "{run:?}");
}

#[test]
fn names_in_a_header_are_subject_to_the_path_policy() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = folder_with_disk();
    let at = folder.path();
    fs::create_dir(at.join("in")).unwrap();
    let inside = at.join("in");
    let make =
        |base: &str, more: &str| done(&inside, &format!("qemu-img create -q -f qcow2 -b {base} {more}image.qcow2"));
    make("../disk.raw", "-F raw ");
    assert_eq!(code(&inside.join("image.qcow2")).0, "outside-folder");
    fs::copy(at.join("disk.raw"), inside.join("disk.raw")).unwrap();
    make("disk.raw", "-F raw ");
    let (image, _) = open(&inside.join("image.qcow2")).unwrap();
    assert!(image.about.remarks.is_empty());
    done(&inside, "qemu-img rebase -u -b image.qcow2 -F qcow2 image.qcow2");
    assert_eq!(code(&inside.join("image.qcow2")).0, "image-circle");
    let error = open(&inside.join("image.qcow2")).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), hivewright::Kind::Corrupt, "{error}");
    done(&inside, "qemu-img rebase -u -b gone.raw -F raw image.qcow2");
    assert_eq!(code(&inside.join("image.qcow2")).0, "no-file");
    done(&inside, "qemu-img rebase -u -b nbd://host/disk -F raw image.qcow2");
    assert_eq!(code(&inside.join("image.qcow2")).0, "qcow2-backing");
    // A raw disk whose guest wrote an image header stays raw if the overlay names its format.
    done(&inside, "qemu-img create -q -f qcow2 evil.qcow2 1M");
    let evil = fs::read(inside.join("evil.qcow2")).unwrap();
    File::options().write(true).open(inside.join("disk.raw")).unwrap().write_all_at(&evil, 0).unwrap();
    make("disk.raw", "-F raw ");
    let (image, _) = open(&inside.join("image.qcow2")).unwrap();
    assert_same(&image, &inside.join("disk.raw"));
    let bytes = fs::read(inside.join("image.qcow2")).unwrap();
    let name = bytes.windows(8).position(|w| w == [0xe2, 0x79, 0x2a, 0xca, 0, 0, 0, 3]).unwrap() as u64;
    let file = File::options().write(true).open(inside.join("image.qcow2")).unwrap();
    file.write_all_at(&[0x12; 4], name).unwrap();
    let (image, _) = open(&inside.join("image.qcow2")).unwrap();
    assert_eq!(image.about.remarks[0].0, "backing-probed");
    assert_eq!(image.about.below.unwrap().format, "qcow2");
}

#[test]
fn a_chain_may_have_32_images() {
    if !have(&["qemu-img"]) {
        return;
    }
    let folder = folder_with_disk();
    let at = folder.path();
    done(at, "qemu-img create -q -f qcow2 -b disk.raw -F raw 1.qcow2");
    for top in 2..33 {
        done(at, &format!("qemu-img create -q -f qcow2 -u -b {}.qcow2 -F qcow2 {top}.qcow2 1M", top - 1));
    }
    open(&at.join("31.qcow2")).unwrap();
    let error = open(&at.join("32.qcow2")).map(|_| ()).unwrap_err();
    assert_eq!((error.code(), error.kind()), (Code::ImageDepth, hivewright::Kind::Unsupported));
    assert!(error.what().contains("limit of this program") && !error.what().contains("1.qcow2"), "{error}");
}
