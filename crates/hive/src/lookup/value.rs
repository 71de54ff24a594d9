//! Looks values up by name, iterates over them, and reads their data.

use std::borrow::Cow;

use super::reference::Referrer;
use super::{Key, offset_in, slice};
use crate::regf::CellOffset;
use crate::regf::big_data::{self, BigData};
use crate::regf::key_value::{self, KeyValue, Location, ValueType};
use crate::regf::name::Name;
use crate::{Data, Hive, HiveBytes};
use hivewright_error::{Code, Error, Kind, Result};

/// A value of a key.
#[derive(Debug)]
pub struct Value<'h, B> {
    hive: &'h Hive<B>,
    at: CellOffset,
    index: u32,
    node: KeyValue,
    name: Name<'h>,
}

// Derived, this would ask for `B: Clone`.
impl<B> Clone for Value<'_, B> {
    fn clone(&self) -> Self {
        Value { hive: self.hive, at: self.at, index: self.index, node: self.node, name: self.name.clone() }
    }
}

impl<'h, B: HiveBytes> Value<'h, B> {
    /// Returns the cell offset of the key value.
    pub fn at(&self) -> CellOffset {
        self.at
    }

    /// Returns the hive that the value belongs to.
    pub fn hive(&self) -> &'h Hive<B> {
        self.hive
    }

    /// Returns its index in the values list.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Returns the fixed part of the key value.
    pub fn node(&self) -> &KeyValue {
        &self.node
    }

    /// Returns its name; empty for the default value.
    pub fn name(&self) -> &Name<'h> {
        &self.name
    }

    /// Returns the type of the data.
    pub fn data_type(&self) -> ValueType {
        ValueType(self.node.data_type.get())
    }

    /// Returns the number of bytes of the data.
    pub fn size(&self) -> usize {
        match self.node.location() {
            Location::Inline { size, .. } => size,
            Location::Cell { size, .. } => size as usize,
        }
    }

    /// Reads the data and interprets it by its type.
    ///
    /// # Errors
    /// A cell that holds the data is damaged.
    pub fn data(&self) -> Result<Data> {
        Ok(Data::new(self.data_type(), self.raw_data()?))
    }

    /// Reads the data as bytes, borrowed from the hive if they are contiguous.
    ///
    /// # Errors
    /// A cell that holds the data is damaged.
    pub fn raw_data(&self) -> Result<Cow<'h, [u8]>> {
        self.hive.data_of(self.at, &self.node)
    }
}

/// An element of a values list that cannot be read.
#[derive(Debug)]
pub struct DamagedValue {
    /// Its index in the values list.
    pub index: u32,
    /// The cell offset in the list.
    pub at: CellOffset,
    /// The name, if the damaged bytes contain it.
    pub name: Option<String>,
    /// The damage.
    pub error: Error,
}

impl DamagedValue {
    fn new(index: u32, at: CellOffset, cell: Option<&[u8]>, error: Error) -> Self {
        DamagedValue { index, at, name: cell.and_then(name_of_damaged), error }
    }
}

impl From<DamagedValue> for Error {
    fn from(damaged: DamagedValue) -> Error {
        match damaged.name {
            Some(name) => damaged.error.about(&format!("the value {name:?}")),
            None => damaged.error.about(&format!("element {} of the values list", damaged.index)),
        }
    }
}

/// Returns the name in the cell of a damaged key value, if its fields locate one.
fn name_of_damaged(cell: &[u8]) -> Option<String> {
    let short = |at: usize| Some(u16::from_le_bytes(*cell.get(at..)?.first_chunk()?));
    let name = cell.get(key_value::SIZE..)?.get(..usize::from(short(2)?))?;
    let name = Name::new(Cow::Borrowed(name), short(16)? & key_value::LATIN1_NAME != 0).to_string();
    (!name.is_empty() && !name.contains([char::REPLACEMENT_CHARACTER, '\0'])).then_some(name)
}

impl<'h, B: HiveBytes> Key<'h, B> {
    /// Returns the first value called `name`, without regard to case; the empty name is the default value. Damage of
    /// other values has no effect.
    ///
    /// # Errors
    /// The list is damaged; the value is not found, and an unreadable value may have the name.
    pub fn value<'n>(&self, name: impl Into<Name<'n>>) -> Result<Option<Value<'h, B>>> {
        let name = name.into();
        self.value_that(|value| value.name.equals(&name))
    }

    /// Returns the first value that satisfies a predicate. See [`Key::value`].
    pub(crate) fn value_that(&self, is_wanted: impl Fn(&Value<'h, B>) -> bool) -> Result<Option<Value<'h, B>>> {
        let mut damage = None;
        for value in self.values()? {
            match value {
                Ok(value) if is_wanted(&value) => return Ok(Some(value)),
                Ok(_) => {}
                Err(damaged) if damaged.error.kind() == Kind::Io => return Err(damaged.error),
                Err(damaged) => {
                    damage.get_or_insert(damaged);
                }
            }
        }
        damage.map_or(Ok(None), |damaged| Err(damaged.into()))
    }

    /// Returns an iterator over all values, in the order of the list. A value that cannot be read is an error in its
    /// place; the iteration goes on after it.
    ///
    /// # Errors
    /// The list as a whole cannot be read.
    pub fn values(&self) -> Result<impl Iterator<Item = std::result::Result<Value<'h, B>, DamagedValue>> + use<'h, B>> {
        let list = ValuesList::of(self)?;
        Ok((0..self.node.values()).map(move |index| list.value(index)))
    }

    /// Returns the value at an index of the values list. See [`Value::index`].
    ///
    /// # Errors
    /// The list or the value is damaged; the index is out of range.
    pub fn value_at(&self, index: u32) -> Result<Value<'h, B>> {
        Ok(ValuesList::of(self)?.value(index)?)
    }
}

