//! Arguments of the command line.

use hivewright_error::Code;
use std::path::PathBuf;

use super::suggested::{ControlSets, ImageFormats, Policies, Values, suggested};
use crate::locate::{Choice, ImageOptions, VolumeChoice};
use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{ArgGroup, Parser, ValueEnum, ValueHint};
use hivewright_disk::partition::VolumeId;
use hivewright_storage::probe::{EntryKind, kind_of};

pub(crate) use super::verbs::Command;

const AFTER_HELP: &str = "\
Exit status:
  0  done, already so, or the answer is yes
  1  the answer is no: not set, or the check found errors or warnings
  2  error: usage, I/O, damaged or unsupported input; nothing was changed
  3  refused: dirty, in use, unsafe or ambiguous; nothing was changed
  4  failed after writing began; the undo file is named
  130  stopped by Ctrl-C or a signal; no unfinished copies are left

Paths in JSON are text. If one is not UTF-8, a second field, with `_hex` at the
end of its name, contains its bytes in hexadecimal.

Examples:
  hivewright get /mnt/image
  hivewright set 2 SYSTEM --dry-run
  hivewright set 2 SYSTEM --output SYSTEM.patched";

/// Edits and audits the registry of Windows installations that are not running: hive files, folders and disk images.
///
/// `get`, `set` and `unset` are for one value, AssumeUDPEncapsulationContextOnSendRule, which lets Windows' L2TP/IPsec
/// client connect to VPN servers behind NAT; `reg` is for all others.
#[derive(Debug, Parser)]
#[command(name = "hivewright", version, max_term_width = 80, after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Whether text is coloured; auto means on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    pub(crate) color: ColorWhen,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Use of colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

const TARGET_HELP: &str =
    "A SYSTEM hive, a folder with a Windows installation, an image of a disk or volume, or a block device";

/// Selection of a partition, an image and a Windows installation on a disk, and the format of the image.
#[derive(Debug, clap::Args)]
pub(crate) struct DiskArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The format of the image, instead of the detected one: raw, qcow2 ...
    #[arg(long, value_name = "FORMAT", value_parser = suggested::<ImageFormats>(), hide_possible_values = true)]
    format: Option<String>,
}

impl DiskArgs {
    pub(crate) fn choice(&self) -> Choice {
        self.place.choice(self.format.as_ref())
    }
}

/// As [`DiskArgs`], without the format of the image, whose option has another name if `--format` is the output format.
#[derive(Debug, clap::Args)]
pub(crate) struct PlaceArgs {
    /// The partition to read, as Linux counts them; 0 is the whole disk
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// The image of a WIM or ESD archive to read, by its number or its name
    #[arg(long, value_name = "N|NAME", conflicts_with = "partition")]
    image: Option<String>,
    /// The folder of the Windows installation on its volume, such as Windows
    #[arg(long, value_name = "PATH")]
    windows_root: Option<String>,
    #[command(flatten)]
    options: ImageArgs,
}

impl PlaceArgs {
    pub(crate) fn choice(&self, format: Option<&String>) -> Choice {
        let image = ImageOptions { format: format.cloned(), ..self.options.options() };
        let of_partition = |number| VolumeChoice::Id(VolumeId::of_partition(number));
        let volume = self.image.clone().map(VolumeChoice::ArchiveImage).or(self.partition.map(of_partition));
        Choice { volume, windows_root: self.windows_root.clone(), image }
    }
}

/// Options for opening any image.
#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    /// A folder from which an image may use backing files, parents and extents, besides its own folder; may be repeated
    #[arg(long = "allow-path", value_name = "DIR", value_parser = PathBufValueParser::new().try_map(folder),
        value_hint = ValueHint::DirPath)]
    pub(crate) allow_paths: Vec<PathBuf>,
    /// The path of qemu-nbd, which opens formats that hivewright does not read
    #[arg(long, value_name = "FILE")]
    pub(crate) qemu_nbd: Option<PathBuf>,
    /// Unpack a compressed image (.gz, .zst, .xz) into a temporary file of at most this many bytes: 20G
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) unpack: Option<u64>,
}

