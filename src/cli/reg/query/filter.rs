//! Selection of the keys and values that `reg query` prints.

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::ValueType;
use hivewright_hive::regf::name::{Name, upcase};
use regex::{Regex, RegexBuilder};

use crate::cli::reg::args::{QueryArgs, SearchIn};
use crate::cli::reg::data;
use crate::cli::reg::document::ShownValue;

/// Selection of keys and values; all by default.
#[derive(Default)]
pub(super) struct Filter {
    value: Option<Name<'static>>,
    kind: Option<ValueType>,
    pattern: Option<Pattern>,
    places: Vec<SearchIn>,
}

enum Pattern {
    /// Upper-cased code units.
    Text(Vec<u16>),
    Regex(Regex),
}

impl Filter {
    /// # Errors
    /// `reg-data`: the type is unknown. `usage`: the regular expression is invalid.
    pub(super) fn of(args: &QueryArgs) -> Result<Self> {
        let value = match (&args.value.name, args.value.default) {
            (Some(name), _) => Some(Name::from_escaped(name)),
            (None, true) => Some(Name::encode("")),
            (None, false) => None,
        };
        let all = [SearchIn::Keys, SearchIn::Names, SearchIn::Data];
        let pattern = |text: &String| if args.regex { regex(text) } else { Ok(Pattern::Text(folded(text))) };
        Ok(Filter {
            value,
            kind: args.kind.as_deref().map(data::type_of).transpose()?,
            pattern: args.find.as_ref().map(pattern).transpose()?,
            places: if args.places.is_empty() { all.to_vec() } else { args.places.clone() },
        })
    }

    /// Returns whether there is a pattern.
    pub(super) fn is_search(&self) -> bool {
        self.pattern.is_some()
    }

    /// Returns whether anything is excluded.
    pub(super) fn is_any(&self) -> bool {
        self.value.is_some() || self.kind.is_some() || self.pattern.is_some()
    }

    /// Returns whether the pattern is searched in this kind of place, and `text` contains it.
    pub(super) fn contains(&self, place: SearchIn, text: &str) -> bool {
        self.places.contains(&place)
            && match &self.pattern {
                None => false,
                Some(Pattern::Text(wanted)) => {
                    !wanted.is_empty() && folded(text).windows(wanted.len()).any(|it| it == wanted)
                }
                Some(Pattern::Regex(regex)) => regex.is_match(text),
            }
    }

    pub(super) fn shows(&self, value: &ShownValue) -> bool {
        self.value.as_ref().is_none_or(|wanted| wanted.matches(&value.name))
            && self.kind.is_none_or(|wanted| wanted == value.kind)
            && (self.pattern.is_none()
                || self.contains(SearchIn::Names, &value.name.to_escaped())
                || self.contains(SearchIn::Data, &value.text))
    }
}

fn folded(text: &str) -> Vec<u16> {
    text.encode_utf16().map(upcase).collect()
}

/// Compiles a regular expression, whose search takes linear time.
fn regex(text: &str) -> Result<Pattern> {
    let regex = RegexBuilder::new(text).case_insensitive(true).build().map_err(|error| {
        let why = error.to_string();
        // The lines before the last show the position.
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Error::new(Kind::Unsupported, Code::Usage, format!("{text} is not a regular expression: {why}"))
    })?;
    Ok(Pattern::Regex(regex))
}
