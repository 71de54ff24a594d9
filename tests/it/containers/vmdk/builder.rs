//! Sparse extents in VMware's form, small enough to be damaged byte by byte.

use hivewright_fixtures::esx;

/// Size of a sector.
pub(in crate::containers) const S: usize = 512;

/// Returns a descriptor: (CID, parent), type, lines of extents.
pub(in crate::containers) fn descriptor(cid: u32, parent: Option<(u32, &str)>, kind: &str, extents: &str) -> Vec<u8> {
    let (parent, hint) =
        parent.map_or((u32::MAX, String::new()), |(c, n)| (c, format!("parentFileNameHint=\"{n}\"\n")));
    format!(
        "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID={cid:08x}\nparentCID={parent:08x}\n\
         createType=\"{kind}\"\n{hint}\n# Extent description\n{extents}\n\n# The Disk Data Base\n#DDB\n\n\
         ddb.longContentID = \"0123456789abcdef01234567{cid:08x}\"\nddb.adapterType = \"lsilogic\"\n"
    )
    .into_bytes()
}

fn put(bytes: &mut Vec<u8>, at: usize, new: &[u8]) {
    if bytes.len() < at + new.len() {
        bytes.resize(at + new.len(), 0);
    }
    bytes[at..at + new.len()].copy_from_slice(new);
}

fn put32(bytes: &mut Vec<u8>, at: usize, number: usize) {
    put(bytes, at, &(number as u32).to_le_bytes());
}

fn put64(bytes: &mut Vec<u8>, at: usize, number: u64) {
    put(bytes, at, &number.to_le_bytes());
}

/// Sectors of [`hosted`]: header, descriptor 1-4, redundant directory 5 and table 6, directory 7 and table 8, grains
/// from 16 on; and the size of a grain.
pub(in crate::containers) const GRAIN: usize = 8;
const REDUNDANT: usize = 5;
const DIRECTORY: usize = 7;
const FIRST: usize = 16;

/// Creates a monolithicSparse image of 64 grains of 4 KiB, with 128 entries in a table. `grains` are the present ones,
/// each of one byte.
pub(in crate::containers) fn hosted(text: &[u8], grains: &[(usize, u8)]) -> Vec<u8> {
    let mut file = vec![0; FIRST * S];
    put(&mut file, 0, b"KDMV\x01\0\0\0\x03\0\0\0");
    for (at, number) in [(12, 64 * GRAIN), (20, GRAIN), (28, 1), (36, 4), (48, REDUNDANT), (56, DIRECTORY), (64, FIRST)]
    {
        put64(&mut file, at, number as u64);
    }
    put32(&mut file, 44, 128);
    put(&mut file, 73, b"\n \r\n");
    put(&mut file, S, text);
    for directory in [REDUNDANT, DIRECTORY] {
        put32(&mut file, directory * S, directory + 1);
        for (i, (grain, byte)) in grains.iter().enumerate() {
            let sector = FIRST + i * GRAIN;
            put32(&mut file, (directory + 1) * S + grain * 4, sector);
            put(&mut file, sector * S, &[*byte; GRAIN * S]);
        }
    }
    file
}

/// Creates a stream of 64 grains of 4 KiB as VMware writes it: the directory comes last, and the footer refers to it.
pub(in crate::containers) fn stream(text: &[u8], grains: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let mut file = hosted(text, &[]);
    put32(&mut file, 4, 3);
    put32(&mut file, 8, 0x3_0001);
    put64(&mut file, 48, 0);
    put64(&mut file, 56, u64::MAX);
    put(&mut file, 77, &[1, 0]);
    let mut table = vec![0; 128 * 4];
    for (grain, packed) in grains {
        let at = file.len();
        put32(&mut table, grain * 4, at / S);
        put64(&mut file, at, (grain * GRAIN) as u64);
        put32(&mut file, at + 8, packed.len());
        put(&mut file, at + 12, packed);
        file.resize(file.len().next_multiple_of(S), 0);
    }
    let marker = |file: &mut Vec<u8>, kind: usize| {
        let at = file.len();
        put64(file, at, u64::from(kind != 0));
        put32(file, at + 12, kind);
        file.resize(at + S, 0);
        at / S + 1
    };
    let table_at = marker(&mut file, 1);
    file.extend(&table);
    let directory = marker(&mut file, 2);
    put32(&mut file, directory * S, table_at);
    file.resize((directory + 1) * S, 0);
    let footer = marker(&mut file, 3);
    let header = file[..S].to_vec();
    put(&mut file, footer * S, &header);
    put64(&mut file, footer * S + 56, directory as u64);
    marker(&mut file, 0);
    file
}

/// Creates a delta of ESX with grains of one sector, each of one byte, of `sectors` in all.
pub(in crate::containers) fn cowd(sectors: usize, grains: &[(usize, u8)]) -> Vec<u8> {
    esx::cowd(sectors, grains.iter().map(|&(grain, byte)| (grain, [byte; S])))
}

/// A grain of a space-efficient extent.
pub(in crate::containers) enum Wide {
    Unmapped,
    Zero,
    Data(u8),
}

/// Creates a space-efficient extent of `sectors`, with 4 KiB in a grain; its grains are in the file from the last to
/// the first.
pub(in crate::containers) fn se_sparse(sectors: usize, grains: &[(usize, Wide)]) -> Vec<u8> {
    let (tables, mut file) = (esx::se_tables(sectors), esx::se_sparse(sectors));
    let first_grain = file.len();
    // Tables are allocated in the order of their use, not in that of the directory.
    for table in 0..tables {
        put64(&mut file, esx::DIRECTORY * S + table * 8, esx::se_table(tables - 1 - table));
    }
    for (i, (grain, what)) in grains.iter().enumerate() {
        let table = tables - 1 - grain / esx::ENTRIES;
        let entry = (esx::FIRST_TABLE + table * esx::TABLE) * S + grain % esx::ENTRIES * 8;
        let number = grains.len() - 1 - i;
        match what {
            Wide::Unmapped => put64(&mut file, entry, esx::SE_UNMAPPED),
            Wide::Zero => put64(&mut file, entry, esx::SE_ZERO),
            Wide::Data(byte) => {
                put64(&mut file, entry, esx::se_grain(number as u64));
                put(&mut file, first_grain + number * 4096, &[*byte; 4096]);
            }
        }
    }
    file.resize(first_grain + grains.len() * 4096, 0);
    file
}
