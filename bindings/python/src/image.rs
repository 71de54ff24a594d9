//! Images and the Windows installations in them.

use std::path::Path;
use std::sync::Arc;

use hivewright::{Code, Error, HiveKind, ImageOptions, Kind};
use pyo3::prelude::*;

use crate::convert::{self, AnyPath};
use crate::error::OrRaise;
use crate::hive::Hive;
use crate::transaction::{Options, Transaction};

/// A disk image, a block device, a folder with Windows, or a bare hive.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Image(hivewright::Image);

/// A hive by the name of its file, and of the user whose profile it is in.
fn kind_of(name: &str, user: Option<String>) -> Result<HiveKind, Error> {
    let is = |file: &str| file.eq_ignore_ascii_case(name);
    let of_user = |kind: fn(String) -> HiveKind, without: Option<HiveKind>| match (user.clone(), without) {
        (Some(user), _) => Ok(kind(user)),
        (None, Some(kind)) => Ok(kind),
        (None, None) => Err(Error::refused(Code::UserUnnamed, format!("{name} is of a user")).advise("give user=")),
    };
    if is("NTUSER.DAT") {
        return of_user(HiveKind::User, Some(HiveKind::DefaultUser));
    }
    if is("UsrClass.dat") {
        return of_user(HiveKind::UserClasses, None);
    }
    let known = HiveKind::OF_CONFIG.into_iter().chain([HiveKind::Bcd]).find(|kind| is(kind.file_name()));
    known.ok_or_else(|| {
        let names: Vec<&str> = HiveKind::OF_CONFIG.iter().map(HiveKind::file_name).collect();
        Error::new(Kind::NotFound, Code::OtherHive, format!("{name} is no hive of a Windows installation"))
            .advise(format!("there are {}, BCD, NTUSER.DAT and UsrClass.dat", names.join(", ")))
    })
}

#[pymethods]
impl Image {
    /// Opens what lies at `path`: a disk image, a block device, a folder, or a bare hive. Nothing is written.
    #[staticmethod]
    #[pyo3(signature = (path, *, format=None, allow=Vec::new(), qemu_nbd=None, mapped=true, device=false, replay_log=false))]
    #[allow(clippy::too_many_arguments)]
    fn open(
        py: Python<'_>,
        path: AnyPath,
        format: Option<String>,
        allow: Vec<AnyPath>,
        qemu_nbd: Option<AnyPath>,
        mapped: bool,
        device: bool,
        replay_log: bool,
    ) -> PyResult<Self> {
        let mut options = ImageOptions::default();
        options.format = format;
        options.allow = allow.into_iter().map(|path| path.0).collect();
        options.qemu_nbd = qemu_nbd.map(|path| path.0);
        (options.mapped, options.device, options.replay_log) = (mapped, device, replay_log);
        py.detach(|| hivewright::Image::open_as(&path.0, &options)).or_raise(py).map(Image)
    }

    /// The path that was given.
    #[getter]
    fn path(&self) -> &Path {
        self.0.path()
    }

    /// The bytes read of its files so far; none of a hive that is mapped.
    #[getter]
    fn bytes_read(&self) -> u64 {
        self.0.bytes_read()
    }

    /// Returns the Windows installations in it, in the order of their volumes.
    fn installations(&self, py: Python<'_>) -> PyResult<Vec<Installation>> {
        let found = py.detach(|| self.0.installations()).or_raise(py)?;
        Ok(found.into_iter().map(|one| Installation(Arc::new(one))).collect())
    }

    /// Opens a hive of its only installation, by the name of its file; without a name, the hive that the image is, or SYSTEM.
    #[pyo3(signature = (name=None, *, user=None))]
    fn hive(&self, py: Python<'_>, name: Option<&str>, user: Option<String>) -> PyResult<Hive> {
        let hive = py.detach(|| match name {
            None => self.0.hive(),
            Some(name) => {
                let kind = kind_of(name, user)?;
                let mut found = self.0.installations()?;
                match (found.pop(), found.is_empty()) {
                    (Some(one), true) => one.hive(kind),
                    // It says which there are.
                    _ => self.0.hive(),
                }
            }
        });
        hive.or_raise(py).map(Hive::new)
    }

