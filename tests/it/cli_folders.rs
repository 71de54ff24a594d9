//! Targets that are folders, and targets without permission to read or write.

use std::fs;
use std::path::Path;

use crate::command::hivewright_in;
use crate::copies::{REPLACES, fixture};

/// Writes a hive to `path` below `root`.
fn put(root: &Path, path: &str, hive: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, fixture(hive)).unwrap();
}

#[test]
fn an_installation_is_found_whatever_the_case() {
    for (path, targets) in [
        ("Windows/System32/config/SYSTEM", &[".", "Windows", "Windows/System32/config"][..]),
        ("WINDOWS/system32/Config/system", &[".", "WINDOWS", "WINDOWS/system32/Config"]),
        ("windows/SYSTEM32/CONFIG/System", &[".", "windows", "windows/SYSTEM32/CONFIG"]),
        ("WINNT/system32/config/SYSTEM", &[".", "WINNT", "WINNT/system32/config"]),
        ("Windows.old name/System32/config/SYSTEM", &["."]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), path, "shapes/setting-set");
        fs::create_dir_all(folder.path().join("Users/System32")).unwrap();
        fs::write(folder.path().join("pagefile.sys"), b"").unwrap();
        for target in targets {
            let run = hivewright_in(folder.path(), ["get", "--value", target]).done();
            assert_eq!(run.out, "2\n", "{path} by {target}");
            let json = hivewright_in(folder.path(), ["get", "--json", target]).done().json();
            assert!(json["hive"].as_str().unwrap().ends_with(path.rsplit('/').next().unwrap()), "{json}");
            hivewright_in(folder.path(), ["check", target]).done();
        }
        hivewright_in(folder.path(), ["set", "1", "."]).done();
        assert_eq!(hivewright_in(folder.path(), ["get", "--value", path]).done().out, "1\n", "{path}");
        let beside: Vec<_> = fs::read_dir(folder.path().join(path).parent().unwrap()).unwrap().collect();
        // A change in place leaves its undo file.
        assert_eq!(beside.len(), if REPLACES { 1 } else { 2 }, "{path}: something was left behind");
    }
}

#[test]
fn one_of_two_installations_must_be_selected() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "Windows/System32/config/SYSTEM", "windows/win10");
    put(folder.path(), "WINNT/system32/config/system", "windows/xp-sp3");
    for args in [&["get", "."][..], &["set", "2", "."], &["unset", "."], &["check", "."]] {
        let run = hivewright_in(folder.path(), args).failed(3, "[several-installations]");
        for name in ["Windows/System32/config/SYSTEM", "WINNT/system32/config/system"] {
            assert!(run.err.replace('\\', "/").contains(name), "{name}: {}", run.err);
        }
    }
    assert_eq!(fs::read(folder.path().join("Windows/System32/config/SYSTEM")).unwrap(), fixture("windows/win10"));
    hivewright_in(folder.path(), ["set", "2", "WINNT"]).done();
    assert_eq!(hivewright_in(folder.path(), ["get", "--value", "WINNT"]).done().out, "2\n");
    assert_eq!(fs::read(folder.path().join("Windows/System32/config/SYSTEM")).unwrap(), fixture("windows/win10"));
}

#[test]
fn a_folder_without_an_installation_has_advice() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("Windows/System32/config")).unwrap();
    let run = hivewright_in(folder.path(), ["get", "."]).failed(2, "[no-installation]");
    assert!(run.err.contains("System32/config/SYSTEM"), "{}", run.err);
}

// Users and permission bits of Unix.
#[cfg(unix)]
mod unix {
    use std::ffi::OsStr;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::os::unix::process::CommandExt;
    use std::path::PathBuf;
    use std::process::Command;

    use tempfile::TempDir;

    use super::*;
    use crate::command::Run;

    const NOBODY: u32 = 65534;

    /// The command as an unprivileged user, also if root runs the tests.
    struct Bound {
        folder: TempDir,
        binary: PathBuf,
        root: bool,
    }

    impl Bound {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let root = fs::metadata(folder.path()).unwrap().uid() == 0;
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            let binary = folder.path().join("hivewright");
            // Copied by another process: a forked child of another test would have our file open for writing.
            let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_hivewright")).arg(&binary).status().unwrap();
            assert!(copied.success());
            fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
            Bound { folder, binary, root }
        }

