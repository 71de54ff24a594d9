//! `reg compare`.

use hivewright_error::Error;
use hivewright_hive::compare::{CompareOptions, NotCarried, What, compare, operations};
use hivewright_hive::reg_text::{Form, Writer};
use hivewright_storage::hex;
use serde_json::json;

use super::args::{CompareArgs, CompareFormat};
use super::{Opened, data, no_key, open};
use crate::cli::exit::Outcome;
use crate::cli::report::plain;
use crate::cli::{print, warn};

pub(super) fn run(args: &CompareArgs) -> anyhow::Result<Outcome> {
    let of = |target| open(target, &args.disk.choice(), args.user.path(&args.key)?);
    let (a, b) = (of(&args.a)?, of(&args.b)?);
    let missing = |side: &Opened| side.hive.key(side.path.key().clone()).map(|key| key.is_none());
    if missing(&a)? && missing(&b)? {
        return Err(no_key(&a.shown).into());
    }
    match args.format {
        CompareFormat::Reg => as_registration_file(&a, &b),
        format => as_lines(&a, &b, CompareOptions { times: args.times, inside: false }, format),
    }
}

fn as_lines(a: &Opened, b: &Opened, options: CompareOptions, format: CompareFormat) -> anyhow::Result<Outcome> {
    let (mut differ, mut damaged) = (false, false);
    for found in compare(&a.key()?, &b.key()?, options) {
        let difference = match found {
            Ok(difference) => difference,
            Err(damage) => {
                warn(&format!("{}: {}", damage.path(), damage.error));
                damaged = true;
                continue;
            }
        };
        differ = true;
        let value = |value: &crate::Value<'_>| -> (String, Option<String>) {
            let text = value.data().map(|data| format!("{} {}", value.data_type(), data::shown(&data)));
            (value.name().to_escaped(), text.ok())
        };
        let bytes = |bytes: &[u8]| Some(hex::encode(bytes));
        let class =
            |class: &Option<hivewright_hive::Text>| class.as_ref().map(|text| text.to_str().unwrap_or_default());
        let (what, name, old, new) = match &difference.what {
            What::KeyOnlyInA { .. } => ("key-only-in-a", None, None, None),
            What::KeyOnlyInB { .. } => ("key-only-in-b", None, None, None),
            What::ValueOnlyInA { value: of, .. } => ("value-only-in-a", Some(value(of).0), value(of).1, None),
            What::ValueOnlyInB { value: of, .. } => ("value-only-in-b", Some(value(of).0), None, value(of).1),
            What::ValueChanged { a, b } => ("value", Some(value(a).0), value(a).1, value(b).1),
            What::Class { a, b } => ("class", None, class(a), class(b)),
            What::Security { a, b } => ("security", None, bytes(a), bytes(b)),
            What::Time { a, b } => ("time", None, Some(a.to_string()), Some(b.to_string())),
            What::Tombstone { a, b } => ("tombstone", None, Some(a.to_string()), Some(b.to_string())),
            _ => ("other", None, None, None),
        };
        let key = difference.path();
        let line = if format == CompareFormat::Json {
            json!({ "key": key, "difference": what, "value": name, "a": old, "b": new }).to_string()
        } else {
            let at = match &name {
                Some(name) if name.is_empty() => format!("{key} (Default)"),
                Some(name) => format!("{key} {name}"),
                None => key,
            };
            let sides = match (old, new) {
                (None, None) => String::new(),
                (old, new) => format!(": {} -> {}", shown(old), shown(new)),
            };
            format!("{what}: {}{}", plain(&at), plain(&sides))
        };
        print(format!("{line}\n").as_bytes())?;
    }
    Ok(outcome(differ, damaged))
}

fn shown(side: Option<String>) -> String {
    side.unwrap_or_else(|| "not there".to_owned())
}

fn as_registration_file(a: &Opened, b: &Opened) -> anyhow::Result<Outcome> {
    let (mut differ, mut damaged) = (false, false);
    let sink = |piece: &[u8]| print(piece).map_err(|error| Error::io(error.to_string(), std::io::Error::other(error)));
    let mut writer = Writer::new(Form::Utf8, sink)?;
    for operation in operations(&a.key()?, &b.key()?, a.shown.clone()) {
        match operation {
            Ok(operation) => {
                differ = true;
                writer.operation(&operation)?;
            }
            Err(NotCarried::Damage(damage)) => {
                warn(&format!("{}: {}", damage.path(), damage.error));
                damaged = true;
            }
            Err(NotCarried::Difference(difference)) => {
                differ = true;
                warn(&format!("{}: it differs in what a registration file does not carry", difference.path()));
            }
            Err(NotCarried::ClassOfNewKey { key }) => warn(&format!("{key}: its class name is not carried")),
            Err(NotCarried::SecurityOfNewKey { key }) => {
                warn(&format!("{key}: its security descriptor is not the one that it inherits, and is not carried"));
            }
        }
    }
    writer.finish()?;
    Ok(outcome(differ, damaged))
}

fn outcome(differ: bool, damaged: bool) -> Outcome {
    match (damaged, differ) {
        (true, _) => Outcome::CouldNot,
        (false, true) => Outcome::No,
        (false, false) => Outcome::Yes,
    }
}
