//! Creates small VHDX images that qemu-img cannot: with a parent, with sectors of 4096 bytes, with a log. Written from
//! the specification, independent of the code that reads them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub(crate) const MIB: usize = 1 << 20;
const LOG: usize = MIB;
const METADATA: usize = 2 * MIB;
pub(crate) const BAT: usize = 3 * MIB;
const FIRST_BLOCK: usize = 4 * MIB;

/// A block of the disk.
#[derive(Clone)]
pub(crate) enum Block {
    /// Only an entry in the table: this state, without a place.
    State(u64),
    /// All of it.
    Full(Vec<u8>),
    /// The sectors with these numbers.
    Part(Vec<u8>, Vec<usize>),
}

/// An image to create, with blocks of 1 MiB.
#[derive(Clone, Default)]
pub(crate) struct Maker {
    pub(crate) sector: usize,
    pub(crate) size: usize,
    pub(crate) fixed: bool,
    /// Keys and values of the parent locator.
    pub(crate) locator: Option<Vec<(&'static str, String)>>,
    pub(crate) data_write: [u8; 16],
    pub(crate) blocks: BTreeMap<usize, Block>,
}

/// CRC-32C.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    static TABLE: LazyLock<Vec<u32>> = LazyLock::new(|| {
        let bit = |crc: u32, _| crc >> 1 ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        (0..256).map(|byte| (0..8).fold(byte, bit)).collect()
    });
    let table = &**TABLE;
    !bytes.iter().fold(!0, |crc: u32, byte| crc >> 8 ^ table[(crc as u8 ^ byte) as usize])
}

/// Returns the bytes of a GUID in text.
pub(crate) fn guid(text: &str) -> [u8; 16] {
    let digits = text.replace('-', "");
    let mut bytes: Vec<u8> = (0..16).map(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap()).collect();
    bytes[..4].reverse();
    bytes[4..6].reverse();
    bytes[6..8].reverse();
    bytes.try_into().unwrap()
}

/// Formats a GUID as in a parent locator.
pub(crate) fn guid_text(bytes: &[u8; 16]) -> String {
    let mut b = *bytes;
    b[..4].reverse();
    b[4..6].reverse();
    b[6..8].reverse();
    let hex = |range: std::ops::Range<usize>| b[range].iter().map(|b| format!("{b:02X}")).collect::<String>();
    format!("{{{}-{}-{}-{}-{}}}", hex(0..4), hex(4..6), hex(6..8), hex(8..10), hex(10..16))
}

pub(crate) fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Writes the right checksum to the structure of `len` bytes at `at`.
pub(crate) fn mend(image: &mut [u8], at: usize, len: usize) {
    put(image, at + 4, &[0; 4]);
    let sum = crc32c(&image[at..at + len]);
    put(image, at + 4, &sum.to_le_bytes());
}

/// Offsets and lengths of headers and region tables, for [`mend`].
pub(crate) const SUMMED: [(usize, usize); 4] =
    [(64 << 10, 4096), (128 << 10, 4096), (192 << 10, 64 << 10), (256 << 10, 64 << 10)];

impl Maker {
    fn chunk(&self) -> usize {
        (1 << 23) * self.sector / MIB
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut image = vec![0; FIRST_BLOCK];
        put(&mut image, 0, b"vhdxfile");
        "made by a test".encode_utf16().enumerate().for_each(|(i, c)| put(&mut image, 8 + 2 * i, &c.to_le_bytes()));
        for (at, sequence) in [(64 << 10, 7_u64), (128 << 10, 8)] {
            put(&mut image, at, b"head");
            put(&mut image, at + 8, &sequence.to_le_bytes());
            put(&mut image, at + 16, &[0x11; 16]);
            put(&mut image, at + 32, &self.data_write);
            put(&mut image, at + 66, &[1, 0]);
            put(&mut image, at + 68, &(MIB as u32).to_le_bytes());
            put(&mut image, at + 72, &(LOG as u64).to_le_bytes());
        }
        for at in [192 << 10, 256 << 10] {
            put(&mut image, at, b"regi\0\0\0\0\x02");
            let regions =
                [("2dc27766-f623-4200-9d64-115e9bfd4a08", BAT), ("8b7ca206-4790-4b9a-b8fe-575f050f886e", METADATA)];
            for (i, (region, offset)) in regions.into_iter().enumerate() {
                put(&mut image, at + 16 + 32 * i, &guid(region));
                put(&mut image, at + 32 + 32 * i, &(offset as u64).to_le_bytes());
                put(&mut image, at + 40 + 32 * i, &(MIB as u32).to_le_bytes());
                put(&mut image, at + 44 + 32 * i, &[1]);
            }
        }
        SUMMED.iter().for_each(|&(at, len)| mend(&mut image, at, len));
        self.put_metadata(&mut image);
        self.put_blocks(&mut image);
        image
    }

