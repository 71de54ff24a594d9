//! Arguments of `hivewright audit`: a structure without logic.

use std::path::PathBuf;

use crate::audit::policy::Wanted;
use crate::audit::shard::Shard;
use clap::ValueEnum;

use crate::cli::args::ImageArgs;

const AFTER_HELP: &str = "\
Expectations: a number stands there (0, 1, 2), set, unset. An absent value is
unset and no 0, though Windows then does as for 0. --expect asks about the next
boot. A policy is a TOML file; the first entry that fits decides:
  [[expect]]
  path = \"dc/**\"                     # pattern of the target, or of its end
  windows = \"vista+\"                 # or \"xp\"
  version = \">=10.0.17763\"           # major.minor.build.revision
  product_type = \"domain_controller\" # or \"client\", \"server\"
  at = \"both\"                        # or \"next-boot\" (default), \"capture\"
  rule = \"unset\"                     # or 0, 1, 2, \"set\", \"any\"
  neighbours = { ProhibitIpSec = \"off\", AllowL2TPWeakCrypto = \"unset\" }
  [[expect]]
  rule = 2
A path is held against the target as records name it, which is as it was given
or found: /srv/dc/a.vhdx, ./dc/a.vhdx. A pattern with / in front has to fit all
of that, another one may begin behind any / of it: dc/** fits both. * stays in
one folder, ** does not. A version that is not known fits no condition. Of a
Windows that fits no entry nothing is expected, and such are counted at the end;
an entry that fits no Windows is warned of (not with --shard).
Neighbours may be any number, \"on\" (there and not 0), \"off\", \"set\", \"unset\" or
\"any\". What a policy cannot say is refused, with its line.

Every regular file below a target has a record, is a part of another file (an
extent, a segment, a piece, a log of a hive), or is skipped with a reason; the
counts are printed at the end, and --list-skipped names the files. With --json
the list is JSON too, on standard error: lines that begin with { are its
objects, with file, is (part, skipped, folder), part_of, reason, what. A file
with the name or the bytes of an image that cannot be read, also a packed or an
empty one, is no skipped file: it has a record with its error. Backing files
and parents are images of their own: their records name those that stand on
them (dependents). Files in folders below a Windows folder are not counted.
Reasons: no-image, empty, transaction-log, other-hive, same-file, and for files
that are recognised and not read compressed, container, reg-file, hive-9x.

Examples:
  hivewright audit /srv/images
  hivewright audit --expect 2 --json /srv/images > results.jsonl
  hivewright audit --format csv --report audit.html /srv/images > audit.csv
  hivewright audit --json --list-skipped /srv 2>&1 >r.jsonl | grep '^{' >skipped
  hivewright audit --resume results.jsonl --json /srv/images > complete.jsonl
  find /srv -name '*.raw' -print0 | hivewright audit --from-file - -0
  hivewright audit --policy policy.toml --shard 2/4 --json /srv/images

Exit status:
  0    all was read, and is as expected (or nothing was expected)
  1    something is not as expected
  2    something could not be read (see --keep-going-ok), nothing was found, or
       records or the report could not be written: the message says which
  3    the report would replace a file that is no report, or the output would go
       to a file of --resume: nothing was audited
  130  stopped by Ctrl-C: what was printed is whole, go on with --resume

Nothing is written but the output. A shard is 1 + (h xor h >> 32) mod N, where h
is the FNV-1a hash (64 bits) of the target's name as it stands in its record.";

/// Audit many images, hives and Windows folders: one record for each Windows
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct AuditArgs {
    /// Files, folders with all that is below, patterns, block devices. In folders, hives, images and Windows folders are
    /// recognised by their content, or else by names that promise one; links and special files are left alone
    #[arg(value_name = "TARGET", required_unless_present = "from_file")]
    pub(crate) targets: Vec<PathBuf>,
    /// Targets from a file, one in a line; - is standard input
    #[arg(long, value_name = "LIST")]
    pub(crate) from_file: Option<PathBuf>,
    /// The list has a zero byte behind each name, as `find -print0` writes it
    #[arg(short = '0', long, requires = "from_file")]
    pub(crate) null: bool,

    /// What is expected of every Windows: 0, 1, 2, set or unset
    #[arg(long, value_name = "VALUE", value_parser = expected, conflicts_with = "policy")]
    pub(crate) expect: Option<Wanted>,
    /// What is expected of which Windows: a TOML file, see below
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Targets that cannot be read do not change the exit status
    #[arg(long)]
    pub(crate) keep_going_ok: bool,

    /// List every file without a record of its own on standard error, as they come: parts of others, and skipped ones with
    /// the reason. With --json each is a JSON object on a line of its own
    #[arg(long)]
    pub(crate) list_skipped: bool,
    /// Print JSON Lines: one record a line, as they come
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// How records are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Write a report to a file beside: one HTML page that holds everything
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Hash every hive (SHA-256)
    #[arg(long)]
    pub(crate) sha256: bool,
    #[command(flatten)]
    pub(crate) image: ImageArgs,

    /// Targets read at the same time [default: one for each core]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) jobs: Option<u16>,
    /// Give up a target after so many seconds; 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u32,
    /// Take over records of an earlier run whose files have the same sizes and times; may be repeated. The output holds
    /// them too, judged anew. The file may be empty, or end in half a line. What could not be opened is tried again, and so is an image in several files if --allow-path
    /// is another
    #[arg(long, value_name = "RESULTS.jsonl")]
    pub(crate) resume: Vec<PathBuf>,
    /// Take over only records with a hash that the hive still has
    #[arg(long, requires = "resume")]
    pub(crate) verify_hash: bool,
    /// Only the targets of part I of N, for several machines or processes
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<Shard>,
}

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table on a terminal, worst first; else one line for people a record
    Table,
    /// One record of JSON a line: `hivewright schema` says what is in it
    Jsonl,
    /// One row a record, for spreadsheets and data frames
    Csv,
    /// One test case a record, for pipelines; printed at the end
    Junit,
}

impl AuditArgs {
    pub(super) fn format(&self) -> Format {
        if self.json { Format::Jsonl } else { self.format }
    }
}

fn shard(text: &str) -> Result<Shard, String> {
    text.parse().map_err(|error: crate::Error| error.advice().unwrap_or_default().to_owned())
}

fn expected(text: &str) -> Result<Wanted, String> {
    let wanted: Wanted = text.parse().map_err(|error: crate::Error| error.what().to_owned())?;
    match wanted {
        Wanted::Number(0..=2) | Wanted::Set | Wanted::Unset => Ok(wanted),
        _ => Err("say 0, 1, 2, set or unset".to_owned()),
    }
}
