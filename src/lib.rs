//! Edits the registry of Windows installations that are not running: bare hive files, mounted or copied folders, disk
//! images.
//!
//! Its first job is one REG_DWORD, `AssumeUDPEncapsulationContextOnSendRule`, which decides whether Windows' L2TP/IPsec
//! client talks to VPN servers behind NAT: [`Installation::nat_t`] reads it. The command `hivewright` stands on this library.
//!
//! | to | begin at |
//! |---|---|
//! | open a disk image, a folder or a bare hive | [`Image::open`] |
//! | find Windows, its hives and its profiles | [`Image::installations`], [`Installation`] |
//! | read keys and values | [`Hive`], [`Key`], [`Value`], [`Data`] |
//! | change several hives, all or none | [`Image::transaction`], [`Transaction`] |
//! | take a change back | [`undo()`] |
//! | tell errors apart | [`Error`], [`Kind`], [`Code`] |
//!
//! `hivewright-hive` has the regf format alone, without I/O. `ARCHITECTURE.md` has the layers and the invariants.
//!
//! # Examples
//!
//! ```no_run
//! use hivewright::{HiveKind, Image};
//!
//! // A folder or a bare hive just as well.
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

#![cfg_attr(test, allow(clippy::cast_possible_truncation))]
// `pub` in a private module means: for tests too.
#![cfg_attr(not(feature = "internals"), allow(unreachable_pub, unused_imports))]
// Without the command, what only it uses is dead.
#![cfg_attr(not(feature = "cli"), allow(dead_code))]

#[cfg(all(feature = "internals", feature = "cli"))]
#[doc(hidden)]
pub mod audit;
#[cfg(all(not(feature = "internals"), feature = "cli"))]
mod audit;
#[cfg(feature = "cli")]
mod cli;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod edit;
#[cfg(not(feature = "internals"))]
mod edit;
mod hive;
mod hive_kind;
#[cfg(all(feature = "internals", feature = "cli"))]
#[doc(hidden)]
pub mod info;
#[cfg(all(not(feature = "internals"), feature = "cli"))]
mod info;
mod installation;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod locate;
#[cfg(not(feature = "internals"))]
mod locate;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod read;
#[cfg(not(feature = "internals"))]
mod read;
mod registry_path;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod settings;
#[cfg(not(feature = "internals"))]
mod settings;
mod transaction;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod undo;
#[cfg(not(feature = "internals"))]
mod undo;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod windows;
#[cfg(not(feature = "internals"))]
mod windows;

#[cfg(feature = "cli")]
#[doc(hidden)]
pub use cli::main;
pub use edit::commit::{ChangedFile, Committed, How};
pub use edit::{Action, Before, Change, IntoRegistryPath, Operation, PreparedHive, PreparedTransaction, Transaction};
pub use hive::{Hive, HiveSource, Key, Value};
pub use hive_kind::HiveKind;
#[doc(inline)]
pub use hivewright_error::{Code, Error, Kind, Place, Result, Space};
#[doc(inline)]
pub use hivewright_hive::recover::Recovery;
#[doc(inline)]
pub use hivewright_hive::{Data, KeyPath};
pub use installation::{Installation, Profile};
pub use locate::{Image, ImageOptions};
pub use registry_path::RegistryPath;
pub use settings::nat_t::{SettingState, Verdict};
pub use undo::{Restored, Undone, undo};
pub use windows::{Mistake, Product};
