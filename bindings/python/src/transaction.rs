//! Changes of keys and values.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hivewright::hivewright_hive::security_descriptor::SecurityDescriptor;
use hivewright::{Action, Change, Code, Data, HiveKind, How, PreparedHive, PreparedTransaction, Restored};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::convert::{self, AnyKeyPath, AnyName, AnyPath, AnyType, given_data};
use crate::error::{OrRaise, exception};

/// An option of the library's transaction.
type Setter = fn(&mut hivewright::Transaction) -> &mut hivewright::Transaction;

/// How a change is made.
pub(crate) struct Options {
    pub(crate) dry_run: bool,
    pub(crate) undo_file: Option<PathBuf>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) in_place: bool,
    pub(crate) keep_timestamps: bool,
    pub(crate) truncate_logs: bool,
    pub(crate) discard_logs: bool,
    pub(crate) force: bool,
    pub(crate) user: Option<String>,
    pub(crate) all_users: bool,
    pub(crate) partition: Option<u32>,
    pub(crate) windows_root: Option<String>,
    pub(crate) image: Option<String>,
    pub(crate) ignore: Vec<String>,
}

/// Changes of keys and values of several hives, made together or not at all. As a context manager it commits at the end of the
/// block, unless an exception leaves it.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Transaction {
    transaction: Mutex<hivewright::Transaction>,
    dry_run: bool,
    done: Mutex<Done>,
}

