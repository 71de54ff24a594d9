//! Edits the registry of Windows installations that are not running: bare hive files, mounted or copied folders, disk
//! images.
//!
//! Its first job is one REG_DWORD, `AssumeUDPEncapsulationContextOnSendRule`, which decides whether Windows' L2TP/IPsec
//! client talks to VPN servers behind NAT. The command is `hivewright`; this is what it is made of.
//!
//! # Layers
//!
//! | layer | task |
//! |---|---|
//! | [`audit`] | finds many targets, reads each, and writes one record for each Windows |
//! | [`undo`] | takes a change back, and settles what an interrupted one left |
//! | [`edit`] | prepares, proves and commits an edit of one hive or several, through the private module `transaction` |
//! | [`read`] | answers from a hive where it lies |
//! | [`locate`] | opens an image, a folder or a hive; finds Windows installations and their hives |
//! | [`windows`] | knows the setting, the control sets and the versions of Windows |
//! | [`hivewright_hive`] | looks up, checks, edits and recovers a hive: bytes in, patches out, no I/O |
//! | [`hivewright_disk`] | opens disk images, partition tables, NTFS and FAT: from files of the host to files of the guest |
//! | [`hivewright_storage`] | reads, locks and writes files of the host; tests put a lying host in its place |
//!
//! Every change ends in a [`hivewright_hive::PatchSet`]: a dry run prints it, the proof checks it, [`edit::commit`]
//! writes it, and [`undo`] reverses it. `ARCHITECTURE.md` has the picture and the invariants.
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

pub mod audit;
pub mod edit;
mod hive;
mod hive_kind;
pub mod info;
mod installation;
pub mod locate;
pub mod read;
mod registry_path;
pub mod settings;
mod transaction;
pub mod undo;
pub mod windows;

pub use edit::{PreparedTransaction, Transaction};
pub use hive::{Hive, HiveSource, Key, Value};
pub use hive_kind::HiveKind;
pub use hivewright_error::{Code, Error, Kind, Place, Result, Space};
pub use hivewright_hive::{Data, KeyPath};
pub use installation::{Installation, Profile};
pub use locate::Image;
pub use registry_path::RegistryPath;
