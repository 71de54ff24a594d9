//! The whys. Documentation only.
//!
//! # What an edit is allowed to do
//!
//! An edit changes what was asked and the bookkeeping that it forces, nothing else. Setting a REG_DWORD that stands in
//! its key value changes the number, the key's last-written time, and of the base block both sequence numbers and the
//! checksum. Injecting it adds one cell for the key value and one entry to the values list: in the list's spare room,
//! in the free cell right behind it, or in a larger list elsewhere, whichever comes first. A hive bin is appended only
//! when no free cell fits. The base block's timestamp stays: old-format logs are matched by it.
//!
//! New data never goes where old data is still referred to, and what an edit frees is given back last. Each patch
//! belongs to a [`crate::hive::Step`], and after every step the hive is sound: old, new, or old with cells that nothing
//! uses yet. Two details make that hold, both found by the random edits of `tests/it/edit_properties.rs`: a cell is
//! allocated from the *end* of a free cell, so that no size field has to be written twice in one edit; and an entry that
//! goes where a free cell's size was is written only after the list has grown over it. One exception remains: an entry
//! taken out of the middle of a values list stands there twice until the count follows. Several edits of one
//! [`crate::hive::Editor`] give one set of patches whose end is sound; the promise about every step is for one edit.
//!
//! # Why an edit is believed
//!
//! Every byte outside of the patches is the same. That the patches do no harm is proven on the edited bytes, before
//! any of them takes a name or a place on the disk:
//!
//! - the full check ([`crate::hive::check`]) finds nothing that it did not find before: no cell lost, shared or
//!   misplaced, every count and bound as the format wants it;
//! - the edited keys hold what was asked for, and all their other values as before;
//! - an independent parser, nt-hive, reads the same value from the same bytes ([`crate::hive::witness`]). It can panic
//!   on damaged input and knows no offsets, so it is a witness and not the reader. Its own search puts letters beyond
//!   ASCII in another order than Windows; where that finds no key, it goes through the lists, and our check answers for
//!   their order. What it cannot read of a sound hive is said, and stands in the way of nothing.
//!
//! "Windows loads it" would prove nothing: the loader heals what it dislikes by dropping it, silently.
//!
//! # Why dirty is normal
//!
//! Since 8.1, Windows flushes a hive by appending to its logs, and writes the hive file itself up to an hour later. A
//! disk that was captured from a running machine therefore has dirty hives as a rule, and the newest state stands in
//! the logs alone. So a [`crate::hive::DirtyHive`] cannot be edited: it is recovered first, in memory, as Windows does
//! it ([`crate::hive::recover`]), or its owner says that it is to be taken as it stands. The result is written clean,
//! with sequence numbers above every one in the logs, and the logs stay as they are: a clean hive ignores them, and
//! should its base block ever be lost, their entries are older than it.
//!
//! What others do, measured on one such hive (33,123 keys in its file, 35,595 after the replay of 24 entries): hivex
//! marks it clean without a replay and loses 2,472 keys and 3,944 values; chntpw leaves it dirty, so that a replay puts
//! old pages over its edit, after which 19,978 keys can be reached. Ours holds all 35,595, the one new value, and
//! sequence numbers above every log entry: replaying the old logs finds it clean.
//!
//! In place, recovery and edit are written one after the other, each under its own undo file: a stop during the first
//! leaves a hive that is still dirty and replays to the old state; a stop during the second leaves what a stop during
//! an edit of a clean hive leaves. One undo file takes their place in the end.
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
//! 2. A new file under a name of its own takes over owner, mode, flags and extended attributes. What it does not take
//!    over makes the commit change to writing in place.
//! 3. The new bytes are written, flushed and read back through another opening. Meanwhile the original is compared,
//!    all of it, with what the edit started from, and the proof of the edit runs; without both there is no next step.
//! 4. Where an undo file was asked for, it is made durable (as below).
//! 5. The original's name still leads to it, and its time of modification is what it was when the lock was taken.
//! 6. The new file is renamed over the original.
//! 7. The folder is flushed.
//! 8. The name is opened: it leads to the file that was read back. Should it not, the old bytes are put back in the
//!    same way.
//!
//! **In place**, where a new file would not be the same (other hard links; an NTFS or FUSE mount, which keeps Windows'
//! access lists and attributes with the file; metadata that did not carry over; systems other than Linux):
//!
//! 1. As 1 above; then the proof; then the original is compared, all of it, with what the edit started from.
//! 2. The undo file is written under a passing name, flushed, renamed to its own name if that is free, its folder
//!    flushed, and read back. So an undo file that has its name is whole.
//! 3. The length and the old bytes of every patch are compared with what is there.
//! 4. If the file grows: the length is set, and flushed.
//! 5. The patches are written, one [`crate::hive::Step`] after the other, with a flush after each. Patches of one step
//!    may reach the medium in any order; of two steps, never.
//! 6. Everything is read back: patches, the blocks around them, and the hash of the whole file.
//! 7. The undo file is marked `committed`. Where the user named one, it moves there only now: while bytes change it
//!    stands beside the target, where the next run looks.
//!
//! **With its logs** (`--truncate-logs`): in place, all files locked, under one undo file beside the hive that holds blocks
//! of all of them, and one hash over all. The recovery comes first, then the edit, then the base blocks of the logs: they are
//! needed until the hive is clean.
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
//! ## Inside of a disk image
//!
//! A hive inside of an image is always changed in place, and the change is rehearsed first: all files of the image are
//! locked, the image is opened over storages that keep in memory what is written, the old bytes are written over
//! themselves (so that a format makes the room that it needs), then the recovery and the edit step by step, and the image
//! is closed. The hive is read back from that memory, through a second opening. What was written, in the order in which
//! it was flushed, becomes patches of the image's files, put one after the other: one change with phases, of which a later
//! one may go over what an earlier one wrote. No format needs to know of undo files, and none writes to the disk itself.
//!
//! Where the image tells which byte of its files holds a byte of the hive, patches of the edit must lie in these places;
//! and where it needs no room, the hive is compared, all of it, with what stands there before the first write. From there
//! on the image is a file like any other, under one undo file beside the file that was named. It knows only ranges of the
//! image: no hash over all of it, which would cost what the image is large. After the last write the whole way from the
//! files to the hive is opened anew, and gives the edited hive at the same places; else everything is taken back. What an
//! interruption leaves is settled by the next run, whichever file of the image it is given, before it believes anything
//! on the disk: undo files are looked for beside all of its files. Beside the files that it stands on too: what was left
//! there is refused, and settled by who names that image. Reading verbs warn of all of it, a write that was changed since
//! and an undo file that cannot be believed included. No metadata of the file system inside is ever written: a hive that would grow past its file is refused
//! (`no-room`).
//!
//! What a write touches beside the data, in this order, with a flush between what is parted by "then". The undo file holds
//! the old bytes of all of it:
//!
//! | format | metadata |
//! |---|---|
//! | raw, split raw, fixed VHD, flat VMDK extents | none (VMDK: see below) |
//! | dynamic VHD | the bits of the written sectors; for a block that is absent: a new footer, then its bitmap, then its entry in the table |
//! | VDI | the identifier of modification in the header |
//! | VHDX | new write identifiers in the older header, then in the other |
//! | VHDX with a log to be replayed | before that: a new identifier in the older header, then what is logged, then a header without the log |
//! | VMDK | the content identifier (CID) in the descriptor, then data |
//! | qcow2 | nothing where the cluster is there and not shared; else, by the crate imago: the new cluster, then its refcount, then the L2 table, then the entries of the upper tables, then refcounts that fall |
//! | QED, QCOW 1, Parallels, qcow2 with zstd or extended L2 | what QEMU writes, in the order in which it flushes; the mark of an open image is set and cleared in between |
//!
//! A stop in between leaves an image that its own tools open, at worst with a cluster that nothing uses or a mark that it was
//! not closed (`tests/it/disks/prefixes.rs` kills the program before each write, and asks QEMU); the next run takes it back as
//! it takes back everything else.
//!
//! Rolling back writes whole blocks of 4096 bytes around the patches, which may hold bytes of neighbours; only where
//! these are what was saved, so that they get what they have.
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
//! - Locks are advisory: they keep out programs that ask. Against others, there are the comparison of step 3 and
//!   the look of step 5; between that and the rename there is a moment that nothing on this side can guard.
//!
//! `tests/it/commit_faults.rs` plays all of this on a file system that loses, tears and garbles what was not flushed,
//! cutting the power before every single operation, also while it recovers, and making every operation fail.
//!
//! ## What does not carry over
//!
//! A replaced file is a new file: its time of creation and its inode number are new, and attributes of the `trusted.`
//! class are kept only for a privileged user. Whoever has the old file open goes on reading the old bytes.
//!
//! # How a fleet is audited
//!
//! One thread finds targets, a bounded pool reads them, the caller's thread prints; both queues between them are short, so
//! that memory does not grow with the fleet. What does grow: sixteen bytes for each target and folder, so that nothing is
//! read twice, the names of one folder at a time, and with `--resume` some forty bytes for each earlier record.
//!
//! Of a file that nobody named, [`crate::fleet::find::HEAD`] bytes decide whether it is a target. It is opened without
//! waiting and without following a link; what is no plain file is closed unread. A file that another one of the same
//! folder names as its part is not a target of its own; of files that name each other in a circle the first is kept, so
//! that no image can hide all others.
//!
//! Hives of the host are read by calls and not through a map: a mapped file that is cut short ends the process, and with it
//! the audit of all others. A target is looked at before and after; one that has moved gives an error and no answer. A
//! panic becomes a record, and so does a thread that exceeds its time: it is replaced, and what it may say later is
//! ignored, since nothing can end a thread that hangs in the kernel.
//!
//! Every record says how many its target has, and carries a stamp of all files that its answer rests on, also of
//! transaction logs that could be there and are not. So a later run can tell whole targets from torn ones and changed
//! ones from those that stay, and its output is complete again. Expectations are judged on the record alone, which is why
//! taken over ones can be judged by another policy.
