//! The filter for x86 code: addresses that instructions name relative to themselves are absolute in the compressed bytes, where
//! code seems to be that names the same address again and again.

/// Bytes of a chunk at its end that are left as they are; a shorter chunk is left so altogether.
const TAIL: usize = 16;
/// How far back the same address must have been named so that there seems to be code.
const NEAR: i32 = 65535;
/// How far behind such a place there still is code; half of it for calls, whose byte is a frequent one.
const REACH: i32 = 1023;

/// The pairs of bytes, as numbers, that such an instruction can begin with: a bit for each.
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

/// Turns absolute addresses back into relative ones. `last` is memory to be used again: where each address, its low 16 bits,
/// was named last.
pub(super) fn untranslate(bytes: &mut [u8], last: &mut Vec<i32>) {
    // Chunks have at most 2^30 bytes.
    let Some(end) = bytes.len().checked_sub(TAIL).filter(|end| *end > 1) else { return };
    last.clear();
    last.resize(1 << 16, -NEAR - 1);
    let mut code_at = -REACH - 1;
    // The first byte begins no instruction here.
    let mut at = 1;
    while at < end {
        // Most are none.
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
