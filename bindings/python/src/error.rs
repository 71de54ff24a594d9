//! Errors as exceptions: one class for each kind, with code, places and advice as attributes.

use hivewright::hivewright_hive::DamagedValue;
use hivewright::{Error, Kind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// Makes an exception; in Python, since classes with several bases and attributes are made there best.
fn make(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    MAKE.import(py, "hivewright._errors", "make")
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Io => "io",
        Kind::Corrupt => "corrupt",
        Kind::Unsupported => "unsupported",
        Kind::Refused => "refused",
        Kind::NotFound => "not-found",
        Kind::NoRoom => "no-room",
        Kind::Unfinished => "unfinished",
    }
}

/// Returns the exception of an error, not raised.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let about = PyDict::new(py);
    about.set_item("kind", kind(error.kind()))?;
    about.set_item("code", error.code().as_str())?;
    about.set_item("what", error.what())?;
    about.set_item("advice", error.advice())?;
    about.set_item("file", error.file())?;
    about.set_item("expected", error.wanted())?;
    about.set_item("actual", error.actual())?;
    let places: Vec<(String, u64)> =
        error.trail().iter().map(|place| (place.space.to_string(), place.offset)).collect();
    about.set_item("places", places)?;
    about.set_item("errno", error.io_error().and_then(std::io::Error::raw_os_error))?;
    make(py)?.call((error.to_string(),), Some(&about))
}

/// Returns the exception of an error, to be raised.
pub(crate) fn raised(py: Python<'_>, error: &Error) -> PyErr {
    exception(py, error).map_or_else(|failed| failed, PyErr::from_value)
}

/// Results of the library as results of Python.
pub(crate) trait OrRaise<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for Result<T, Error> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| raised(py, &error))
    }
}

impl<T> OrRaise<T> for Result<T, DamagedValue> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|damaged| raised(py, &damaged.into()))
    }
}
