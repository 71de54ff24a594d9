//! `hivewright audit`.

mod args;
mod merged;
mod progress;
mod render;
mod report;
mod summary;

use hivewright_error::Code;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::audit::baseline::Baseline;
use crate::audit::read::ReadOptions;
use crate::audit::resume::Earlier;
use crate::audit::run::{self, End, Names, Plan, Progress, Summary};
use crate::audit::{Record, pool};
use crate::policy::Policy;
use anyhow::Context;
use hivewright_storage::{probe, temp_files};

pub(crate) use self::args::AuditArgs;
pub(crate) use self::merged::{ReportArgs, run as merge};
use self::progress::Bar;
use self::report::Report;
use super::exit::Outcome;
use super::stop;

pub(crate) fn run(args: &AuditArgs) -> anyhow::Result<Outcome> {
    let stop = Arc::new(AtomicBool::new(false));
    let progress = Arc::new(Progress::default());
    let mut plan = plan(args, &stop)?;
    stop_at_ctrl_c(stop)?;
    let policy = plan.read_options.policy.clone();
    let mut report = args.report.as_deref().map(|path| Report::begin(path, &policy)).transpose()?;
    let mut renderer = render::of(args.format(), &policy);
    let mut out = std::io::stdout().lock();
    renderer.begin(&mut out).map_err(|error| report::unprinted(error, "nothing was audited"))?;
    let bar = if args.quiet { Bar::none() } else { Bar::of(&progress) };
    if args.list_skipped {
        plan.listener = summary::list(&bar, args.json || args.format == args::Format::Jsonl);
    }
    let mut failed = None;
    let ran = run::run(plan, &progress, |record: &Record| {
        let written = bar.aside(|| {
            if let Some(report) = &mut report {
                report.record(record);
            }
            renderer.record(record, &mut out).and_then(|()| out.flush())
        });
        written.map_err(|error| failed = Some(error)).is_ok()
    });
    bar.end();
    // Abandoned targets have not removed theirs.
    temp_files::remove_folders();
    if let Some(error) = failed {
        return Err(report::unprinted(error, "the audit was stopped, and there is no report"));
    }
    let summary =
        ran.map_err(|error| report::unprinted(error, "records are stored in a temporary file until all are read"))?;
    // The report is completed before the last output, which may fail.
    let is_reported = report.is_none_or(|report| report.end(&summary));
    let ended = renderer.end(&summary, &mut out).and_then(|()| out.flush());
    ended.map_err(|error| report::unprinted(error, "the audit is complete, and so is the report of --report"))?;
    warn_of_unfitted(&summary);
    if !args.quiet {
        summary::print(&summary);
    }
    Ok(match summary.end(args.keep_going_ok) {
        End::Interrupted => Outcome::Interrupted,
        _ if !is_reported => Outcome::CouldNot,
        End::Fine => Outcome::Yes,
        End::NotCompliant => Outcome::No,
        End::CouldNot => Outcome::CouldNot,
    })
}

fn plan(args: &AuditArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Plan> {
    let mut earlier = Earlier::default();
    for path in &args.resume {
        earlier.add(path)?;
    }
    earlier.refuse_as_output()?;
    earlier.warnings().iter().for_each(|what| super::warn(Code::EarlierRecords, what));
    let baseline = args.baseline.as_deref().map(Baseline::load).transpose()?;
    if let Some(baseline) = &baseline {
        baseline.earlier().refuse_as_output()?;
        baseline.earlier().warnings().iter().for_each(|what| super::warn(Code::EarlierRecords, what));
    }
    for folder in &args.image.allow_paths {
        probe::metadata(folder).context("--allow-path")?;
    }
    let mut policy = args.expect.map_or_else(Policy::default, Policy::of_all);
    args.policies.iter().try_for_each(|path| policy.add_file(path))?;
    args.reg_files.iter().try_for_each(|path| policy.add_reg_file(path))?;
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let timeout = (args.timeout > 0).then(|| Duration::from_secs(args.timeout.into()));
    Ok(Plan {
        names: names(args)?,
        read_options: ReadOptions {
            sha256: args.sha256 || args.verify_hash,
            image: args.image.options(),
            policy: Arc::new(policy),
            ..ReadOptions::default()
        },
        shard: args.shard,
        earlier,
        baseline,
        order: args.order(),
        verify_hashes: args.verify_hash,
        listener: Box::new(|_| {}),
        pool: pool::Options { jobs, timeout, stop: stop.clone() },
    })
}

/// Returns the names on the command line, then those of the lists. `-` is the list on standard input.
fn names(args: &AuditArgs) -> anyhow::Result<Names> {
    let is_input = |path: &Path| path == Path::new("-");
    let (lists, named): (Vec<PathBuf>, Vec<PathBuf>) = args.targets.iter().cloned().partition(|path| is_input(path));
    let mut names: Names = Box::new(named.into_iter().map(Ok));
    for path in lists.iter().take(1).chain(&args.from_file) {
        let listed = match is_input(path) {
            true => run::listed(Box::new(BufReader::new(std::io::stdin())), args.null),
            false => run::listed_in(path, args.null)?,
        };
        names = Box::new(names.chain(listed));
    }
    Ok(names)
}

/// Handles signals: after the first, no target is started; the second ends the program.
fn stop_at_ctrl_c(stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let handler = move || {
        if stop.swap(true, Ordering::SeqCst) {
            temp_files::end(i32::from(super::exit::INTERRUPTED));
        }
    };
    stop::at_signals(handler).context("listening for Ctrl-C")
}

/// Warns of entries of a policy that matched no Windows, which is usually a mistake in the entry. In one shard of an
/// audit, it is usual.
fn warn_of_unfitted(summary: &Summary) {
    if summary.is_part || summary.interrupted || summary.is_cut_off || summary.read == 0 {
        return;
    }
    for entry in &summary.unfitted {
        super::warn(Code::NoneFits, &format!("{entry} of the policy matches no Windows"));
    }
}
