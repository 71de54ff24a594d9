//! What tests build with.

pub(crate) mod lying_host;
