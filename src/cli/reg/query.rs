//! `reg query`.

mod filter;

use std::io::Write;

use hivewright_error::{Code, Error, Result};
use hivewright_hive::reg_text::{Change, Form, RegKey, RegOperation};
use hivewright_hive::regf::name::Name;
use hivewright_hive::{HiveBytes, Key};
use serde_json::json;
use std::sync::Arc;

use self::filter::Filter;
use super::args::{QueryArgs, QueryFormat, SearchIn};
use super::document::{self, ShownValue};
use super::output::{self, RegWriter};
use super::{Opened, Target, Tree, full, no_key};
use crate::cli::exit::Outcome;
use crate::cli::images;
use crate::cli::report::plain;
use crate::locate::Image;

pub(super) fn run(args: &QueryArgs) -> anyhow::Result<Outcome> {
    let (choice, path) = (args.disk.choice(), args.user.path(&args.key)?);
    let image = Image::open_as(&args.target, &choice.image)?;
    images::each(&image, &choice, args.format() == QueryFormat::Json, |choice, one| {
        let filter = Filter::of(args)?;
        let opened = Target::in_image(image.clone(), choice)?.hives(path.clone(), &args.user)?;
        let deep = args.recursive || filter.is_search();
        let image = one.map(|one| one.number);
        output::to(None, |out| match args.format() {
            QueryFormat::Reg => {
                one.map_or(Ok(()), |one| writeln!(out, "; {}", plain(&one.heading)))?;
                output::registration_file(out, Form::Utf8, |writer| {
                    Printer::new(Output::Reg(writer), image, filter, args.security).hives(opened, deep)
                })
            }
            QueryFormat::Json => Printer::new(Output::Json(out), image, filter, args.security).hives(opened, deep),
            QueryFormat::Text => {
                one.map_or(Ok(()), |one| writeln!(out, "{}\n", plain(&one.heading)))?;
                Printer::new(Output::Text(out), image, filter, args.security).hives(opened, deep)
            }
        })
    })
}

/// Prints keys and everything below them as JSON, with their security.
pub(super) fn all(trees: &[Tree], image: Option<u32>, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let mut printer = Printer::new(Output::Json(out), image, Filter::default(), true);
    trees.iter().try_for_each(|tree| printer.tree(&tree.key()?, tree.shown.clone(), true))?;
    Ok(printer.outcome())
}

/// The deepest level of printed keys: that of a path of the registry (Microsoft Learn, "Registry element size limits").
const MAX_DEPTH: usize = 512;

/// Adds the number of the image to a JSON line, if there are several.
fn of_image(mut line: serde_json::Value, image: Option<u32>) -> serde_json::Value {
    if let Some(image) = image {
        line["image"] = image.into();
    }
    line
}

impl QueryArgs {
    pub(super) fn format(&self) -> QueryFormat {
        if self.json { QueryFormat::Json } else { self.format }
    }
}

