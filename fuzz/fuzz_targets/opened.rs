//! Opens an image in memory, without access to other files.

use std::path::Path;
use std::sync::Arc;

use hivewright_disk::container::{Image, Opening, PathPolicy, open_layer};
use hivewright_storage::Storage;

/// Opens `file` as the named format; names in it are not found.
pub fn open(file: Arc<dyn Storage>, format: &str, writing: bool) -> Option<Image> {
    let mut policy = PathPolicy::shut();
    policy.writing = writing;
    open_layer(Opening::of(&policy, file, Path::new("/nowhere/image")), Some(format)).ok().flatten()
}
