//! Creates hives.

use zerocopy::{FromZeros, IntoBytes};

use crate::Hive;
use crate::regf::base_block::{self, BaseBlock};
use crate::regf::bin::{self, BinHeader};
use crate::regf::cell::{self, Header};
use crate::regf::key_node::{KeyNode, MAX_NAME_CHARACTERS, flags};
use crate::regf::key_security::KeySecurity;
use crate::regf::name::Name;
use crate::regf::timestamp::FileTime;
use crate::regf::{BASE_BLOCK_SIZE, CellOffset, MINOR_VERSIONS};
use hivewright_error::{Code, Error, Kind, Result};

/// Options of [`Hive::create`].
#[derive(Clone, Debug)]
pub struct CreateOptions<'a> {
    /// The name of the root key, which Windows ignores.
    pub root_name: Name<'a>,
    /// The self-relative security descriptor of the root key.
    pub security: &'a [u8],
    /// The last-written time of the root key and of the hive.
    pub timestamp: FileTime,
}

impl Default for CreateOptions<'_> {
    /// Returns the name and the security descriptor that Microsoft's offline library uses (measured): `ROOT`; owned by
    /// administrators, all rights for local system and administrators, read access for everyone and restricted code,
    /// inherited by subkeys.
    fn default() -> Self {
        CreateOptions { root_name: Name::from("ROOT"), security: &OFFLINE_SECURITY, timestamp: FileTime::now() }
    }
}

/// `O:BAG:BAD:(A;CI;KA;;;SY)(A;CI;KA;;;BA)(A;CI;KR;;;WD)(A;CI;KR;;;RC)`.
const OFFLINE_SECURITY: [u8; 144] = *b"\
    \x01\0\x04\x80\x70\0\0\0\x80\0\0\0\0\0\0\0\x14\0\0\0\
    \x02\0\x5c\0\x04\0\0\0\
    \0\x02\x14\0\x3f\0\x0f\0\x01\x01\0\0\0\0\0\x05\x12\0\0\0\
    \0\x02\x18\0\x3f\0\x0f\0\x01\x02\0\0\0\0\0\x05\x20\0\0\0\x20\x02\0\0\
    \0\x02\x14\0\x19\0\x02\0\x01\x01\0\0\0\0\0\x01\0\0\0\0\
    \0\x02\x14\0\x19\0\x02\0\x01\x01\0\0\0\0\0\x05\x0c\0\0\0\
    \x01\x02\0\0\0\0\0\x05\x20\0\0\0\x20\x02\0\0\
    \x01\x02\0\0\0\0\0\x05\x20\0\0\0\x20\x02\0\0";

