//! A whole audit: what is found streams into the pool, what is read streams out.

mod summary;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

pub use summary::{End, Summary};

use super::account::{Account, Listener, Passed};
use super::find::{Finder, Found, Target, TargetKind};
use super::policy::Policy;
use super::pool::{self, GivenUp};
use super::read::{self, Outcome, Wishes};
use super::record::{Record, Status};
use super::resume::Earlier;
use super::shard::Shard;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::probe;

/// Names that a user gives, or why one cannot be had.
pub type Names = Box<dyn Iterator<Item = Result<PathBuf>> + Send>;

/// The most bytes of a name in a list; the host's own limit is below.
const LONGEST_NAME: u64 = 1 << 16;

/// What to do.
pub struct Plan {
    /// Files, folders and patterns.
    pub names: Names,
    /// How to read.
    pub wishes: Wishes,
    /// What is expected.
    pub policy: Policy,
    /// The part of the targets that is meant.
    pub shard: Option<Shard>,
    /// What was done before.
    pub earlier: Earlier,
    /// A target counts as unchanged only if its hives have the same hashes as well.
    pub verify_hashes: bool,
    /// The one that takes each file without a record of its own, on any thread.
    pub listener: Listener,
    /// How to work.
    pub pool: pool::Options,
}

/// How far an audit is, for whoever looks on from the side.
#[derive(Debug, Default)]
pub struct Progress {
    /// Targets found.
    pub found: AtomicU64,
    /// Targets that are done.
    pub done: AtomicU64,
    /// Files whose first bytes were read.
    pub looked: AtomicU64,
    /// Whether all are found.
    pub all_found: AtomicBool,
}

/// What one target gave.
struct Done {
    outcome: Outcome,
    kept: bool,
}

/// Runs an audit and hands each record to `take` as it comes, those of one target one after the other. `take` says
/// `false` when no more are wanted. `progress` may be read meanwhile.
pub fn run(plan: Plan, progress: &Arc<Progress>, mut take: impl FnMut(&Record) -> bool) -> Summary {
    let begun = Instant::now();
    let Plan { names, wishes, policy, shard, earlier, verify_hashes, listener, pool: options } = plan;
    let account = Arc::new(Account::new(listener));
    let mut summary = Summary { is_part: shard.is_some(), ..Summary::default() };
    let stop = options.stop.clone();
    let (watched, counted) = (progress.clone(), account.clone());
    let find = move |give: &mut dyn FnMut(Target) -> bool| find(names, shard, &watched, &counted, give);
    let work = move |target: &Target| {
        // Parts are asked for on their own: whether they have records says the image now, and not the earlier run.
        let mut is_kept = true;
        let outcome = read::with_parts(target, &wishes, |one| {
            let records = kept(one, &earlier, &wishes, verify_hashes);
            is_kept &= records.is_some();
            records.unwrap_or_else(|| read::read(one, &wishes))
        });
        Done { outcome, kept: is_kept && !target.is_repeated }
    };
    let give_up = |target: &Target, why: GivenUp| {
        let error = given_up(&why);
        let mut record = read::failed(target, &error);
        if let GivenUp::Late(time) = why {
            record.seconds = (time.as_secs_f64() * 1e3).round() / 1e3;
        }
        let mut outcome = Outcome::default();
        outcome.add(target, vec![record]);
        for part in &target.parts {
            match part.is_claimed {
                true => outcome.add_alone(part, |alone| vec![read::failed(alone, &part_of(target))]),
                false => outcome.passed.push(Passed::part(part.path.clone(), &target.path)),
            }
        }
        Done { outcome, kept: false }
    };
    let mut taken = |Done { outcome: Outcome { records, recorded, passed }, kept }: Done| {
        progress.done.fetch_add(1, Ordering::Relaxed);
        summary.count_target(&records, kept);
        account.recorded(recorded);
        passed.iter().for_each(|passed| account.passed(passed));
        for mut record in records {
            policy.judge(&mut record);
            summary.count(&record);
            let is_unexpected = record.status == Status::Read && record.compliant.is_none();
            summary.without_expectation += u64::from(is_unexpected && !policy.is_empty());
            if !summary.is_cut_off && !take(&record) {
                summary.is_cut_off = true;
                stop.store(true, Ordering::SeqCst);
            }
        }
    };
    if let Some(said) = pool::run(&options, find, work, give_up, &mut taken) {
        let (target, error) = search(&said);
        let records = vec![read::failed(&target, &error)];
        taken(Done { outcome: Outcome { records, ..Outcome::default() }, kept: false });
    }
    summary.unfitted = policy.unfitted();
    summary.files = account.counts();
    summary.looked = progress.looked.load(Ordering::Relaxed);
    summary.interrupted = stop.load(Ordering::SeqCst) && !summary.is_cut_off;
    summary.seconds = begun.elapsed().as_secs_f64();
    summary
}

