//! The extents of an image: ranges of the guest's disk, each in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::descriptor::{Access, Descriptor, Line};
use super::grains::Grains;
use super::{broken, cowd, device, hosted, se_sparse};
use crate::container::{Opening, Refusal};
use hivewright_error::{Code, Error, Kind, Result};
use hivewright_storage::Storage;
use hivewright_storage::dirty_flag::DirtyFlag;

/// An extent.
pub(super) struct Extent {
    /// Its start in the guest's disk, in bytes.
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) access: Access,
    pub(super) name: String,
    pub(super) body: Body,
    pub(super) dirty: DirtyFlag,
}

pub(super) enum Body {
    Zero,
    /// In a file, from this offset on.
    Flat(Arc<dyn Storage>, u64),
    Sparse(Box<Grains>),
}

impl Extent {
    pub(super) fn file(&self) -> Option<&Arc<dyn Storage>> {
        match &self.body {
            Body::Zero => None,
            Body::Flat(file, _) => Some(file),
            Body::Sparse(grains) => Some(&grains.file),
        }
    }

    fn grains(&self) -> Option<&Grains> {
        if let Body::Sparse(grains) = &self.body { Some(grains) } else { None }
    }

    pub(super) fn refusal(&self) -> Option<&Refusal> {
        self.grains()?.layout.refusal.as_ref()
    }

    pub(super) fn remark(&self) -> Option<(Code, String)> {
        let remark = self.grains()?.remark?;
        Some((Code::VmdkDirectory, format!("{}: {remark}", self.name)))
    }

    pub(super) fn grain_size(&self) -> Option<u64> {
        Some(self.grains()?.layout.grain)
    }
}

/// Opens all extents of `descriptor`. `own` are the grains of the file in which the descriptor is embedded. They are
/// the first extent, whatever its name, since such a file may have been renamed.
pub(super) fn open(opening: &Opening<'_>, descriptor: &Descriptor, own: Option<Grains>) -> Result<Vec<Extent>> {
    let (mut extents, mut start, mut files, mut own) = (Vec::new(), 0_u64, Files::default(), own);
    for line in &descriptor.extents {
        let body = match own.take() {
            Some(_) if line.kind != "SPARSE" => {
                let what = "the descriptor does not list the extent in which it is embedded";
                return Err(broken(Code::VmdkDescriptor, what));
            }
            Some(grains) => sparse(line, grains)?,
            None => open_one(opening, line, &mut files)?,
        };
        let name = if line.name.is_empty() { line.kind.clone() } else { line.name.clone() };
        extents.push(Extent { start, len: line.len, access: line.access, name, body, dirty: DirtyFlag::default() });
        let end = start.checked_add(line.len).filter(|&end| end < 1 << 60);
        start = end.ok_or_else(|| broken(Code::VmdkDescriptor, "the extents together exceed 2^60 bytes"))?;
    }
    files.do_not_overlap()?;
    Ok(extents)
}

fn open_one(opening: &Opening<'_>, line: &Line, files: &mut Files) -> Result<Body> {
    match line.kind.as_str() {
        "ZERO" => return Ok(Body::Zero),
        "VMFSRDM" | "VMFSRAW" => return Err(device(&line.kind)),
        "FLAT" | "VMFS" | "SPARSE" | "VMFSSPARSE" | "SESPARSE" if is_device(&line.name) => {
            return Err(device(&line.name));
        }
        "FLAT" | "VMFS" | "SPARSE" | "VMFSSPARSE" | "SESPARSE" => {}
        other => {
            let what = format!("the extent {} has the unsupported type {other}", line.name);
            return Err(Error::new(Kind::Unsupported, Code::VmdkExtentKind, what)
                .advise("clone it to one file with VMware, and edit the clone"));
        }
    }
    let file = files.open(opening, line)?;
    let layout = match line.kind.as_str() {
        "FLAT" | "VMFS" => return flat(line, file),
        "SPARSE" => hosted::Header::read(&file)?.layout(&file)?,
        "VMFSSPARSE" => cowd::layout(&file)?,
        _ => se_sparse::layout(&file)?,
    };
    sparse(line, Grains::new(file, layout)?)
}

