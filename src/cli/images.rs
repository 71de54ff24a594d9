//! Archives of images: a reading command runs for all images with Windows, unless one is selected.

use super::exit::{self, Outcome};
use crate::locate::{Choice, Disk, Image, Search};

/// One image of several.
#[derive(Clone, Debug)]
pub(super) struct OneOf {
    /// Its number.
    pub(super) number: u32,
    /// Heading with the archive and the image.
    pub(super) heading: String,
}

/// Runs a command for the selection; without a selection in an archive of several images, for each image with Windows.
/// An error of one image is printed, and the others are still read.
///
/// # Errors
/// Those of a command that runs once.
pub(super) fn each(
    image: &Image,
    choice: &Choice,
    json: bool,
    mut command: impl FnMut(&Choice, Option<&OneOf>) -> anyhow::Result<Outcome>,
) -> anyhow::Result<Outcome> {
    let is_archive = |disk: &&Disk| disk.archive().is_some() && disk.table().partitions.len() > 1;
    let Some(disk) = image.disk().filter(is_archive).filter(|_| choice.volume.is_none()) else {
        return command(choice, None);
    };
    let mut worst = None;
    for volume in &disk.table().partitions {
        let own = choice.on_volume(volume.id());
        let Search { found, unsearched } = disk.search(&own)?;
        if found.is_empty() && unsearched.is_empty() {
            continue;
        }
        let name = volume.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
        let heading = format!("{}, image {}{name}", image.path().display(), volume.number);
        let one = OneOf { number: volume.number, heading };
        let outcome = match command(&own, Some(&one)) {
            Err(error) if exit::is_broken_pipe(&error) => return Err(error),
            Err(error) => {
                let _ = exit::report(&error.context(one.heading), Some(image.path()), json);
                Outcome::CouldNot
            }
            Ok(outcome) => outcome,
        };
        worst = worst.max(Some(outcome));
    }
    match worst {
        Some(outcome) => Ok(outcome),
        None => command(choice, None),
    }
}