        /// Returns a folder of that user.
        fn home(&self) -> PathBuf {
            let home = self.folder.path().join("home");
            fs::create_dir(&home).unwrap();
            home
        }

        fn give(&self, path: &Path) {
            if self.root {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }

        fn run<S: AsRef<OsStr>>(&self, home: &Path, args: impl IntoIterator<Item = S>) -> Run {
            let mut command = Command::new(&self.binary);
            command.current_dir(home).args(args).env("NO_COLOR", "1");
            if self.root {
                command.uid(NOBODY).gid(NOBODY);
            }
            let output = command.output().unwrap();
            Run {
                code: output.status.code().unwrap(),
                out: String::from_utf8(output.stdout).unwrap(),
                err: String::from_utf8(output.stderr).unwrap(),
            }
        }
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_link_called_system_is_not_followed_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "elsewhere", "shapes/setting-set");
        let config = folder.path().join("Windows/System32/config");
        fs::create_dir_all(&config).unwrap();
        symlink(folder.path().join("elsewhere"), config.join("SYSTEM")).unwrap();
        hivewright_in(folder.path(), ["set", "1", "."]).failed(2, "[no-installation]");
        assert_eq!(fs::read(folder.path().join("elsewhere")).unwrap(), fixture("shapes/setting-set"));
    }

    #[test]
    fn an_unreadable_folder_beside_windows_is_skipped() {
        let bound = Bound::new();
        let home = bound.home();
        put(&home, "Windows/System32/config/SYSTEM", "shapes/setting-set");
        let closed = home.join("System Volume Information");
        fs::create_dir(&closed).unwrap();
        mode(&closed, 0);
        assert_eq!(bound.run(&home, ["get", "--value", "."]).done().out, "2\n");
        // Without access to Windows itself: no answer, and the reason.
        mode(&home.join("Windows"), 0);
        bound.run(&home, ["get", "--value", "."]).failed(2, "2 folders could not be read");
        mode(&home.join("Windows"), 0o755);
        mode(&closed, 0o755);
    }

    #[test]
    fn a_file_that_may_not_be_read_is_an_error() {
        let bound = Bound::new();
        let home = bound.home();
        put(&home, "SYSTEM", "shapes/setting-set");
        bound.give(&home.join("SYSTEM"));
        mode(&home.join("SYSTEM"), 0);
        for args in [&["get", "SYSTEM"][..], &["set", "1", "SYSTEM"], &["check", "SYSTEM"]] {
            bound.run(&home, args).failed(2, "Permission denied");
        }
    }

    #[test]
    fn files_without_write_permission_are_unchanged() {
        let bound = Bound::new();
        let home = bound.home();
        put(&home, "SYSTEM", "shapes/setting-set");
        let (hive, before) = (home.join("SYSTEM"), fixture("shapes/setting-set"));
        // Neither the folder nor the file is writable.
        mode(&hive, 0o444);
        for args in [
            &["set", "1", "SYSTEM"][..],
            &["set", "1", "SYSTEM", "--in-place"],
            &["set", "1", "SYSTEM", "--dry-run"],
            &["unset", "SYSTEM"],
        ] {
            let run = bound.run(&home, args);
            assert!(matches!(run.code, 2 | 3) && run.out.is_empty(), "{args:?}: {run:?}");
            assert!(run.has("read-only"), "{args:?}: {}", run.err);
            assert_eq!(fs::read(&hive).unwrap(), before, "{args:?}");
            assert_eq!(fs::read_dir(&home).unwrap().count(), 1, "{args:?}: something was left behind");
        }
        assert_eq!(bound.run(&home, ["get", "--value", "SYSTEM"]).done().out, "2\n");
        // The file is writable, the folder is not.
        mode(&hive, 0o644);
        bound.give(&hive);
        let run = bound.run(&home, ["set", "1", "SYSTEM"]);
        assert!(matches!(run.code, 2 | 3) && run.has("folder-read-only"), "{run:?}");
        assert_eq!(fs::read(&hive).unwrap(), before);
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
    }

    #[test]
    fn a_device_or_a_pipe_is_no_target() {
        hivewright_in(Path::new("/"), ["get", "/dev/null"]).failed(2, "neither a file nor a folder");
        hivewright_in(Path::new("/"), ["set", "2", "/dev/null"]).failed(2, "neither a file nor a folder");
    }
}
