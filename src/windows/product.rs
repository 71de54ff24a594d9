//! The product that the hive SOFTWARE names: `Microsoft\Windows NT\CurrentVersion`.
//!
//! The names of the values are those of Microsoft's pages on the operating system version; the values of each release
//! were observed in installations. `ProductName` is still "Windows 10" on Windows 11, which began with build 22000.

use super::version::{Detection, Era};
use hivewright_error::Result;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::{Hive, HiveBytes, Key};
use serde::Serialize as _;

const PATH: &str = "Microsoft\\Windows NT\\CurrentVersion";
/// Code units of a text that are read at most.
const MOST_UNITS: usize = 256;

/// A product, as its hive SOFTWARE names it. Texts may hold any character.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Product {
    /// `ProductName`, corrected for Windows 11.
    #[serde(rename = "product")]
    pub name: Option<String>,
    /// Major and minor version: 5.1 is XP, 6.1 Windows 7, 10.0 all since.
    #[serde(serialize_with = "dotted")]
    pub version: Option<(u32, u32)>,
    /// `CurrentBuildNumber` or `CurrentBuild`.
    pub build: Option<u32>,
    /// `UBR`: the number after the build.
    pub revision: Option<u32>,
    /// `DisplayVersion` or `ReleaseId`: `22H2`, `1909`.
    pub release: Option<String>,
    /// `EditionID`.
    pub edition: Option<String>,
    /// `CSDVersion`: the service pack, in words.
    pub service_pack: Option<String>,
    /// `InstallationType`: `Client`, `Server`, `Server Core`.
    pub installation_type: Option<String>,
}

impl Product {
    /// Returns the era, which decides where this Windows reads the setting.
    #[doc(hidden)]
    pub fn era(&self) -> Option<Era> {
        match self.version? {
            (5, 1 | 2) => Some(Era::Xp),
            (6.., _) => Some(Era::VistaPlus),
            _ => None,
        }
    }

    /// Returns whether the hive SYSTEM, as detected, belongs to the same era; `None` if one of them is unknown.
    #[doc(hidden)]
    pub fn agrees_with(&self, system: &Detection) -> Option<bool> {
        Some(self.era()?.decision().service() == Some(system.service?))
    }
}

/// Serializes a version as text: `10.0`.
fn dotted<S: serde::Serializer>(version: &Option<(u32, u32)>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    version.map(|(major, minor)| format!("{major}.{minor}")).serialize(serializer)
}

/// Reads the product from a SOFTWARE hive. `None` if the key does not exist.
///
/// # Errors
/// The path to the key is damaged.
pub fn product<B: HiveBytes>(hive: &Hive<B>) -> Result<Option<Product>> {
    let Some(key) = hive.key(PATH)? else { return Ok(None) };
    let text = |name: &str| text(&key, name);
    let number = |name: &str| number(&key, name);
    let build = text("CurrentBuildNumber")?.or(text("CurrentBuild")?).and_then(|build| build.trim().parse().ok());
    let version = match (number("CurrentMajorVersionNumber")?, number("CurrentMinorVersionNumber")?) {
        (Some(major), Some(minor)) => Some((major, minor)),
        _ => text("CurrentVersion")?
            .and_then(|text| text.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))),
    };
    let name = text("ProductName")?.map(|name| match (name.strip_prefix("Windows 10"), build) {
        (Some(rest), Some(22000..)) => format!("Windows 11{rest}"),
        _ => name,
    });
    Ok(Some(Product {
        name,
        version,
        build,
        revision: number("UBR")?,
        release: text("DisplayVersion")?.or(text("ReleaseId")?),
        edition: text("EditionID")?,
        service_pack: text("CSDVersion")?,
        installation_type: text("InstallationType")?,
    }))
}

fn text<B: HiveBytes>(key: &Key<'_, B>, name: &str) -> Result<Option<String>> {
    let Some(value) = key.value(name)? else { return Ok(None) };
    if value.data_type() != ValueType::SZ || value.size() > 2 * MOST_UNITS {
        return Ok(None);
    }
    let data = value.raw_data()?;
    let units = data.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|&unit| unit != 0);
    Ok(Some(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()))
}

fn number<B: HiveBytes>(key: &Key<'_, B>, name: &str) -> Result<Option<u32>> {
    let Some(value) = key.value(name)?.filter(|value| value.data_type() == ValueType::DWORD) else { return Ok(None) };
    Ok(<[u8; 4]>::try_from(&*value.raw_data()?).ok().map(u32::from_le_bytes))
}