/// Parses a number of bytes, with an optional unit: `k`, `m`, `g` or `t`, powers of 1024.
fn bytes(text: &str) -> Result<u64, String> {
    let units = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];
    let unit = units.iter().find(|(letter, _)| text.to_ascii_lowercase().ends_with(*letter));
    let number = unit.map_or(text, |_| &text[..text.len() - 1]);
    let number: Option<u64> = number.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(1 << unit.map_or(0, |(_, bits)| *bits)));
    bytes.ok_or_else(|| "expected a number of bytes, such as 500M, 20G or 1T".to_owned())
}

/// Checks that a path is a folder; any other file would have no effect.
fn folder(path: PathBuf) -> Result<PathBuf, String> {
    match kind_of(&path) {
        Ok(EntryKind::Folder) => Ok(path),
        Ok(_) => Err("not a folder".to_owned()),
        Err(error) => Err(error.what().to_owned()),
    }
}

impl ImageArgs {
    pub(crate) fn options(&self) -> ImageOptions {
        let (allow, qemu_nbd) = (self.allow_paths.clone(), self.qemu_nbd.clone());
        ImageOptions { allow, qemu_nbd, unpack: self.unpack, ..ImageOptions::default() }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright get SYSTEM                 the whole answer as text
  hivewright get --value /mnt/image     the bare number at next boot
  hivewright get --json SYSTEM | jq .at_next_boot
  hivewright get disk.raw --partition 3

Exit status 1 means that the setting is not set, or that the Windows is unknown.
Exit status 2 with an answer: damage, a link or a tombstone makes it unknown.")]
pub(crate) struct GetArgs {
    #[arg(value_name = "TARGET", help = TARGET_HELP)]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// Print all facts as JSON
    #[arg(long, conflicts_with = "value")]
    pub(crate) json: bool,
    /// A transaction log of the hive, instead of those beside it; may be repeated
    #[arg(long = "log", value_name = "FILE")]
    pub(crate) logs: Vec<PathBuf>,
    /// Print only the number at next boot, nothing if not set
    #[arg(long)]
    pub(crate) value: bool,
    /// The era of Windows, instead of the detected one
    #[arg(long, value_name = "WINDOWS")]
    pub(crate) windows: Option<Windows>,
}

/// Parses a value of the setting.
fn number(text: String) -> Result<u32, &'static str> {
    text.parse().ok().filter(|number| *number <= 2).ok_or("use 0, 1 or 2")
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Meaning of the values:
  0  no connection to servers behind NAT (the default of Windows)
  1  the server may be behind NAT
  2  server and client may both be behind NAT

Examples:
  hivewright set 2 /mnt/image
  hivewright set 2 SYSTEM --dry-run
  hivewright set 2 SYSTEM --output SYSTEM.patched --keep-timestamps

If the value is already set, nothing is changed.")]
pub(crate) struct SetArgs {
    /// The value of the setting
    #[arg(value_name = "0|1|2", value_parser = suggested::<Values>().try_map(number), hide_possible_values = true)]
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

If the value is absent, nothing is changed.")]
pub(crate) struct UnsetArgs {
    #[arg(value_name = "TARGET", help = TARGET_HELP)]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) edit: EditArgs,
}

/// Options of a write.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("where").args(["dry_run", "output"]))]
pub(crate) struct WriteArgs {
    /// Print every patch and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Write to a block device, of which nothing may be mounted; its undo file is written to the current folder
    #[arg(long)]
    pub(crate) device: bool,
    /// Write to a disk image although its volume is marked dirty
    #[arg(long)]
    pub(crate) ignore_dirty_volume: bool,
    /// Write to a disk image although the journal of its volume has to be replayed
    #[arg(long)]
    pub(crate) ignore_journal: bool,
    /// Replay the log of a VHDX image that was not closed, with the same undo file
    #[arg(long)]
    pub(crate) replay_image_log: bool,
    /// Write to a disk image although other images in its folder depend on it, or use it as a part
    #[arg(long)]
    pub(crate) ignore_children: bool,
    /// Write the changed hive, or a copy of the disk image with it, to a new file and leave the original unchanged;
    /// `recover` of a read-only image (E01, OVA, streamOptimized ...) writes only the hive
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Save the replaced bytes to this file, for `hivewright undo`; during the write they are in a file beside the
    /// target
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "output"])]
    pub(crate) undo: Option<PathBuf>,
    /// Overwrite bytes in place, with an undo file, instead of replacing the file
    #[arg(long, conflicts_with_all = ["dry_run", "output"])]
    pub(crate) in_place: bool,
    /// Keep last-written times, for reproducible images
    #[arg(long)]
    pub(crate) keep_timestamps: bool,
    /// Change the hive despite damage that the change does not touch
    #[arg(long)]
    pub(crate) force: bool,
    /// A transaction log of the hive, instead of those beside it; may be repeated
    #[arg(long = "log", value_name = "FILE")]
    pub(crate) logs: Vec<PathBuf>,
    /// Empty the transaction logs after the hive is written, in place; one undo file covers the hive and its logs
    #[arg(long, conflicts_with_all = ["dry_run", "output"])]
    pub(crate) truncate_logs: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

impl WriteArgs {
    /// Adds the options for writing to a selection.
    pub(crate) fn choice(&self, meant: Choice) -> Choice {
        let image = ImageOptions { device: self.device, replay_log: self.replay_image_log, ..meant.image };
        Choice { image, ..meant }
    }

