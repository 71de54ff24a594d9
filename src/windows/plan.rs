//! Where a write has to go, or why it may not.

use super::control_set::{ControlSet, ControlSets};
use super::look::{Damage, Look};
use super::rule;
use super::selection::Selection;
use super::services::{Service, Services};
use super::special;
use super::version::{self, Decision, Era};
use hivewright_error::{Error, Kind, Result};
use hivewright_hive::regf::CellOffset;
use hivewright_hive::{Hive, HiveBytes};

/// A service key to edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the control set.
    pub control_set: u32,
    /// Its key's name.
    pub control_set_name: String,
    /// Whose key it is.
    pub service: Service,
    /// Path of the key below the root of the hive.
    pub path: String,
    /// Cell offset of the key node.
    pub key: CellOffset,
}

/// The service keys that a write of the rule has to edit, the one of the next boot first. With `despite_damage`, damage
/// passes that leaves a reader the answer.
///
/// # Errors
/// Refused, nothing guessed: `select-missing`, `select-type`, `select-zero`, `control-set-missing` (see [`Selection`]);
/// `windows-unknown`, `windows-contradictory`, `windows-2000` (see [`version`]); `windows-disagrees` where the control
/// set of the next boot says another Windows; `service-key-missing`, never made; `key-special` for a symbolic link, a
/// predefined handle or a tombstone on the way. Damage on the way is an error too.
pub fn plan<B: HiveBytes>(
    hive: &Hive<B>,
    selection: &Selection,
    override_era: Option<Era>,
    despite_damage: bool,
) -> Result<Vec<Place>> {
    // A writer takes no damage for an answer: what look-ups collected is checked before anything is decided.
    let mut damage = Damage::default();
    let sets = ControlSets::find(hive, &mut damage)?;
    let picked = selection.pick(&sets)?;
    let decide = |set: &ControlSet<'_, B>, damage: &mut Damage| -> Result<Decision> {
        if let Some(era) = override_era {
            return Ok(era.decision());
        }
        let marks = version::of_hive(hive, damage)?;
        let services = Services::of(set, damage)?;
        Ok(version::of_set(&marks, set, &services, true, damage)?.decision)
    };
    let reference = match sets.deciding() {
        Some(set) => decide(set, &mut damage)?,
        None => Decision::Unknown,
    };
    let mut places = Vec::new();
    for set in picked {
        let decision = decide(set, &mut damage)?;
        let mut services = Services::of(set, &mut damage)?;
        if decision != Decision::PolicyAgent {
            services.seek_ipsec(&mut damage)?;
        }
        let found = std::mem::take(&mut damage);
        // What cannot be read may be what is missing to tell.
        if !despite_damage || decision.service().is_none() {
            refuse_damage(found)?;
        }
        let service = decision.require(&set.name)?;
        if decision != reference {
            return Err(disagrees(&set.name, decision, reference));
        }
        if let Some((_, error)) = special::on_the_way(set, &services, service) {
            return Err(error);
        }
        places.push(place(set, &services, service, despite_damage)?);
    }
    Ok(places)
}

fn place<B: HiveBytes>(
    set: &ControlSet<'_, B>,
    services: &Services<'_, B>,
    service: Service,
    despite_damage: bool,
) -> Result<Place> {
    let path = services.path_of(service.as_str());
    let key = match services.key(service) {
        Look::There(key) => key,
        Look::Unreadable(damage) => return Err(damage.to_error(Kind::Corrupt).advise(ADVICE)),
        Look::Absent => {
            return Err(Error::refused("service-key-missing", format!("there is no key {path}")).advise(
                "a service key is never made here: choose another set with --control-set, or check --windows",
            ));
        }
    };
    // An edit of a key with a value that cannot be read would be a guess, but for a value that stands beside it.
    if !despite_damage {
        let mut damage = Damage::default();
        damage.values(key, &path, |value, damage| {
            if value.name().matches(rule::NAME) {
                damage.look(&format!("{path}\\{}", rule::NAME), value.raw_data().map(Some))?;
            }
            Ok(())
        })?;
        refuse_damage(damage)?;
    }
    Ok(Place { control_set: set.number, control_set_name: set.name.clone(), service, path, key: key.at() })
}

fn disagrees(set: &str, decision: Decision, reference: Decision) -> Error {
    Error::refused(
        "windows-disagrees",
        format!("{set} says {}, the control set of the next boot says {}", decision.as_str(), reference.as_str()),
    )
    .advise("leave that set out with --control-set, or say --windows xp or --windows vista+")
}

fn refuse_damage(damage: Damage) -> Result<()> {
    match damage.into_mistakes().into_iter().next() {
        None => Ok(()),
        Some(first) => Err(first.to_error(Kind::Corrupt).advise(ADVICE)),
    }
}

const ADVICE: &str = "the hive is damaged where an edit has to look: see what `hivewright check` finds before any write; --force \
                      edits nevertheless where the setting is whole and the edit does not touch the damage";
