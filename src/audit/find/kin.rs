//! How the files of one folder belong together: which is a part of which, and which image stands on which.
//!
//! Names of pieces and logs decide by themselves. What an image says of its extents is only a claim: the reader holds it
//! against the opened image. A backing file or parent is no part, but an image of its own.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::looks::Looks;
use crate::locate::logs::ENDINGS;
use hivewright_disk::container::{References, has_type_of_log, last_part, meant_by, references};
use hivewright_error::Error;
use hivewright_storage::probe::{Seen, see};
use hivewright_storage::split;

/// A file of a folder, until the whole folder was seen.
pub(super) struct Met {
    pub(super) path: PathBuf,
    pub(super) seen: Seen,
    pub(super) looks: Looks,
    /// Its base block says that it is a log, whatever else it looks like.
    pub(super) is_log: bool,
    /// Why it has a record of an error.
    pub(super) fault: Option<Error>,
    said: References,
}

impl Met {
    /// A file that was looked at.
    pub(super) fn new(path: &Path, seen: Seen, head: &[u8], looks: Looks) -> Self {
        let said = if looks == Looks::Container { references(path) } else { References::default() };
        let is_log = head.starts_with(b"regf") && has_type_of_log(head);
        Met { path: path.to_owned(), seen, looks, is_log, fault: None, said }
    }

    pub(super) fn is_target(&self) -> bool {
        self.looks.is_target() || self.fault.is_some()
    }
}

/// How each file of a folder belongs to the others, by their places in the list.
pub(super) struct Kin {
    /// The file that each is a part of, and whether only that one's headers say so.
    pub(super) part_of: Vec<Option<(usize, bool)>>,
    /// The images that stand on each.
    pub(super) dependents: Vec<Vec<usize>>,
}

/// Finds out how `all` belong together. First pieces that look like nothing alone become targets.
pub(super) fn kin(all: &mut [Met]) -> Kin {
    let mut kin = Kin { part_of: vec![None; all.len()], dependents: vec![Vec::new(); all.len()] };
    by_name(all, &mut kin);
    by_headers(all, &mut kin);
    kin
}

/// Logs, segments of raw disks and of E01 images.
fn by_name(all: &mut [Met], kin: &mut Kin) {
    let places: HashMap<PathBuf, usize> = all.iter().enumerate().map(|(i, met)| (met.path.clone(), i)).collect();
    let firsts: Vec<_> = all.iter().map(|met| first_segment(met, &places)).collect();
    for (i, first) in firsts.iter().enumerate() {
        // What follows may be a disk where its beginning shows none.
        if let Some(first) = first.filter(|&first| all[i].is_target() && !all[first].is_target()) {
            all[first].looks = Looks::DiskByName;
        }
    }
    // The first segment that is there, of those whose own first is missing.
    let mut orphans: HashMap<PathBuf, usize> = HashMap::new();
    for (i, met) in all.iter().enumerate() {
        let whole = if let Some(hive) = hive_of_log(&met.path).and_then(|hive| places.get(&hive).copied()) {
            Some(hive).filter(|&hive| all[hive].looks == Looks::Hive && (met.is_log || !met.is_target()))
        } else if let Some(piece) = met.said.piece {
            let at = |ending: &str| places.get(&met.path.with_extension(ending)).copied();
            let first = piece.firsts.iter().find_map(|first| at(first).or_else(|| at(&first.to_ascii_uppercase())));
            first.or_else(|| Some(*orphans.entry(met.path.with_extension("")).or_insert(i)))
        } else {
            firsts[i].filter(|&first| all[first].is_target() && all[first].looks != Looks::Hive)
        };
        kin.part_of[i] = whole.filter(|&whole| whole != i).map(|whole| (whole, false));
    }
}

/// The first segment of the raw disk that `met` is a later one of. Hives are never segments.
fn first_segment(met: &Met, places: &HashMap<PathBuf, usize>) -> Option<usize> {
    // What makes a piece of a name stands behind the last dot, so the rest of it may be any bytes.
    let name = met.path.file_name().filter(|_| met.looks != Looks::Hive)?.to_string_lossy();
    let mut endings = split::firsts(&name).into_iter().filter_map(|first| Some(first.rsplit_once('.')?.1.to_owned()));
    endings.find_map(|ending| places.get(&met.path.with_extension(ending)).copied())
}

/// The hive beside which Windows keeps a log of that name.
fn hive_of_log(path: &Path) -> Option<PathBuf> {
    let is_log = |ending: &OsStr| ENDINGS.iter().any(|log| ending.eq_ignore_ascii_case(log));
    path.extension().filter(|ending| is_log(ending)).map(|_| path.with_extension(""))
}

/// Whether it is a log beside a hive that is not in the list.
pub(super) fn log_beside(met: &Met) -> Option<PathBuf> {
    hive_of_log(&met.path).filter(|hive| met.is_log && see(hive).is_ok())
}

