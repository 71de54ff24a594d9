//! The facts in `Control` and `Setup`: service pack, product type, machine.

use super::{Decision, Detection, Era, Evidence, ProductType, SetEvidence};
use crate::windows::control_set::ControlSet;
use crate::windows::lookup::{Damage, Lookup};
use hivewright_error::Result;
use hivewright_hive::{Hive, HiveBytes};

use super::evidence::HiveMarks;

/// Facts of one control set.
#[derive(Debug, Default)]
pub(crate) struct ControlFacts {
    service_pack: Option<u32>,
    product_type: Option<ProductType>,
    architecture: Option<String>,
    host_name: Option<String>,
    evidence: Vec<Evidence>,
}

impl ControlFacts {
    /// Returns the service pack: the high byte of `CSDVersion` (0x200 is SP2); without that value there is none.
    pub(crate) fn service_pack<B: HiveBytes>(set: &ControlSet<'_, B>, damage: &mut Damage) -> Result<Option<u32>> {
        let key = damage.key(&set.key, &set.name, "Control\\Windows")?;
        let Lookup::Found(key) = key else { return Ok(None) };
        let place = format!("{}\\Control\\Windows", set.name);
        if matches!(damage.look(&place, key.value("CSDVersion"))?, Lookup::Absent) {
            return Ok(Some(0));
        }
        Ok(damage.dword(&key, &place, "CSDVersion")?.map(|csd| csd >> 8 & 0xff))
    }

    pub(crate) fn of<B: HiveBytes>(set: &ControlSet<'_, B>, damage: &mut Damage) -> Result<Self> {
        let mut facts = ControlFacts { service_pack: Self::service_pack(set, damage)?, ..Self::default() };
        let control = damage.look(&format!("{}\\Control", set.name), set.key.subkey("Control"))?;
        let Lookup::Found(control) = control else { return Ok(facts) };
        let mut text = |path: &str, name: &str| -> Result<Option<String>> {
            let place = format!("{}\\Control", set.name);
            match damage.key(&control, &place, path)? {
                Lookup::Found(key) => damage.text(&key, &format!("{place}\\{path}"), name),
                Lookup::Absent | Lookup::Unreadable(_) => Ok(None),
            }
        };
        let product = text("ProductOptions", "ProductType")?;
        facts.product_type = product.as_deref().and_then(ProductType::read);
        facts.architecture = text("Session Manager\\Environment", "PROCESSOR_ARCHITECTURE")?;
        facts.host_name = text("ComputerName\\ComputerName", "ComputerName")?;
        let mut note = |path: &str, what: Option<String>, means| {
            if let Some(what) = what {
                facts.evidence.push(Evidence { place: format!("{}\\Control\\{path}", set.name), what, means });
            }
        };
        note("Windows\\CSDVersion", facts.service_pack.map(|n| format!("service pack {n}")), "the service pack");
        note("ProductOptions\\ProductType", product, "client or server, no version");
        note(
            "Session Manager\\Environment\\PROCESSOR_ARCHITECTURE",
            facts.architecture.clone(),
            "the machine, no version",
        );
        Ok(facts)
    }
}

/// Returns the keys that an upgrade leaves below `Setup`.
fn source_os<B: HiveBytes>(hive: &Hive<B>, damage: &mut Damage) -> Result<Vec<Evidence>> {
    let setup = hive.root().and_then(|root| root.subkey("Setup"));
    let Lookup::Found(setup) = damage.look("Setup", setup)? else { return Ok(Vec::new()) };
    let keys = damage
        .look("Setup", setup.subkeys().and_then(Iterator::collect::<Result<Vec<_>>>).map(Some))?
        .into_found()
        .unwrap_or_default();
    let names = keys.iter().map(|key| key.name().to_string()).filter(|name| name.starts_with("Source OS"));
    Ok(names
        .map(|name| Evidence {
            place: format!("Setup\\{name}"),
            what: "a key".to_owned(),
            means: "an upgrade: the key describes an earlier Windows",
        })
        .collect())
}

impl Detection {
    /// Combines the facts about a hive and its deciding control set.
    pub(crate) fn new<B: HiveBytes>(
        hive: &Hive<B>,
        marks: &HiveMarks,
        deciding: Option<(&ControlSet<'_, B>, &SetEvidence)>,
        override_era: Option<Era>,
        damage: &mut Damage,
    ) -> Result<Self> {
        let mut evidence = Vec::new();
        let mut facts = ControlFacts::default();
        let (mut decision, mut perhaps_2000) = (Decision::Unknown, false);
        let mut because = "no control set";
        let mut is_damaged = false;
        if let Some((set, found)) = deciding {
            let before = damage.count();
            facts = ControlFacts::of(set, damage)?;
            is_damaged = damage.since(before).is_some();
            (decision, because, perhaps_2000) = (found.decision, found.because, found.perhaps_2000);
            evidence.extend_from_slice(&found.evidence);
        }
        let family = family(decision, perhaps_2000, facts.product_type, marks.driver_database);
        evidence.extend_from_slice(&marks.evidence);
        evidence.append(&mut facts.evidence);
        // Known from Windows 8 on, and a listing costs pages.
        if marks.driver_database.is_some() {
            evidence.extend(source_os(hive, damage)?);
        }
        let hangs_on_pack = override_era.map_or(decision, Era::decision) == Decision::IpSec;
        let is_settled = facts.service_pack.is_some() && facts.product_type.is_some();
        Ok(Detection {
            decision,
            because,
            service_pack_unreadable: is_damaged && hangs_on_pack && !is_settled,
            override_era,
            service: override_era.map_or(decision, Era::decision).service(),
            control_set: deciding.map(|(set, _)| set.number),
            family,
            may_be_2000: perhaps_2000,
            service_pack: facts.service_pack,
            product_type: facts.product_type,
            architecture: facts.architecture,
            host_name: facts.host_name,
            evidence,
        })
    }
}

/// Returns the narrowest family that the evidence supports.
fn family(
    decision: Decision,
    perhaps_2000: bool,
    product: Option<ProductType>,
    driver_database: Option<u32>,
) -> String {
    let client = product == Some(ProductType::Client);
    match (decision, driver_database) {
        (Decision::Unknown, _) if perhaps_2000 => "Windows 2000, XP or Server 2003".to_owned(),
        (Decision::IpSec, _) => match product {
            Some(ProductType::Client) => "Windows XP".to_owned(),
            Some(_) => "Windows Server 2003".to_owned(),
            None => "Windows XP or Server 2003".to_owned(),
        },
        (Decision::PolicyAgent, Some(version)) => {
            let name = match product {
                Some(_) if client => "Windows 8 or later",
                Some(_) => "Windows Server 2012 or later",
                None => "Windows 8, Server 2012 or later",
            };
            format!("{name} (DriverDatabase {}.{})", version >> 24, version >> 16 & 0xff)
        }
        (Decision::PolicyAgent, None) => match product {
            Some(_) if client => "Windows Vista or later".to_owned(),
            Some(_) => "Windows Server 2008 or later".to_owned(),
            None => "Windows Vista, Server 2008 or later".to_owned(),
        },
        (other, _) => other.as_str().to_owned(),
    }
}
