//! Marvin32, the keyed hash of log entries (specification, "Log entries", notes 1 to 3). It detects torn writes, but
//! not forgery: the seed is constant.

/// The seed that Windows uses for every log entry.
pub const LOG_SEED: u64 = 0x82EF_4D88_7A4E_55C5;

/// Returns the hash of `bytes`. A log entry stores its lower half first.
pub fn marvin32(seed: u64, bytes: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h] = seed.to_le_bytes();
    let mut state = Accumulator { low: u32::from_le_bytes([a, b, c, d]), high: u32::from_le_bytes([e, f, g, h]) };
    let mut words = bytes.chunks_exact(4);
    for word in &mut words {
        state.mix(u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
    }
    let mut last = [0; 4];
    let rest = words.remainder();
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x80;
    state.mix(u32::from_le_bytes(last));
    state.mix(0);
    u64::from(state.high) << 32 | u64::from(state.low)
}

struct Accumulator {
    low: u32,
    high: u32,
}

impl Accumulator {
    #[inline]
    fn mix(&mut self, word: u32) {
        self.low = self.low.wrapping_add(word);
        self.high ^= self.low;
        self.low = self.low.rotate_left(20).wrapping_add(self.high);
        self.high = self.high.rotate_left(9) ^ self.low;
        self.low = self.low.rotate_left(27).wrapping_add(self.high);
        self.high = self.high.rotate_left(19);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_published_vectors() {
        let seed = 0x004F_B61A_001B_DBCC;
        for (bytes, hash) in [
            (&[][..], 0x30ED_35C1_00CD_3C7D),
            (&[0xAF], 0x48E7_3FC7_7D75_DDC1),
            (&[0xE7, 0x0F], 0xB5F6_E1FC_485D_BFF8),
            (&[0x37, 0xF4, 0x95], 0xF0B0_7C78_9B8C_F7E8),
            (&[0x86, 0x42, 0xDC, 0x59], 0x7008_F2E8_7E9C_F556),
            (&[0x15, 0x3F, 0xB7, 0x98, 0x26], 0xE6C0_8C6D_A2AF_A997),
        ] {
            assert_eq!(marvin32(seed, bytes), hash, "{bytes:x?}");
        }
    }
}
