//! Arguments of `hivewright audit`.

use std::path::PathBuf;

use crate::audit::shard::Shard;
use crate::audit::sorted::Order;
use crate::policy::Wanted;
use clap::ValueEnum;
use clap::builder::TypedValueParser;

use crate::cli::args::ImageArgs;
use crate::cli::suggested::{Expectations, suggested};

const AFTER_HELP: &str = "\
A policy is a TOML file. Its checks apply to any key and value:
  name = \"servers\"
  [roles]
  dc = [\"dc/**\"]                    # patterns of targets
  [[check]]
  id = \"smb1\"                       # and title, severity, rationale, reference
  key = 'HKLM\\SYSTEM\\CurrentControlSet\\Services\\LanmanServer\\Parameters'
  value = \"SMB1\"                    # \"\": the default value; none: the key itself
  expect = { equals = 0 }
  when = { role = \"dc\", version = [\">=6.0\", \"<10.0.16299\"] }
* in a key matches one name; HKU\\* is every user. All parts of expect must hold:
  equals, in, at_least, at_most, matches (a regular expression), contains (of a
  REG_MULTI_SZ), type, present, absent, with or_absent and ignore_case; for a
  key security (SDDL), written_since, written_before (2024-12-31T00:00:00Z)
Conditions, which must all hold: path, role, windows, version, edition,
product_type, architecture. `at` selects CurrentControlSet: next-boot (default),
capture or both. `default` is the data that Windows uses without the value.
`mend` is the fix of `hivewright apply`. See docs/policies.md for the syntax,
and `hivewright schema policy` for the JSON Schema. A check has the status pass,
fail, unknown (the key, value or a condition cannot be read; it does not count
as expected) or not-applicable (conditions; no key matches a path with *).

Expectations apply to the L2TP/NAT-T setting: a number (0, 1, 2), set, unset. An
absent value is unset and not 0, although its effect is that of 0. --expect
applies to the next boot. In a policy, the first entry that matches decides:
  [[expect]]
  path = \"dc/**\"                     # pattern of the target, or of its end
  windows = \"vista+\"                 # or \"xp\"
  version = \">=10.0.17763\"           # major.minor.build.revision
  product_type = \"domain_controller\" # or \"client\", \"server\"
  at = \"both\"                        # or \"next-boot\" (default), \"capture\"
  value = \"unset\"                    # or 0, 1, 2, \"set\", \"any\"
  related = { ProhibitIpSec = \"off\", AllowL2TPWeakCrypto = \"unset\" }
  [[expect]]
  value = 2
A path is compared with the target in its record, which is the name given or
found: /srv/dc/a.vhdx, ./dc/a.vhdx. A pattern that begins with / must match all
of it, any other may match after any / of it: dc/** matches both. * does not
match a /, ** does. An unknown version matches no condition. A Windows without a
matching entry has no expectation, and is counted at the end; an entry that
matches no Windows is a warning (not with --shard).
Related values may be any number, \"on\" (present and not 0), \"off\", \"set\",
\"unset\" or \"any\". An invalid policy is an error, with its line.

Every regular file below a target has a record, is a part of another file (an
extent, a segment, a log of a hive), or is skipped with a reason; the counts are
printed at the end, and --list-skipped lists the files. With --json the list is
JSON too, on standard error: lines that begin with { are its objects, with file,
is (part, skipped, folder), part_of, reason, what. A file with the name or the
bytes of an image that cannot be read, also a compressed or empty one, is not
skipped: it has a record with its error. Backing files and parents are images
themselves: their records list the images that depend on them (dependents).
Files in folders below a Windows folder are not counted. Reasons: no-image,
empty, transaction-log, other-hive, same-file, and for known unsupported files
compressed, container, reg-file, hive-9x.

Examples:
  hivewright audit /srv/images
  hivewright audit --expect 2 --json /srv/images > results.jsonl
  hivewright audit --format csv --report audit.html /srv/images > audit.csv
  hivewright audit --json --list-skipped /srv 2>&1 >r.jsonl | grep '^{' >skipped
  hivewright audit --resume results.jsonl --json /srv/images > complete.jsonl
  find /srv -name '*.raw' -print0 | hivewright audit --from-file - -0
  hivewright audit --policy policy.toml --shard 2/4 --json /srv/images
  hivewright audit --baseline monday.jsonl --format markdown /srv/images

Exit status:
  0    all was read, and is as expected (or has no expectation)
  1    something is not as expected, or differs from the baseline
  2    something could not be read (see --keep-going-ok), nothing was found, or
       records or the report could not be written: see the message
  3    the report would replace a file that is not a report, or the output would
       go to a file of --resume: nothing was audited
  130  stopped by Ctrl-C: printed records are complete, continue with --resume

Only the output is written. A shard is 1 + (h xor h >> 32) mod N, where h is the
FNV-1a hash (64 bits) of the target's name in its record.";

/// Audit many images, hives and Windows folders: one record for each Windows
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct AuditArgs {
    /// Files, folder trees, patterns, block devices; the XML of a libvirt domain for its disks; - for a list
    /// of targets on standard input. In folders, hives, images and Windows folders are recognised by
    /// their contents, or by names of images and hives; links and special files are skipped
    #[arg(value_name = "TARGET", required_unless_present = "from_file")]
    pub(crate) targets: Vec<PathBuf>,
    /// Targets from a file, one per line; - is standard input
    #[arg(long, value_name = "LIST")]
    pub(crate) from_file: Option<PathBuf>,
    /// Names in the list end with a zero byte, as `find -print0` writes them
    #[arg(short = '0', long, requires = "from_file")]
    pub(crate) null: bool,

    /// The expected setting of every Windows: 0, 1, 2, set or unset
    #[arg(long, value_name = "VALUE", value_parser = suggested::<Expectations>().try_map(|text| expected(&text)),
        hide_possible_values = true, conflicts_with = "policies")]
    pub(crate) expect: Option<Wanted>,
    /// A policy: a TOML file, see below, or the name of an included policy (see `hivewright policy`); may be repeated
    #[arg(long = "policy", value_name = "FILE|NAME")]
    pub(crate) policies: Vec<PathBuf>,
    /// A registration file (.reg) whose lines are all expected; may be repeated
    #[arg(long = "expect-reg", value_name = "FILE")]
    pub(crate) reg_files: Vec<PathBuf>,
    /// Targets that cannot be read do not change the exit status
    #[arg(long)]
    pub(crate) keep_going_ok: bool,

    /// List every file without a record of its own on standard error, as they are found: parts of others, and skipped
    /// files with the reason. With --json, one JSON object per line
    #[arg(long)]
    pub(crate) list_skipped: bool,
    /// Print JSON Lines: one record per line, as they are read
    #[arg(long, conflicts_with = "format")]
    pub(crate) json: bool,
    /// The format of the records
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// The order of the records [default: path for junit, sarif and markdown, else none]
    #[arg(long, value_enum, value_name = "ORDER")]
    pub(crate) sort: Option<Sort>,
    /// Compare with an earlier run: records have `drift`, and each target that is gone has a record
    #[arg(long, value_name = "RESULTS.jsonl")]
    pub(crate) baseline: Option<PathBuf>,
    /// Print no progress and no counts on standard error; warnings and errors remain
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Write a report too: one self-contained HTML page
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
    /// Abandon a target after this time; 0: never
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub(crate) timeout: u32,
    /// Reuse records of an earlier run whose files have the same sizes and times; may be repeated. The output contains
    /// them too, judged again. The file may be empty, or end in a partial line. Targets that could not be opened are
    /// read again, and so are images of several files if --allow-path has changed
    #[arg(long, value_name = "RESULTS.jsonl")]
    pub(crate) resume: Vec<PathBuf>,
    /// Reuse only records with a hash that the hive still has
    #[arg(long, requires = "resume")]
    pub(crate) verify_hash: bool,
    /// Only the targets of part I of N, for several machines or processes
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub(crate) shard: Option<Shard>,
}

/// Format of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table on a terminal, worst first; else one line of text per record
    Table,
    /// One JSON record per line; see `hivewright schema`
    Jsonl,
    /// One row per record, for spreadsheets and data frames
    Csv,
    /// Test cases, one suite per policy, for pipelines; printed at the end
    Junit,
    /// SARIF 2.1.0: one result for each deviation
    Sarif,
    /// A summary for pull requests; printed at the end
    Markdown,
}

/// Order of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    /// By the path of the target, after all are read, without the times of reading: the same input has the same output
    Path,
    /// As they are read
    None,
}

impl AuditArgs {
    pub(super) fn format(&self) -> Format {
        if self.json { Format::Jsonl } else { self.format }
    }

    pub(super) fn order(&self) -> Order {
        let at_the_end = matches!(self.format(), Format::Junit | Format::Sarif | Format::Markdown);
        match self.sort {
            Some(Sort::Path) => Order::ByPath,
            None if at_the_end => Order::ByPath,
            Some(Sort::None) | None => Order::AsRead,
        }
    }
}

fn shard(text: &str) -> Result<Shard, String> {
    text.parse().map_err(|error: crate::Error| error.advice().unwrap_or_default().to_owned())
}

fn expected(text: &str) -> Result<Wanted, String> {
    let wanted: Wanted = text.parse().map_err(|error: crate::Error| error.what().to_owned())?;
    match wanted {
        Wanted::Number(0..=2) | Wanted::Set | Wanted::Unset => Ok(wanted),
        _ => Err("use 0, 1, 2, set or unset".to_owned()),
    }
}
