//! Arguments that take any text and complete to the usual ones.

use std::ffi::OsStr;
use std::marker::PhantomData;

use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use hivewright_disk::container;
use hivewright_hive::regf::key_value::NAMES;

use crate::policy::SHIPPED;

/// The texts that an argument completes to.
pub(crate) trait Usual: Clone + Send + Sync + 'static {
    /// Returns the texts.
    fn texts() -> Vec<&'static str>;
}

/// A parser of any text, which a shell completes to the texts of `U`. A text that is none of them is judged where it
/// is used, with an error that says more than a list.
#[derive(Clone)]
pub(crate) struct Suggested<U>(PhantomData<U>);

/// Returns the parser for `U`.
pub(crate) fn suggested<U: Usual>() -> Suggested<U> {
    Suggested(PhantomData)
}

impl<U: Usual> TypedValueParser for Suggested<U> {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        argument: Option<&clap::Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(U::texts().into_iter().map(PossibleValue::new)))
    }
}

/// Formats of images.
#[derive(Clone)]
pub(crate) struct ImageFormats;

impl Usual for ImageFormats {
    fn texts() -> Vec<&'static str> {
        container::FORMATS.iter().map(|format| format.name).collect()
    }
}

/// Selections of control sets, without the numbers.
#[derive(Clone)]
pub(crate) struct ControlSets;

impl Usual for ControlSets {
    fn texts() -> Vec<&'static str> {
        vec!["current", "default", "all"]
    }
}

/// Types of values.
#[derive(Clone)]
pub(crate) struct Types;

impl Usual for Types {
    fn texts() -> Vec<&'static str> {
        NAMES.to_vec()
    }
}

/// Policies that are included.
#[derive(Clone)]
pub(crate) struct Policies;

impl Usual for Policies {
    fn texts() -> Vec<&'static str> {
        SHIPPED.iter().map(|shipped| shipped.name).collect()
    }
}

/// What is expected of the L2TP/NAT-T setting.
#[derive(Clone)]
pub(crate) struct Expectations;

impl Usual for Expectations {
    fn texts() -> Vec<&'static str> {
        vec!["0", "1", "2", "set", "unset"]
    }
}

/// Values of the L2TP/NAT-T setting.
#[derive(Clone)]
pub(crate) struct Values;

impl Usual for Values {
    fn texts() -> Vec<&'static str> {
        vec!["0", "1", "2"]
    }
}
