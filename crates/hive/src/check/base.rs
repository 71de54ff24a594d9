//! The base block, and the extent of the bins that can be read.

use super::bins;
use super::report::{Finding, Report};
use super::rules::Rule;
use crate::regf::base_block::{BaseBlock, SIGNATURE};
use crate::regf::{BASE_BLOCK_SIZE, CellOffset, bin};

/// The fields of the base block, bounded by the size of the file.
pub(super) struct BinsExtent {
    pub(super) minor: u32,
    pub(super) root: CellOffset,
    /// Bytes of bins to check, a multiple of 4096.
    pub(super) length: u32,
    /// Whether the base block claims more bins than the file holds.
    pub(super) truncated: bool,
}

/// Checks the base block. Returns `None` if the rest of the file is not that of a hive.
pub(super) fn base_block(bytes: &[u8], report: &mut Report) -> Option<BinsExtent> {
    let Some(block) = read(bytes) else {
        let what = "the file is too short for a base block";
        report.add(Finding::new(Rule::BaseSignature, 0, what).expected("4096 bytes", bytes.len()));
        return None;
    };
    let first_bin = bytes.get(BASE_BLOCK_SIZE as usize..).is_some_and(bins::begin_here);
    if block.signature != SIGNATURE {
        report.add(
            Finding::new(Rule::BaseSignature, 0, "the base block's signature is missing")
                .expected("\"regf\"", format_args!("\"{}\"", block.signature.escape_ascii())),
        );
        if !first_bin {
            return None;
        }
    }
    fields(&block, report);
    let extent = extent(&block, bytes.len() as u64, report);
    // Logs and truncated files begin with a base block too: if there is no bin, bins are not checked. A valid base
    // block is trusted, even if the first bin is damaged.
    let believed = first_bin || (block.signature == SIGNATURE && block.file_type.get() == 0);
    Some(extent).filter(|extent| extent.length > 0 && believed)
}

fn read(bytes: &[u8]) -> Option<BaseBlock> {
    use zerocopy::FromBytes;
    BaseBlock::read_from_prefix(bytes).ok().map(|(block, _)| block)
}

fn fields(block: &BaseBlock, report: &mut Report) {
    let mut add = |rule, offset, what: &str, expected: String, actual: String| {
        report.add(Finding::new(rule, offset, what).expected(expected, actual));
    };
    let (first, second) = (block.primary_sequence.get(), block.secondary_sequence.get());
    if first != second {
        let what = "the sequence numbers differ: a write was begun and not finished";
        add(Rule::DirtySequence, 4, what, first.to_string(), second.to_string());
    }
    let (major, minor) = (block.major_version.get(), block.minor_version.get());
    if major != 1 || !(3..=6).contains(&minor) {
        add(Rule::BaseVersion, 20, "hive version", "1.3 to 1.6".to_owned(), format!("{major}.{minor}"));
    }
    if block.file_type.get() != 0 {
        let what = "not a primary hive file (a transaction log?)";
        add(Rule::FileType, 28, what, "0".to_owned(), block.file_type.to_string());
    }
    if block.file_format.get() != 1 {
        add(Rule::FileFormat, 32, "file format", "1".to_owned(), block.file_format.to_string());
    }
    if !block.checksum_holds() {
        let (expected, actual) = (block.computed_checksum(), block.checksum.get());
        add(Rule::BaseChecksum, 508, "base block checksum", format!("{expected:#010x}"), format!("{actual:#010x}"));
    }
}

fn extent(block: &BaseBlock, file_len: u64, report: &mut Report) -> BinsExtent {
    let length = block.length.get();
    report.facts.length = u64::from(length);
    report.facts.slack = file_len.saturating_sub(block.end_of_bins());
    if length == 0 || !length.is_multiple_of(bin::ALIGNMENT) || i32::try_from(length).is_err() {
        report.add(
            Finding::new(Rule::LengthAlignment, 40, "hive bins data size")
                .expected("a positive multiple of 4096 below 2 GiB", length),
        );
    }
    let truncated = block.end_of_bins() > file_len;
    if truncated {
        report.add(
            Finding::new(Rule::LengthPastEnd, 40, "the file ends before its hive bins do")
                .expected(format_args!("{} bytes", block.end_of_bins()), file_len),
        );
    }
    if !file_len.is_multiple_of(u64::from(bin::ALIGNMENT)) {
        report.add(
            Finding::new(Rule::RaggedEnd, file_len - 1, "the file's size is not a multiple of 4096")
                .expected(file_len.next_multiple_of(u64::from(bin::ALIGNMENT)), file_len),
        );
    }
    let there = file_len.saturating_sub(u64::from(BASE_BLOCK_SIZE)).min(u64::from(length)).min(i32::MAX as u64);
    let length = u32::try_from(there).unwrap_or(0) / bin::ALIGNMENT * bin::ALIGNMENT;
    BinsExtent { minor: block.minor_version.get(), root: block.root(), length, truncated }
}

#[cfg(test)]
mod tests {
    use crate::check::tiny::{Tiny, codes};

    #[test]
    fn each_field_has_its_code() {
        let field = |offset, value| Tiny::new().put(offset, value).sealed();
        assert_eq!(codes(&field(20, 2)), ["base-version"]);
        assert_eq!(codes(&field(24, 7)), ["base-version"]);
        assert_eq!(codes(&field(28, 1)), ["file-type"]);
        assert_eq!(codes(&field(32, 0)), ["file-format"]);
        assert_eq!(codes(&field(40, 4097)), ["length-alignment", "length-past-end"]);
        assert_eq!(codes(&field(40, 0)), ["length-alignment"]);
        assert_eq!(codes(&field(40, 8192)), ["length-past-end"]);
        assert_eq!(codes(&field(4, 9)), ["dirty-sequence"]);
        assert_eq!(codes(&Tiny::new().put(508, 9).bytes), ["base-checksum"]);
        assert_eq!(codes(&Tiny::new().put(0, 9).sealed()), ["base-signature"]);
    }

    #[test]
    fn files_that_are_not_hives_are_reported() {
        assert_eq!(codes(b""), ["base-signature"]);
        assert_eq!(codes(&[0; 8192]), ["base-signature"]);
        let tiny = Tiny::new().sealed();
        assert_eq!(codes(&tiny[..4096]), ["length-past-end"]);
        assert_eq!(codes(&tiny[..700]), ["length-past-end", "ragged-end"]);
        let mut long = tiny.clone();
        long.extend([1, 2, 3]);
        assert_eq!(codes(&long), ["ragged-end"]);
    }
}
