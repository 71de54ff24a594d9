//! Audits of fleets: thousands of images, hives and Windows folders, one [`Record`] for each Windows installation.
//!
//! Targets stream from their discovery through a bounded pool to whoever prints them: memory does not grow with what
//! is read. Nothing is written but what the caller writes.

pub mod account;
pub mod find;
pub mod policy;
pub mod pool;
pub mod read;
pub mod record;
pub mod report;
pub mod resume;
pub mod run;
pub mod shard;

pub use record::Record;
