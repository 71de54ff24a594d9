//! The control sets of a SYSTEM hive and the `Select` key that gives them their roles.
//!
//! `Select` has `Current`, `Default`, `Failed` and `LastKnownGood`, each a REG_DWORD N for the key `ControlSet%03d`.
//! `Current` was used for the boot in which the hive was captured; the loader uses `Default` at the next boot (Windows
//! 7 Resource Kit). `Failed` 0 means none. Numbers may have gaps. `CurrentControlSet` is a link that Windows makes at
//! boot and that is never in a hive file.

use serde::Serialize;

use super::Finding;
use super::kind::not_system;
use super::lookup::{self, Damage, Lookup};
use super::special::special;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::{Hive, HiveBytes, Key};

/// The link that Windows makes at boot.
pub(crate) const LINK: &str = "CurrentControlSet";

/// The role of a control set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Used for the boot in which the hive was captured.
    Current,
    /// Used at the next boot.
    Default,
    /// Used for the last boot that succeeded.
    LastKnownGood,
    /// Replaced by the last known good one.
    Failed,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 4] = [Role::Current, Role::Default, Role::LastKnownGood, Role::Failed];

    /// Returns the name of the value of `Select`.
    pub fn value_name(self) -> &'static str {
        match self {
            Role::Current => "Current",
            Role::Default => "Default",
            Role::LastKnownGood => "LastKnownGood",
            Role::Failed => "Failed",
        }
    }

    /// Returns the name for users.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Current => "current",
            Role::Default => "default",
            Role::LastKnownGood => "last known good",
            Role::Failed => "failed",
        }
    }
}

/// A value of `Select`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state", content = "number")]
pub enum Pointer {
    /// There is no such value.
    Missing,
    /// It is not a 4-byte REG_DWORD.
    WrongType,
    /// It is damaged, or Windows does not read it as stored.
    Unreadable,
    /// A layered hive marks it as deleted.
    Tombstone,
    /// The number of a control set, 0 for none.
    Number(u32),
}

/// The `Select` key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Select {
    /// Whether the key exists.
    pub present: bool,
    /// See [`Role::Current`].
    pub current: Pointer,
    /// See [`Role::Default`].
    pub default: Pointer,
    /// See [`Role::LastKnownGood`].
    pub last_known_good: Pointer,
    /// See [`Role::Failed`].
    pub failed: Pointer,
}

impl Select {
    /// The key exists, and nothing of it can be read.
    const UNREADABLE: Select = Select {
        present: true,
        current: Pointer::Unreadable,
        default: Pointer::Unreadable,
        last_known_good: Pointer::Unreadable,
        failed: Pointer::Unreadable,
    };

    /// Returns the value for a role.
    pub fn pointer(&self, role: Role) -> Pointer {
        match role {
            Role::Current => self.current,
            Role::Default => self.default,
            Role::LastKnownGood => self.last_known_good,
            Role::Failed => self.failed,
        }
    }

    /// Returns the number of the control set of a role, if it names one.
    fn number(&self, role: Role) -> Option<u32> {
        match self.pointer(role) {
            Pointer::Number(number) if number != 0 => Some(number),
            _ => None,
        }
    }
}

/// A control set.
#[derive(Debug)]
pub(crate) struct ControlSet<'h, B> {
    pub(crate) number: u32,
    /// The name of the key.
    pub(crate) name: String,
    pub(crate) key: Key<'h, B>,
    pub(crate) roles: Vec<Role>,
}

/// All control sets of a hive.
#[derive(Debug)]
pub(crate) struct ControlSets<'h, B> {
    pub(crate) select: Select,
    /// The control sets, by number.
    pub(crate) sets: Vec<ControlSet<'h, B>>,
    /// A key named as the link of the running system.
    pub(crate) stable_link: Option<Key<'h, B>>,
    /// Findings for unreadable values of `Select`.
    pointers: Vec<(Role, Finding)>,
    /// Findings for control sets that `Select` names and that cannot be found, by Windows or by this program.
    lost: Vec<(u32, Finding)>,
}

