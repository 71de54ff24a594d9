//! A policy as it is written. All that can be wrong in it is found while it is read, where the line is known.

use std::collections::BTreeMap;
use std::fmt;

use globset::GlobMatcher;
use serde::de::{self, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::bound::Bound;
use super::wanted::Wanted;
use crate::audit::find::pattern;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    pub(super) expect: Spanned<Vec<Spanned<EntryText>>>,
}

/// One entry.
#[derive(Deserialize)]
#[serde(from = "Fields")]
pub(super) struct EntryText {
    pub(super) name: Option<String>,
    pub(super) path: Vec<GlobMatcher>,
    pub(super) windows: Option<Windows>,
    pub(super) version: Option<Bound>,
    pub(super) product_type: Option<ProductType>,
    pub(super) at: At,
    pub(super) rule: Option<Wanted>,
    pub(super) neighbours: BTreeMap<Neighbour, Wanted>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    name: Option<String>,
    path: Option<Patterns>,
    windows: Option<Windows>,
    version: Option<Bound>,
    product_type: Option<ProductType>,
    #[serde(default)]
    at: At,
    rule: Option<OfRule>,
    #[serde(default)]
    neighbours: BTreeMap<Neighbour, OfNeighbour>,
}

impl From<Fields> for EntryText {
    fn from(fields: Fields) -> Self {
        EntryText {
            name: fields.name,
            path: fields.path.map_or_else(Vec::new, |patterns| patterns.0),
            windows: fields.windows,
            version: fields.version,
            product_type: fields.product_type,
            at: fields.at,
            rule: fields.rule.map(|rule| rule.0),
            neighbours: fields.neighbours.into_iter().map(|(name, wanted)| (name, wanted.0)).collect(),
        }
    }
}

/// Which verdict is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum At {
    #[default]
    NextBoot,
    Capture,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(super) enum Windows {
    #[serde(rename = "xp")]
    Xp,
    #[serde(rename = "vista+")]
    VistaPlus,
}

impl Windows {
    /// As records name what decides.
    pub(super) fn decision(self) -> &'static str {
        match self {
            Windows::Xp => "IPSec",
            Windows::VistaPlus => "PolicyAgent",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProductType {
    Client,
    Server,
    DomainController,
}

impl ProductType {
    /// As it stands in a record.
    pub(super) fn name(self) -> &'static str {
        match self {
            ProductType::Client => "client",
            ProductType::Server => "server",
            ProductType::DomainController => "domain_controller",
        }
    }
}

/// Values next door that a policy may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(super) enum Neighbour {
    ProhibitIpSec,
    AllowL2TPWeakCrypto,
    #[serde(rename = "NegotiateDH2048_AES256")]
    NegotiateDh2048Aes256,
}

impl Neighbour {
    pub(super) const ALL: [Self; 3] = [Self::ProhibitIpSec, Self::AllowL2TPWeakCrypto, Self::NegotiateDh2048Aes256];

    /// As it stands in the registry.
    pub(super) fn name(self) -> &'static str {
        match self {
            Neighbour::ProhibitIpSec => "ProhibitIpSec",
            Neighbour::AllowL2TPWeakCrypto => "AllowL2TPWeakCrypto",
            Neighbour::NegotiateDh2048Aes256 => "NegotiateDH2048_AES256",
        }
    }
}

/// What may be said of the setting: what Windows knows of it.
struct OfRule(Wanted);
/// What may be said of a setting next door: any number, since none is ruled out.
struct OfNeighbour(Wanted);

impl<'de> Deserialize<'de> for OfRule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let allowed = Allowed {
            most: 2,
            words: &[Wanted::Set, Wanted::Unset, Wanted::Any],
            said: "0, 1, 2, \"set\", \"unset\" or \"any\"",
        };
        from.deserialize_any(allowed).map(OfRule)
    }
}

impl<'de> Deserialize<'de> for OfNeighbour {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let allowed = Allowed {
            most: u32::MAX,
            words: &[Wanted::On, Wanted::Off, Wanted::Set, Wanted::Unset, Wanted::Any],
            said: "a number from 0 to 4294967295, \"on\", \"off\", \"set\", \"unset\" or \"any\"",
        };
        from.deserialize_any(allowed).map(OfNeighbour)
    }
}

/// What may be expected of a setting.
struct Allowed {
    most: u32,
    words: &'static [Wanted],
    said: &'static str,
}

impl Visitor<'_> for Allowed {
    type Value = Wanted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.said)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Wanted, E> {
        let fitting = u32::try_from(number).ok().filter(|&number| number <= self.most);
        fitting.map(Wanted::Number).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Wanted, E> {
        let known = self.words.iter().find(|known| known.to_string() == word);
        known.copied().ok_or_else(|| E::invalid_value(Unexpected::Str(word), &self))
    }
}

/// One pattern or a list of them.
struct Patterns(Vec<GlobMatcher>);

/// A pattern that can fit something: matchers of which one has to. Unless it begins at the root, it may fit from any folder
/// of the name on, since the same target is named in many ways: from here, from the root, from `.`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Pattern(Vec<GlobMatcher>);

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty pattern fits nothing: say \"**\" for all, or leave `path` out".to_owned());
        }
        let relative = (!text.starts_with('/')).then(|| format!("**/{}", text.trim_start_matches("./")));
        let all = std::iter::once(pattern::compile(&text)).chain(relative.map(|text| pattern::compile(&text)));
        all.collect::<hivewright_error::Result<_>>().map(Pattern).map_err(|error| error.what().to_owned())
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OneOrMore)
    }
}

struct OneOrMore;

impl<'de> Visitor<'de> for OneOrMore {
    type Value = Patterns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pattern, or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Patterns, E> {
        Pattern::try_from(text.to_owned()).map(|pattern| Patterns(pattern.0)).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Patterns, A::Error> {
        let mut patterns = Vec::new();
        while let Some(Pattern(pattern)) = list.next_element()? {
            patterns.extend(pattern);
        }
        if patterns.is_empty() {
            return Err(de::Error::custom("an empty list fits nothing: leave `path` out for all"));
        }
        Ok(Patterns(patterns))
    }
}
