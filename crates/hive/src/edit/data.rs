//! The data of a value: in the key value, in a cell, or in segments.

use zerocopy::IntoBytes;

use super::Editor;
use crate::regf::CellOffset;
use crate::regf::big_data::{self, BigData};
use crate::regf::key_value::{INLINE, KeyValue, Location};
use crate::{Hive, HiveBytes};
use hivewright_error::{Code, Error, Kind, Result};

/// The two fields of a key value that locate its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DataFields {
    pub(super) size: u32,
    pub(super) data: [u8; 4],
}

impl Editor {
    /// Stores `data` in new cells, or in the fields if it has at most four bytes.
    pub(super) fn store_data(&mut self, data: &[u8]) -> Result<DataFields> {
        let too_large = || Error::new(Kind::Unsupported, Code::DataTooLarge, format!("{} bytes of data", data.len()));
        let size = u32::try_from(data.len()).ok().filter(|size| size & INLINE == 0).ok_or_else(too_large)?;
        if data.len() <= 4 {
            let mut field = [0; 4];
            field[..data.len()].copy_from_slice(data);
            return Ok(DataFields { size: size | INLINE, data: field });
        }
        let minor = self.hive()?.base_block().minor_version.get();
        let at = if big_data::is_wanted(minor, data.len()) {
            self.store_segments(data)?
        } else {
            self.allocate(data, "value data")?
        };
        Ok(DataFields { size, data: at.0.to_le_bytes() })
    }

    fn store_segments(&mut self, data: &[u8]) -> Result<CellOffset> {
        let Ok(segment_count) = u16::try_from(big_data::segments_for(data.len())) else {
            return Err(Error::new(Kind::Unsupported, Code::DataTooLarge, format!("{} bytes of big data", data.len())));
        };
        let mut list = Vec::with_capacity(usize::from(segment_count) * 4);
        for segment in data.chunks(big_data::SEGMENT_SIZE) {
            list.extend(self.allocate(segment, "big data segment")?.0.to_le_bytes());
        }
        let list = self.allocate(&list, "list of big data segments")?;
        let record = BigData { signature: *b"db", segment_count: segment_count.into(), list: list.0.into() };
        self.allocate(record.as_bytes(), "big data")
    }

    /// Releases every cell that holds the data of `value`.
    pub(super) fn release_data(&mut self, value: &KeyValue) -> Result<()> {
        let cells = self.hive()?.cells_of_data(value)?;
        cells.into_iter().try_for_each(|cell| self.release(cell))
    }
}

impl<B: HiveBytes> Hive<B> {
    /// Returns every cell that holds the data of `value`: none for inline data, several for big data.
    pub fn cells_of_data(&self, value: &KeyValue) -> Result<Vec<CellOffset>> {
        let Location::Cell { at, size: size @ 1.. } = value.location() else { return Ok(Vec::new()) };
        let size = size as usize;
        let mut cells = vec![at];
        let data = self.cell(at)?;
        if big_data::is_used(size, &data) {
            let record = BigData::parse(&data, at, size)?;
            let list_at = CellOffset(record.list.get());
            let list = self.cell(list_at)?;
            let count = usize::from(record.segment_count.get());
            let offsets =
                list.chunks_exact(4).map(|raw| CellOffset(u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]])));
            cells.extend(offsets.take(count));
            cells.push(list_at);
        }
        Ok(cells)
    }
}
