//! Relations between the files of one folder: parts of images and hives, and dependent images.
//!
//! The names of segments and logs are sufficient. Extents in the headers of an image are only claims, which the reader
//! compares with the opened image. A backing file or parent is an image itself, not a part.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::file_kind::FileKind;
use crate::locate::logs::ENDINGS;
use hivewright_disk::container::{References, has_type_of_log, last_part, meant_by, references};
use hivewright_error::Error;
use hivewright_storage::probe::{Metadata, metadata};
use hivewright_storage::split;

/// A file of a folder whose relations are not known yet.
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
    pub(super) file_kind: FileKind,
    /// Whether its base block has the file type of a log, whatever its other bytes are.
    pub(super) is_log: bool,
    /// The error for its record.
    pub(super) fault: Option<Error>,
    references: References,
}

impl Candidate {
    /// Reads the references in the headers of a file.
    pub(super) fn new(path: &Path, metadata: Metadata, head: &[u8], file_kind: FileKind) -> Self {
        let references = if file_kind == FileKind::Container { references(path) } else { References::default() };
        let is_log = head.starts_with(b"regf") && has_type_of_log(head);
        Candidate { path: path.to_owned(), metadata, file_kind, is_log, fault: None, references }
    }

    pub(super) fn is_target(&self) -> bool {
        self.file_kind.is_target() || self.fault.is_some()
    }
}

/// Relations of the files of a folder, by their indices in the list.
pub(super) struct Relations {
    /// The file that each is a part of, and whether only the headers of that file name it.
    pub(super) part_of: Vec<Option<(usize, bool)>>,
    /// The images that have each file as their backing file or parent.
    pub(super) dependents: Vec<Vec<usize>>,
}

/// Determines the relations of `all`. A first segment that has no recognizable contents becomes a target.
pub(super) fn relate(all: &mut [Candidate]) -> Relations {
    let mut relations = Relations { part_of: vec![None; all.len()], dependents: vec![Vec::new(); all.len()] };
    by_name(all, &mut relations);
    by_headers(all, &mut relations);
    relations
}

/// Relates logs, and segments of raw disks and E01 images, by their names.
fn by_name(all: &mut [Candidate], relations: &mut Relations) {
    let places: HashMap<PathBuf, usize> =
        all.iter().enumerate().map(|(i, candidate)| (candidate.path.clone(), i)).collect();
    let firsts: Vec<_> = all.iter().map(|candidate| first_segment(candidate, &places)).collect();
    for (i, first) in firsts.iter().enumerate() {
        // A segment without recognizable contents may be the beginning of a disk.
        if let Some(first) = first.filter(|&first| all[i].is_target() && !all[first].is_target()) {
            all[first].file_kind = FileKind::DiskByName;
        }
    }
    // The lowest present segment of each image whose first segment is missing.
    let mut orphans: HashMap<PathBuf, usize> = HashMap::new();
    for (i, candidate) in all.iter().enumerate() {
        let whole = if let Some(hive) = hive_of_log(&candidate.path).and_then(|hive| places.get(&hive).copied()) {
            Some(hive)
                .filter(|&hive| all[hive].file_kind == FileKind::Hive && (candidate.is_log || !candidate.is_target()))
        } else if let Some(piece) = candidate.references.piece {
            let at = |ending: &str| places.get(&candidate.path.with_extension(ending)).copied();
            let first = piece.firsts.iter().find_map(|first| at(first).or_else(|| at(&first.to_ascii_uppercase())));
            first.or_else(|| Some(*orphans.entry(candidate.path.with_extension("")).or_insert(i)))
        } else {
            firsts[i].filter(|&first| all[first].is_target() && all[first].file_kind != FileKind::Hive)
        };
        relations.part_of[i] = whole.filter(|&whole| whole != i).map(|whole| (whole, false));
    }
}

/// Returns the first segment of a raw disk, if `candidate` is a later segment. Hives are never segments.
fn first_segment(candidate: &Candidate, places: &HashMap<PathBuf, usize>) -> Option<usize> {
    // Only the extension marks a segment, so the rest of the name may be any bytes.
    let name = candidate.path.file_name().filter(|_| candidate.file_kind != FileKind::Hive)?.to_string_lossy();
    let mut endings = split::firsts(&name).into_iter().filter_map(|first| Some(first.rsplit_once('.')?.1.to_owned()));
    endings.find_map(|ending| places.get(&candidate.path.with_extension(ending)).copied())
}

/// Returns the hive of a log with that name, as Windows names logs.
fn hive_of_log(path: &Path) -> Option<PathBuf> {
    let is_log = |ending: &OsStr| ENDINGS.iter().any(|log| ending.eq_ignore_ascii_case(log));
    path.extension().filter(|ending| is_log(ending)).map(|_| path.with_extension(""))
}

/// Returns the hive of a log, if the hive exists and is not in the list.
pub(super) fn log_beside(candidate: &Candidate) -> Option<PathBuf> {
    hive_of_log(&candidate.path).filter(|hive| candidate.is_log && metadata(hive).is_ok())
}

