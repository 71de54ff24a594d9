//! A small Windows installation with several hives: as files in a folder, and as a volume.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use hivewright_fixtures::dirty::DIRTY;
use hivewright_fixtures::{HiveSpec, Minor};

/// Path of a hive in the folder.
pub(crate) const SYSTEM: &str = "Windows/System32/config/SYSTEM";
pub(crate) const SOFTWARE: &str = "Windows/System32/config/SOFTWARE";
pub(crate) const DEFAULT_USER: &str = "Users/Default/NTUSER.DAT";
pub(crate) const BOB: &str = "Users/bob/NTUSER.DAT";
/// The user with the profile folder `bob`.
pub(crate) const BOB_SID: &str = "S-1-5-21-1-2-3-1001";
const PROFILES: &str = r"Microsoft\Windows NT\CurrentVersion\ProfileList";

/// A file of the installation: its path, and its bytes.
pub(crate) type File = (String, Vec<u8>);

/// Returns the files. SYSTEM is dirty; two logs contain its newest state.
pub(crate) fn files() -> Vec<File> {
    let pair = (DIRTY.iter().find(|dirty| dirty.name == "new-two-logs").unwrap().make)();
    let mut files = vec![(SYSTEM.to_owned(), pair.primary)];
    files.extend(pair.logs.into_iter().map(|(ending, bytes)| (format!("{SYSTEM}.{ending}"), bytes)));
    files.push((SOFTWARE.to_owned(), software()));
    files.push((DEFAULT_USER.to_owned(), user()));
    files.push((BOB.to_owned(), user()));
    files
}

fn software() -> Vec<u8> {
    let spec = HiveSpec::new(Minor::V5).file_name("SOFTWARE").free_at_end(2000).key("Classes", |key| key);
    let spec = spec.at(r"Microsoft\Windows NT\CurrentVersion", |key| key.sz("SystemRoot", r"C:\Windows"));
    let spec = spec.at(PROFILES, |key| key.expand_sz("Default", r"%SystemDrive%\Users\Default"));
    let profile = |user: &str, folder: &str| (format!("{PROFILES}\\{user}"), folder.to_owned());
    let profiles = [
        profile(BOB_SID, r"C:\Users\bob"),
        profile("S-1-5-18", r"%systemroot%\system32\config\systemprofile"),
        profile("S-1-5-21-1-2-3-1002", r"D:\Users\eve"),
    ];
    let add = |spec: HiveSpec, (path, folder): &(String, String)| {
        spec.at(path, |key| key.expand_sz("ProfileImagePath", folder))
    };
    profiles.iter().fold(spec, add).build().bytes
}

fn user() -> Vec<u8> {
    let spec = HiveSpec::new(Minor::V5).file_name("NTUSER.DAT").free_at_end(2000);
    spec.key("Control Panel", |key| key.dword("Old", 1)).key("Software", |key| key).build().bytes
}

/// Writes the files to `folder`. Returns their paths.
pub(crate) fn put(folder: &Path, files: &[File]) -> Vec<PathBuf> {
    let put = |(path, bytes): &File| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    };
    files.iter().map(put).collect()
}

/// Returns a FAT volume with the files.
pub(crate) fn volume(files: &[File]) -> Vec<u8> {
    let kib = files.iter().map(|(_, bytes)| bytes.len().div_ceil(1024)).sum::<usize>() + 96;
    let mut image = Cursor::new(vec![0; kib << 10]);
    let options = fatfs::FormatVolumeOptions::new().fat_type(fatfs::FatType::Fat12).bytes_per_cluster(512);
    fatfs::format_volume(&mut image, options).unwrap();
    {
        let made = fatfs::FileSystem::new(&mut image, fatfs::FsOptions::new()).unwrap();
        for (path, bytes) in files {
            let (folders, name) = path.rsplit_once('/').unwrap();
            let folder = folders.split('/').fold(made.root_dir(), |folder, name| folder.create_dir(name).unwrap());
            folder.create_file(name).unwrap().write_all(bytes).unwrap();
        }
    }
    image.into_inner()
}
