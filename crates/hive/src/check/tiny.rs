//! A hive of one bin for tests: the root with a class name, and its subkeys Alpha (three values) and Beta.

use super::check;
use crate::regf::base_block::BaseBlock;
use crate::regf::name::Name;
use zerocopy::FromBytes;

pub(super) struct Tiny {
    pub(super) bytes: Vec<u8>,
}

/// Returns the sorted codes of all findings of a check.
pub(super) fn codes(bytes: &[u8]) -> Vec<&'static str> {
    let mut codes: Vec<_> = check(bytes).findings.iter().map(|finding| finding.rule.code().as_str()).collect();
    codes.sort_unstable();
    codes
}

impl Tiny {
    pub(super) const ROOT: u32 = 0x20;
    pub(super) const CLASS: u32 = 0x80;
    pub(super) const LIST: u32 = 0x90;
    pub(super) const ALPHA: u32 = 0xb0;
    pub(super) const BETA: u32 = 0x110;
    pub(super) const SECURITY: u32 = 0x170;
    pub(super) const SECURITY_2: u32 = 0x190;
    pub(super) const VALUES: u32 = 0x1b0;
    /// A DWORD called `Val`.
    pub(super) const VALUE: u32 = 0x1c0;
    /// Twelve bytes called `Bin`.
    pub(super) const BINARY: u32 = 0x1e0;
    /// The default value, empty.
    pub(super) const DEFAULT: u32 = 0x200;
    pub(super) const DATA: u32 = 0x220;
    pub(super) const FREE: u32 = 0x230;
    /// Big data, only in [`Tiny::with_big_data`].
    pub(super) const RECORD: u32 = 0x230;
    const SEGMENTS: u32 = 0x240;

    pub(super) fn new() -> Self {
        let mut tiny = Tiny { bytes: vec![0; 8192] };
        for (at, end) in [
            (Self::ROOT, Self::CLASS),
            (Self::CLASS, Self::LIST),
            (Self::LIST, Self::ALPHA),
            (Self::ALPHA, Self::BETA),
            (Self::BETA, Self::SECURITY),
            (Self::SECURITY, Self::SECURITY_2),
            (Self::SECURITY_2, Self::VALUES),
            (Self::VALUES, Self::VALUE),
            (Self::VALUE, Self::BINARY),
            (Self::BINARY, Self::DEFAULT),
            (Self::DEFAULT, Self::DATA),
            (Self::DATA, Self::FREE),
        ] {
            tiny = tiny.cell(at, (end - at).wrapping_neg());
        }
        tiny.cell(Self::FREE, 4096 - Self::FREE).bin(0, 4096).base(4096).keys().values().securities()
    }

    /// Returns the hive with `Bin` as 16,400 bytes in two segments, in four more bins.
    pub(super) fn with_big_data() -> Self {
        let mut tiny = Self::new();
        tiny.bytes.resize(4096 + 4096 + 20480, 0);
        let (free, first) = (0x250, 4096 + 32);
        let second = first + 16_352;
        tiny.bin(4096, 20480)
            .base(24576)
            .cell(Self::RECORD, 16u32.wrapping_neg())
            .cell(Self::SEGMENTS, 16u32.wrapping_neg())
            .cell(free, 4096 - free)
            .cell(first, 16_352u32.wrapping_neg())
            .cell(second, 64u32.wrapping_neg())
            .cell(second + 64, 24576 - second - 64)
            .cell(Self::DATA, 16u32)
            .cell(Self::DATA, 16u32.wrapping_neg())
            .data32(Self::RECORD, 0, u32::from_le_bytes(*b"db\x02\0"))
            .data32(Self::RECORD, 4, Self::SEGMENTS)
            .data32(Self::SEGMENTS, 0, first)
            .data32(Self::SEGMENTS, 4, second)
            .data32(Self::BINARY, 4, 16_400)
            .data32(Self::BINARY, 8, Self::RECORD)
            .data32(Self::ALPHA, 64, 40_000)
            // The cell of the data becomes Beta's class name.
            .data32(Self::BETA, 48, Self::DATA)
            .data16(Self::BETA, 74, 4)
    }

    fn base(self, length: u32) -> Self {
        let base = self.put(0, u32::from_le_bytes(*b"regf")).put(4, 7).put(8, 7).put(20, 1).put(24, 5);
        let bytes = base.put(32, 1).put(36, Self::ROOT).put(40, length).put(44, 1).sealed();
        Tiny { bytes }
    }

    fn bin(self, at: usize, size: u32) -> Self {
        let file = 4096 + at;
        let offset = u32::try_from(at).unwrap();
        self.put(file, u32::from_le_bytes(*b"hbin")).put(file + 4, offset).put(file + 8, size)
    }

