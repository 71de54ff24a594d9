//! `hivewright report`: merges the results of audits, such as those of all shards.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use hivewright_error::{Code, Error, Kind};
use hivewright_storage::probe;

use super::args::Format;
use super::report::{self, Report};
use super::{render, summary};
use crate::audit::Record;
use crate::audit::run::{End, Summary};
use crate::audit::sorted::Sorted;
use crate::cli::exit::Outcome;
use crate::cli::warn;
use crate::policy::Policy;

/// Longest line in bytes that may be a record.
const MOST_LINE: u64 = 1 << 24;

/// Merge the results of audits, and report on all of them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Of a target in several files, the records of the last one count. Records are
sorted by the paths of their targets.

Examples:
  hivewright report shard-*.jsonl --html audit.html
  hivewright report shard-*.jsonl --format jsonl > all.jsonl
  hivewright report results.jsonl --policy servers.toml --format sarif

Exit status as of `hivewright audit`; 2 also for lines that are not records of
this version.")]
pub(crate) struct ReportArgs {
    /// Results of `hivewright audit --json`
    #[arg(value_name = "RESULTS.jsonl", required = true)]
    pub(crate) files: Vec<PathBuf>,
    /// Write a self-contained HTML page
    #[arg(long, value_name = "FILE.html")]
    pub(crate) html: Option<PathBuf>,
    /// The format of the records [default: table without --html, else nothing is printed]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// The policy of the audit, for the titles and sources of its checks; may be repeated
    #[arg(long = "policy", value_name = "FILE|NAME")]
    pub(crate) policies: Vec<PathBuf>,
    /// Targets that could not be read do not change the exit status
    #[arg(long)]
    pub(crate) keep_going_ok: bool,
    /// Print no counts on standard error
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Outcome> {
    let mut policy = Policy::default();
    args.policies.iter().try_for_each(|path| policy.add_file(path))?;
    let failure = |error| report::unprinted(error, "nothing was reported");
    let mut sorted = Sorted::merging().map_err(failure)?;
    let mut invalid = 0;
    for file in &args.files {
        sorted.begin_file();
        invalid += read(file, &mut sorted)?;
    }
    let mut page = args.html.as_deref().map(|path| Report::begin(path, &policy)).transpose()?;
    let format = args.format.or(if args.html.is_some() { None } else { Some(Format::Table) });
    let mut renderer = format.map(|format| render::of(format, &policy));
    let mut out = std::io::stdout().lock();
    if let Some(renderer) = &mut renderer {
        renderer.begin(&mut out).map_err(failure)?;
    }
    let (mut summary, mut failed, mut last) = (Summary::default(), None, None);
    let replaced = sorted.each(|record: &Record| {
        if last.as_ref() != Some(&record.target) {
            summary.targets += 1;
            last = Some(record.target.clone());
        }
        summary.count(record);
        if let Some(page) = &mut page {
            page.record(record);
        }
        let written = renderer.as_mut().map_or(Ok(()), |renderer| renderer.record(record, &mut out));
        written.map_err(|error| failed = Some(error)).is_ok()
    });
    let replaced = replaced.map_err(failure)?;
    if let Some(error) = failed {
        return Err(report::unprinted(error, "there is no report"));
    }
    if replaced > 0 {
        warn(Code::EarlierRecords, &format!("skipped {replaced} records of targets that are in a later file too"));
    }
    let is_reported = page.is_none_or(|page| page.end(&summary));
    if let Some(renderer) = &mut renderer {
        let ended = renderer.end(&summary, &mut out).and_then(|()| out.flush());
        ended.map_err(|error| report::unprinted(error, "the report of --html is complete"))?;
    }
    if !args.quiet {
        summary::print(&summary);
    }
    Ok(match summary.end(args.keep_going_ok) {
        _ if !is_reported || invalid > 0 => Outcome::CouldNot,
        End::Interrupted => Outcome::Interrupted,
        End::Fine => Outcome::Yes,
        End::NotCompliant => Outcome::No,
        End::CouldNot => Outcome::CouldNot,
    })
}

/// Adds the records of a file. Returns the number of other lines.
fn read(path: &Path, sorted: &mut Sorted) -> anyhow::Result<u64> {
    let mut lines = BufReader::with_capacity(1 << 18, probe::stream(path)?);
    let (mut line, mut invalid, mut count) = (Vec::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        let failed = |error| Error::io(format!("cannot read {}: {error}", path.display()), error).of_file(path);
        let size = lines.by_ref().take(MOST_LINE).read_until(b'\n', &mut line).map_err(failed)?;
        if size == 0 {
            break;
        }
        match Record::read(&line) {
            Some(record) => {
                sorted.add(&record).map_err(|error| report::unprinted(error, "nothing was reported"))?;
                count += 1;
            }
            None if line.trim_ascii().is_empty() => {}
            None if count == 0 => {
                let what = format!("{} begins with a line that is not a record of this version", path.display());
                return Err(Error::new(Kind::Unsupported, Code::ResumeNoRecords, what)
                    .advise("name a file that `hivewright audit --json` wrote")
                    .into());
            }
            None => invalid += 1,
        }
    }
    if invalid > 0 {
        let what = format!("{}: skipped {invalid} lines: torn, or not records of this version", path.display());
        warn(Code::EarlierRecords, &what);
    }
    Ok(invalid)
}
