//! Public interface for changes of several keys of several hives, made together or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::commit::{Committed, InPlace, Options};
use super::{Action, Edits, Logs, PathOperation, Plan, Prepared, PreparedHive, Request, prepare};
use crate::hive_kind::HiveKind;
use crate::locate::{Choice, Image, LogChoice, VolumeChoice};
use crate::registry_path::RegistryPath;
use hivewright_disk::partition::VolumeId;
use hivewright_error::{Code, Error, Result};
use hivewright_hive::regf::name::Name;
use hivewright_hive::security_descriptor::SecurityDescriptor;
use hivewright_hive::{Data, EditOptions};

/// Changes to the registry of one Windows installation, made together or not at all.
///
/// Operations are collected in order; nothing is read until [`Transaction::prepare`].
///
/// # Examples
/// ```
/// use hivewright::{Data, Image};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = folder.path().join("SYSTEM");
/// # std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/windows/win10/SYSTEM"), &file).unwrap();
/// // A disk image or a folder just as well.
/// let image = Image::open(&file)?;
/// let mut edit = image.transaction();
/// edit.set_value(r"HKLM\SYSTEM\CurrentControlSet\Services\Example", "Start", Data::Dword(4))?;
/// edit.delete_value(r"HKLM\SYSTEM\Setup", "CmdLine")?;
/// let prepared = edit.prepare()?;
/// for hive in prepared.hives() {
///     println!("{}: {} patches", hive.hive.description(), hive.edited.patches.patches.len());
/// }
/// // Proven, durable, and read back.
/// prepared.commit()?;
///
/// let system = image.hive()?;
/// let key = system.key(r"CurrentControlSet\Services\Example")?.expect("it was created with its value");
/// assert_eq!(key.value("Start")?.map(|value| value.data()).transpose()?, Some(Data::Dword(4)));
/// # Ok::<(), hivewright::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is read or written until it is prepared and committed"]
pub struct Transaction {
    path: PathBuf,
    operations: Vec<PathOperation>,
    plan: Option<Arc<dyn Plan>>,
    user: Option<HiveKind>,
    request: Request,
    logs: Logs,
    options: Options,
}

/// A [`Transaction`] in memory: recovered, edited, and ready to be proven and written. Dropping it changes nothing.
#[derive(Debug)]
pub struct PreparedTransaction {
    path: PathBuf,
    prepared: Prepared,
    logs: Logs,
    options: Options,
}

impl Image {
    /// Begins a change of its installation, or of the bare hive.
    pub fn transaction(&self) -> Transaction {
        let image = self.disk().map(|disk| disk.options().clone()).unwrap_or_default();
        Transaction {
            path: self.path().to_owned(),
            operations: Vec::new(),
            plan: None,
            user: None,
            request: Request {
                edits: Edits::Recovery,
                force: false,
                logs: LogChoice::Beside,
                discard_logs: false,
                all_users: false,
                settle: true,
                elsewhere: false,
                options: EditOptions::default(),
                choice: Choice { image, ..Choice::default() },
                ignore: Vec::new(),
            },
            logs: Logs::Kept,
            options: Options::default(),
        }
    }
}

/// Conversion to the path of a key: from a [`RegistryPath`], or from its text.
pub trait IntoRegistryPath {
    /// Returns the path.
    ///
    /// # Errors
    /// As [`RegistryPath::from_str`](std::str::FromStr::from_str).
    fn into_registry_path(self) -> Result<RegistryPath>;
}

impl IntoRegistryPath for RegistryPath {
    fn into_registry_path(self) -> Result<RegistryPath> {
        Ok(self)
    }
}

impl IntoRegistryPath for &RegistryPath {
    fn into_registry_path(self) -> Result<RegistryPath> {
        Ok(self.clone())
    }
}

impl IntoRegistryPath for &str {
    fn into_registry_path(self) -> Result<RegistryPath> {
        self.parse()
    }
}

