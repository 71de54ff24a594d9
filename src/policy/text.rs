//! The syntax of a policy. All errors are found during parsing, while the line is known.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::bound::Bound;
use super::check::CheckText;
use super::condition::{Patterns, ProductType, Roles, Windows};
use super::wanted::Wanted;
use crate::windows::control_set::Role;

/// A policy: checks of keys and values, and expectations of the L2TP/NAT-T setting.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A policy of hivewright")]
pub(super) struct Text {
    /// The name of the policy in results; by default the name of its file.
    pub(super) name: Option<String>,
    /// Patterns of the targets with a role.
    #[serde(default)]
    pub(super) roles: Roles,
    /// Expectations of the L2TP/NAT-T setting; the first that matches decides.
    #[schemars(with = "Option<Vec<Fields>>")]
    pub(super) expect: Option<Spanned<Vec<Spanned<EntryText>>>>,
    /// Checks of keys and values.
    #[serde(default)]
    #[schemars(with = "Vec<CheckText>")]
    pub(super) check: Vec<Spanned<CheckText>>,
}

/// An entry of `expect`.
#[derive(Deserialize)]
#[serde(from = "Fields")]
pub(super) struct EntryText {
    pub(super) name: Option<String>,
    pub(super) path: Option<Patterns>,
    pub(super) windows: Option<Windows>,
    pub(super) version: Option<Bound>,
    pub(super) product_type: Option<ProductType>,
    pub(super) at: At,
    pub(super) value: Option<Wanted>,
    pub(super) related: BTreeMap<RelatedValue, Wanted>,
}

/// An expectation of the L2TP/NAT-T setting, and of related values.
// The aliases are the names of version 0.1.0.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// The name in results.
    name: Option<String>,
    path: Option<Patterns>,
    windows: Option<Windows>,
    version: Option<Bound>,
    product_type: Option<ProductType>,
    #[serde(default)]
    at: At,
    #[serde(alias = "rule")]
    value: Option<WantedValue>,
    #[serde(default, alias = "neighbours")]
    related: BTreeMap<RelatedValue, WantedRelated>,
}

impl From<Fields> for EntryText {
    fn from(fields: Fields) -> Self {
        EntryText {
            name: fields.name,
            path: fields.path,
            windows: fields.windows,
            version: fields.version,
            product_type: fields.product_type,
            at: fields.at,
            value: fields.value.map(|value| value.0),
            related: fields.related.into_iter().map(|(name, wanted)| (name, wanted.0)).collect(),
        }
    }
}

/// Control sets of an expectation or a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum At {
    /// Control set of the next boot: `Default` of the key Select.
    #[default]
    NextBoot,
    /// Control set of the boot in which the hive was captured: `Current`.
    Capture,
    /// Both.
    Both,
}

impl At {
    /// Returns whether the control set with this role is included.
    pub(super) fn has(self, role: Role) -> bool {
        match self {
            At::NextBoot => role == Role::Default,
            At::Capture => role == Role::Current,
            At::Both => matches!(role, Role::Default | Role::Current),
        }
    }
}

/// Related values that a policy may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
pub(super) enum RelatedValue {
    ProhibitIpSec,
    AllowL2TPWeakCrypto,
    #[serde(rename = "NegotiateDH2048_AES256")]
    NegotiateDh2048Aes256,
}

impl RelatedValue {
    pub(super) const ALL: [Self; 3] = [Self::ProhibitIpSec, Self::AllowL2TPWeakCrypto, Self::NegotiateDh2048Aes256];

    /// Returns its name in the registry.
    pub(super) fn name(self) -> &'static str {
        match self {
            RelatedValue::ProhibitIpSec => "ProhibitIpSec",
            RelatedValue::AllowL2TPWeakCrypto => "AllowL2TPWeakCrypto",
            RelatedValue::NegotiateDh2048Aes256 => "NegotiateDH2048_AES256",
        }
    }
}

/// Expected state of the setting: a number with an established meaning, or a state.
struct WantedValue(Wanted);
/// Expected state of a related value: any number, or a state.
struct WantedRelated(Wanted);

impl JsonSchema for WantedValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WantedValue".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [0, 1, 2, "set", "unset", "any"] })
    }
}

impl JsonSchema for WantedRelated {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "WantedRelated".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "oneOf": [
            { "type": "integer", "minimum": 0, "maximum": u32::MAX },
            { "enum": ["on", "off", "set", "unset", "any"] }
        ] })
    }
}

impl<'de> Deserialize<'de> for WantedValue {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let allowed = Allowed {
            most: 2,
            words: &[Wanted::Set, Wanted::Unset, Wanted::Any],
            description: "0, 1, 2, \"set\", \"unset\" or \"any\"",
        };
        from.deserialize_any(allowed).map(WantedValue)
    }
}

impl<'de> Deserialize<'de> for WantedRelated {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let allowed = Allowed {
            most: u32::MAX,
            words: &[Wanted::On, Wanted::Off, Wanted::Set, Wanted::Unset, Wanted::Any],
            description: "a number from 0 to 4294967295, \"on\", \"off\", \"set\", \"unset\" or \"any\"",
        };
        from.deserialize_any(allowed).map(WantedRelated)
    }
}

/// Allowed expectations of a setting.
struct Allowed {
    most: u32,
    words: &'static [Wanted],
    description: &'static str,
}

impl Visitor<'_> for Allowed {
    type Value = Wanted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.description)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Wanted, E> {
        let allowed_number = u32::try_from(number).ok().filter(|&number| number <= self.most);
        allowed_number.map(Wanted::Number).ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Wanted, E> {
        let known = self.words.iter().find(|known| known.to_string() == word);
        known.copied().ok_or_else(|| E::invalid_value(Unexpected::Str(word), &self))
    }
}
