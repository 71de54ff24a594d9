//! The text of `info`: the layers of a disk as a tree.

use std::fmt::{self, Write};

use crate::info::{DiskInfo, HiveInfo, InstallationInfo, InstallationSummary, VolumeInfo};
use crate::locate::Obstacle;
use crate::windows::Product;
use hivewright_disk::container::{About, HostFile};
use hivewright_disk::files::{Packed, VolumeState};
use hivewright_disk::partition::{Partition, Scheme, TableSource};

use super::Style;
use super::style::Colour;
use super::wrap::{plain, wrapped};

/// Returns the text.
pub(crate) fn disk(info: &DiskInfo, style: Style) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_disk(&mut out, info, style);
    out
}

fn write_disk(out: &mut String, info: &DiskInfo, style: Style) -> fmt::Result {
    writeln!(out, "{}  {}", style.strong(&plain(&info.file.display().to_string())), size(info.size))?;
    write_container(out, &info.container, 2)?;
    for hash in info.verified.iter().flatten() {
        let what =
            if hash.holds() { "matches" } else { "DOES NOT MATCH: the bytes have changed since they were hashed" };
        writeln!(out, "{}", wrapped(&format!("{} {what}", hash.name), 4))?;
    }
    if info.files.len() > 1 {
        info.files.iter().enumerate().try_for_each(|(i, file)| write_file(out, i + 1, file))?;
    }
    let table = &info.table;
    match table.scheme {
        Scheme::Gpt => writeln!(out, "  GPT, sectors of {} bytes", table.sector_size)?,
        Scheme::Mbr => writeln!(out, "  MBR, sectors of {} bytes", table.sector_size)?,
        Scheme::None => writeln!(out, "  no partition table: one volume")?,
        Scheme::Wim => {}
    }
    if let TableSource::Backup { why, .. } = &table.source {
        note(out, &format!("the backup table was used: {why}"), 2, style)?;
    }
    for warning in &table.warnings {
        note(out, &format!("{} ({})", warning.what, warning.code), 2, style)?;
    }
    info.obstacles.iter().try_for_each(|obstacle| write_obstacle(out, obstacle, 2, style))?;
    for volume in &info.volumes {
        let partition = table.partitions.iter().find(|p| p.id() == volume.volume);
        partition.map_or(Ok(()), |partition| write_volume(out, partition, volume, style))?;
    }
    writeln!(out, "\n{} read from the image", size(info.bytes_read))
}

/// Writes the facts of the image, and below it those of its backing files.
fn write_container(out: &mut String, about: &About, indent: usize) -> fmt::Result {
    write!(out, "{:indent$}{}", "", about.format)?;
    if !about.variant.is_empty() {
        write!(out, ", {}", plain(&about.variant))?;
    }
    writeln!(out)?;
    for (name, value) in &about.facts {
        writeln!(out, "{:indent$}  {name}: {}", "", plain(value))?;
    }
    for (code, what) in &about.remarks {
        writeln!(out, "{}", wrapped(&format!("{} ({code})", plain(what)), indent + 2))?;
    }
    match &about.below {
        Some(below) if indent < 40 => {
            writeln!(out, "{:indent$}  on {}", "", plain(&below.file.display().to_string()))?;
            write_container(out, below, indent + 2)
        }
        _ => Ok(()),
    }
}

fn write_file(out: &mut String, number: usize, file: &HostFile) -> fmt::Result {
    writeln!(out, "  file {number}: {} ({})", plain(&file.path.display().to_string()), size(file.size))
}

fn write_volume(out: &mut String, partition: &Partition, volume: &VolumeInfo, style: Style) -> fmt::Result {
    if let Some(image) = &partition.image {
        let name = format!("Image {}", partition.number);
        let facts = [&image.name, &image.edition, &image.installation_type, &image.architecture, &image.version];
        let facts: Vec<String> = facts.into_iter().flatten().map(|fact| plain(fact)).collect();
        writeln!(out, "\n  {}  {}", style.strong(&name), facts.join(", "))?;
    } else {
        let name = match partition.number {
            0 => "Volume".to_owned(),
            number => format!("Partition {number}"),
        };
        let (kind, len, at) = (partition.kind, size(partition.len), partition.offset);
        write!(out, "\n  {}  {kind}, {len} at {at:#x}", style.strong(&name))?;
        match &volume.state {
            Some(state) if !state.label.is_empty() => writeln!(out, ", \"{}\"", plain(&state.label))?,
            _ => writeln!(out)?,
        }
    }
    if let Some(why) = &volume.unreadable {
        writeln!(out, "{}", wrapped(&format!("{} ({})", plain(&why.what), why.code), 4))?;
    }
    if let Some(state) = volume.state.as_ref().filter(|_| partition.image.is_none()) {
        writeln!(out, "    {}", describe(state))?;
    }
    volume.obstacles.iter().try_for_each(|obstacle| write_obstacle(out, obstacle, 4, style))?;
    volume.installations.iter().try_for_each(|found| write_installation(out, found, style))
}