impl Transaction {
    /// Sets a value, `""` for the default value. Missing keys on the path are created.
    ///
    /// # Errors
    /// `registry-root`: the path does not begin at a root with hives.
    pub fn set_value<'n>(
        &mut self,
        key: impl IntoRegistryPath,
        name: impl Into<Name<'n>>,
        data: Data,
    ) -> Result<&mut Self> {
        let (kind, data) = (data.data_type(), data.to_bytes());
        self.operate(key, Action::SetValue { name: name.into().into_owned(), kind, data })
    }

    /// Deletes a value, `""` for the default value; a missing value is no error.
    ///
    /// # Errors
    /// As [`Transaction::set_value`].
    pub fn delete_value<'n>(&mut self, key: impl IntoRegistryPath, name: impl Into<Name<'n>>) -> Result<&mut Self> {
        self.operate(key, Action::DeleteValue { name: name.into().into_owned() })
    }

    /// Creates a key, and the missing keys on its path.
    ///
    /// # Errors
    /// As [`Transaction::set_value`].
    pub fn create_key(&mut self, key: impl IntoRegistryPath) -> Result<&mut Self> {
        self.operate(key, Action::CreateKey)
    }

    /// Deletes a key and everything below it; a missing key is no error.
    ///
    /// # Errors
    /// As [`Transaction::set_value`].
    pub fn delete_key(&mut self, key: impl IntoRegistryPath) -> Result<&mut Self> {
        self.operate(key, Action::DeleteKey)
    }

    /// Adds a plan, which yields the first operations, on the hive SYSTEM or the bare hive.
    pub(crate) fn plan(&mut self, plan: impl Plan + 'static) -> &mut Self {
        self.plan = Some(Arc::new(plan));
        self
    }

    /// Deletes all values of a key, but not the key.
    ///
    /// # Errors
    /// As [`Transaction::set_value`].
    pub fn delete_all_values(&mut self, key: impl IntoRegistryPath) -> Result<&mut Self> {
        self.operate(key, Action::DeleteAllValues)
    }

    /// Renames a key. It must exist, and the new name must be unused.
    ///
    /// # Errors
    /// As [`Transaction::set_value`].
    pub fn rename_key<'n>(&mut self, key: impl IntoRegistryPath, name: impl Into<Name<'n>>) -> Result<&mut Self> {
        self.operate(key, Action::RenameKey { name: name.into().into_owned() })
    }

    /// Copies a key and everything below it to another place in its hive. An existing key keeps its security and class,
    /// and values with the same names are replaced.
    ///
    /// # Errors
    /// As [`Transaction::set_value`].
    pub fn copy_key(&mut self, from: impl IntoRegistryPath, to: impl IntoRegistryPath) -> Result<&mut Self> {
        self.operate(to, Action::CopyKey { from: from.into_registry_path()? })
    }

    /// Sets the security descriptor of a key; [`SecurityDescriptor::from_sddl`] parses one. Missing keys on the path
    /// are created; keys below are unchanged.
    ///
    /// [`SecurityDescriptor::from_sddl`]: hivewright_hive::security_descriptor::SecurityDescriptor::from_sddl
    ///
    /// # Errors
    /// `security-descriptor`: an access control list has more than 65,535 bytes. Otherwise as
    /// [`Transaction::set_value`].
    pub fn set_security(&mut self, key: impl IntoRegistryPath, security: &SecurityDescriptor) -> Result<&mut Self> {
        let descriptor = security.to_bytes()?;
        self.operate(key, Action::SetSecurity { descriptor })
    }

    /// Adds an operation.
    ///
    /// # Errors
    /// As [`Transaction::set_value`].
    pub fn operate(&mut self, key: impl IntoRegistryPath, action: Action) -> Result<&mut Self> {
        self.operations.push(PathOperation { path: key.into_registry_path()?, action });
        Ok(self)
    }

    /// Selects the user of paths below `HKCU`: [`HiveKind::User`] or [`HiveKind::DefaultUser`].
    pub fn user(&mut self, user: HiveKind) -> &mut Self {
        self.user = Some(user);
        self
    }

    /// Applies paths below `HKCU` to every user with a profile hive, and to the default user.
    pub fn all_users(&mut self) -> &mut Self {
        self.request.all_users = true;
        self
    }

    /// Selects one of several partitions, as Linux counts them; 0 is the whole disk.
    pub fn partition(&mut self, number: u32) -> &mut Self {
        self.request.choice.volume = Some(VolumeChoice::Id(VolumeId::of_partition(number)));
        self
    }

    /// Selects one of several images in a WIM archive, by its number or its name.
    pub fn archive_image(&mut self, number_or_name: &str) -> &mut Self {
        self.request.choice.volume = Some(VolumeChoice::ArchiveImage(number_or_name.to_owned()));
        self
    }

    /// Selects one of several Windows folders, from the root of its volume.
    pub fn windows_root(&mut self, folder: &str) -> &mut Self {
        self.request.choice.windows_root = Some(folder.to_owned());
        self
    }

    /// Leaves interrupted writes unchanged: [`Transaction::prepare`] fails if one left files partly written. For
    /// transactions that will not be committed.
    pub fn dry_run(&mut self) -> &mut Self {
        self.request.settle = false;
        self
    }

    /// Writes the result to a new file, and leaves the original unchanged: a patched copy of an image, or the new hive.
    pub fn output(&mut self, file: impl AsRef<Path>) -> &mut Self {
        self.options.output = Some(file.as_ref().to_owned());
        (self.request.elsewhere, self.request.settle) = (true, false);
        self
    }

    /// Sets the path of the undo file. By default, an undo file beside the first file is written only for patches in
    /// place.
    pub fn undo_file(&mut self, file: impl AsRef<Path>) -> &mut Self {
        self.options.undo = Some(file.as_ref().to_owned());
        self
    }

    /// Changes files in place, even if new files could replace them.
    pub fn in_place(&mut self) -> &mut Self {
        self.options.in_place = InPlace::Always;
        self
    }

    /// Keeps the last-written times of keys, and the times of the files.
    pub fn keep_timestamps(&mut self) -> &mut Self {
        (self.request.options.timestamp, self.options.keep_times) = (None, true);
        self
    }

    /// Empties the transaction logs of the hives with the write.
    pub fn truncate_logs(&mut self) -> &mut Self {
        self.logs = Logs::Emptied;
        self
    }

    /// Uses dirty hives without their logs if these cannot be applied, which discards the contents of the logs.
    pub fn discard_logs(&mut self) -> &mut Self {
        self.request.discard_logs = true;
        self
    }

    /// Edits despite damage that the edit does not touch.
    pub fn force(&mut self) -> &mut Self {
        self.request.force = true;
        self
    }

    /// Overrides an obstacle to writes: `volume-dirty`, `volume-journal`, `has-children`, `part-of-image`.
    pub fn ignore(&mut self, code: Code) -> &mut Self {
        self.request.ignore.push(code);
        self
    }

    /// Reads the hives of the operations, recovers dirty ones, and applies the operations in memory. Writes nothing,
    /// except that an interrupted write is completed or rolled back first: see [`Transaction::dry_run`].
    ///
    /// # Errors
    /// A missing hive or user (`no-file`, `no-profile`, `user-unnamed`, `other-hive`); an obstacle to a write to any of
    /// the hives, by its code; `dirty` for a hive whose logs cannot be applied; damage on the path of a key; `no-room`.
    pub fn prepare(&self) -> Result<PreparedTransaction> {
        let of_user = |operation: &PathOperation| match &self.user {
            Some(user) => operation.clone().of_user(user),
            None => operation.clone(),
        };
        let operations = self.operations.iter().map(of_user).collect();
        let edits = Edits::Operations { plan: self.plan.clone(), paths: operations };
        let prepared = prepare(&self.path, &Request { edits, ..self.request.clone() })
            .map_err(|error| error.in_file(&self.path))?;
        let (path, options) = (self.path.clone(), self.options.clone());
        Ok(PreparedTransaction { path, prepared, logs: self.logs, options })
    }
}

