//! Hives, keys and values. A key is its hive and the cell offset of its key node, a value the same with the cell of the key value:
//! small, and read anew from the hive's bytes whenever something of it is asked for.

use std::sync::Arc;

use hivewright::hivewright_hive::regf::CellOffset;
use hivewright::hivewright_hive::security_descriptor::SecurityDescriptor;
use hivewright::{Code, Error, KeyPath, Kind, Result};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

use crate::convert::{self, AnyKeyPath, AnyName};
use crate::error::OrRaise;
use crate::iterate::{Subkeys, Values, Walk};

/// An opened hive, shared by what was found in it.
pub(crate) struct Shared {
    pub(crate) hive: hivewright::Hive,
    in_memory: bool,
}

impl Shared {
    /// Runs `read` on the hive. Where that may wait for a disk, other threads of Python run meanwhile.
    pub(crate) fn read<T: Send>(
        self: &Arc<Self>,
        py: Python<'_>,
        read: impl FnOnce(&hivewright::Hive) -> Result<T> + Send,
    ) -> PyResult<T> {
        let result = if self.in_memory { read(&self.hive) } else { py.detach(|| read(&self.hive)) };
        result.or_raise(py)
    }
}

/// The most keys between a key and the root (Microsoft, "Registry element size limits").
pub(crate) const MOST_LEVELS: usize = 512;

/// A hive as Windows would load it: a dirty one has its transaction logs replayed, in memory.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Hive(pub(crate) Arc<Shared>);

impl Hive {
    pub(crate) fn new(hive: hivewright::Hive) -> Self {
        let in_memory = hive.is_in_memory();
        Hive(Arc::new(Shared { hive, in_memory }))
    }
}

fn no_key(path: &KeyPath<'_>) -> Error {
    Error::new(Kind::NotFound, Code::NoKey, format!("there is no key {path}"))
}

#[pymethods]
impl Hive {
    /// The root key.
    #[getter]
    fn root(&self, py: Python<'_>) -> PyResult<Key> {
        let at = self.0.read(py, |hive| hive.root().map(|key| key.at()))?;
        Ok(Key { shared: self.0.clone(), at })
    }

    /// Whether it was dirty, and its transaction logs were replayed.
    #[getter]
    fn is_recovered(&self) -> bool {
        self.0.hive.recovery().is_some()
    }

    /// Returns the key at a path below the root; raises NotFoundError where there is none.
    fn get_key(&self, py: Python<'_>, path: AnyKeyPath) -> PyResult<Key> {
        let at = self.0.read(py, |hive| {
            let path = path.key_path();
            hive.key(&path)?.map(|key| key.at()).ok_or_else(|| no_key(&path))
        })?;
        Ok(Key { shared: self.0.clone(), at })
    }

    /// Returns the key at a path below the root, None where there is none.
    fn find_key(&self, py: Python<'_>, path: AnyKeyPath) -> PyResult<Option<Key>> {
        let at = self.0.read(py, |hive| Ok(hive.key(path.key_path())?.map(|key| key.at())))?;
        Ok(at.map(|at| Key { shared: self.0.clone(), at }))
    }

    /// Iterates over all keys, the root first, each before those below it.
    #[pyo3(signature = (onerror=None))]
    fn walk(&self, py: Python<'_>, onerror: Option<Py<PyAny>>) -> PyResult<Walk> {
        let root = self.0.read(py, |hive| hive.root().map(|key| key.at()))?;
        Ok(Walk::new(self.0.clone(), root, onerror))
    }

    fn __repr__(&self) -> String {
        format!("<hivewright.{:?}>", self.0.hive)
    }
}

/// A key of a hive.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Key {
    pub(crate) shared: Arc<Shared>,
    pub(crate) at: CellOffset,
}

impl Key {
    fn read<T: Send>(&self, py: Python<'_>, read: impl FnOnce(hivewright::Key<'_>) -> Result<T> + Send) -> PyResult<T> {
        let at = self.at;
        self.shared.read(py, |hive| read(hive.key_at(at)?))
    }

    fn other(&self, at: CellOffset) -> Key {
        Key { shared: self.shared.clone(), at }
    }

    /// The path from the root, without the root's name.
    fn key_path(&self, py: Python<'_>) -> PyResult<KeyPath<'static>> {
        self.read(py, |key| {
            let mut names = Vec::new();
            let mut key = Some(key);
            while let Some(one) = key {
                key = one.parent()?;
                if key.is_some() {
                    names.push(one.name().clone().into_owned());
                }
                if names.len() > MOST_LEVELS {
                    let what = "the key is deeper than Windows allows, or among its own parents";
                    return Err(Error::corrupt(Code::KeyDepth, what, one.at().in_file()));
                }
            }
            names.reverse();
            Ok(KeyPath::from_names(names))
        })
    }
}

