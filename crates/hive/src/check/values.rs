//! Checks values: the values list, the names, and the location of the data.

use std::hash::RandomState;

use zerocopy::FromBytes;

use super::names::CheckedName;
use super::rules::Rule;
use super::{Checker, Position};
use crate::regf::CellOffset;
use crate::regf::big_data::{self, BigData};
use crate::regf::key_node::{KeyNode, flags};
use crate::regf::key_value::{self, INLINE, KeyValue, LATIN1_NAME, Location, MAX_NAME_CHARACTERS, ValueType};

/// The only value of a symbolic link.
const LINK_VALUE: &str = "SymbolicLinkValue";

/// Maximum number of names with equal hashes of which all pairs are compared.
const PAIRWISE_LIMIT: usize = 8;

/// The largest sizes among a key's values, in bytes.
#[derive(Default)]
struct Largest {
    name: usize,
    data: usize,
}

impl<'h> Checker<'h> {
    /// Checks the values of the key at `index`, whose key node lies at `at`.
    pub(super) fn values(&mut self, index: usize, at: CellOffset, node: &KeyNode) {
        let count = node.values();
        if count == 0 {
            return;
        }
        let list_at = CellOffset(node.values_list.get());
        let Some(list) = self.take(list_at, Position::field(at, 40, Some(index)), "a values list") else { return };
        let room = list.len() / 4;
        if room < count as usize {
            self.whole = false;
            let position = Position::field(at, 36, Some(index));
            let expected = format_args!("at most {room}");
            self.find(
                Rule::ValuesListSize,
                position,
                "more values than the list can contain",
                Some((&expected, &count)),
            );
            return;
        }
        if node.is_tombstone(self.minor) {
            self.find(Rule::TombstoneValues, Position::field(at, 36, Some(index)), "a tombstone key has values", None);
        }
        let mut largest = Largest::default();
        self.names.clear();
        for (i, raw) in list.chunks_exact(4).take(count as usize).enumerate() {
            let value_at = CellOffset(u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
            self.value(value_at, Position::field(list_at, i * 4, Some(index)), node, &mut largest);
        }
        self.bounds(index, at, node, &largest);
        self.duplicates(index);
    }

    fn value(&mut self, at: CellOffset, position: Position, key: &KeyNode, largest: &mut Largest) {
        let Some(data) = self.take(at, position, "a value") else { return };
        let value = match KeyValue::parse(data, at) {
            Ok(value) => value,
            Err(error) => {
                return self.parse_error(
                    &error,
                    Rule::ValueSignature,
                    Position::field(at, 0, position.key).of_value(at),
                );
            }
        };
        self.report.facts.values += 1;
        let name = name_of(data, &value);
        let wrong = if name.is_odd() {
            Some("the name of the value ends inside a character")
        } else if name.characters() > MAX_NAME_CHARACTERS {
            Some("the value's name is longer than 16,383 characters")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            self.find(Rule::ValueName, Position::field(at, 2, position.key).of_value(at), wrong, None);
        }
        if key.has(flags::SYMBOLIC_LINK) && !name.name().matches(LINK_VALUE) {
            self.find(
                Rule::LinkValues,
                Position::field(at, 0, position.key).of_value(at),
                "a symbolic link has another value",
                None,
            );
        }
        self.names.push((name.hash, at.0));
        largest.name = largest.name.max(name.utf16_size());
        let size = self.size(at, position.key, &value);
        largest.data = largest.data.max(size);
    }

    /// Checks the data and returns its size in bytes.
    fn size(&mut self, at: CellOffset, key: Option<usize>, value: &KeyValue) -> usize {
        let size = (value.data_size.get() & !INLINE) as usize;
        let tombstone = value.is_tombstone(self.minor);
        if value.data_type.get() == ValueType::DWORD.0 && size != 4 && !tombstone {
            self.find(
                Rule::DwordSize,
                Position::field(at, 4, key).of_value(at),
                "size of a REG_DWORD",
                Some((&4, &size)),
            );
        }
        match value.location() {
            Location::Inline { .. } | Location::Cell { size: 0, .. } => {}
            Location::Cell { at: data_at, .. } => {
                if size <= 4 {
                    let what = "small data is in a cell";
                    self.find(Rule::DataNotInline, Position::field(at, 4, key).of_value(at), what, None);
                }
                self.data(at, data_at, size, key);
            }
        }
        size
    }

    fn data(&mut self, value_at: CellOffset, at: CellOffset, size: usize, key: Option<usize>) {
        let field = |offset| Position::field(value_at, offset, key).of_value(value_at);
        let Some(data) = self.take(at, field(8), "a value's data") else { return };
        let segmented = big_data::is_used(size, data);
        if segmented != big_data::is_wanted(self.minor, size) && (segmented || data.len() >= size) {
            let what =
                if segmented { "segments where one cell should be" } else { "one cell where segments should be" };
            self.find(Rule::BigDataVersion, field(4), what, None);
        }
        if segmented {
            match BigData::parse(data, at, size) {
                Ok(record) => self.segments(Position::field(at, 0, key).of_value(value_at), &record, size),
                Err(error) => self.parse_error(&error, Rule::BigData, Position::field(at, 0, key).of_value(value_at)),
            }
        } else if data.len() < size {
            self.whole = false;
            let expected = format_args!("at most {} bytes", data.len());
            self.find(Rule::ValueData, field(4), "the data exceeds its cell", Some((&expected, &size)));
        }
    }

    /// Checks the segments of big data. `place` is the position of its record.
    fn segments(&mut self, place: Position, record: &BigData, size: usize) {
        let field = |cell, offset| Position { value: place.value, ..Position::field(cell, offset, place.key) };
        let list_at = CellOffset(record.list.get());
        let Some(list) = self.take(list_at, field(place.cell, 4), "a list of segments") else { return };
        let count = usize::from(record.segment_count.get());
        if list.len() / 4 < count {
            self.whole = false;
            let position = field(place.cell, 2);
            let expected = format_args!("at most {}", list.len() / 4);
            return self.find(
                Rule::BigData,
                position,
                "more segments than the list can contain",
                Some((&expected, &count)),
            );
        }
        for (i, raw) in list.chunks_exact(4).take(count).enumerate() {
            let at = CellOffset(u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]));
            let Some(data) = self.take(at, field(list_at, i * 4), "a segment") else { continue };
            let share = size.saturating_sub(i * big_data::SEGMENT_SIZE).min(big_data::SEGMENT_SIZE);
            if data.len() < share {
                self.whole = false;
                self.find(
                    Rule::BigData,
                    field(at, 0),
                    "a segment of big data is too small",
                    Some((&share, &data.len())),
                );
            }
        }
    }

    fn bounds(&mut self, index: usize, at: CellOffset, node: &KeyNode, largest: &Largest) {
        let said = node.largest_value_name.get() as usize;
        if largest.name > said {
            let position = Position::field(at, 60, Some(index));
            self.find(Rule::MaxValueName, position, "size of the largest value name", Some((&largest.name, &said)));
        }
        let said = node.largest_value_data.get() as usize;
        if largest.data > said {
            let position = Position::field(at, 64, Some(index));
            self.find(Rule::MaxValueData, position, "size of the largest value data", Some((&largest.data, &said)));
        }
    }

    /// Compares values with equal hashes; there are nearly always none.
    fn duplicates(&mut self, index: usize) {
        let mut names = std::mem::take(&mut self.names);
        names.sort_unstable();
        let mut duplicates = Vec::new();
        for run in names.chunk_by(|a, b| a.0 == b.0).filter(|run| run.len() > 1) {
            if run.len() <= PAIRWISE_LIMIT {
                self.duplicates_of_few(run, &mut duplicates)
            } else {
                self.duplicates_of_many(run, &mut duplicates)
            }
        }
        duplicates.sort_unstable();
        for at in duplicates {
            let position = Position::field(CellOffset(at), 0, Some(index)).of_value(CellOffset(at));
            self.find(Rule::DuplicateValue, position, "another value of the key has the same name", None);
        }
        self.names = names;
    }

    fn duplicates_of_few(&self, run: &[(u32, u32)], duplicates: &mut Vec<u32>) {
        for (i, &(_, at)) in run.iter().enumerate() {
            if run[..i].iter().any(|&(_, before)| self.same_name(before, at)) {
                duplicates.push(at);
            }
        }
    }

    /// Finds equal names among many with one hash. An attacker can make such names, so a keyed hash distinguishes them
    /// in linear time.
    fn duplicates_of_many(&self, run: &[(u32, u32)], duplicates: &mut Vec<u32>) {
        let keyed = RandomState::new();
        let hash = |at| self.value_name(at).map(|name| name.keyed_hash(&keyed));
        let mut hashes: Vec<(Option<u64>, u32)> = run.iter().map(|&(_, at)| (hash(at), at)).collect();
        hashes.sort_unstable();
        let pairs = hashes.windows(2).filter(|pair| pair[0].0 == pair[1].0 && self.same_name(pair[0].1, pair[1].1));
        duplicates.extend(pairs.map(|pair| pair[1].1));
    }

    fn same_name(&self, a: u32, b: u32) -> bool {
        let names = self.value_name(a).zip(self.value_name(b));
        names.is_some_and(|(a, b)| {
            a.compare(&b).is_eq() && (a.bytes == b.bytes || a.has_stable_case() && b.has_stable_case())
        })
    }

    pub(super) fn value_name(&self, at: u32) -> Option<CheckedName<'h>> {
        let data = self.map.data(CellOffset(at))?;
        let (value, rest) = KeyValue::read_from_prefix(data).ok()?;
        let is_there = value.signature == *b"vk" && usize::from(value.name_length.get()) <= rest.len();
        is_there.then(|| name_of(data, &value))
    }
}

