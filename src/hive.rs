//! A hive in an image, with its transaction logs replayed.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use hivewright_error::{Code, Error, Kind, Result};
use hivewright_hive::recover::{self, Recovery};
use hivewright_hive::regf::CellOffset;
use hivewright_hive::regf::name::Name;
use hivewright_hive::{HiveBytes, KeyPath, Opened};

use crate::locate::logs::LogFiles;
use crate::locate::{HiveHandle, LogChoice};
use crate::windows::control_set::{self, LINK};

/// The bytes of a [`Hive`].
pub struct HiveSource(Source);

enum Source {
    /// The file itself, page by page or with a memory map.
    File(Arc<HiveHandle>),
    /// The primary file with its transaction logs replayed.
    Replayed(Vec<u8>),
}

impl HiveBytes for HiveSource {
    fn len(&self) -> u64 {
        match &self.0 {
            Source::File(file) => HiveBytes::len(&**file),
            Source::Replayed(bytes) => HiveBytes::len(bytes),
        }
    }

    fn read(&self, offset: u64, len: usize) -> Result<Cow<'_, [u8]>> {
        match &self.0 {
            Source::File(file) => file.read(offset, len),
            Source::Replayed(bytes) => bytes.read(offset, len),
        }
    }
}

/// A key of a [`Hive`].
pub type Key<'h> = hivewright_hive::Key<'h, HiveSource>;
/// A value of a [`Key`].
pub type Value<'h> = hivewright_hive::Value<'h, HiveSource>;

/// A hive as Windows would load it: the transaction logs of a dirty hive are replayed in memory. Nothing is written.
///
/// # Examples
/// ```
/// use hivewright::{Data, Image};
///
/// # let file = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/windows/win10/SYSTEM");
/// let system = Image::open(file)?.hive()?;
/// let select = system.key("Select")?.expect("every SYSTEM hive has it");
/// let current = select.value("Current")?.map(|value| value.data()).transpose()?;
/// assert_eq!(current, Some(Data::Dword(1)));
/// assert!(system.key(r"CurrentControlSet\Services\PolicyAgent")?.is_some());
/// # Ok::<(), hivewright::Error>(())
/// ```
pub struct Hive {
    hive: hivewright_hive::Hive<HiveSource>,
    recovery: Option<Box<Recovery>>,
    description: String,
}

impl Hive {
    /// Opens a hive file with its logs.
    pub(crate) fn open(file: impl Into<Arc<HiveHandle>>) -> Result<Self> {
        let file = file.into();
        let description = file.description();
        let (source, recovery) = match hivewright_hive::Hive::open(&*file)? {
            Opened::Clean(_) => (Source::File(file), None),
            Opened::Dirty(_) => {
                let logs = LogFiles::read(&file, &LogChoice::Beside)?;
                let recovered =
                    recover::recover_without_base_block(file.whole()?, &logs.logs()).map_err(|failed| failed.error)?;
                (Source::Replayed(recovered.hive.bytes().to_vec()?), Some(Box::new(recovered.report)))
            }
        };
        let hive = hivewright_hive::Hive::open(HiveSource(source))?.clean()?;
        Ok(Hive { hive, recovery, description })
    }

    /// Returns the root key.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn root(&self) -> Result<Key<'_>> {
        self.hive.root()
    }

    /// Returns the key at `path`, which does not include the name of the root; `None` if there is no such key. Case is
    /// ignored. In a SYSTEM hive, `CurrentControlSet` is the control set in the value `Current` of the key `Select`.
    ///
    /// # Errors
    /// A key on the path is damaged; `Select` does not contain a control set.
    pub fn key<'p>(&self, path: impl Into<KeyPath<'p>>) -> Result<Option<Key<'_>>> {
        let path = path.into();
        let below = match path.names() {
            [first, below @ ..] if first.matches(LINK) => below,
            _ => return self.hive.key(path),
        };
        let Some(select) = self.hive.key("Select")? else { return self.hive.key(path) };
        let current = select.value("Current")?.map(|value| value.data()).transpose()?;
        match current {
            Some(crate::Data::Dword(number)) => {
                let set = Name::encode(&control_set::key_name(number));
                self.hive.key(KeyPath::from_names(std::iter::once(set).chain(below.iter().cloned())))
            }
            _ => Err(Error::new(Kind::Corrupt, Code::SelectType, "Select\\Current is not a REG_DWORD")),
        }
    }

    /// Returns the key whose key node lies at `at`, as [`Key::at`](hivewright_hive::Key::at) gave it.
    ///
    /// # Errors
    /// No key node lies there.
    pub fn key_at(&self, at: CellOffset) -> Result<Key<'_>> {
        self.hive.key_at(at)
    }

    /// Returns the size of all hive bins in bytes: every [`CellOffset`] is below.
    pub fn length(&self) -> u32 {
        self.hive.length()
    }

    /// Returns whether its bytes are in memory or mapped, so that a look-up makes no call of the system.
    pub fn is_in_memory(&self) -> bool {
        match &self.hive.bytes().0 {
            Source::File(file) => file.paged().is_none(),
            Source::Replayed(_) => true,
        }
    }

    /// Returns the underlying hive, which does not resolve `CurrentControlSet`.
    #[cfg(feature = "cli")]
    pub(crate) fn format(&self) -> &hivewright_hive::Hive<HiveSource> {
        &self.hive
    }

    /// Returns all bytes of the hive, its logs replayed.
    #[cfg(feature = "cli")]
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let bytes = self.hive.bytes();
        let len = usize::try_from(bytes.len()).unwrap_or(usize::MAX);
        Ok(bytes.read(0, len)?.into_owned())
    }

    /// Returns the report on the replay of the transaction logs; `None` for a clean hive.
    pub fn recovery(&self) -> Option<&Recovery> {
        self.recovery.as_deref()
    }
}

impl fmt::Debug for Hive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hive").field(&self.description).finish()
    }
}
