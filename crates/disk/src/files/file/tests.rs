use std::sync::Mutex;

use super::*;

struct Medium(Mutex<Vec<u8>>);

impl Storage for Medium {
    fn len(&self) -> Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        let at = offset as usize;
        buf.copy_from_slice(&self.0.lock().unwrap()[at..at + buf.len()]);
        Ok(())
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let at = offset as usize;
        self.0.lock().unwrap()[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    fn locate(&self, offset: u64) -> Vec<Place> {
        vec![Place { space: Space::File, offset: offset + 1000 }]
    }
}

/// Returns a file with extents of 30 bytes: ten at 50, ten at 20, a hole of ten. The last two bytes are not part of
/// the file.
fn file(traits: Traits, valid_len: u64) -> (Arc<Medium>, FileInVolume) {
    let medium = Arc::new(Medium(Mutex::new((0..100).collect())));
    let mut extents = Extents::default();
    assert!(extents.push(Some(50), 10) && extents.push(Some(20), 10) && extents.push(None, 10));
    let facts = Facts { id: 7, len: 28, valid_len, covered_len: 30, links: 1, traits };
    (medium.clone(), FileInVolume::new(medium, facts, extents, None))
}

#[test]
fn reads_through_extents_holes_and_the_valid_length() {
    let (_, f) = file(Traits::default(), 15);
    let mut all = [0xff; 28];
    f.read_at(0, &mut all).unwrap();
    assert_eq!(all[..15], [50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 20, 21, 22, 23, 24]);
    assert_eq!(all[15..], [0; 13]);
    assert_eq!(f.read_at(28, &mut [0]).unwrap_err().code(), "past-end");
    assert_eq!(f.read_at(u64::MAX, &mut [0]).unwrap_err().code(), "past-end");
}

#[test]
fn writes_are_limited_to_valid_clusters_of_the_file() {
    let (medium, f) = file(Traits::default(), 28);
    f.write_at(8, b"abcd").unwrap();
    let bytes = medium.0.lock().unwrap().clone();
    assert_eq!((&bytes[58..60], &bytes[20..22]), (&b"ab"[..], &b"cd"[..]));
    assert_eq!(bytes.iter().enumerate().filter(|&(i, &b)| b != i as u8).count(), 4);
    for (offset, code) in [(18, "file-not-allocated"), (26, "file-too-short"), (u64::MAX - 1, "file-too-short")] {
        assert_eq!(f.write_at(offset, b"abc").unwrap_err().code(), code);
    }
    assert_eq!(*medium.0.lock().unwrap(), bytes, "a refusal writes nothing");
    let (_, f) = file(Traits::default(), 15);
    assert_eq!(f.write_at(13, b"abc").unwrap_err().code(), "file-not-valid");
}

#[test]
fn refused_writes_have_a_code() {
    for (traits, code) in [
        (Traits { compressed: true, ..Traits::default() }, Code::FileCompressed),
        (Traits { encrypted: true, ..Traits::default() }, Code::FileEncrypted),
        (Traits { sparse: true, ..Traits::default() }, Code::FileSparse),
        (Traits { resident: true, ..Traits::default() }, Code::FileResident),
    ] {
        let error = file(traits, 28).1.write_at(0, b"a").unwrap_err();
        assert_eq!((error.kind(), error.code()), (Kind::Refused, code));
    }
}

#[test]
fn places_include_the_host_file() {
    let (_, f) = file(Traits::default(), 28);
    let places = f.locate(11);
    assert_eq!(places[0], Place { space: Space::Volume, offset: 21 });
    assert_eq!(places[1], Place { space: Space::File, offset: 1021 });
    assert!(f.locate(25).is_empty() && f.locate(99).is_empty());
}
