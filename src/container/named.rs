//! Files that are recognised and not read: their bytes are not those of a disk.

use super::{Opening, Probe};
use crate::error::{Error, Kind};

/// Where a magic stands, the magic, the code and the name of what it shows, and what to do.
type Named = (usize, &'static [u8], &'static str, &'static str, &'static str);

const MAGICS: [Named; 2] = [
    (
        0,
        b"LUKS\xba\xbe",
        "luks",
        "a LUKS volume",
        "open it (cryptsetup luksOpen, or qemu-img convert with its secret) and give the disk inside",
    ),
    (0, b"MSWIM\0\0\0", "container", "a WIM image", "unpack it: wimapply IMAGE INDEX FOLDER"),
];

/// Whether it is one of them.
pub(super) fn is_one(probe: &Probe<'_>) -> bool {
    found(probe).is_some()
}

fn found(probe: &Probe<'_>) -> Option<&'static Named> {
    let is = |at: usize, magic: &[u8]| probe.head.get(at..).is_some_and(|head| head.starts_with(magic));
    MAGICS.iter().find(|(at, magic, ..)| is(*at, magic))
}

/// The error for a file that is none of [`super::FORMATS`] and not raw either.
pub(super) fn refuse(opening: &Opening<'_>, probe: &Probe<'_>) -> Option<Error> {
    // A fixed VHD is a raw disk with a footer behind it, which is what a copy that breaks off loses.
    if probe.name.to_ascii_lowercase().ends_with(".vhd") {
        let what = format!(
            "{} is called a VHD and has no footer that fits: it is cut short, or a raw disk",
            opening.path.display()
        );
        return Some(
            Error::new(Kind::Corrupt, "vhd-footer", what)
                .advise("copy it again from where it came; if it is a raw disk all the same, say so: --format raw"),
        );
    }
    let (_, _, code, what, how) = found(probe)?;
    let what = format!("{} is {what}, which is not read here", opening.path.display());
    Some(Error::new(Kind::Unsupported, code, what).advise(*how))
}
