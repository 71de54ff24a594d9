//! A progress bar on a terminal, nothing elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::audit::run::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// Interval of drawing.
const TICK: Duration = Duration::from_millis(200);
/// During the discovery, the remaining time is unknown.
const FINDING: &str = "{spinner} {pos} of {len} found so far, {per_sec}, {elapsed} {msg}";
const READING: &str = "{bar:30} {pos}/{len}, {per_sec}, {eta} left {msg}";

/// Progress bar, drawn by its own thread.
pub(super) struct Bar {
    bar: ProgressBar,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// Whether records are printed to the same terminal, so that the bar has to be hidden meanwhile.
    shares: bool,
}

impl Bar {
    /// Creates a bar that is never shown.
    pub(super) fn none() -> Self {
        Bar { bar: ProgressBar::hidden(), ended: Arc::default(), thread: None, shares: false }
    }

    /// Creates a bar that shows `progress`.
    pub(super) fn of(progress: &Arc<Progress>) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let is_seen = std::io::stderr().is_terminal();
        let bar = if is_seen { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let thread = is_seen.then(|| {
            let (bar, progress, ended) = (bar.clone(), progress.clone(), ended.clone());
            thread::spawn(move || follow(&bar, &progress, &ended))
        });
        Bar { bar, ended, thread, shares: is_seen && std::io::stdout().is_terminal() }
    }

    /// Runs `print` with the bar hidden.
    pub(super) fn aside<T>(&self, print: impl FnOnce() -> T) -> T {
        if self.shares { self.bar.suspend(print) } else { print() }
    }

    /// Returns a function that runs others with the bar on standard error hidden, on any thread.
    pub(super) fn printer(&self) -> impl Fn(&dyn Fn()) + Send + Sync + 'static {
        let bar = self.bar.clone();
        move |print| bar.suspend(print)
    }

    /// Removes the bar.
    pub(super) fn end(mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // The thread only draws.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

fn follow(bar: &ProgressBar, progress: &Progress, ended: &AtomicBool) {
    let style = |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style(FINDING));
    let mut finding = true;
    while !ended.load(Ordering::SeqCst) {
        if finding && progress.all_found.load(Ordering::SeqCst) {
            finding = false;
            bar.set_style(style(READING));
        }
        bar.set_length(progress.found.load(Ordering::Relaxed));
        bar.set_position(progress.done.load(Ordering::Relaxed));
        if finding {
            bar.set_message(format!("({} files examined)", progress.looked.load(Ordering::Relaxed)));
        } else {
            bar.set_message("");
        }
        bar.tick();
        thread::sleep(TICK);
    }
}
