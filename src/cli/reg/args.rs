//! Arguments of `reg`.

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand, ValueEnum};

use crate::cli::args::{PlaceArgs, WriteArgs};
use crate::cli::suggested::{ImageFormats, Types, suggested};
use crate::locate::Choice;

const TARGET: &str =
    "A hive of any kind, a folder with a Windows installation, an image of a disk or volume, or a block device";
const KEY: &str = "A key: HKLM\\SYSTEM\\..., HKU\\<SID>\\..., HKCU\\...; for a bare hive also from its root";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright reg query  golden.qcow2 HKLM\\SYSTEM\\CurrentControlSet\\Control -v CurrentUser
  hivewright reg add    golden.qcow2 HKLM\\SOFTWARE\\Example -v Enabled -t REG_DWORD -d 1
  hivewright reg import golden.qcow2 drivers.reg policies.reg --dry-run
  hivewright reg export NTUSER.DAT HKCU\\Software --output software.reg
  hivewright reg compare before.raw after.raw --format reg

CurrentControlSet is resolved by the key Select. Several hives change together
or not at all, with one undo file. In the name of a key or value, {U+0000} is
a character that text cannot represent.

--format is the format of the output; that of the image is --image-format.")]
pub(crate) struct RegArgs {
    #[command(subcommand)]
    pub(crate) command: RegCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RegCommand {
    /// Show a key: its values and the names of its subkeys
    Query(QueryArgs),
    /// Create a key, or set a value
    Add(AddArgs),
    /// Delete a key and everything below it, or values of it
    Delete(DeleteArgs),
    /// Copy a key and everything below it to another place in its hive
    Copy(CopyArgs),
    /// Rename a key
    Rename(RenameArgs),
    /// Apply the changes of registration files (.reg), all of them or none
    Import(ImportArgs),
    /// Write a key and everything below it as a registration file (.reg), or as JSON
    Export(ExportArgs),
    /// Compare a key and everything below it in two targets, or all hives that both have
    Compare(CompareArgs),
    /// Copy a hive out of an image
    Extract(ExtractArgs),
}

/// The view of programs of so many bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// Where a 32-bit program finds the key: below WOW6432Node, unless both views share it
    #[value(name = "32")]
    Of32,
    /// The key of that name, as without this option
    #[value(name = "64")]
    Of64,
}

/// Selection of the user of paths below HKCU, and of the view.
#[derive(Debug, clap::Args)]
pub(crate) struct UserArgs {
    /// The user of HKCU: a SID, the name of the profile's folder, `default` for the default user, or `all` for every
    /// user with a profile and the default user
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// The view of the registry on a 64-bit Windows, as /reg:32 and /reg:64 of Windows' reg
    #[arg(long, value_name = "BITS", value_enum)]
    pub(crate) view: Option<View>,
}

/// Selection of a partition, an image and a Windows installation on a disk. `--format` is the output format.
#[derive(Debug, clap::Args)]
pub(crate) struct RegPlaceArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The format of the image, instead of the detected one: raw, qcow2 ...
    #[arg(long, value_name = "FORMAT", value_parser = suggested::<ImageFormats>(), hide_possible_values = true)]
    image_format: Option<String>,
}

impl RegPlaceArgs {
    pub(super) fn choice(&self) -> Choice {
        self.place.choice(self.image_format.as_ref())
    }
}

/// The options of a write, and where it goes.
#[derive(Debug, clap::Args)]
pub(crate) struct RegWriteArgs {
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) disk: RegPlaceArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// A key of a target.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArgs {
    #[arg(value_name = "TARGET", help = TARGET)]
    pub(crate) target: PathBuf,
    #[arg(value_name = "KEY", help = KEY)]
    pub(crate) key: String,
}

/// Selection of a value, or of none.
#[derive(Debug, clap::Args)]
pub(crate) struct ValueArgs {
    /// The name of the value
    #[arg(short = 'v', long = "value", value_name = "NAME", conflicts_with = "default")]
    pub(crate) name: Option<String>,
    /// The default value of the key
    #[arg(long)]
    pub(crate) default: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SearchIn {
    /// Names of keys
    Keys,
    /// Names of values
    Names,
    /// Data as it is printed
    Data,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    /// A line for each key and value
    #[default]
    Text,
    /// A line of JSON for each key
    Json,
    /// A registration file with the printed keys and values
    Reg,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status 1 means that the key or value does not exist, or that nothing was found.")]
pub(crate) struct QueryArgs {
    #[arg(value_name = "TARGET", help = TARGET)]
    pub(crate) target: PathBuf,
    #[arg(value_name = "KEY", help = KEY, default_value = "")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
    /// Include all keys below
    #[arg(short = 'r', long)]
    pub(crate) recursive: bool,
    /// Show keys and values that contain this text, without regard to case, here and below
    #[arg(short = 'f', long = "find", value_name = "TEXT")]
    pub(crate) find: Option<String>,
    /// Where to search for the text
    #[arg(long = "in", value_name = "WHERE", value_delimiter = ',', requires = "find")]
    pub(crate) places: Vec<SearchIn>,
    /// The text is a regular expression
    #[arg(long, requires = "find")]
    pub(crate) regex: bool,
    /// Only values of this type: REG_SZ, REG_DWORD ..., or its number
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = suggested::<Types>(), hide_possible_values = true)]
    pub(crate) kind: Option<String>,
    /// Show the security descriptor of each key, as SDDL
    #[arg(long)]
    pub(crate) security: bool,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: QueryFormat,
    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) disk: RegPlaceArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Data: text for REG_SZ and REG_EXPAND_SZ; strings with \\0 between for REG_MULTI_SZ;
