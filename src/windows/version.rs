//! The version of Windows, as far as it decides which of two services reads the setting.
//!
//! The services themselves decide, never the existence of a key: `PolicyAgent` is a service on XP too, and hardening
//! baselines create `Services\IPSEC` on modern Windows. For one control set:
//!
//! | evidence | decision |
//! |---|---|
//! | `PolicyAgent` runs in svchost.exe | [`Decision::PolicyAgent`] |
//! | `BFE` and `IKEEXT` exist | [`Decision::PolicyAgent`] |
//! | `PolicyAgent` runs in lsass.exe and `IPSec` is a driver (Type 1, ImagePath ending in ipsec.sys) | [`Decision::IpSec`] |
//! | the same, and it is Windows 2000, see below | [`Decision::Windows2000`] |
//! | lsass.exe together with `BFE`, `IKEEXT` or a DriverDatabase; svchost.exe with an IPSec driver but without both `BFE` and `IKEEXT`; `BFE` and `IKEEXT` with an IPSec driver but without svchost.exe | [`Decision::Contradictory`] |
//! | anything else | [`Decision::Unknown`] |
//!
//! An IPSec driver next to svchost.exe, `BFE` and `IKEEXT` is obsolete: a driver alone is not evidence of XP.
//!
//! Windows 2000 has the same two services, and the setting is not documented for it. It is detected only by positive
//! evidence. The latest hive format (minor version 5) excludes it: Windows 2000 cannot load that (Microsoft, "Registry
//! Hives" and `REG_SAVE_KEY_INFORMATION`). Below that format, which copies saved from XP have too, a service pack of 4
//! or more means Windows 2000 (XP ended with 3, Server 2003 with 2), and so does the English display name "IPSEC Policy
//! Agent" (XP: "IPSEC Services"), unless the root has a key `WPA` (product activation came with XP). If none of this
//! decides, a hive of that version without XP's key `WPA` stays undecided.

mod evidence;
mod facts;

use serde::Serialize;

pub use evidence::Evidence;
pub(crate) use evidence::{SetEvidence, of_hive, of_set};

use super::Finding;
use super::services::Service;
use hivewright_error::{Code, Error, Kind, Result};

/// The decision about the service that reads the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Decision {
    /// Vista or later: `PolicyAgent` reads it.
    PolicyAgent,
    /// XP or Server 2003: the driver `IPSec` reads it.
    #[serde(rename = "IPSec")]
    IpSec,
    /// Windows 2000, for which the setting is not documented.
    Windows2000,
    /// No decisive evidence.
    Unknown,
    /// Evidence for both.
    Contradictory,
}

impl Decision {
    /// Returns the service that reads the setting, if it is known.
    pub fn service(self) -> Option<Service> {
        match self {
            Decision::PolicyAgent => Some(Service::PolicyAgent),
            Decision::IpSec => Some(Service::IpSec),
            Decision::Windows2000 | Decision::Unknown | Decision::Contradictory => None,
        }
    }

    /// Returns the name for users.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::PolicyAgent => "Windows Vista or later",
            Decision::IpSec => "Windows XP or Server 2003",
            Decision::Windows2000 => "Windows 2000",
            Decision::Unknown => "unknown Windows",
            Decision::Contradictory => "contradictory Windows",
        }
    }

    /// Returns the service, if the evidence shows it.
    ///
    /// # Errors
    /// Refusals: `windows-2000`, `windows-unknown`, `windows-contradictory`.
    pub(crate) fn require(self, set: &str) -> Result<Service> {
        self.service().ok_or_else(|| self.open(set).to_error(Kind::Refused))
    }

    /// Returns the finding that the deciding service key in the control set of that name is unknown.
    pub(crate) fn open(self, set: &str) -> Finding {
        let (code, what) = match self {
            Decision::Windows2000 => (Code::Windows2000, "the setting is not documented for Windows 2000"),
            Decision::Contradictory => (
                Code::WindowsContradictory,
                "the hive has evidence of XP and of later Windows, so the right key is unknown",
            ),
            Decision::Unknown | Decision::PolicyAgent | Decision::IpSec => {
                (Code::WindowsUnknown, "the hive does not show its version of Windows, so the right key is unknown")
            }
        };
        let advice = match self {
            Decision::Windows2000 => "if it is in fact XP or Server 2003, give --windows xp",
            _ => "if you know it, give --windows xp (XP, Server 2003) or --windows vista+ (Vista and later)",
        };
        Finding::new(code, set, what, advice)
    }
}

