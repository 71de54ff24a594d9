//! Conditions on the targets of a check or an expectation.

use std::collections::BTreeMap;
use std::fmt;

use globset::GlobMatcher;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::bound::Bound;
use crate::audit::find::pattern;

/// Facts of a Windows that conditions use, as a record has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The name of the target.
    pub target: &'a str,
    /// The service that reads the L2TP/NAT-T setting, which distinguishes Windows XP from later versions.
    pub decision: Option<&'a str>,
    /// Major and minor version: `10.0`.
    pub version: Option<&'a str>,
    /// Build number.
    pub build: Option<u32>,
    /// Revision, the number after the build.
    pub revision: Option<u32>,
    /// Edition: `Professional`.
    pub edition: Option<&'a str>,
    /// Product type: `client`, `server`, `domain_controller`.
    pub product_type: Option<&'a str>,
    /// Architecture: `x86`, `AMD64`, `ARM64`.
    pub architecture: Option<&'a str>,
}

/// Era of Windows: Windows XP and Server 2003, or all later versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum Windows {
    /// Windows XP and Server 2003.
    #[serde(rename = "xp")]
    Xp,
    /// Windows Vista, Server 2008 and later.
    #[serde(rename = "vista+")]
    VistaPlus,
}

impl Windows {
    /// Returns whether it is the era of this service. `None` if unknown.
    pub(super) fn holds(self, decision: Option<&str>) -> Option<bool> {
        match decision {
            Some("IPSec") => Some(self == Windows::Xp),
            Some("PolicyAgent") => Some(self == Windows::VistaPlus),
            Some("Windows2000") => Some(false),
            _ => None,
        }
    }
}

/// Product type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProductType {
    /// A workstation.
    Client,
    /// A server that is no domain controller.
    Server,
    /// A domain controller.
    DomainController,
}

impl ProductType {
    /// Returns the name in a record.
    pub(super) fn name(self) -> &'static str {
        match self {
            ProductType::Client => "client",
            ProductType::Server => "server",
            ProductType::DomainController => "domain_controller",
        }
    }
}

/// One item or a list of items.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            OneOrMore::One(one) => std::slice::from_ref(one),
            OneOrMore::More(more) => more,
        }
    }
}

/// Patterns of targets, by the name of the role.
pub(super) type Roles = BTreeMap<String, Patterns>;

/// Conditions of a check; all of them must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    /// Patterns of the target in its record, or of its end after a `/`; one must match.
    path: Option<Patterns>,
    /// Names of roles in the policy's table `roles`; the target must have one of them.
    pub(super) role: Option<OneOrMore<String>>,
    /// `xp` for Windows XP and Server 2003, `vista+` for all later versions.
    windows: Option<Windows>,
    /// Comparisons with the version: major.minor.build.revision, or fewer of them. All must hold.
    version: Option<OneOrMore<Bound>>,
    /// `EditionID` of SOFTWARE, without regard to case; one must match.
    edition: Option<OneOrMore<String>>,
    /// The product type; one must match.
    product_type: Option<OneOrMore<ProductType>>,
    /// `PROCESSOR_ARCHITECTURE`, without regard to case; one must match: `x86`, `AMD64`, `ARM64`.
    architecture: Option<OneOrMore<String>>,
}

