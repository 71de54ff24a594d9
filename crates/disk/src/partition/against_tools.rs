//! Reads the tables of other tools, and compares with the partitions that other tools read.

use hivewright_error::Code;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Scheme, Table, VolumeKind, partitions};
use hivewright_storage::memory::Memory;

/// Runs `tool`; `None`, with a message, if it is not installed.
fn run(tool: &str, args: &[&str], input: &str) -> Option<String> {
    let child =
        Command::new(tool).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        hivewright_fixtures::skip::missing(format_args!("{tool} is not installed"));
        return None;
    };
    // A tool that does not read its input may close it first.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{tool} {args:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    Some(text)
}

fn read(path: &Path) -> Table {
    partitions(&Memory::new(std::fs::read(path).unwrap())).unwrap()
}

/// Returns the first sector and the number of sectors of every allocated slot of mmls, for sectors of 512 bytes.
fn mmls(path: &str) -> Option<BTreeSet<(u64, u64)>> {
    let text = run("mmls", &["-a", path], "")?;
    let rows = text.lines().filter(|line| line.as_bytes().get(3) == Some(&b':') && !line.contains("Meta"));
    let number = |field: &str| field.parse::<u64>().unwrap();
    Some(rows.map(|row| row.split_whitespace().collect::<Vec<_>>()).map(|f| (number(f[2]), number(f[4]))).collect())
}

fn sectors(table: &Table) -> BTreeSet<(u64, u64)> {
    let volumes = table.partitions.iter().filter(|p| p.kind != VolumeKind::Extended);
    volumes.map(|p| (p.offset / 512, p.len / 512)).collect()
}

fn image(folder: &Path, bytes: u64) -> (std::path::PathBuf, String) {
    let path = folder.join("disk.raw");
    std::fs::File::create(&path).unwrap().set_len(bytes).unwrap();
    (path.clone(), path.into_os_string().into_string().unwrap())
}

#[test]
fn sgdisk_and_mmls_agree() {
    let folder = tempfile::tempdir().unwrap();
    let (path, name) = image(folder.path(), 64 << 20);
    let types = [
        ("ef00", "EFI system", VolumeKind::Empty),
        ("0c01", "Microsoft reserved", VolumeKind::Empty),
        ("0700", "Basic data", VolumeKind::Empty),
        ("2700", "Windows recovery", VolumeKind::Empty),
        ("4200", "Windows LDM data", VolumeKind::DynamicDisk),
        ("4201", "Windows LDM metadata", VolumeKind::DynamicDisk),
        ("4202", "Windows Storage Spaces", VolumeKind::StorageSpaces),
        ("8300", "Linux filesystem", VolumeKind::Empty),
        ("8200", "Linux swap", VolumeKind::Empty),
        ("8e00", "Linux LVM", VolumeKind::Empty),
        ("fd00", "Linux RAID", VolumeKind::Empty),
        ("8304", "Linux root (x86-64)", VolumeKind::Empty),
        ("8302", "Linux home", VolumeKind::Empty),
        ("8309", "Linux LUKS", VolumeKind::Empty),
        ("ea00", "Linux extended boot", VolumeKind::Empty),
        ("af00", "Apple HFS+", VolumeKind::Empty),
        ("af0a", "Apple APFS", VolumeKind::Empty),
        ("ef02", "BIOS boot", VolumeKind::Empty),
    ];
    let mut args = vec!["-o".to_owned()];
    for (number, (code, name, _)) in (1..).zip(types) {
        let new = format!("{number}:0:+1M");
        args.extend([
            "-n".into(),
            new,
            "-t".into(),
            format!("{number}:{code}"),
            "-c".into(),
            format!("{number}:{name}"),
        ]);
    }
    args.extend(["-A".into(), "3:set:63".into(), "-A".into(), "1:set:2".into(), name.clone()]);
    if run("sgdisk", &args.iter().map(String::as_str).collect::<Vec<_>>(), "").is_none() {
        return;
    }
    let table = read(&path);
    assert_eq!((table.scheme, table.sector_size), (Scheme::Gpt, 512));
    assert!(table.warnings.is_empty(), "{:?}", table.warnings);
    let got: Vec<_> = table.partitions.iter().map(|p| (p.type_name, p.name.as_deref().unwrap(), p.kind)).collect();
    let expected: Vec<_> = types.iter().map(|&(_, name, kind)| (name, name, kind)).collect();
    assert_eq!(got, expected);
    assert_eq!(table.partitions[2].attribute_names, ["no-drive-letter"]);
    let printed = run("sgdisk", &["-p", "-i", "3", &name], "").unwrap();
    for id in [&table.disk_id, &table.partitions[2].unique_id] {
        assert!(printed.contains(id.as_deref().unwrap()), "{id:?}: {printed}");
    }
    if let Some(mmls) = mmls(&name) {
        assert_eq!(sectors(&table), mmls);
    }
    // Damage the primary: sgdisk, with the option to load the backup, finds the same partitions.
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[512 + 60] ^= 1;
    let backup = partitions(&Memory::new(bytes)).unwrap();
    assert!(matches!(backup.source, super::TableSource::Backup { code: Code::GptHeaderCrc, .. }));
    assert_eq!(sectors(&backup), sectors(&table));
}