enum Output<'o, 's> {
    Text(&'o mut dyn Write),
    Json(&'o mut dyn Write),
    Reg(&'o mut RegWriter<'s>),
}

struct Printer<'o, 's> {
    output: Output<'o, 's>,
    /// The number of the image, if there are several.
    image: Option<u32>,
    filter: Filter,
    with_security: bool,
    found: bool,
    damaged: bool,
}

impl<'o, 's> Printer<'o, 's> {
    fn new(output: Output<'o, 's>, image: Option<u32>, filter: Filter, with_security: bool) -> Self {
        Printer { output, image, filter, with_security, found: false, damaged: false }
    }

    fn hives(mut self, opened: Vec<Opened>, deep: bool) -> anyhow::Result<Outcome> {
        for opened in opened {
            let shown = opened.shown.clone();
            let is_there = if deep {
                // Reading the whole hive is faster than reading single cells.
                let tree = opened.tree()?;
                tree.iter().try_for_each(|tree| self.tree(&tree.key()?, shown.clone(), true))?;
                tree.is_some()
            } else {
                let top = opened.hive.key(opened.path.key().clone())?;
                top.iter().try_for_each(|top| self.tree(top, shown.clone(), false))?;
                top.is_some()
            };
            if !is_there {
                crate::cli::warn(Code::NoKey, no_key(&shown).what());
            }
        }
        Ok(self.outcome())
    }

    fn outcome(&self) -> Outcome {
        match (self.damaged, self.found) {
            (true, _) => Outcome::CouldNot,
            (false, true) => Outcome::Yes,
            (false, false) => Outcome::No,
        }
    }

    /// Prints a key, and either the keys below it or their names.
    fn tree<B: HiveBytes>(&mut self, top: &Key<'_, B>, mut path: RegKey, deep: bool) -> anyhow::Result<()> {
        self.key(top, &path)?;
        let mut open_keys = vec![top.subkeys()?];
        while let Some(subkeys) = open_keys.last_mut() {
            match subkeys.next() {
                Some(Ok(key)) => {
                    path.names.push(key.name().clone().into_owned());
                    if deep {
                        self.key(&key, &path)?;
                        // The number of keys in a hive bounds the walk; the format bounds its depth.
                        match key.subkeys() {
                            Ok(below) if open_keys.len() <= MAX_DEPTH => {
                                open_keys.push(below);
                                continue;
                            }
                            Ok(_) => {}
                            Err(error) => self.damage(&path, error)?,
                        }
                    } else {
                        self.name_of_subkey(&path)?;
                    }
                    path.names.pop();
                }
                Some(Err(error)) => self.damage(&path, error)?,
                None => {
                    open_keys.pop();
                    if !open_keys.is_empty() {
                        path.names.pop();
                    }
                }
            }
        }
        Ok(())
    }

    fn key<B: HiveBytes>(&mut self, key: &Key<'_, B>, path: &RegKey) -> anyhow::Result<()> {
        let mut shown = Vec::new();
        match key.values() {
            Err(error) => self.damage(path, error)?,
            Ok(values) => {
                for value in values {
                    match value.map_err(Error::from).and_then(|value| ShownValue::of(&value)) {
                        Ok(value) if self.filter.shows(&value) => shown.push(value),
                        Ok(_) => {}
                        Err(error) => self.damage(path, error)?,
                    }
                }
            }
        }
        let last = path.names.last().map(Name::to_escaped).unwrap_or_default();
        if self.filter.is_any() && shown.is_empty() && !self.filter.contains(SearchIn::Keys, &last) {
            return Ok(());
        }
        self.found = true;
        let with_security = self.with_security;
        match &mut self.output {
            Output::Json(out) => match document::of_key(path, key, &shown, with_security) {
                Ok(document) => writeln!(out, "{}", of_image(document, self.image))?,
                Err(error) => self.damage(path, error)?,
            },
            Output::Text(out) => {
                let mut text = format!("{}\n", plain(&full(path)));
                let mut damage = None;
                if with_security {
                    match key.security_descriptor() {
                        Ok(descriptor) => {
                            text += &format!("    (Security)    {}\n", plain(&document::sddl_or_hex(&descriptor)));
                        }
                        Err(error) => damage = Some(error),
                    }
                }
                for value in &shown {
                    let name = value.name.to_escaped();
                    let name = if name.is_empty() { "(Default)" } else { &name };
                    let tombstone = if value.tombstone { "    (tombstone)" } else { "" };
                    text += &format!("    {}    {}    {}{tombstone}\n", plain(name), value.kind, plain(&value.text));
                }
                writeln!(out, "{text}")?;
                damage.map_or(Ok(()), |error| self.damage(path, error))?;
            }
            Output::Reg(_) => self.section(path, shown)?,
        }
        Ok(())
    }

    /// Writes a key and values as a section of a registration file.
    fn section(&mut self, path: &RegKey, values: Vec<ShownValue>) -> anyhow::Result<()> {
        let key = Arc::new(path.clone());
        let set = |ShownValue { name, kind, bytes, .. }| Change::SetValue { name, data_type: kind, data: bytes };
        let values = values.into_iter().filter(|value| !value.tombstone).map(set);
        for change in std::iter::once(Change::CreateKey).chain(values) {
            let Output::Reg(writer) = &mut self.output else { continue };
            let operation = RegOperation { line: 0, key: Arc::clone(&key), change };
            // Values that the form cannot represent are left out.
            if let Err(error) = writer.operation(&operation) {
                self.damage(path, error)?;
            }
        }
        Ok(())
    }

    fn name_of_subkey(&mut self, path: &RegKey) -> anyhow::Result<()> {
        if self.filter.is_any() {
            return Ok(());
        }
        match &mut self.output {
            Output::Json(out) => writeln!(out, "{}", of_image(json!({ "key": full(path) }), self.image))?,
            Output::Text(out) => writeln!(out, "{}", plain(&full(path)))?,
            Output::Reg(_) => self.section(path, Vec::new())?,
        }
        Ok(())
    }

    /// Warns of an unreadable part; the rest is printed.
    fn damage(&mut self, path: &RegKey, error: Error) -> Result<()> {
        if error.kind() == hivewright_error::Kind::Io {
            return Err(error);
        }
        self.damaged = true;
        crate::cli::warn(error.code(), &format!("{}: {error}", full(path)));
        Ok(())
    }
}
