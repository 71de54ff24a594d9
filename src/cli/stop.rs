//! Signals: Ctrl-C, termination, hang-up, and the limit on the size of files.

use std::io;

use hivewright_storage::temp_files;

use super::exit::INTERRUPTED;

/// Removes temporary files and folders when a signal ends the program. A write in place that has begun is left, as
/// after a kill: its undo file is complete, and the next run completes or rolls it back.
pub(super) fn remove_temp_files_at_signals() {
    temp_files::before_the_first(|| {
        // If the handler cannot be set, the signal ends the program and leaves them.
        let _ = at_signals(|| temp_files::end(i32::from(INTERRUPTED)));
    });
}

/// Runs `act` on its own thread at each signal to end, unless the parent process has it ignored, as nohup does. To be
/// called once.
#[cfg(unix)]
pub(super) fn at_signals(act: impl Fn() + Send + 'static) -> io::Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    let ignored = ignored();
    // Signal n is bit n - 1.
    let handled = [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| ignored >> (signal - 1) & 1 == 0);
    let mut signals = signal_hook::iterator::Signals::new(handled)?;
    let listen = move || signals.forever().for_each(|_| act());
    std::thread::Builder::new().name("signals".into()).spawn(listen).map(drop)
}

#[cfg(not(unix))]
pub(super) fn at_signals(act: impl Fn() + Send + 'static) -> io::Result<()> {
    ctrlc::set_handler(act).map_err(io::Error::other)
}

/// Returns the mask of the ignored signals; 0 if the system does not report it (Linux does, proc_pid_status(5)).
#[cfg(unix)]
fn ignored() -> u64 {
    use std::io::Read;
    let mut status = String::new();
    let read = hivewright_storage::probe::stream("/proc/self/status".as_ref())
        .is_ok_and(|file| file.take(1 << 16).read_to_string(&mut status).is_ok());
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).filter(|_| read);
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Makes a write beyond the limit on the size of files (`ulimit -f`) an error instead of the end of the program.
#[cfg(unix)]
pub(super) fn ignore_file_size_signal() {
    // A handled signal does not end the program. If the handler cannot be set, the signal ends it.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
}

#[cfg(not(unix))]
pub(super) fn ignore_file_size_signal() {}
