//! Writes a patched copy of an image; the image stays unchanged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::dry_run::{Plan, Wanted, plan_write};
use super::in_image::lock_shared;
use super::output::{publish, resolve_output};
use super::{Committed, How, Options, done};
use crate::locate::changed_since;
use crate::transaction::Proof;
use crate::transaction::Record;
use crate::transaction::write_patches;
use crate::transaction::{Change, broken};
use crate::transaction::{Staged, folder_of};
use hivewright_disk::container::{ImageOverlay, Role};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::advised;
use hivewright_storage::{Access, Host, HostFile, Storage};

/// Writes a copy of the image with the change to the new file `output`.
pub(super) fn write<H: Host>(
    host: &H,
    output: &Path,
    wanted: &Wanted<'_>,
    proof: Proof<'_>,
    options: &Options,
) -> Result<Committed> {
    let path = resolve_output(host, output)?;
    let image = only_file(wanted, &path)?;
    let backing = lock_shared(host, wanted.base()?.in_disk()?.files().iter())?;
    proof()?;
    let known = backing.clone();
    let plan = plan_write(wanted, &ImageOverlay::new(move |path, _| find(&known, path)))?;
    let original = host.open(&image, Access::Read)?;
    let (times, mode) = (original.times()?, original.about()?.mode);
    let mut staged = Staged::new(host, &path, mode)?;
    host.copy_bytes(&original, &staged.file)?;
    patch(&staged.file, &image, &plan)?;
    if options.keep_times {
        staged.file.take_times(&times)?;
        staged.file.flush()?;
    }
    // The copy is opened in place of the image, as other programs will open it.
    let copy: Arc<dyn Storage> = Arc::new(host.open(staged.path(), Access::Read)?);
    let overlay = ImageOverlay::new(move |path, _| if path == image { Ok(copy.clone()) } else { find(&backing, path) });
    if !wanted.is_in(&wanted.again(&wanted.base()?.policy(overlay)?)?)? {
        return Err(Error::new(Kind::Io, Code::ReadBack, "the hive in the copy differs when read back"));
    }
    publish(host, &mut staged, &path)?;
    Ok(Committed { notes: plan.notes, ..done(How::Output, path) })
}

/// Returns the file to copy.
fn only_file(wanted: &Wanted<'_>, output: &Path) -> Result<PathBuf> {
    let disk = wanted.base()?.in_disk()?;
    let files = disk.files();
    let image = files.first().map(|file| file.path.clone()).ok_or_else(|| changed_since(disk.path()))?;
    if files.iter().filter(|file| file.role != Role::Backing).count() > 1 {
        let what = format!("the image has {} files, which have no single output file", files.len());
        return Err(Error::new(Kind::Unsupported, Code::OutputFiles, what)
            .advise(format!("copy all of its files to a new folder and edit the copy: {}", advised::COPY_ALL)));
    }
    if disk.about().below.is_some() && folder_of(output) != folder_of(&image) {
        let what = "the image has backing files, which a copy in another folder would not find";
        return Err(Error::new(Kind::Unsupported, Code::OutputFiles, what)
            .advise(format!("name a new file in {}", folder_of(&image).display())));
    }
    Ok(image)
}

fn find(known: &[(PathBuf, Arc<dyn Storage>)], path: &Path) -> Result<Arc<dyn Storage>> {
    known.iter().find(|known| known.0 == path).map(|known| known.1.clone()).ok_or_else(|| changed_since(path))
}

/// Writes the plan to the copy, after the bytes to replace were compared.
fn patch(copy: &dyn Storage, image: &Path, plan: &Plan) -> Result<()> {
    let change = Change::checked(plan.len_before, plan.len_after, plan.phases.clone()).map_err(broken)?;
    let record = Record::new(image, change, copy, None)?;
    record.expect_old(copy)?;
    write_patches(&record.change, copy, &mut 0)?;
    copy.flush()
}
