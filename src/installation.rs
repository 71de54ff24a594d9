//! A Windows installation in an image.

mod profiles;

use std::fmt;

pub use profiles::Profile;

use hivewright_error::Result;

use crate::hive::Hive;
use crate::hive_kind::HiveKind;
use crate::locate::{HiveHandle, Image, LogChoice};
use crate::read::Reading;
use crate::settings::nat_t::{self, Verdict};
use crate::windows::Product;

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
pub struct Installation(pub(crate) HiveHandle);

impl Installation {
    /// Opens one of its hives; a dirty one is recovered in memory.
    ///
    /// # Errors
    /// `no-file` if it has none of that kind; `no-profile` where it has no such user; it is no hive; it is dirty and its logs
    /// cannot be applied.
    pub fn hive(&self, kind: HiveKind) -> Result<Hive> {
        Hive::open(self.find(&kind)?)
    }

    /// Returns the version of Windows as the hive SOFTWARE has it, its primary file alone; `None` if there is no such hive or it
    /// does not say.
    ///
    /// # Errors
    /// The hive is there and cannot be read.
    pub fn product(&self) -> Result<Option<Product>> {
        self.0.product()
    }

    /// Returns the L2TP/NAT-T setting as the next boot takes it. A dirty hive is recovered in memory first. Where the setting
    /// cannot be told, the state is [`SettingState::Unknown`](crate::SettingState::Unknown) and the cause is given.
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
        let reading = Reading::new(self.find(&HiveKind::System)?, LogChoice::Beside);
        Ok(nat_t::answer(&reading, None)?.report.at_next_boot)
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.installation(), self.0.host_windows()) {
            (Some(place), _) => place.fmt(f),
            (None, Some(windows)) => windows.display().fmt(f),
            (None, None) => self.0.host_file().display().fmt(f),
        }
    }
}

impl Image {
    /// Returns the Windows installations in it, in the order of their volumes.
    ///
    /// # Errors
    /// The image cannot be read. A volume that cannot be read and may hold Windows is an error if no other volume has one.
    pub fn installations(&self) -> Result<Vec<Installation>> {
        Ok(self.system_hives()?.into_iter().map(Installation).collect())
    }

    /// Opens the hive that the image is, or the SYSTEM hive of its only installation.
    ///
    /// # Errors
    /// As [`Image::installations`] and [`Installation::hive`]; `several-installations`.
    pub fn hive(&self) -> Result<Hive> {
        Hive::open(self.system_hive(&crate::locate::Choice::default())?)
    }
}