/// Relates extents, backing files and parents, by headers.
fn by_headers(all: &[Candidate], relations: &mut Relations) {
    let by_id: HashMap<_, usize> =
        all.iter().enumerate().filter_map(|(i, candidate)| Some((candidate.metadata.id?, i))).collect();
    let text = |candidate: &Candidate| candidate.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let by_text: HashMap<String, usize> = all.iter().enumerate().map(|(i, candidate)| (text(candidate), i)).collect();
    let named = |i: usize, name: &String| {
        let folder = all[i].path.parent().unwrap_or(Path::new(""));
        let metadata = meant_by(name, folder, None);
        let place = match metadata.and_then(|metadata| metadata.id) {
            Some(id) => by_id.get(&id).copied(),
            // A host without file identifiers, or a name whose text is only an approximation.
            None if metadata.is_none() && !name.contains(char::REPLACEMENT_CHARACTER) => None,
            None => by_text.get(last_part(name)?.as_str()).copied(),
        };
        place.filter(|&place| place != i)
    };
    let mut claims: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
    let mut by_identifier: HashMap<[u8; 16], Vec<usize>> = HashMap::new();
    for (i, candidate) in all.iter().enumerate() {
        candidate.references.parts.iter().filter_map(|name| named(i, name)).for_each(|part| claims[part].push(i));
        candidate.references.own.into_iter().for_each(|own| by_identifier.entry(own).or_default().push(i));
    }
    for (i, candidate) in all.iter().enumerate() {
        let wholes = candidate.references.whole.and_then(|whole| by_identifier.get(&whole));
        claims[i].extend(wholes.into_iter().flatten().copied().filter(|&whole| whole != i));
        // Copies of an image share one identifier, and the headers do not identify the copy.
        let known =
            candidate.references.parent.and_then(|parent| by_identifier.get(&parent)).into_iter().flatten().copied();
        let mut parents: Vec<usize> =
            candidate.references.parents.iter().filter_map(|name| named(i, name)).chain(known).collect();
        parents.sort_unstable();
        parents.dedup();
        parents.into_iter().filter(|&parent| parent != i).for_each(|parent| relations.dependents[parent].push(i));
    }
    // A file that another one claims has no parts itself. Of two files that name each other, both have records.
    let is_whole = |whole: usize, relations: &Relations| claims[whole].is_empty() && relations.part_of[whole].is_none();
    for (part, claims) in claims.iter().enumerate() {
        if let Some(&whole) = claims.iter().find(|&&whole| is_whole(whole, relations)) {
            relations.part_of[part] = Some((whole, true));
        }
    }
    for part in 0..all.len() {
        if let Some((whole, _)) = relations.part_of[part].and_then(|(first, _)| relations.part_of[first]) {
            relations.part_of[part] = Some((whole, true));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::account::Reason;
    use hivewright_disk::container::Piece;
    use hivewright_storage::probe::EntryKind;

    /// Relates files of a folder that does not exist, so that only names count.
    fn all(files: &[(&str, FileKind, References)]) -> Relations {
        let metadata = Metadata { kind: EntryKind::File, id: None, len: 9, is_linked: false, modified: None };
        let candidate = |(name, file_kind, references): &(&str, FileKind, References)| Candidate {
            path: PathBuf::from("/nowhere").join(name),
            metadata,
            file_kind: *file_kind,
            is_log: false,
            fault: None,
            references: references.clone(),
        };
        relate(&mut files.iter().map(candidate).collect::<Vec<_>>())
    }

    const OTHER: FileKind = FileKind::Other(Reason::NoImage);

    #[test]
    fn segments_and_logs_are_parts_and_hives_are_not() {
        let none = References::default;
        let piece = |number| {
            let piece = Piece { number, firsts: &["e01"] };
            References { piece: (number > 1).then_some(piece), ..none() }
        };
        let found = all(&[
            ("SYSTEM", FileKind::Hive, none()),
            ("SYSTEM.001", FileKind::Hive, none()),
            ("SYSTEM.LOG", FileKind::Hive, none()),
            ("SYSTEM.LOG1", OTHER, none()),
            ("case.E01", FileKind::Container, piece(1)),
            ("case.E02", FileKind::Container, piece(2)),
            ("lost.E03", FileKind::Container, piece(3)),
            ("lost.E04", FileKind::Container, piece(4)),
            ("notes.001", OTHER, none()),
            ("notes.002", OTHER, none()),
            ("pc.001", OTHER, none()),
            ("pc.002", OTHER, none()),
            ("pc.003", FileKind::Disk, none()),
        ]);
        let part = |whole| Some((whole, false));
        let wanted = [None, None, None, part(0), None, part(4), None, part(6), None, None, None, part(10), part(10)];
        assert_eq!(found.part_of, wanted);
    }

    #[test]
    fn an_image_with_the_identifier_of_a_parent_has_dependents_and_is_no_part() {
        let image =
            |own, parent| References { own: Some([own; 16]), parent: Some([parent; 16]), ..References::default() };
        let found = all(&[
            ("a", FileKind::Container, image(1, 0)),
            ("b", FileKind::Container, image(2, 1)),
            ("c", FileKind::Container, image(3, 1)),
            ("d", FileKind::Container, image(4, 4)),
        ]);
        assert_eq!(found.dependents, [vec![1, 2], vec![], vec![], vec![]]);
        assert_eq!(found.part_of, [None; 4]);
    }
}