#[test]
fn sfdisk_and_mmls_agree() {
    let folder = tempfile::tempdir().unwrap();
    let (path, name) = image(folder.path(), 64 << 20);
    let script = "label: dos\nlabel-id: 0x1234abcd\n\
        start=63, size=20000, type=7, bootable\nstart=20480, size=8192, type=c\nstart=30720, size=90000, type=f\n\
        start=122880, size=2048, type=27\nstart=32768, size=10000, type=7\nstart=45056, size=10000, type=b\n\
        start=65536, size=20000, type=83\n";
    let Some(_) = run("sfdisk", &["-q", &name], script) else { return };
    let table = read(&path);
    assert_eq!((table.scheme, table.disk_id.as_deref()), (Scheme::Mbr, Some("1234abcd")));
    assert!(table.warnings.is_empty(), "{:?}", table.warnings);
    let dump = run("sfdisk", &["-d", &name], "").unwrap();
    let ours: Vec<String> = {
        let mut sorted: Vec<_> = table.partitions.iter().collect();
        sorted.sort_by_key(|p| p.number);
        sorted.iter().map(|p| format!("{name}{} {} {}", p.number, p.offset / 512, p.len / 512)).collect()
    };
    let field = |row: &str, key: &str| {
        row.split([' ', ',']).skip_while(|f| *f != key).find(|f| f.parse::<u64>().is_ok()).unwrap().to_owned()
    };
    let rows = dump.lines().filter(|line| line.contains("start="));
    let theirs: Vec<String> = rows
        .map(|row| row.replace('=', "= "))
        .map(|row| format!("{} {} {}", row.split(' ').next().unwrap(), field(&row, "start="), field(&row, "size=")))
        .collect();
    assert_eq!(ours, theirs);
    assert_eq!(table.partitions.iter().filter(|p| p.logical).count(), 3);
    if let Some(mmls) = mmls(&name) {
        assert_eq!(sectors(&table), mmls);
    }
}

#[test]
fn parted_agrees() {
    for (label, scheme) in [("gpt", Scheme::Gpt), ("msdos", Scheme::Mbr)] {
        let folder = tempfile::tempdir().unwrap();
        let (path, name) = image(folder.path(), 64 << 20);
        let kind = if label == "gpt" { "Windows" } else { "primary" };
        let script = [
            "-s", &name, "mklabel", label, "mkpart", kind, "ntfs", "1MiB", "20MiB", "mkpart", kind, "fat32", "20MiB",
            "60MiB",
        ];
        let Some(_) = run("parted", &script, "") else { return };
        let table = read(&path);
        assert_eq!(table.scheme, scheme);
        let printed = run("parted", &["-sm", &name, "unit", "B", "print"], "").unwrap();
        let theirs: Vec<String> =
            printed.lines().skip(2).map(|row| row.split(':').take(4).collect::<Vec<_>>().join(":")).collect();
        let ours: Vec<String> = table
            .partitions
            .iter()
            .map(|p| format!("{}:{}B:{}B:{}B", p.number, p.offset, p.offset + p.len - 1, p.len))
            .collect();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn file_systems_of_mkfs_are_detected() {
    let folder = tempfile::tempdir().unwrap();
    let makers: [(&str, &[&str], VolumeKind); 6] = [
        ("mkfs.ntfs", &["-F", "-Q", "-q"], VolumeKind::Ntfs),
        ("mkfs.vfat", &["-F", "32"], VolumeKind::Fat),
        ("mkfs.vfat", &["-F", "16"], VolumeKind::Fat),
        ("mkfs.vfat", &["-F", "12"], VolumeKind::Fat),
        ("mkfs.ext4", &["-q", "-F"], VolumeKind::Ext),
        ("mkswap", &["-q"], VolumeKind::LinuxSwap),
    ];
    for (tool, args, expected) in makers {
        let (path, name) = image(folder.path(), if args.contains(&"12") { 4 << 20 } else { 64 << 20 });
        if run(tool, &[args, &[name.as_str()]].concat(), "").is_none() {
            continue;
        }
        let table = read(&path);
        assert_eq!((table.scheme, table.partitions[0].kind), (Scheme::None, expected), "{tool} {args:?}");
        assert!(table.warnings.is_empty(), "{tool}: {:?}", table.warnings);
    }
}

/// Reads the disks of the corpus. Each is one NTFS volume.
#[test]
fn disks_of_the_corpus_are_read() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let corpus = std::env::var_os("HIVEWRIGHT_CORPUS").map_or(beside, Into::into);
    let images = [
        ("ntfs_testfs1", Scheme::None, 0),
        ("synthetic_win81_volume", Scheme::None, 0),
        ("synthetic_xp_mbr", Scheme::Mbr, 1 << 20),
    ];
    for (name, scheme, offset) in images {
        let path = corpus.join("images").join(format!("{name}.raw.zst"));
        if !path.exists() {
            hivewright_fixtures::skip::missing(format_args!("the corpus is not there ({name})"));
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("disk.raw").into_os_string().into_string().unwrap();
        if run("zstd", &["-dqf", path.to_str().unwrap(), "-o", &raw], "").is_none() {
            return;
        }
        let table = read(Path::new(&raw));
        let [only] = &table.partitions[..] else { panic!("{name}: {table:?}") };
        assert_eq!((table.scheme, only.offset, only.kind), (scheme, offset, VolumeKind::Ntfs), "{name}: {table:?}");
        assert!(table.warnings.is_empty(), "{name}: {:?}", table.warnings);
        if scheme == Scheme::Mbr
            && let Some(mmls) = mmls(&raw)
        {
            assert_eq!(sectors(&table), mmls, "{name}");
        }
    }
}
