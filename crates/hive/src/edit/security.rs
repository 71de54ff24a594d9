//! Key securities of an edit: reference counts, the ring, and sharing by keys with equal descriptors.

use std::collections::{BTreeSet, HashMap};
use std::mem::offset_of;

use zerocopy::IntoBytes;

use super::{Editor, Step};
use crate::regf::CellOffset;
use crate::regf::key_node::KeyNode;
use crate::regf::key_security::{self, KeySecurity};
use crate::security_descriptor::SecurityDescriptor;
use crate::{Hive, HiveBytes, KeyPath};
use hivewright_error::{Code, Error, Kind, Result};

/// Key securities that an edit has looked up.
#[derive(Debug, Default)]
pub(super) struct Securities {
    /// The whole ring, by descriptor.
    by_descriptor: Option<HashMap<Vec<u8>, CellOffset>>,
    /// The key security of new keys, by that of their parents.
    of_new: HashMap<CellOffset, CellOffset>,
}

impl Editor {
    /// Sets the self-relative security descriptor of the key at `path`. Returns whether anything changed.
    ///
    /// # Errors
    /// `no-key` if there is no such key; otherwise as [`Editor::set_security_at`].
    pub fn set_security<'p>(&mut self, path: impl Into<KeyPath<'p>>, descriptor: &[u8]) -> Result<bool> {
        let key = self.key_at_path(path)?;
        self.set_security_at(key, descriptor)
    }

    /// Sets the self-relative security descriptor of the key whose key node lies at `key`. Keys with equal descriptors
    /// share one key security. Keys below are not changed. Returns whether anything changed.
    ///
    /// # Errors
    /// `security-descriptor`: the bytes are not a valid descriptor; the ring of key securities is damaged;
    /// [`Kind::NoRoom`].
    pub fn set_security_at(&mut self, key: CellOffset, descriptor: &[u8]) -> Result<bool> {
        SecurityDescriptor::from_bytes(descriptor)?;
        self.whole(|edit| {
            let old = CellOffset(edit.node_at(key)?.key_security.get());
            if edit.descriptor(old)? == descriptor {
                return Ok(false);
            }
            let new = edit.security_for(descriptor, old)?;
            edit.use_security(key, new)?;
            edit.drop_security_references(old, 1)?;
            edit.touch(key)?;
            Ok(true)
        })
    }

    fn use_security(&mut self, key: CellOffset, security: CellOffset) -> Result<()> {
        let field = offset_of!(KeyNode, key_security);
        self.write_field(key, field, &security.0.to_le_bytes(), Step::Link, "key security")
    }

    fn security(&self, at: CellOffset) -> Result<KeySecurity> {
        KeySecurity::parse(&self.hive()?.cell(at)?, at)
    }

    pub(super) fn descriptor(&self, at: CellOffset) -> Result<Vec<u8>> {
        descriptor_of(&self.hive()?, at).map(|(_, descriptor)| descriptor)
    }

    /// Adds a reference to the key security that a new key derives from its parent's, and returns its cell offset. An
    /// unreadable descriptor is shared unchanged, and so is every one if the ring cannot be read.
    pub(super) fn security_of_new(&mut self, parent: CellOffset) -> Result<CellOffset> {
        if let Some(&known) = self.securities.of_new.get(&parent) {
            self.add_security_reference(known)?;
            return Ok(known);
        }
        let above = SecurityDescriptor::from_bytes(&self.descriptor(parent)?).ok();
        let new = match above.map(|above| (above.for_new_key(), above)) {
            Some((new, above)) if new != above && self.load_securities() => {
                self.security_for(&new.to_bytes()?, parent)?
            }
            _ => {
                self.add_security_reference(parent)?;
                parent
            }
        };
        self.securities.of_new.insert(parent, new);
        Ok(new)
    }

    fn load_securities(&mut self) -> bool {
        self.read_securities().is_ok()
    }

    fn read_securities(&mut self) -> Result<()> {
        if self.securities.by_descriptor.is_none() {
            self.securities.by_descriptor = Some(ring(&self.hive()?)?);
        }
        Ok(())
    }

    /// Adds a reference to the key security of `descriptor`, an existing one or a new one after `beside` in the ring,
    /// and returns its cell offset.
    pub(super) fn security_for(&mut self, descriptor: &[u8], beside: CellOffset) -> Result<CellOffset> {
        self.read_securities()?;
        let known = self.securities.by_descriptor.as_ref().and_then(|known| known.get(descriptor)).copied();
        if let Some(known) = known {
            self.add_security_reference(known)?;
            return Ok(known);
        }
        let before = self.security(beside)?;
        let behind = CellOffset(before.flink.get());
        self.security(behind)?;
        let size = u32::try_from(descriptor.len())
            .map_err(|_| Error::new(Kind::Unsupported, Code::DataTooLarge, "the security descriptor is too large"))?;
        let security = KeySecurity {
            signature: *b"sk",
            reserved: 0.into(),
            flink: behind.0.into(),
            blink: beside.0.into(),
            reference_count: 1.into(),
            descriptor_size: size.into(),
        };
        let at = self.allocate(&[security.as_bytes(), descriptor].concat(), "key security")?;
        self.write_links(beside, behind, at, at)?;
        if let Some(known) = &mut self.securities.by_descriptor {
            known.insert(descriptor.to_vec(), at);
        }
        Ok(at)
    }

    /// Adds a reference to the key security at `at`.
    pub(super) fn add_security_reference(&mut self, at: CellOffset) -> Result<()> {
        let count = self.security(at)?.reference_count.get().checked_add(1);
        let count =
            count.ok_or_else(|| Error::new(Kind::NoRoom, Code::NoRoom, "too many keys use one key security"))?;
        self.write_references(at, count)
    }

    /// Removes `users` references. A key security without references is removed from the ring and freed.
    pub(super) fn drop_security_references(&mut self, at: CellOffset, users: u32) -> Result<()> {
        let (security, descriptor) = descriptor_of(&self.hive()?, at)?;
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
        self.write_links(previous, next, next, previous)?;
        self.securities.of_new.clear();
        if let Some(known) = &mut self.securities.by_descriptor
            && known.get(&descriptor) == Some(&at)
        {
            known.remove(&descriptor);
        }
        self.release(at)
    }

    /// Links `forward` after `previous` in the ring, and `back` before `next`.
    fn write_links(
        &mut self,
        previous: CellOffset,
        next: CellOffset,
        forward: CellOffset,
        back: CellOffset,
    ) -> Result<()> {
        let (flink, blink) = (offset_of!(KeySecurity, flink), offset_of!(KeySecurity, blink));
        self.write_field(previous, flink, &forward.0.to_le_bytes(), Step::Link, "next key security")?;
        self.write_field(next, blink, &back.0.to_le_bytes(), Step::Link, "previous key security")
    }

    fn write_references(&mut self, at: CellOffset, count: u32) -> Result<()> {
        let field = offset_of!(KeySecurity, reference_count);
        self.write_field(at, field, &count.to_le_bytes(), Step::Link, "number of keys that use the key security")
    }
}

