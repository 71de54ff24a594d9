//! A running qemu-nbd between the server below it and the client above it.

use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Driver;
use super::child::{Child, WHERE};
use super::client::{Client, Failure};
use super::server::{Export, Shared, serve};
use super::wire::errno;
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::advised;
use hivewright_storage::private::PrivateFolder;

/// Time limits for opening and closing an image, and for a request.
const START: Duration = Duration::from_secs(10);
const CLOSE: Duration = Duration::from_secs(30);
const REQUEST: Duration = Duration::from_secs(60);
/// Interval of the checks whether it listens.
const LOOK: Duration = Duration::from_micros(300);

/// The arguments of each start.
pub(super) struct Plan {
    pub(super) program: PathBuf,
    pub(super) driver: Driver,
    /// Unit in bytes by which the image's file grows.
    pub(super) step: u64,
    /// The file of the image and, if it has a backing file, the disk of that.
    pub(super) image: Arc<dyn Storage>,
    pub(super) backing: Option<Arc<dyn Storage>>,
    pub(super) writing: bool,
}

/// A running qemu-nbd. Dropping it kills the process; [`Running::close`] makes it close the image.
pub(super) struct Running {
    // Declared first, so that qemu-nbd sees its client disconnect before anything waits for it.
    pub(super) client: Client<UnixStream>,
    pub(super) shared: Arc<Shared>,
    servers: Vec<JoinHandle<()>>,
    child: Child,
    driver: Driver,
}

impl Plan {
    /// Starts qemu-nbd for the image.
    ///
    /// # Errors
    /// `no-qemu-nbd`; `engine-refused`: QEMU does not open the image. `engine-timeout`; errors of a storage.
    pub(super) fn start(&self) -> Result<Running> {
        let export = Export::new(self.image.clone(), self.writing, self.driver.ahead(self.writing), self.step)?;
        let mut exports = vec![export.whole(self.driver == Driver::Qed)];
        if let Some(backing) = &self.backing {
            exports.push(Export::new(backing.clone(), false, 0, 0)?);
        }
        let count = exports.len();
        let shared = Arc::new(Shared::new(exports));
        let folder = PrivateFolder::make()?;
        let (below, above) = (folder.path().join("below"), folder.path().join("above"));
        let failed = |e| Error::io(format!("cannot make a socket in {}: {e}", folder.path().display()), e);
        let listener = UnixListener::bind(&below).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let child = Child::start(self.command(&below, &above))?;
        let mut servers = Vec::new();
        let until = Instant::now() + START;
        let stream = loop {
            if let Ok((stream, _)) = listener.accept() {
                // A further connection would come from another program.
                if servers.len() < count {
                    servers.push(server(stream, &shared)?);
                }
                continue;
            }
            // It listens before it opens the files, so the connections for the files must come first.
            let ready = (servers.len() == count).then(|| UnixStream::connect(&above));
            match ready {
                Some(Ok(stream)) => break stream,
                _ if child.has_ended() => return Err(self.refused(&shared, &child, "does not open the image")),
                _ if Instant::now() > until => {
                    let what = format!("did not open the image within {} seconds", START.as_secs());
                    let error = self.refused(&shared, &child, &what);
                    let slow = error.code() == Code::EngineRefused;
                    return Err(if slow { error.becoming(Kind::Io, Code::EngineTimeout) } else { error });
                }
                _ => thread::sleep(LOOK),
            }
        };
        // Both sides are connected: the folder is no longer needed, and removing it now leaves nothing behind.
        drop(folder);
        let limit = |time| stream.set_read_timeout(time).and_then(|()| stream.set_write_timeout(time));
        let client = limit(Some(START)).and_then(|()| Client::connect(stream.try_clone()?));
        match client.and_then(|client| limit(Some(REQUEST)).map(|()| client)) {
            Ok(client) => Ok(Running { client, shared, servers, child, driver: self.driver }),
            Err(error) => Err(self.refused(&shared, &child, &format!("does not export the image: {error}"))),
        }
    }

    /// Returns the reason why it did not start: the error of a storage, else that it is another program, else QEMU's
    /// message.
    fn refused(&self, shared: &Shared, child: &Child, what: &str) -> Error {
        // The last message arrives through a pipe that another thread reads.
        child.hear_out(Duration::from_millis(200));
        if let Some(error) = shared.take_failure() {
            return error;
        }
        if !Child::is_qemu_nbd(&self.program) {
            let what = format!("{} is not qemu-nbd, which this image needs", self.program.display());
            return Error::new(Kind::Unsupported, Code::NoQemuNbd, what).advise(WHERE);
        }
        let what = format!("qemu-nbd {what}; it said: {}", child.said());
        Error::new(Kind::Corrupt, Code::EngineRefused, what)
            .advise(format!("check a copy of the image with QEMU: {}", advised::CHECK))
    }

