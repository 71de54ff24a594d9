//! Arguments: structures without logic.

use hivewright_error::Code;
use std::path::PathBuf;

use crate::locate::{Choice, ImageOptions};
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{ArgGroup, Parser, ValueEnum};
use hivewright_storage::folder::{EntryKind, kind_of};

pub(crate) use super::verbs::Command;

const AFTER_HELP: &str = "\
Exit status:
  0  done, already so, or the answer is yes
  1  the answer is no: not set, or the check found errors or warnings
  2  could not: usage, I/O, damaged or unsupported input; nothing was changed
  3  would not: dirty, in use, unsafe or ambiguous; nothing was changed
  4  failed after writing began; the undo file is named
  130  stopped by Ctrl-C or a signal; no unfinished copies are left

Paths in JSON are text. Where one is not UTF-8, a second field with `_hex`
behind its name holds all of its bytes in hexadecimal.

Examples:
  hivewright get /mnt/image
  hivewright set 2 SYSTEM --dry-run
  hivewright set 2 SYSTEM --output SYSTEM.patched";

/// Reads, sets and removes the registry value that lets Windows' L2TP/IPsec client talk to VPN servers behind NAT
/// (AssumeUDPEncapsulationContextOnSendRule), in Windows installations that are not running.
#[derive(Debug, Parser)]
#[command(name = "hivewright", version, max_term_width = 80, after_help = AFTER_HELP)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const TARGET_HELP: &str =
    "A SYSTEM hive, a folder that holds a Windows installation, an image of a disk or volume, or a block device";

/// What is meant, where a disk holds more than one.
#[derive(Debug, clap::Args)]
pub(crate) struct DiskArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The format of the image, instead of what its bytes say: raw, qcow2 ...
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
}

impl DiskArgs {
    pub(crate) fn choice(&self) -> Choice {
        self.place.choice(self.format.as_ref())
    }
}

/// The same without the format of the image, whose option has another name where `--format` means something else.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// The partition to look in, as Linux counts them; 0 is the whole disk
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// The folder of the Windows installation on its volume, such as Windows
    #[arg(long, value_name = "PATH")]
    windows_root: Option<String>,
    #[command(flatten)]
    image: ImageArgs,
}

impl PlaceArgs {
    pub(crate) fn choice(&self, format: Option<&String>) -> Choice {
        let image = ImageOptions { format: format.cloned(), ..self.image.options() };
        Choice { partition: self.partition, windows_root: self.windows_root.clone(), image }
    }
}

/// What an image needs to be opened, whichever it is.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    /// A folder from which an image may take backing files, parents and extents, beside its own; may be repeated
    #[arg(long = "allow-path", value_name = "DIR", value_parser = PathBufValueParser::new().try_map(folder))]
    pub(crate) allow_paths: Vec<PathBuf>,
    /// Where qemu-nbd is, which opens what is not read here
    #[arg(long, value_name = "FILE")]
    pub(crate) qemu_nbd: Option<PathBuf>,
}

/// What is no folder would be passed over without a word.
fn folder(path: PathBuf) -> Result<PathBuf, String> {
    match kind_of(&path) {
        Ok(EntryKind::Folder) => Ok(path),
        Ok(_) => Err("it is no folder".to_owned()),
        Err(error) => Err(error.what().to_owned()),
    }
}

