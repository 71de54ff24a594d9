//! `reg compare`.

use std::io::Write;

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::Text;
use hivewright_hive::compare::{CompareOptions, NotCarried, What, compare, operations};
use hivewright_hive::reg_text::{Change, Form, RegKey, RegOperation};
use serde_json::json;
use std::sync::Arc;

use super::args::{CompareArgs, CompareFormat};
use super::output::{self, RegWriter};
use super::{Opened, Target, Tree, data, document, full, no_key};
use crate::cli::exit::Outcome;
use crate::cli::report::plain;
use crate::cli::warn;
use crate::{HiveKind, HiveSource, RegistryPath};

/// The same key of both targets; `None` if a target lacks it.
struct Pair {
    a: Option<Opened>,
    b: Option<Opened>,
}

/// As [`Pair`], with everything below the key, in memory.
struct Trees {
    a: Option<Tree>,
    b: Option<Tree>,
}

impl Pair {
    fn read(self) -> Result<Trees> {
        let tree = |side: Option<Opened>| side.map(Opened::require_tree).transpose();
        Ok(Trees { a: tree(self.a)?, b: tree(self.b)? })
    }
}

/// Result of a comparison so far.
#[derive(Default)]
struct Found {
    differ: bool,
    damaged: bool,
}

pub(super) fn run(args: &CompareArgs) -> anyhow::Result<Outcome> {
    let (a, b) = (Target::open(&args.a, &args.disk.choice())?, Target::open(&args.b, &args.disk.choice())?);
    let pairs = match &args.key {
        Some(key) => pairs_of_key(&a, &b, args.user.path(key)?, args)?,
        None => pairs_of_hives(&a, &b)?,
    };
    let options = CompareOptions { times: args.times, inside: false };
    output::to(None, |out| {
        let mut found = Found::default();
        match args.format() {
            CompareFormat::Reg => output::registration_file(out, Form::Utf8, |writer| {
                pairs.into_iter().try_for_each(|pair| found.write(&pair.read()?, writer))
            })?,
            format => pairs.into_iter().try_for_each(|pair| found.print(&pair.read()?, options, format, out))?,
        }
        Ok(match found {
            Found { damaged: true, .. } => Outcome::CouldNot,
            Found { differ: true, .. } => Outcome::No,
            Found { .. } => Outcome::Yes,
        })
    })
}

impl CompareArgs {
    pub(super) fn format(&self) -> CompareFormat {
        if self.json { CompareFormat::Json } else { self.format }
    }
}

fn pairs_of_key(a: &Target, b: &Target, path: RegistryPath, args: &CompareArgs) -> anyhow::Result<Vec<Pair>> {
    if path.needs_user() && args.user.is_all() && !(a.image.is_hive() && b.image.is_hive()) {
        let (in_a, in_b) = (a.users()?, b.users()?);
        let both = in_a.iter().chain(in_b.iter().filter(|user| !in_a.contains(user)));
        return both.map(|user| pair_of_hives(a, b, path.clone().of_user(user))).collect();
    }
    let pair = Pair { a: with_key(a.hive(path.clone())?)?, b: with_key(b.hive(path.clone())?)? };
    match &pair {
        Pair { a: None, b: None } => Err(no_key(&a.hive(path)?.shown).into()),
        _ => Ok(vec![pair]),
    }
}

/// Returns the hive if it contains the key.
fn with_key(opened: Opened) -> Result<Option<Opened>> {
    let is_there = opened.hive.key(opened.path.key().clone())?.is_some();
    Ok(is_there.then_some(opened))
}