impl PreparedTransaction {
    /// Returns the hives, each with its changes and patches, in the order of writing.
    pub fn hives(&self) -> &[PreparedHive] {
        &self.prepared.hives
    }

    /// Returns the reasons why users were skipped, if all users were selected: their profiles are on another volume.
    pub fn passed_over(&self) -> &[Error] {
        &self.prepared.passed_over
    }

    /// Returns whether nothing has to be changed.
    pub fn is_already_so(&self) -> bool {
        self.prepared.is_already_so()
    }

    /// Performs all steps of [`PreparedTransaction::commit`] before the first write: takes and releases the locks,
    /// makes the change of an image in memory, and proves it.
    ///
    /// # Errors
    /// As there.
    pub fn try_out(&self) -> Result<()> {
        self.prepared.try_out().map_err(|error| error.in_file(&self.path))
    }

    /// Proves the change of every hive and writes it: all of them, or none. On return, everything is durable and was
    /// read back.
    ///
    /// # Errors
    /// `in-use`, `changed-since`, `output-exists`, `undo-exists`, `unfinished-write`, `output-files`, `io`; those of
    /// the proof. [`Kind::Unfinished`](crate::Kind::Unfinished) alone means that files may have changed, and names the
    /// undo file.
    pub fn commit(&self) -> Result<Committed> {
        self.prepared.commit(self.logs, &self.options).map_err(|error| error.in_file(&self.path))
    }
}