/// Reads all key securities of the ring; of equal descriptors the first.
fn ring<B: HiveBytes>(hive: &Hive<B>) -> Result<HashMap<Vec<u8>, CellOffset>> {
    let first = CellOffset(hive.root()?.node().key_security.get());
    let (mut known, mut seen) = (HashMap::new(), BTreeSet::new());
    let (mut at, mut size) = (first, 0);
    while seen.insert(at) {
        let (security, descriptor) = descriptor_of(hive, at)?;
        // Overlapping cells could have more bytes than the hive.
        size += descriptor.len();
        if size > hive.length() as usize {
            let what = "the key securities of the ring are larger than the hive";
            return Err(Error::corrupt(Code::SecurityRing, what, at.data_in_file()));
        }
        known.entry(descriptor).or_insert(at);
        at = CellOffset(security.flink.get());
    }
    if at != first {
        return Err(Error::corrupt(
            Code::SecurityRing,
            "the ring of key securities closes too early",
            at.data_in_file(),
        ));
    }
    Ok(known)
}

fn descriptor_of<B: HiveBytes>(hive: &Hive<B>, at: CellOffset) -> Result<(KeySecurity, Vec<u8>)> {
    let data = hive.cell(at)?;
    let security = KeySecurity::parse(&data, at)?;
    let descriptor = data[key_security::SIZE..][..security.descriptor_size.get() as usize].to_vec();
    Ok((security, descriptor))
}
