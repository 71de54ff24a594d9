//! The filter for x86 code. The compressor converts relative addresses of instructions to absolute ones in ranges that
//! resemble code, where the same address occurs repeatedly.

/// Number of bytes at the end of a chunk that are not filtered. A shorter chunk is not filtered.
const TAIL: usize = 16;
/// Maximum distance of two occurrences of an address that indicate code.
const NEAR: i32 = 65535;
/// Length of the range after such an occurrence that counts as code; half of it for calls, whose opcode is frequent.
const REACH: i32 = 1023;

/// A bitmap of the two-byte numbers with which such an instruction can begin.
static PAIRS: [u64; 1024] = {
    let mut all = [0; 1024];
    let mut second = 0;
    while second < 256 {
        let mut first = 0;
        while first < 256 {
            let begins = match [first, second] {
                [0x48, 0x8b | 0x8d] | [0x4c, 0x8d] | [0xe8 | 0xe9, _] | [0xf0, 0x83] | [0xff, 0x15] => 1,
                _ => 0,
            };
            let pair = second << 8 | first;
            all[pair >> 6] |= begins << (pair & 63);
            first += 1;
        }
        second += 1;
    }
    all
};

/// Converts absolute addresses back to relative ones. `last` is reused memory: the last occurrence of each address, by
/// its low 16 bits.
pub(super) fn untranslate(bytes: &mut [u8], last: &mut Vec<i32>) {
    // Chunks have at most 2^30 bytes.
    let Some(end) = bytes.len().checked_sub(TAIL).filter(|end| *end > 1) else { return };
    last.clear();
    last.resize(1 << 16, -NEAR - 1);
    let mut code_at = -REACH - 1;
    // The first byte never begins an instruction.
    let mut at = 1;
    while at < end {
        // Most bytes do not begin an instruction.
        let pair = usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        if PAIRS[pair >> 6] >> (pair & 63) & 1 == 0 {
            at += 1;
            continue;
        }
        let (opcode, reach) = match bytes[at..at + 3] {
            [0x48, 0x8b, 0x05 | 0x0d] => (3, REACH),
            [0x48 | 0x4c, 0x8d, operand] if operand & 7 == 5 => (3, REACH),
            [0xe8, ..] => (1, REACH / 2),
            [0xe9, ..] => {
                at += 5;
                continue;
            }
            [0xf0, 0x83, 0x05] => (3, REACH),
            [0xff, 0x15, _] => (2, REACH),
            _ => {
                at += 1;
                continue;
            }
        };
        let here = at as i32;
        let field = &mut bytes[at + opcode..at + opcode + 4];
        let value = i32::from_le_bytes([field[0], field[1], field[2], field[3]]);
        let mut relative = value;
        if here - code_at <= reach {
            relative = value.wrapping_sub(here);
            field.copy_from_slice(&relative.to_le_bytes());
        }
        // The low 16 bits of the absolute address.
        let target = usize::from(here.wrapping_add(relative) as u16);
        at += opcode + 4;
        let end = at as i32 - 1;
        if end - last[target] <= NEAR {
            code_at = end;
        }
        last[target] = end;
    }
}
