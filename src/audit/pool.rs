//! A bounded pool of threads that loses no job: not by a panic, not by one that never comes back.
//!
//! Jobs wait in a short queue, results in another: whoever is slow holds up the others, and memory stays. A thread that
//! exceeds its time is given up and replaced. It cannot be ended from outside; should it come back, its result is ignored.

mod queue;
mod table;

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use queue::Queue;
use table::Table;

/// How often is looked for threads that exceed their time.
const TICK: Duration = Duration::from_millis(50);
/// Threads that may be given up before no more are started.
const MOST_LOST: usize = 64;
/// How long a stop waits for what is under way.
const GRACE: Duration = Duration::from_secs(5);

/// Why a job has no result of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It took longer than this.
    Late(Duration),
    /// It panicked, saying this.
    Panicked(String),
    /// So many others never came back that there is nobody left to do it.
    NobodyLeft,
}

/// How a pool works.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads.
    pub jobs: usize,
    /// The most time for one job; none for any.
    pub timeout: Option<Duration>,
    /// Set from outside: no further job is begun.
    pub stop: Arc<AtomicBool>,
}

/// What a job does.
type Work<J, R> = dyn Fn(&J) -> R + Send + Sync;
/// What makes the result of a job that has none of its own.
type GiveUp<J, R> = dyn Fn(&J, GivenUp) -> R + Send + Sync;

enum Message<R> {
    Result(R),
    /// A worker has ended, because there are no more jobs.
    Ended,
}

