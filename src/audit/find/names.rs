//! Names of images and hives, independent of the contents of the file.

use hivewright_disk::container::FORMATS;

/// Extensions of raw disks, which belong to no format.
const RAW: [&str; 3] = ["raw", "img", "dd"];
/// Extensions that compression programs append.
const PACKERS: [&str; 15] =
    ["gz", "xz", "zst", "zstd", "bz2", "7z", "zip", "lz4", "lzma", "lzo", "rar", "tar", "tgz", "txz", "tbz2"];
/// Extensions of copied hives.
const HIVES: [&str; 3] = ["hiv", "hive", "hve"];

/// Extensions of unsupported images whose first bytes may not identify them.
const FOREIGN: [&str; 4] = ["dmg", "iso", "udf", "aff4"];

/// Returns whether the name is that of an unsupported image whose first bytes may not identify it.
pub(super) fn is_foreign(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| FOREIGN.contains(&&*ending))
}

/// Kind of file that a name indicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameKind {
    /// A disk image.
    Image,
    /// A hive SYSTEM.
    Hive,
}

/// Returns the kind of file that `name` indicates, also if the file is compressed (`disk.qcow2.gz`) or a segment
/// (`disk.raw.001`).
pub(super) fn kind_of_name(name: &str) -> Option<NameKind> {
    let name = name.to_ascii_lowercase();
    let (mut name, mut is_piece) = (&*name, false);
    while let Some((stem, ending)) = name.rsplit_once('.') {
        let is_number = ending.len() == 3 && ending.bytes().all(|byte| byte.is_ascii_digit());
        if !PACKERS.contains(&ending) && (is_piece || !is_number) {
            break;
        }
        (name, is_piece) = (stem, is_number);
    }
    if name == "system" {
        return Some(NameKind::Hive);
    }
    let (stem, ending) = name.rsplit_once('.')?;
    let is_of_format = || FORMATS.iter().any(|format| format.endings.contains(&ending));
    if RAW.contains(&ending) || is_of_format() {
        return Some(NameKind::Image);
    }
    // Other hives of Windows and Office have these extensions too: `Amcache.hve`.
    (HIVES.contains(&ending) && stem.contains("system") || ending == "system").then_some(NameKind::Hive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_indicate_images_and_hives() {
        for (name, expected) in [
            ("pc.qcow2", Some(NameKind::Image)),
            ("PC.VHDX", Some(NameKind::Image)),
            ("pc.raw", Some(NameKind::Image)),
            ("pc.dd.001", Some(NameKind::Image)),
            ("pc.img.gz", Some(NameKind::Image)),
            ("pc.vmdk.tar.xz", Some(NameKind::Image)),
            ("pc.vhd.7z.003", Some(NameKind::Image)),
            ("case.E01.zip", Some(NameKind::Image)),
            ("SYSTEM", Some(NameKind::Hive)),
            ("system.zst", Some(NameKind::Hive)),
            ("pc7-system.hiv", Some(NameKind::Hive)),
            ("pc7.SYSTEM", Some(NameKind::Hive)),
            ("Amcache.hve", None),
            ("notes.txt.gz", None),
            ("notes.001", None),
            ("notes.001.002", None),
            ("qcow2", None),
            ("gz", None),
            (".gz", None),
            ("", None),
        ] {
            assert_eq!(kind_of_name(name), expected, "{name}");
        }
    }
}
