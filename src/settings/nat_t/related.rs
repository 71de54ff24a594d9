//! Related settings that decide whether the setting has an effect. Reported, and never changed.

use serde::Serialize;

use crate::windows::lookup::{Damage, Lookup};
use crate::windows::services::Services;
use hivewright_error::Result;
use hivewright_hive::HiveBytes;

/// The name of a value that some guides put below `PolicyAgent`, where Windows does not read it.
pub(super) const WEAK_CRYPTO: &str = "AllowL2TPWeakCrypto";

/// The reported values of `RasMan\Parameters`, and the meaning of 1.
const VALUES: [(&str, &str); 3] = [
    ("ProhibitIpSec", "L2TP does not use IPsec, so the setting has no effect on L2TP connections"),
    (WEAK_CRYPTO, "L2TP may use weak cryptography"),
    ("NegotiateDH2048_AES256", "L2TP negotiates DH2048 and AES256"),
];

/// A related setting in the hive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RelatedValue {
    /// The name of the value.
    pub name: &'static str,
    /// Path of the value below the root of the hive.
    pub place: String,
    /// Its number; `None` if it is not a 4-byte REG_DWORD.
    #[serde(rename = "value")]
    pub number: Option<u32>,
    /// Whether it is on, which any number but 0 means.
    pub on: bool,
    /// The meaning when it is on.
    pub meaning: &'static str,
}

/// Returns the related settings in one control set.
pub(super) fn of<B: HiveBytes>(services: &Services<'_, B>, damage: &mut Damage) -> Result<Vec<RelatedValue>> {
    let mut found = Vec::new();
    let Lookup::Found(ras_man) = services.find("RasMan", damage)? else { return Ok(found) };
    let path = services.path_of("RasMan");
    let Lookup::Found(key) = damage.key(&ras_man, &path, "Parameters")? else { return Ok(found) };
    for (name, meaning) in VALUES {
        let place = format!("{path}\\Parameters\\{name}");
        if damage.look(&place, key.value(name))?.found().is_some() {
            let number = damage.dword(&key, &format!("{path}\\Parameters"), name)?;
            found.push(RelatedValue { name, place, number, on: number.is_some_and(|n| n != 0), meaning });
        }
    }
    Ok(found)
}
