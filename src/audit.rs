//! Audit of thousands of images, hives and Windows folders: one [`Record`] for each Windows installation.
//!
//! Targets stream from the discovery through a bounded pool to the caller, so memory does not grow with their number.
//! An audit writes nothing itself.

pub mod account;
pub mod baseline;
mod builder;
pub mod find;
pub mod pool;
pub mod read;
pub mod record;
pub mod report;
pub mod resume;
pub mod run;
pub mod shard;
pub mod sorted;

pub use builder::Audit;
pub use record::Record;
