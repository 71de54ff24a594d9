//! The face for writing: changes of several keys of several hives, made together or not at all.

use std::path::{Path, PathBuf};

use super::commit::{Committed, InPlace, Options};
use super::{Action, Edits, Logs, PathOperation, Prepared, PreparedHive, Request, prepare};
use crate::hive_kind::HiveKind;
use crate::locate::{Choice, Image, LogChoice};
use crate::registry_path::RegistryPath;
use hivewright_error::{Code, Result};
use hivewright_hive::regf::name::Name;
use hivewright_hive::{Data, EditOptions};

/// Changes to the registry of one Windows installation, made together or not at all.
///
/// Operations are collected, in order, and nothing is read until [`Transaction::prepare`].
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
    user: Option<HiveKind>,
    request: Request,
    logs: Logs,
    options: Options,
}

/// A [`Transaction`] that is made in memory: recovered, edited, and ready to be proven and written. Dropping it changes nothing.
#[derive(Debug)]
pub struct PreparedTransaction {
    prepared: Prepared,
    logs: Logs,
    options: Options,
}

impl Image {
    /// Begins a change of the registry of its installation, or of the hive that it is.
    pub fn transaction(&self) -> Transaction {
        let image = self.disk().map(|disk| disk.options().clone()).unwrap_or_default();
        Transaction {
            path: self.path().to_owned(),
            operations: Vec::new(),
            user: None,
            request: Request {
                edits: Edits::None,
                force: false,
                logs: LogChoice::Beside,
                as_it_stands: false,
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

/// What leads to a key: a [`RegistryPath`], or its text.
pub trait IntoRegistryPath {
    /// Makes the path.
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
    /// Sets a value, `""` for the default value. The key and those on the way to it are created where they are not there.
    ///
    /// # Errors
    /// `registry-root`: the path begins with a root that no hive has.
    pub fn set_value<'n>(
        &mut self,
        key: impl IntoRegistryPath,
        name: impl Into<Name<'n>>,
        data: Data,
    ) -> Result<&mut Self> {
        let (kind, data) = (data.data_type(), data.to_bytes());
        self.operate(key, Action::SetValue { name: name.into().into_owned(), kind, data })
    }

    /// Deletes a value, `""` for the default value. Nothing happens where it is not there.
    ///
    /// # Errors
    /// As [`Transaction::set_value`].
    pub fn delete_value<'n>(&mut self, key: impl IntoRegistryPath, name: impl Into<Name<'n>>) -> Result<&mut Self> {
        self.operate(key, Action::DeleteValue { name: name.into().into_owned() })
    }

    /// Creates a key, and those on the way to it that are not there.
    ///
    /// # Errors
    /// As [`Transaction::set_value`].
    pub fn create_key(&mut self, key: impl IntoRegistryPath) -> Result<&mut Self> {
        self.operate(key, Action::CreateKey)
    }

    /// Deletes a key and everything below it. Nothing happens where it is not there.
    ///
    /// # Errors
    /// As [`Transaction::set_value`].
    pub fn delete_key(&mut self, key: impl IntoRegistryPath) -> Result<&mut Self> {
        self.operate(key, Action::DeleteKey)
    }

    /// Adds an operation.
    ///
    /// # Errors
    /// As [`Transaction::set_value`].
    pub fn operate(&mut self, key: impl IntoRegistryPath, action: Action) -> Result<&mut Self> {
        self.operations.push(PathOperation { path: key.into_registry_path()?, action });
        Ok(self)
    }

    /// Chooses the user that paths below `HKCU` are of: [`HiveKind::User`] or [`HiveKind::DefaultUser`].
    pub fn user(&mut self, user: HiveKind) -> &mut Self {
        self.user = Some(user);
        self
    }

    /// Chooses one of several partitions, as Linux counts them, and one of several Windows folders, from the root of its volume.
    pub fn installation(&mut self, partition: Option<u32>, windows_root: Option<&str>) -> &mut Self {
        (self.request.choice.partition, self.request.choice.windows_root) =
            (partition, windows_root.map(str::to_owned));
        self
    }

    /// Leaves interrupted writes of before as they are: [`Transaction::prepare`] refuses where one left files partly written. For
    /// what shall not be committed.
    pub fn dry_run(&mut self) -> &mut Self {
        self.request.settle = false;
        self
    }

    /// Writes the result to a new file, and leaves the original as it is: of an image a patched copy, of a hive the new hive.
    pub fn output(&mut self, file: impl AsRef<Path>) -> &mut Self {
        self.options.output = Some(file.as_ref().to_owned());
        (self.request.elsewhere, self.request.settle) = (true, false);
        self
    }

    /// Puts the undo file there. Without it, one beside the first file is written where bytes change in place, and none otherwise.
    pub fn undo_file(&mut self, file: impl AsRef<Path>) -> &mut Self {
        self.options.undo = Some(file.as_ref().to_owned());
        self
    }

    /// Changes the bytes of the files, where new files could take their places.
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

    /// Takes dirty hives as they stand, and gives up what their logs hold, if these cannot be applied.
    pub fn as_it_stands(&mut self) -> &mut Self {
        self.request.as_it_stands = true;
        self
    }

    /// Edits despite damage that the edit does not touch.
    pub fn force(&mut self) -> &mut Self {
        self.request.force = true;
        self
    }

    /// Takes it upon the caller that a volume has this against writes: `volume-dirty`, `volume-journal`, `has-children`,
    /// `part-of-image`.
    pub fn ignore(&mut self, code: Code) -> &mut Self {
        self.request.ignore.push(code);
        self
    }

    /// Reads the hives that the operations name, recovers dirty ones, and makes the operations in memory. Nothing is written, but
    /// that an interrupted write of before is settled: see [`Transaction::dry_run`].
    ///
    /// # Errors
    /// A hive or user is not there (`no-file`, `no-profile`, `user-unnamed`, `other-hive`); what stands against a write to any of
    /// the hives, by its code; `dirty` for one whose logs cannot be applied; damage on the way; `no-room`.
    pub fn prepare(&self) -> Result<PreparedTransaction> {
        let of_user = |operation: &PathOperation| match &self.user {
            Some(user) => PathOperation { path: operation.path.clone().of_user(user), ..operation.clone() },
            None => operation.clone(),
        };
        let edits = Edits::Paths(self.operations.iter().map(of_user).collect());
        let prepared = prepare(&self.path, &Request { edits, ..self.request.clone() })?;
        Ok(PreparedTransaction { prepared, logs: self.logs, options: self.options.clone() })
    }
}

impl PreparedTransaction {
    /// Returns the hives, each with its changes and patches, in the order of writing.
    pub fn hives(&self) -> &[PreparedHive] {
        &self.prepared.hives
    }

    /// Whether everything is as wanted already.
    pub fn is_already_so(&self) -> bool {
        self.prepared.is_already_so()
    }

    /// Does all that [`PreparedTransaction::commit`] does before it writes: takes the locks and gives them back, tries the
    /// change on the image in memory, and proves it.
    ///
    /// # Errors
    /// As there.
    pub fn try_out(&self) -> Result<()> {
        self.prepared.try_out()
    }

    /// Proves the change of every hive and brings it to the disk: all of them, or none. When this returns, everything is durable
    /// and was read back.
    ///
    /// # Errors
    /// `in-use`, `changed-since`, `output-exists`, `undo-exists`, `unfinished-write`, `output-files`, `io`; those of the proof.
    /// [`Kind::Unfinished`](crate::Kind::Unfinished) alone means that files may have changed, and names the undo file.
    pub fn commit(&self) -> Result<Committed> {
        self.prepared.commit(self.logs, &self.options)
    }
}
