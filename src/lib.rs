//! hivewright