fn find(
    names: Names,
    shard: Option<Shard>,
    progress: &Progress,
    account: &Account,
    give: &mut dyn FnMut(Target) -> bool,
) {
    let is_meant = |name: &OsStr| shard.is_none_or(|shard| shard.has(name));
    let mut take = |found: Found| match found {
        Found::Target(target) if is_meant(&target.name) => {
            progress.found.fetch_add(1, Ordering::Relaxed);
            give(*target)
        }
        Found::Passed(passed) if is_meant(passed.path.as_os_str()) => {
            account.passed(&passed);
            true
        }
        _ => true,
    };
    let mut finder = Finder::new(&mut take, &progress.looked);
    for name in names {
        match name {
            Ok(path) => finder.named(&path),
            Err(error) => finder.lost(Path::new("the list of targets"), error),
        }
        if finder.is_done() {
            break;
        }
    }
    progress.all_found.store(true, Ordering::SeqCst);
}

/// The earlier records of a target, if it is unchanged since and they say all that is wanted now.
fn kept(target: &Target, earlier: &Earlier, wishes: &Wishes, verify: bool) -> Option<Vec<Record>> {
    if earlier.is_empty() || matches!(target.kind, TargetKind::Lost(_)) {
        return None;
    }
    let records = earlier.of(&target.name)?;
    let has_hash = |record: &Record| record.hive_sha256.is_some() || record.at_next_boot.is_none();
    let says_all = !wishes.sha256 || records.iter().all(has_hash);
    // A disk without Windows is an error only where it was named.
    let is_told_so = |record: &Record| match &record.error {
        None => record.status != Status::NoWindows || !target.named,
        Some(error) => error.code != Code::NoInstallation || target.named,
    };
    let is_same = |record: &Record| {
        is_told_so(record) && read::is_unchanged(record, &wishes.image) && read::has_same_dependents(target, record)
    };
    if !says_all || !records.iter().all(is_same) {
        return None;
    }
    if verify {
        let then: Vec<&str> = records.iter().filter_map(|record| record.hive_sha256.as_deref()).collect();
        if then.is_empty() || then != read::hashes(target, wishes).ok()? {
            return None;
        }
    }
    Some(records)
}

/// The search itself, which has panicked: an audit of which nobody knows how much is missing must not look whole.
fn search(said: &str) -> (Target, Error) {
    let what = format!("the search failed in a way that it must not, and targets may be missing: {said}");
    let error =
        Error::new(Kind::Corrupt, Code::Panic, what).advise("please report this, with the target if it can be shared");
    (Target::named(Path::new("the search for targets"), TargetKind::File), error)
}

/// Why a file has no record of its own.
fn part_of(target: &Target) -> Error {
    let what = format!("{} says that this is a part of it, and was given up", target.path.display());
    Error::new(Kind::Io, Code::PartOf, what).advise("audit this file by its name")
}

