//! The services of a control set that determine the version and the setting, each looked up once.

use serde::Serialize;

use super::control_set::ControlSet;
use super::lookup::{Damage, Lookup};
use hivewright_error::Result;
use hivewright_hive::{HiveBytes, Key};

/// A service whose key may have the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Service {
    /// Read by Vista and later.
    PolicyAgent,
    /// Read by XP and Server 2003.
    #[serde(rename = "IPSec")]
    IpSec,
}

impl Service {
    /// Both services.
    pub const ALL: [Service; 2] = [Service::PolicyAgent, Service::IpSec];

    /// Returns the name of the key, as Microsoft spells it in KB926179.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::PolicyAgent => "PolicyAgent",
            Service::IpSec => "IPSec",
        }
    }
}

/// The keys below `Services` of one control set. A look-up reads a page or two, so only requested keys are looked up.
#[derive(Debug)]
pub(crate) struct Services<'h, B> {
    /// The path of `Services`.
    pub(crate) path: String,
    pub(crate) all: Lookup<Key<'h, B>>,
    pub(crate) policy_agent: Lookup<Key<'h, B>>,
    pub(crate) ipsec: Lookup<Key<'h, B>>,
}

impl<'h, B: HiveBytes> Services<'h, B> {
    pub(crate) fn of(set: &ControlSet<'h, B>, damage: &mut Damage) -> Result<Self> {
        Self::below(&set.key, &set.name, damage)
    }

    /// Returns the services below a control set's key.
    pub(crate) fn below(set: &Key<'h, B>, name: &str, damage: &mut Damage) -> Result<Self> {
        let path = format!("{name}\\Services");
        let all = damage.required(set, &path, "Services")?;
        let mut services = Services { path, all, policy_agent: Lookup::Absent, ipsec: Lookup::Absent };
        services.policy_agent = services.find("PolicyAgent", damage)?;
        services.ipsec = services.find("IPSec", damage)?;
        if services.policy_agent.is_absent() && services.is_since_2000(damage)? {
            services.policy_agent = services.hidden("PolicyAgent", damage)?;
        }
        Ok(services)
    }

    /// Returns the key of any service.
    pub(crate) fn find(&self, name: &str, damage: &mut Damage) -> Result<Lookup<Key<'h, B>>> {
        match &self.all {
            Lookup::Found(all) => damage.look(&self.path_of(name), all.subkey(name)),
            Lookup::Absent => Ok(Lookup::Absent),
            Lookup::Unreadable(damage) => Ok(Lookup::Unreadable(damage.clone())),
        }
    }

    /// Returns whether another service indicates a Windows with PolicyAgent, which all versions since 2000 have;
    /// otherwise a long search for a hidden one is not worth its reads.
    fn is_since_2000(&self, damage: &mut Damage) -> Result<bool> {
        let is_there = |found: &Lookup<_>| found.found().is_some();
        Ok(is_there(&self.ipsec) || is_there(&self.find("BFE", damage)?) || is_there(&self.find("IKEEXT", damage)?))
    }

    /// Checks whether the key `IPSec`, which Windows lacks since Vista, exists and is hidden.
    pub(crate) fn seek_ipsec(&mut self, damage: &mut Damage) -> Result<()> {
        // A Windows without PolicyAgent never had IPSec.
        if self.ipsec.is_absent() && !self.policy_agent.is_absent() {
            self.ipsec = self.hidden("IPSec", damage)?;
        }
        Ok(())
    }

    fn hidden(&self, name: &str, damage: &mut Damage) -> Result<Lookup<Key<'h, B>>> {
        match &self.all {
            Lookup::Found(all) => damage.hidden(all, &self.path_of(name), name),
            _ => Ok(Lookup::Absent),
        }
    }

    pub(crate) fn key(&self, service: Service) -> &Lookup<Key<'h, B>> {
        match service {
            Service::PolicyAgent => &self.policy_agent,
            Service::IpSec => &self.ipsec,
        }
    }

    /// Returns the path of a service's key.
    pub(crate) fn path_of(&self, service: &str) -> String {
        format!("{}\\{service}", self.path)
    }
}
