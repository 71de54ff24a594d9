//! Key securities: how many keys use each, and the ring of all.

use std::mem::offset_of;

use super::{Editor, Step};
use crate::regf::CellOffset;
use crate::regf::key_security::KeySecurity;
use hivewright_error::{Code, Error, Kind, Result};

impl Editor {
    fn security(&self, at: CellOffset) -> Result<KeySecurity> {
        KeySecurity::parse(&self.hive()?.cell(at)?, at)
    }

    /// Counts one more key that uses the key security at `at`.
    pub(super) fn add_security_reference(&mut self, at: CellOffset) -> Result<()> {
        let count = self.security(at)?.reference_count.get().checked_add(1);
        let count =
            count.ok_or_else(|| Error::new(Kind::NoRoom, Code::NoRoom, "too many keys use one key security"))?;
        self.write_references(at, count)
    }

    /// Counts `users` keys less. A key security that no key uses leaves the ring and is freed.
    pub(super) fn drop_security_references(&mut self, at: CellOffset, users: u32) -> Result<()> {
        let security = self.security(at)?;
        let count = security.reference_count.get();
        let Some(rest) = count.checked_sub(users) else {
            let place = at.data_in_file() + offset_of!(KeySecurity, reference_count) as u64;
            return Err(Error::corrupt(
                Code::SecurityReferences,
                "more keys use the key security than it counts",
                place,
            )
            .expected(format_args!("at least {users}"), count));
        };
        if rest > 0 {
            return self.write_references(at, rest);
        }
        let (next, previous) = (CellOffset(security.flink.get()), CellOffset(security.blink.get()));
        if next == at || previous == at {
            return Err(Error::corrupt(Code::SecurityRing, "the last key security is in use", at.data_in_file()));
        }
        self.security(next)?;
        self.security(previous)?;
        let (forward, back) = (offset_of!(KeySecurity, flink), offset_of!(KeySecurity, blink));
        self.write_field(previous, forward, &next.0.to_le_bytes(), Step::Link, "next key security")?;
        self.write_field(next, back, &previous.0.to_le_bytes(), Step::Link, "previous key security")?;
        self.release(at)
    }

    fn write_references(&mut self, at: CellOffset, count: u32) -> Result<()> {
        let field = offset_of!(KeySecurity, reference_count);
        self.write_field(at, field, &count.to_le_bytes(), Step::Link, "number of keys that use the key security")
    }
}
