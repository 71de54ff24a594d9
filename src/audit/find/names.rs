//! Names that say what a file is meant to be, whatever its bytes are.

use hivewright_disk::container::FORMATS;

/// Endings of raw disks. No format has them for its own.
const RAW: [&str; 3] = ["raw", "img", "dd"];
/// Endings that programs add to the name of a file that they pack.
const PACKERS: [&str; 15] =
    ["gz", "xz", "zst", "zstd", "bz2", "7z", "zip", "lz4", "lzma", "lzo", "rar", "tar", "tgz", "txz", "tbz2"];
/// Endings of hives that somebody has copied.
const HIVES: [&str; 3] = ["hiv", "hive", "hve"];

/// Endings of images that are not read, and whose first bytes may not show them.
const FOREIGN: [&str; 4] = ["dmg", "iso", "udf", "aff4"];

/// Whether the name is that of an image whose first bytes may not show it.
pub(super) fn is_foreign(name: &str) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| FOREIGN.contains(&&*ending))
}

/// See [`meant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meant {
    /// A disk image.
    Image,
    /// A hive SYSTEM.
    Hive,
}

/// Returns the kind of file that `name` promises, also where that is packed (`disk.qcow2.gz`) or a piece of it
/// (`disk.raw.001`).
pub(super) fn meant(name: &str) -> Option<Meant> {
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
        return Some(Meant::Hive);
    }
    let (stem, ending) = name.rsplit_once('.')?;
    let is_of_format = || FORMATS.iter().any(|format| format.endings.contains(&ending));
    if RAW.contains(&ending) || is_of_format() {
        return Some(Meant::Image);
    }
    // Windows and Office have other hives of these endings: `Amcache.hve`.
    (HIVES.contains(&ending) && stem.contains("system") || ending == "system").then_some(Meant::Hive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_promise_images_and_hives() {
        for (name, promise) in [
            ("pc.qcow2", Some(Meant::Image)),
            ("PC.VHDX", Some(Meant::Image)),
            ("pc.raw", Some(Meant::Image)),
            ("pc.dd.001", Some(Meant::Image)),
            ("pc.img.gz", Some(Meant::Image)),
            ("pc.vmdk.tar.xz", Some(Meant::Image)),
            ("pc.vhd.7z.003", Some(Meant::Image)),
            ("case.E01.zip", Some(Meant::Image)),
            ("SYSTEM", Some(Meant::Hive)),
            ("system.zst", Some(Meant::Hive)),
            ("pc7-system.hiv", Some(Meant::Hive)),
            ("pc7.SYSTEM", Some(Meant::Hive)),
            ("Amcache.hve", None),
            ("notes.txt.gz", None),
            ("notes.001", None),
            ("notes.001.002", None),
            ("qcow2", None),
            ("gz", None),
            (".gz", None),
            ("", None),
        ] {
            assert_eq!(meant(name), promise, "{name}");
        }
    }
}
