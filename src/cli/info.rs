//! `hivewright info`.

use std::path::Path;

use hivewright::session::disk::Disk;
use hivewright::session::{LogChoice, Reading};
use serde_json::json;

use super::args::InfoArgs;
use super::exit::Outcome;
use super::report::{Style, info as report};

pub(crate) fn run(args: &InfoArgs) -> anyhow::Result<Outcome> {
    if args.formats {
        super::print(hivewright::container::table().as_bytes())?;
        return Ok(Outcome::Yes);
    }
    // Required where nothing else is asked for.
    let target = args.target.as_deref().unwrap_or(Path::new(""));
    let Some(disk) = Disk::open_as(target, &args.disk.choice().image)? else { return hive(args, target) };
    let info = disk.info(&args.disk.choice())?;
    if args.json {
        super::print_json(&info)?;
    } else {
        super::print(report::disk(&info, Style::of_stdout()).as_bytes())?;
    }
    let found = info.volumes.iter().any(|volume| !volume.installations.is_empty());
    Ok(if found { Outcome::Yes } else { Outcome::No })
}

/// A hive that is no part of a disk: there is only one storey.
fn hive(args: &InfoArgs, target: &Path) -> anyhow::Result<Outcome> {
    let reading = Reading::choose(target, &args.disk.choice(), LogChoice::Beside)?;
    super::warn_if_unfinished(&reading);
    let (size, state) = reading.size_and_state()?;
    if args.json {
        super::print_json(&json!({ "hive": reading.name(), "size": size, "state": state }))?;
    } else {
        super::print(format!("{}: a hive, {state}, {size} bytes\n", reading.name()).as_bytes())?;
    }
    Ok(Outcome::Yes)
}
