//! The subcommands, one line each.

use std::path::PathBuf;

use clap::{ArgMatches, Args as _, FromArgMatches, Subcommand};

use super::args::{
    ApplyArgs, CheckArgs, CompletionsArgs, GetArgs, InfoArgs, ManArgs, PolicyArgs, RecoverArgs, SchemaArgs, SetArgs,
    UndoArgs, UnsetArgs, WriteArgs,
};
use super::audit::{AuditArgs, ReportArgs};
use super::reg::RegArgs;

/// Declares the subcommands. The arguments of a subcommand are built only when it is used, or for help. With those of all
/// subcommands, as `derive(Subcommand)` builds them, `get` would take 1.8 times the instructions (callgrind; its time is
/// in `benches/processes`).
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
                        // A flattened structure would replace the description.
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
    /// Show the setting at capture and at next boot
    Get(GetArgs) = "get",
    /// Set the setting to 0, 1 or 2
    Set(SetArgs) = "set",
    /// Remove the setting, so that Windows uses its default
    Unset(UnsetArgs) = "unset",
    /// Audit many images, hives and Windows folders: one record for each Windows
    Audit(AuditArgs) = "audit",
    /// Merge the results of audits, and report on all of them
    Report(ReportArgs) = "report",
    /// Fix deviations from a policy, as one change
    Apply(ApplyArgs) = "apply",
    /// List the included policies, or print one
    Policy(PolicyArgs) = "policy",
    /// Check the structure of a hive and its transaction logs for damage
    Check(CheckArgs) = "check",
    /// Show the contents of a disk image: partitions, volumes, Windows, hives
    Info(InfoArgs) = "info",
    /// Apply the transaction logs of a dirty hive, without further changes
    Recover(RecoverArgs) = "recover",
    /// Read, edit, import, export and compare keys of any hive
    Reg(RegArgs) = "reg",
    /// Restore the bytes that an undo file contains
    Undo(UndoArgs) = "undo",
    /// Print the JSON Schema of an audit record or a policy
    Schema(SchemaArgs) = "schema",
    /// Print a completion script for a shell
    Completions(CompletionsArgs) = "completions",
    /// Print the manual page, or write all of them to a folder
    Man(ManArgs) = "man",
}

impl Command {
    /// Returns the target of the command, then its other files; empty for a command with several targets.
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
            Command::Apply(args) => writing(&args.target, &args.write),
            Command::Info(args) => args.target.iter().cloned().collect(),
            Command::Undo(args) => std::iter::once(&args.undo_file).chain(&args.target).cloned().collect(),
            Command::Reg(args) => args.files(),
            Command::Audit(_)
            | Command::Report(_)
            | Command::Policy(_)
            | Command::Schema(_)
            | Command::Completions(_)
            | Command::Man(_) => Vec::new(),
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
            Command::Apply(args) => args.write.json,
            Command::Reg(args) => args.wants_json(),
            Command::Undo(args) => args.json,
            // JSON Lines contain only records.
            Command::Audit(_)
            | Command::Report(_)
            | Command::Policy(_)
            | Command::Schema(_)
            | Command::Completions(_)
            | Command::Man(_) => false,
        }
    }
}
