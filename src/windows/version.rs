//! Which Windows: the question is which of two services reads the rule.
//!
//! Decided by the services themselves, never by which key exists: `PolicyAgent` is a service on XP too, and hardening
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
//! An IPSec driver next to svchost.exe, `BFE` and `IKEEXT` is a leftover: no driver alone tells of XP.
//!
//! Windows 2000 has the same two services, and the rule is not documented for it. It is named on positive evidence
//! only. The latest hive format (minor version 5) excludes it: Windows 2000 cannot load that (Microsoft, "Registry
//! Hives" and `REG_SAVE_KEY_INFORMATION`). Below that format, which copies saved from XP have too, a service pack of 4
//! or more means Windows 2000 (XP ended with 3, Server 2003 with 2), and so does the English display name "IPSEC
//! Policy Agent" (XP: "IPSEC Services"), unless the root has a key `WPA` (product activation came with XP). Where
//! none of this decides, a hive of that version without XP's key `WPA` is left undecided: it may be either.

mod evidence;
mod facts;

use serde::Serialize;

pub use evidence::Evidence;
pub(crate) use evidence::{SetEvidence, of_hive, of_set};

use super::Mistake;
use super::services::Service;
use hivewright_error::{Code, Error, Kind, Result};

/// What the evidence says about the service that reads the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Decision {
    /// Vista or later: `PolicyAgent` reads it.
    PolicyAgent,
    /// XP or Server 2003: the driver `IPSec` reads it.
    #[serde(rename = "IPSec")]
    IpSec,
    /// Not documented to read it at all.
    Windows2000,
    /// No evidence that decides.
    Unknown,
    /// Evidence for both.
    Contradictory,
}

impl Decision {
    /// The service that reads the rule, where that is known.
    pub fn service(self) -> Option<Service> {
        match self {
            Decision::PolicyAgent => Some(Service::PolicyAgent),
            Decision::IpSec => Some(Service::IpSec),
            Decision::Windows2000 | Decision::Unknown | Decision::Contradictory => None,
        }
    }

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::PolicyAgent => "Windows Vista or later",
            Decision::IpSec => "Windows XP or Server 2003",
            Decision::Windows2000 => "Windows 2000",
            Decision::Unknown => "unknown Windows",
            Decision::Contradictory => "contradictory Windows",
        }
    }

    /// The service, where the evidence shows it.
    ///
    /// # Errors
    /// `windows-2000`, `windows-unknown`, `windows-contradictory`, each refused.
    pub(crate) fn require(self, set: &str) -> Result<Service> {
        self.service().ok_or_else(|| self.open(set).to_error(Kind::Refused))
    }

    /// Why it is open which key counts in the control set of that name.
    pub(crate) fn open(self, set: &str) -> Mistake {
        let (code, what) = match self {
            Decision::Windows2000 => (Code::Windows2000, "the setting is not documented for Windows 2000"),
            Decision::Contradictory => (
                Code::WindowsContradictory,
                "the hive shows marks of XP and of later Windows, so which key counts is open",
            ),
            Decision::Unknown | Decision::PolicyAgent | Decision::IpSec => {
                (Code::WindowsUnknown, "the hive does not show which Windows it is of, so which key counts is open")
            }
        };
        let advice = match self {
            Decision::Windows2000 => "if it is XP or Server 2003 after all, say --windows xp",
            _ => "if you know it, say --windows xp (XP, Server 2003) or --windows vista+ (Vista and later)",
        };
        Mistake::new(code, set, what, advice)
    }
}

/// What a user may say where the evidence does not, or against it.
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
    /// The decision that this stands for.
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
            _ => Err(Error::new(Kind::NotFound, Code::WindowsName, format!("\"{text}\" names no Windows"))
                .advise("say xp (XP, Server 2003) or vista+ (Vista and later)")),
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

    /// For people.
    pub fn as_str(self) -> &'static str {
        match self {
            ProductType::Client => "client",
            ProductType::Server => "server",
            ProductType::DomainController => "domain controller",
        }
    }
}

/// Which Windows a hive is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Detection {
    /// What the evidence says.
    pub decision: Decision,
    /// What decided, in a few words for people.
    pub because: &'static str,
    /// What the user said instead.
    pub override_era: Option<Era>,
    /// The service that reads the rule, after the override; none if that is open.
    pub service: Option<Service>,
    /// Number of the control set whose services decided: that of the next boot, where `Select` tells it.
    pub control_set: Option<u32>,
    /// The narrowest product family that the evidence supports, for people.
    pub family: String,
    /// XP or Server 2003 by its services, and nothing excludes Windows 2000.
    pub may_be_2000: bool,
    /// Number of the service pack; 0 for none.
    pub service_pack: Option<u32>,
    /// Client, server or domain controller.
    pub product_type: Option<ProductType>,
    /// `PROCESSOR_ARCHITECTURE`: x86, AMD64, ARM64.
    pub architecture: Option<String>,
    /// Whether damage hides the service pack or the product type, on which the default of XP hangs.
    #[serde(skip)]
    pub(crate) service_pack_unreadable: bool,
    /// The computer's name.
    pub computer_name: Option<String>,
    /// Everything that was found, strongest first.
    pub evidence: Vec<Evidence>,
}

impl Detection {
    /// The decision after the override.
    pub fn effective(&self) -> Decision {
        self.override_era.map_or(self.decision, Era::decision)
    }

    /// XP before its second service pack, where the rule's default was another one. XP's clients only: for the servers
    /// of that time it is not established.
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
