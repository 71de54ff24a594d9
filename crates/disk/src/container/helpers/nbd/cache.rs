//! Cache of pages of the disk: file systems read small structures that are close to each other.

/// Bytes of a page; together with the number of pages, 4 MiB.
const PAGE: u64 = 64 << 10;
const MOST: usize = 64;

/// Pages with the time of their last use.
#[derive(Default)]
pub(super) struct Cache {
    pages: Vec<(u64, u64, Vec<u8>)>,
    now: u64,
}

impl Cache {
    /// Returns the start of the page with the byte at `offset`, and a buffer for it, which is shorter at the end of the
    /// disk.
    pub(super) fn page(offset: u64, size: u64) -> (u64, Vec<u8>) {
        let start = offset / PAGE * PAGE;
        // Never above a page.
        (start, vec![0; usize::try_from((size - start).min(PAGE)).unwrap_or(0)])
    }

    /// Copies cached bytes from `offset` on, at most to the end of the page. Returns their number.
    pub(super) fn copy(&mut self, offset: u64, buf: &mut [u8]) -> Option<usize> {
        self.now += 1;
        let (_, used, page) = self.pages.iter_mut().find(|(start, ..)| *start == offset / PAGE * PAGE)?;
        // Below a page.
        let from = page.get(usize::try_from(offset % PAGE).unwrap_or(usize::MAX)..).filter(|from| !from.is_empty())?;
        let count = from.len().min(buf.len());
        buf[..count].copy_from_slice(&from[..count]);
        *used = self.now;
        Some(count)
    }

    /// Adds a page and removes the least recently used one.
    pub(super) fn keep(&mut self, start: u64, page: Vec<u8>) {
        self.now += 1;
        if self.pages.len() == MOST
            && let Some(oldest) = (0..MOST).min_by_key(|&i| self.pages[i].1)
        {
            self.pages.swap_remove(oldest);
        }
        self.pages.push((start, self.now, page));
    }

    /// Removes pages that are about to be written to.
    pub(super) fn forget(&mut self, offset: u64, len: usize) {
        let end = offset.saturating_add(len as u64);
        self.pages.retain(|(start, ..)| *start >= end || start + PAGE <= offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_what_it_was_given_until_it_is_written() {
        let mut cache = Cache::default();
        let mut buf = [0; 10];
        assert_eq!(cache.copy(PAGE - 4, &mut buf), None);
        cache.keep(0, vec![1; 1 << 16]);
        cache.keep(PAGE, vec![2; 3]);
        assert_eq!((cache.copy(PAGE - 4, &mut buf), &buf[..4]), (Some(4), &[1; 4][..]));
        assert_eq!((cache.copy(PAGE, &mut buf), &buf[..3]), (Some(3), &[2; 3][..]));
        assert_eq!(cache.copy(PAGE + 3, &mut buf), None);
        cache.forget(PAGE - 1, 1);
        assert_eq!((cache.copy(0, &mut buf), cache.copy(PAGE, &mut buf)), (None, Some(3)));
        cache.forget(0, PAGE as usize + 1);
        assert_eq!(cache.copy(PAGE, &mut buf), None);
    }

    #[test]
    fn lets_go_of_what_was_used_least_lately() {
        let mut cache = Cache::default();
        for page in 0..MOST as u64 {
            cache.keep(page * PAGE, vec![0; 1]);
        }
        assert_eq!(cache.copy(0, &mut [0]), Some(1));
        cache.keep(1 << 40, vec![0; 1]);
        assert_eq!((cache.pages.len(), cache.copy(0, &mut [0]), cache.copy(PAGE, &mut [0])), (MOST, Some(1), None));
    }
}
