//! A Windows installation in an image.

mod profiles;

use std::fmt;
use std::sync::{Arc, OnceLock};

pub use profiles::Profile;

use hivewright_error::Result;

use crate::hive::Hive;
use crate::hive_kind::HiveKind;
use crate::locate::{HiveHandle, Image, LogChoice};
use crate::read::Reading;
use crate::settings::nat_t::{self, Verdict};
use crate::windows::{self, Product};

/// A Windows installation: a folder with `System32\config\SYSTEM`.
///
/// # Examples
/// ```
/// use hivewright::{HiveKind, Image};
///
/// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/windows/win10/SYSTEM");
/// for windows in Image::open(image)?.installations()? {
///     let system = windows.hive(HiveKind::System)?;
///     for key in system.root()?.subkeys()? {
///         println!("{windows}: {}", key?.name());
///     }
/// }
/// # assert_eq!(Image::open(image)?.installations()?.len(), 1);
/// # Ok::<(), hivewright::Error>(())
/// ```
#[derive(Debug)]
pub struct Installation {
    /// Its hive SYSTEM, or the bare hive that the user named.
    system: Arc<HiveHandle>,
    /// The same hive, opened.
    system_hive: OnceLock<Hive>,
    /// The file of its hive SOFTWARE, searched once.
    software_file: OnceLock<Option<Arc<HiveHandle>>>,
    /// Its hive SOFTWARE, which contains the version and the list of profiles.
    software: OnceLock<Hive>,
}

impl Installation {
    /// Creates the installation of a SYSTEM hive, or of the bare hive that the user named.
    pub(crate) fn of(system: impl Into<Arc<HiveHandle>>) -> Self {
        Installation {
            system: system.into(),
            system_hive: OnceLock::new(),
            software_file: OnceLock::new(),
            software: OnceLock::new(),
        }
    }

    /// Returns the hive SYSTEM, or the bare hive that the user named; opens it once.
    ///
    /// # Errors
    /// As [`Installation::hive`].
    #[cfg(feature = "cli")]
    pub(crate) fn system_hive(&self) -> Result<&Hive> {
        if self.system_hive.get().is_none() {
            let _ = self.system_hive.set(Hive::open(self.system.clone())?);
        }
        self.system_hive.get().ok_or_else(|| self.lacks(HiveKind::System.file_name()))
    }

    /// Returns the hive SOFTWARE; opens it once.
    ///
    /// # Errors
    /// As [`Installation::hive`].
    pub(crate) fn software(&self) -> Result<&Hive> {
        if self.software.get().is_none() {
            let file = self.software_file()?.ok_or_else(|| self.lacks(HiveKind::Software.file_name()))?;
            let _ = self.software.set(Hive::open(file)?);
        }
        self.software.get().ok_or_else(|| self.lacks(HiveKind::Software.file_name()))
    }

    fn software_file(&self) -> Result<Option<Arc<HiveHandle>>> {
        if self.software_file.get().is_none() {
            let found = self.system.sibling(HiveKind::Software.file_name())?;
            let _ = self.software_file.set(found.map(Arc::new));
        }
        Ok(self.software_file.get().cloned().flatten())
    }

    /// Opens one of its hives; a dirty one is recovered in memory.
    ///
    /// # Errors
    /// `no-file` if it has no hive of that kind; `no-profile` if it has no such user; the file is not a hive; the hive
    /// is dirty and its logs cannot be applied.
    pub fn hive(&self, kind: HiveKind) -> Result<Hive> {
        self.in_file(self.find(&kind).and_then(Hive::open))
    }

    /// Returns the version of Windows in the primary file of the hive SOFTWARE; `None` if there is no such hive, or no
    /// version in it.
    ///
    /// # Errors
    /// The hive exists, but cannot be read.
    pub fn product(&self) -> Result<Option<Product>> {
        // A hive with another name than SYSTEM may not belong to the SOFTWARE beside it.
        if !self.system.name().eq_ignore_ascii_case(HiveKind::System.file_name()) {
            return Ok(None);
        }
        let product = self.software_file().and_then(|file| match file {
            Some(file) => windows::product(hivewright_hive::Hive::open(&*file)?.primary_alone()),
            None => Ok(None),
        });
        self.in_file(product)
    }

    /// Returns the L2TP/NAT-T setting of the next boot. A dirty hive is recovered in memory first. If the setting
    /// cannot be determined, the state is [`SettingState::Unknown`](crate::SettingState::Unknown) and the verdict
    /// contains the cause.
    ///
    /// # Errors
    /// The hive SYSTEM cannot be read.
    ///
    /// # Examples
    /// ```
    /// # let image = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/windows/win10/SYSTEM");
    /// for windows in hivewright::Image::open(image)?.installations()? {
    ///     println!("{windows}: {}", windows.nat_t()?.meaning);
    /// }
    /// # Ok::<(), hivewright::Error>(())
    /// ```
    pub fn nat_t(&self) -> Result<Verdict> {
        let read = |file| Ok(nat_t::answer(&Reading::new(file, LogChoice::Beside), None)?.report.at_next_boot);
        self.in_file(self.find(&HiveKind::System).and_then(read))
    }

    /// Adds the path of the image or hive to an error of `result`.
    fn in_file<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| error.in_file(self.system.host_file()))
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.system.installation(), self.system.host_windows()) {
            (Some(place), _) => place.fmt(f),
            (None, Some(windows)) => windows.display().fmt(f),
            (None, None) => self.system.host_file().display().fmt(f),
        }
    }
}

impl Image {
    /// Returns the Windows installations in the image, in the order of their volumes.
    ///
    /// # Errors
    /// The image cannot be read. An unreadable volume that may contain Windows is an error if no other volume contains
    /// an installation.
    pub fn installations(&self) -> Result<Vec<Installation>> {
        let hives = self.system_hives().map_err(|error| error.in_file(self.path()))?;
        Ok(hives.into_iter().map(Installation::of).collect())
    }

    /// Opens the bare hive, or the SYSTEM hive of the only installation.
    ///
    /// # Errors
    /// As [`Image::installations`] and [`Installation::hive`]; `several-installations`.
    pub fn hive(&self) -> Result<Hive> {
        let hive = self.system_hive(&crate::locate::Choice::default()).and_then(Hive::open);
        hive.map_err(|error| error.in_file(self.path()))
    }
}