    /// Returns the codes of the obstacles that the user overrides.
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
    /// Control sets to edit: current, default, all or a number [default: that of the next boot, and the current one if
    /// different]
    #[arg(long, value_name = "SET", value_parser = suggested::<ControlSets>(), hide_possible_values = true)]
    pub(crate) control_set: Option<String>,
    /// The era of Windows, instead of the detected one
    #[arg(long, value_name = "WINDOWS")]
    pub(crate) windows: Option<Windows>,
    /// Use a dirty hive without its logs if they cannot be applied, and discard their contents
    // The name in version 0.1.
    #[arg(long, alias = "as-it-stands")]
    pub(crate) discard_logs: bool,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Windows {
    /// XP or Server 2003: the setting is in Services\IPSec
    Xp,
    /// Vista, Server 2008 or later: the setting is in Services\PolicyAgent
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

Exit status 1 means errors or warnings; a dirty hive is a warning. It is 0 with
notes only, and 2 for a file that is not a hive.")]
pub(crate) struct CheckArgs {
    /// A hive of any kind, a folder with a Windows installation, an image of a disk or volume, or a block device
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// List the entries of the transaction logs, also of a clean hive
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

Nothing is written. Exit status 1 means that no Windows installation was found,
or with --verify only that the bytes do not match the stored hashes.")]
pub(crate) struct InfoArgs {
    /// An image of a disk or volume, a part of a split one, a block device, a hive, or a folder with Windows
    #[arg(value_name = "TARGET", required_unless_present = "formats")]
    pub(crate) target: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    /// Print all facts as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Read all of an E01 image and compare its bytes with the stored hashes
    #[arg(long)]
    pub(crate) verify: bool,
    /// Print the table of image formats and their support
    #[arg(long, exclusive = true)]
    pub(crate) formats: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright recover SYSTEM --output SYSTEM.recovered
  hivewright recover evidence.E01 --output SYSTEM.recovered
  hivewright recover SYSTEM --log evidence/SYSTEM.LOG1 --dry-run

Without --truncate-logs, the logs are not changed. A clean hive is not changed.")]
pub(crate) struct RecoverArgs {
    /// A hive of any kind, a folder with a Windows installation, or an image of a disk or volume
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright set 2 SYSTEM --undo SYSTEM.undo
  hivewright undo SYSTEM.undo")]
pub(crate) struct UndoArgs {
    /// The undo file of `--undo` or of a write in place
    #[arg(value_name = "UNDO-FILE")]
    pub(crate) undo_file: PathBuf,
    /// The file to restore, if it was moved and is not beside the undo file
    #[arg(long, value_name = "FILE")]
    pub(crate) target: Option<PathBuf>,
    /// Restore a disk image although other images in its folder depend on it
    #[arg(long)]
    pub(crate) ignore_children: bool,
    /// Print the result as JSON
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
Only failed checks are fixed: by the `mend` of each, or else `equals` is set and
an `absent` value is deleted. CurrentControlSet is the control set of the next
boot, and the current one if different. See `hivewright help audit` for the
syntax of a policy.

Examples:
  hivewright apply --policy rdp-nla golden.qcow2 --undo golden.undo
  hivewright apply --policy servers.toml /mnt/image --dry-run
  hivewright apply --expect-reg hardening.reg golden.vhdx --json

Exit status 1 means that something is still not as expected: the policy has no
fix, or it cannot be read.")]
#[command(
    override_usage = "hivewright apply [OPTIONS] --policy <FILE|NAME> <TARGET>",
    group = ArgGroup::new("expected").args(["policies", "reg_files"]).required(true).multiple(true)
)]
pub(crate) struct ApplyArgs {
    /// The policy: a TOML file, or the name of an included policy (see `hivewright policy`); may be repeated
    #[arg(long = "policy", value_name = "FILE|NAME")]
    pub(crate) policies: Vec<PathBuf>,
    /// A registration file (.reg) whose lines are all expected; may be repeated
    #[arg(long = "expect-reg", value_name = "FILE")]
    pub(crate) reg_files: Vec<PathBuf>,
    #[arg(value_name = "TARGET", help = TARGET_HELP)]
    pub(crate) target: PathBuf,
    #[command(flatten)]
    pub(crate) disk: DiskArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright policy
  hivewright policy smb1-off > mine.toml
  hivewright audit --policy smb1-off --policy rdp-nla /srv/images")]
pub(crate) struct PolicyArgs {
    /// The policy to print
    #[arg(value_name = "NAME", value_parser = suggested::<Policies>(), hide_possible_values = true)]
    pub(crate) name: Option<String>,
}

/// Subject of a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    /// One line of `hivewright audit --json`
    #[default]
    Record,
    /// The same
    Audit,
    /// A policy
    Policy,
    /// `hivewright get --json`
    Get,
    /// `hivewright set --json`
    Set,
    /// `hivewright unset --json`
    Unset,
    /// `hivewright recover --json`
    Recover,
    /// `hivewright check --json`
    Check,
    /// `hivewright info --json`
    Info,
    /// `hivewright undo --json`
    Undo,
    /// `hivewright apply --json`
    Apply,
    /// One line of `hivewright reg query --json`
    RegQuery,
    /// One line of `hivewright reg export --format json`
    RegExport,
    /// One line of `hivewright reg compare --format json`
    RegCompare,
    /// `hivewright reg extract --json`
    RegExtract,
    /// `hivewright reg add --json`
    RegAdd,
    /// `hivewright reg delete --json`
    RegDelete,
    /// `hivewright reg copy --json`
    RegCopy,
    /// `hivewright reg rename --json`
    RegRename,
    /// `hivewright reg import --json`
    RegImport,
    /// The document of a command that fails
    Error,
}

impl SchemaOf {
    /// Returns the name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Draft 2020-12. The version is in $id; within a version fields are only added.

Examples:
  hivewright schema > record.schema.json
  hivewright schema policy > policy.schema.json
  hivewright schema get > get.schema.json")]
pub(crate) struct SchemaArgs {
    /// The subject of the schema
    #[arg(value_name = "WHAT", value_enum, default_value_t)]
    pub(crate) of: SchemaOf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright man | man -l -
  hivewright man --output-dir /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Write all pages, one for each subcommand too, to this folder
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
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
