//! `hivewright reg`: keys and values of any hive, in the words of Windows' `reg`.

mod args;
mod compare;
mod data;
mod export;
mod query;
mod write;

use std::io::Write;
use std::path::{Path, PathBuf};

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::reg_text::{RegKey, RootKey};
use hivewright_hive::regf::name::Name;

pub(crate) use self::args::RegArgs;
use self::args::{ExtractArgs, RegCommand, UserArgs};
use super::exit::Outcome;
use crate::edit::hive_of;
use crate::locate::{Choice, Image};
use crate::{Hive, HiveKind, Installation, RegistryPath};

pub(crate) fn run(args: &RegArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        RegCommand::Query(args) => query::run(args),
        RegCommand::Add(args) => write::add(args),
        RegCommand::Delete(args) => write::delete(args),
        RegCommand::Import(args) => write::import(args),
        RegCommand::Export(args) => export::run(args),
        RegCommand::Compare(args) => compare::run(args),
        RegCommand::Extract(args) => extract(args),
    }
}

impl RegArgs {
    /// The files that the command is about, the target first.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let of = |target: &PathBuf| vec![target.clone()];
        match &self.command {
            RegCommand::Query(args) => of(&args.target),
            RegCommand::Add(args) => of(&args.target),
            RegCommand::Delete(args) => of(&args.target),
            RegCommand::Import(args) => std::iter::once(&args.target).chain(&args.files).cloned().collect(),
            RegCommand::Export(args) => of(&args.target),
            RegCommand::Compare(args) => vec![args.a.clone(), args.b.clone()],
            RegCommand::Extract(args) => vec![args.target.clone(), args.output.clone()],
        }
    }

    pub(crate) fn wants_json(&self) -> bool {
        match &self.command {
            RegCommand::Query(args) => args.json,
            RegCommand::Add(args) => args.write.json,
            RegCommand::Delete(args) => args.write.json,
            RegCommand::Import(args) => args.write.json,
            RegCommand::Export(_) | RegCommand::Compare(_) | RegCommand::Extract(_) => false,
        }
    }
}

impl UserArgs {
    /// The path, with `HKCU` as the user's that was named.
    fn path(&self, text: &str) -> Result<RegistryPath> {
        let path: RegistryPath = text.parse()?;
        Ok(match self.kind() {
            Some(user) => path.of_user(&user),
            None => path,
        })
    }

    fn kind(&self) -> Option<HiveKind> {
        self.user.as_ref().map(|user| match user.as_str() {
            "default" => HiveKind::DefaultUser,
            name => HiveKind::User(name.to_owned()),
        })
    }
}

/// A hive that a path leads to.
struct Opened {
    hive: Hive,
    path: RegistryPath,
    /// The path as regedit has it.
    shown: RegKey,
}

/// Opens the hive that a path leads to; a dirty one is recovered in memory.
fn open(target: &Path, choice: &Choice, path: RegistryPath) -> Result<Opened> {
    let image = Image::open_as(target, &choice.image)?;
    let found = hive_of(&Installation(image.system_hive(choice)?), image.is_hive(), &path)?;
    let shown = shown(&path, found.name());
    Ok(Opened { hive: Hive::open(found)?, path, shown })
}

impl Opened {
    /// The key, or the error that there is none.
    fn key(&self) -> Result<crate::Key<'_>> {
        self.hive.key(self.path.key().clone())?.ok_or_else(|| no_key(&self.shown))
    }
}

fn no_key(path: &RegKey) -> Error {
    Error::new(Kind::NotFound, Code::NoKey, format!("there is no key {path}"))
}

/// The full path of a key. A bare hive of no known kind is called as its file is.
fn shown(path: &RegistryPath, file: &str) -> RegKey {
    let (root, first) = match path.hive() {
        Some(HiveKind::Bcd) => (RootKey::LocalMachine, Some("BCD00000000".to_owned())),
        Some(HiveKind::Default) => (RootKey::Users, Some(".DEFAULT".to_owned())),
        Some(HiveKind::User(user)) => (RootKey::Users, Some(user.clone())),
        Some(HiveKind::UserClasses(user)) => (RootKey::Users, Some(format!("{user}_Classes"))),
        Some(HiveKind::DefaultUser) => (RootKey::CurrentUser, None),
        Some(kind) => (RootKey::LocalMachine, Some(kind.file_name().to_owned())),
        None if path.needs_user() || file.eq_ignore_ascii_case("NTUSER.DAT") => (RootKey::CurrentUser, None),
        None => (RootKey::LocalMachine, Some(file.to_owned())),
    };
    let first = first.iter().map(|name| Name::encode(name));
    RegKey { root, names: first.chain(path.key().names().iter().cloned()).collect() }
}

/// Makes a new file of `bytes`, and makes them durable.
fn create(path: &Path, write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let failed = |what: &str, error: std::io::Error| {
        Error::io(format!("cannot {what} {}: {error}", path.display()), error).of_file(path)
    };
    let file = std::fs::File::create_new(path).map_err(|error| failed("create", error))?;
    let mut out = std::io::BufWriter::with_capacity(1 << 16, file);
    write(&mut out)?;
    let file = out.into_inner().map_err(|error| failed("write", error.into_error()))?;
    file.sync_all().map_err(|error| failed("write", error))?;
    Ok(())
}

fn extract(args: &ExtractArgs) -> anyhow::Result<Outcome> {
    let opened = open(&args.target, &args.disk.choice(), args.user.path(&args.hive)?)?;
    if !opened.path.key().is_empty() {
        let what = format!("{} is a key inside of a hive", args.hive);
        return Err(Error::new(Kind::Unsupported, Code::RegistryRoot, what)
            .advise("name the hive: HKLM\\SYSTEM, HKLM\\SOFTWARE, HKU\\<SID>")
            .into());
    }
    let bytes = opened.hive.to_bytes()?;
    create(&args.output, |out| Ok(out.write_all(&bytes)?))?;
    let recovered = if opened.hive.recovery().is_some() { ", its logs replayed" } else { "" };
    super::print(format!("{} was written: {}{recovered}\n", args.output.display(), opened.shown).as_bytes())?;
    Ok(Outcome::Yes)
}