impl<'h, B: HiveBytes> ControlSets<'h, B> {
    /// Finds the control sets in the root's subkeys list.
    ///
    /// # Errors
    /// I/O errors; the root key cannot be read; `not-system`: nothing indicates a SYSTEM hive.
    pub(crate) fn find(hive: &'h Hive<B>, damage: &mut Damage) -> Result<Self> {
        let root = hive.root()?;
        let (select, pointers) = read_select(&root, damage)?;
        let (sets, lost) = (Vec::new(), Vec::new());
        let mut sets = ControlSets { select, sets, stable_link: None, pointers, lost };
        let (keys, errors) = damage.look("", root.readable_subkeys().map(Some))?.into_found().unwrap_or_default();
        keys.into_iter().for_each(|key| sets.take(key));
        let is_undamaged = damage.count() == 0 && errors.is_empty();
        if !select.present && sets.sets.is_empty() && sets.stable_link.is_none() && is_undamaged {
            return Err(not_system(hive));
        }
        for number in Role::ALL.into_iter().filter_map(|role| sets.select.number(role)) {
            let name = key_name(number);
            if let Lookup::Unreadable(finding) = damage.required(&root, &name, &name)? {
                sets.lost.push((number, *finding));
            }
        }
        // After the findings of look-ups by name.
        for error in errors {
            damage.note_unnamed(error)?;
        }
        sets.sets.sort_by_key(|set| set.number);
        Ok(sets)
    }

    fn take(&mut self, key: Key<'h, B>) {
        if key.name().matches(LINK) {
            self.stable_link = Some(key);
            return;
        }
        let name = key.name().to_string();
        if let Some(number) = number_in(&name) {
            let roles = Role::ALL.into_iter().filter(|role| self.select.number(*role) == Some(number)).collect();
            self.sets.push(ControlSet { number, name, key, roles });
        }
    }

    /// Returns the set of that number.
    pub(crate) fn numbered(&self, number: u32) -> Option<&ControlSet<'h, B>> {
        self.sets.iter().find(|set| set.number == number)
    }

    /// Returns the finding because of which the set of that number is not found.
    fn lost(&self, number: u32) -> Option<&Finding> {
        self.lost.iter().find(|(lost, _)| *lost == number).map(|(_, finding)| finding)
    }

    /// Returns the set of a role, if `Select` names one that exists.
    pub(crate) fn of_role(&self, role: Role) -> Option<&ControlSet<'h, B>> {
        self.sets.iter().find(|set| set.roles.contains(&role))
    }

    /// Returns the set whose services determine the version of Windows: the one of the next boot, or the best
    /// substitute.
    pub(crate) fn deciding(&self) -> Option<&ControlSet<'h, B>> {
        self.of_role(Role::Default).or_else(|| self.of_role(Role::Current)).or_else(|| self.sets.first())
    }

    /// Returns the set of a role, or the reason why there is none.
    ///
    /// # Errors
    /// Refusals: `select-missing`, `select-type`, `select-zero`, `control-set-missing`.
    pub(crate) fn require(&self, role: Role) -> Result<&ControlSet<'h, B>> {
        let value = role.value_name();
        let refuse = |code, what: String| Err(Error::refused(code, what).advise(self.advice()));
        match self.select.pointer(role) {
            _ if !self.select.present => refuse(Code::SelectMissing, "the hive has no key Select".to_owned()),
            Pointer::Missing => refuse(Code::SelectMissing, format!("Select has no value {value}")),
            Pointer::WrongType => refuse(Code::SelectType, format!("Select\\{value} is not a 4-byte REG_DWORD")),
            Pointer::Tombstone => refuse(Code::SelectTombstone, format!("Select\\{value} is marked as deleted")),
            Pointer::Unreadable => Err(match self.pointers.iter().find(|(of, _)| *of == role) {
                Some((_, finding)) if finding.code == Code::KeySpecial => finding.to_error(Kind::Refused),
                Some((_, finding)) => finding.to_error(Kind::Corrupt),
                None => Error::new(Kind::Corrupt, Code::Unreadable, format!("Select\\{value} cannot be read")),
            }
            .advise(self.advice())),
            Pointer::Number(0) => refuse(Code::SelectZero, format!("Select\\{value} is 0, which is not a control set")),
            Pointer::Number(number) => match (self.lost(number), self.numbered(number)) {
                (Some(finding), _) => Err(finding.to_error(Kind::Corrupt)),
                (None, Some(set)) => Ok(set),
                (None, None) => refuse(
                    Code::ControlSetMissing,
                    format!("Select\\{value} is {number}, but there is no {}", key_name(number)),
                ),
            },
        }
    }

    /// Returns the advice for a missing or wrong `Select`: the option that overrides it, with the existing numbers.
    pub(crate) fn advice(&self) -> String {
        if self.sets.is_empty() {
            return "the hive has no control set: is it a SYSTEM hive?".to_owned();
        }
        let numbers: Vec<String> = self.sets.iter().map(|set| format!("{:03}", set.number)).collect();
        format!("name the control set with --control-set NNN (there is {})", numbers.join(", "))
    }

    /// Returns the findings on `Select` and on a stored key `CurrentControlSet`.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for role in Role::ALL {
            let pointer = self.select.pointer(role);
            // Without Select, one finding is enough; the absence of a failed set is normal.
            let needless = !self.select.present && role != Role::Default;
            let none = role == Role::Failed && matches!(pointer, Pointer::Missing | Pointer::Number(0));
            // The damage is already reported.
            if needless || none || pointer == Pointer::Unreadable {
                continue;
            }
            if self.select.number(role).is_some_and(|number| self.lost(number).is_some()) {
                continue;
            }
            if let Err(error) = self.require(role) {
                let place = format!("Select\\{}", role.value_name());
                let place = if self.select.present { place } else { "Select".to_owned() };
                findings.push(Finding::new(error.code(), place, error.what(), advice_for(role)));
            }
        }
        if self.stable_link.is_some() {
            findings.push(Finding::new(
                Code::CurrentControlSetKey,
                LINK,
                "the file has a key with this name; Windows creates a link with this name at boot and never reads the key",
                "another program created it: use ControlSetNNN instead, and remove this key",
            ));
        }
        findings
    }
}

