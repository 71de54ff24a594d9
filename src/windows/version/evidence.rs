//! The evidence of the version of Windows in a hive and its services.

use serde::Serialize;

use super::Decision;
use super::facts::ControlFacts;
use crate::windows::control_set::ControlSet;
use crate::windows::lookup::{Damage, Lookup};
use crate::windows::services::Services;
use hivewright_error::Result;
use hivewright_hive::{Hive, HiveBytes, Key};

/// The lowest minor version of a hive that Windows 2000 cannot load.
const SINCE_XP_MINOR: u32 = 5;
/// The first service pack of Windows 2000 that neither XP nor Server 2003 had.
const WINDOWS_2000_PACK: u32 = 4;

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// The place: a path below the root, or a field of the base block.
    pub place: String,
    /// The state found.
    pub what: String,
    /// Its meaning.
    pub means: &'static str,
}

/// The facts of a hive that are common to all control sets.
#[derive(Debug)]
pub(crate) struct HiveMarks {
    minor: u32,
    has_wpa: bool,
    /// `DriverDatabase\Version`: major << 24, minor << 16.
    pub(crate) driver_database: Option<u32>,
    pub(crate) evidence: Vec<Evidence>,
}

/// The evidence of the services of one control set.
#[derive(Debug)]
pub(crate) struct SetEvidence {
    pub(crate) decision: Decision,
    /// The decisive evidence, in a few words.
    pub(crate) because: &'static str,
    /// Whether it may be Windows 2000 as well.
    pub(crate) perhaps_2000: bool,
    pub(crate) evidence: Vec<Evidence>,
}

/// Reads the root and the base block.
pub(crate) fn of_hive<B: HiveBytes>(hive: &Hive<B>, damage: &mut Damage) -> Result<HiveMarks> {
    let root = hive.root()?;
    let minor = hive.base_block().minor_version.get();
    let mut evidence = Vec::new();
    let mut note = |place: &str, what: String, means| evidence.push(Evidence { place: place.to_owned(), what, means });
    let mut driver_database = None;
    if let Lookup::Found(key) = damage.look("DriverDatabase", root.subkey("DriverDatabase"))? {
        driver_database = damage.dword(&key, "DriverDatabase", "Version")?;
        let what = driver_database.map_or("no version".to_owned(), |v| format!("{v:#010x}"));
        note("DriverDatabase\\Version", what, "Windows 8 or later");
    }
    let name = root.name().to_string();
    note("name of the root key", name.clone(), root_name_means(&name));
    if hive.base_block().has_rmtm() {
        note("base block, 164", "rmtm".to_owned(), "written by Windows Vista or later, perhaps as a guest of it");
    }
    let means = if minor >= SINCE_XP_MINOR { "not Windows 2000" } else { "Windows 2000, or a saved copy" };
    note("base block, 24", format!("hive version 1.{minor}"), means);
    // Read only if it matters, because it costs a page.
    let has_wpa = minor < SINCE_XP_MINOR && damage.look("WPA", root.subkey("WPA"))?.found().is_some();
    if has_wpa {
        note("WPA", "a key".to_owned(), "product activation: XP or later");
    }
    Ok(HiveMarks { minor, has_wpa, driver_database, evidence })
}

/// Measured: see the evidence table in the parent module. The GUIDs differ and have no meaning.
fn root_name_means(name: &str) -> &'static str {
    const KNOWN: [(&str, &str); 4] = [
        ("$$$PROTO.HIV", "Windows 2000, XP or Server 2003"),
        ("CMI-CreateHive{", "Windows Vista or 7"),
        ("CsiTool-CreateHive-{", "Windows 8 or 8.1"),
        ("ROOT", "Windows 10 or later"),
    ];
    KNOWN.iter().find(|(start, _)| name.starts_with(start)).map_or("nothing known", |(_, means)| means)
}

/// Reads the services of one control set and decides: by all evidence (`full`), or by as much as is needed.
pub(crate) fn of_set<B: HiveBytes>(
    marks: &HiveMarks,
    set: &ControlSet<'_, B>,
    services: &Services<'_, B>,
    full: bool,
    damage: &mut Damage,
) -> Result<SetEvidence> {
    let mut evidence = Vec::new();
    let host = policy_agent_host(services, damage, &mut evidence)?;
    let driver = ipsec_driver(services, damage, &mut evidence)?;
    let settled = matches!(host, Host::Svchost) && !driver;
    let (mut bfe, mut ikeext) = (false, false);
    if full || !settled {
        bfe = later_service("BFE", services, damage, &mut evidence)?;
        ikeext = later_service("IKEEXT", services, damage, &mut evidence)?;
    }
    let later = bfe && ikeext;
    let (mut decision, mut because) = match host {
        Host::Svchost if !driver || later => (Decision::PolicyAgent, "PolicyAgent runs in svchost.exe"),
        Host::Svchost => (Decision::Contradictory, "PolicyAgent runs in svchost.exe, and IPSec is a driver"),
        Host::Lsass if bfe || ikeext || marks.driver_database.is_some() => {
            (Decision::Contradictory, "PolicyAgent runs in lsass.exe, but the hive has keys of a later Windows")
        }
        Host::Lsass if driver => (Decision::IpSec, "PolicyAgent runs in lsass.exe, and IPSec is a driver"),
        Host::Lsass => (Decision::Unknown, "PolicyAgent runs in lsass.exe, and IPSec is not a driver"),
        Host::Other if later && driver => (Decision::Contradictory, "BFE and IKEEXT exist, and IPSec is a driver"),
        Host::Other if later => (Decision::PolicyAgent, "BFE and IKEEXT exist"),
        Host::Other => (Decision::Unknown, "no decisive service"),
    };
    let mut perhaps_2000 = false;
    if decision == Decision::IpSec && marks.minor < SINCE_XP_MINOR {
        if is_2000(marks, set, services, damage, &mut evidence)? {
            decision = Decision::Windows2000;
            because = "its service pack or its services' names";
        } else if !marks.has_wpa {
            perhaps_2000 = true;
            decision = Decision::Unknown;
            because = "a hive of Windows 2000's version, without XP's key WPA";
        }
    }
    Ok(SetEvidence { decision, because, perhaps_2000, evidence })
}