    fn command(&self, below: &Path, above: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--socket").arg(above).args(["--shared=1", "--discard=ignore", "--detect-zeroes=off"]);
        // QEMU may hold back writes until a flush, and a flush reaches the storages here.
        command.arg("--cache=writeback");
        if !self.writing {
            command.arg("--read-only");
        }
        command.arg("--").arg(format!("json:{}", self.graph(below)));
        command
    }

    /// Returns QEMU's block graph, node by node. It leaves nothing to detect: no format, no name.
    fn graph(&self, below: &Path) -> Value {
        let export = |number: usize, writable: bool| {
            json!({ "driver": "nbd", "export": number.to_string(), "read-only": !writable,
                    "server": { "type": "unix", "path": below.to_string_lossy() } })
        };
        let backing =
            self.backing.as_ref().map(|_| json!({ "driver": "raw", "read-only": true, "file": export(1, false) }));
        let mut graph =
            json!({ "driver": self.driver.name(), "read-only": !self.writing, "file": export(0, self.writing) });
        if self.driver.has_backing() {
            graph["backing"] = backing.unwrap_or(Value::Null);
        }
        graph
    }
}

fn server(stream: UnixStream, shared: &Arc<Shared>) -> Result<JoinHandle<()>> {
    let failed = |e| Error::io(format!("cannot serve the image to qemu-nbd: {e}"), e);
    // On some systems the accepted socket inherits the mode of the listener.
    stream.set_nonblocking(false).map_err(failed)?;
    let shared = shared.clone();
    let serve = move || {
        let mut stream = stream;
        // The client that waits for QEMU's reply then sees the disconnect.
        let _ = serve(&mut stream, &shared);
        let _ = stream.shutdown(Shutdown::Both);
    };
    thread::Builder::new().name("nbd server".into()).spawn(serve).map_err(failed)
}

impl Running {
    /// Returns the error of a failed request: that of a storage, else the error number, else QEMU's message.
    pub(super) fn explain(&self, doing: &str, failure: Failure) -> Error {
        if let Some(error) = self.shared.take_failure() {
            return error;
        }
        match failure {
            // QEMU's qcow driver allocates by resizing the file, which an export does not allow.
            Failure::Refused(number)
                if number == errno::NO_SPACE || (number == errno::INVALID && self.driver == Driver::Qcow) =>
            {
                Error::new(Kind::NoRoom, Code::NotAllocated, "qemu-nbd cannot allocate in the image")
                    .advise(format!("convert a copy of it: {}", advised::TO_RAW))
            }
            Failure::Refused(errno::PERM) => {
                Error::new(Kind::Unsupported, Code::EngineReadOnly, format!("qemu-nbd refused to {doing}"))
            }
            Failure::Refused(number) => {
                let system = std::io::Error::from_raw_os_error(i32::try_from(number).unwrap_or(errno::IO as i32));
                let what = format!("qemu-nbd failed to {doing}: {system}; it said: {}", self.child.said());
                Error::new(Kind::Io, Code::EngineFailed, what).advise(format!(
                    "if the host's disk is healthy, the image is damaged or truncated: {}",
                    advised::CHECK
                ))
            }
            Failure::Broken(error) => {
                self.child.hear_out(Duration::from_millis(200));
                let timed_out = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                let (code, how) = match timed_out {
                    true => (Code::EngineTimeout, format!("did not answer within {} seconds", REQUEST.as_secs())),
                    false => (Code::EngineDied, format!("ended the connection: {error}")),
                };
                let what = format!("qemu-nbd {how} on the request to {doing}; it said: {}", self.child.said());
                Error::new(Kind::Io, code, what)
            }
        }
    }

    /// Makes QEMU flush and close the image, and waits until it has ended; the storages below are then complete.
    ///
    /// # Errors
    /// Errors of a storage; `engine-timeout`; `engine-failed`: QEMU ended with an error.
    pub(super) fn close(mut self) -> Result<()> {
        let said_goodbye = self.client.disconnect();
        drop(self.client);
        let status = self.child.wait(CLOSE);
        for server in self.servers {
            // The server does not panic; if it did, the message was printed.
            let _ = server.join();
        }
        if let Some(error) = self.shared.take_failure() {
            return Err(error);
        }
        let status = status?;
        if !status.success() || said_goodbye.is_err() {
            let what = format!("qemu-nbd did not close the image properly ({status}); it said: {}", self.child.said());
            return Err(Error::new(Kind::Io, Code::EngineFailed, what));
        }
        Ok(())
    }
}
