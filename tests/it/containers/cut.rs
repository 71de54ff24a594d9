//! Truncated images on the command line: the answer is right, or the message reports the truncation with advice.

use std::fs::File;

use hivewright_fixtures::images::Image;

use super::fixtures::Unpacked;
use crate::support::tools::have;

/// An image, the file to truncate, and the remaining percentage.
const CUTS: &[(&str, &str, &[u64])] = &[
    ("qcow2", "disk.qcow2", &[1, 5, 50, 90]),
    ("qcow2-2m", "disk.qcow2", &[50, 90]),
    ("qcow2-zlib", "disk.qcow2", &[50, 90]),
    ("qcow2-zstd", "disk.qcow2", &[1, 40, 50, 90]),
    ("qcow2-extended-l2", "disk.qcow2", &[12, 50, 90]),
    ("qcow2-snapshot", "disk.qcow2", &[50, 90]),
    ("qcow2-chain", "middle.qcow2", &[4, 50]),
    ("qcow2-chain", "top.qcow2", &[1, 50, 90]),
    ("qcow2-data-file", "disk.data", &[0, 50]),
    ("qcow2-data-file-raw", "disk.data", &[0, 50, 90]),
    ("qcow", "disk.qcow", &[1, 50, 90]),
    ("qed", "disk.qed", &[1, 50, 90, 99]),
    ("parallels", "disk.hdd", &[1, 50, 90]),
    ("vhd-fixed", "disk.vhd", &[1, 50, 90, 99]),
    ("vhd-dynamic", "disk.vhd", &[1, 50, 90]),
    ("vdi-static", "disk.vdi", &[1, 50, 90]),
    ("vdi-dynamic", "disk.vdi", &[1, 50, 90]),
    ("vhdx-fixed", "disk.vhdx", &[1, 6, 12, 50, 90]),
    ("vhdx-dynamic", "disk.vhdx", &[1, 8, 50, 90]),
    ("vmdk-flat", "disk-flat.vmdk", &[0, 50, 90]),
    ("vmdk-split-flat", "disk-f001.vmdk", &[50]),
    ("vmdk-sparse", "disk.vmdk", &[1, 50, 90]),
    ("vmdk-split-sparse", "disk-s001.vmdk", &[0, 1, 50, 90]),
    ("vmdk-split-sparse", "disk-s002.vmdk", &[0, 1]),
    ("vmdk-delta", "base.vmdk", &[1, 50, 90]),
    ("vmdk-stream", "disk.vmdk", &[1, 50]),
    ("vmdk-esx-delta", "middle-delta.vmdk", &[1, 50]),
    ("vhd-differencing", "base.vhd", &[1, 50, 90]),
    ("vhd-differencing", "middle.avhd", &[50]),
    ("vdi-differencing", "base.vdi", &[1, 50, 90]),
    ("vdi-differencing", "middle.vdi", &[50]),
    ("vhdx-differencing", "base.vhdx", &[1, 8, 50, 90]),
    ("vhdx-differencing", "middle.avhdx", &[50]),
    ("ova", "appliance.ova", &[2, 50, 90]),
    ("ewf", "disk.E01", &[1, 50, 90, 99]),
    ("ewf-segments", "disk.E02", &[0, 1, 50, 90, 99]),
    ("ewf-segments", "disk.E04", &[0, 1, 50, 90, 99]),
    ("split-raw", "disk.001", &[1, 50]),
    ("split-raw", "disk.002", &[1, 50, 99]),
];

#[test]
fn a_truncated_image_is_reported() {
    let mut told = 0;
    for (name, file, parts) in CUTS {
        let image = Image::named(name).unwrap();
        let needs_engine = matches!(*name, "qcow" | "qed" | "parallels");
        if needs_engine && !have(&["qemu-nbd"]) {
            continue;
        }
        for part in *parts {
            let unpacked = Unpacked::of(image);
            let path = unpacked.folder.path().join(file);
            let cut = File::options().write(true).open(&path).unwrap();
            cut.set_len(cut.metadata().unwrap().len() * part / 100).unwrap();
            // On Windows, it would be in use.
            drop(cut);
            let before = unpacked.hashes();
            for verb in [&["get", "IMAGE"][..], &["set", "2", "IMAGE"]] {
                let run = unpacked.run(verb);
                let case = format!("{name}: {file} cut to {part} %: {run:?}");
                assert_eq!(run.code, 2, "{case}");
                assert!(
                    ["truncated", "shorter than", "has a different size", "is empty", "ends before"]
                        .iter()
                        .any(|words| run.err.contains(words)),
                    "{case}"
                );
                assert!(run.err.contains("advice: "), "{case}");
                assert!(!run.err.contains("report it") && !run.err.contains("[no-installation]"), "{case}");
                // Of several files, the truncated one is named.
                let several = before.len() > 1 && path != unpacked.path();
                assert!(!several || run.err.contains(file), "{file} is not named: {case}");
                assert!(run.err.matches("it is the file ").count() < 2, "{case}");
                let other = run.err.rsplit_once("it is the file ").filter(|(_, name)| !name.starts_with(file));
                assert!(other.is_none(), "another file is named: {case}");
            }
            assert!(unpacked.hashes() == before, "{name}: written to");
            told += 1;
        }
    }
    println!("{told} cut images");
    assert!(told > 70);
}

/// If zeros replace the missing part, the resulting error mentions it.
#[test]
fn a_short_backing_file_is_mentioned_in_errors() {
    let unpacked = Unpacked::named("qcow2-chain");
    let base = File::options().write(true).open(unpacked.folder.path().join("base.raw")).unwrap();
    base.set_len(base.metadata().unwrap().len() / 2).unwrap();
    let run = unpacked.run(&["get", "IMAGE"]);
    assert!(run.code == 2 && run.has("ntfs-index") && run.err.contains("base.raw"), "{run:?}");
}

#[test]
fn a_missing_segment_is_named() {
    for (name, gone, first) in [
        ("ewf-segments", "disk.E03", "disk.E01"),
        ("ewf-segments", "disk.E01", "disk.E02"),
        ("split-raw", "disk.002", "disk.001"),
    ] {
        let unpacked = Unpacked::named(name);
        std::fs::remove_file(unpacked.folder.path().join(gone)).unwrap();
        let run = unpacked.run(&["get", first]);
        assert!(run.code == 2 && run.err.contains(gone) && run.err.contains("advice: "), "{run:?}");
    }
}
