//! Tests of undo files: valid, invalid and sparse ones.

use super::*;
use crate::transaction::State;
use hivewright_hive::Step;
use hivewright_storage::{Access, Host, RealHost};

/// Returns an undo file with these lines between the header and the end, with a right hash.
fn file(header: &str, lines: &[&str], patches: usize, blocks: usize) -> Vec<u8> {
    let mut out = format!("{{\"hivewright_undo\":1,{header}}}\n").into_bytes();
    for line in lines {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    let sha256 = hex::encode(&Sha256::digest(&out)).into();
    push(&mut out, &EndLine { patches, appended: 0, blocks, sha256 }).unwrap();
    fill_up(&mut out);
    out
}

const HEADER: &str = r#""target":"/t","created":"","len_before":4,"len_after":4"#;
const PATCH: &str = r#"{"offset":1,"step":"link","old":"62","new":"42","what":"x"}"#;
const BLOCK_LINE: &str = r#"{"block":0,"old":"61626364"}"#;

#[test]
fn an_undo_file_is_written_and_read() {
    let record = Record::parse(&file(HEADER, &[PATCH, BLOCK_LINE], 1, 1)).unwrap();
    assert_eq!(record.change.patches[0].step, Step::Link);
    assert_eq!((record.mark, record.next_mark), (Mark::Open, 4096));
    let mut again = record.to_bytes().unwrap();
    assert_eq!(Record::parse(&again).unwrap(), record);
    again.extend(Record::mark_bytes(Mark::Committed).unwrap());
    again.extend([0xee; 700]);
    let marked = Record::parse(&again).unwrap();
    assert_eq!((marked.mark, marked.next_mark), (Mark::Committed, 8192));
}

#[test]
fn phases_and_files_make_it_version_2() {
    let second = PATCH.replace("\"old\":\"62\",\"new\":\"42\"", "\"phase\":1,\"old\":\"42\",\"new\":\"43\"");
    let header = HEADER.replace("\"/t\"", "\"/w/t.001\"");
    let header = format!(r#"{header},"files":[{{"name":"t.001","len":3}},{{"name":"/v/t","len":1}}]"#);
    let bytes = file(&header, &[PATCH, &second, BLOCK_LINE], 2, 1);
    let record = Record::parse(&bytes).unwrap();
    assert_eq!((record.change.groups().len(), &record.change.later[..]), (2, &[1][..]));
    let files = Member::all(&[("/w/t.001".into(), 3), ("/v/t".into(), 1)]);
    assert_eq!(record.files_of(Path::new("/w/t.001")).unwrap(), files);
    for other in ["/w/t", "/w/copy.001", "/x/t.001"] {
        assert_eq!(record.files_of(Path::new(other)).unwrap_err().code(), "undo-other-image", "{other}");
    }
    let again = record.to_bytes().unwrap();
    assert!(again.starts_with(b"{\"hivewright_undo\":2,"));
    assert_eq!(Record::parse(&again).unwrap(), record);
    assert_eq!(Record { files: Vec::new(), ..record.clone() }.with_files(&files, false), record);
    for (from, to) in [("\"phase\":1", "\"phase\":2"), ("\"old\":\"42\"", "\"old\":\"4243\"")] {
        let lines = [PATCH, &second.replace(from, to), BLOCK_LINE];
        assert_eq!(Record::parse(&file(&header, &lines, 2, 1)).unwrap_err().code(), "undo-damaged");
    }
}

/// Two files of four bytes grow to six, the second in another folder.
#[test]
fn files_that_grow_together_make_it_version_3() {
    let header = r#""target":"/w/a/t","created":"now","len_before":4100,"len_after":4102,"files":[{"name":"t","len":4,"len_after":6},{"name":"../b/u","len":4,"len_after":6}]"#;
    let patches = [
        r#"{"offset":4,"step":"link","old":"0000","new":"4142","what":"x"}"#,
        r#"{"offset":4100,"step":"link","old":"","new":"4344","what":"x"}"#,
    ];
    let zeros = "00".repeat(4096);
    let first = format!(r#"{{"block":0,"old":"{zeros}"}}"#);
    let blocks = [&*first, r#"{"block":4096,"old":"00000000"}"#];
    let made = |header: &str, patches: &[&str]| {
        let lines = [patches, &blocks[..]].concat();
        Record::parse(&file(header, &lines, patches.len(), 2))
    };
    let record = made(header, &patches).unwrap();
    let members = record.files_of(Path::new("/w/a/t")).unwrap();
    assert_eq!(members.iter().map(|file| &*file.path).collect::<Vec<_>>(), ["/w/a/t", "/w/b/u"].map(Path::new));
    let moved = record.files_of(Path::new("/x/y/a/t")).unwrap();
    assert_eq!((&*moved[1].path, moved[1].grown), (Path::new("/x/y/b/u"), Some(6)));
    let again = record.to_bytes().unwrap();
    assert!(again.starts_with(b"{\"hivewright_undo\":3,"));
    assert_eq!(Record::parse(&again).unwrap(), record);
    assert_eq!(record.in_other_folders(Path::new("/w/a/t")), [Path::new("/w/b/u")]);
    for (from, to) in [
        (r#""len_after":6},{"#, r#""len_after":3},{"#),
        (r#""len_after":6},{"#, r#""len_after":4000},{"#),
        (r#""len_after":6},{"#, r#""len_after":9000000000000000000},{"#),
        (r#""len":4,"len_after":6}]"#, r#""len":4}]"#),
        (r#""len":4,"len_after":6}]"#, r#""len":3,"len_after":6}]"#),
        (r#""len":4,"len_after":6}]"#, r#""len":4,"len_after":7}]"#),
    ] {
        assert!(header.contains(from));
        let refused = made(&header.replace(from, to), &patches).unwrap_err();
        assert!([Code::UndoDamaged, Code::ImageSize].contains(&refused.code()), "{to}: {}", refused.code());
    }
}

#[test]
fn invalid_lines_are_refused_despite_a_valid_hash() {
    let refuse = |header: &str, lines: &[&str], patches, blocks| {
        Record::parse(&file(header, lines, patches, blocks)).unwrap_err().to_string()
    };
    let patch = |from: &str, to: &str| PATCH.replace(from, to);
    let cases = [
        (refuse(HEADER, &[PATCH, BLOCK_LINE], 2, 1), "number of its lines"),
        (refuse(HEADER, &[PATCH], 1, 0), "blocks do not surround"),
        (refuse(HEADER, &[PATCH, r#"{"block":0,"old":"616263"}"#], 1, 1), "wrong length"),
        (refuse(HEADER, &[PATCH, r#"{"block":0,"old":"61616364"}"#], 1, 1), "differ from its patches"),
        (refuse(HEADER, &[&patch(":1,", ":4,"), BLOCK_LINE], 1, 1), "exceeds the file"),
        (refuse(HEADER, &[&patch(":1,", ":18446744073709551615,"), BLOCK_LINE], 1, 1), "exceeds 2^64"),
        (refuse(HEADER, &[&patch("42", "4243"), BLOCK_LINE], 1, 1), "differ in length"),
        (refuse(HEADER, &[&patch("42", "4"), BLOCK_LINE], 1, 1), "hexadecimal"),
        (refuse(HEADER, &[&patch("link", "leap"), BLOCK_LINE], 1, 1), "a line is invalid"),
        (refuse(HEADER, &[PATCH, PATCH, BLOCK_LINE], 2, 1), "overlap"),
        (refuse(&HEADER.replace("_after\":4", "_after\":3"), &[PATCH, BLOCK_LINE], 1, 1), "shrink"),
        (refuse(&HEADER.replace("_after\":4", "_after\":18446744073709551615"), &[PATCH, BLOCK_LINE], 1, 1), "grows"),
    ];
    for (error, part) in cases {
        assert!(error.contains(part), "{error} should say: {part}");
    }
    let later = b"{\"hivewright_undo\":5,\"more\":[]}\n";
    assert_eq!(Record::parse(later).unwrap_err().code(), "undo-version");
    assert_eq!(Record::parse(b"{}").unwrap_err().code(), "not-an-undo-file");
}

/// A storage of `len` bytes: `bytes`, then zeros. Counts the bytes that are read.
struct Sparse {
    bytes: Vec<u8>,
    len: u64,
    read: std::sync::atomic::AtomicU64,
}

impl Storage for Sparse {
    fn len(&self) -> Result<u64> {
        Ok(self.len)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        self.read.fetch_add(buf.len() as u64, std::sync::atomic::Ordering::Relaxed);
        for (i, byte) in buf.iter_mut().enumerate() {
            *byte = self.bytes.get(offset as usize + i).copied().unwrap_or(0);
        }
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        unreachable!("nothing writes")
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn locate(&self, _: u64) -> Vec<hivewright_error::Place> {
        Vec::new()
    }
}

#[test]
fn few_bytes_of_a_hole_are_read() {
    let whole = file(HEADER, &[PATCH, BLOCK_LINE], 1, 1);
    for (bytes, len, code) in [
        (b"{\"hivewright_undo\":2,".to_vec(), 3 << 30, "undo-damaged"),
        (b"{\"hivewright_undo\":2,".to_vec(), 1 << 50, "undo-damaged"),
        (Vec::new(), 3 << 30, "not-an-undo-file"),
        (whole.clone(), 3 << 30, "undo-damaged"),
    ] {
        let storage = Sparse { bytes, len, read: 0.into() };
        assert_eq!(Record::load(&storage).unwrap_err().code(), code);
        assert!(storage.read.into_inner() <= 2 << 20);
    }
    // A stop may leave zeros for a mark, or only a new length.
    let storage = Sparse { len: whole.len() as u64 + 4096, bytes: whole.clone(), read: 0.into() };
    assert_eq!(Record::load(&storage).unwrap().mark, Mark::Open);
    let mut marked = [whole, vec![0; 4096]].concat();
    marked.extend(Record::mark_bytes(Mark::Committed).unwrap());
    let storage = Sparse { len: marked.len() as u64, bytes: marked, read: 0.into() };
    assert_eq!(Record::load(&storage).unwrap().mark, Mark::Committed);
}

/// An undo file has only the hash of appended bytes, except in the block of the old end and in the last step.
#[test]
fn appended_runs_make_it_version_4() {
    let before: Vec<u8> = (0..5000u32).map(|at| at as u8).collect();
    let patch = |offset: u64, old: &[u8], new: Vec<u8>, step: Step| Patch {
        offset,
        old: old.to_vec(),
        new,
        what: "".into(),
        step,
    };
    let new: Vec<u8> = (0..20_000u32).map(|at| (at / 7) as u8).collect();
    let phases = vec![
        vec![
            patch(5000, &[], new[..9000].to_vec(), Step::Prepare),
            patch(14_000, &[], new[9000..].to_vec(), Step::Prepare),
        ],
        vec![patch(0, &before[..100], vec![7; 100], Step::Link)],
    ];
    let after = [&[7; 100], &before[100..], &new].concat();
    let storage = hivewright_storage::memory::Memory::new(before);
    let change = Change::checked(5000, 25_000, phases).unwrap();
    let record = Record::new(Path::new("/t"), change, &storage, None).unwrap();
    let bytes = record.to_bytes().unwrap();
    assert!(bytes.starts_with(b"{\"hivewright_undo\":4,") && bytes.len() < 40_000);
    let read = Record::parse(&bytes).unwrap();
    let appended: Vec<(u64, u64)> = read.change.appended.iter().map(|run| (run.offset, run.len)).collect();
    assert_eq!(appended, [(8192, 5808), (14_000, 11_000)]);
    assert_eq!(read.to_bytes().unwrap(), bytes);
    // Both records determine the same state, for every progress of the change.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    let written = |bytes: &[u8]| hivewright_storage::memory::Memory::new(bytes.to_vec());
    let (mut begun, mut other) = (after.clone(), after.clone());
    begun[..100].copy_from_slice(&record.blocks[0].old[..100]);
    let mut garbled = begun.clone();
    garbled[4096..8192].fill(0xee);
    other[20_000] ^= 1;
    for (bytes, state) in [
        (&record.blocks.iter().flat_map(|block| block.old.clone()).collect(), State::Untouched),
        (&after, State::Written),
        (&begun, State::Partly),
        (&garbled, State::Partly),
        (&other, State::Partly),
    ] {
        assert_eq!((record.state(&written(bytes)).unwrap(), read.state(&written(bytes)).unwrap()), (state, state));
        std::fs::write(&path, bytes).unwrap();
        let undone = RealHost.open(&path, Access::Write).unwrap();
        let (_, groups) = read.reached(&undone).unwrap();
        read.versions().roll_back(&undone, groups).unwrap();
        assert_eq!(read.state(&undone).unwrap(), State::Untouched);
    }
    // An older program would use the patches alone.
    let text = String::from_utf8(bytes).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("{\"patches\"")).collect();
    let header = lines[0].trim_start_matches("{\"hivewright_undo\":4,").trim_end_matches('}');
    let of_version_1 = file(header, &lines[1..], 2, read.blocks.len());
    assert_eq!(Record::parse(&of_version_1).unwrap_err().code(), Code::UndoDamaged);
}
