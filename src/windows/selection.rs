//! The selection of control sets for a write.

use super::control_set::{ControlSet, ControlSets, Role, key_name};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::HiveBytes;

/// The control sets of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// The set of the next boot and, if it is another one, the set of the captured boot.
    #[default]
    Standard,
    /// The set of the captured boot.
    Current,
    /// The set of the next boot.
    Default,
    /// All sets.
    All,
    /// The set of that number, regardless of `Select`.
    Number(u32),
}

impl std::str::FromStr for Selection {
    type Err = Error;

    /// Parses `current`, `default`, `all`, or a number as in `ControlSet001`.
    fn from_str(text: &str) -> Result<Self> {
        match text.to_ascii_lowercase().as_str() {
            "current" => Ok(Selection::Current),
            "default" => Ok(Selection::Default),
            "all" => Ok(Selection::All),
            other => other.strip_prefix("controlset").unwrap_or(other).parse().map(Selection::Number).map_err(|_| {
                Error::new(Kind::NotFound, Code::ControlSetUnknown, format!("\"{text}\" does not name a control set"))
                    .advise("give current, default, all, or a number such as 001")
            }),
        }
    }
}

impl Selection {
    /// Returns the selected control sets, the one of the next boot first.
    ///
    /// # Errors
    /// Refusals if `Select` does not lead to them, see [`ControlSets::require`]; `control-set-missing`: there is no set
    /// of that number.
    pub(crate) fn pick<'s, 'h, B: HiveBytes>(self, sets: &'s ControlSets<'h, B>) -> Result<Vec<&'s ControlSet<'h, B>>> {
        Ok(match self {
            Selection::Current => vec![sets.require(Role::Current)?],
            Selection::Default => vec![sets.require(Role::Default)?],
            Selection::Standard => {
                let (next, captured) = (sets.require(Role::Default)?, sets.require(Role::Current)?);
                if next.number == captured.number { vec![next] } else { vec![next, captured] }
            }
            Selection::All if sets.sets.is_empty() => {
                return Err(
                    Error::refused(Code::ControlSetMissing, "the hive has no control set").advise(sets.advice())
                );
            }
            Selection::All => sets.sets.iter().collect(),
            Selection::Number(number) => vec![sets.numbered(number).ok_or_else(|| {
                Error::refused(Code::ControlSetMissing, format!("there is no {}", key_name(number)))
                    .advise(sets.advice())
            })?],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type() {
        for (text, want) in [
            ("current", Selection::Current),
            ("Default", Selection::Default),
            ("ALL", Selection::All),
            ("001", Selection::Number(1)),
            ("ControlSet003", Selection::Number(3)),
        ] {
            assert_eq!(text.parse::<Selection>().unwrap(), want);
        }
        assert_eq!("last".parse::<Selection>().unwrap_err().code(), "control-set-unknown");
    }
}
