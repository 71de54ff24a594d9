//! Finds the images of a folder that have a value, and prints it.
//!
//!     cargo run --example find_value -- /srv/images SOFTWARE 'Microsoft\Windows NT\CurrentVersion' ProductName

use std::path::Path;

use hivewright::{HiveKind, Image, Result};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, hive, key, value] = &args[..] else {
        eprintln!("usage: find_value FOLDER HIVE KEY VALUE");
        std::process::exit(2);
    };
    let Some(kind) = HiveKind::OF_CONFIG.into_iter().find(|kind| kind.file_name().eq_ignore_ascii_case(hive)) else {
        eprintln!("{hive} is no hive of a Windows installation");
        std::process::exit(2);
    };
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| {
        eprintln!("{folder}: {error}");
        std::process::exit(2);
    });
    for path in entries.flatten().map(|entry| entry.path()) {
        // An image that cannot be read is reported, and the others follow.
        if let Err(error) = print(&path, &kind, key, value) {
            eprintln!("{}: {error}", path.display());
        }
    }
}

fn print(path: &Path, kind: &HiveKind, key: &str, name: &str) -> Result<()> {
    for windows in Image::open(path)?.installations()? {
        let hive = windows.hive(kind.clone())?;
        let Some(key) = hive.key(key)? else { continue };
        if let Some(value) = key.value(name)? {
            println!("{} {windows}: {:?}", path.display(), value.data()?);
        }
    }
    Ok(())
}
