//! Iteration over keys and values. The cell offsets of a list are read at once, and become objects one by one.
//!
//! What cannot be read is an exception in its place, after which the iteration goes on; or it is given to a function.

use std::sync::{Arc, Mutex, PoisonError};

use hivewright::hivewright_hive::regf::{CellOffset, cell};
use hivewright::{Code, Error, Result};
use pyo3::prelude::*;

use crate::error::{OrRaise, exception};
use crate::hive::{Key, MOST_LEVELS, Shared, Value};

/// What a list has at a place.
type Item = Result<CellOffset>;

/// Gives an error to `onerror`, or raises it.
fn refuse(py: Python<'_>, onerror: Option<&Py<PyAny>>, error: Error) -> PyResult<()> {
    match onerror {
        Some(onerror) => onerror.call1(py, (exception(py, &error)?,)).map(drop),
        None => Err(error).or_raise(py),
    }
}

/// Returns the next item; an error before it goes to `onerror`, or is raised.
fn next<T>(
    py: Python<'_>,
    onerror: Option<&Py<PyAny>>,
    mut next: impl FnMut() -> PyResult<Option<Result<T>>>,
) -> PyResult<Option<T>> {
    loop {
        match next()? {
            None => return Ok(None),
            Some(Ok(item)) => return Ok(Some(item)),
            Some(Err(error)) => refuse(py, onerror, error)?,
        }
    }
}

/// Takes the next item of a list.
fn taken<T>(items: &Mutex<std::vec::IntoIter<T>>) -> Option<T> {
    items.lock().unwrap_or_else(PoisonError::into_inner).next()
}

fn subkeys_of(hive: &hivewright::Hive, key: CellOffset) -> Result<Vec<Item>> {
    Ok(hive.key_at(key)?.subkeys()?.map(|key| key.map(|key| key.at())).collect())
}

/// The subkeys of a key.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Subkeys {
    shared: Arc<Shared>,
    items: Mutex<std::vec::IntoIter<Item>>,
    onerror: Option<Py<PyAny>>,
}

impl Subkeys {
    pub(crate) fn of(py: Python<'_>, key: &Key, onerror: Option<Py<PyAny>>) -> PyResult<Self> {
        let items = key.shared.read(py, |hive| subkeys_of(hive, key.at))?;
        Ok(Subkeys { shared: key.shared.clone(), items: Mutex::new(items.into_iter()), onerror })
    }
}

#[pymethods]
impl Subkeys {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Key>> {
        let at = next(py, self.onerror.as_ref(), || Ok(taken(&self.items)))?;
        Ok(at.map(|at| Key { shared: self.shared.clone(), at }))
    }
}

/// The values of a key.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Values {
    shared: Arc<Shared>,
    key: CellOffset,
    items: Mutex<std::vec::IntoIter<Result<u32>>>,
    onerror: Option<Py<PyAny>>,
}

impl Values {
    pub(crate) fn of(py: Python<'_>, key: &Key, onerror: Option<Py<PyAny>>) -> PyResult<Self> {
        let items: Vec<Result<u32>> = key.shared.read(py, |hive| {
            let values = hive.key_at(key.at)?.values()?;
            Ok(values.map(|value| value.map(|value| value.index()).map_err(Error::from)).collect())
        })?;
        Ok(Values { shared: key.shared.clone(), key: key.at, items: Mutex::new(items.into_iter()), onerror })
    }
}

#[pymethods]
impl Values {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Value>> {
        let index = next(py, self.onerror.as_ref(), || Ok(taken(&self.items)))?;
        Ok(index.map(|index| Value::new(&self.shared, (self.key, index))))
    }
}

/// A key and all keys below it.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Walk {
    shared: Arc<Shared>,
    state: Mutex<State>,
    onerror: Option<Py<PyAny>>,
}

struct State {
    /// The rest of each list on the way down.
    levels: Vec<std::vec::IntoIter<Item>>,
    /// The key that was given last, whose subkeys come next.
    last: Option<CellOffset>,
    /// A bit for each place where a cell can begin: a hostile hive may list a key under itself, or one under many.
    seen: Vec<u64>,
}

impl State {
    /// Notes a key, and returns whether it is the first time.
    fn is_new(&mut self, at: CellOffset) -> bool {
        let number = (at.0 / cell::ALIGNMENT) as usize;
        let Some(bits) = self.seen.get_mut(number / 64) else { return false };
        let bit = 1 << (number % 64);
        let is_new = *bits & bit == 0;
        *bits |= bit;
        is_new
    }

    /// The next key, or the next error.
    fn next(&mut self, hive: &hivewright::Hive) -> Option<Result<CellOffset>> {
        if let Some(last) = self.last.take() {
            match subkeys_of(hive, last) {
                Ok(items) if items.is_empty() => {}
                Ok(_) if self.levels.len() > MOST_LEVELS => {
                    let what = "keys are nested deeper than Windows allows";
                    return Some(Err(Error::corrupt(Code::KeyDepth, what, last.in_file())));
                }
                Ok(items) => self.levels.push(items.into_iter()),
                Err(error) => return Some(Err(error)),
            }
        }
        loop {
            match self.levels.last_mut()?.next() {
                None => {
                    self.levels.pop();
                }
                Some(Ok(at)) if self.is_new(at) => {
                    self.last = Some(at);
                    return Some(Ok(at));
                }
                Some(Ok(at)) => {
                    let what = "the key is listed twice, and was given already";
                    return Some(Err(Error::corrupt(Code::KeyTwice, what, at.in_file())));
                }
                Some(Err(error)) => return Some(Err(error)),
            }
        }
    }
}

impl Walk {
    pub(crate) fn new(shared: Arc<Shared>, at: CellOffset, onerror: Option<Py<PyAny>>) -> Self {
        let cells = (shared.hive.length() / cell::ALIGNMENT) as usize;
        let state = State { levels: vec![vec![Ok(at)].into_iter()], last: None, seen: vec![0; cells / 64 + 1] };
        Walk { shared, state: Mutex::new(state), onerror }
    }
}

#[pymethods]
impl Walk {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Key>> {
        // The lock is taken with the GIL released, or given back before another thread can want it.
        let state = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let at = next(py, self.onerror.as_ref(), || self.shared.read(py, |hive| Ok(state().next(hive))))?;
        Ok(at.map(|at| Key { shared: self.shared.clone(), at }))
    }
}