#[derive(Default)]
struct Done {
    prepared: Option<Arc<PreparedTransaction>>,
    committed: Option<Arc<hivewright::Committed>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Transaction {
    pub(crate) fn new(transaction: hivewright::Transaction, options: Options) -> PyResult<Self> {
        let mut transaction = transaction;
        let flags: [(bool, Setter); 7] = [
            (options.dry_run, hivewright::Transaction::dry_run),
            (options.in_place, hivewright::Transaction::in_place),
            (options.keep_timestamps, hivewright::Transaction::keep_timestamps),
            (options.truncate_logs, hivewright::Transaction::truncate_logs),
            (options.discard_logs, hivewright::Transaction::discard_logs),
            (options.force, hivewright::Transaction::force),
            (options.all_users, hivewright::Transaction::all_users),
        ];
        for (_, set) in flags.iter().filter(|(is_set, _)| *is_set) {
            set(&mut transaction);
        }
        if let Some(file) = options.undo_file {
            transaction.undo_file(file);
        }
        if let Some(file) = options.output {
            transaction.output(file);
        }
        if let Some(user) = options.user {
            let is_default = user.eq_ignore_ascii_case("default");
            transaction.user(if is_default { HiveKind::DefaultUser } else { HiveKind::User(user) });
        }
        if let Some(number) = options.partition {
            transaction.partition(number);
        }
        if let Some(folder) = &options.windows_root {
            transaction.windows_root(folder);
        }
        if let Some(image) = options.image {
            transaction.archive_image(&image);
        }
        for code in options.ignore {
            let known = Code::ALL.iter().find(|known| known.as_str() == code);
            let known = known.ok_or_else(|| PyValueError::new_err(format!("there is no code {code:?}")))?;
            transaction.ignore(*known);
        }
        Ok(Transaction { transaction: Mutex::new(transaction), dry_run: options.dry_run, done: Mutex::default() })
    }

    /// Adds to the transaction, unless somebody has seen already what it does.
    fn add<T>(
        &self,
        py: Python<'_>,
        add: impl FnOnce(&mut hivewright::Transaction) -> hivewright::Result<T>,
    ) -> PyResult<()> {
        if lock(&self.done).prepared.is_some() {
            return Err(PyRuntimeError::new_err("the transaction is prepared already: begin another one"));
        }
        add(&mut lock(&self.transaction)).map(drop).or_raise(py)
    }

    fn operate(&self, py: Python<'_>, key: &AnyKeyPath, action: Action) -> PyResult<()> {
        let path = key.registry_path(py)?;
        self.add(py, |transaction| transaction.operate(path, action).map(drop))
    }
}

#[pymethods]
impl Transaction {
    /// Sets a value, "" for the default value. The key, and those on the way to it, are created where they are not there.
    #[pyo3(signature = (key, name, data, r#type=None))]
    fn set_value(
        &self,
        py: Python<'_>,
        key: AnyKeyPath,
        name: AnyName,
        data: &Bound<'_, PyAny>,
        r#type: Option<AnyType>,
    ) -> PyResult<()> {
        let data: Data = given_data(data, r#type.as_ref())?;
        let (kind, data) = (data.data_type(), data.to_bytes());
        self.operate(py, &key, Action::SetValue { name: name.0, kind, data })
    }

    /// Deletes a value, "" for the default value. Nothing happens where it is not there.
    fn delete_value(&self, py: Python<'_>, key: AnyKeyPath, name: AnyName) -> PyResult<()> {
        self.operate(py, &key, Action::DeleteValue { name: name.0 })
    }

    /// Deletes all values of a key, which stays.
    fn delete_all_values(&self, py: Python<'_>, key: AnyKeyPath) -> PyResult<()> {
        self.operate(py, &key, Action::DeleteAllValues)
    }

    /// Creates a key, and those on the way to it that are not there.
    fn create_key(&self, py: Python<'_>, key: AnyKeyPath) -> PyResult<()> {
        self.operate(py, &key, Action::CreateKey)
    }

    /// Deletes a key and everything below it. Nothing happens where it is not there.
    fn delete_key(&self, py: Python<'_>, key: AnyKeyPath) -> PyResult<()> {
        self.operate(py, &key, Action::DeleteKey)
    }

    /// Gives a key another name.
    fn rename_key(&self, py: Python<'_>, key: AnyKeyPath, name: AnyName) -> PyResult<()> {
        self.operate(py, &key, Action::RenameKey { name: name.0 })
    }

    /// Copies a key and everything below it to another place in its hive.
    fn copy_key(&self, py: Python<'_>, source: AnyKeyPath, to: AnyKeyPath) -> PyResult<()> {
        let from = source.registry_path(py)?;
        self.operate(py, &to, Action::CopyKey { from })
    }

    /// Gives a key a security descriptor, as SDDL.
    fn set_security(&self, py: Python<'_>, key: AnyKeyPath, sddl: &str) -> PyResult<()> {
        let descriptor = SecurityDescriptor::from_sddl(sddl).and_then(|read| read.to_bytes()).or_raise(py)?;
        self.operate(py, &key, Action::SetSecurity { descriptor })
    }

    /// Sets the L2TP/NAT-T setting where this Windows reads it, or removes it with None.
    fn nat_t(&self, py: Python<'_>, number: Option<u32>) -> PyResult<()> {
        self.add(py, |transaction| transaction.nat_t(number).map(drop))
    }

    /// Reads the hives, recovers dirty ones, and makes the changes in memory. Nothing of them is written.
    fn prepare(&self, py: Python<'_>) -> PyResult<Prepared> {
        let transaction = lock(&self.transaction).clone();
        let prepared = Arc::new(py.detach(|| transaction.prepare()).or_raise(py)?);
        lock(&self.done).prepared = Some(prepared.clone());
        Ok(Prepared { prepared, dry_run: self.dry_run })
    }

    /// Prepares, proves and writes the changes, all or none. With dry_run all of it but the write, and None.
    fn commit(&self, py: Python<'_>) -> PyResult<Option<Committed>> {
        let prepared = self.prepare(py)?;
        if self.dry_run {
            prepared.try_out(py)?;
            return Ok(None);
        }
        let committed = prepared.commit(py)?;
        lock(&self.done).committed = Some(committed.0.clone());
        Ok(Some(committed))
    }

    /// What was prepared; None before.
    #[getter]
    fn prepared(&self) -> Option<Prepared> {
        let prepared = lock(&self.done).prepared.clone();
        prepared.map(|prepared| Prepared { prepared, dry_run: self.dry_run })
    }

    /// What was committed; None before, and with dry_run.
    #[getter]
    fn committed(&self) -> Option<Committed> {
        lock(&self.done).committed.clone().map(Committed)
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        exception: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<bool> {
        // One that was committed within the block is not made again.
        if exception.is_none() && lock(&self.done).committed.is_none() {
            self.commit(py)?;
        }
        Ok(false)
    }
}

/// A transaction that is made in memory: ready to be proven and written.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Prepared {
    prepared: Arc<PreparedTransaction>,
    dry_run: bool,
}

fn described<'py>(py: Python<'py>, hive: &PreparedHive, change: &Change) -> PyResult<Bound<'py, PyDict>> {
    let about = PyDict::new(py);
    about.set_item("hive", hive.hive.description())?;
    about.set_item("control_set", change.operation.control_set)?;
    about.set_item("key", change.operation.path.to_string())?;
    let action = match &change.operation.action {
        Action::CreateKey => "create-key",
        Action::DeleteKey => "delete-key",
        Action::RenameKey { name } => {
            about.set_item("to", convert::name(py, name)?)?;
            "rename-key"
        }
        Action::CopyKey { from } => {
            about.set_item("from", from.to_string())?;
            "copy-key"
        }
        Action::SetSecurity { descriptor } => {
            about.set_item("security_descriptor", PyBytes::new(py, descriptor))?;
            "set-security"
        }
        Action::SetValue { kind, data, .. } => {
            about.set_item("type", kind.to_string())?;
            about.set_item("data", convert::data(py, &Data::new(*kind, &data[..]))?)?;
            "set-value"
        }
        Action::DeleteValue { .. } => "delete-value",
        Action::DeleteAllValues => "delete-all-values",
        _ => "other",
    };
    about.set_item("action", action)?;
    let value = change.operation.action.value_name().map(|name| convert::name(py, name)).transpose()?;
    about.set_item("value", value)?;
    let before = change.before.iter().map(|before| {
        let was = PyDict::new(py);
        was.set_item("type", before.kind.to_string())?;
        was.set_item("data", convert::data(py, &Data::new(before.kind, &before.data[..]))?)?;
        Ok(was)
    });
    about.set_item("before", before.collect::<PyResult<Vec<_>>>()?)?;
    about.set_item("changes", change.changes)?;
    Ok(about)
}