    fn put_metadata(&self, image: &mut [u8]) {
        let mut parameters = (MIB as u32).to_le_bytes().to_vec();
        parameters.extend((u32::from(self.fixed) | u32::from(self.locator.is_some()) << 1).to_le_bytes());
        let mut items = vec![
            ("caa16737-fa36-4d43-b3b6-33f0aa44e76b", 4, parameters),
            ("2fa54224-cd1b-4876-b211-5dbed83bf4b8", 6, (self.size as u64).to_le_bytes().to_vec()),
            ("beca12ab-b2e6-4523-93ef-c309e000c746", 6, vec![0x22; 16]),
            ("8141bf1d-a96f-4709-ba47-f233a8faab5f", 6, (self.sector as u32).to_le_bytes().to_vec()),
            ("cda348c7-445d-4471-9cc9-e9885251c556", 6, 4096_u32.to_le_bytes().to_vec()),
        ];
        if let Some(pairs) = &self.locator {
            items.push(("a8d35f2d-b30b-454d-abf7-d3d84834ab0c", 4, locator(pairs)));
        }
        put(image, METADATA, b"metadata");
        put(image, METADATA + 10, &(items.len() as u16).to_le_bytes());
        let mut offset = 64 << 10;
        for (i, (item, flags, bytes)) in items.into_iter().enumerate() {
            let entry = METADATA + 32 + 32 * i;
            put(image, entry, &guid(item));
            put(image, entry + 16, &(offset as u32).to_le_bytes());
            put(image, entry + 20, &(bytes.len() as u32).to_le_bytes());
            put(image, entry + 24, &[flags]);
            put(image, METADATA + offset, &bytes);
            offset += bytes.len();
        }
    }

    fn put_blocks(&self, image: &mut Vec<u8>) {
        let mut bitmaps: BTreeMap<usize, usize> = BTreeMap::new();
        for (&number, block) in &self.blocks {
            let entry = BAT + 8 * (number + number / self.chunk());
            let (state, bytes) = match block {
                Block::State(state) => (*state, None),
                Block::Full(bytes) => (6, Some(bytes)),
                Block::Part(bytes, sectors) => {
                    let chunk = number / self.chunk();
                    let bitmap = *bitmaps.entry(chunk).or_insert(image.len());
                    image.resize(image.len().max(bitmap + MIB), 0);
                    let at = BAT + 8 * (chunk * (self.chunk() + 1) + self.chunk());
                    put(image, at, &(bitmap as u64 | 6).to_le_bytes());
                    for sector in sectors {
                        let bit = number % self.chunk() * (MIB / self.sector) + sector;
                        image[bitmap + bit / 8] |= 1 << (bit % 8);
                    }
                    (7, Some(bytes))
                }
            };
            let place = if bytes.is_some() { image.len() } else { 0 };
            put(image, entry, &(place as u64 | state).to_le_bytes());
            bytes.into_iter().for_each(|bytes| image.extend(bytes));
        }
    }
}

fn locator(pairs: &[(&str, String)]) -> Vec<u8> {
    let mut item = guid("b04aefb7-d19e-4a81-b789-25b8e9445913").to_vec();
    item.extend([0, 0]);
    item.extend((pairs.len() as u16).to_le_bytes());
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let (mut strings, start) = (Vec::new(), 20 + 12 * pairs.len());
    for (key, value) in pairs {
        let (key, value) = (utf16(key), utf16(value));
        let at = start + strings.len();
        item.extend((at as u32).to_le_bytes());
        item.extend(((at + key.len()) as u32).to_le_bytes());
        item.extend((key.len() as u16).to_le_bytes());
        item.extend((value.len() as u16).to_le_bytes());
        strings.extend([key, value].concat());
    }
    item.extend(strings);
    item
}

/// A change in the log.
pub(crate) enum Change {
    Zeros(u64, u64),
    Sector(u64, Vec<u8>),
}

/// An entry of the log.
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    /// Bytes of the log.
    pub(crate) tail: u32,
    pub(crate) flushed: u64,
    pub(crate) last: u64,
    pub(crate) changes: Vec<Change>,
}

impl Entry {
    pub(crate) fn build(&self, log: &[u8; 16]) -> Vec<u8> {
        let mut entry = b"loge\0\0\0\0\0\0\0\0".to_vec();
        entry.extend(self.tail.to_le_bytes());
        entry.extend(self.sequence.to_le_bytes());
        entry.extend((self.changes.len() as u64).to_le_bytes());
        entry.extend(log);
        entry.extend(self.flushed.to_le_bytes());
        entry.extend(self.last.to_le_bytes());
        let mut data = Vec::new();
        for change in &self.changes {
            match change {
                Change::Zeros(offset, len) => {
                    entry.extend(b"zero\0\0\0\0");
                    entry.extend(len.to_le_bytes());
                    entry.extend(offset.to_le_bytes());
                }
                Change::Sector(offset, bytes) => {
                    entry.extend([b"desc", &bytes[4092..], &bytes[..8]].concat());
                    entry.extend(offset.to_le_bytes());
                    data.extend(b"data");
                    data.extend(((self.sequence >> 32) as u32).to_le_bytes());
                    data.extend(&bytes[8..4092]);
                    data.extend((self.sequence as u32).to_le_bytes());
                }
            }
            entry.extend(self.sequence.to_le_bytes());
        }
        entry.resize(entry.len().next_multiple_of(4096), 0);
        entry.extend(data);
        let len = entry.len();
        put(&mut entry, 8, &(len as u32).to_le_bytes());
        mend(&mut entry, 0, len);
        entry
    }
}

/// Writes entries to the log of an image, consecutively from sector `from` of the log on, around its end.
pub(crate) fn put_log(image: &mut [u8], log: [u8; 16], from: usize, entries: &[Entry]) {
    let mut at = from * 4096;
    for sector in entries.iter().flat_map(|entry| entry.build(&log)).collect::<Vec<u8>>().chunks(4096) {
        put(image, LOG + at % MIB, sector);
        at += 4096;
    }
    for (at, len) in &SUMMED[..2] {
        put(image, at + 48, &log);
        mend(image, *at, *len);
    }
}
