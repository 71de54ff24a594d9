//! The services of a control set that matter here, each looked up once.

use serde::Serialize;

use super::control_set::ControlSet;
use super::look::{Damage, Look};
use crate::error::Result;
use crate::hive::{HiveBytes, Key};

/// A service whose key may hold the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Service {
    /// Read by Vista and later.
    PolicyAgent,
    /// Read by XP and Server 2003.
    #[serde(rename = "IPSec")]
    IpSec,
}

impl Service {
    /// Both.
    pub const ALL: [Service; 2] = [Service::PolicyAgent, Service::IpSec];

    /// The name of the key, as Microsoft spells it in KB926179.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::PolicyAgent => "PolicyAgent",
            Service::IpSec => "IPSec",
        }
    }
}

/// The keys below `Services` of one control set. What is looked up costs a page or two: only what is asked for.
#[derive(Debug)]
pub(super) struct Services<'h, B> {
    /// The path of `Services`.
    pub(super) path: String,
    pub(super) all: Look<Key<'h, B>>,
    pub(super) policy_agent: Look<Key<'h, B>>,
    pub(super) ipsec: Look<Key<'h, B>>,
}

impl<'h, B: HiveBytes> Services<'h, B> {
    pub(super) fn of(set: &ControlSet<'h, B>, damage: &mut Damage) -> Result<Self> {
        Self::below(&set.key, &set.name, damage)
    }

    /// The services below a control set's key.
    pub(super) fn below(set: &Key<'h, B>, name: &str, damage: &mut Damage) -> Result<Self> {
        let path = format!("{name}\\Services");
        let all = damage.required(set, &path, "Services")?;
        let mut services = Services { path, all, policy_agent: Look::Absent, ipsec: Look::Absent };
        // Every Windows since 2000 has it.
        services.policy_agent = match &services.all {
            Look::There(all) => damage.required(all, &services.path_of("PolicyAgent"), "PolicyAgent")?,
            _ => services.find("PolicyAgent", damage)?,
        };
        services.ipsec = services.find("IPSec", damage)?;
        Ok(services)
    }

    /// The key of any service.
    pub(super) fn find(&self, name: &str, damage: &mut Damage) -> Result<Look<Key<'h, B>>> {
        match &self.all {
            Look::There(all) => damage.look(&self.path_of(name), all.subkey(name)),
            Look::Absent => Ok(Look::Absent),
            Look::Unreadable(damage) => Ok(Look::Unreadable(damage.clone())),
        }
    }

    /// Looks whether the key `IPSec`, which Windows since Vista has not, is there and hidden.
    pub(super) fn seek_ipsec(&mut self, damage: &mut Damage) -> Result<()> {
        if let (Look::There(all), Look::Absent) = (&self.all, &self.ipsec) {
            self.ipsec = damage.hidden(all, &self.path_of("IPSec"), "IPSec")?;
        }
        Ok(())
    }

    pub(super) fn key(&self, service: Service) -> &Look<Key<'h, B>> {
        match service {
            Service::PolicyAgent => &self.policy_agent,
            Service::IpSec => &self.ipsec,
        }
    }

    /// The path of a service's key.
    pub(super) fn path_of(&self, service: &str) -> String {
        format!("{}\\{service}", self.path)
    }
}
