//! The corpus of real hives, if installed; it is not part of the project.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the folder of the corpus. Without one, prints that the test is skipped.
pub(crate) fn folder(test: &str) -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folder = std::env::var_os("HIVEWRIGHT_CORPUS").map_or_else(beside, PathBuf::from);
    if folder.join("truth.json").is_file() {
        return Some(folder);
    }
    hivewright_fixtures::skip::missing(format_args!("{test}: no corpus at {}", folder.display()));
    None
}

/// Returns whether the command that decompresses the corpus is installed. Without it, prints that the test is skipped.
pub(crate) fn can_unpack(test: &str) -> bool {
    let there = Command::new("zstd").arg("--version").output().is_ok();
    if !there {
        hivewright_fixtures::skip::missing(format_args!("{test}: there is no command zstd"));
    }
    there
}

/// Returns a file of the corpus, whose name may have the suffix `.zst`. `None` if it does not exist.
pub(crate) fn find(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let stored = [name.to_owned(), format!("{name}.zst")].into_iter().find(|stored| folder.join(stored).is_file())?;
    read(folder, &stored)
}

/// Reads a file of the corpus, decompressed by `zstd` if it has that suffix.
pub(crate) fn read(folder: &Path, stored: &str) -> Option<Vec<u8>> {
    let path = folder.join(stored);
    if !stored.ends_with(".zst") {
        return Some(std::fs::read(path).unwrap());
    }
    let Ok(unpacked) = Command::new("zstd").args(["-dcq"]).arg(&path).output() else {
        hivewright_fixtures::skip::missing(format_args!("{stored}: there is no command zstd"));
        return None;
    };
    assert!(unpacked.status.success(), "{stored}: {}", String::from_utf8_lossy(&unpacked.stderr));
    Some(unpacked.stdout)
}