struct Shared<J, R> {
    queue: Queue<J>,
    table: Table<J>,
    work: Box<Work<J, R>>,
    give_up: Box<GiveUp<J, R>>,
    stop: Arc<AtomicBool>,
}

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread will be caught and told as a result.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Runs `work` on every job that `find` gives away, and hands each result to `take` as it comes. `find` gives jobs to a
/// function that says `false` when no more are wanted. `give_up` makes the result of a job that has none of its own.
///
/// `take` runs on the thread of the caller. What comes back is what `find` said when it panicked, if it did: then there are
/// jobs that nobody knows of.
pub fn run<J, R>(
    options: &Options,
    find: impl FnOnce(&mut dyn FnMut(J) -> bool) + Send + 'static,
    work: impl Fn(&J) -> R + Send + Sync + 'static,
    give_up: impl Fn(&J, GivenUp) -> R + Send + Sync + 'static,
    mut take: impl FnMut(R),
) -> Option<String>
where
    J: Send + Sync + 'static,
    R: Send + 'static,
{
    let (results, out) = sync_channel::<Message<R>>(options.jobs * 4);
    let shared = Arc::new(Shared {
        queue: Queue::new(),
        table: Table::default(),
        work: Box::new(work),
        give_up: Box::new(give_up),
        stop: options.stop.clone(),
    });
    let found = shared.clone();
    let finder = thread::Builder::new().spawn(move || {
        GUARDED.set(true);
        let mut give = |job| {
            let is_wanted = !found.stop.load(Ordering::SeqCst);
            if is_wanted {
                found.queue.push(job);
            }
            is_wanted
        };
        let panicked = catch_unwind(AssertUnwindSafe(|| find(&mut give))).err();
        found.queue.close();
        panicked.map(|panic| said(&*panic))
    });
    let finder = match finder {
        Ok(finder) => finder,
        Err(error) => return Some(format!("the system gives no thread: {error}")),
    };
    let start = || {
        let (shared, results) = (shared.clone(), results.clone());
        thread::Builder::new().spawn(move || worker(&shared, &results)).is_ok()
    };
    // Fewer than wanted, where the system gives no more.
    let (mut alive, mut lost) = ((0..options.jobs).take_while(|_| start()).count(), 0);
    let mut stopped: Option<Instant> = None;
    while alive > 0 {
        match out.recv_timeout(TICK) {
            Ok(Message::Result(result)) => take(result),
            Ok(Message::Ended) => alive -= 1,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        for (job, time) in options.timeout.map(|most| shared.table.late(most)).unwrap_or_default() {
            take((shared.give_up)(&job, GivenUp::Late(time)));
            lost += 1;
            if lost > MOST_LOST || !start() {
                alive -= 1;
            }
        }
        if options.stop.load(Ordering::SeqCst) && stopped.get_or_insert_with(Instant::now).elapsed() > GRACE {
            // What is under way now has no record: it is for the next run.
            shared.table.forget();
            return None;
        }
    }
    // Nothing is in the queue unless all were given up, or never began.
    while let Some(job) = shared.queue.pop() {
        take((shared.give_up)(&job, GivenUp::NobodyLeft));
    }
    // It has closed the queue, so that it is at its end.
    finder.join().ok().flatten()
}

fn worker<J, R>(shared: &Shared<J, R>, results: &SyncSender<Message<R>>) {
    GUARDED.set(true);
    loop {
        let Some(job) = shared.queue.pop() else { break };
        if shared.stop.load(Ordering::SeqCst) {
            // The queue is emptied, so that whoever fills it comes to see the stop.
            continue;
        }
        let (ticket, job) = shared.table.begin(job);
        let result = catch_unwind(AssertUnwindSafe(|| (shared.work)(&job)))
            .unwrap_or_else(|panic| (shared.give_up)(&job, GivenUp::Panicked(said(&*panic))));
        if !shared.table.end(ticket) {
            // Given up meanwhile: another thread has this one's place.
            return;
        }
        if results.send(Message::Result(result)).is_err() {
            return;
        }
    }
    let _ = results.send(Message::Ended);
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(jobs: usize, millis: Option<u64>) -> Options {
        Options { jobs, timeout: millis.map(Duration::from_millis), stop: Arc::default() }
    }

    fn numbers(n: u64) -> impl FnOnce(&mut dyn FnMut(u64) -> bool) + Send + 'static {
        move |give| {
            let _ = (0..n).all(give);
        }
    }

    #[test]
    fn every_job_has_one_result_whatever_it_does() {
        for jobs in [1, 2, 7] {
            let mut results = Vec::new();
            let work = |&n: &u64| match n % 10 {
                3 => panic!("job {n}"),
                7 => loop {
                    thread::sleep(Duration::from_secs(3600));
                },
                _ => n.to_string(),
            };
            let give_up = |n: &u64, why: GivenUp| match why {
                GivenUp::Late(_) => format!("late {n}"),
                GivenUp::Panicked(said) => said,
                GivenUp::NobodyLeft => format!("lost {n}"),
            };
            std::panic::set_hook(Box::new(|_| {}));
            run(&options(jobs, Some(40)), numbers(60), work, give_up, |result| results.push(result));
            let _ = std::panic::take_hook();
            results.sort();
            let mut expected: Vec<String> = (0..60)
                .map(|n| match n % 10 {
                    3 => format!("job {n}"),
                    7 => format!("late {n}"),
                    _ => n.to_string(),
                })
                .collect();
            expected.sort();
            assert_eq!(results, expected, "{jobs}");
        }
    }

    #[test]
    fn a_search_that_panics_is_told() {
        let mut results = Vec::new();
        let find = |give: &mut dyn FnMut(u64) -> bool| {
            (0..5).for_each(|n| assert!(give(n)));
            panic!("lost the way");
        };
        let said = run(&options(2, None), find, |&n| n, |&n, _| n, |result| results.push(result));
        results.sort_unstable();
        assert_eq!((results, said.as_deref()), (vec![0, 1, 2, 3, 4], Some("lost the way")));
        assert_eq!(run(&options(2, None), numbers(5), |&n| n, |&n, _| n, |_| {}), None);
    }

    #[test]
    fn late_results_are_ignored() {
        let mut results = Vec::new();
        let work = |&n: &u64| {
            thread::sleep(Duration::from_millis(if n == 0 { 200 } else { 30 }));
            n.to_string()
        };
        run(&options(1, Some(100)), numbers(8), work, |n, _| format!("late {n}"), |result| results.push(result));
        assert_eq!(results, ["late 0", "1", "2", "3", "4", "5", "6", "7"]);
    }

    #[test]
    fn a_fleet_that_only_hangs_comes_to_an_end() {
        let mut results = Vec::new();
        let work = |_: &u64| -> String {
            loop {
                thread::sleep(Duration::from_secs(3600));
            }
        };
        let give_up = |_: &u64, why: GivenUp| format!("{why:?}");
        run(&options(16, Some(1)), numbers(100), work, give_up, |result| results.push(result));
        assert_eq!(results.len(), 100);
        assert!(results.iter().filter(|r| r.starts_with("Late")).count() > MOST_LOST);
        assert!(results.iter().any(|r| r == "NobodyLeft"));
    }

    #[test]
    fn a_stop_ends_it_with_what_is_there() {
        let (options, mut results) = (options(2, None), 0);
        let stop = options.stop.clone();
        run(
            &options,
            numbers(u64::MAX),
            |&n| n,
            |&n, _| n,
            |_| {
                results += 1;
                stop.store(results >= 50, Ordering::SeqCst);
            },
        );
        assert!((50..80).contains(&results), "{results}");
    }
}