fn describe(state: &VolumeState) -> String {
    let version = state.version.map(|(major, minor)| format!(" {major}.{minor}")).unwrap_or_default();
    let hibernation = match state.hibernation.is_saved() {
        Some(_) => state.hibernation.to_string(),
        None => "hibernation unknown".to_owned(),
    };
    let health = if state.dirty { "dirty" } else { "clean" };
    format!("{}{version}, {health}, {hibernation}{}", state.file_system, shadow_copies(state.shadow_copies))
}

/// Formats the number of shadow copies as the rest of a list; empty for none.
pub(crate) fn shadow_copies(count: Option<u32>) -> String {
    match count {
        Some(0) => String::new(),
        Some(1) => ", 1 shadow copy".to_owned(),
        Some(count) => format!(", {count} shadow copies"),
        None => ", shadow copies unknown".to_owned(),
    }
}

/// Returns the text of a hive outside a disk.
pub(crate) fn hive(
    name: &str,
    kind: Option<&str>,
    (size, state): (u64, &str),
    obstacles: &[Obstacle],
    style: Style,
) -> String {
    let what = kind.map_or_else(|| "a hive".to_owned(), |kind| format!("the hive {kind}"));
    let mut out = format!("{name}: {what}, {state}, {size} bytes\n");
    // Writing to a string cannot fail.
    let _ = obstacles.iter().try_for_each(|obstacle| write_obstacle(&mut out, obstacle, 2, style));
    out
}

fn write_installation(out: &mut String, found: &InstallationInfo, style: Style) -> fmt::Result {
    writeln!(out, "    {}  {}", style.strong(&plain(&found.place.root)), windows(&found.windows))?;
    if found.windows.hives_agree == Some(false) {
        note(out, "the hives SYSTEM and SOFTWARE indicate different versions of Windows", 6, style)?;
    }
    for finding in &found.windows.findings {
        let at = finding.offset.map_or_else(String::new, |offset| format!(" (hive {offset:#x})"));
        let place = if finding.place.is_empty() { "SYSTEM" } else { &finding.place };
        note(out, &format!("{place}: {}{at} ({})", finding.what, finding.code), 6, style)?;
    }
    found.hives.iter().try_for_each(|hive| write_hive(out, hive, style))
}

fn windows(summary: &InstallationSummary) -> String {
    match (&summary.software, &summary.windows) {
        (Some(software), _) => product(software),
        (None, Some(system)) => plain(&system.family),
        (None, None) => "unknown Windows".to_owned(),
    }
}

/// Formats what the hive SOFTWARE says of Windows.
pub(super) fn product(product: &Product) -> String {
    let mut parts = vec![product.name.as_deref().map_or("no product name".to_owned(), plain)];
    parts.extend(product.release.as_deref().map(plain));
    parts.extend(product.service_pack.as_deref().map(plain));
    parts.extend(product.build.map(|build| match product.revision {
        Some(revision) => format!("build {build}.{revision}"),
        None => format!("build {build}"),
    }));
    parts.extend(product.edition.as_deref().map(|edition| format!("edition {}", plain(edition))));
    parts.join(", ")
}

fn write_hive(out: &mut String, hive: &HiveInfo, style: Style) -> fmt::Result {
    let pieces = match (&hive.packed, hive.extents) {
        (Some(packed), _) => packed_as(packed),
        (None, 0) => "no clusters of its own".to_owned(),
        (None, 1) => "1 extent".to_owned(),
        (None, count) => format!("{count} extents"),
    };
    let places: Vec<String> = hive.starts_at.iter().map(ToString::to_string).collect();
    let at = if places.is_empty() { String::new() } else { format!(", at {}", places.join(", ")) };
    let (name, state) = (hive.name, hive.hive_state);
    writeln!(out, "{}", wrapped(&format!("{name}: {state}, {}, {pieces}{at}", size(hive.size)), 6))?;
    hive.obstacles.iter().try_for_each(|obstacle| write_obstacle(out, obstacle, 8, style))
}

/// Returns the place of a hive in its archive, as text.
fn packed_as(packed: &Packed) -> String {
    let Packed { offset, len, uses } = packed;
    let stored = match len {
        Some(len) => format!("stored in {} of the archive", size(*len)),
        None => "stored in a solid resource of the archive".to_owned(),
    };
    let uses = if *uses > 1 { format!(", {uses} times in its images") } else { String::new() };
    format!("{stored}, at {offset:#x}{uses}")
}

pub(super) fn write_obstacle(out: &mut dyn Write, obstacle: &Obstacle, indent: usize, style: Style) -> fmt::Result {
    note(out, &format!("not writable: {} ({})", plain(&obstacle.what), obstacle.code), indent, style)
}

fn note(out: &mut dyn Write, text: &str, indent: usize, style: Style) -> fmt::Result {
    writeln!(out, "{}", style.paint(Colour::Warn, &wrapped(&plain(text), indent)))
}

/// Formats a size in the largest fitting unit.
fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}