/// The era that a user may give if the evidence does not show it, or to override it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Era {
    /// XP or Server 2003.
    #[serde(rename = "xp")]
    Xp,
    /// Vista or later.
    #[serde(rename = "vista+")]
    VistaPlus,
}

impl Era {
    /// Returns the equivalent decision.
    pub fn decision(self) -> Decision {
        match self {
            Era::Xp => Decision::IpSec,
            Era::VistaPlus => Decision::PolicyAgent,
        }
    }
}

impl std::str::FromStr for Era {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "xp" => Ok(Era::Xp),
            "vista+" => Ok(Era::VistaPlus),
            _ => Err(Error::new(
                Kind::NotFound,
                Code::WindowsName,
                format!("\"{text}\" does not name a version of Windows"),
            )
            .advise("give xp (XP, Server 2003) or vista+ (Vista and later)")),
        }
    }
}

/// `Control\ProductOptions\ProductType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProductType {
    /// WinNT.
    Client,
    /// ServerNT.
    Server,
    /// LanmanNT.
    DomainController,
}

impl ProductType {
    fn read(text: &str) -> Option<Self> {
        let known = [
            ("WinNT", ProductType::Client),
            ("ServerNT", ProductType::Server),
            ("LanmanNT", ProductType::DomainController),
        ];
        known.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, kind)| kind)
    }

    /// Returns the name for users.
    pub fn as_str(self) -> &'static str {
        match self {
            ProductType::Client => "client",
            ProductType::Server => "server",
            ProductType::DomainController => "domain controller",
        }
    }
}

/// The detected version of Windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detection {
    /// The decision of the evidence.
    pub decision: Decision,
    /// The decisive evidence, in a few words for users.
    pub because: &'static str,
    /// The era that the user gave.
    pub override_era: Option<Era>,
    /// The service that reads the setting, after the override; `None` if unknown.
    pub service: Option<Service>,
    /// Number of the control set whose services decided: that of the next boot, if `Select` names it.
    pub control_set: Option<u32>,
    /// The narrowest product family that the evidence supports, for users.
    pub family: String,
    /// Whether the services are those of XP or Server 2003, and nothing excludes Windows 2000.
    pub may_be_2000: bool,
    /// Number of the service pack; 0 for none.
    pub service_pack: Option<u32>,
    /// Client, server or domain controller.
    pub product_type: Option<ProductType>,
    /// `PROCESSOR_ARCHITECTURE`: x86, AMD64, ARM64.
    pub architecture: Option<String>,
    /// Whether damage hides the service pack or the product type, which determine the default of XP.
    #[serde(skip)]
    pub(crate) service_pack_unreadable: bool,
    /// The computer's name.
    pub host_name: Option<String>,
    /// All evidence, strongest first.
    pub evidence: Vec<Evidence>,
}

impl Detection {
    /// Returns the decision after the override.
    pub fn effective(&self) -> Decision {
        self.override_era.map_or(self.decision, Era::decision)
    }

    /// Returns whether it is XP before Service Pack 2, which had another default of the setting. Only for clients: the
    /// default of servers of that time is unknown.
    pub fn is_xp_before_sp2(&self) -> bool {
        self.effective() == Decision::IpSec
            && self.product_type == Some(ProductType::Client)
            && self.service_pack.is_some_and(|pack| pack < 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_read_as_the_option_is_written() {
        assert_eq!("xp".parse::<Era>().unwrap().decision(), Decision::IpSec);
        assert_eq!("Vista+".parse::<Era>().unwrap().decision(), Decision::PolicyAgent);
        assert_eq!("7".parse::<Era>().unwrap_err().code(), "windows-name");
    }

    #[test]
    fn open_questions_refuse_and_name_the_option() {
        for (decision, code) in [
            (Decision::Windows2000, Code::Windows2000),
            (Decision::Unknown, Code::WindowsUnknown),
            (Decision::Contradictory, Code::WindowsContradictory),
        ] {
            let error = decision.require("ControlSet001").unwrap_err();
            assert_eq!((error.code(), error.kind()), (code, Kind::Refused));
            assert!(error.advice().unwrap().contains("--windows xp"));
        }
        assert_eq!(Decision::IpSec.require("").unwrap(), Service::IpSec);
    }
}
