//! Images that gzip, Zstandard and xz have compressed as a whole.

use super::*;
use crate::command::hivewright_in;
use crate::support::tools::have;
use hivewright::Code;
use serde_json::Value;

/// The packers, each with the extension of its files.
const PACKERS: [(&str, &str); 3] = [("gzip", "gz"), ("zstd", "zst"), ("xz", "xz")];

/// Returns the fixture `gpt`, raw and as qcow2, and both packed by each packer: in one member, and in two.
fn packed() -> Option<(TempDir, Vec<String>)> {
    if !have(&["gzip", "zstd", "xz", "qemu-img"]) {
        return None;
    }
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    let raw =
        hivewright_fixtures::disks::Disk::named("gpt").unwrap().read(&hivewright_fixtures::folder::home()).unwrap();
    fs::write(folder.join("disk.raw"), &raw).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    output("qemu-img", &["convert", "-O", "qcow2", &path("disk.raw"), &path("disk.qcow2")]);
    let mut names = Vec::new();
    for (packer, ending) in PACKERS {
        for name in ["disk.raw", "disk.qcow2"] {
            let whole = fs::read(folder.join(name)).unwrap();
            let parts = [&whole[..whole.len() / 3], &whole[whole.len() / 3..]].map(|part| {
                fs::write(folder.join("part"), part).unwrap();
                output(packer, &["-c", &path("part")])
            });
            fs::write(folder.join(format!("{name}.{ending}")), output(packer, &["-c", &path(name)])).unwrap();
            fs::write(folder.join(format!("two-{name}.{ending}")), parts.concat()).unwrap();
            names.extend([format!("{name}.{ending}"), format!("two-{name}.{ending}")]);
        }
    }
    fs::remove_file(folder.join("part")).unwrap();
    Some((place, names))
}

fn json(run: &crate::command::Run) -> Value {
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

#[test]
fn a_packed_image_is_read_within_the_allowed_size() {
    let Some((place, names)) = packed() else { return };
    let folder = place.path();
    let plain = json(&hivewright_in(folder, ["get", "disk.raw", "--json"]));
    for name in &names {
        let get = |more: &[&str]| hivewright_in(folder, [&["get", name, "--json"], more].concat());
        let read = json(&get(&["--unpack", "1G"]));
        assert_eq!(
            (&read["at_next_boot"], read["hive_state"].as_str()),
            (&plain["at_next_boot"], Some("clean")),
            "{name}"
        );
        assert_eq!(json(&get(&[]))["error"]["code"], "compressed", "{name}");
        assert_eq!(json(&get(&["--unpack", "100k"]))["error"]["code"], "packed-too-large", "{name}");
        let set = json(&hivewright_in(folder, ["set", "2", name, "--json", "--unpack", "1G"]));
        assert_eq!(set["error"]["code"], "compressed", "{name}");
    }
    let info = json(&hivewright_in(folder, ["info", "disk.qcow2.xz", "--json", "--unpack", "1G"]));
    let container = &info["container"];
    assert_eq!((container["format"].as_str(), container["facts"]["packed"].as_str()), (Some("qcow2"), Some("xz")));
    // Damaged and truncated files.
    for name in names.iter().filter(|name| name.starts_with("disk.raw")) {
        let bytes = fs::read(folder.join(name)).unwrap();
        let mut damaged = bytes.clone();
        let middle = bytes.len() / 2;
        damaged[middle..middle + 64].fill(0x55);
        for bad in [&damaged[..], &bytes[..bytes.len() - 10]] {
            fs::write(folder.join("bad"), bad).unwrap();
            let error =
                json(&hivewright_in(folder, ["get", "bad", "--json", "--unpack", "1G"]))["error"]["code"].clone();
            assert_eq!(error, Code::PackedDamaged.as_str(), "{name} {}", bad.len());
        }
    }
}

#[test]
fn an_audit_reads_packed_images_and_the_disks_of_a_domain() {
    let Some((place, names)) = packed() else { return };
    let folder = place.path();
    let statuses = |args: &[&str]| -> Vec<(String, String)> {
        let run = hivewright_in(folder, [&["audit", "--json", "--sort", "path"], args].concat());
        let records = run.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records
            .map(|it| (it["target"].as_str().unwrap().to_owned(), it["status"].as_str().unwrap().to_owned()))
            .collect()
    };
    let all = statuses(&["--unpack", "1G", "."]);
    assert!(all.len() == names.len() + 2 && all.iter().all(|(_, status)| status == "read"), "{all:?}");
    let without = statuses(&["."]);
    assert_eq!(without.iter().filter(|(_, status)| status == "error").count(), names.len());
    let domain = "<domain><devices><disk type='file'><source file='disk.qcow2'/></disk><disk type='file' device='cdrom'>\
        <source file='x.iso'/></disk><disk type='file'><source file='gone.raw'/></disk><disk type='network'><source name='x'/></disk>\
        </devices></domain>";
    fs::write(folder.join("pc.xml"), domain).unwrap();
    let of_domain = statuses(&["pc.xml"]);
    let found: Vec<(&str, &str)> = of_domain.iter().map(|(name, status)| (&**name, &**status)).collect();
    assert_eq!(found, [("disk.qcow2", "read"), ("gone.raw", "error"), ("pc.xml", "error")]);
    // A list on standard input.
    let mut audit = std::process::Command::new(env!("CARGO_BIN_EXE_hivewright"));
    audit.current_dir(folder).args(["audit", "--json", "-"]);
    let out = crate::support::tools::answer(&mut audit, b"disk.raw\ndisk.qcow2\n");
    assert_eq!(String::from_utf8(out.stdout).unwrap().lines().count(), 2);
}