/// The key at `path` below `key`.
fn below<'h>(key: hivewright::Key<'h>, path: &KeyPath<'_>) -> Result<Option<hivewright::Key<'h>>> {
    let mut key = key;
    for name in path.names() {
        match key.subkey(name)? {
            Some(next) => key = next,
            None => return Ok(None),
        }
    }
    Ok(Some(key))
}

#[pymethods]
impl Key {
    /// The name.
    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        if self.shared.in_memory {
            let key = self.shared.hive.key_at(self.at).or_raise(py)?;
            return convert::name(py, key.name());
        }
        let name = self.read(py, |key| Ok(key.name().clone().into_owned()))?;
        convert::name(py, &name)
    }

    /// The path from the root, without the root's name: get_key of the hive takes it.
    #[getter]
    fn path(&self, py: Python<'_>) -> PyResult<String> {
        Ok(self.key_path(py)?.to_string())
    }

    /// The names on the way from the root to the key, each as it is.
    #[getter]
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyString>>> {
        self.key_path(py)?.names().iter().map(|name| convert::name(py, name)).collect()
    }

    /// When values or subkeys were last changed, in UTC. Raises OverflowError for a time beyond the year 9999.
    #[getter]
    fn last_written<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let time = self.read(py, |key| Ok(key.last_written()))?;
        convert::datetime(py, time)
    }

    /// The same as stored: 100-nanosecond intervals since 1601.
    #[getter]
    fn last_written_filetime(&self, py: Python<'_>) -> PyResult<u64> {
        self.read(py, |key| Ok(key.last_written().0))
    }

    /// The number of subkeys, as the key has it.
    #[getter]
    fn subkey_count(&self, py: Python<'_>) -> PyResult<u32> {
        self.read(py, |key| Ok(key.node().subkey_count.get()))
    }

    /// The number of values, as the key has it.
    #[getter]
    fn value_count(&self, py: Python<'_>) -> PyResult<u32> {
        self.read(py, |key| Ok(key.node().values()))
    }

    /// The class name, which few keys have.
    #[getter]
    fn class_name<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyString>>> {
        let class = self.read(py, |key| key.class())?;
        let units = class.map(|class| class.units().collect::<Vec<_>>());
        units.map(|units| convert::text(py, units.into_iter())).transpose()
    }

    /// The parent, None for the root.
    #[getter]
    fn parent(&self, py: Python<'_>) -> PyResult<Option<Key>> {
        let at = self.read(py, |key| Ok(key.parent()?.map(|parent| parent.at())))?;
        Ok(at.map(|at| self.other(at)))
    }

    /// The cell offset of the key node; 4096 more is its offset in the file.
    #[getter]
    fn offset(&self) -> u32 {
        self.at.0
    }

    /// The security descriptor, self-relative as Windows stores it.
    #[getter]
    fn security_descriptor<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.read(py, |key| key.security_descriptor().map(|bytes| bytes.into_owned()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The security descriptor as SDDL.
    #[getter]
    fn sddl(&self, py: Python<'_>) -> PyResult<String> {
        self.read(py, |key| Ok(SecurityDescriptor::from_bytes(&key.security_descriptor()?)?.to_sddl()?.text))
    }

    /// Returns the key at a path below this one; raises NotFoundError where there is none.
    fn get_key(&self, py: Python<'_>, path: AnyKeyPath) -> PyResult<Key> {
        let at = self.read(py, |key| {
            let path = path.key_path();
            below(key, &path)?.map(|key| key.at()).ok_or_else(|| no_key(&path))
        })?;
        Ok(self.other(at))
    }

    /// Returns the key at a path below this one, None where there is none.
    fn find_key(&self, py: Python<'_>, path: AnyKeyPath) -> PyResult<Option<Key>> {
        let at = self.read(py, |key| Ok(below(key, &path.key_path())?.map(|key| key.at())))?;
        Ok(at.map(|at| self.other(at)))
    }

    /// Returns a value by name, "" for the default value; raises NotFoundError where there is none.
    fn get_value(&self, py: Python<'_>, name: AnyName) -> PyResult<Value> {
        let at = self.read(py, |key| {
            let none =
                || Error::new(Kind::NotFound, Code::NoValue, format!("there is no value {}", name.0.to_escaped()));
            key.value(&name.0)?.map(|value| (key.at(), value.index())).ok_or_else(none)
        })?;
        Ok(Value::new(&self.shared, at))
    }

    /// Returns a value by name, None where there is none.
    fn find_value(&self, py: Python<'_>, name: AnyName) -> PyResult<Option<Value>> {
        let at = self.read(py, |key| Ok(key.value(&name.0)?.map(|value| (key.at(), value.index()))))?;
        Ok(at.map(|at| Value::new(&self.shared, at)))
    }

    /// Iterates over the subkeys. One that cannot be read is raised in its place, or given to `onerror`.
    #[pyo3(signature = (onerror=None))]
    fn subkeys(&self, py: Python<'_>, onerror: Option<Py<PyAny>>) -> PyResult<Subkeys> {
        Subkeys::of(py, self, onerror)
    }

    /// Iterates over the values. One that cannot be read is raised in its place, or given to `onerror`.
    #[pyo3(signature = (onerror=None))]
    fn values(&self, py: Python<'_>, onerror: Option<Py<PyAny>>) -> PyResult<Values> {
        Values::of(py, self, onerror)
    }

    /// Iterates over this key and all keys below it, each before those below it.
    #[pyo3(signature = (onerror=None))]
    fn walk(&self, onerror: Option<Py<PyAny>>) -> Walk {
        Walk::new(self.shared.clone(), self.at, onerror)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let other = other.cast::<Key>().map(|other| other.get());
        other.is_ok_and(|other| Arc::ptr_eq(&self.shared, &other.shared) && self.at == other.at)
    }

    fn __hash__(&self) -> isize {
        // Offsets are multiples of eight.
        isize::try_from(self.at.0 / 8).unwrap_or(0)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("<hivewright.Key {:?}>", self.path(py)?))
    }
}

