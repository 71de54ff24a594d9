//! Queue of jobs. The finder sleeps while it is full, and is woken when it is half empty rather than for each job.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Length at which the queue is full, and length at which it is filled again.
const MOST: usize = 256;
const FEW: usize = MOST / 2;

/// Bounded queue of jobs.
pub(super) struct Queue<J> {
    waiting: Mutex<Waiting<J>>,
    /// Signals that there is a job, or that the queue is closed.
    filled: Condvar,
    /// Signals that the queue is half empty.
    drained: Condvar,
}

struct Waiting<J> {
    jobs: VecDeque<J>,
    is_closed: bool,
    /// Number of threads that wait for a job.
    idle: usize,
}

impl<J> Queue<J> {
    pub(super) fn new() -> Self {
        let waiting = Waiting { jobs: VecDeque::new(), is_closed: false, idle: 0 };
        Queue { waiting: Mutex::new(waiting), filled: Condvar::new(), drained: Condvar::new() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<J>> {
        // No code under the lock can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; waits while the queue is full.
    pub(super) fn push(&self, job: J) {
        let mut waiting = self.waiting();
        if waiting.jobs.len() >= MOST {
            let are_many = |waiting: &mut Waiting<J>| waiting.jobs.len() > FEW;
            waiting = self.drained.wait_while(waiting, are_many).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.jobs.push_back(job);
        if waiting.idle > 0 {
            self.filled.notify_one();
        }
    }

    /// Returns the next job; waits for one. `None` after the last.
    pub(super) fn pop(&self) -> Option<J> {
        let mut waiting = self.waiting();
        while waiting.jobs.is_empty() && !waiting.is_closed {
            waiting.idle += 1;
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.idle -= 1;
        }
        let job = waiting.jobs.pop_front();
        if waiting.jobs.len() == FEW {
            self.drained.notify_one();
        }
        job
    }

    /// Closes the queue: no more jobs follow.
    pub(super) fn close(&self) {
        self.waiting().is_closed = true;
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    #[test]
    fn every_job_is_returned_once() {
        for (threads, count) in [(1, 0), (1, 1), (1, 3 * MOST + 1), (3, 10 * MOST), (7, 5)] {
            let (queue, sum) = (Queue::new(), AtomicUsize::new(0));
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        while let Some(job) = queue.pop() {
                            sum.fetch_add(job, Ordering::SeqCst);
                        }
                    });
                }
                (1..=count).for_each(|job| queue.push(job));
                queue.close();
            });
            assert_eq!(sum.into_inner(), count * (count + 1) / 2, "{threads} threads");
            assert!(queue.pop().is_none());
        }
    }

    #[test]
    fn the_queue_is_bounded() {
        let (queue, pushed) = (Queue::new(), AtomicUsize::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                for job in 0..2 * MOST {
                    queue.push(job);
                    pushed.fetch_add(1, Ordering::SeqCst);
                }
                queue.close();
            });
            for expected in 0..2 * MOST {
                assert_eq!(queue.pop(), Some(expected));
                assert!(pushed.load(Ordering::SeqCst) <= expected + 1 + MOST);
            }
        });
        assert_eq!(queue.pop(), None);
    }
}