/// Returns all hives that at least one target has. Two bare hives are compared with each other.
fn pairs_of_hives(a: &Target, b: &Target) -> anyhow::Result<Vec<Pair>> {
    let root = || "".parse::<RegistryPath>();
    match (a.image.is_hive(), b.image.is_hive()) {
        (true, true) => Ok(vec![Pair { a: Some(a.hive(root()?)?), b: Some(b.hive(root()?)?) }]),
        (false, false) => {
            let (users_a, users_b) = (users(a)?, users(b)?);
            let users = users_a.iter().chain(users_b.iter().filter(|user| !users_a.contains(user)));
            let classes = |user: &HiveKind| match user {
                HiveKind::User(user) => Some(HiveKind::UserClasses(user.clone())),
                _ => None,
            };
            let of_users = users.flat_map(|user| std::iter::once(user.clone()).chain(classes(user)));
            let all = HiveKind::OF_CONFIG.into_iter().chain([HiveKind::Bcd]).chain(of_users);
            let pairs = all.map(|kind| pair_of_hives(a, b, RegistryPath::new(kind, "")));
            let pairs = pairs.collect::<anyhow::Result<Vec<_>>>()?;
            Ok(pairs.into_iter().filter(|pair| pair.a.is_some() || pair.b.is_some()).collect())
        }
        _ => {
            let what = "one target is a hive, but the other has several";
            Err(Error::new(Kind::Unsupported, Code::OtherHive, what).advise("name the key: HKLM\\SYSTEM ...").into())
        }
    }
}

/// Returns the users of a target; only the default user if the target does not list any.
fn users(target: &Target) -> Result<Vec<HiveKind>> {
    match target.users() {
        Err(error) if matches!(error.code(), Code::NoFile | Code::NoProfile) => Ok(vec![HiveKind::DefaultUser]),
        users => users,
    }
}

fn pair_of_hives(a: &Target, b: &Target, path: RegistryPath) -> anyhow::Result<Pair> {
    let of = |target: &Target| match target.hive(path.clone()) {
        Ok(opened) => with_key(opened),
        Err(error) if matches!(error.code(), Code::NoFile | Code::NoProfile) => Ok(None),
        Err(error) => Err(error),
    };
    Ok(Pair { a: of(a)?, b: of(b)? })
}

/// A difference for output.
struct Line {
    key: String,
    what: &'static str,
    value: Option<String>,
    a: Option<String>,
    b: Option<String>,
}

