//! The content identifier (CID) of an image, which a writer renews: see the parent module.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::descriptor::Descriptor;
use crate::container::helpers::random;
use hivewright_error::Result;
use hivewright_storage::Storage;

/// The place of the CID, and whether it was renewed since the image was opened.
pub(super) struct ContentId {
    file: Arc<dyn Storage>,
    at: u64,
    digits: usize,
    /// CIDs that the new one must differ from.
    taken: Vec<u32>,
    /// Offset of the long identifier, whose last eight digits are the CID.
    long: Option<u64>,
    renewed: Mutex<bool>,
}

impl ContentId {
    /// Finds the CID in the descriptor whose text begins at `start` of `file`.
    pub(super) fn new(file: Arc<dyn Storage>, start: u64, text: &[u8], descriptor: &Descriptor) -> Self {
        let place = |at: &Range<usize>| start + at.start as u64;
        let cid = &text[descriptor.cid_at.clone()];
        let goes_with =
            |at: &&Range<usize>| text[(*at).clone()].to_ascii_lowercase().ends_with(&cid.to_ascii_lowercase());
        let long = descriptor.long_id_at.as_ref().filter(|_| cid.len() == 8).filter(goes_with).map(place);
        let mut taken = vec![0, 0xffff_ffff, 0xffff_fffe, descriptor.cid];
        taken.extend(descriptor.parent.as_ref().map(|(cid, _)| *cid));
        let (at, digits) = (place(&descriptor.cid_at), descriptor.cid_at.len());
        ContentId { file, at, digits, taken, long, renewed: Mutex::default() }
    }

    /// Writes a new CID, once, and returns when it is on the medium.
    pub(super) fn renew(&self) -> Result<()> {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        if *renewed {
            return Ok(());
        }
        let digits = self.fresh()?;
        self.file.write_at(self.at, digits.as_bytes())?;
        if let Some(at) = self.long {
            let hex: String = random::bytes::<12>()?.iter().map(|byte| format!("{byte:02x}")).collect();
            let long = format!("{hex}{digits}");
            self.file.write_at(at, long.as_bytes())?;
        }
        self.file.flush()?;
        *renewed = true;
        Ok(())
    }

    /// Returns a random CID with as many digits as the old one, so that the text keeps its length.
    fn fresh(&self) -> Result<String> {
        loop {
            // At most eight digits.
            let digits = format!("{:08x}", u32::from_le_bytes(random::bytes()?))[8 - self.digits..].to_owned();
            // One digit has sixteen values, of which at most five are taken.
            if u32::from_str_radix(&digits, 16).is_ok_and(|cid| !self.taken.contains(&cid)) {
                return Ok(digits);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_storage::memory::Memory;

    #[test]
    fn the_cid_is_renewed_once_in_place() {
        for (text, cid, long) in [("CID=1234abcd", 0x1234_abcd, true), ("CID=7", 7, false)] {
            let whole = format!("{text}\nddb.longContentID=\"00000000000000000000000A1234ABCD\"\n");
            let end = text.len();
            let descriptor =
                Descriptor { cid, cid_at: 4..end, long_id_at: Some(end + 20..end + 52), ..Descriptor::default() };
            let memory = Arc::new(Memory::new([b"....", whole.as_bytes()].concat()));
            let id = ContentId::new(memory.clone(), 4, whole.as_bytes(), &descriptor);
            let now = || {
                let mut bytes = vec![0; whole.len()];
                memory.read_at(4, &mut bytes).unwrap();
                String::from_utf8(bytes).unwrap()
            };
            id.renew().unwrap();
            let (first, len) = (now(), end - 4);
            id.renew().unwrap();
            assert_eq!(first, now());
            assert!(first[4..end] != whole[4..end] && first[4..end].bytes().all(|b| b.is_ascii_hexdigit()));
            assert_eq!(first[end + 20..] != whole[end + 20..], long);
            assert!(!long || first[end + 20..end + 52].ends_with(&first[4..4 + len]));
            assert_eq!((&first[..4], &first[end + 52..]), ("CID=", "\"\n"));
        }
    }
}
