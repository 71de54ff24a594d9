//! Sparse extents as VMware writes them, small enough to be taken apart byte by byte.

/// A sector.
pub(in crate::containers) const S: usize = 512;

/// A descriptor: (CID, parent), type, lines of extents.
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

/// Sectors of a grain of [`hosted`] and of its two directories and tables: header, descriptor 1-4, redundant directory
/// 5 and table 6, directory 7 and table 8, grains from 16 on.
pub(in crate::containers) const GRAIN: usize = 8;
const REDUNDANT: usize = 5;
const DIRECTORY: usize = 7;
const FIRST: usize = 16;

/// A monolithicSparse image of 64 grains of 4 KiB, 128 entries to a table. `grains` are those that it holds, each of
/// one byte.
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

/// A stream of 64 grains of 4 KiB as VMware writes it: the directory comes last, and the footer leads to it.
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

/// A delta of ESX with grains of one sector, of `sectors` in all.
pub(in crate::containers) fn cowd(sectors: usize, grains: &[(usize, u8)]) -> Vec<u8> {
    let tables = sectors.div_ceil(4096);
    let mut file = vec![0; 2048];
    put(&mut file, 0, b"COWD");
    for (at, number) in [(4, 1), (8, 3), (12, sectors), (16, 1), (20, 4), (24, tables)] {
        put32(&mut file, at, number);
    }
    file.resize(((4 + tables * 4).div_ceil(S) + 4) * S, 0);
    for (grain, byte) in grains {
        let entry = 4 * S + grain / 4096 * 4;
        if file[entry..entry + 4] == [0; 4] {
            let sector = file.len() / S;
            put32(&mut file, entry, sector);
            file.resize(file.len() + 4096 * 4, 0);
        }
        let table = u32::from_le_bytes(file[entry..entry + 4].try_into().unwrap()) as usize * S;
        let sector = file.len() / S;
        put32(&mut file, table + grain % 4096 * 4, sector);
        put(&mut file, sector * S, &[*byte; S]);
    }
    let free = file.len() / S;
    put32(&mut file, 28, free);
    file
}

/// A grain of a space-efficient extent.
pub(in crate::containers) enum Wide {
    Unmapped,
    Zero,
    Data(u8),
}

/// A space-efficient extent of `sectors`, 4 KiB to a grain; its grains lie in the file from the last to the first.
pub(in crate::containers) fn se_sparse(sectors: usize, grains: &[(usize, Wide)]) -> Vec<u8> {
    let tables = sectors.div_ceil(8 * 4096);
    let (directory, first_table) = (4, 5);
    let first_grain = first_table + tables * 64;
    let mut file = vec![0; first_grain * S];
    for (at, number) in [
        (0, 0xcafe_babe),
        (8, 0x2_0000_0001),
        (16, sectors as u64),
        (24, 8),
        (32, 64),
        (80, 1),
        (88, 1),
        (96, 2),
        (104, 2),
        (112, 4),
        (120, 4),
        (128, directory as u64),
        (136, 1),
        (144, first_table as u64),
        (152, (tables * 64) as u64),
        (160, 8),
        (168, 4),
        (176, 12),
        (184, 4),
        (192, first_grain as u64),
        (200, sectors as u64),
        (512, 0xcafe_cafe),
    ] {
        put64(&mut file, at, number);
    }
    // Tables are handed out in the order in which they are needed, not in that of the directory.
    for table in 0..tables {
        put64(&mut file, directory * S + table * 8, 0x1000_0000_0000_0000 | (tables - 1 - table) as u64);
    }
    for (i, (grain, what)) in grains.iter().enumerate() {
        let entry = first_table * S + (tables - 1 - grain / 4096) * 64 * S + grain % 4096 * 8;
        let number = (grains.len() - 1 - i) as u64;
        let place = first_grain * S + number as usize * 4096;
        match what {
            Wide::Unmapped => put64(&mut file, entry, 0x1000_0000_0000_0000),
            Wide::Zero => put64(&mut file, entry, 0x2000_0000_0000_0000),
            Wide::Data(byte) => {
                put64(&mut file, entry, 0x3000_0000_0000_0000 | (number & 0xfff) << 48 | number >> 12);
                put(&mut file, place, &[*byte; 4096]);
            }
        }
    }
    let end = first_grain * S + grains.len() * 4096;
    file.resize(end, 0);
    file
}
