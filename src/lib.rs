//! Edits the registry of Windows installations that are not running: bare hive files, mounted or copied folders, disk
//! images.
//!
//! Its first job is one REG_DWORD, `AssumeUDPEncapsulationContextOnSendRule`, which decides whether Windows' L2TP/IPsec
//! client talks to VPN servers behind NAT. The command is `hivewright`; this is what it is made of.
//!
//! # The house
//!
//! A house of storeys. Going up, meaning is added; going down, an address is translated. Only one room writes.
//!
//! | room | what it knows |
//! |---|---|
//! | [`fleet`] | many targets: finds them, reads each, one record for each Windows |
//! | [`session`] | both hives and the files of the host: finds, reads, proves, commits, undoes |
//! | [`windows`] | what the setting means: the rule, the control sets, which Windows |
//! | [`hive`] | a hive as a whole: look up, check, edit, recover. Bytes in, patches out |
//! | [`regf`] | what the bytes of a hive mean, structure by structure |
//! | [`files`], [`ntfs`], [`fat`] | a Windows path on a volume leads to a file, and to where its bytes lie |
//! | [`partition`] | where the volumes of a disk are |
//! | [`container`] | image formats: from files of the host to the bytes that a guest sees |
//! | [`storage`] | files of the host, locks, and the seam where tests put a lying one |
//! | [`error`] | one typed error with a stable code and every place |
//!
//! The waist is the [`hive::PatchSet`]: set, unset and recover end in patches; a dry run prints them, the proof holds
//! them against the check and a second parser, [`session::commit`] applies them, [`session::undo`] reverses them.
//!
//! # What holds
//!
//! 1. `regf` and `hive` never do I/O.
//! 2. A patch never overwrites bytes that it has not seen.
//! 3. Nothing is overwritten in place before the undo file is durable.
//! 4. An edit changes what was asked and the bookkeeping that it forces, nothing else.
//! 5. A dirty hive cannot be edited by mistake: the type does not allow it.
//! 6. Two independent parsers agree on every answer.
//! 7. Every loop is bounded by the size of its input, there is no recursion over input, and memory is bounded.
//! 8. Reading never writes. Input never panics.
//! 9. Damage in a log ends the replay; any other error ends the program.
//!
//! Which room may name which is a law that `tests/it/law.rs` keeps. The whys stand in the chapter `design`.
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

pub mod container;
#[cfg(doc)]
pub mod design;
pub mod error;
pub mod fat;
pub mod files;
pub mod fleet;
pub mod hive;
pub mod ntfs;
pub mod partition;
pub mod regf;
pub mod session;
pub mod storage;
pub mod windows;

pub use error::{Error, Kind, Place, Result, Space};