fn advice_for(role: Role) -> &'static str {
    match role {
        Role::Current | Role::Default => "a write needs --control-set NNN",
        Role::LastKnownGood => "nothing to do for this setting: Windows has no last known good control set",
        Role::Failed => "nothing to do for this setting",
    }
}

/// Returns the key of a control set, as Windows writes it.
pub(crate) fn key_name(number: u32) -> String {
    format!("ControlSet{number:03}")
}

/// Returns the number in the name of a control set; `None` if it is not the name of one.
fn number_in(name: &str) -> Option<u32> {
    let (head, digits) = name.split_at_checked("ControlSet".len())?;
    let number = digits.parse().ok()?;
    let written = digits == format!("{number:03}");
    (written && head.eq_ignore_ascii_case("ControlSet")).then_some(number)
}

/// Reads the `Select` key, and findings for its unreadable values.
fn read_select<B: HiveBytes>(root: &Key<'_, B>, damage: &mut Damage) -> Result<(Select, Vec<(Role, Finding)>)> {
    let mut select = Select {
        present: false,
        current: Pointer::Missing,
        default: Pointer::Missing,
        last_known_good: Pointer::Missing,
        failed: Pointer::Missing,
    };
    let mut unreadable = Vec::new();
    let minor = root.hive().base_block().minor_version.get();
    let key = match damage.required(root, "Select", "Select")? {
        Lookup::Found(key) => key,
        Lookup::Absent => return Ok((select, unreadable)),
        Lookup::Unreadable(finding) => return Ok((Select::UNREADABLE, all_roles(&finding))),
    };
    if let Some(error) = special(&key, "Select") {
        let finding = Finding::of_error(error.code(), "Select", &error, "");
        damage.keep(finding.clone());
        return Ok((Select::UNREADABLE, all_roles(&finding)));
    }
    let mut read = |role: Role| -> Result<Pointer> {
        let value = match damage.value(&key, "Select", role.value_name())? {
            Lookup::Found(value) if value.node().is_tombstone(minor) => return Ok(Pointer::Tombstone),
            Lookup::Found(value) => value,
            Lookup::Absent => return Ok(Pointer::Missing),
            Lookup::Unreadable(finding) => {
                unreadable.push((role, *finding));
                return Ok(Pointer::Unreadable);
            }
        };
        let place = format!("Select\\{}", role.value_name());
        Ok(match damage.look(&place, lookup::number(&value))? {
            Lookup::Found(number) => Pointer::Number(number),
            Lookup::Absent => Pointer::WrongType,
            Lookup::Unreadable(finding) => {
                unreadable.push((role, *finding));
                Pointer::Unreadable
            }
        })
    };
    select.present = true;
    select.current = read(Role::Current)?;
    select.default = read(Role::Default)?;
    select.last_known_good = read(Role::LastKnownGood)?;
    select.failed = read(Role::Failed)?;
    Ok((select, unreadable))
}

fn all_roles(finding: &Finding) -> Vec<(Role, Finding)> {
    Role::ALL.into_iter().map(|role| (role, finding.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sets_are_called_as_windows_writes_them() {
        assert_eq!(number_in("ControlSet001"), Some(1));
        assert_eq!(number_in("CONTROLSET042"), Some(42));
        assert_eq!(number_in("ControlSet1000"), Some(1000));
        for other in
            ["ControlSet1", "ControlSet0001", "ControlSet", "ControlSet+01", "CurrentControlSet", "Kontro\u{df}"]
        {
            assert_eq!(number_in(other), None, "{other}");
        }
        assert_eq!(key_name(3), "ControlSet003");
    }
}