#[pymethods]
impl Prepared {
    /// Whether everything is as wanted already.
    #[getter]
    fn is_already_so(&self) -> bool {
        self.prepared.is_already_so()
    }

    /// The changes, in their order: hive, key, action, value, type, data, before, and whether it changes anything.
    #[getter]
    fn changes<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let hives = self.prepared.hives().iter();
        let all = hives.flat_map(|hive| hive.changes.iter().map(move |change| described(py, hive, change)));
        all.collect()
    }

    /// Why users are passed over, where a change was asked for every user: their profiles are on another volume.
    #[getter]
    fn passed_over<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.prepared.passed_over().iter().map(|error| exception(py, error)).collect()
    }

    /// Does all that commit does before it writes: takes the locks and gives them back, and proves the change.
    fn try_out(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.prepared.try_out()).or_raise(py)
    }

    /// Proves the change of every hive and brings it to the disk: all of them, or none.
    fn commit(&self, py: Python<'_>) -> PyResult<Committed> {
        if self.dry_run {
            return Err(PyRuntimeError::new_err("the transaction is a dry run"));
        }
        let committed = py.detach(|| self.prepared.commit()).or_raise(py)?;
        Ok(Committed(Arc::new(committed)))
    }
}

/// A commit that is done: everything is durable and was read back.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Committed(Arc<hivewright::Committed>);

#[pymethods]
impl Committed {
    /// How: "unchanged", "replaced", "in-place", "output" or "output-hive".
    #[getter]
    fn how(&self) -> &'static str {
        match self.0.how {
            How::Unchanged => "unchanged",
            How::Replaced => "replaced",
            How::InPlace => "in-place",
            How::Output => "output",
            How::OutputHive => "output-hive",
            _ => "other",
        }
    }

    /// The file that has the new bytes.
    #[getter]
    fn path(&self) -> &Path {
        &self.0.path
    }

    /// The undo file, if one was written.
    #[getter]
    fn undo(&self) -> Option<&Path> {
        self.0.undo.as_deref()
    }

    /// Why bytes were changed in place.
    #[getter]
    fn why_in_place(&self) -> Option<&str> {
        self.0.why_in_place.as_deref()
    }

    /// What did not work and does no harm.
    #[getter]
    fn notes(&self) -> Vec<String> {
        self.0.notes.clone()
    }

    /// The hives that were changed: the file, and the place inside of it where it is an image.
    #[getter]
    fn hives(&self) -> Vec<(&Path, Option<&str>)> {
        self.0.hives.iter().map(|file| (&*file.path, file.inside.as_deref())).collect()
    }

    fn __repr__(&self) -> String {
        format!("<hivewright.Committed {} {}>", self.how(), self.0.path.display())
    }
}

/// Takes a change back by its undo file, bit for bit. Returns the file that has its old bytes again, and how: "already",
/// "replaced" or "in-place".
#[pyfunction]
#[pyo3(signature = (undo_file, target=None))]
pub(crate) fn undo(py: Python<'_>, undo_file: AnyPath, target: Option<AnyPath>) -> PyResult<(PathBuf, &'static str)> {
    let target = target.map(|path| path.0);
    let undone = py.detach(|| hivewright::undo(&undo_file.0, target.as_deref())).or_raise(py)?;
    let how = match undone.how {
        Restored::Already => "already",
        Restored::Replaced => "replaced",
        Restored::InPlace => "in-place",
        _ => "other",
    };
    Ok((undone.target, how))
}
