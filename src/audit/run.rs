//! Runs an audit: targets stream into the pool, records stream to the caller.

mod summary;

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

pub use summary::{End, Summary};

use super::account::{Account, Listener, Unrecorded};
use super::baseline::Baseline;
use super::find::{Finder, Found, Target, TargetKind};
use super::pool::{self, GivenUp};
use super::read::{self, Outcome, ReadOptions};
use super::record::{Record, Status};
use super::resume::Earlier;
use super::shard::Shard;
use super::sorted::{Order, Sorted};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::probe;

/// Names of the user, each with the error that prevented its reading.
pub type Names = Box<dyn Iterator<Item = Result<PathBuf>> + Send>;

/// Longest name in a list in bytes; the limit of the host is lower.
const LONGEST_NAME: u64 = 1 << 16;

/// Parameters of an audit.
pub struct Plan {
    /// Files, folders and patterns.
    pub names: Names,
    /// Options of reading, with the policies.
    pub read_options: ReadOptions,
    /// The shard of the targets to audit.
    pub shard: Option<Shard>,
    /// Records of earlier runs.
    pub earlier: Earlier,
    /// Records to compare with.
    pub baseline: Option<Baseline>,
    /// The order of the records.
    pub order: Order,
    /// Whether an unchanged target must also have hives with unchanged hashes.
    pub verify_hashes: bool,
    /// Receiver of each file without a record of its own, on any thread.
    pub listener: Listener,
    /// Options of the thread pool.
    pub pool: pool::Options,
}

/// Progress of an audit, for observers.
#[derive(Debug, Default)]
pub struct Progress {
    /// Targets found.
    pub found: AtomicU64,
    /// Targets that are completed.
    pub done: AtomicU64,
    /// Files whose first bytes were read.
    pub looked: AtomicU64,
    /// Whether the discovery has ended.
    pub all_found: AtomicBool,
}

/// Result of one target.
struct Done {
    outcome: Outcome,
    kept: bool,
}

/// Runs an audit and hands each record to `take`, as it arrives or at the end in the requested order; the records of
/// one target are consecutive. `take` returns `false` to end the audit. Other threads may read `progress`.
///
/// # Errors
/// Those of the temporary file in which records are sorted.
pub fn run(plan: Plan, progress: &Arc<Progress>, mut take: impl FnMut(&Record) -> bool) -> io::Result<Summary> {
    let begun = Instant::now();
    let Plan { names, read_options, shard, earlier, mut baseline, order, verify_hashes, listener, pool: options } =
        plan;
    let account = Arc::new(Account::new(listener));
    let mut summary = Summary { is_part: shard.is_some(), ..Summary::default() };
    let mut sorted = if order == Order::ByPath { Some(Sorted::new()?) } else { None };
    let mut failure = None;
    let (stop, policy) = (options.stop.clone(), read_options.policy.clone());
    let (watched, counted) = (progress.clone(), account.clone());
    let find = move |emit_target: &mut dyn FnMut(Target) -> bool| find(names, shard, &watched, &counted, emit_target);
    let work = move |target: &Target| {
        // The image, not the earlier run, decides whether its parts have records of their own.
        let mut is_kept = true;
        let outcome = read::with_parts(target, &read_options, |one| {
            let records = kept(one, &earlier, &read_options, verify_hashes);
            is_kept &= records.is_some();
            records.unwrap_or_else(|| read::read(one, &read_options))
        });
        Done { outcome, kept: is_kept && !target.is_repeated }
    };
    let give_up = |target: &Target, why: GivenUp| {
        let error = given_up(&why);
        let mut record = read::failed(target, &error);
        if let GivenUp::TimedOut(time) = why {
            record.seconds = Some((time.as_secs_f64() * 1e3).round() / 1e3);
        }
        let mut outcome = Outcome::default();
        outcome.add(target, vec![record]);
        for part in &target.parts {
            match part.is_claimed {
                true => outcome.add_alone(part, |alone| vec![read::failed(alone, &part_of(target))]),
                false => outcome.unrecorded.push(Unrecorded::part(part.path.clone(), &target.path)),
            }
        }
        Done { outcome, kept: false }
    };
    let mut emit = |record: &Record, summary: &mut Summary| {
        summary.count(record);
        let is_unexpected = record.status == Status::Read && record.compliant.is_none();
        summary.without_expectation += u64::from(is_unexpected && !policy.is_empty());
        let is_wanted = match &mut sorted {
            None => summary.is_cut_off || take(record),
            Some(sorted) => failure.is_some() || sorted.add(record).map_err(|error| failure = Some(error)).is_ok(),
        };
        if !is_wanted {
            summary.is_cut_off = true;
            stop.store(true, Ordering::SeqCst);
        }
    };
    let mut complete = |Done { outcome: Outcome { mut records, recorded, unrecorded }, kept }: Done| {
        progress.done.fetch_add(1, Ordering::Relaxed);
        summary.count_target(&records, kept);
        account.recorded(recorded);
        unrecorded.iter().for_each(|unrecorded| account.unrecorded(unrecorded));
        records.iter_mut().for_each(|record| policy.judge(record));
        let Some(baseline) = &mut baseline else {
            // The record of an earlier run may contain a drift.
            return records.iter_mut().for_each(|record| {
                record.drift = None;
                emit(record, &mut summary);
            });
        };
        // Parts of a target may have records too.
        for own in records.chunk_by(|a, b| a.target == b.target) {
            let mut own = own.to_vec();
            baseline.compare(&mut own);
            own.iter().for_each(|record| emit(record, &mut summary));
        }
    };
    if let Some(message) = pool::run(&options, find, work, give_up, &mut complete) {
        let (target, error) = search_failure(&message);
        let records = vec![read::failed(&target, &error)];
        complete(Done { outcome: Outcome { records, ..Outcome::default() }, kept: false });
    }
    if !stop.load(Ordering::SeqCst) {
        let missing = baseline.as_ref().map(|baseline| baseline.missing(shard)).unwrap_or_default();
        missing.iter().for_each(|record| emit(record, &mut summary));
    }
    if let Some(error) = failure {
        return Err(error);
    }
    if let Some(sorted) = sorted {
        sorted.each(|record| {
            summary.is_cut_off = !take(record);
            !summary.is_cut_off
        })?;
    }
    summary.unfitted = policy.unfitted();
    summary.files = account.counts();
    summary.looked = progress.looked.load(Ordering::Relaxed);
    summary.interrupted = stop.load(Ordering::SeqCst) && !summary.is_cut_off;
    summary.seconds = (order == Order::AsRead).then(|| begun.elapsed().as_secs_f64());
    Ok(summary)
}

