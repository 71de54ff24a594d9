//! Table of the running jobs and their start times.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Running jobs, each with a ticket.
pub(super) struct Table<J>(Mutex<Entries<J>>);

struct Entries<J> {
    next: u64,
    running: HashMap<u64, (Arc<J>, Instant)>,
}

impl<J> Default for Table<J> {
    fn default() -> Self {
        Table(Mutex::new(Entries { next: 0, running: HashMap::new() }))
    }
}

impl<J> Table<J> {
    fn entries(&self) -> MutexGuard<'_, Entries<J>> {
        // No code under the lock leaves a partial change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job that begins now.
    pub(super) fn begin(&self, job: J) -> (u64, Arc<J>) {
        let job = Arc::new(job);
        let mut entries = self.entries();
        let ticket = entries.next;
        entries.next += 1;
        entries.running.insert(ticket, (job.clone(), Instant::now()));
        (ticket, job)
    }

    /// Removes a job that has ended. Returns `false` if it was abandoned before.
    pub(super) fn end(&self, ticket: u64) -> bool {
        self.entries().running.remove(&ticket).is_some()
    }

    /// Removes the jobs that run longer than `most`, and returns them with their elapsed times.
    pub(super) fn take_expired(&self, most: Duration) -> Vec<(Arc<J>, Duration)> {
        let mut entries = self.entries();
        let expired = entries.running.extract_if(|_, (_, since)| since.elapsed() > most);
        expired.map(|(_, (job, since))| (job, since.elapsed())).collect()
    }

    /// Removes all jobs.
    pub(super) fn forget(&self) {
        self.entries().running.clear();
    }
}
