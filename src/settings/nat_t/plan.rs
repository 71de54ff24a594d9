//! Decides where a write goes, or refuses it.

use super::value::NAME;
use crate::windows::Selection;
use crate::windows::control_set::{ControlSet, ControlSets};
use crate::windows::lookup::{Damage, Lookup};
use crate::windows::services::{Service, Services};
use crate::windows::special;
use crate::windows::version::{self, Decision, Era};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::recover::Log;
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::key_value::ValueType;
use hivewright_hive::regf::name::Name;
use hivewright_hive::{DirtyHive, Hive, HiveBytes, KeyPath};

use crate::edit::{Action, Operation, Plan, Transaction};
use crate::locate::{Obstacle, of_dirty};

/// The wanted state of the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A REG_DWORD of this number.
    Set(u32),
    /// No value of that name.
    Unset,
}

/// An edit of the setting.
#[derive(Clone, Copy, Debug)]
pub struct SettingChange {
    /// The wanted state.
    pub wanted: Wanted,
    /// The control sets.
    pub selection: Selection,
    /// The era, overriding the evidence.
    pub era: Option<Era>,
}

impl Plan for SettingChange {
    fn operations(&self, hive: &Hive<Vec<u8>>, despite_damage: bool) -> Result<Vec<Operation>> {
        let action = match self.wanted {
            Wanted::Set(number) => {
                let data = number.to_le_bytes().to_vec();
                Action::SetValue { name: Name::encode(NAME), kind: ValueType::DWORD, data }
            }
            Wanted::Unset => Action::DeleteValue { name: Name::encode(NAME) },
        };
        let operation = |place: Place| Operation {
            control_set: Some(place.control_set),
            path: KeyPath::from(&place.path).into_owned(),
            key: Some(place.key),
            action: action.clone(),
        };
        Ok(plan(hive, &self.selection, self.era, despite_damage)?.into_iter().map(operation).collect())
    }
}

impl Transaction {
    /// Sets the L2TP/NAT-T setting to 0, 1 or 2, or removes it: in the service key that this Windows reads, in the
    /// control set of the next boot and, where that is another one, in the set of the captured boot. It comes before
    /// all other operations.
    ///
    /// # Errors
    /// `usage`: another number, which Windows gives no meaning.
    ///
    /// # Examples
    /// ```
    /// use hivewright::Image;
    ///
    /// # let home = tempfile::tempdir()?;
    /// # let hive = home.path().join("SYSTEM");
    /// # std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/windows/win10/SYSTEM"), &hive)?;
    /// let image = Image::open(&hive)?;
    /// image.transaction().nat_t(Some(2))?.prepare()?.commit()?;
    /// assert_eq!(Image::open(&hive)?.installations()?[0].nat_t()?.number, Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn nat_t(&mut self, number: Option<u32>) -> Result<&mut Self> {
        if let Some(number) = number.filter(|number| *number > 2) {
            let what = format!("{number} is not a value of the setting");
            return Err(Error::new(Kind::Unsupported, Code::Usage, what).expected("0, 1 or 2", number));
        }
        let wanted = number.map_or(Wanted::Unset, Wanted::Set);
        Ok(self.plan(SettingChange { wanted, selection: Selection::Standard, era: None }))
    }
}

/// Returns the obstacle in a hive to an edit of its setting.
///
/// # Errors
/// I/O errors, which are not about the hive.
pub(crate) fn obstacle<B: HiveBytes>(hive: &Hive<B>, era: Option<Era>) -> Result<Option<Obstacle>> {
    match plan(hive, &Selection::Standard, era, false) {
        Ok(_) => Ok(None),
        Err(error) if error.kind() == Kind::Io => Err(error),
        Err(error) => Ok(Some(Obstacle { what: error.sentence(), ..Obstacle::of(&error) })),
    }
}

/// Returns the obstacles in a dirty hive with these logs to an edit of its setting.
///
/// # Errors
/// As [`obstacle`].
pub(crate) fn obstacles_of_dirty<B: HiveBytes>(hive: DirtyHive<B>, logs: &[Log<'_>]) -> Result<Vec<Obstacle>> {
    let (dirty, plan) = match hive.recover(logs) {
        Ok(recovered) => (None, obstacle(&recovered.hive, None)?),
        Err(failed) => (Some(of_dirty(&failed.error)), obstacle(failed.hive.primary_alone(), None)?),
    };
    Ok(dirty.into_iter().chain(plan).collect())
}

/// A service key to edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the control set.
    pub control_set: u32,
    /// The name of the control set's key.
    pub control_set_name: String,
    /// The service of the key.
    pub service: Service,
    /// Path of the key below the root of the hive.
    pub path: String,
    /// Cell offset of the key node.
    pub key: CellOffset,
}

/// Returns the service keys that a write of the setting must edit, that of the next boot first. With `despite_damage`,
/// ignores damage that does not concern the answer.
///
/// # Errors
/// Refusals: `select-missing`, `select-type`, `select-zero`, `control-set-missing` (see [`Selection`]);
/// `windows-unknown`, `windows-contradictory`, `windows-2000` (see [`version`]); `windows-disagrees` if the control set
/// of the next boot belongs to another Windows; `service-key-missing`, because the key is never created; `key-special`
/// for a symbolic link, a predefined handle or a tombstone in the path. Damage in the path is an error too.
pub fn plan<B: HiveBytes>(
    hive: &Hive<B>,
    selection: &Selection,
    override_era: Option<Era>,
    despite_damage: bool,
) -> Result<Vec<Place>> {
    // A write needs certainty: all damage that look-ups found counts before a decision.
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
        // The unreadable part may be the missing evidence.
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
        Lookup::Found(key) => key,
        Lookup::Unreadable(damage) => return Err(damage.to_error(Kind::Corrupt).advise(ADVICE)),
        Lookup::Absent => {
            return Err(Error::refused(Code::ServiceKeyMissing, format!("there is no key {path}")).advise(
                "this program creates no service key: choose another control set with --control-set, or correct --windows",
            ));
        }
    };
    // An edit of a key with an unreadable value would be a guess, unless another value has the setting's name.
    if !despite_damage {
        let mut damage = Damage::default();
        damage.values(key, &path, |value, damage| {
            if value.name().matches(NAME) {
                damage.look(&format!("{path}\\{}", NAME), value.raw_data().map(Some))?;
            }
            Ok(())
        })?;
        refuse_damage(damage)?;
    }
    Ok(Place { control_set: set.number, control_set_name: set.name.clone(), service, path, key: key.at() })
}

fn disagrees(set: &str, decision: Decision, reference: Decision) -> Error {
    Error::refused(
        Code::WindowsDisagrees,
        format!("{set} belongs to {}, the control set of the next boot to {}", decision.as_str(), reference.as_str()),
    )
    .advise("exclude that control set with --control-set, or give --windows xp or --windows vista+")
}

fn refuse_damage(damage: Damage) -> Result<()> {
    match damage.into_findings().into_iter().next() {
        None => Ok(()),
        Some(first) => Err(first.to_error(Kind::Corrupt).advise(ADVICE)),
    }
}

const ADVICE: &str = "the hive is damaged in a part that an edit must read: run `hivewright check` before a write; --force edits anyway if the setting is intact and the edit does not touch the damage";