fn find(
    names: Names,
    shard: Option<Shard>,
    progress: &Progress,
    account: &Account,
    emit_target: &mut dyn FnMut(Target) -> bool,
) {
    let is_in_shard = |name: &OsStr| shard.is_none_or(|shard| shard.has(name));
    let mut take = |found: Found| match found {
        Found::Target(target) if is_in_shard(&target.name) => {
            progress.found.fetch_add(1, Ordering::Relaxed);
            emit_target(*target)
        }
        Found::Unrecorded(unrecorded) if is_in_shard(unrecorded.path.as_os_str()) => {
            account.unrecorded(&unrecorded);
            true
        }
        _ => true,
    };
    let mut finder = Finder::new(&mut take, &progress.looked);
    for name in names {
        match name {
            Ok(path) => finder.named(&path),
            Err(error) => finder.unreadable(Path::new("the list of targets"), error),
        }
        if finder.is_done() {
            break;
        }
    }
    progress.all_found.store(true, Ordering::SeqCst);
}

/// Returns the earlier records of a target, if it is unchanged and they contain all requested facts.
fn kept(target: &Target, earlier: &Earlier, read_options: &ReadOptions, verify: bool) -> Option<Vec<Record>> {
    if earlier.is_empty() || matches!(target.kind, TargetKind::Unreadable(_)) {
        return None;
    }
    let records = earlier.of(&target.name)?;
    let has_hash = |record: &Record| record.hive_sha256.is_some() || record.at_next_boot.is_none();
    let stamp = read_options.policy.checks().stamp();
    let has_checks = |record: &Record| stamp.is_none() || record.status != Status::Read || record.checks_stamp == stamp;
    let is_complete = (!read_options.sha256 || records.iter().all(has_hash)) && records.iter().all(has_checks);
    // A disk without Windows is an error only if the user named it.
    let is_same_status = |record: &Record| match &record.error {
        None => record.status != Status::NoWindows || !target.named,
        Some(error) => error.code != Code::NoInstallation || target.named,
    };
    let is_same = |record: &Record| {
        is_same_status(record)
            && read::is_unchanged(record, &read_options.image)
            && read::has_same_dependents(target, record, read_options)
    };
    if !is_complete || !records.iter().all(is_same) {
        return None;
    }
    if verify {
        let then: Vec<&str> = records.iter().filter_map(|record| record.hive_sha256.as_deref()).collect();
        if then.is_empty() || then != read::hashes(target, read_options).ok()? {
            return None;
        }
    }
    Some(records)
}

/// Creates a target and an error for a panic of the discovery: an unknown number of targets is missing.
fn search_failure(message: &str) -> (Target, Error) {
    let what = format!("the search for targets panicked, so targets may be missing: {message}");
    let error =
        Error::new(Kind::Corrupt, Code::Panic, what).advise("please report this, with the target if you can share it");
    (Target::named(Path::new("the search for targets"), TargetKind::File), error)
}

/// Returns the error of a file whose image was abandoned.
fn part_of(target: &Target) -> Error {
    let what = format!("{} names this file as its part, but its reading was abandoned", target.path.display());
    Error::new(Kind::Io, Code::PartOf, what).advise("audit this file by its name")
}

