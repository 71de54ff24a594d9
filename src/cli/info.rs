//! `hivewright info`.

use hivewright_error::Code;
use std::path::Path;

use crate::info::DiskInfo;
use crate::locate::{Disk, Image, LogChoice, Obstacle};
use crate::read::Reading;
use crate::settings::nat_t;
use crate::undo;
use crate::windows::Finding;
use crate::{Error, Kind};
use hivewright_disk::container::Verified;
use hivewright_storage::{advised, exact::field};
use serde::Serialize;

use super::args::InfoArgs;
use super::exit::Outcome;
use super::report::{Style, findings as write_findings, info as report};
use super::subject::Subject;

pub(crate) fn run(args: &InfoArgs) -> anyhow::Result<Outcome> {
    if args.formats {
        super::print(hivewright_disk::container::table().as_bytes())?;
        return Ok(Outcome::Yes);
    }
    // The target is required without --formats.
    let target = args.target.as_deref().unwrap_or(Path::new(""));
    let image = Image::open_as(target, &args.disk.choice().image)?;
    let Some(disk) = image.disk() else { return hive(args, target) };
    undo::unfinished(&image, target).iter().for_each(|what| super::warn(Code::UnfinishedWrite, what));
    let mut info = disk.info(&args.disk.choice())?;
    if args.verify {
        info.verified = Some(verified(disk)?);
    }
    if args.json {
        super::print_json(&DiskDocument { target, info: &info })?;
    } else {
        super::print(report::disk(&info, Style::of_stdout()).as_bytes())?;
    }
    if let Some(hashes) = &info.verified {
        // With --verify, only the hashes decide, whatever the image contains.
        return Ok(if hashes.iter().all(Verified::holds) { Outcome::Yes } else { Outcome::No });
    }
    let found = info.volumes.iter().any(|volume| !volume.installations.is_empty());
    Ok(if found { Outcome::Yes } else { Outcome::No })
}

/// Returns the verified hashes of the image; an error without any.
fn verified(disk: &Disk) -> anyhow::Result<Vec<Verified>> {
    let found = disk.verify()?;
    if found.is_empty() {
        let what = format!("{} stores no hash of its bytes", disk.path().display());
        return Err(Error::new(Kind::NotFound, Code::NoHash, what)
            .advise(format!("compare with a recorded hash: {}", advised::HASH))
            .into());
    }
    Ok(found)
}

/// The JSON document of a disk.
#[derive(Serialize)]
struct DiskDocument<'a> {
    #[serde(flatten, serialize_with = "field::target")]
    target: &'a Path,
    #[serde(flatten)]
    info: &'a DiskInfo,
}

/// The JSON document of a hive outside a disk.
#[derive(Serialize)]
struct Hive<'a> {
    #[serde(flatten, serialize_with = "field::target")]
    target: &'a Path,
    #[serde(flatten)]
    subject: Subject<'a>,
    /// `SYSTEM`, `SOFTWARE`; `None` if unknown.
    kind: Option<&'static str>,
    size: u64,
    hive_state: &'static str,
    hibernated: Option<bool>,
    shadow_copies: Option<u32>,
    obstacles: Vec<Obstacle>,
    findings: Vec<Finding>,
}

/// Prints the facts of a hive outside a disk.
fn hive(args: &InfoArgs, target: &Path) -> anyhow::Result<Outcome> {
    let reading = Reading::choose(target, &args.disk.choice(), LogChoice::Beside)?;
    let mut obstacles = reading.hive().all_obstacles();
    reading.unfinished().iter().for_each(|what| super::warn(Code::UnfinishedWrite, what));
    let (size, state) = reading.size_and_state()?;
    let (hibernated, shadow_copies) = (reading.hive().is_hibernated(), reading.hive().shadow_copies());
    let kind = reading.kind();
    // Other hives have no setting.
    let findings = match nat_t::answer(&reading, None) {
        Ok(answer) => {
            obstacles.extend(answer.obstacles);
            answer.report.findings
        }
        Err(error) if error.code() == Code::NotSystem => Vec::new(),
        Err(error) => vec![Finding::from(&error)],
    };
    if args.json {
        super::print_json(&Hive {
            target,
            subject: Subject::of(reading.hive()),
            kind,
            size,
            hive_state: state,
            hibernated,
            shadow_copies,
            obstacles,
            findings,
        })?;
    } else {
        let more = shadow_copies.map(|count| report::shadow_copies(Some(count))).unwrap_or_default();
        let state = format!("{state}{more}");
        let style = Style::of_stdout();
        let mut text = report::hive(&reading.hive().description(), kind, (size, &state), &obstacles, style);
        write_findings(&findings, &mut text, style)?;
        super::print(text.as_bytes())?;
    }
    Ok(Outcome::Yes)
}
