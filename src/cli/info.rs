//! `hivewright info`.

use hivewright_error::Code;
use std::path::Path;

use crate::locate::{Disk, Image, LogChoice, Obstacle};
use crate::read::Reading;
use crate::settings::nat_t;
use crate::undo;
use crate::windows::Mistake;
use crate::{Error, Kind};
use hivewright_disk::container::Verified;
use hivewright_storage::{advised, exact::field};
use serde::Serialize;

use super::args::InfoArgs;
use super::exit::Outcome;
use super::report::{Style, info as report, watch_out};

pub(crate) fn run(args: &InfoArgs) -> anyhow::Result<Outcome> {
    if args.formats {
        super::print(hivewright_disk::container::table().as_bytes())?;
        return Ok(Outcome::Yes);
    }
    // Required where nothing else is asked for.
    let target = args.target.as_deref().unwrap_or(Path::new(""));
    let image = Image::open_as(target, &args.disk.choice().image)?;
    let Some(disk) = image.disk() else { return hive(args, target) };
    undo::unfinished(&image, target).iter().for_each(|what| super::warn(what));
    let mut info = disk.info(&args.disk.choice())?;
    if args.verify {
        info.verified = Some(verified(disk)?);
    }
    if args.json {
        super::print_json(&info)?;
    } else {
        super::print(report::disk(&info, Style::of_stdout()).as_bytes())?;
    }
    if let Some(hashes) = &info.verified {
        // What is asked is whether the bytes are the ones that were hashed, whatever they are.
        return Ok(if hashes.iter().all(Verified::holds) { Outcome::Yes } else { Outcome::No });
    }
    let found = info.volumes.iter().any(|volume| !volume.installations.is_empty());
    Ok(if found { Outcome::Yes } else { Outcome::No })
}

/// The hashes of the image, of which there must be one.
fn verified(disk: &Disk) -> anyhow::Result<Vec<Verified>> {
    let found = disk.verify()?;
    if found.is_empty() {
        let what = format!("{} stores no hash of its bytes", disk.path().display());
        return Err(Error::new(Kind::NotFound, Code::NoHash, what)
            .advise(format!("compare with what was noted: {}", advised::HASH))
            .into());
    }
    Ok(found)
}

/// The document of a hive that is no part of a disk.
#[derive(Serialize)]
struct Hive<'a> {
    hive: String,
    #[serde(flatten, serialize_with = "field::file")]
    file: &'a Path,
    /// `SYSTEM`, `SOFTWARE`; none where nothing shows it.
    kind: Option<&'static str>,
    size: u64,
    state: &'static str,
    hibernated: Option<bool>,
    shadow_copies: Option<u32>,
    obstacles: Vec<Obstacle>,
    mistakes: Vec<Mistake>,
}

/// A hive that is no part of a disk: there is only one storey.
fn hive(args: &InfoArgs, target: &Path) -> anyhow::Result<Outcome> {
    let reading = Reading::choose(target, &args.disk.choice(), LogChoice::Beside)?;
    let mut obstacles = reading.hive().all_obstacles();
    reading.unfinished().iter().for_each(|what| super::warn(what));
    let (size, state) = reading.size_and_state()?;
    let (hibernated, shadow_copies) = (reading.hive().is_hibernated(), reading.hive().shadow_copies());
    let kind = reading.kind();
    // Another hive has no answer to give.
    let mistakes = match nat_t::answer(&reading, None) {
        Ok(answer) => {
            obstacles.extend(answer.obstacles);
            answer.report.mistakes
        }
        Err(error) if error.code() == Code::NotSystem => Vec::new(),
        Err(error) => vec![Mistake::from(&error)],
    };
    if args.json {
        super::print_json(&Hive {
            hive: reading.hive().description(),
            file: reading.hive().host_file(),
            kind,
            size,
            state,
            hibernated,
            shadow_copies,
            obstacles,
            mistakes,
        })?;
    } else {
        let more = shadow_copies.map(|count| report::shadow_copies(Some(count))).unwrap_or_default();
        let state = format!("{state}{more}");
        let style = Style::of_stdout();
        let mut text = report::hive(&reading.hive().description(), kind, (size, &state), &obstacles, style);
        watch_out(&mistakes, &mut text, style)?;
        super::print(text.as_bytes())?;
    }
    Ok(Outcome::Yes)
}