    /// Begins a change of the registry of its installation, or of the hive that it is.
    #[pyo3(signature = (*, dry_run=false, undo_file=None, output=None, in_place=false, keep_timestamps=false,
        truncate_logs=false, discard_logs=false, force=false, user=None, all_users=false, partition=None,
        windows_root=None, image=None, ignore=Vec::new()))]
    #[allow(clippy::too_many_arguments)]
    fn transaction(
        &self,
        dry_run: bool,
        undo_file: Option<AnyPath>,
        output: Option<AnyPath>,
        in_place: bool,
        keep_timestamps: bool,
        truncate_logs: bool,
        discard_logs: bool,
        force: bool,
        user: Option<String>,
        all_users: bool,
        partition: Option<u32>,
        windows_root: Option<String>,
        image: Option<String>,
        ignore: Vec<String>,
    ) -> PyResult<Transaction> {
        let options = Options {
            dry_run,
            undo_file: undo_file.map(|path| path.0),
            output: output.map(|path| path.0),
            in_place,
            keep_timestamps,
            truncate_logs,
            discard_logs,
            force,
            user,
            all_users,
            partition,
            windows_root,
            image,
            ignore,
        };
        Transaction::new(self.0.transaction(), options)
    }

    fn __repr__(&self) -> String {
        format!("<hivewright.Image {}>", self.0.path().display())
    }
}

/// A Windows installation in an image.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Installation(Arc<hivewright::Installation>);

#[pymethods]
impl Installation {
    /// Opens one of its hives by the name of its file: "SYSTEM", "SOFTWARE", "SAM", "NTUSER.DAT" ... A user is named by SID or by
    /// the folder of the profile; NTUSER.DAT without a user is that of the default user.
    #[pyo3(signature = (name="SYSTEM", *, user=None))]
    fn hive(&self, py: Python<'_>, name: &str, user: Option<String>) -> PyResult<Hive> {
        let hive = py.detach(|| kind_of(name, user).and_then(|kind| self.0.hive(kind)));
        hive.or_raise(py).map(Hive::new)
    }

    /// Returns the users that have a profile.
    fn profiles(&self, py: Python<'_>) -> PyResult<Vec<Profile>> {
        let found = py.detach(|| self.0.profiles()).or_raise(py)?;
        Ok(found.into_iter().map(Profile).collect())
    }

    /// Returns the version of Windows as SOFTWARE has it, as a dict; None if there is no such hive or it does not say.
    fn product<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let product = py.detach(|| self.0.product()).or_raise(py)?;
        product.map(|product| convert::document(py, &product)).transpose()
    }

    /// Returns the L2TP/NAT-T setting as the next boot takes it, as a dict with state, value, effective and meaning.
    fn nat_t<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let verdict = py.detach(|| self.0.nat_t()).or_raise(py)?;
        convert::document(py, &verdict)
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<hivewright.Installation {}>", self.0)
    }
}

/// A user with a profile.
#[pyclass(frozen, module = "hivewright")]
pub(crate) struct Profile(hivewright::Profile);

#[pymethods]
impl Profile {
    /// The security identifier.
    #[getter]
    fn sid(&self) -> &str {
        &self.0.sid
    }

    /// The folder, as the registry has it.
    #[getter]
    fn folder(&self) -> &str {
        &self.0.folder
    }

    /// The last name of the folder, mostly the name of the user.
    #[getter]
    fn name(&self) -> &str {
        self.0.name()
    }

    fn __repr__(&self) -> String {
        format!("<hivewright.Profile {} {}>", self.0.name(), self.0.sid)
    }
}
