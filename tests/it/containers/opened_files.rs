//! System calls that open files for images with references elsewhere, in the formats that are read here.

use std::fs;
use std::path::Path;

use super::engine_process::traced;
use super::{open, raw_disk};
use crate::support::tools::{have, output};

/// Returns a descriptor of a VMDK with further lines.
fn descriptor(extent: &str, more: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID={}\n{more}\n# Extent description\n{extent}\n",
        if more.contains("parentFileNameHint") { "12345678" } else { "ffffffff" },
    )
}

// Links need privileges on Windows.
#[cfg(unix)]
#[test]
fn names_in_an_image_open_nothing_elsewhere() {
    if !have(&["qemu-img", "strace"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    fs::create_dir(&inside).unwrap();
    let secret = folder.path().join("elsewhere");
    raw_disk(&secret, 4);
    fs::write(inside.join("base.raw"), vec![0; 4 << 20]).unwrap();
    std::os::unix::fs::symlink(&secret, inside.join("link")).unwrap();
    let absolute = secret.to_str().unwrap();
    let mut tried = 0;
    for name in ["/etc/passwd", "../elsewhere", absolute, "link", "/dev/null", "./../inside/../elsewhere"] {
        let at = |file: &str| inside.join(file);
        let qemu = |more: &[&str], file: &str| {
            let path = at(file);
            output(
                "qemu-img",
                &[&["create", "-q", "-f", "qcow2", "-u"], more, &[path.to_str().unwrap(), "4M"]].concat(),
            );
        };
        qemu(&["-b", name, "-F", "raw"], "backing.qcow2");
        // qemu-img would create a data file: its name is written into an image with one, in as many bytes.
        let placeholder = "d".repeat(name.len());
        output(
            "env",
            &[
                "-C",
                inside.to_str().unwrap(),
                "qemu-img",
                "create",
                "-q",
                "-f",
                "qcow2",
                "-o",
                &format!("data_file={placeholder}"),
                "data.qcow2",
                "4M",
            ],
        );
        let mut bytes = fs::read(at("data.qcow2")).unwrap();
        let place = bytes.windows(name.len()).position(|window| window == placeholder.as_bytes()).unwrap();
        bytes[place..place + name.len()].copy_from_slice(name.as_bytes());
        fs::write(at("data.qcow2"), bytes).unwrap();
        fs::write(at("flat.vmdk"), descriptor(&format!("RW 8192 FLAT \"{name}\" 0"), "createType=\"monolithicFlat\""))
            .unwrap();
        let child = format!("createType=\"monolithicFlat\"\nparentFileNameHint=\"{name}\"");
        fs::write(at("child.vmdk"), descriptor("RW 8192 FLAT \"base.raw\" 0", &child)).unwrap();
        for image in ["backing.qcow2", "data.qcow2", "flat.vmdk", "child.vmdk"] {
            let code = open(&at(image)).map(|_| ()).map_err(|error| error.code().as_str());
            // The name of a device is refused before any access.
            let expected = if (image, name) == ("flat.vmdk", "/dev/null") { "vmdk-device" } else { "outside-folder" };
            assert_eq!(code, Err(expected), "{image} {name}");
            let (ours, _) = traced(&at(image));
            assert!(ours.contains(&format!("inside/{image}\"")), "the trace does not see us open the image");
            let is_elsewhere = |line: &&str| {
                let of_image = ["elsewhere\"", "/etc/passwd\"", "/dev/null\"", "inside/link\""]
                    .iter()
                    .any(|file| line.contains(file));
                // Resolving a name opens nothing.
                of_image && line.contains("open") && !line.contains("O_PATH")
            };
            // The standard library opens /dev/null for a closed standard stream at the start.
            assert_eq!(ours.lines().find(is_elsewhere), None, "{image} {name}");
            tried += 1;
        }
    }
    assert_eq!(tried, 24);
    assert!(Path::new(absolute).exists());
}
