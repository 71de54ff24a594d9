//! The guest's disk as a storage: splits requests, caches reads, and restarts qemu-nbd when necessary.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cache::Cache;
use super::client::{Client, Failure};
use super::running::{Plan, Running};
use super::{Closing, Refused};
use crate::container::within_disk;
use hivewright_error::{Code, Error, Kind, Place, Result, Space};
use hivewright_storage::Storage;

/// Bytes of a request at most.
const PIECE: usize = 1 << 20;
/// Bytes of a read from which on the cache is bypassed.
const LARGE: usize = 256 << 10;

pub(super) struct Engine {
    plan: Plan,
    size: u64,
    refused: Option<Refused>,
    state: Mutex<Process>,
    closing: Closing,
}

struct Process {
    /// `None` after a restart failed.
    running: Option<Running>,
    cache: Cache,
    written: bool,
}

impl Engine {
    /// Starts qemu-nbd.
    pub(super) fn start(plan: Plan, refused: Option<Refused>, closing: Closing) -> Result<Self> {
        let running = plan.start()?;
        let size = running.client.size;
        let writable = !running.client.is_read_only();
        if plan.writing && !writable {
            let what = "qemu-nbd opens this image for reading only";
            return Err(Error::new(Kind::Unsupported, Code::EngineReadOnly, what));
        }
        let state = Mutex::new(Process { running: Some(running), cache: Cache::default(), written: false });
        Ok(Engine { plan, size, refused, state, closing })
    }

    /// Returns the size of the disk in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    fn state(&self) -> MutexGuard<'_, Process> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a request to qemu-nbd; restarts it first if the file has outgrown the announced size.
    fn ask<T>(
        &self,
        state: &mut Process,
        doing: &str,
        ask: impl FnOnce(&mut Client<std::os::unix::net::UnixStream>) -> std::result::Result<T, Failure>,
    ) -> Result<T> {
        if state.running.as_ref().is_some_and(|running| running.shared.has_outgrown()) {
            // `None` stays if either fails.
            state.running.take().map_or(Ok(()), Running::close)?;
            state.running = Some(self.plan.start()?);
        }
        let gone = || Error::new(Kind::Io, Code::EngineDied, "qemu-nbd has ended");
        let running = state.running.as_mut().ok_or_else(gone)?;
        match ask(&mut running.client) {
            Ok(answer) => Ok(answer),
            Err(failure) => {
                let broken = matches!(failure, Failure::Broken(_));
                let error = running.explain(doing, failure);
                if broken {
                    state.running = None;
                }
                Err(error)
            }
        }
    }
}

impl Storage for Engine {
    fn len(&self) -> Result<u64> {
        Ok(self.size)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<()> {
        within_disk(self.size, offset, buf.len())?;
        let state = &mut *self.state();
        let large = buf.len() >= LARGE;
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let doing = || format!("read at {at:#x} of the disk");
            let taken = if large {
                let taken = rest.len().min(PIECE);
                self.ask(state, &doing(), |client| client.read(at, &mut rest[..taken]))?;
                taken
            } else if let Some(taken) = state.cache.copy(at, rest) {
                taken
            } else {
                let (start, mut page) = Cache::page(at, self.size);
                self.ask(state, &doing(), |client| client.read(start, &mut page))?;
                state.cache.keep(start, page);
                continue;
            };
            rest = &mut rest[taken..];
            at += taken as u64;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        within_disk(self.size, offset, bytes.len())?;
        if let Some(refused) = &self.refused {
            return Err(refused.error());
        }
        let state = &mut *self.state();
        state.written = true;
        state.cache.forget(offset, bytes.len());
        for (i, piece) in bytes.chunks(PIECE).enumerate() {
            let at = offset + (i * PIECE) as u64;
            self.ask(state, &format!("write at {at:#x} of the disk"), |client| client.write(at, piece))?;
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        if !self.plan.writing {
            return Ok(());
        }
        self.ask(&mut self.state(), "flush the disk", Client::flush)
    }

    fn locate(&self, offset: u64) -> Vec<Place> {
        vec![Place { space: Space::Disk, offset }]
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let state = &mut *self.state();
        let flushed = if state.written { self.ask(state, "flush the disk", Client::flush) } else { Ok(()) };
        let closed = state.running.take().map_or(Ok(()), Running::close);
        if let Err(error) = flushed.and(closed)
            && self.plan.writing
        {
            self.closing.failed(error);
        }
    }
}
