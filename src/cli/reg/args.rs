//! Arguments of `reg`.

use std::path::PathBuf;

use clap::{ArgGroup, Subcommand, ValueEnum};

use crate::cli::args::{PlaceArgs, WriteArgs};
use crate::locate::Choice;

const TARGET: &str =
    "A hive of any kind, a folder that holds a Windows installation, an image of a disk or volume, or a block device";
const KEY: &str = "A key: HKLM\\SYSTEM\\..., HKU\\<SID>\\..., HKCU\\...; of a bare hive from its root too";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hivewright reg query  golden.qcow2 HKLM\\SYSTEM\\CurrentControlSet\\Control -v CurrentUser
  hivewright reg add    golden.qcow2 HKLM\\SOFTWARE\\Example -v Enabled -t REG_DWORD -d 1
  hivewright reg import golden.qcow2 drivers.reg policies.reg --dry-run
  hivewright reg export NTUSER.DAT HKCU\\Software --output software.reg
  hivewright reg compare before.raw after.raw HKLM\\SYSTEM --format reg

CurrentControlSet is found through the key Select. Several hives change
together or not at all, under one undo file. In the name of a key or value,
{U+0000} stands for a character that text cannot have.")]
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
    /// Delete a key and all below it, or values of it
    Delete(DeleteArgs),
    /// Make the changes of registration files (.reg), all of them or none
    Import(ImportArgs),
    /// Write a key and all below it as a registration file (.reg)
    Export(ExportArgs),
    /// Compare a key and all below it in two targets
    Compare(CompareArgs),
    /// Copy a hive out of an image
    Extract(ExtractArgs),
}

/// The user whose hives paths below HKCU are in.
#[derive(Debug, clap::Args)]
pub(crate) struct UserArgs {
    /// The user that HKCU is of: a SID, the name of the profile's folder, or `default` for the default user
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
}

/// What is meant, where a disk holds more than one. `--format` is that of what is printed.
#[derive(Debug, clap::Args)]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    place: PlaceArgs,
    /// The format of the image, instead of what its bytes say: raw, qcow2 ...
    #[arg(long, value_name = "FORMAT")]
    image_format: Option<String>,
}

impl ReadArgs {
    pub(super) fn choice(&self) -> Choice {
        self.place.choice(self.image_format.as_ref())
    }
}

/// One value, or none.
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
    /// Data as it is shown
    Data,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit status 1 means that there is no such key or value, or that nothing was found.")]
pub(crate) struct QueryArgs {
    #[arg(value_name = "TARGET", help = TARGET)]
    pub(crate) target: PathBuf,
    #[arg(value_name = "KEY", help = KEY, default_value = "")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
    /// All keys below too
    #[arg(short = 'r', long)]
    pub(crate) recursive: bool,
    /// Show what contains this text, in any case, here and below
    #[arg(short = 'f', long = "find", value_name = "TEXT")]
    pub(crate) find: Option<String>,
    /// Where to look for the text
    #[arg(long = "in", value_name = "WHERE", value_delimiter = ',', requires = "find")]
    pub(crate) places: Vec<SearchIn>,
    /// Values of this type alone: REG_SZ, REG_DWORD ..., or its number
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// Print as JSON, one line for each key
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) disk: ReadArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Data: text for REG_SZ and REG_EXPAND_SZ; strings parted by \\0 for REG_MULTI_SZ;
a number, 0x for hexadecimal, for REG_DWORD and REG_QWORD; hexadecimal digits
for REG_BINARY and every other type. Missing keys on the way are created.")]
#[command(group = ArgGroup::new("source").args(["data", "data_file"]))]
pub(crate) struct AddArgs {
    #[arg(value_name = "TARGET", help = TARGET)]
    pub(crate) target: PathBuf,
    #[arg(value_name = "KEY", help = KEY)]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
    /// The type: REG_SZ, REG_DWORD ..., or its number [default: REG_SZ]
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub(crate) kind: Option<String>,
    /// The data
    #[arg(short = 'd', long, value_name = "DATA", allow_hyphen_values = true)]
    pub(crate) data: Option<String>,
    /// A file whose bytes are the data
    #[arg(long, value_name = "FILE")]
    pub(crate) data_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Deleting what is not there changes nothing and says so.")]
pub(crate) struct DeleteArgs {
    #[arg(value_name = "TARGET", help = TARGET)]
    pub(crate) target: PathBuf,
    #[arg(value_name = "KEY", help = KEY)]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) value: ValueArgs,
    /// All values of the key, which stays
    #[arg(long, conflicts_with_all = ["name", "default"])]
    pub(crate) all_values: bool,
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// How registration files are read.
#[derive(Debug, clap::Args)]
#[command(after_help = "A line that regedit would pass over is an error, and nothing of any file is applied.")]
pub(crate) struct ImportArgs {
    #[arg(value_name = "TARGET", help = TARGET)]
    pub(crate) target: PathBuf,
    /// The files; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Pass over lines that regedit passes over, and warn of them
    #[arg(long)]
    pub(crate) lenient: bool,
    /// The code page of files that begin with REGEDIT4 [default: 1252]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) code_page: Option<u16>,
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    #[arg(value_name = "TARGET", help = TARGET)]
    pub(crate) target: PathBuf,
    #[arg(value_name = "KEY", help = KEY, default_value = "")]
    pub(crate) key: String,
    /// The file to write, UTF-16LE as regedit's; without it, UTF-8 goes to standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) disk: ReadArgs,
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
    /// What it is compared with
    #[arg(value_name = "B")]
    pub(crate) b: PathBuf,
    #[arg(value_name = "KEY", help = KEY, default_value = "")]
    pub(crate) key: String,
    /// How differences are printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: CompareFormat,
    /// Compare last-written times too
    #[arg(long)]
    pub(crate) times: bool,
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) disk: ReadArgs,
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
    /// The file to write, which must not be there
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) user: UserArgs,
    #[command(flatten)]
    pub(crate) disk: ReadArgs,
}