/// Returns whether a name is that of a device of Linux or Windows. `\\?\C:\VMs\disk.vmdk` is a file with a long name
/// (Microsoft, "Naming Files, Paths, and Namespaces").
fn is_device(name: &str) -> bool {
    let Some(long) = name.strip_prefix(r"\\?\") else { return name.starts_with("/dev/") || name.starts_with(r"\\.\") };
    let leads_on = |rest: &str| rest.split_once('\\').is_some_and(|(_, name)| !name.is_empty());
    let is_volume = |start: &str| start.ends_with(':') || matches!(start, "UNC") || start.starts_with("Volume{");
    !(leads_on(long) && long.split('\\').next().is_some_and(is_volume))
}

fn flat(line: &Line, file: Arc<dyn Storage>) -> Result<Body> {
    let len = file.len()?;
    if line.offset.checked_add(line.len).is_some_and(|end| end <= len) {
        return Ok(Body::Flat(file, line.offset));
    }
    Err(broken(Code::VmdkExtentSize, format!("the extent {} is shorter than the descriptor says", line.name))
        .expected(format_args!("{} bytes from {:#x}", line.len, line.offset), format_args!("{len} bytes in all"))
        .advise("it was truncated, or belongs to another image: look for a complete copy"))
}

/// Checks the size of an extent. The last grain, and the capacity in the header, may exceed the extent by less than a
/// grain.
fn sparse(line: &Line, grains: Grains) -> Result<Body> {
    let capacity = grains.layout.capacity;
    if capacity >= line.len && capacity - line.len < grains.layout.grain {
        return Ok(Body::Sparse(Box::new(grains)));
    }
    let what = format!("the extent {} differs in size from the descriptor", line.name);
    Err(broken(Code::VmdkExtentSize, what)
        .expected(format_args!("{} bytes", line.len), capacity)
        .advise("it belongs to another image, or its descriptor does"))
}

/// The opened files. Each is opened once, under all of its names, so that all of its extents read the same bytes.
#[derive(Default)]
struct Files {
    by_name: BTreeMap<String, PathBuf>,
    open: BTreeMap<PathBuf, Shared>,
}

/// An open file, and the ranges of it that hold data of the guest.
struct Shared {
    file: Arc<dyn Storage>,
    used: Vec<(u64, u64)>,
}

impl Files {
    fn open(&mut self, opening: &Opening<'_>, line: &Line) -> Result<Arc<dyn Storage>> {
        // The whole file, for a sparse extent.
        let flat = matches!(line.kind.as_str(), "FLAT" | "VMFS");
        let used = if flat { (line.offset, line.offset.saturating_add(line.len)) } else { (0, u64::MAX) };
        let path = match self.by_name.get(&line.name) {
            Some(path) => path.clone(),
            None => {
                let (path, file) = opening.policy.named(opening.path, &line.name, opening.part())?;
                self.by_name.insert(line.name.clone(), path.clone());
                self.open.entry(path.clone()).or_insert(Shared { file, used: Vec::new() });
                path
            }
        };
        if path == opening.path {
            return Err(used_twice(&path));
        }
        let Some(shared) = self.open.get_mut(&path) else { return Err(used_twice(&path)) };
        shared.used.push(used);
        Ok(shared.file.clone())
    }

    /// Checks that no bytes belong to two extents: a write to one would change the other.
    fn do_not_overlap(self) -> Result<()> {
        for (path, mut shared) in self.open {
            shared.used.sort_unstable();
            if shared.used.windows(2).any(|pair| pair[0].1 > pair[1].0) {
                return Err(used_twice(&path));
            }
        }
        Ok(())
    }
}

fn used_twice(path: &Path) -> Error {
    broken(Code::VmdkExtentsOverlap, format!("the same bytes of {} are used twice", path.display()))
}
