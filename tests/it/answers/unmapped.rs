//! Files on a file system without memory maps, such as 9p and some of FUSE, are read by calls.
//!
//! A preloaded library refuses the maps.

// Windows preloads no library.
#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;
use std::process::Command;

use hivewright_fixtures::dirty::DIRTY;
use hivewright_fixtures::{Release, SystemHive};

const REFUSES: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static void *refused(void *at, size_t len, int prot, int flags, int fd, off_t offset, const char *name) {
    char link[64], path[4096];
    ssize_t got = -1;
    if (fd >= 0 && (flags & MAP_TYPE) != MAP_PRIVATE) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        got = readlink(link, path, sizeof path - 1);
    }
    if (got > 0 && (path[got] = 0, strstr(path, "/unmapped/"))) {
        fputs("refused a map\n", stderr);
        errno = ENODEV;
        return MAP_FAILED;
    }
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, name);
    return real(at, len, prot, flags, fd, offset);
}

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    return refused(at, len, prot, flags, fd, offset, "mmap");
}

void *mmap64(void *at, size_t len, int prot, int flags, int fd, off_t offset) {
    return refused(at, len, prot, flags, fd, offset, "mmap64");
}
"#;

fn without_maps(library: &Path, args: &[&str], target: &Path) -> (i32, String, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hivewright"));
    let output = command.args(args).arg(target).env("LD_PRELOAD", library).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    (output.status.code().unwrap(), format!("{out}{err}"), err.contains("refused a map"))
}

#[test]
fn files_that_cannot_be_mapped_are_read() {
    let home = tempfile::tempdir().unwrap();
    let (source, library) = (home.path().join("refuses.c"), home.path().join("refuses.so"));
    fs::write(&source, REFUSES).unwrap();
    // Rust links with it, so it is installed.
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    assert!(built.unwrap().success());
    let folder = home.path().join("unmapped");
    fs::create_dir(&folder).unwrap();
    let hive = folder.join("SYSTEM");
    fs::write(&hive, SystemHive::new(Release::Win10).with_right_setting(1, 2).build().bytes).unwrap();
    let mut refused = 0;
    for (args, code) in [
        (&["get"][..], 0),
        (&["get", "--value"], 0),
        (&["check"], 0),
        (&["info"], 0),
        (&["audit", "--expect", "2"], 0),
        (&["set", "1", "--dry-run"], 0),
        (&["set", "1"], 0),
        (&["get", "--value"], 0),
        (&["unset"], 0),
        (&["get", "--value"], 1),
    ] {
        let (found, told, was_refused) = without_maps(&library, args, &hive);
        assert_eq!(found, code, "{args:?}: {told}");
        refused += usize::from(was_refused);
    }
    assert!(refused >= 3, "{refused}: the maps were not refused");

    let pair = (DIRTY.iter().find(|dirty| dirty.name == "new-one-log").unwrap().make)();
    let dirty = folder.join("DIRTY");
    fs::write(&dirty, &pair.primary).unwrap();
    for (name, bytes) in &pair.logs {
        fs::write(folder.join(format!("DIRTY.{name}")), bytes).unwrap();
    }
    let (_, told, was_refused) = without_maps(&library, &["get", "--json"], &dirty);
    assert!(was_refused && told.contains("\"hive_state\": \"recovered\""), "{told}");
    let (code, told, _) = without_maps(&library, &["recover"], &dirty);
    assert_eq!(code, 0, "{told}");
}
