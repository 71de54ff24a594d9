//! The whys. Documentation only.
//!
//! # How bytes reach the disk
//!
//! Every change is a set of patches, and only [`crate::session::commit`] writes them. It writes in one of three ways.
//! Each ends with everything durable and read back through a fresh opening, and each keeps this promise: whenever
//! the machine stops, the target is the old file or the new one, byte for byte; or (in place only) an undo file lies
//! beside it that makes it the old one again.
//!
//! ## Write order
//!
//! **Replacing**, for a plain file:
//!
//! 1. The original is opened for writing and locked (`flock`; on Windows, opened so that nobody else can write), and the
//!    name still leads to it. The lock is held to the end. Undo files beside it are looked at: see *The next run*.
//! 2. The original is compared, all of it, with what the edit started from.
//! 3. A new file under a name of its own takes over owner, mode, flags and extended attributes. What it does not take
//!    over makes the commit change to writing in place.
//! 4. The new bytes are written, flushed and read back.
//! 5. Where an undo file was asked for, it is made durable (as below).
//! 6. The original is compared again, and whether its name still leads to it.
//! 7. The new file is renamed over the original.
//! 8. The folder is flushed.
//! 9. The target is read back. Should it not be what was written, the old bytes are put back in the same way.
//!
//! **In place**, where a new file would not be the same (other hard links; an NTFS or FUSE mount, which keeps Windows'
//! access lists and attributes with the file; metadata that did not carry over; systems other than Linux):
//!
//! 1. As 1 and 2 above.
//! 2. The undo file is written under a passing name, flushed, renamed to its own name if that is free, its folder
//!    flushed, and read back. So an undo file that has its name is whole.
//! 3. The length and the old bytes of every patch are compared with what is there.
//! 4. If the file grows: the length is set, and flushed.
//! 5. The patches are written, one [`crate::hive::Step`] after the other, with a flush after each. Patches of one step
//!    may reach the medium in any order; of two steps, never.
//! 6. Everything is read back: patches, the blocks around them, and the hash of the whole file.
//! 7. The undo file is marked `committed`.
//!
//! **Elsewhere** (`--output`): a new file is written, flushed and read back, and takes the wanted name only if
//! nothing has it. The folder is flushed. The original is read, and never opened for writing.
//!
//! **Undo** replaces where it can. In place, a `committed` undo file is first marked `undoing`; then the blocks go
//! back, last step first, with a flush after each; then the length; then all is read back and marked `restored`.
//!
//! ## What a stop leaves
//!
//! | stopped | target | undo file | the next run |
//! |---|---|---|---|
//! | replacing, before the rename is durable | old, or new | none, or without a mark | removes or marks the undo file; a hidden file `.NAME.*.hivewright-new` may be left over |
//! | replacing, after that | new | marked, or not | marks it |
//! | in place, before the first write | old | none, or without a mark | removes it |
//! | in place, in step k | steps before k whole, k in any state, none after | without a mark | refuses, and names `undo` |
//! | in place, after the last flush | new | without a mark, or with | marks it |
//! | elsewhere | old | none | the output is whole or not there |
//! | undo in place, in step k | the same as in place | marked `undoing` | refuses, and names `undo` |
//!
//! The state is found by comparing, not by believing a mark: see [`crate::session::undo::State`]. All that a stop can
//! leave is "before k new, after k old, k anything", in the 4096-byte blocks that patches touch, while the rest of the
//! file has the old hash. Anything else was not left by a stop: it is refused as `changed-since`, and never "repaired".
//!
//! A write that fails is rolled back at once, in the same order as an undo. If that is verified, the error is
//! [`crate::Kind::Io`] and says that the original is intact. If not, it is [`crate::Kind::Unfinished`] and names the
//! undo file.
//!
//! ## What is assumed about media
//!
//! - A flush (`fsync`) that succeeds means that everything written before is on the medium. A drive that lies about
//!   that breaks every promise here.
//! - What is not flushed may be on the medium, or not, or some of its sectors, in any order. A sector that was being
//!   written when the power went may hold anything, also where it held bytes that nobody meant to change: undo
//!   files save whole blocks of 4096 bytes, and their own end and marks lie in blocks of their own.
//! - A sector that nobody writes to keeps its bytes.
//! - After a flush that failed, what it was to flush may be lost although reading shows it, and a later flush does not
//!   bring it back. So a rollback writes again rather than trusting what it reads, and a state that a run finds
//!   whole is written once more, over the same bytes, before it is called whole.
//! - A rename replaces the old name with the new one in one step. A flushed folder keeps its names. A folder whose
//!   flush failed may be flushed again.
//! - Locks are advisory: they keep out programs that ask. Against others, there are the comparisons of steps 2 and 6;
//!   between the last of these and the rename there is a moment that nothing on this side can guard.
//!
//! `tests/it/commit_faults.rs` plays all of this on a file system that loses, tears and garbles what was not flushed,
//! cutting the power before every single operation, also while it recovers, and making every operation fail.
//!
//! ## What does not carry over
//!
//! A replaced file is a new file: its time of creation and its inode number are new, and attributes of the `trusted.`
//! class are kept only for a privileged user. Whoever has the old file open goes on reading the old bytes.