fn given_up(why: &GivenUp) -> Error {
    match why {
        GivenUp::Late(time) => {
            let what = format!("it was given up after {:.1} seconds", time.as_secs_f64());
            Error::new(Kind::Io, Code::Timeout, what).advise("give it more time with --timeout, or look at its medium")
        }
        GivenUp::Panicked(said) => {
            Error::new(Kind::Corrupt, Code::Panic, format!("reading it failed in a way that it must not: {said}"))
                .advise("please report this, with the image if it can be shared")
        }
        GivenUp::NobodyLeft => Error::new(
            Kind::Io,
            Code::NobodyLeft,
            "nobody is left to try this one: too many others never came back, or the system gives no threads",
        )
        .advise("look at the medium, then go on with --resume"),
    }
}

/// As [`listed`], of a file, which may be a pipe.
///
/// # Errors
/// It cannot be opened.
pub fn listed_in(path: &Path, by_zeros: bool) -> Result<Names> {
    Ok(listed(Box::new(BufReader::new(probe::stream(path)?)), by_zeros))
}

/// The names in a list, one in a line, or with a zero byte behind each.
pub fn listed(list: Box<dyn BufRead + Send>, by_zeros: bool) -> Names {
    let (mut list, mut failed) = (list, false);
    let names = std::iter::from_fn(move || {
        // A list that fails would fail for ever.
        let name = if failed { None } else { next_name(&mut *list, by_zeros).transpose() };
        failed = matches!(name, Some(Err(_)));
        name
    });
    Box::new(names.filter(|name| !matches!(name, Ok(name) if name.is_empty())).map(|name| name.map(path)))
}

/// The next name; an empty one is none.
fn next_name(list: &mut dyn BufRead, by_zeros: bool) -> Result<Option<Vec<u8>>> {
    let end = if by_zeros { 0 } else { b'\n' };
    let mut name = Vec::new();
    let size = list.take(LONGEST_NAME).read_until(end, &mut name);
    if size.map_err(|e| Error::io(format!("cannot read the list of targets: {e}"), e))? == 0 {
        return Ok(None);
    }
    if name.pop_if(|last| *last == end).is_none() && name.len() as u64 == LONGEST_NAME {
        let what = format!("a name in the list of targets is longer than {LONGEST_NAME} bytes");
        return Err(Error::new(Kind::Unsupported, Code::List, what).advise("give a list of names, one in a line"));
    }
    if !by_zeros {
        name.pop_if(|last| *last == b'\r');
        if name.contains(&0) {
            let what = "a line in the list of targets holds a zero byte, which no name does";
            return Err(Error::new(Kind::Unsupported, Code::List, what).advise("give -0 if names end in zero bytes"));
        }
    }
    Ok(Some(name))
}

#[cfg(unix)]
fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes))
}

#[cfg(not(unix))]
fn path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(list: &[u8], by_zeros: bool) -> Vec<std::result::Result<String, Code>> {
        let told = |name: Result<PathBuf>| name.map(|path| path.display().to_string()).map_err(|e| e.code());
        listed(Box::new(std::io::Cursor::new(list.to_vec())), by_zeros).map(told).collect()
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
        // One that never ends.
        let endless = listed(Box::new(BufReader::new(std::io::repeat(b'x'))), false);
        assert_eq!(endless.map(|name| name.unwrap_err().code()).collect::<Vec<_>>(), ["list"]);
    }

    #[test]
    fn a_search_that_breaks_off_is_a_record() {
        let names = (0..3).map(|n| if n < 2 { Ok(PathBuf::from(format!("nowhere/{n}"))) } else { panic!("lost") });
        let plan = Plan {
            names: Box::new(names),
            wishes: Wishes::default(),
            policy: Policy::default(),
            shard: None,
            earlier: Earlier::default(),
            verify_hashes: false,
            listener: Box::new(|_| {}),
            pool: pool::Options { jobs: 2, timeout: None, stop: Arc::default() },
        };
        let mut told = Vec::new();
        let summary = run(plan, &Arc::default(), |record| {
            told.push((record.target.clone(), record.error.as_ref().unwrap().code.clone()));
            true
        });
        told.sort();
        let code = |code: &str| code.to_owned();
        assert_eq!(told[2], ("the search for targets".to_owned(), code("panic")));
        assert_eq!((told.len(), summary.errors, summary.end(false)), (3, 3, End::CouldNot));
    }
}
