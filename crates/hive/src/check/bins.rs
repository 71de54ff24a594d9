//! The bins, and the cells that fill them.

use zerocopy::FromBytes;

use super::cells::CellMap;
use super::report::{Finding, Report};
use super::rules::Rule;
use crate::regf::CellOffset;
use crate::regf::bin::{ALIGNMENT, BinHeader, HEADER_SIZE, SIGNATURE};
use crate::regf::cell::{self, Header};

/// Checks all bins and their cells. After an unreadable bin, continues at the next page that is a bin with the right
/// offset. If `truncated`, the last bin may exceed the end without a finding.
pub(super) fn tile<'h>(bins: &'h [u8], truncated: bool, report: &mut Report) -> CellMap<'h> {
    let mut map = CellMap::new(bins);
    let length = u32::try_from(bins.len()).unwrap_or(0);
    let mut at = 0;
    while at < length {
        let Some(header) = header(bins, at) else { break };
        let size = header.size.get();
        let fits = size != 0 && size.is_multiple_of(ALIGNMENT) && size <= length - at;
        let cut = truncated && size.is_multiple_of(ALIGNMENT) && size > length - at && is_bin(&header, at);
        if cut {
            break;
        }
        judge(&header, at, length, fits, report);
        if fits && (header.signature == SIGNATURE || header.offset.get() == at) {
            cells(bins, at, size, &mut map, report);
            report.facts.bins += 1;
            at += size;
        } else {
            at = next_bin(bins, at);
        }
    }
    map
}

/// Returns whether the first page of `bins` is the first hive bin.
pub(super) fn begin_here(bins: &[u8]) -> bool {
    header(bins, 0).is_some_and(|header| is_bin(&header, 0))
}

fn header(bins: &[u8], at: u32) -> Option<BinHeader> {
    Some(BinHeader::read_from_prefix(bins.get(at as usize..)?).ok()?.0)
}

fn is_bin(header: &BinHeader, at: u32) -> bool {
    header.signature == SIGNATURE && header.offset.get() == at
}

/// Returns the next page that begins with the header of the bin that belongs there, or the end.
fn next_bin(bins: &[u8], after: u32) -> u32 {
    let length = u32::try_from(bins.len()).unwrap_or(0);
    let mut at = after + ALIGNMENT;
    while at < length && !header(bins, at).is_some_and(|header| is_bin(&header, at)) {
        at += ALIGNMENT;
    }
    at
}

fn judge(header: &BinHeader, at: u32, length: u32, fits: bool, report: &mut Report) {
    let place = CellOffset(at).in_file();
    let here = header.offset.get() == at;
    if header.signature != SIGNATURE {
        report.add(
            Finding::new(Rule::BinSignature, place, "hive bin signature")
                .expected("\"hbin\"", format_args!("\"{}\"", header.signature.escape_ascii())),
        );
        if !here {
            // Without a signature, the fields have no meaning.
            return;
        }
    }
    if !here {
        report.add(
            Finding::new(Rule::BinOffset, place + 4, "the hive bin's own offset")
                .expected(CellOffset(at), CellOffset(header.offset.get())),
        );
    }
    if !fits {
        report.add(
            Finding::new(Rule::BinSize, place + 8, "hive bin size")
                .expected(format_args!("a multiple of 4096, at most {}", length - at), header.size),
        );
    }
}

