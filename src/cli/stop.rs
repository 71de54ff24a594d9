//! Ends that come from outside: Ctrl-C, a kind kill, a terminal that goes, a limit on the size of files.

use std::io;

use hivewright_storage::temp_files;

use super::exit::INTERRUPTED;

/// Whoever is told to end while new files have no place yet, or private folders are there, takes them along. A write in
/// place that has begun is left as a kill leaves it: its undo file has its place already, and the next run settles it.
pub(super) fn leave_nothing_behind() {
    temp_files::before_the_first(|| {
        // Where nobody listens it ends as ever, and leaves those behind.
        let _ = at_signals(|| temp_files::end(i32::from(INTERRUPTED)));
    });
}

/// Runs `act` on a thread of its own at each signal that asks for the end, unless whoever started us has it ignored, as
/// nohup does. To be called once.
#[cfg(unix)]
pub(super) fn at_signals(act: impl Fn() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let ignored = ignored();
    // Signal n is bit n - 1.
    let heard = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = signal_hook::iterator::Signals::new(heard)?;
    let listen = move || signals.forever().for_each(|_| act());
    std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop)
}

#[cfg(not(unix))]
pub(super) fn at_signals(act: impl Fn() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(act).map_err(io::Error::other)
}

/// The signals that are ignored, as a mask; none where the system does not tell (Linux does, proc_pid_status(5)).
#[cfg(unix)]
fn ignored() -> u64 {
    use std::io::Read;
    let mut status = String::new();
    let read = hivewright_storage::probe::stream("/proc/self/status".as_ref())
        .is_ok_and(|file| file.take(1 << 16).read_to_string(&mut status).is_ok());
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).filter(|_| read);
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// A write past the limit on the size of files (`ulimit -f`) is an error like any other, and no end without a word.
#[cfg(unix)]
pub(super) fn outlive_a_limit() {
    // Whoever hears the signal does not end by it. Where that cannot be, it ends as ever.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
}

#[cfg(not(unix))]
pub(super) fn outlive_a_limit() {}