/// Extents, backing files and parents.
fn by_headers(all: &[Met], kin: &mut Kin) {
    let by_id: HashMap<_, usize> = all.iter().enumerate().filter_map(|(i, met)| Some((met.seen.id?, i))).collect();
    let text = |met: &Met| met.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let by_text: HashMap<String, usize> = all.iter().enumerate().map(|(i, met)| (text(met), i)).collect();
    let named = |i: usize, name: &String| {
        let folder = all[i].path.parent().unwrap_or(Path::new(""));
        let seen = meant_by(name, folder, None);
        let place = match seen.and_then(|seen| seen.id) {
            Some(id) => by_id.get(&id).copied(),
            // A host without numbers of files, or a name of which the text only resembles it.
            None if seen.is_none() && !name.contains(char::REPLACEMENT_CHARACTER) => None,
            None => by_text.get(last_part(name)?.as_str()).copied(),
        };
        place.filter(|&place| place != i)
    };
    let mut claims: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
    let mut called: HashMap<[u8; 16], Vec<usize>> = HashMap::new();
    for (i, met) in all.iter().enumerate() {
        met.said.parts.iter().filter_map(|name| named(i, name)).for_each(|part| claims[part].push(i));
        met.said.own.into_iter().for_each(|own| called.entry(own).or_default().push(i));
    }
    for (i, met) in all.iter().enumerate() {
        // Copies of an image have one identifier: which of them is meant, its headers do not say.
        let known = met.said.parent.and_then(|parent| called.get(&parent)).into_iter().flatten().copied();
        let mut below: Vec<usize> = met.said.parents.iter().filter_map(|name| named(i, name)).chain(known).collect();
        below.sort_unstable();
        below.dedup();
        below.into_iter().filter(|&below| below != i).for_each(|below| kin.dependents[below].push(i));
    }
    // A file that another one claims has no parts itself: of two that name each other, both are told of.
    let is_whole = |whole: usize, kin: &Kin| claims[whole].is_empty() && kin.part_of[whole].is_none();
    for (part, claims) in claims.iter().enumerate() {
        if let Some(&whole) = claims.iter().find(|&&whole| is_whole(whole, kin)) {
            kin.part_of[part] = Some((whole, true));
        }
    }
    for part in 0..all.len() {
        if let Some((whole, _)) = kin.part_of[part].and_then(|(first, _)| kin.part_of[first]) {
            kin.part_of[part] = Some((whole, true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::account::Reason;
    use hivewright_disk::container::Piece;
    use hivewright_storage::folder::EntryKind;

    /// Files of a folder that is not there, so that names alone tell.
    fn all(files: &[(&str, Looks, References)]) -> Kin {
        let seen = Seen { kind: EntryKind::File, id: None, len: 9, is_linked: false, modified: None };
        let met = |(name, looks, said): &(&str, Looks, References)| Met {
            path: PathBuf::from("/nowhere").join(name),
            seen,
            looks: *looks,
            is_log: false,
            fault: None,
            said: said.clone(),
        };
        kin(&mut files.iter().map(met).collect::<Vec<_>>())
    }

    const OTHER: Looks = Looks::Other(Reason::NoImage);

    #[test]
    fn pieces_and_logs_belong_to_their_first_and_hives_to_nobody() {
        let none = References::default;
        let piece = |number| {
            let piece = Piece { number, firsts: &["e01"] };
            References { piece: (number > 1).then_some(piece), ..none() }
        };
        let found = all(&[
            ("SYSTEM", Looks::Hive, none()),
            ("SYSTEM.001", Looks::Hive, none()),
            ("SYSTEM.LOG", Looks::Hive, none()),
            ("SYSTEM.LOG1", OTHER, none()),
            ("case.E01", Looks::Container, piece(1)),
            ("case.E02", Looks::Container, piece(2)),
            ("lost.E03", Looks::Container, piece(3)),
            ("lost.E04", Looks::Container, piece(4)),
            ("notes.001", OTHER, none()),
            ("notes.002", OTHER, none()),
            ("pc.001", OTHER, none()),
            ("pc.002", OTHER, none()),
            ("pc.003", Looks::Disk, none()),
        ]);
        let part = |whole| Some((whole, false));
        let wanted = [None, None, None, part(0), None, part(4), None, part(6), None, None, None, part(10), part(10)];
        assert_eq!(found.part_of, wanted);
    }

    #[test]
    fn who_has_the_identifier_of_a_parent_is_stood_on_and_no_part() {
        let image =
            |own, parent| References { own: Some([own; 16]), parent: Some([parent; 16]), ..References::default() };
        let found = all(&[
            ("a", Looks::Container, image(1, 0)),
            ("b", Looks::Container, image(2, 1)),
            ("c", Looks::Container, image(3, 1)),
            ("d", Looks::Container, image(4, 4)),
        ]);
        assert_eq!(found.dependents, [vec![1, 2], vec![], vec![], vec![]]);
        assert_eq!(found.part_of, [None; 4]);
    }
}
