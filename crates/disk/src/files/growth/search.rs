//! Chooses free clusters: as few runs as possible, close to the file if possible.

use std::collections::BTreeSet;

/// Maximum number of free runs that are kept, the largest ones. Files in more runs are refused.
pub(crate) const MOST_RUNS: usize = 1024;

/// A search through all free runs of a volume, which are passed to [`Search::show`].
#[derive(Debug, Default)]
pub(crate) struct Search {
    wanted: u64,
    /// By length, then from the volume's end.
    largest: BTreeSet<(u64, u64)>,
    free: u64,
}

impl Search {
    /// Creates a search for `wanted` clusters.
    pub(crate) fn new(wanted: u64) -> Self {
        Search { wanted, ..Search::default() }
    }

    /// Adds a free run; each run once.
    pub(crate) fn show(&mut self, start: u64, len: u64) {
        if len == 0 {
            return;
        }
        self.free = self.free.saturating_add(len);
        // A lower start sorts higher, so that of two equal runs the one nearer to the volume's start is chosen.
        self.largest.insert((len, u64::MAX - start));
        if self.largest.len() > MOST_RUNS {
            // Of the runs that are large enough the smallest is the best; larger ones are dropped.
            let second = self.largest.iter().rev().nth(1).map_or(0, |&(len, _)| len);
            if second >= self.wanted {
                self.largest.pop_last()
            } else {
                self.largest.pop_first()
            };
        }
    }

    /// Returns the number of free clusters.
    pub(crate) fn free(&self) -> u64 {
        self.free
    }

    /// Returns the best choice as first cluster and number of clusters: the smallest run that is large enough; else the
    /// largest, and so on for the rest. `None` if the kept runs do not suffice.
    pub(crate) fn best(mut self) -> Option<Vec<(u64, u64)>> {
        let (mut rest, mut runs) = (self.wanted, Vec::new());
        while rest > 0 {
            let fitting = self.largest.range((rest, 0)..).next().map(|&(len, _)| len);
            let run = match fitting {
                // The last run of that length is the nearest to the start.
                Some(len) => self.largest.range((len, 0)..=(len, u64::MAX)).next_back().copied(),
                None => self.largest.last().copied(),
            };
            let (len, turned) = run?;
            self.largest.remove(&(len, turned));
            runs.push((u64::MAX - turned, len.min(rest)));
            rest -= len.min(rest);
        }
        Some(runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(wanted: u64, runs: &[(u64, u64)]) -> Option<Vec<(u64, u64)>> {
        let mut search = Search::new(wanted);
        runs.iter().for_each(|&(start, len)| search.show(start, len));
        assert_eq!(search.free(), runs.iter().map(|run| run.1).sum::<u64>());
        search.best()
    }

    #[test]
    fn the_smallest_sufficient_run_is_chosen() {
        let runs = [(10, 5), (30, 9), (50, 3), (60, 5), (70, 20)];
        assert_eq!(best(5, &runs), Some(vec![(10, 5)]));
        assert_eq!(best(4, &runs), Some(vec![(10, 4)]));
        assert_eq!(best(10, &runs), Some(vec![(70, 10)]));
        assert_eq!(best(22, &runs), Some(vec![(70, 20), (50, 2)]));
        assert_eq!(best(42, &runs), Some(vec![(70, 20), (30, 9), (10, 5), (60, 5), (50, 3)]));
        assert_eq!(best(43, &runs), None);
        assert_eq!(best(0, &[]), Some(vec![]));
    }

    #[test]
    fn of_many_runs_the_largest_are_kept() {
        let mut runs: Vec<(u64, u64)> = (0..5000).map(|i| (i * 100, 1 + i % 90)).collect();
        runs.push((1 << 30, 64));
        let found = best(64, &runs).unwrap();
        assert_eq!(found.len(), 1);
        // More large runs than are kept, none of which is sufficient.
        let found = best(80_000, &runs).unwrap();
        assert!(found[..found.len() - 1].iter().all(|run| run.1 > 60) && found.len() <= MOST_RUNS);
        assert_eq!(best(200_000, &runs), None);
    }
}
