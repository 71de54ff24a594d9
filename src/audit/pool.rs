//! Bounded pool of threads that loses no job, neither by a panic nor by a hang.
//!
//! Jobs and results wait in short queues, so a slow side blocks the other one and memory is bounded. A thread that
//! exceeds its time is abandoned and replaced. It cannot be ended from outside; its result is ignored if it returns
//! later.

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

/// Interval of the search for threads that exceed their time.
const TICK: Duration = Duration::from_millis(50);
/// Number of abandoned threads after which no more threads are started.
const MOST_LOST: usize = 64;
/// Time that a stop waits for running jobs.
const GRACE: Duration = Duration::from_secs(5);

/// Reason why a job has no result of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// It exceeded its time; contains the elapsed time.
    TimedOut(Duration),
    /// It panicked with this message.
    Panicked(String),
    /// All threads were abandoned or could not be started.
    NoWorkerLeft,
}

/// Options of a pool.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of threads.
    pub jobs: usize,
    /// Time limit for one job; `None` for no limit.
    pub timeout: Option<Duration>,
    /// Flag of the caller; once set, no further job is started.
    pub stop: Arc<AtomicBool>,
}

/// Function that executes a job.
type Work<J, R> = dyn Fn(&J) -> R + Send + Sync;
/// Function that creates the result of a job without a result of its own.
type GiveUp<J, R> = dyn Fn(&J, GivenUp) -> R + Send + Sync;

enum Message<R> {
    Result(R),
    /// A worker has ended because there are no more jobs.
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

/// Returns whether a panic of this thread is caught and becomes a result.
pub fn is_guarded() -> bool {
    GUARDED.get()
}

/// Runs `work` on every job of `find`, and hands each result to `take` as it arrives. `find` passes its jobs to a
/// function that returns `false` when no more are wanted. `give_up` creates the result of a job that has none of its
/// own.
///
/// `take` runs on the thread of the caller. Returns the message of `find` if it panicked; then some jobs are missing.
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
        panicked.map(|panic| panic_message(&*panic))
    });
    let finder = match finder {
        Ok(finder) => finder,
        Err(error) => return Some(format!("cannot start a thread: {error}")),
    };
    let start = || {
        let (shared, results) = (shared.clone(), results.clone());
        thread::Builder::new().spawn(move || worker(&shared, &results)).is_ok()
    };
    // Fewer than requested if the system cannot start more.
    let (mut alive, mut lost) = ((0..options.jobs).take_while(|_| start()).count(), 0);
    let mut stopped: Option<Instant> = None;
    while alive > 0 {
        match out.recv_timeout(TICK) {
            Ok(Message::Result(result)) => take(result),
            Ok(Message::Ended) => alive -= 1,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        for (job, time) in options.timeout.map(|most| shared.table.take_expired(most)).unwrap_or_default() {
            take((shared.give_up)(&job, GivenUp::TimedOut(time)));
            lost += 1;
            if lost > MOST_LOST || !start() {
                alive -= 1;
            }
        }
        if options.stop.load(Ordering::SeqCst) && stopped.get_or_insert_with(Instant::now).elapsed() > GRACE {
            // Running jobs have no record; the next run reads them.
            shared.table.forget();
            return None;
        }
    }
    // The queue contains jobs only if all threads were abandoned, or none was started.
    while let Some(job) = shared.queue.pop() {
        take((shared.give_up)(&job, GivenUp::NoWorkerLeft));
    }
    // It has closed the queue, so it has ended.
    finder.join().ok().flatten()
}

fn worker<J, R>(shared: &Shared<J, R>, results: &SyncSender<Message<R>>) {
    GUARDED.set(true);
    loop {
        let Some(job) = shared.queue.pop() else { break };
        if shared.stop.load(Ordering::SeqCst) {
            // The queue is drained so that the finder, which may wait for it, sees the stop.
            continue;
        }
        let (ticket, job) = shared.table.begin(job);
        let result = catch_unwind(AssertUnwindSafe(|| (shared.work)(&job)))
            .unwrap_or_else(|panic| (shared.give_up)(&job, GivenUp::Panicked(panic_message(&*panic))));
        if !shared.table.end(ticket) {
            // It was abandoned, and another thread has replaced this one.
            return;
        }
        if results.send(Message::Result(result)).is_err() {
            return;
        }
    }
    let _ = results.send(Message::Ended);
}

/// Returns the message of a panic.
fn panic_message(panic: &(dyn Any + Send)) -> String {
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
    fn every_job_has_one_result() {
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
                GivenUp::TimedOut(_) => format!("late {n}"),
                GivenUp::Panicked(message) => message,
                GivenUp::NoWorkerLeft => format!("lost {n}"),
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
    fn a_panic_of_the_search_is_returned() {
        let mut results = Vec::new();
        let find = |give: &mut dyn FnMut(u64) -> bool| {
            (0..5).for_each(|n| assert!(give(n)));
            panic!("lost the way");
        };
        let message = run(&options(2, None), find, |&n| n, |&n, _| n, |result| results.push(result));
        results.sort_unstable();
        assert_eq!((results, message.as_deref()), (vec![0, 1, 2, 3, 4], Some("lost the way")));
        assert_eq!(run(&options(2, None), numbers(5), |&n| n, |&n, _| n, |_| {}), None);
    }

    #[test]
    fn results_of_abandoned_threads_are_ignored() {
        let mut results = Vec::new();
        let work = |&n: &u64| {
            thread::sleep(Duration::from_millis(if n == 0 { 200 } else { 30 }));
            n.to_string()
        };
        run(&options(1, Some(100)), numbers(8), work, |n, _| format!("late {n}"), |result| results.push(result));
        assert_eq!(results, ["late 0", "1", "2", "3", "4", "5", "6", "7"]);
    }

    #[test]
    fn jobs_that_all_hang_come_to_an_end() {
        let mut results = Vec::new();
        let work = |_: &u64| -> String {
            loop {
                thread::sleep(Duration::from_secs(3600));
            }
        };
        let give_up = |_: &u64, why: GivenUp| format!("{why:?}");
        run(&options(16, Some(1)), numbers(100), work, give_up, |result| results.push(result));
        assert_eq!(results.len(), 100);
        assert!(results.iter().filter(|r| r.starts_with("TimedOut")).count() > MOST_LOST);
        assert!(results.iter().any(|r| r == "NoWorkerLeft"));
    }

    #[test]
    fn a_stop_ends_the_pool_early() {
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
