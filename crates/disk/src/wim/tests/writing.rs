//! Replacement of files: new data is after the old end, and the rest of the archive is unchanged.

use super::*;
use hivewright_storage::recorder::Recorder;

/// Returns the archive after the replacement of files.
fn replaced(bytes: &[u8], replacements: &[Replacement<'_>], time: Option<u64>) -> Result<Vec<u8>> {
    let file = Arc::new(Recorder::new(Arc::new(Memory::new(bytes.to_vec())))?);
    Archive::open(vec![file.clone()])?.replace(replacements, time)?;
    let mut after = vec![0; usize::try_from(file.len()?).unwrap()];
    file.read_at(0, &mut after)?;
    Ok(after)
}

fn one<'a>(image: u32, path: &'a str, bytes: &'a [u8]) -> [Replacement<'a>; 1] {
    [Replacement { image, path, bytes }]
}

#[test]
fn only_the_replaced_file_changes() {
    for (name, before) in kept() {
        let old = read(&open(before.clone()).unwrap(), 1, SYSTEM).unwrap();
        let mut changed = old.clone();
        changed[9000..9004].copy_from_slice(b"new!");
        let mut grown = changed.clone();
        grown.resize(old.len() + 70_000, 3);
        for new in [&changed, &grown, &changed[..5000].to_vec()] {
            let after = replaced(&before, &one(1, SYSTEM, new), None).unwrap();
            assert!(after[208..before.len()] == before[208..], "{name}");
            let archive = open(after.clone()).unwrap();
            assert!(read(&archive, 1, SYSTEM).unwrap() == *new, "{name}");
            for path in ["code.bin", "license.txt"] {
                assert!(read(&archive, 1, path).unwrap() == read(&open(before.clone()).unwrap(), 1, path).unwrap());
            }
            // The old header and the old length restore the old archive.
            let mut undone = after.clone();
            undone[..208].copy_from_slice(&before[..208]);
            undone.truncate(before.len());
            assert!(undone == before, "{name}");
            // Replace again, with bytes that the archive still has.
            let back = replaced(&after, &one(1, SYSTEM, &old), None).unwrap();
            assert!(read(&open(back).unwrap(), 1, SYSTEM).unwrap() == old, "{name}");
        }
    }
}

#[test]
fn unchanged_chunks_are_copied() {
    let (_, before) = kept().into_iter().find(|(name, _)| name.ends_with("xpress.wim")).unwrap();
    let mut new = read(&open(before.clone()).unwrap(), 1, SYSTEM).unwrap();
    let len = new.len();
    new[5000] ^= 1;
    let after = replaced(&before, &one(1, SYSTEM, &new), None).unwrap();
    let table = open(before.clone()).unwrap().first().table.bytes.len();
    // One chunk of the hive and one of the metadata is stored uncompressed.
    assert!(after.len() - before.len() < len + table, "{} {len}", after.len() - before.len());
    assert!(open(after).unwrap().len_of(&sha1(&new)).unwrap() == len as u64);
}

#[test]
fn other_images_keep_the_shared_contents() {
    let hive = |bytes: &[u8]| [Node::windows(Node::file("SYSTEM", bytes)), Node::file("copy", bytes)];
    let before = wim::archive(&[&hive(b"shared"), &hive(b"shared")]);
    let after = replaced(&before, &one(2, SYSTEM, b"changed"), None).unwrap();
    let archive = open(after).unwrap();
    for (image, path, bytes) in
        [(1, SYSTEM, &b"shared"[..]), (1, "copy", b"shared"), (2, "copy", b"shared"), (2, SYSTEM, b"changed")]
    {
        assert_eq!(read(&archive, image, path).unwrap(), bytes, "{image} {path}");
    }
    let count = |bytes: &[u8]| archive.find(&sha1(bytes)).unwrap().1.count;
    assert_eq!((count(b"shared"), count(b"changed")), (3, 1));
    // Contents that the archive already has are not stored again.
    let before = wim::archive(&[&[Node::windows(Node::file("SYSTEM", b"old")), Node::file("other", &[7; 5000])]]);
    let after = replaced(&before, &one(1, SYSTEM, &[7; 5000]), None).unwrap();
    assert!(after.len() < before.len() + 2000);
    assert_eq!(open(after).unwrap().find(&sha1(&[7; 5000])).unwrap().1.count, 2);
}

