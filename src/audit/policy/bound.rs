//! Conditions on the version of Windows, as SOFTWARE has it.

use serde::Deserialize;

use crate::audit::record::Record;

/// `>=10.0.17763`: a comparison with as many of major, minor, build and revision as are given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bound {
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
            _ => Err(format!("the version \"{text}\" is none: say 10.0, >=6.1 or <10.0.22000")),
        }
    }
}

impl Bound {
    /// Whether it holds for the Windows of a record. A version that is not known fulfils no condition.
    pub fn holds(&self, record: &Record) -> bool {
        let version = record.version.as_deref().and_then(|version| version.split_once('.'));
        let Some((Ok(major), Ok(minor))) = version.map(|(a, b)| (a.parse(), b.parse())) else { return false };
        let known = [Some(major), Some(minor), record.build, record.revision];
        let known: Vec<u32> = known.into_iter().map_while(|number| number).take(self.numbers.len()).collect();
        if known.len() < self.numbers.len() {
            return false;
        }
        match self.sign {
            Sign::Less => known < self.numbers,
            Sign::AtMost => known <= self.numbers,
            Sign::Equal => known == self.numbers,
            Sign::AtLeast => known >= self.numbers,
            Sign::More => known > self.numbers,
        }
    }
}