impl When {
    /// Returns whether all conditions hold; `None` if that depends on an unknown fact.
    pub(super) fn holds(&self, facts: &Facts<'_>, roles: &Roles) -> Option<bool> {
        fn any<T>(wanted: Option<&OneOrMore<T>>, fact: Option<&str>, is: impl Fn(&T, &str) -> bool) -> Option<bool> {
            let Some(wanted) = wanted else { return Some(true) };
            fact.map(|fact| wanted.as_slice().iter().any(|one| is(one, fact)))
        }
        let equal = |wanted: &String, fact: &str| wanted.eq_ignore_ascii_case(fact);
        let has_role = |role: &String, target: &str| roles.get(role).is_some_and(|role| role.matches(target));
        let versions = self.version.iter().flat_map(OneOrMore::as_slice);
        let all = [
            Some(self.path.as_ref().is_none_or(|path| path.matches(facts.target))),
            any(self.role.as_ref(), Some(facts.target), has_role),
            self.windows.map_or(Some(true), |windows| windows.holds(facts.decision)),
            any(self.edition.as_ref(), facts.edition, equal),
            any(self.product_type.as_ref(), facts.product_type, |it, fact| it.name() == fact),
            any(self.architecture.as_ref(), facts.architecture, equal),
        ];
        let versions = versions.map(|it| it.holds(facts.version, facts.build, facts.revision));
        let all: Vec<Option<bool>> = all.into_iter().chain(versions).collect();
        // One condition that does not hold decides, even if others are unknown.
        match all.contains(&Some(false)) {
            true => Some(false),
            false => all.iter().all(Option::is_some).then_some(true),
        }
    }
}

/// Patterns of which one must match. A pattern that does not begin at the root also matches after any `/` of the
/// target, since a target has several names: relative, absolute, or with `.`.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns(Vec<GlobMatcher>);

impl Patterns {
    /// Returns whether a pattern matches a target.
    pub(super) fn matches(&self, target: &str) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(target))
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        if text.is_empty() {
            return Err("an empty pattern matches nothing: use \"**\" for all targets, or omit it".to_owned());
        }
        let relative = (!text.starts_with('/')).then(|| format!("**/{}", text.trim_start_matches("./")));
        for text in std::iter::once(text).chain(relative.as_deref()) {
            self.0.push(pattern::compile(text).map_err(|error| error.what().to_owned())?);
        }
        Ok(())
    }
}

impl JsonSchema for Patterns {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Patterns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = json_schema!({ "type": "string", "minLength": 1 });
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PatternsVisitor)
    }
}

struct PatternsVisitor;

impl<'de> Visitor<'de> for PatternsVisitor {
    type Value = Patterns;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pattern or a list of patterns")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Patterns, E> {
        let mut patterns = Patterns::default();
        patterns.add(text).map_err(E::custom)?;
        Ok(patterns)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Patterns, A::Error> {
        let mut patterns = Patterns::default();
        while let Some(text) = list.next_element::<String>()? {
            patterns.add(&text).map_err(de::Error::custom)?;
        }
        match patterns.0.is_empty() {
            true => Err(de::Error::custom("an empty list matches nothing: omit it for all targets")),
            false => Ok(patterns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_false_condition_decides_even_if_others_are_unknown() {
        let when = |text: &str| toml::from_str::<When>(text).unwrap();
        let known = Facts {
            target: "site/dc/a.raw",
            version: Some("10.0"),
            build: Some(20348),
            edition: Some("ServerStandard"),
            product_type: Some("domain_controller"),
            architecture: Some("AMD64"),
            decision: Some("PolicyAgent"),
            ..Facts::default()
        };
        let roles: Roles = toml::from_str("dc = 'dc/**'\nweb = ['web/**', 'www/**']").unwrap();
        for (text, holds) in [
            ("", Some(true)),
            ("role = 'dc'\nversion = ['>=10.0', '<10.0.22000']", Some(true)),
            ("role = ['web', 'dc']\nedition = 'serverstandard'", Some(true)),
            ("role = 'web'", Some(false)),
            ("windows = 'xp'", Some(false)),
            ("architecture = ['x86', 'ARM64']\nversion = '10.0.20348.1'", Some(false)),
            ("version = '10.0.20348.1'", None),
            ("product_type = ['server', 'domain_controller']\npath = 'site/**'", Some(true)),
        ] {
            assert_eq!(when(text).holds(&known, &roles), holds, "{text}");
        }
        let unknown = Facts { target: "x", ..Facts::default() };
        assert_eq!(when("edition = 'x'").holds(&unknown, &roles), None);
        assert_eq!(when("edition = 'x'\nrole = 'dc'").holds(&unknown, &roles), Some(false));
        assert_eq!(when("windows = 'vista+'").holds(&Facts { decision: Some("Unknown"), ..unknown }, &roles), None);
    }
}
