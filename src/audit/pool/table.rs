//! Who is at what, and since when.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Jobs under way, each under a ticket of its own.
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
        // Nothing is done under the lock that could leave half a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a job begins.
    pub(super) fn begin(&self, job: J) -> (u64, Arc<J>) {
        let job = Arc::new(job);
        let mut entries = self.entries();
        let ticket = entries.next;
        entries.next += 1;
        entries.running.insert(ticket, (job.clone(), Instant::now()));
        (ticket, job)
    }

    /// Notes that it has ended. `false` if it was given up before.
    pub(super) fn end(&self, ticket: u64) -> bool {
        self.entries().running.remove(&ticket).is_some()
    }

    /// Takes out those that are longer under way than `most`, and says how long.
    pub(super) fn late(&self, most: Duration) -> Vec<(Arc<J>, Duration)> {
        let mut entries = self.entries();
        let late = entries.running.extract_if(|_, (_, since)| since.elapsed() > most);
        late.map(|(_, (job, since))| (job, since.elapsed())).collect()
    }

    /// Takes out all of them.
    pub(super) fn forget(&self) {
        self.entries().running.clear();
    }
}