impl ImageArgs {
    pub(crate) fn options(&self) -> ImageOptions {
        ImageOptions { allow: self.allow_paths.clone(), qemu_nbd: self.qemu_nbd.clone(), ..ImageOptions::default() }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright get SYSTEM                 the whole answer, for people
  hivewright get --value /mnt/image     the bare number at next boot
  hivewright get --json SYSTEM | jq .at_next_boot
  hivewright get disk.raw --partition 3

Exit status 1 means that the setting is not set, or that the Windows is not known.
Exit status 2 with an answer: damage, a link or a tombstone makes it unknown.")]
pub(crate) struct GetArgs {
    #[arg(value_name = "TARGET", help = TARGET_HELP)]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// Print everything that is known as JSON
    #[arg(long, conflicts_with = "value")]
    pub(crate) json: bool,
    /// A transaction log of the hive, instead of those beside it; may be repeated
    #[arg(long = "log", value_name = "FILE")]
    pub(crate) logs: Vec<PathBuf>,
    /// Print only the number that counts at next boot, nothing if not set
    #[arg(long)]
    pub(crate) value: bool,
    /// Which Windows this is, instead of what the evidence says
    #[arg(long, value_name = "WINDOWS")]
    pub(crate) windows: Option<Windows>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Meaning of the values:
  0  no connection to servers behind NAT (what Windows does by itself)
  1  the server may be behind NAT
  2  server and client may both be behind NAT

Examples:
  hivewright set 2 /mnt/image
  hivewright set 2 SYSTEM --dry-run
  hivewright set 2 SYSTEM --output SYSTEM.patched --keep-timestamps

Setting what is set changes nothing and says so.")]
pub(crate) struct SetArgs {
    /// The value of the setting
    #[arg(value_name = "0|1|2", value_parser = clap::value_parser!(u32).range(0..=2))]
    pub(crate) value: u32,
    #[arg(value_name = "TARGET", help = TARGET_HELP)]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright unset /mnt/image
  hivewright unset SYSTEM --control-set all

Removing what is not there changes nothing and says so.")]
pub(crate) struct UnsetArgs {
    #[arg(value_name = "TARGET", help = TARGET_HELP)]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
}

/// How a change is written.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("where").args(["dry_run", "output"]))]
pub(crate) struct WriteArgs {
    /// Print every patch and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// Write to a block device, of which nothing may be mounted; its undo file goes into the current folder
    #[arg(long)]
    pub(crate) device: bool,
    /// Write into a disk image although its volume asks to be checked first
    #[arg(long)]
    pub(crate) ignore_dirty_volume: bool,
    /// Write into a disk image although the journal of its volume has work to redo
    #[arg(long)]
    pub(crate) ignore_journal: bool,
    /// Bring the log of a VHDX image that was not closed to its places first, under the same undo file
    #[arg(long)]
    pub(crate) replay_image_log: bool,
    /// Write into a disk image although others in its folder stand on it, or describe it as a part of theirs
    #[arg(long)]
    pub(crate) ignore_children: bool,
    /// Write the changed hive, or a copy of the disk image with it, to a new file and leave the original alone; `recover` of an
    /// image that cannot be written to (E01, OVA, streamOptimized ...) writes the hive alone
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Keep the replaced bytes in this file, for `hivewright undo`; while bytes are overwritten they stand beside the target
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "output"])]
    pub(crate) undo: Option<PathBuf>,
    /// Overwrite bytes in place, under an undo file, instead of replacing the file
    #[arg(long, conflicts_with_all = ["dry_run", "output"])]
    pub(crate) in_place: bool,
    /// Leave last-written times as they are, for reproducible images
    #[arg(long)]
    pub(crate) keep_timestamps: bool,
    /// Change the hive despite damage that the change does not touch
    #[arg(long)]
    pub(crate) force: bool,
    /// A transaction log of the hive, instead of those beside it; may be repeated
    #[arg(long = "log", value_name = "FILE")]
    pub(crate) logs: Vec<PathBuf>,
    /// Empty the transaction logs once the hive is written, in place: one undo file has the hive and its logs
    #[arg(long, conflicts_with_all = ["dry_run", "output"])]
    pub(crate) truncate_logs: bool,
    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl WriteArgs {
    /// What is meant, and how it is opened.
    pub(crate) fn choice(&self) -> Choice {
        let mut choice = self.disk.choice();
        choice.image.device = self.device;
        choice.image.replay_log = self.replay_image_log;
        choice
    }

    /// Codes of what a volume has against writes, as far as the user takes them upon himself.
    pub(crate) fn ignored(&self) -> Vec<Code> {
        let all = [
            (self.ignore_dirty_volume, Code::VolumeDirty),
            (self.ignore_journal, Code::VolumeJournal),
            (self.ignore_children, Code::HasChildren),
            (self.ignore_children, Code::PartOfImage),
        ];
        all.into_iter().filter(|(is, _)| *is).map(|(_, code)| code).collect()
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct EditArgs {
    /// Control sets to edit: current, default, all or a number [default: the one of the next boot, and the current one
    /// where that differs]
    #[arg(long, value_name = "SET")]
    pub(crate) control_set: Option<String>,
    /// Which Windows this is, instead of what the evidence says
    #[arg(long, value_name = "WINDOWS")]
    pub(crate) windows: Option<Windows>,
    /// Take a dirty hive as it stands and lose what stands in its logs, if they cannot be applied
    #[arg(long)]
    pub(crate) as_it_stands: bool,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Windows {
    /// XP or Server 2003: the setting belongs to Services\IPSec
    Xp,
    /// Vista, Server 2008 or later: it belongs to Services\PolicyAgent
    #[value(name = "vista+")]
    VistaPlus,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright check SYSTEM
  hivewright check --json NTUSER.DAT | jq '.findings[].code'
  hivewright check --logs SYSTEM

A dirty hive is checked as Windows loads it, with its logs replayed.

Exit status 1 means errors or warnings; a dirty hive is one. With nothing but
notes it is 0, and 2 for a file that is no hive.")]
pub(crate) struct CheckArgs {
    /// A hive of any kind, a folder that holds a Windows installation, an image of a disk or volume, or a block device
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// List the entries of the transaction logs, of a clean hive too
    #[arg(long = "logs")]
    pub(crate) list_logs: bool,
    /// A transaction log of the hive, instead of those beside it; may be repeated
    #[arg(long = "log", value_name = "FILE")]
    pub(crate) logs: Vec<PathBuf>,
    /// Print all findings as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright info disk.raw
  hivewright info --json /dev/sdb | jq '.volumes[].installations'

Nothing is written. Exit status 1 means that no Windows installation was found;
with --verify that other bytes than were hashed were found, and nothing else.")]
pub(crate) struct InfoArgs {
    /// An image of a disk or volume, a part of a split one, a block device, a hive, or a folder with Windows
    #[arg(value_name = "TARGET", required_unless_present = "formats")]
    pub(crate) target: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// Print everything that is known as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Read all of an E01 image and hold its bytes against the hashes stored in it
    #[arg(long)]
    pub(crate) verify: bool,
    /// Print the table of image formats and what can be done with each
    #[arg(long, exclusive = true)]
    pub(crate) formats: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright recover SYSTEM --output SYSTEM.recovered
  hivewright recover evidence.E01 --output SYSTEM.recovered
  hivewright recover SYSTEM --log evidence/SYSTEM.LOG1 --dry-run

The logs stay as they are without --truncate-logs. Recovering a clean hive
changes nothing and says so.")]
pub(crate) struct RecoverArgs {
    /// A hive of any kind, a folder that holds a Windows installation, or an image of a disk or volume
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright set 2 SYSTEM --undo SYSTEM.undo
  hivewright undo SYSTEM.undo")]
pub(crate) struct UndoArgs {
    /// What `--undo`, or a write in place, has left
    #[arg(value_name = "UNDO-FILE")]
    pub(crate) undo_file: PathBuf,
    /// The file to restore, where it is no longer where it was, nor beside the undo file
    #[arg(long, value_name = "FILE")]
    pub(crate) target: Option<PathBuf>,
    /// Restore a disk image although others in its folder stand on it
    #[arg(long)]
    pub(crate) ignore_children: bool,
    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  hivewright completions bash > /etc/bash_completion.d/hivewright")]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Draft 2020-12, of one line of `hivewright audit --json`. Fields are only added.

Example:
  hivewright schema > record.schema.json")]
pub(crate) struct SchemaArgs {}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright man | man -l -
  hivewright man --output-dir /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write a page for each subcommand too, into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) output_dir: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn help_fits_80_columns_and_has_examples() {
        let mut command = Args::command();
        command.build();
        let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
        assert!(names.len() >= 7);
        for name in names.iter().map(Some).chain([None]) {
            let page = match name {
                Some(name) => command.find_subcommand_mut(name).unwrap(),
                None => &mut command,
            };
            let text = page.render_long_help().to_string();
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{name:?}: {line}");
            }
            assert!(text.contains("Example") || name.is_some_and(|n| n == "help"), "{name:?} has no example");
        }
    }
}
