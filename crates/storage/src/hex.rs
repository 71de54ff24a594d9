//! Bytes as hexadecimal text. Uses tables, because most of an undo file is hexadecimal.

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Marks a character that is not a digit.
const NONE: u8 = 0xff;

/// The value of each hexadecimal digit.
const VALUES: [u8; 256] = {
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        table[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    table
};

/// The two digits of each byte.
const PAIRS: [[u8; 2]; 256] = {
    let mut table = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    table
};

/// Returns two lower-case digits for each byte.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = vec![0; bytes.len() * 2];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = PAIRS[usize::from(*byte)];
    }
    // Digits are ASCII, so the default is never used.
    String::from_utf8(text).unwrap_or_default()
}

/// Decodes the output of [`encode`]; `None` for any other text.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = vec![0; pairs.len()];
    let mut seen = if rest.is_empty() { 0 } else { NONE };
    for (byte, pair) in bytes.iter_mut().zip(pairs) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        seen |= high | low;
        *byte = high << 4 | low & 15;
    }
    (seen <= 15).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all)).unwrap(), all);
        assert_eq!(encode(&[0, 0x1f, 0xa0]), "001fa0");
        for bad in ["0", "0g", "G0", "é", "0F"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
