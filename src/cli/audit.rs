//! `hivewright audit`.

mod args;
mod progress;
mod render;
mod report;
mod summary;

use std::io::{BufReader, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::audit::policy::Policy;
use crate::audit::read::Wishes;
use crate::audit::resume::Earlier;
use crate::audit::run::{self, End, Names, Plan, Progress, Summary};
use crate::audit::{Record, pool};
use anyhow::Context;
use hivewright_storage::{probe, temp_files};

pub(crate) use self::args::AuditArgs;
use self::progress::Bar;
use self::report::Report;
use super::exit::Outcome;
use super::stop;

pub(crate) fn run(args: &AuditArgs) -> anyhow::Result<Outcome> {
    let stop = Arc::new(AtomicBool::new(false));
    let progress = Arc::new(Progress::default());
    let mut plan = plan(args, &stop)?;
    stop_at_ctrl_c(stop)?;
    let mut report = args.report.as_deref().map(Report::begin).transpose()?;
    let mut renderer = render::of(args.format());
    let mut out = std::io::stdout().lock();
    renderer.begin(&mut out).map_err(|error| report::unprinted(error, "nothing was audited"))?;
    let bar = Bar::of(&progress);
    if args.list_skipped {
        plan.listener = summary::list(&bar, args.json || args.format == args::Format::Jsonl);
    }
    let mut failed = None;
    let summary = run::run(plan, &progress, |record: &Record| {
        let written = bar.aside(|| {
            if let Some(report) = &mut report {
                report.record(record);
            }
            renderer.record(record, &mut out).and_then(|()| out.flush())
        });
        written.map_err(|error| failed = Some(error)).is_ok()
    });
    bar.end();
    // Targets that were given up still hold theirs.
    temp_files::remove_folders();
    if let Some(error) = failed {
        return Err(report::unprinted(error, "the audit was stopped there, and there is no report"));
    }
    // Before what is printed at the end: that may fail too.
    let is_reported = report.is_none_or(|report| report.end(&summary));
    let ended = renderer.end(&summary, &mut out).and_then(|()| out.flush());
    ended.map_err(|error| report::unprinted(error, "all was audited, and a report is whole if it was asked for"))?;
    warn_of_unfitted(&summary);
    summary::tell(&summary);
    Ok(match summary.end(args.keep_going_ok) {
        End::Interrupted => Outcome::Interrupted,
        _ if !is_reported => Outcome::CouldNot,
        End::Fine => Outcome::Yes,
        End::NotCompliant => Outcome::No,
        End::CouldNot => Outcome::CouldNot,
    })
}

/// `hivewright schema`.
pub(crate) fn schema() -> anyhow::Result<Outcome> {
    super::print_json(&crate::audit::report::schema::schema())?;
    Ok(Outcome::Yes)
}

fn plan(args: &AuditArgs, stop: &Arc<AtomicBool>) -> anyhow::Result<Plan> {
    let mut earlier = Earlier::default();
    for path in &args.resume {
        earlier.add(path)?;
    }
    earlier.refuse_as_output()?;
    earlier.remarks().iter().for_each(|what| super::warn(what));
    for folder in &args.image.allow_paths {
        probe::see(folder).context("--allow-path")?;
    }
    let policy = match (args.expect, &args.policy) {
        (Some(wanted), _) => Policy::of_all(wanted),
        (None, Some(path)) => Policy::load(path)?,
        (None, None) => Policy::default(),
    };
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let timeout = (args.timeout > 0).then(|| Duration::from_secs(args.timeout.into()));
    Ok(Plan {
        names: names(args)?,
        wishes: Wishes { sha256: args.sha256 || args.verify_hash, image: args.image.options() },
        policy,
        shard: args.shard,
        earlier,
        verify_hashes: args.verify_hash,
        listener: Box::new(|_| {}),
        pool: pool::Options { jobs, timeout, stop: stop.clone() },
    })
}

/// The names on the command line, then those of the list.
fn names(args: &AuditArgs) -> anyhow::Result<Names> {
    let named = args.targets.clone().into_iter().map(Ok);
    let listed: Names = match args.from_file.as_deref() {
        None => return Ok(Box::new(named)),
        Some(path) if path == Path::new("-") => run::listed(Box::new(BufReader::new(std::io::stdin())), args.null),
        Some(path) => run::listed_in(path, args.null)?,
    };
    Ok(Box::new(named.chain(listed)))
}

/// The first time, nothing new is begun; the second time, nothing is waited for.
fn stop_at_ctrl_c(stop: Arc<AtomicBool>) -> anyhow::Result<()> {
    let handler = move || {
        if stop.swap(true, Ordering::SeqCst) {
            temp_files::end(i32::from(super::exit::INTERRUPTED));
        }
    };
    stop::at_signals(handler).context("listening for Ctrl-C")
}

/// What of a policy has fitted nothing, which is a slip as a rule. A part of an audit may well have nothing for it.
fn warn_of_unfitted(summary: &Summary) {
    if summary.is_part || summary.interrupted || summary.is_cut_off || summary.read == 0 {
        return;
    }
    for entry in &summary.unfitted {
        super::warn(&format!("no Windows that was read fits {entry} of the policy: nothing was held against it"));
    }
}