impl Hive<Vec<u8>> {
    /// Creates a hive of version 1.`minor` with only a root key: a base block and one bin.
    ///
    /// # Errors
    /// `base-version` for a version that is not supported, `key-name` for an invalid name, `data-too-large`
    /// for a descriptor of more than 64 KiB.
    ///
    /// # Examples
    /// ```
    /// use hivewright_hive::{CreateOptions, Data, EditOptions, Hive};
    ///
    /// let mut edit = Hive::create(5, &CreateOptions::default())?.edit(EditOptions::default());
    /// edit.create_key(r"Software\Example")?;
    /// edit.set_value(r"Software\Example", "Name", &Data::sz("x"))?;
    /// let hive = Hive::open(edit.finish()?.bytes)?.clean()?;
    /// assert!(hive.key(r"Software\Example")?.is_some());
    /// # Ok::<(), hivewright_hive::Error>(())
    /// ```
    pub fn create(minor: u32, options: &CreateOptions<'_>) -> Result<Self> {
        if !MINOR_VERSIONS.contains(&minor) {
            let what = format!("hives of version 1.{minor} are not supported");
            return Err(Error::new(Kind::Unsupported, Code::BaseVersion, what));
        }
        let name = options.root_name.compressed();
        if !(1..=MAX_NAME_CHARACTERS).contains(&(name.utf16_size() / 2)) {
            return Err(Error::new(Kind::Unsupported, Code::KeyName, "the name of a key has 1 to 255 characters"));
        }
        let too_large =
            || Error::new(Kind::Unsupported, Code::DataTooLarge, "the security descriptor has more than 64 KiB");
        let descriptor_size = u16::try_from(options.security.len()).map_err(|_| too_large())?;
        let root_at = bin::HEADER_SIZE;
        let root_size = cell::size_for(size_of::<KeyNode>() + name.bytes().len()).ok_or_else(too_large)?;
        let security_at = root_at + root_size;
        let security_size = cell::size_for(size_of::<KeySecurity>() + options.security.len()).ok_or_else(too_large)?;
        let used = security_at + security_size;
        let bin_size = used.next_multiple_of(bin::ALIGNMENT);

        let mut root = KeyNode::new_zeroed();
        root.signature = *b"nk";
        root.flags = (flags::ROOT | flags::NO_DELETE | if name.is_latin1() { flags::LATIN1_NAME } else { 0 }).into();
        root.last_written = options.timestamp.0.into();
        for nil in [
            &mut root.parent,
            &mut root.subkeys_list,
            &mut root.volatile_subkeys_list,
            &mut root.values_list,
            &mut root.class_name,
        ] {
            *nil = CellOffset::NIL.0.into();
        }
        root.key_security = security_at.into();
        root.name_length = u16::try_from(name.bytes().len()).unwrap_or(u16::MAX).into();
        let security = KeySecurity {
            signature: *b"sk",
            reserved: 0.into(),
            flink: security_at.into(),
            blink: security_at.into(),
            reference_count: 1.into(),
            descriptor_size: u32::from(descriptor_size).into(),
        };
        let mut header = BinHeader::new(0, bin_size);
        header.timestamp = options.timestamp.0.into();

        let mut base = BaseBlock::new_zeroed();
        base.signature = base_block::SIGNATURE;
        (base.primary_sequence, base.secondary_sequence) = (1.into(), 1.into());
        base.last_written = options.timestamp.0.into();
        (base.major_version, base.minor_version) = (1.into(), minor.into());
        base.file_format = 1.into();
        base.root_cell = root_at.into();
        base.length = bin_size.into();
        base.clustering_factor = 1.into();
        base.checksum = base.computed_checksum().into();

        let mut bytes = vec![0; (BASE_BLOCK_SIZE + bin_size) as usize];
        let mut put = |at: u32, part: &[u8]| bytes[at as usize..][..part.len()].copy_from_slice(part);
        put(0, base.as_bytes());
        put(BASE_BLOCK_SIZE, header.as_bytes());
        let mut cell = |at: u32, header: Header, fixed: &[u8], rest: &[u8]| {
            put(BASE_BLOCK_SIZE + at, &[&header.encode(), fixed, rest].concat());
        };
        cell(root_at, Header { size: root_size, allocated: true }, root.as_bytes(), name.bytes());
        let taken = Header { size: security_size, allocated: true };
        cell(security_at, taken, security.as_bytes(), options.security);
        if used < bin_size {
            cell(used, Header { size: bin_size - used, allocated: false }, &[], &[]);
        }
        Ok(Hive { bytes, base })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;

    #[test]
    fn a_new_hive_has_no_findings() {
        for minor in MINOR_VERSIONS {
            for name in ["x", "ROOT", "Корень", &"y".repeat(255)] {
                let options = CreateOptions { root_name: Name::from(name), ..CreateOptions::default() };
                let hive = Hive::create(minor, &options).unwrap();
                assert_eq!(check(hive.bytes()).findings.first(), None);
                assert!(hive.root().unwrap().name().matches(name));
                assert_eq!(*hive.root().unwrap().security_descriptor().unwrap(), OFFLINE_SECURITY);
                assert_eq!(hive.into_bytes().len(), 8192);
            }
        }
    }

    #[test]
    fn limits_have_their_codes() {
        let code = |minor, options: &CreateOptions<'_>| Hive::create(minor, options).unwrap_err().code().as_str();
        let options = CreateOptions::default();
        assert_eq!((code(2, &options), code(7, &options)), ("base-version", "base-version"));
        for name in [String::new(), "y".repeat(256)] {
            let options = CreateOptions { root_name: Name::from(&name), ..options.clone() };
            assert_eq!(code(5, &options), "key-name");
        }
        let security = vec![0; 65_536];
        assert_eq!(code(5, &CreateOptions { security: &security, ..options }), "data-too-large");
    }
}
