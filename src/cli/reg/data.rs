//! Types and data in arguments and in output.

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::{Data, ValueType};
use hivewright_storage::hex;

/// Parses a type, by name or number.
pub(super) fn type_of(text: &str) -> Result<ValueType> {
    text.parse().map_err(|()| {
        Error::new(Kind::Unsupported, Code::RegData, format!("{text} is not a data type"))
            .advise("use REG_SZ, REG_EXPAND_SZ, REG_MULTI_SZ, REG_DWORD, REG_QWORD, REG_BINARY, REG_NONE or a number")
    })
}

/// Parses data of a type in the syntax of `reg add`.
pub(super) fn parse(kind: ValueType, text: &str) -> Result<Vec<u8>> {
    let invalid =
        |what: &str| Err(Error::new(Kind::Unsupported, Code::RegData, format!("the data of {kind} is {what}: {text}")));
    let number = || {
        let text = text.trim();
        let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        hex.map_or_else(|| text.parse(), |hex| u64::from_str_radix(hex, 16))
    };
    Ok(match kind {
        ValueType::SZ => Data::sz(text).to_bytes(),
        ValueType::EXPAND_SZ => Data::expand_sz(text).to_bytes(),
        ValueType::MULTI_SZ if text.is_empty() => Data::multi_sz::<&str>([]).to_bytes(),
        ValueType::MULTI_SZ => Data::multi_sz(text.split("\\0")).to_bytes(),
        ValueType::DWORD | ValueType::DWORD_BIG_ENDIAN => match number().map(u32::try_from) {
            Ok(Ok(number)) if kind == ValueType::DWORD => number.to_le_bytes().to_vec(),
            Ok(Ok(number)) => number.to_be_bytes().to_vec(),
            _ => return invalid("not a 32-bit number"),
        },
        ValueType::QWORD => match number() {
            Ok(number) => number.to_le_bytes().to_vec(),
            Err(_) => return invalid("not a 64-bit number"),
        },
        _ => match hex::decode(&text.replace([' ', ','], "").to_ascii_lowercase()) {
            Some(bytes) => bytes,
            None => return invalid("not hexadecimal"),
        },
    })
}

/// Formats data on one line, as `reg query` prints it.
pub(super) fn shown(data: &Data) -> String {
    let strings = |texts: Vec<String>| texts.join("\\0");
    match data {
        Data::Sz(text) | Data::ExpandSz(text) | Data::Link(text) => match text.to_str() {
            Some(text) => text,
            None => hex::encode(text.as_bytes()),
        },
        Data::MultiSz(texts) => strings(texts.strings().collect()),
        Data::Dword(number) | Data::DwordBigEndian(number) => format!("{number:#x}"),
        Data::Qword(number) => format!("{number:#x}"),
        other => hex::encode(&other.to_bytes()).to_uppercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_data_is_parsed_to_the_same() {
        for (kind, text, bytes) in [
            ("REG_SZ", "a", &b"a\0\0\0"[..]),
            ("reg_dword", "0x10", &[16, 0, 0, 0]),
            ("4", "4294967295", &[255; 4]),
            ("REG_QWORD", "0x100000000", &[0, 0, 0, 0, 1, 0, 0, 0]),
            ("REG_BINARY", "00FF", &[0, 255]),
            ("REG_NONE", "", &[]),
            ("0x20000", "0a", &[10]),
            ("REG_MULTI_SZ", "a\\0b", b"a\0\0\0b\0\0\0\0\0"),
            ("REG_MULTI_SZ", "", &[0, 0]),
        ] {
            let kind = type_of(kind).unwrap();
            let data = parse(kind, text).unwrap();
            assert_eq!(data, bytes, "{kind} {text}");
            assert_eq!(parse(kind, &shown(&Data::new(kind, data.clone()))).unwrap(), data, "{kind} {text}");
        }
        for (kind, text) in [("REG_DWORD", "4294967296"), ("REG_DWORD", ""), ("REG_QWORD", "-1"), ("REG_BINARY", "0")] {
            assert_eq!(parse(type_of(kind).unwrap(), text).unwrap_err().code(), Code::RegData, "{kind} {text}");
        }
        assert!(type_of("REG_NOTHING").is_err());
    }
}
