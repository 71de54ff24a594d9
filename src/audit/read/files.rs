//! Files of the host on which a record depends, and their state at the time of reading.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::audit::record::Record;
use crate::audit::shard::Fnv;
use crate::locate::ImageOptions;
use hivewright_error::{Kind, Result};
use hivewright_hive::regf::timestamp::FileTime;
use hivewright_storage::probe::{self, EntryKind};

/// Size and time of modification of a file; `None` if it does not exist.
type State = Option<(u64, Option<SystemTime>)>;

/// Returns the current state of a file.
///
/// # Errors
/// Errors of the host other than a missing file.
pub(super) fn state_of(path: &Path) -> Result<State> {
    match probe::metadata(path) {
        // A read of a device changes its time.
        Ok(metadata) if metadata.kind == EntryKind::Device => Ok(Some((0, None))),
        Ok(metadata) => Ok(Some((metadata.len, metadata.modified))),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Files and their state when reading began.
pub(super) struct HostFiles {
    /// The files of the target, then those beside them.
    files: Vec<(PathBuf, State)>,
    /// Number of files of the target.
    own: usize,
    /// Whether the first is the target itself, rather than a file in the target's folder.
    is_first_target: bool,
    /// Initial state of the hash for their stamp.
    seed: Fnv,
}

impl HostFiles {
    /// Reads the state of all files.
    pub(super) fn new(own: Vec<PathBuf>, beside: Vec<PathBuf>, is_first_target: bool) -> Result<Self> {
        let count = own.len();
        let files = own.into_iter().chain(beside);
        let files = files.map(|path| state_of(&path).map(|state| (path, state))).collect::<Result<_>>()?;
        Ok(HostFiles { files, own: count, is_first_target, seed: Fnv::default() })
    }

    /// Includes the options with which an image was opened in the stamp.
    pub(super) fn of_image(mut self, options: &ImageOptions) -> Self {
        self.seed = seed(options, self.files.len() - 1);
        self
    }

    /// Returns whether no file has changed since.
    pub(super) fn are_unchanged(&self) -> bool {
        self.files.iter().all(|(path, state)| state_of(path).is_ok_and(|now| now == *state))
    }

    /// Writes size, time, files and stamp to a record.
    pub(super) fn describe(&self, record: &mut Record) {
        let own = || self.files[..self.own].iter().filter_map(|(_, state)| *state);
        let has_times = own().all(|(_, modified)| modified.is_some());
        record.size = record.size.or(Some(own().map(|(len, _)| len).sum()));
        record.modified = own().filter_map(|(_, modified)| modified).max().map(precise);
        let beside = &self.files[usize::from(self.is_first_target)..];
        record.set_files(beside.iter().map(|(path, _)| &**path));
        let named = self.files.iter().map(|(path, state)| (path.clone(), *state));
        record.stamp = has_times.then(|| stamp(self.seed, named));
    }
}

/// Returns whether the files of a record are unchanged, and an image opened with these options would have the same
/// files.
pub fn is_unchanged(record: &Record, options: &ImageOptions) -> bool {
    let (Some(target), Some(files)) = (record.target_path(), record.file_paths()) else { return false };
    let target = (record.container.as_deref() != Some("folder")).then_some(target);
    let more = if matches!(record.container.as_deref(), Some("hive" | "folder")) { 0 } else { record.files.len() };
    let seed = seed(options, more);
    let states = target.into_iter().chain(files).map(|path| state_of(&path).map(|state| (path, state)));
    let now = states.collect::<Result<Vec<_>>>().map(|states| stamp(seed, states.into_iter()));
    now.is_ok_and(|now| record.stamp == Some(now))
}

/// Hashes the allowed folders for an image of several files, which may take files from them. An image of one file does
/// not depend on them, so another allowed folder does not invalidate its record.
fn seed(options: &ImageOptions, more: usize) -> Fnv {
    let folders = options.allow.iter().filter(|_| more > 0);
    folders.fold(Fnv::default(), |hash, folder| hash.with(folder.as_os_str().as_encoded_bytes()).with(&[0]))
}

fn stamp(mut hash: Fnv, files: impl Iterator<Item = (PathBuf, State)>) -> String {
    for (path, state) in files {
        hash = hash.with(path.as_os_str().as_encoded_bytes()).with(&[0, u8::from(state.is_some())]);
        let (len, modified) = state.unwrap_or_default();
        let since = modified.and_then(|moment| moment.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
        hash = hash.with(&len.to_le_bytes()).with(&since.as_nanos().to_le_bytes());
    }
    format!("{:016x}", hash.get())
}

/// Formats a time as RFC 3339 with nanoseconds.
fn precise(moment: SystemTime) -> String {
    let nanos = moment.duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos();
    format!("{}.{nanos:09}Z", FileTime::of(moment).to_string().trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_keep_their_nanoseconds() {
        // Windows counts in units of 100 nanoseconds.
        let (nanoseconds, text) = if cfg!(windows) { (4200, "000004200") } else { (42, "000000042") };
        let time = UNIX_EPOCH + Duration::new(951_827_696, nanoseconds);
        assert_eq!(precise(time), format!("2000-02-29T12:34:56.{text}Z"));
    }

    #[test]
    fn every_difference_shows() {
        let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
        let one = |name: &str, state: State| stamp(Fnv::default(), [(PathBuf::from(name), state)].into_iter());
        let all = [
            one("a", Some((1, at(1)))),
            one("b", Some((1, at(1)))),
            one("a", Some((2, at(1)))),
            one("a", Some((1, at(2)))),
            one("a", None),
            one("a", Some((0, None))),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "{i}");
        }
    }
}
