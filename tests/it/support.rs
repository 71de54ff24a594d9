//! What tests build with.

pub(crate) mod contents;
pub(crate) mod dirty_place;
pub(crate) mod judges;
pub(crate) mod lying_host;