/// Returns the name of a value that was read from `data`.
fn name_of<'h>(data: &'h [u8], value: &KeyValue) -> CheckedName<'h> {
    let name = data.get(key_value::SIZE..).and_then(|rest| rest.get(..usize::from(value.name_length.get())));
    CheckedName::new(name.unwrap_or_default(), value.flags.get() & LATIN1_NAME != 0)
}

#[cfg(test)]
mod tests {
    use crate::check::tiny::{Tiny, codes};

    #[test]
    fn values_have_their_codes() {
        let tiny = Tiny::new;
        assert_eq!(codes(&tiny().data32(Tiny::ALPHA, 36, 99).bytes), ["values-list-size"]);
        assert_eq!(codes(&tiny().data16(Tiny::VALUE, 0, 0).bytes), ["value-signature"]);
        assert_eq!(codes(&tiny().data16(Tiny::VALUE, 2, 200).bytes), ["value-name"]);
        assert_eq!(codes(&tiny().data16(Tiny::VALUE, 2, 3).data16(Tiny::VALUE, 16, 0).bytes), ["value-name"]);
        assert_eq!(codes(&tiny().data32(Tiny::VALUE, 4, 0x8000_0005).bytes), ["value-data"]);
        assert_eq!(codes(&tiny().data32(Tiny::VALUE, 4, 0x8000_0002).bytes), ["dword-size"]);
        assert_eq!(codes(&tiny().data32(Tiny::BINARY, 4, 13).bytes), ["max-value-data", "value-data"]);
        assert_eq!(codes(&tiny().data32(Tiny::BINARY, 4, 4).bytes), ["data-not-inline"]);
        assert_eq!(codes(&tiny().data32(Tiny::ALPHA, 60, 4).bytes), ["max-value-name"]);
        assert_eq!(codes(&tiny().data32(Tiny::ALPHA, 64, 4).bytes), ["max-value-data"]);
        assert_eq!(codes(&tiny().data32(Tiny::VALUES, 0, Tiny::BINARY).bytes), ["cell-shared"]);
    }