/// Returns whether a service of Vista or later exists.
fn later_service<B: HiveBytes>(
    name: &str,
    services: &Services<'_, B>,
    damage: &mut Damage,
    evidence: &mut Vec<Evidence>,
) -> Result<bool> {
    let there = services.find(name, damage)?.found().is_some();
    if there {
        let (place, what) = (services.path_of(name), "a service".to_owned());
        evidence.push(Evidence { place, what, means: "Windows Vista or later" });
    }
    Ok(there)
}

/// The process of the service PolicyAgent.
enum Host {
    Svchost,
    Lsass,
    Other,
}

fn policy_agent_host<B: HiveBytes>(
    services: &Services<'_, B>,
    damage: &mut Damage,
    evidence: &mut Vec<Evidence>,
) -> Result<Host> {
    let Some(key) = services.policy_agent.found() else { return Ok(Host::Other) };
    let path = services.path_of("PolicyAgent");
    let Some(image) = damage.text(key, &path, "ImagePath")? else { return Ok(Host::Other) };
    let lower = image.to_ascii_lowercase();
    let (host, means) = match (lower.contains("svchost.exe"), lower.contains("lsass.exe")) {
        (true, false) => (Host::Svchost, "Windows Vista or later"),
        (false, true) => (Host::Lsass, "Windows 2000, XP or Server 2003"),
        _ => (Host::Other, "nothing known"),
    };
    evidence.push(Evidence { place: format!("{path}\\ImagePath"), what: image, means });
    Ok(host)
}

fn ipsec_driver<B: HiveBytes>(
    services: &Services<'_, B>,
    damage: &mut Damage,
    evidence: &mut Vec<Evidence>,
) -> Result<bool> {
    const KERNEL_DRIVER: u32 = 1;
    let Some(key) = services.ipsec.found() else { return Ok(false) };
    let path = services.path_of("IPSec");
    let image = damage.text(key, &path, "ImagePath")?;
    let kind = damage.dword(key, &path, "Type")?;
    let driver = kind == Some(KERNEL_DRIVER)
        && image.as_ref().is_some_and(|image| image.to_ascii_lowercase().ends_with("ipsec.sys"));
    let what = match (&image, kind) {
        (Some(image), Some(kind)) => format!("{image}, type {kind}"),
        (Some(image), None) => format!("{image}, no type"),
        (None, _) => "a key without an image, which is not a service".to_owned(),
    };
    let means = if driver { "Windows 2000, XP or Server 2003" } else { "nothing: hardening baselines create this key" };
    evidence.push(Evidence { place: path, what, means });
    Ok(driver)
}

/// Returns positive evidence of Windows 2000 in a hive of the standard format; see the parent module.
fn is_2000<B: HiveBytes>(
    marks: &HiveMarks,
    set: &ControlSet<'_, B>,
    services: &Services<'_, B>,
    damage: &mut Damage,
    evidence: &mut Vec<Evidence>,
) -> Result<bool> {
    let mut found = false;
    if let Some(pack) = ControlFacts::service_pack(set, damage)?
        && pack >= WINDOWS_2000_PACK
    {
        let (place, what) = (format!("{}\\Control\\Windows\\CSDVersion", set.name), format!("service pack {pack}"));
        evidence.push(Evidence { place, what, means: "Windows 2000: XP ended with 3, Server 2003 with 2" });
        found = true;
    }
    if !marks.has_wpa
        && let Some(key) = services.policy_agent.found()
    {
        found |= has_2000_name(key, &services.path_of("PolicyAgent"), damage, evidence)?;
    }
    Ok(found)
}

fn has_2000_name<B: HiveBytes>(
    key: &Key<'_, B>,
    path: &str,
    damage: &mut Damage,
    evidence: &mut Vec<Evidence>,
) -> Result<bool> {
    let Some(name) = damage.text(key, path, "DisplayName")? else { return Ok(false) };
    let old = name.eq_ignore_ascii_case("IPSEC Policy Agent");
    if old {
        evidence.push(Evidence {
            place: format!("{path}\\DisplayName"),
            what: name,
            means: "Windows 2000: the name in XP and Server 2003 is IPSEC Services",
        });
    }
    Ok(old)
}
