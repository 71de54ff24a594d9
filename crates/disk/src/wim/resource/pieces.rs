//! Fills a buffer piece by piece, in several threads if available.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use hivewright_error::Result;

/// Maximum number of threads. Each has tables, and compressed bytes of one piece.
const MOST_THREADS: usize = 8;

/// Fills `bytes` in pieces of `len` bytes; the last may be shorter. `fill` fills the piece of a number, with the tools
/// that `tools` creates for each thread. `done` receives the pieces in order, while others are filled.
///
/// # Errors
/// The error of the first failed piece.
pub(super) fn fill<T>(
    bytes: &mut [u8],
    len: usize,
    tools: impl Fn() -> T + Sync,
    fill: impl Fn(&mut T, usize, &mut [u8]) -> Result<()> + Sync,
    mut done: impl FnMut(&[u8]),
) -> Result<()> {
    let count = bytes.len().div_ceil(len);
    let rest = Mutex::new(bytes.chunks_mut(len).enumerate());
    let next = || rest.lock().unwrap_or_else(PoisonError::into_inner).next();
    let made = |tools: &mut T, (number, piece)| -> (usize, Result<&[u8]>) {
        let piece: &mut [u8] = piece;
        (number, fill(tools, number, piece).map(|()| &*piece))
    };
    thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let others = if count < 2 { 0 } else { thread::available_parallelism().map_or(1, usize::from).min(count) - 1 };
        for _ in 0..others.min(MOST_THREADS - 1) {
            let sender = sender.clone();
            let work = || {
                let sender = sender;
                let mut own = tools();
                // After an error, the channel has no receiver.
                while let Some(piece) = next() {
                    if sender.send(made(&mut own, piece)).is_err() {
                        break;
                    }
                }
            };
            // If a thread cannot be started, the others do its work.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        drop(sender);
        let mut own = tools();
        let mut waiting = BTreeMap::new();
        let mut wanted = 0;
        while wanted < count {
            waiting.extend(receiver.try_iter());
            if let Some(piece) = waiting.remove(&wanted) {
                done(piece?);
                wanted += 1;
            } else if let Some(piece) = next() {
                waiting.extend([made(&mut own, piece)]);
            } else if let Ok(piece) = receiver.recv() {
                waiting.extend([piece]);
            } else {
                // A thread has panicked; joining the threads resumes the panic.
                break;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hivewright_error::{Code, Error, Kind};

    fn fail(number: usize) -> Error {
        Error::new(Kind::Corrupt, Code::WimBlob, number.to_string())
    }

    #[test]
    fn pieces_are_done_in_order_and_the_first_error_is_returned() {
        for len in [0, 1, 9, 10, 11, 1000] {
            let (mut bytes, mut seen) = (vec![0; len], Vec::new());
            let number = |_: &mut (), number: usize, piece: &mut [u8]| {
                piece.fill(number as u8);
                Ok(())
            };
            fill(&mut bytes, 10, || (), number, |piece| seen.extend_from_slice(piece)).unwrap();
            let expected: Vec<u8> = (0..len).map(|at| (at / 10) as u8).collect();
            assert!(seen == expected && bytes == expected);
        }
        let odd = |_: &mut (), number: usize, _: &mut [u8]| if number < 30 { Ok(()) } else { Err(fail(number)) };
        let mut count = 0;
        let failed = fill(&mut [0; 1000], 10, || (), odd, |_| count += 1).unwrap_err();
        assert_eq!((count, failed.to_string()), (30, fail(30).to_string()));
    }
}