    #[test]
    fn names_that_differ_in_case_are_duplicates() {
        assert_eq!(codes(&Tiny::new().rename_value(Tiny::VALUE, b"BIN").bytes), ["duplicate-value"]);
    }

    #[test]
    fn a_predefined_handle_is_not_a_value_count() {
        let tiny = Tiny::new().data16(Tiny::BETA, 2, 0x60).data32(Tiny::BETA, 36, 0x8000_0001);
        assert_eq!(codes(&tiny.bytes), [""; 0]);
    }

    #[test]
    fn values_of_links_and_tombstones_are_reported() {
        let link = codes(&Tiny::new().data16(Tiny::ALPHA, 2, 0x30).bytes);
        assert_eq!(link, ["link-values"; 3]);
        let tombstone = Tiny::new().data8(Tiny::ALPHA, 13, 1);
        assert_eq!(codes(&tombstone.bytes), [""; 0], "no layers in 1.5");
        assert_eq!(codes(&Tiny::new().data8(Tiny::ALPHA, 13, 1).put(24, 6).sealed()), ["tombstone-values"]);
    }

    #[test]
    fn segment_sizes_and_versions_are_checked() {
        let big = || Tiny::with_big_data();
        assert_eq!(codes(&big().bytes), [""; 0]);
        assert_eq!(codes(&big().put(24, 3).sealed()), ["big-data-version", "list-version"]);
        assert_eq!(codes(&big().data16(Tiny::RECORD, 2, 3).bytes), ["big-data"]);
        assert_eq!(codes(&big().data32(Tiny::BINARY, 4, 16_344 + 16_345).bytes), ["big-data"]);
        assert_eq!(codes(&big().data32(Tiny::RECORD, 4, 0x24).bytes), ["cell-reference"]);
    }
}
