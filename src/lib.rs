//! Edits the registry of Windows installations that are not running: bare hive files, mounted or copied folders, disk
//! images.
//!
//! It also reads and sets one particular REG_DWORD, `AssumeUDPEncapsulationContextOnSendRule`, which decides whether
//! Windows' L2TP/IPsec client connects to VPN servers behind NAT: see [`Installation::nat_t`]. The command `hivewright`
//! is built on this library.
//!
//! | task | begin at |
//! |---|---|
//! | open a disk image, a folder or a bare hive | [`Image::open`] |
//! | find Windows, its hives and its profiles | [`Image::installations`], [`Installation`] |
//! | read keys and values | [`Hive`], [`Key`], [`Value`], [`Data`] |
//! | change several hives, all or none | [`Image::transaction`], [`Transaction`] |
//! | undo a change | [`undo()`] |
//! | audit many images (feature `cli`) | `Audit` |
//! | handle errors | [`Error`], [`Kind`], [`Code`] |
//!
//! The crate `hivewright-hive` implements the regf format alone, without I/O. `ARCHITECTURE.md` describes the layers
//! and the invariants.
//!
//! # Examples
//!
//! ```no_run
//! use hivewright::{HiveKind, Image};
//!
//! // Or a folder, or a bare hive.
//! let image = Image::open("golden.qcow2")?;
//! for windows in image.installations()? {
//!     let system = windows.hive(HiveKind::System)?;
//!     if let Some(key) = system.key(r"CurrentControlSet\Services\PolicyAgent")?
//!         && let Some(start) = key.value("Start")?
//!     {
//!         println!("{windows}: {:?}", start.data()?);
//!     }
//! }
//! # Ok::<(), hivewright::Error>(())
//! ```
//!
//! A [`Transaction`] changes keys and values of several hives, all or none:
//!
//! ```no_run
//! use hivewright::{Data, HiveKind, Image};
//!
//! let image = Image::open("golden.qcow2")?;
//! let mut edit = image.transaction();
//! edit.user(HiveKind::DefaultUser);
//! edit.set_value(r"HKLM\SOFTWARE\Example", "Name", Data::sz("x"))?;
//! edit.set_value(r"HKCU\Control Panel\Desktop", "ScreenSaveActive", Data::sz("0"))?;
//! let committed = edit.prepare()?.commit()?;
//! println!("to undo: {:?}", committed.undo);
//! # Ok::<(), hivewright::Error>(())
//! ```

#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
#![cfg_attr(test, allow(clippy::cast_possible_truncation))]
// `pub` in a private module makes an item available to tests.
#![cfg_attr(not(feature = "internals"), allow(unreachable_pub, unused_imports))]
// Without the command, items that only it uses are dead code.
#![cfg_attr(not(feature = "cli"), allow(dead_code))]

#[cfg(feature = "cli")]
mod audit;
#[cfg(feature = "cli")]
mod cli;
mod edit;
mod hive;
mod hive_kind;
#[cfg(feature = "cli")]
mod info;
mod installation;
mod locate;
#[cfg(feature = "cli")]
mod policy;
mod read;
mod registry_path;
mod settings;
mod transaction;
mod undo;
mod windows;

/// The modules, for the tests, benchmarks and fuzzers of this repository. They are not stable.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    macro_rules! open {
        ($($(#[$condition:meta])? $module:ident)*) => {
            $($(#[$condition])? pub mod $module { pub use crate::$module::*; })*
        };
    }
    open! { #[cfg(feature = "cli")] audit edit #[cfg(feature = "cli")] info locate #[cfg(feature = "cli")] policy read settings undo windows }
}

#[cfg(feature = "cli")]
pub use audit::Audit;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub use cli::main;
pub use edit::commit::{ChangedFile, Committed, How};
pub use edit::{Action, Before, Change, IntoRegistryPath, Operation, PreparedHive, PreparedTransaction, Transaction};
pub use hive::{Hive, HiveSource, Key, Value};
pub use hive_kind::HiveKind;
#[doc(inline)]
pub use hivewright_error::{Code, Error, Kind, Place, Result, Space};
/// The regf format. Its types for names, values and security descriptors occur in signatures of this crate.
#[doc(no_inline)]
pub use hivewright_hive;
#[doc(inline)]
pub use hivewright_hive::recover::Recovery;
#[doc(inline)]
pub use hivewright_hive::{Data, KeyPath};
pub use installation::{Installation, Profile};
pub use locate::{Image, ImageOptions};
pub use registry_path::RegistryPath;
pub use settings::nat_t::{SettingState, Verdict};
pub use undo::{Restored, Undone, undo};
pub use windows::{Finding, Product};
