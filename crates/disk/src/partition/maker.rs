//! Writes tables for tests.

pub(super) const BASIC: [u8; 16] =
    [0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99, 0xc7];

/// Writes an entry and the signature into the sector at the start of `sector`.
pub(super) fn mbr_entry(sector: &mut [u8], slot: usize, status: u8, kind: u8, start: u32, sectors: u32) {
    let at = 446 + 16 * slot;
    sector[at] = status;
    sector[at + 4] = kind;
    sector[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
    sector[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    sector[510..512].copy_from_slice(&[0x55, 0xaa]);
}

/// Writes the signature of an NTFS boot sector to the sector at `at`.
pub(super) fn ntfs(image: &mut [u8], at: usize) {
    image[at..at + 11].copy_from_slice(b"\xeb\x52\x90NTFS    ");
    image[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
}

/// A disk with a GPT of 128 entries and its backup.
pub(super) struct GptMaker {
    sector: usize,
    sectors: usize,
    entries: Vec<u8>,
    count: u32,
}

impl GptMaker {
    pub(super) fn new(sector: usize, sectors: usize) -> Self {
        GptMaker { sector, sectors, entries: vec![0; 128 * 128], count: 128 }
    }

    pub(super) fn with(mut self, number: usize, kind: [u8; 16], first: u64, last: u64, name: &str) -> Self {
        let entry = &mut self.entries[(number - 1) * 128..][..128];
        entry[..16].copy_from_slice(&kind);
        entry[16] = number as u8;
        entry[32..40].copy_from_slice(&first.to_le_bytes());
        entry[40..48].copy_from_slice(&last.to_le_bytes());
        for (unit, to) in name.encode_utf16().zip(entry[56..].chunks_exact_mut(2)) {
            to.copy_from_slice(&unit.to_le_bytes());
        }
        self
    }

    pub(super) fn attributes(mut self, number: usize, bits: u64) -> Self {
        self.entries[(number - 1) * 128 + 48..][..8].copy_from_slice(&bits.to_le_bytes());
        self
    }

    pub(super) fn entry_count(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    pub(super) fn build(&self) -> Vec<u8> {
        let mut image = vec![0; self.sector * self.sectors];
        let last = self.sectors as u64 - 1;
        let room = self.entries.len().div_ceil(self.sector) as u64;
        mbr_entry(&mut image, 0, 0, 0xee, 1, last as u32);
        for (lba, alternate, entries) in [(1, last, 2), (last, 1, last - room)] {
            let header = self.header(lba, alternate, entries, room);
            image[lba as usize * self.sector..][..92].copy_from_slice(&header);
            image[entries as usize * self.sector..][..self.entries.len()].copy_from_slice(&self.entries);
        }
        image
    }

    fn header(&self, lba: u64, alternate: u64, entries: u64, room: u64) -> [u8; 92] {
        let mut header = [0; 92];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00");
        put(24, &lba.to_le_bytes());
        put(32, &alternate.to_le_bytes());
        put(40, &(2 + room).to_le_bytes());
        put(48, &(self.sectors as u64 - 2 - room).to_le_bytes());
        put(56, &[0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]);
        put(72, &entries.to_le_bytes());
        put(80, &self.count.to_le_bytes());
        put(84, &128u32.to_le_bytes());
        put(88, &crc32fast::hash(&self.entries).to_le_bytes());
        let crc = crc32fast::hash(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        header
    }
}
