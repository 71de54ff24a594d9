//! The child process qemu-nbd, which never outlives this one.
//!
//! Linux ends a child with the *thread* that made it, so one thread makes it and stays until the child has ended.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::advised;

/// Bytes of its standard error that are kept at most.
const MOST_SAID: usize = 2048;

/// `errno` values that are the same on all Unix systems.
const EACCES: i32 = 13;
const ENOEXEC: i32 = 8;

/// Advice where the user named another program.
pub(super) const WHERE: &str = "give the path of qemu-nbd: --qemu-nbd FILE (`command -v qemu-nbd` shows it), or omit the option if qemu-nbd is on PATH";

/// A running child process. Dropping it kills it.
pub(super) struct Child {
    process: Arc<Mutex<process::Child>>,
    said: Arc<Mutex<Vec<u8>>>,
    /// Disconnects when the child closes its standard error, which means that it ends.
    ended: Receiver<()>,
    /// The thread that made the child ends when this is dropped.
    _stay: Sender<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Child {
    /// Starts `command`.
    ///
    /// # Errors
    /// `no-qemu-nbd`: there is no such program, or it cannot be started. I/O errors.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        Self::heard(command, |child| Some(Box::new(child.stderr.take()?)))
    }

    /// Returns whether `program --version` names qemu-nbd within the time limit.
    pub(super) fn is_qemu_nbd(program: &Path) -> bool {
        let mut command = Command::new(program);
        command.arg("--version").stdout(Stdio::piped()).stderr(Stdio::null());
        let asked = Self::heard(command, |child| Some(Box::new(child.stdout.take()?)));
        asked.is_ok_and(|child| {
            child.hear_out(Duration::from_secs(2));
            child.said().contains("qemu-nbd")
        })
    }

    fn heard(mut command: Command, voice: fn(&mut process::Child) -> Option<Box<dyn Read>>) -> Result<Self> {
        command.stdin(Stdio::null());
        // In its own process group, so that signals of the terminal do not reach it.
        command.process_group(0);
        ends_with_us(&mut command);
        let program = command.get_program().to_string_lossy().into_owned();
        let said = Arc::new(Mutex::new(Vec::new()));
        let (started, start) = mpsc::channel();
        let (alive, ended) = mpsc::channel::<()>();
        let (stay, until) = mpsc::channel::<()>();
        let hears = said.clone();
        let keeper = thread::Builder::new().name("qemu-nbd".into()).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            let voice = voice(&mut child);
            // The caller is waiting for it.
            let _ = started.send(Ok(child));
            if let Some(voice) = voice {
                listen(voice, &hears);
            }
            drop(alive);
            let _ = until.recv();
        });
        let failed = |e| Error::io(format!("cannot start {program}: {e}"), e);
        keeper.map_err(failed)?;
        let gone = || std::io::Error::other("the thread that starts it has ended");
        match start.recv().unwrap_or_else(|_| Err(gone())) {
            Ok(child) => {
                let process = Arc::new(Mutex::new(child));
                Ok(Child { process, said, ended, _stay: stay })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing(&program)),
            // A folder, a file without execute permission, or one of another system.
            Err(error) if matches!(error.raw_os_error(), Some(EACCES | ENOEXEC)) => {
                let what = format!("{program} cannot be started: {error}");
                Err(Error::new(Kind::Unsupported, Code::NoQemuNbd, what).advise(WHERE))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Returns whether it has ended.
    pub(super) fn has_ended(&self) -> bool {
        matches!(lock(&self.process).try_wait(), Ok(Some(_)))
    }

    /// Waits a little for its last messages, if it is about to end.
    pub(super) fn hear_out(&self, limit: Duration) {
        let _ = self.ended.recv_timeout(limit);
    }

    /// Returns its standard error on one line.
    pub(super) fn said(&self) -> String {
        let said = lock(&self.said);
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let said = String::from_utf8_lossy(&said);
        // It repeats its arguments and then describes the problem.
        let said = said.rsplit_once("}': ").map_or(&*said, |(_, wrong)| wrong);
        let line: String = said.trim().chars().map(printable).collect();
        if line.is_empty() { "nothing".into() } else { line }
    }

    /// Waits until it has ended; kills it after `limit`.
    ///
    /// # Errors
    /// `engine-timeout`: it had to be killed. I/O errors.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + limit;
        let lost = |e| Error::io(format!("cannot wait for qemu-nbd: {e}"), e);
        let quiet = self.ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
        while !quiet && Instant::now() < until {
            if let Some(status) = lock(&self.process).try_wait().map_err(lost)? {
                return Ok(status);
            }
            thread::sleep(Duration::from_micros(200));
        }
        self.kill();
        let what = format!("qemu-nbd did not end within {} seconds; it said: {}", limit.as_secs(), self.said());
        Err(Error::new(Kind::Io, Code::EngineTimeout, what))
    }

    fn kill(&self) {
        let mut process = lock(&self.process);
        // After the wait its process id may belong to another process.
        if matches!(process.try_wait(), Ok(None)) {
            kill_group(&process);
            // Both calls fail only if it has already ended.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Keeps the beginning of the child's output, and reads to its end.
fn listen(mut voice: impl Read, said: &Mutex<Vec<u8>>) {
    let mut buf = [0; 512];
    while let Ok(count @ 1..) = voice.read(&mut buf) {
        let mut said = lock(said);
        let room = MOST_SAID.saturating_sub(said.len()).min(count);
        said.extend_from_slice(&buf[..room]);
    }
}

fn missing(program: &str) -> Error {
    Error::new(Kind::Unsupported, Code::NoQemuNbd, format!("this image needs {program}, which is not installed"))
        .advise(format!(
            "install it (Debian: apt install qemu-utils), or give its path: --qemu-nbd FILE; or convert a copy of the image on a machine with QEMU: {}",
            advised::TO_RAW
        ))
}

/// Makes the kernel kill the child when this process ends for any reason.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn ends_with_us(command: &mut Command) {
    let us = process::id();
    let before_exec = move || {
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have ended between fork and this call; the child would then not be signalled.
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        if parent.is_some_and(|parent| u32::try_from(parent) == Ok(us)) {
            Ok(())
        } else {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    };
    // SAFETY: between fork and exec only async-signal-safe operations are allowed, since other threads may have held
    // locks at the fork. The closure makes two system calls (prctl, getppid) through rustix, which only makes the calls
    // and converts error numbers: it allocates nothing, takes no lock and touches no memory of other threads.
    unsafe {
        command.pre_exec(before_exec);
    }
}

/// Kills the processes that the child has started, which a script in place of qemu-nbd may have.
#[cfg(target_os = "linux")]
fn kill_group(process: &process::Child) {
    let group = i32::try_from(process.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

#[cfg(not(target_os = "linux"))]
fn kill_group(_: &process::Child) {}

/// Elsewhere qemu-nbd ends when its only client disconnects, which happens when this process ends.
#[cfg(not(target_os = "linux"))]
fn ends_with_us(_: &mut Command) {}
