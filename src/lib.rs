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
//! | [`fleet`] | finds many targets, reads each, and writes one record for each Windows |
//! | [`session`] | finds the hives of one target; reads, edits, proves, commits, undoes |
//! | [`windows`] | knows the setting, the control sets and the versions of Windows |
//! | [`hivewright_hive`] | looks up, checks, edits and recovers a hive: bytes in, patches out, no I/O |
//! | [`hivewright_disk`] | opens disk images, partition tables, NTFS and FAT: from files of the host to files of the guest |
//! | [`hivewright_storage`] | reads, locks and writes files of the host; tests put a lying host in its place |
//!
//! Every change ends in a [`hivewright_hive::PatchSet`]: a dry run prints it, the proof checks it, [`session::commit`]
//! writes it, and [`session::undo`] reverses it. `ARCHITECTURE.md` has the picture and the invariants.
//!
//! # Example
//!
//! ```no_run
//! use hivewright::session::{LogChoice, Reading};
//!
//! let reading = Reading::of("/mnt/image".as_ref(), LogChoice::Beside)?;
//! let answer = reading.rule(None)?;
//! println!("at next boot: {:?}", answer.report.at_next_boot.number);
//! # Ok::<(), hivewright::Error>(())
//! ```

#![cfg_attr(test, allow(clippy::cast_possible_truncation))]

pub mod fleet;
pub mod session;
pub mod windows;

pub use hivewright_error::{Error, Kind, Place, Result, Space};
