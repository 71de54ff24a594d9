//! Images that are recognised and not read: their bytes are not those of a disk.

use super::{Opening, Probe};
use crate::error::{Error, Kind};

/// Where a magic stands, the magic, what it shows, and how to get a disk from it.
const MAGICS: [(usize, &[u8], &str, &str); 3] = [
    (0, b"KDMV", "a VMDK image", QEMU),
    (0, b"# Disk DescriptorFile", "a VMDK descriptor", QEMU),
    (0, b"MSWIM\0\0\0", "a WIM image", "wimapply IMAGE INDEX FOLDER"),
];

const QEMU: &str = "qemu-img convert -O raw IMAGE DISK.raw";

/// The error for an image that is none of [`super::FORMATS`] and not raw either.
pub(super) fn refuse(opening: &Opening<'_>, probe: &Probe<'_>) -> Option<Error> {
    let is = |at: usize, magic: &[u8]| probe.head.get(at..).is_some_and(|head| head.starts_with(magic));
    let (_, _, what, how) = MAGICS.iter().find(|(at, magic, ..)| is(*at, magic))?;
    let what = format!("{} is {what}, which is not read here", opening.path.display());
    Some(Error::new(Kind::Unsupported, "container", what).advise(format!("convert a copy of it: {how}")))
}