#[test]
fn hard_links_and_streams_are_updated() {
    let linked = |name: &str| Node { link: 5, ..Node::file(name, b"hive") };
    let streams = Node { streams: vec!["a stream".into()], ..linked("third") };
    let nodes = [Node::windows(linked("SYSTEM")), linked("second"), streams, Node::file("alike", b"hive")];
    let after = replaced(&wim::archive(&[&nodes]), &one(1, SYSTEM, b"new hive"), None).unwrap();
    let archive = open(after).unwrap();
    for (path, bytes) in
        [(SYSTEM, &b"new hive"[..]), ("second", b"new hive"), ("third", b"new hive"), ("alike", b"hive")]
    {
        assert_eq!(read(&archive, 1, path).unwrap(), bytes, "{path}");
    }
    assert_eq!(archive.find(&sha1(b"new hive")).unwrap().1.count, 3);
}

#[test]
fn several_files_of_several_images_are_replaced_at_once() {
    let nodes = |n: u8| [Node::windows(Node::file("SYSTEM", &[n; 100])), Node::file("SYSTEM.LOG", &[n; 50])];
    let before = wim::archive(&[&nodes(1), &nodes(2)]);
    let wanted = [
        Replacement { image: 2, path: SYSTEM, bytes: &[9; 120] },
        Replacement { image: 1, path: SYSTEM, bytes: &[8; 90] },
        Replacement { image: 2, path: "SYSTEM.LOG", bytes: &[9; 120] },
    ];
    let archive = open(replaced(&before, &wanted, Some(1 << 40 | 7)).unwrap()).unwrap();
    for Replacement { image, path, bytes } in wanted {
        assert_eq!(read(&archive, image, path).unwrap(), bytes);
    }
    assert_eq!(read(&archive, 1, "SYSTEM.LOG").unwrap(), [1; 50]);
    assert_eq!((archive.described(1).total_bytes, archive.described(2).total_bytes), (Some(90), Some(190)));
    assert!(replaced(&before, &[Replacement { bytes: &[2; 100], ..wanted[0] }], None).unwrap() == before);
}

#[test]
fn irregular_files_are_refused() {
    let link = Node { link: 0xa000_000c, attributes: REPARSE_POINT, ..Node::file("link", b"to") };
    let encrypted = Node { attributes: 0x4020, ..Node::file("efs", b"secret") };
    let nodes = [Node::windows(Node::file("SYSTEM", b"hive")), Node::file("empty", b""), link, encrypted];
    let mut nodes = nodes.to_vec();
    nodes[1].bytes = None;
    let before = wim::archive(&[&nodes]);
    let code = |bytes: &[u8], path: &str| replaced(bytes, &one(1, path, b"new"), None).unwrap_err().code();
    for (path, expected) in [
        ("Windows", Code::WimReplace),
        ("nothing", Code::WimReplace),
        ("empty", Code::WimReplace),
        ("efs", Code::WimReplace),
        ("link", Code::FileReparse),
    ] {
        assert_eq!(code(&before, path), expected, "{path}");
    }
    for (at, bit, expected) in [(16, 4, Code::WimReadOnly), (16, 8, Code::WimSplit), (16, 0x40, Code::WimUnfinished)] {
        let mut marked = before.clone();
        marked[at] |= bit;
        assert_eq!(code(&marked, SYSTEM), expected);
    }
    // An integrity table that does not fit the archive cannot be continued.
    let (_, mut bytes) = kept().into_iter().find(|(name, _)| name.ends_with("lzx.wim")).unwrap();
    let at = usize::try_from(u64_at(&bytes, header::INTEGRITY_AT + 8)).unwrap();
    bytes[at + 4] ^= 1;
    assert_eq!(code(&bytes, SYSTEM), Code::WimTable);
}