/// The values list of a key.
struct ValuesList<'h, B> {
    hive: &'h Hive<B>,
    at: CellOffset,
    list: Cow<'h, [u8]>,
}

impl<'h, B: HiveBytes> ValuesList<'h, B> {
    fn of(key: &Key<'h, B>) -> Result<Self> {
        let (hive, count) = (key.hive, key.node.values());
        let at = CellOffset(key.node.values_list.get());
        let count_at = key.at.data_in_file() + 36;
        // Each value has a cell, which limits the count.
        let most = u64::from(hive.length()) / key_value::SIZE as u64;
        if u64::from(count) > most {
            let what = "the key has more values than fit into the hive";
            return Err(Error::corrupt(Code::ValuesListSize, what, count_at)
                .expected(format_args!("at most {most} values"), count));
        }
        let list = match count {
            0 => Cow::Borrowed(&[][..]),
            _ => hive.cell_of(at, Referrer::in_cell("key's values list", key.at, 40))?,
        };
        if (list.len() / 4) < count as usize {
            return Err(Error::corrupt(Code::ValuesListSize, "the values list is larger than its cell", count_at)
                .expected(format_args!("at most {} values", list.len() / 4), count));
        }
        Ok(ValuesList { hive, at, list })
    }

    fn value(&self, index: u32) -> std::result::Result<Value<'h, B>, DamagedValue> {
        let (hive, place) = (self.hive, index as usize);
        let value_at = offset_in(&self.list, place).unwrap_or(CellOffset::NIL);
        let from = Referrer::element("key's values list", place, self.at, 4 * u64::from(index));
        let data = hive.cell_of(value_at, from).map_err(|error| DamagedValue::new(index, value_at, None, error))?;
        let node = match KeyValue::parse(&data, value_at) {
            Ok(node) => node,
            Err(error) => return Err(DamagedValue::new(index, value_at, Some(&data), error)),
        };
        let name = slice(data, key_value::SIZE, usize::from(node.name_length.get()));
        let latin1 = node.flags.get() & key_value::LATIN1_NAME != 0;
        Ok(Value { hive, at: value_at, index, node, name: Name::new(name, latin1) })
    }
}

impl<B: HiveBytes> Hive<B> {
    /// Returns the data of the key value that lies at `at_value`.
    pub(crate) fn data_of(&self, at_value: CellOffset, value: &KeyValue) -> Result<Cow<'_, [u8]>> {
        let (at, size) = match value.location() {
            Location::Inline { bytes, size } => return Ok(Cow::Owned(bytes[..size].to_vec())),
            Location::Cell { size: 0, .. } => return Ok(Cow::Owned(Vec::new())),
            Location::Cell { at, size } => (at, size as usize),
        };
        let data = self.cell_of(at, Referrer::in_cell("data of the value", at_value, 8))?;
        if big_data::is_used(size, &data) {
            return self.segments(at, &data, size).map(Cow::Owned);
        }
        if size > data.len() {
            let what = "the value's data exceeds its cell";
            return Err(Error::corrupt(Code::ValueData, what, at_value.data_in_file() + 4)
                .expected(format_args!("at most {} bytes", data.len()), size));
        }
        Ok(slice(data, 0, size))
    }

    fn segments(&self, at: CellOffset, record: &[u8], size: usize) -> Result<Vec<u8>> {
        let short = |what, place: CellOffset| Error::corrupt(Code::BigData, what, place.data_in_file());
        // The hive limits the memory: data is never larger than all bins together.
        if size > self.length() as usize {
            return Err(short("big data is larger than the hive", at));
        }
        let record = BigData::parse(record, at, size)?;
        let list_at = CellOffset(record.list.get());
        let list = self.cell_of(list_at, Referrer::in_cell("list of segments of big data", at, 4))?;
        let mut out = Vec::with_capacity(size);
        for i in 0..usize::from(record.segment_count.get()) {
            let segment_at =
                offset_in(&list, i).ok_or_else(|| short("the list of segments is larger than its cell", list_at))?;
            let from = Referrer::element("list of segments of big data", i, list_at, 4 * i as u64);
            let segment = self.cell_of(segment_at, from)?;
            let want = (size - out.len()).min(big_data::SEGMENT_SIZE);
            out.extend_from_slice(
                segment.get(..want).ok_or_else(|| short("a segment of big data is too small", segment_at))?,
            );
        }
        Ok(out)
    }
}
