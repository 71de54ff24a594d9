//! `hivewright reg`: keys and values of any hive, with the subcommands of Windows' `reg`.

mod args;
mod compare;
mod data;
mod document;
mod export;
mod extract;
mod output;
mod query;
pub(in crate::cli) mod write;

use std::path::{Path, PathBuf};

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::reg_text::{RegKey, RootKey};
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::name::Name;

pub(crate) use self::args::RegArgs;
use self::args::{RegCommand, UserArgs, View};
use super::exit::Outcome;
use crate::edit::hive_of;
use crate::locate::{Choice, Image};
use crate::{Hive, HiveKind, HiveSource, Installation, RegistryPath};

pub(crate) fn run(args: &RegArgs) -> anyhow::Result<Outcome> {
    match &args.command {
        RegCommand::Query(args) => query::run(args),
        RegCommand::Add(args) => write::add(args),
        RegCommand::Delete(args) => write::delete(args),
        RegCommand::Copy(args) => write::copy(args),
        RegCommand::Rename(args) => write::rename(args),
        RegCommand::Import(args) => write::import(args),
        RegCommand::Export(args) => export::run(args),
        RegCommand::Compare(args) => compare::run(args),
        RegCommand::Extract(args) => extract::run(args),
    }
}

impl RegArgs {
    /// Returns the files of the command, the target first.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let of = |target: &PathBuf| vec![target.clone()];
        match &self.command {
            RegCommand::Query(args) => of(&args.target),
            RegCommand::Add(args) => of(&args.at.target),
            RegCommand::Delete(args) => of(&args.at.target),
            RegCommand::Copy(args) => of(&args.at.target),
            RegCommand::Rename(args) => of(&args.at.target),
            RegCommand::Import(args) => std::iter::once(&args.target).chain(&args.files).cloned().collect(),
            RegCommand::Export(args) => of(&args.target),
            RegCommand::Compare(args) => vec![args.a.clone(), args.b.clone()],
            RegCommand::Extract(args) => vec![args.target.clone(), args.output.clone()],
        }
    }

    pub(crate) fn wants_json(&self) -> bool {
        match &self.command {
            RegCommand::Query(args) => args.format() == args::QueryFormat::Json,
            RegCommand::Add(args) => args.to.write.json,
            RegCommand::Delete(args) => args.to.write.json,
            RegCommand::Copy(args) => args.to.write.json,
            RegCommand::Rename(args) => args.to.write.json,
            RegCommand::Import(args) => args.to.write.json,
            RegCommand::Export(args) => args.format() == args::ExportFormat::Json,
            RegCommand::Compare(args) => args.format() == args::CompareFormat::Json,
            RegCommand::Extract(args) => args.json,
        }
    }
}

impl UserArgs {
    /// Parses a path; `HKCU` is replaced by the selected user, unless all users are selected.
    fn path(&self, text: &str) -> Result<RegistryPath> {
        self.resolve(text.parse()?)
    }

    /// Returns the path of the selected user, in the selected view.
    fn resolve(&self, path: RegistryPath) -> Result<RegistryPath> {
        let path = match self.kind() {
            Some(user) => path.of_user(&user),
            None => path,
        };
        match self.view {
            Some(View::Of32) if path.hive().is_none() && !path.needs_user() => {
                let what = "--view 32 needs to know the hive, and the path has no root";
                Err(Error::refused(Code::RegistryRoot, what).advise("begin the path with HKLM\\SOFTWARE, HKCR or HKCU"))
            }
            Some(View::Of32) => Ok(path.in_32_bit_view()),
            Some(View::Of64) | None => Ok(path),
        }
    }

    /// Returns whether all users are selected.
    fn is_all(&self) -> bool {
        self.user.as_deref() == Some("all")
    }

    fn kind(&self) -> Option<HiveKind> {
        self.user.as_ref().filter(|_| !self.is_all()).map(|user| match user.as_str() {
            "default" => HiveKind::DefaultUser,
            name => HiveKind::User(name.to_owned()),
        })
    }
}

/// A target with one or several hives.
struct Target {
    image: Image,
    windows: Installation,
}

/// An open hive, and a path in it.
struct Opened {
    hive: Hive,
    path: RegistryPath,
    /// The path in the form of regedit.
    shown: RegKey,
}

impl Target {
    fn open(target: &Path, choice: &Choice) -> Result<Self> {
        Self::in_image(Image::open_as(target, &choice.image)?, choice)
    }

    fn in_image(image: Image, choice: &Choice) -> Result<Self> {
        let windows = Installation::of(image.system_hive(choice)?);
        Ok(Target { image, windows })
    }

    /// Opens the hive of a path; a dirty hive is recovered in memory.
    fn hive(&self, path: RegistryPath) -> Result<Opened> {
        let found = hive_of(&self.windows, self.image.is_hive(), &path)?;
        let shown = shown(&path, found.name());
        Ok(Opened { hive: Hive::open(found)?, path, shown })
    }

    /// Opens the hives of a path: one, or for a path below `HKCU` those of all users if they are selected.
    fn hives(&self, path: RegistryPath, user: &UserArgs) -> Result<Vec<Opened>> {
        if !path.needs_user() || !user.is_all() || self.image.is_hive() {
            return Ok(vec![self.hive(path)?]);
        }
        self.users()?.iter().map(|user| self.hive(path.clone().of_user(user))).collect()
    }

    /// Returns all users, with a warning for each skipped user.
    fn users(&self) -> Result<Vec<HiveKind>> {
        let (users, passed_over) = self.windows.users()?;
        passed_over.iter().for_each(|why| super::warn(why.code(), why.what()));
        Ok(users)
    }
}

impl Opened {
    /// Returns the key with everything below it; `None` if the key does not exist.
    fn tree(self) -> Result<Option<Tree>> {
        let Some(at) = self.hive.key(self.path.key().clone())?.map(|key| key.at()) else { return Ok(None) };
        Ok(Some(Tree { hive: self.hive, at, is_root: self.path.key().is_empty(), shown: self.shown }))
    }

    /// As [`Opened::tree`]; a missing key is an error.
    fn require_tree(self) -> Result<Tree> {
        let missing = no_key(&self.shown);
        self.tree()?.ok_or(missing)
    }
}

/// A key and everything below it. Pages of the hive are read as they are needed.
struct Tree {
    hive: Hive,
    at: CellOffset,
    /// Whether it is a whole hive.
    is_root: bool,
    /// The path in the form of regedit.
    shown: RegKey,
}

impl Tree {
    fn key(&self) -> Result<hivewright_hive::Key<'_, HiveSource>> {
        self.hive.format().key_at(self.at)
    }
}

fn no_key(path: &RegKey) -> Error {
    Error::new(Kind::NotFound, Code::NoKey, format!("there is no key {path}"))
}

/// Returns the full path of a key. A bare hive of an unknown kind has the name of its file.
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

/// Formats the full path, with escapes for characters that text cannot represent.
fn full(path: &RegKey) -> String {
    path.names.iter().fold(path.root.to_string(), |path, name| format!("{path}\\{}", name.to_escaped()))
}