fn given_up(why: &GivenUp) -> Error {
    match why {
        GivenUp::TimedOut(time) => {
            let what = format!("abandoned after {:.1} seconds", time.as_secs_f64());
            Error::new(Kind::Io, Code::Timeout, what).advise("raise --timeout, or check the medium")
        }
        GivenUp::Panicked(message) => {
            Error::new(Kind::Corrupt, Code::Panic, format!("the reading panicked: {message}"))
                .advise("please report this, with the image if you can share it")
        }
        GivenUp::NoWorkerLeft => Error::new(
            Kind::Io,
            Code::NobodyLeft,
            "no thread is available: too many targets exceeded their time, or the system cannot start threads",
        )
        .advise("check the medium, then continue with --resume"),
    }
}

/// As [`listed`], from a file or a pipe.
///
/// # Errors
/// The list cannot be opened.
pub fn listed_in(path: &Path, by_zeros: bool) -> Result<Names> {
    Ok(listed(Box::new(BufReader::new(probe::stream(path)?)), by_zeros))
}

/// Returns the names in a list, one per line or each terminated by a zero byte.
pub fn listed(list: Box<dyn BufRead + Send>, by_zeros: bool) -> Names {
    let (mut list, mut failed) = (list, false);
    let names = std::iter::from_fn(move || {
        // After an error, every further read would fail too.
        let name = if failed { None } else { next_name(&mut *list, by_zeros).transpose() };
        failed = matches!(name, Some(Err(_)));
        name
    });
    Box::new(names.filter(|name| !matches!(name, Ok(name) if name.is_empty())).map(|name| name.and_then(path)))
}

/// Returns the next name, which may be empty.
fn next_name(list: &mut dyn BufRead, by_zeros: bool) -> Result<Option<Vec<u8>>> {
    let end = if by_zeros { 0 } else { b'\n' };
    let mut name = Vec::new();
    let size = list.take(LONGEST_NAME).read_until(end, &mut name);
    if size.map_err(|e| Error::io(format!("cannot read the list of targets: {e}"), e))? == 0 {
        return Ok(None);
    }
    if name.pop_if(|last| *last == end).is_none() && name.len() as u64 == LONGEST_NAME {
        let what = format!("a name in the list of targets is longer than {LONGEST_NAME} bytes");
        return Err(Error::new(Kind::Unsupported, Code::List, what).advise("write one name per line"));
    }
    if !by_zeros {
        name.pop_if(|last| *last == b'\r');
        if name.contains(&0) {
            let what = "a line in the list of targets contains a zero byte";
            return Err(Error::new(Kind::Unsupported, Code::List, what).advise("use -0 if names end with zero bytes"));
        }
    }
    Ok(Some(name))
}

fn path(bytes: Vec<u8>) -> Result<PathBuf> {
    hivewright_storage::exact::from_encoded(bytes).map(PathBuf::from).ok_or_else(|| {
        Error::new(Kind::Unsupported, Code::List, "a name in the list of targets is not UTF-8")
            .advise("write the list in UTF-8")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(list: &[u8], by_zeros: bool) -> Vec<std::result::Result<String, Code>> {
        let text = |name: Result<PathBuf>| name.map(|path| path.display().to_string()).map_err(|e| e.code());
        listed(Box::new(std::io::Cursor::new(list.to_vec())), by_zeros).map(text).collect()
    }

    #[test]
    fn lists_have_names_and_bounds() {
        let names = |names: &[&str]| names.iter().map(|&name| Ok(name.to_owned())).collect::<Vec<_>>();
        assert_eq!(all(b"a\r\n\n b\nc", false), names(&["a", " b", "c"]));
        assert_eq!(all(b"a\n\0\0b", true), names(&["a\n", "b"]));
        assert_eq!(all(b"a\nb\0c\nd\n", false), [Ok("a".to_owned()), Err(Code::List)], "zeros, without -0");
        let long = "x".repeat(usize::try_from(LONGEST_NAME).unwrap() - 1);
        assert_eq!(all(format!("{long}\nb").as_bytes(), false), names(&[&long, "b"]));
        assert_eq!(all(format!("{long}xx\nb").as_bytes(), false), [Err(Code::List)]);
        // An endless list.
        let endless = listed(Box::new(BufReader::new(std::io::repeat(b'x'))), false);
        assert_eq!(endless.map(|name| name.unwrap_err().code()).collect::<Vec<_>>(), ["list"]);
    }

    #[test]
    fn a_panic_of_the_search_is_a_record() {
        let names =
            (0..3).map(|n| if n < 2 { Ok(PathBuf::from(format!("nowhere/{n}"))) } else { panic!("the search") });
        let plan = Plan {
            names: Box::new(names),
            read_options: ReadOptions::default(),
            shard: None,
            earlier: Earlier::default(),
            baseline: None,
            order: Order::AsRead,
            verify_hashes: false,
            listener: Box::new(|_| {}),
            pool: pool::Options { jobs: 2, timeout: None, stop: Arc::default() },
        };
        let mut records = Vec::new();
        let summary = run(plan, &Arc::default(), |record| {
            records.push((record.target.clone(), record.error.as_ref().unwrap().code.clone()));
            true
        });
        let summary = summary.unwrap();
        records.sort();
        let code = |code: &str| code.to_owned();
        assert_eq!(records[2], ("the search for targets".to_owned(), code("panic")));
        assert_eq!((records.len(), summary.errors, summary.end(false)), (3, 3, End::CouldNot));
    }
}
