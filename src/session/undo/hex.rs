//! Bytes as hexadecimal text.

use crate::error::Result;

use super::record::damaged;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

pub(super) fn encode(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

pub(super) fn decode(text: &str) -> Result<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect();
    bytes.filter(|_| rest.is_empty()).ok_or_else(|| damaged("it holds bytes that are not hexadecimal"))
}

pub(super) fn decode_array(text: &str) -> Result<[u8; 32]> {
    decode(text)?.try_into().map_err(|_| damaged("a hash has the wrong length"))
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}