a number, 0x for hexadecimal, for REG_DWORD and REG_QWORD; hexadecimal digits
for REG_BINARY and every other type. Missing keys on the path are created.")]
#[command(group = ArgGroup::new("source").args(["data", "data_file"]))]
pub(crate) struct AddArgs {
    #[command(flatten)]
    pub(crate) at: KeyArgs,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
    /// The type: REG_SZ, REG_DWORD ..., or its number [default: REG_SZ]
    #[arg(short = 't', long = "type", value_name = "TYPE", value_parser = suggested::<Types>(), hide_possible_values = true)]
    pub(crate) kind: Option<String>,
    /// The data
    #[arg(short = 'd', long, value_name = "DATA", allow_hyphen_values = true)]
    pub(crate) data: Option<String>,
    /// A file with the bytes of the data
    #[arg(long, value_name = "FILE")]
    pub(crate) data_file: Option<PathBuf>,
    /// The security descriptor of the key, instead of the existing or inherited one: owner, group and rights
    #[arg(long, value_name = "SDDL")]
    pub(crate) security: Option<String>,
    #[command(flatten)]
    pub(crate) to: RegWriteArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "If the key or value is absent, nothing is changed.")]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) at: KeyArgs,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
    /// All values of the key, but not the key
    #[arg(long, conflicts_with_all = ["name", "default"])]
    pub(crate) all_values: bool,
    #[command(flatten)]
    pub(crate) to: RegWriteArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Missing keys on the path are created. A copy has the values, class names and
security of the original. An existing key keeps its security and class, and
values with the same names are replaced.")]
pub(crate) struct CopyArgs {
    #[command(flatten)]
    pub(crate) at: KeyArgs,
    /// The path of the copy, in the same hive
    #[arg(value_name = "COPY")]
    pub(crate) copy: String,
    #[command(flatten)]
    pub(crate) to: RegWriteArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RenameArgs {
    #[command(flatten)]
    pub(crate) at: KeyArgs,
    /// The new name, which may differ only in case
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) to: RegWriteArgs,
}

/// Arguments of `reg import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "A line that regedit would skip is an error, and no change of any file is applied.")]
pub(crate) struct ImportArgs {
    #[arg(value_name = "TARGET", help = TARGET)]
    pub(crate) target: PathBuf,
    /// The files; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Skip lines that regedit skips, with a warning
    #[arg(long)]
    pub(crate) lenient: bool,
    /// The code page of files that begin with REGEDIT4 [default: 1252]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) code_page: Option<u16>,
    #[command(flatten)]
    pub(crate) to: RegWriteArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A registration file
    #[default]
    Reg,
    /// A line of JSON for each key, with its class, security and time
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    #[arg(value_name = "TARGET", help = TARGET)]
    pub(crate) target: PathBuf,
    #[arg(value_name = "KEY", help = KEY, default_value = "")]
    pub(crate) key: String,
    /// The new file: UTF-16LE as of regedit; without it, UTF-8 on standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ExportFormat,
    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) disk: RegPlaceArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompareFormat {
    /// A line for each difference
    #[default]
    Text,
    /// A line of JSON for each difference
    Json,
    /// A registration file that makes the first target like the second
    Reg,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status 1 means that they differ, 2 that a part could not be compared.")]
pub(crate) struct CompareArgs {
    #[arg(value_name = "A", help = TARGET)]
    pub(crate) a: PathBuf,
    /// The target to compare with
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,
    /// The key; without it, all hives that both have
    #[arg(value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// The output format
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: CompareFormat,
    /// Short for --format json
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// Compare last-written times too
    #[arg(long)]
    pub(crate) times: bool,
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) disk: RegPlaceArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright reg extract evidence.E01 HKLM\\SOFTWARE --output SOFTWARE

The transaction logs of a dirty hive are replayed into the copy.")]
pub(crate) struct ExtractArgs {
    #[arg(value_name = "TARGET", help = TARGET)]
    pub(crate) target: PathBuf,
    /// The hive: HKLM\SYSTEM, HKLM\SOFTWARE, HKU\<SID> ...
    #[arg(value_name = "HIVE")]
    pub(crate) hive: String,
    /// The new file
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) disk: RegPlaceArgs,
}
