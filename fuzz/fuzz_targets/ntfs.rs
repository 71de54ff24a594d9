//! NTFS: any structures give a result or an error, after a bounded amount of reading.
#![no_main]

mod poked;

use std::sync::{Arc, LazyLock};

use hivewright_disk::ntfs::Ntfs;
use libfuzzer_sys::fuzz_target;
use poked::{Poked, ask_all, fixture};

/// Volumes of several shapes, each with its structures: the boot sectors, every record and index block, and the first
/// clusters of $LogFile, $Bitmap and $UpCase, which are of other blocks that are not zeros.
static VOLUMES: LazyLock<Vec<(&[u8], Vec<usize>)>> = LazyLock::new(|| {
    let whole = ["superfloppy", "compressed", "hibernated", "unclean-journal"].map(fixture);
    let cut = [("fragmented", 64 * 512), ("attribute-list", 64 * 512), ("gpt-4kn", 1 << 20)];
    let cut = cut.map(|(name, start)| &fixture(name)[start..][..3 << 20]);
    whole.into_iter().chain(cut).map(|volume| (volume, structures(volume))).collect()
});

fn structures(volume: &[u8]) -> Vec<usize> {
    let is = |at: &usize| [&b"FILE"[..], b"INDX", b"RSTR"].contains(&&volume[*at..at + 4]);
    let mut found: Vec<usize> = (0..volume.len()).step_by(1024).filter(is).collect();
    found.extend([0, volume.len() - 512]);
    found.sort_unstable();
    found
}

fuzz_target!(|data: &[u8]| {
    let [which, rest @ ..] = data else { return };
    let (volume, blocks) = &VOLUMES[usize::from(*which) % VOLUMES.len()];
    let medium = Arc::new(Poked::new(volume, blocks, rest));
    ask_all(Ntfs::open(medium.clone()));
    if which & 0x80 != 0 {
        ask_all(Ntfs::open_by_backup(medium));
    }
});
