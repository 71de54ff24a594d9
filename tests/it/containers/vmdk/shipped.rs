//! The fixtures of these formats, by the library and by the command.

use super::*;
use crate::command::hivewright_in;
use hivewright_fixtures::disks::Disk;
use hivewright_fixtures::folder::home;
use hivewright_fixtures::images::{Can, IMAGES};

#[test]
fn the_setting_is_found_in_every_one() {
    let expected = Disk::named("gpt").unwrap().read(&home()).unwrap();
    let mut seen = 0;
    for image in IMAGES.iter().filter(|image| matches!(image.format, "vmdk" | "ova")) {
        let folder = tempfile::tempdir().unwrap();
        let path = image.unpack(&home(), folder.path()).unwrap();
        let (opened, _) = open(&path).unwrap();
        assert_eq!(opened.about.format, image.format, "{}", image.name);
        let mut all = vec![0; expected.len()];
        opened.disk.read_at(0, &mut all).unwrap();
        assert!(all == expected, "{}: other bytes than the raw disk", image.name);
        assert_eq!(
            opened.about.refusal.map(|r| r.code.as_str()),
            match image.writes {
                Can::No(code) if code != "not-allocated" => Some(code),
                _ => None,
            }
        );
        let get = hivewright_in(folder.path(), ["get", "--json", image.file]);
        let told: serde_json::Value = serde_json::from_str(&get.out).unwrap();
        assert_eq!((get.code, &told["confirmed"]), (0, &true.into()), "{}: {}", image.name, get.err);
        assert!(told["bytes_read"].as_u64().unwrap() < 4 << 20, "{}: {}", image.name, told["bytes_read"]);
        seen += 1;
    }
    assert_eq!(seen, 10);
}
