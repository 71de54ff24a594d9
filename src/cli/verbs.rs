//! The verbs, one line each.

use std::path::PathBuf;

use clap::{ArgMatches, Args as _, FromArgMatches, Subcommand};

use super::args::{
    CheckArgs, CompletionsArgs, GetArgs, InfoArgs, ManArgs, RecoverArgs, SchemaArgs, SetArgs, UndoArgs, UnsetArgs,
    WriteArgs,
};
use super::audit::AuditArgs;
use super::reg::RegArgs;

/// The verbs. The arguments of each are put together only when it is the one that was given, or for help: all of them
/// would take longer than `get` does.
macro_rules! verbs {
    ($(#[doc = $about:literal] $verb:ident($args:ty) = $name:literal,)*) => {
        #[derive(Debug)]
        pub(crate) enum Command {
            $(#[doc = $about] $verb($args),)*
        }

        impl Subcommand for Command {
            fn augment_subcommands(command: clap::Command) -> clap::Command {
                command
                    .subcommand_required(true)
                    .arg_required_else_help(true)
                    $(.subcommand(clap::Command::new($name).about($about.trim_ascii()).defer(|verb| {
                        // Flattened structures bring their own words along.
                        <$args>::augment_args(verb).about($about.trim_ascii())
                    })))*
            }

            fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
                Self::augment_subcommands(command)
            }

            fn has_subcommand(name: &str) -> bool {
                [$($name),*].contains(&name)
            }
        }

        impl FromArgMatches for Command {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                match matches.subcommand() {
                    $(Some(($name, given)) => <$args>::from_arg_matches(given).map(Command::$verb),)*
                    _ => Err(clap::Error::new(clap::error::ErrorKind::MissingSubcommand)),
                }
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

verbs! {
    /// Say how the setting stands, at capture and at next boot
    Get(GetArgs) = "get",
    /// Set the setting to 0, 1 or 2
    Set(SetArgs) = "set",
    /// Remove the setting, so that Windows takes its default
    Unset(UnsetArgs) = "unset",
    /// Audit many images, hives and Windows folders: one record for each Windows
    Audit(AuditArgs) = "audit",
    /// Look for damage in the structure of a hive and in its transaction logs
    Check(CheckArgs) = "check",
    /// Show what a disk image holds: partitions, volumes, Windows, hives
    Info(InfoArgs) = "info",
    /// Apply the transaction logs of a dirty hive, and change nothing else
    Recover(RecoverArgs) = "recover",
    /// Read, edit, import, export and compare keys of any hive
    Reg(RegArgs) = "reg",
    /// Put back what an undo file has kept
    Undo(UndoArgs) = "undo",
    /// Print what a record of an audit looks like, as JSON Schema
    Schema(SchemaArgs) = "schema",
    /// Print a completion script for a shell
    Completions(CompletionsArgs) = "completions",
    /// Print the manual page, or write all of them to a folder
    Man(ManArgs) = "man",
}

impl Command {
    /// What the command is about, then the other files that it was given. None where it tells of several.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let writing = |target: &PathBuf, write: &WriteArgs| {
            let others = write.output.iter().chain(&write.undo).chain(&write.logs);
            std::iter::once(target).chain(others).cloned().collect()
        };
        match self {
            Command::Get(args) => std::iter::once(&args.target).chain(&args.logs).cloned().collect(),
            Command::Check(args) => std::iter::once(&args.target).chain(&args.logs).cloned().collect(),
            Command::Set(args) => writing(&args.target, &args.edit.write),
            Command::Unset(args) => writing(&args.target, &args.edit.write),
            Command::Recover(args) => writing(&args.target, &args.write),
            Command::Info(args) => args.target.iter().cloned().collect(),
            Command::Undo(args) => std::iter::once(&args.undo_file).chain(&args.target).cloned().collect(),
            Command::Reg(args) => args.files(),
            Command::Audit(_) | Command::Schema(_) | Command::Completions(_) | Command::Man(_) => Vec::new(),
        }
    }

    pub(crate) fn wants_json(&self) -> bool {
        match self {
            Command::Get(args) => args.json,
            Command::Set(args) => args.edit.write.json,
            Command::Unset(args) => args.edit.write.json,
            Command::Check(args) => args.json,
            Command::Info(args) => args.json,
            Command::Recover(args) => args.write.json,
            Command::Reg(args) => args.wants_json(),
            Command::Undo(args) => args.json,
            // JSON Lines are of records alone.
            Command::Audit(_) | Command::Schema(_) | Command::Completions(_) | Command::Man(_) => false,
        }
    }
}
