//! Conditions on the version of Windows in SOFTWARE.

use schemars::JsonSchema;
use serde::Deserialize;

/// A comparison with major, minor, build and revision, or fewer of them: `>=10.0.17763`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("pattern" = r"^(<=|>=|<|>|=)? *[0-9]+(\.[0-9]+){0,3}$"))]
pub(super) struct Bound {
    sign: Sign,
    numbers: Vec<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Less,
    AtMost,
    Equal,
    AtLeast,
    More,
}

impl TryFrom<String> for Bound {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let signs = [
            ("<=", Sign::AtMost),
            (">=", Sign::AtLeast),
            ("<", Sign::Less),
            (">", Sign::More),
            ("=", Sign::Equal),
            ("", Sign::Equal),
        ];
        let found = signs.iter().find_map(|(sign, is)| Some((*is, text.strip_prefix(sign)?)));
        let (sign, rest) = found.unwrap_or((Sign::Equal, &text));
        let numbers: Result<Vec<u32>, _> = rest.trim().split('.').map(str::parse).collect();
        match numbers {
            Ok(numbers) if numbers.len() <= 4 => Ok(Bound { sign, numbers }),
            _ => Err(format!("invalid version \"{text}\": use 10.0, >=6.1 or <10.0.22000")),
        }
    }
}

impl Bound {
    /// Returns whether it holds for a Windows: its version as `10.0`, its build and its revision. `None` if a compared
    /// part is unknown.
    pub(super) fn holds(&self, version: Option<&str>, build: Option<u32>, revision: Option<u32>) -> Option<bool> {
        let (major, minor) = version.and_then(|version| version.split_once('.'))?;
        let known = [Some(major.parse().ok()?), Some(minor.parse().ok()?), build, revision];
        let known: Vec<u32> = known.into_iter().map_while(|number| number).take(self.numbers.len()).collect();
        if known.len() < self.numbers.len() {
            return None;
        }
        Some(match self.sign {
            Sign::Less => known < self.numbers,
            Sign::AtMost => known <= self.numbers,
            Sign::Equal => known == self.numbers,
            Sign::AtLeast => known >= self.numbers,
            Sign::More => known > self.numbers,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_in_the_given_parts() {
        for (text, holds) in [
            ("10.0", Some(true)),
            ("=10", Some(true)),
            (">=6.1", Some(true)),
            ("<10.0.22000", Some(true)),
            (">10.0", Some(false)),
            (">10.0.20000", Some(true)),
            ("10.0.20348.1", None),
            ("<6.2", Some(false)),
        ] {
            let bound = Bound::try_from(text.to_owned()).unwrap();
            assert_eq!(bound.holds(Some("10.0"), Some(20348), None), holds, "{text}");
            assert_eq!(bound.holds(None, Some(20348), None), None, "{text}");
        }
    }
}