/// Checks the cells of the bin at `bin`, whose `size` bytes are complete.
fn cells(bins: &[u8], bin: u32, size: u32, map: &mut CellMap<'_>, report: &mut Report) {
    let end = bin + size;
    let mut at = bin + HEADER_SIZE;
    let mut after_free = false;
    while at < end {
        let here = CellOffset(at);
        let raw = bins.get(at as usize..).and_then(<[u8]>::first_chunk::<{ cell::HEADER_SIZE }>);
        let header = raw.and_then(|raw| Header::parse(*raw, here).ok());
        let Some(header) = header.filter(|header| header.size <= end - at) else {
            let actual = raw.map_or(0, |raw| i32::from_le_bytes(*raw));
            let mut finding = Finding::new(Rule::CellSize, here.in_file(), "cell size")
                .expected(format_args!("a multiple of 8, at most {}", end - at), actual);
            finding.cell = Some(here);
            report.add(finding);
            return;
        };
        let facts = &mut report.facts;
        facts.cells += 1;
        if header.allocated {
            facts.allocated_cells += 1;
            map.allocate(here);
        } else {
            facts.free_cells += 1;
            facts.free_bytes += u64::from(header.size);
            facts.largest_free_cell = facts.largest_free_cell.max(u64::from(header.size));
            if after_free {
                let what = "a free cell follows a free cell";
                let mut finding = Finding::new(Rule::AdjacentFreeCells, here.in_file(), what);
                finding.cell = Some(here);
                report.add(finding);
            }
        }
        after_free = !header.allocated;
        at += header.size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tiny::{Tiny, codes};

    fn bins(count: u32) -> Vec<u8> {
        let mut out = Vec::new();
        for i in 0..count {
            let mut bin = vec![0; 4096];
            bin[..4].copy_from_slice(b"hbin");
            bin[4..8].copy_from_slice(&(i * 4096).to_le_bytes());
            bin[8..12].copy_from_slice(&4096u32.to_le_bytes());
            bin[32..36].copy_from_slice(&4064u32.to_le_bytes());
            out.extend(bin);
        }
        out
    }

    fn tiled(bins: &[u8], truncated: bool) -> Vec<(&'static str, u64)> {
        let mut report = Report::for_file(bins.len());
        tile(bins, truncated, &mut report);
        report.findings.iter().map(|f| (f.rule.code().as_str(), f.offset)).collect()
    }

    #[test]
    fn the_check_continues_after_a_damaged_bin() {
        let mut raw = bins(4);
        assert_eq!(tiled(&raw, false), []);
        raw[4096..12288].fill(0xaa);
        raw[12288 + 32] = 1;
        assert_eq!(tiled(&raw, false), [("bin-signature", 8192), ("cell-size", 4096 + 12288 + 32)]);
    }

    #[test]
    fn fields_of_a_bin_have_their_codes() {
        let mut raw = bins(2);
        raw[0] = b'x';
        assert_eq!(tiled(&raw, false), [("bin-signature", 4096)]);
        raw = bins(2);
        raw[4097] = b'x';
        assert_eq!(tiled(&raw, false), [("bin-signature", 8192)]);
        raw = bins(2);
        raw[4100] = 7;
        assert_eq!(tiled(&raw, false), [("bin-offset", 8196)]);
        raw = bins(2);
        raw[4104 + 1] = 0x20;
        assert_eq!(tiled(&raw, false), [("bin-size", 8200)]);
        assert_eq!(tiled(&raw, true), [], "the file's end is to blame");
    }

    #[test]
    fn cell_sizes_and_free_neighbours() {
        let free = Tiny::FREE as usize;
        for bad in [0i32, 13, -13, -4096, 8192, i32::MIN] {
            let mut tiny = Tiny::new();
            tiny.bytes[4096 + free..][..4].copy_from_slice(&bad.to_le_bytes());
            assert_eq!(codes(&tiny.bytes), ["cell-size"], "{bad}");
        }
        let mut tiny = Tiny::new();
        let rest = 4096 - Tiny::FREE - 16;
        tiny.bytes[4096 + free..][..4].copy_from_slice(&16i32.to_le_bytes());
        tiny.bytes[4096 + free + 16..][..4].copy_from_slice(&rest.to_le_bytes());
        assert_eq!(codes(&tiny.bytes), ["adjacent-free-cells"]);
        tiny.bytes[4096 + free..][..4].copy_from_slice(&(-16i32).to_le_bytes());
        assert_eq!(codes(&tiny.bytes), ["unreferenced-cell"]);
    }
}