impl Found {
    /// Prints the differences of a key and everything below it.
    fn print(
        &mut self,
        pair: &Trees,
        options: CompareOptions,
        format: CompareFormat,
        out: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let (a, b) = match (&pair.a, &pair.b) {
            (Some(a), Some(b)) => (a, b),
            (Some(only), None) => return self.line(&Line::of("key-only-in-a", full(&only.shown)), format, out),
            (None, Some(only)) => return self.line(&Line::of("key-only-in-b", full(&only.shown)), format, out),
            (None, None) => return Ok(()),
        };
        for found in compare(&a.key()?, &b.key()?, options) {
            let difference = match found {
                Ok(difference) => difference,
                Err(damage) => {
                    self.damage(&damage.error, &format!("{}: {}", below(&a.shown, &damage.names), damage.error));
                    continue;
                }
            };
            let key = below(&a.shown, &difference.names);
            let line = |what| Line::of(what, key.clone());
            let of_value = |what, value: &hivewright_hive::Value<'_, HiveSource>| {
                let text = value.data().map(|data| format!("{} {}", value.data_type(), data::shown(&data)));
                (Line { value: Some(value.name().to_escaped()), ..line(what) }, text.ok())
            };
            let class = |class: &Option<Text>| class.as_ref().map(|text| text.to_str().unwrap_or_default());
            let security = |descriptor: &[u8]| Some(document::sddl_or_hex(descriptor));
            let line = match &difference.what {
                What::KeyOnlyInA { .. } => line("key-only-in-a"),
                What::KeyOnlyInB { .. } => line("key-only-in-b"),
                What::ValueOnlyInA { value, .. } => {
                    let (line, a) = of_value("value-only-in-a", value);
                    Line { a, ..line }
                }
                What::ValueOnlyInB { value, .. } => {
                    let (line, b) = of_value("value-only-in-b", value);
                    Line { b, ..line }
                }
                What::ValueChanged { a, b } => {
                    let (line, a) = of_value("value", a);
                    Line { a, b: of_value("value", b).1, ..line }
                }
                What::Class { a, b } => Line { a: class(a), b: class(b), ..line("class") },
                What::Security { a, b } => Line { a: security(a), b: security(b), ..line("security") },
                What::Time { a, b } => Line { a: Some(a.to_string()), b: Some(b.to_string()), ..line("time") },
                What::Tombstone { a, b } => {
                    Line { a: Some(a.to_string()), b: Some(b.to_string()), ..line("tombstone") }
                }
                _ => line("other"),
            };
            self.line(&line, format, out)?;
        }
        Ok(())
    }

    fn line(&mut self, line: &Line, format: CompareFormat, out: &mut dyn Write) -> anyhow::Result<()> {
        self.differ = true;
        let Line { key, what, value, a, b } = line;
        if format == CompareFormat::Json {
            writeln!(out, "{}", json!({ "key": key, "difference": what, "value_name": value, "a": a, "b": b }))?;
            return Ok(());
        }
        let at = match value {
            Some(name) if name.is_empty() => format!("{key} (Default)"),
            Some(name) => format!("{key} {name}"),
            None => key.clone(),
        };
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "absent".to_owned());
        let sides = if a.is_none() && b.is_none() { String::new() } else { format!(": {} -> {}", side(a), side(b)) };
        writeln!(out, "{what}: {}{}", plain(&at), plain(&sides))?;
        Ok(())
    }

    /// Writes the operations that make a key and everything below it equal to the other.
    fn write(&mut self, pair: &Trees, writer: &mut RegWriter<'_>) -> anyhow::Result<()> {
        let (a, b) = match (&pair.a, &pair.b) {
            (Some(a), Some(b)) => (a, b),
            (Some(only), None) => {
                self.differ = true;
                if only.is_root {
                    let what = format!(
                        "{}: only the first target has this hive, which a registration file cannot express",
                        only.shown
                    );
                    warn(Code::NotCarried, &what);
                    return Ok(());
                }
                let delete = RegOperation { line: 0, key: Arc::new(only.shown.clone()), change: Change::DeleteKey };
                return Ok(writer.operation(&delete)?);
            }
            (None, Some(only)) => {
                self.differ = true;
                if only.is_root {
                    let what =
                        format!("{}: only the second target has this hive, which an import cannot create", only.shown);
                    warn(Code::NotCarried, &what);
                    return Ok(());
                }
                let exported = writer.export(&only.key()?, &only.shown)?;
                exported.left_out.iter().for_each(|error| self.damage(error, &format!("left out: {error}")));
                return Ok(());
            }
            (None, None) => return Ok(()),
        };
        for operation in operations(&a.key()?, &b.key()?, a.shown.clone()) {
            match operation {
                Ok(operation) => {
                    self.differ = true;
                    writer.operation(&operation)?;
                }
                Err(NotCarried::Damage(damage)) => {
                    self.damage(&damage.error, &format!("{}: {}", below(&a.shown, &damage.names), damage.error));
                }
                Err(NotCarried::Difference(difference)) => {
                    self.differ = true;
                    let key = below(&a.shown, &difference.names);
                    warn(Code::NotCarried, &format!("{key}: a registration file cannot express the difference"));
                }
                Err(NotCarried::ClassOfNewKey { key }) => {
                    warn(Code::NotCarried, &format!("{key}: a registration file cannot express its class name"));
                }
                Err(NotCarried::SecurityOfNewKey { key }) => {
                    let what = format!(
                        "{key}: a registration file cannot express its security descriptor, which is not inherited"
                    );
                    warn(Code::NotCarried, &what);
                }
            }
        }
        Ok(())
    }

    fn damage(&mut self, error: &Error, what: &str) {
        self.damaged = true;
        warn(error.code(), what);
    }
}

impl Line {
    fn of(what: &'static str, key: String) -> Self {
        Line { key, what, value: None, a: None, b: None }
    }
}

/// Returns the full path of a key below `top`.
fn below(top: &RegKey, names: &[hivewright_hive::regf::name::Name<'static>]) -> String {
    let names = top.names.iter().chain(names).cloned().collect();
    full(&RegKey { root: top.root, names })
}