/// A value of a key.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Value {
    shared: Arc<Shared>,
    key: CellOffset,
    /// Its place in the values list.
    index: u32,
}

impl Value {
    pub(crate) fn new(shared: &Arc<Shared>, (key, index): (CellOffset, u32)) -> Self {
        Value { shared: shared.clone(), key, index }
    }

    fn read<T: Send>(
        &self,
        py: Python<'_>,
        read: impl FnOnce(hivewright::Value<'_>) -> Result<T> + Send,
    ) -> PyResult<T> {
        self.shared.read(py, |hive| read(hive.key_at(self.key)?.value_at(self.index)?))
    }
}

#[pymethods]
impl Value {
    /// The name, "" for the default value.
    #[getter]
    fn name<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let name = self.read(py, |value| Ok(value.name().clone().into_owned()))?;
        convert::name(py, &name)
    }

    /// The number of the type, as stored: 1 is REG_SZ, 4 REG_DWORD.
    #[getter]
    fn r#type(&self, py: Python<'_>) -> PyResult<u32> {
        self.read(py, |value| Ok(value.data_type().0))
    }

    /// The name of the type: "REG_SZ".
    #[getter]
    fn type_name(&self, py: Python<'_>) -> PyResult<String> {
        self.read(py, |value| Ok(value.data_type().to_string()))
    }

    /// The number of bytes of the data.
    #[getter]
    fn size(&self, py: Python<'_>) -> PyResult<usize> {
        self.read(py, |value| Ok(value.size()))
    }

    /// The data, by its type: int, str, list of str, or bytes. A number whose data has another size than its type is bytes.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let data = self.read(py, |value| value.data())?;
        convert::data(py, &data)
    }

    /// The data as stored.
    #[getter]
    fn raw<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.read(py, |value| value.raw_data().map(|bytes| bytes.into_owned()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The key that it belongs to.
    #[getter]
    fn key(&self) -> Key {
        Key { shared: self.shared.clone(), at: self.key }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let about = self.read(py, |value| Ok((value.name().to_escaped(), value.data_type(), value.size())))?;
        Ok(format!("<hivewright.Value {:?} ({}, {} bytes)>", about.0, about.1, about.2))
    }
}
