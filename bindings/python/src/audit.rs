//! Audits: records stream from the threads that read into Python.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hivewright::{Error, ImageOptions};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyString};

use crate::convert::AnyPath;
use crate::error::{OrRaise, raised};

/// Records that wait for Python: the audit goes on when they are taken.
const MOST_WAITING: usize = 16;
/// How often Ctrl-C is looked for.
const TICK: Duration = Duration::from_millis(100);

enum Message {
    Record(String),
    End(Result<String, Error>),
}

/// The records of an audit, as they come: an iterator of dicts.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Audit {
    messages: Mutex<Receiver<Message>>,
    stop: Arc<AtomicBool>,
    summary: Mutex<Option<String>>,
}

/// A document of JSON as Python's objects.
fn loaded<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    static LOADS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    LOADS.import(py, "json", "loads")?.call1((text,))
}

#[pymethods]
impl Audit {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            let message = py.detach(|| self.messages.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(TICK));
            match message {
                Ok(Message::Record(line)) => return loaded(py, &line).map(Some),
                Ok(Message::End(Ok(summary))) => {
                    *self.summary.lock().unwrap_or_else(PoisonError::into_inner) = Some(summary);
                    return Ok(None);
                }
                Ok(Message::End(Err(error))) => return Err(raised(py, &error)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(interrupted) = py.check_signals() {
                        self.stop();
                        return Err(interrupted);
                    }
                }
            }
        }
    }

    /// Begins nothing else. What is read already still comes.
    fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// The counts of the audit as a dict; None until the last record was taken.
    #[getter]
    fn summary<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let summary = self.summary.lock().unwrap_or_else(PoisonError::into_inner).clone();
        summary.map(|text| loaded(py, &text)).transpose()
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.stop();
    }
}

/// One path, or several.
fn several(given: &Bound<'_, PyAny>) -> PyResult<Vec<PathBuf>> {
    let is_one =
        given.is_instance_of::<PyString>() || given.is_instance_of::<PyBytes>() || given.hasattr("__fspath__")?;
    if is_one {
        return Ok(vec![given.extract::<AnyPath>()?.0]);
    }
    given.try_iter()?.map(|path| Ok(path?.extract::<AnyPath>()?.0)).collect()
}

/// Audits many images, hives and Windows folders. Returns an iterator of records, one for each Windows installation, as
/// `hivewright audit --json` prints them. `policy` is a TOML file, the name of a policy that comes with hivewright, or a list of both.
#[pyfunction]
#[pyo3(signature = (paths, policy=None, *, expect=None, expect_reg=None, baseline=None, jobs=None, timeout=600.0, sha256=false,
    sort=false, allow=Vec::new(), qemu_nbd=None))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn audit(
    py: Python<'_>,
    paths: &Bound<'_, PyAny>,
    policy: Option<&Bound<'_, PyAny>>,
    expect: Option<&Bound<'_, PyAny>>,
    expect_reg: Option<&Bound<'_, PyAny>>,
    baseline: Option<AnyPath>,
    jobs: Option<usize>,
    timeout: Option<f64>,
    sha256: bool,
    sort: bool,
    allow: Vec<AnyPath>,
    qemu_nbd: Option<AnyPath>,
) -> PyResult<Audit> {
    let mut audit = hivewright::Audit::new(several(paths)?);
    let mut image = ImageOptions::default();
    image.allow = allow.into_iter().map(|path| path.0).collect();
    image.qemu_nbd = qemu_nbd.map(|path| path.0);
    audit.image_options(image);
    if let Some(expect) = expect {
        audit.expect(&expect.str()?.to_cow()?).or_raise(py)?;
    }
    for file in policy.map(several).transpose()?.unwrap_or_default() {
        audit.policy(file).or_raise(py)?;
    }
    for file in expect_reg.map(several).transpose()?.unwrap_or_default() {
        audit.registration_file(file).or_raise(py)?;
    }
    if let Some(file) = baseline {
        audit.baseline(file.0).or_raise(py)?;
    }
    if let Some(jobs) = jobs {
        audit.jobs(jobs);
    }
    let timeout = timeout.map(Duration::try_from_secs_f64).transpose();
    audit.timeout(timeout.map_err(|error| PyTypeError::new_err(format!("timeout: {error}")))?);
    if sha256 {
        audit.sha256();
    }
    if sort {
        audit.sorted();
    }
    let stop = audit.stop_flag();
    let (sender, messages) = sync_channel(MOST_WAITING);
    let run = move || {
        let ended = audit.run(|record| sender.send(Message::Record(record.to_owned())).is_ok());
        // Nobody may be there any more who wants it.
        let _ = sender.send(Message::End(ended));
    };
    let thread = thread::Builder::new().name("hivewright-audit".to_owned()).spawn(run);
    thread.map_err(|error| PyRuntimeError::new_err(format!("the system gives no thread: {error}")))?;
    Ok(Audit { messages: Mutex::new(messages), stop, summary: Mutex::default() })
}
