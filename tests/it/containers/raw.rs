//! Raw images, whole and split, and the path policy.

use super::*;
use crate::support::disk;

/// Splits `disk.raw` into `disk.001` ..., 5 MiB each.
fn split(folder: &Path) -> PathBuf {
    let raw = folder.join("disk.raw");
    raw_disk(&raw, 12);
    disk::split(&raw, 5 << 20, &folder.join("disk"));
    raw
}

#[test]
fn segments_read_and_write_as_one_disk() {
    for name in ["disk.raw", "disk.001", "disk.002"] {
        let folder = tempfile::tempdir().unwrap();
        let raw = split(folder.path());
        let (image, recording) = open(&folder.path().join(name)).unwrap();
        assert_same(&image, &raw);
        let untouched = fs::read(&raw).unwrap();
        let mut expected = untouched.clone();
        expected[(5 << 20) - 3..][..6].copy_from_slice(b"across");
        image.disk.write_at((5 << 20) - 3, b"across").unwrap();
        assert!(fs::read(&raw).unwrap() == untouched, "a recorder let bytes through");
        recording.bring_to_disk();
        fs::write(&raw, &expected).unwrap();
        let (again, _) = open(&folder.path().join(name)).unwrap();
        assert_same(&again, &raw);
        assert_eq!(again.disk.locate((5 << 20) + 1).len(), 2);
    }
}

#[test]
fn names_refer_only_to_files_beside_the_image() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    for file in [inside.join("image"), inside.join("base"), outside.join("secret")] {
        fs::write(file, [1; 100]).unwrap();
    }
    // Links need privileges on Windows.
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.join("secret"), inside.join("link")).unwrap();
    let secret = outside.join("secret").to_str().unwrap().to_owned();
    let code = |allowed: &[PathBuf], name: &str| {
        let recording = Arc::new(Recording::default());
        let policy = PathPolicy::new(recording.clone(), allowed);
        let (image, _) = policy.image(&inside.join("image")).unwrap();
        let code = policy.named(&image, name, Role::Backing).map(|_| ()).map_err(|e| e.code().as_str());
        let opened = recording.0.lock().unwrap().iter().any(|(path, ..)| path.ends_with("secret"));
        (code, opened)
    };
    let link = if cfg!(unix) { "link" } else { "./../out/secret" };
    for name in ["../out/secret", r"..\out\secret", &secret, link, &format!("file:{secret}")] {
        assert_eq!(code(&[], name), (Err("outside-folder"), false), "{name}");
        assert_eq!(code(std::slice::from_ref(&outside), name), (Ok(()), true), "{name}");
    }
    for name in ["base", "./base", "file:base", r"C:\vm\base", r"\\server\share\base"] {
        assert_eq!(code(&[], name), (Ok(()), false), "{name}");
    }
    assert_eq!(code(&[], "gone").0, Err("no-file"));
    assert_eq!(code(&[], ".").0, Err("outside-folder"));
    fs::create_dir(inside.join("below")).unwrap();
    fs::write(inside.join("below/file"), [1; 100]).unwrap();
    assert_eq!(code(&[], "below/file").0, Err("outside-folder"));
    let policy = PathPolicy::new(Arc::<Recording>::default(), &[]);
    let (image, _) = policy.image(&inside.join("image")).unwrap();
    let told = policy.named(&image, "below/file", Role::Part).map(|_| ()).unwrap_err();
    assert!(told.what().contains("which is not beside the image"), "{told}");
    assert_eq!(code(&[], "below").0, Err("not-a-file"));
    if cfg!(unix) {
        assert_eq!(code(&[], "/dev/zero").0, Err("outside-folder"));
        assert_eq!(code(&["/dev".into()], "/dev/zero").0, Err("not-a-file"));
    }
}