    fn keys(self) -> Self {
        let hash = |name| Name::encode(name).hash();
        self.key(Self::ROOT, 0x2c, 0x7b8, b"Root")
            .key(Self::ALPHA, 0x20, Self::ROOT, b"Alpha")
            .key(Self::BETA, 0x20, Self::ROOT, b"Beta")
            .data32(Self::ROOT, 20, 2)
            .data32(Self::ROOT, 28, Self::LIST)
            .data32(Self::ROOT, 48, Self::CLASS)
            .data16(Self::ROOT, 74, 12)
            .data16(Self::ROOT, 52, 10)
            .data32(Self::LIST, 0, u32::from_le_bytes(*b"lh\x02\0"))
            .data32(Self::LIST, 4, Self::ALPHA)
            .data32(Self::LIST, 8, hash("Alpha"))
            .data32(Self::LIST, 12, Self::BETA)
            .data32(Self::LIST, 16, hash("Beta"))
            .data32(Self::ALPHA, 36, 3)
            .data32(Self::ALPHA, 40, Self::VALUES)
            .data32(Self::ALPHA, 60, 6)
            .data32(Self::ALPHA, 64, 12)
            .data32(Self::BETA, 44, Self::SECURITY_2)
    }

    fn key(mut self, at: u32, flags: u16, parent: u32, name: &[u8]) -> Self {
        for nil in [28, 32, 40, 48] {
            self = self.data32(at, nil, u32::MAX);
        }
        self = self.data16(at, 0, u16::from_le_bytes(*b"nk")).data16(at, 2, flags).data32(at, 16, parent);
        self.data32(at, 44, Self::SECURITY).name(at, 72, 76, name)
    }

    fn values(self) -> Self {
        let value = |tiny: Self, at, size, data, kind, name: &[u8]| {
            let tiny = tiny.data16(at, 0, u16::from_le_bytes(*b"vk")).data32(at, 4, size).data32(at, 8, data);
            tiny.data32(at, 12, kind).data16(at, 16, 1).name(at, 2, 20, name)
        };
        let tiny = value(self, Self::VALUE, 0x8000_0004, 2, 4, b"Val");
        let tiny = value(tiny, Self::BINARY, 12, Self::DATA, 3, b"Bin");
        let tiny = value(tiny, Self::DEFAULT, 0, u32::MAX, 1, b"");
        tiny.data32(Self::VALUES, 0, Self::VALUE).data32(Self::VALUES, 4, Self::BINARY).data32(
            Self::VALUES,
            8,
            Self::DEFAULT,
        )
    }

    fn securities(mut self) -> Self {
        let (one, other) = (Self::SECURITY, Self::SECURITY_2);
        for (at, next, users) in [(one, other, 2), (other, one, 1)] {
            self = self.data16(at, 0, u16::from_le_bytes(*b"sk")).data32(at, 4, next).data32(at, 8, next);
            self = self.data32(at, 12, users).data32(at, 16, 8);
        }
        self
    }

    /// Sets a dword of the file.
    pub(super) fn put(mut self, offset: usize, value: u32) -> Self {
        self.bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn cell(self, at: u32, size: u32) -> Self {
        self.put(4096 + at as usize, size)
    }

    /// Sets a dword of a cell's data.
    pub(super) fn data32(self, cell: u32, field: usize, value: u32) -> Self {
        self.put(4096 + cell as usize + 4 + field, value)
    }

    /// Sets a word of a cell's data.
    pub(super) fn data16(mut self, cell: u32, field: usize, value: u16) -> Self {
        self.bytes[4096 + cell as usize + 4 + field..][..2].copy_from_slice(&value.to_le_bytes());
        self
    }

    /// Sets a byte of a cell's data.
    pub(super) fn data8(mut self, cell: u32, field: usize, value: u8) -> Self {
        self.bytes[4096 + cell as usize + 4 + field] = value;
        self
    }

    fn name(mut self, cell: u32, length: usize, place: usize, name: &[u8]) -> Self {
        self.bytes[4096 + cell as usize + 4 + place..][..name.len()].copy_from_slice(name);
        self.data16(cell, length, u16::try_from(name.len()).unwrap())
    }

    /// Renames the second subkey and updates its hash.
    pub(super) fn rename(self, key: u32, name: &[u8]) -> Self {
        let hash = Name::encode(std::str::from_utf8(name).unwrap()).hash();
        self.name(key, 72, 76, name).data32(Self::LIST, 16, hash)
    }

    pub(super) fn rename_value(self, value: u32, name: &[u8]) -> Self {
        self.name(value, 2, 20, name)
    }

    /// Swaps the two elements of the subkeys list.
    pub(super) fn swap_subkeys(mut self) -> Self {
        let list = 4096 + Self::LIST as usize + 4;
        self.bytes[list + 4..list + 20].rotate_left(8);
        self
    }

    /// Returns the bytes with a correct checksum.
    pub(super) fn sealed(self) -> Vec<u8> {
        let sum = BaseBlock::read_from_prefix(&self.bytes).unwrap().0.computed_checksum();
        self.put(508, sum).bytes
    }
}
