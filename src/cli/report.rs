//! The text of `get`: the answer first, then what it rests on, then what to watch out for.

pub(crate) mod edit;
pub(crate) mod info;
pub(crate) mod recovery;
mod style;
mod wrap;

use std::fmt::{self, Write};

pub(crate) use style::Style;
pub(crate) use wrap::plain;

use crate::locate::Obstacle;
use crate::settings::nat_t::{
    ControlSetReport, Presence, ServiceReport, SettingReport, SettingState, SettingValue, Verdict,
};
use crate::windows::{Detection, Mistake};
use hivewright_hive::recover::Recovery;
use style::Colour;
use wrap::wrapped;

/// What was read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HiveState<'a> {
    /// Every finished write is in the hive.
    Clean,
    /// The hive is dirty, and what its transaction logs hold was applied for reading.
    Recovered {
        /// What was applied.
        recovery: &'a Recovery,
        /// The answer without it.
        primary_alone: Option<&'a SettingReport>,
    },
    /// The hive is dirty, and its primary file alone was read.
    DirtyAlone,
}

/// The text of `get`.
///
/// # Errors
/// Those of `out`.
pub(crate) fn get(report: &SettingReport, hive: HiveState<'_>, out: &mut dyn Write, style: Style) -> fmt::Result {
    headline(&report.at_next_boot, "at next boot", out, style)?;
    let (next, captured) = (&report.at_next_boot, &report.at_capture);
    if (next.state, next.number, next.effective) != (captured.state, captured.number, captured.effective) {
        headline(captured, "at capture", out, style)?;
    }
    writeln!(out, "{}", windows_line(&report.windows))?;
    for set in &report.control_sets {
        writeln!(out)?;
        control_set(set, report, out, style)?;
    }
    writeln!(out)?;
    hive_line(report, hive, out, style)?;
    watch_out(&report.mistakes, out, style)?;
    nearby(report, out)
}

/// What stands against a write and casts no doubt on the answer: of what does, the user has been warned.
///
/// # Errors
/// Those of `out`.
pub(crate) fn obstacles(all: &[Obstacle], out: &mut dyn Write, style: Style) -> fmt::Result {
    all.iter().filter(|it| !it.doubts).try_for_each(|obstacle| info::write_obstacle(out, obstacle, 0, style))
}

/// The bare number that the next boot finds in a 4-byte REG_DWORD of the right place, and whether there is one.
///
/// # Errors
/// Those of `out`.
pub(crate) fn value(report: &SettingReport, out: &mut dyn Write) -> Result<bool, fmt::Error> {
    match report.at_next_boot.number {
        Some(number) => writeln!(out, "{number}").map(|()| true),
        None => Ok(false),
    }
}

fn headline(verdict: &Verdict, when: &str, out: &mut dyn Write, style: Style) -> fmt::Result {
    let (what, colour) = match (verdict.state, verdict.number) {
        (SettingState::Set, Some(number)) => (number.to_string(), Colour::Good),
        (SettingState::Undefined, Some(number)) => (number.to_string(), Colour::Bad),
        (SettingState::Undefined, None) | (SettingState::Set, None) => ("not usable".to_owned(), Colour::Bad),
        (SettingState::Absent, _) => ("not set".to_owned(), Colour::Strong),
        (SettingState::Unknown, _) => ("unknown".to_owned(), Colour::Warn),
    };
    let text = format!("{what} {when}: {}", plain(&verdict.meaning));
    // Painted after wrapping: colour codes have no width.
    let text = wrapped(&text, 0);
    writeln!(out, "{}{}", style.paint(colour, &what), &text[what.len()..])
}

fn windows_line(windows: &Detection) -> String {
    let mut parts = vec![format!("{} ({})", windows.family, windows.because)];
    if let Some(era) = windows.override_era {
        parts[0] = format!("{} by --windows (the hive says {})", era.decision().as_str(), windows.family);
    }
    if let Some(pack) = windows.service_pack.filter(|&pack| pack > 0) {
        parts.push(format!("Service Pack {pack}"));
    }
    parts.extend(windows.architecture.as_deref().map(|name| match name {
        "AMD64" => "x64".to_owned(),
        other => plain(other),
    }));
    parts.extend(windows.product_type.map(|kind| kind.as_str().to_owned()));
    parts.extend(windows.computer_name.as_deref().map(|name| format!("\"{}\"", plain(name))));
    wrapped(&parts.join(", "), 0)
}

fn control_set(set: &ControlSetReport, report: &SettingReport, out: &mut dyn Write, style: Style) -> fmt::Result {
    let roles: Vec<&str> = set.roles.iter().map(|role| role.as_str()).collect();
    let roles = if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") };
    writeln!(out, "  {}  {roles}", style.paint(Colour::Strong, &plain(&set.name)))?;
    match set.counting() {
        Some(service) => service_lines(service, report, out),
        None => set.services.iter().try_for_each(|service| service_lines(service, report, out)),
    }
}

fn service_lines(service: &ServiceReport, report: &SettingReport, out: &mut dyn Write) -> fmt::Result {
    let name = format!("Services\\{}", service.service.as_str());
    match (service.key, service.state, &service.value) {
        (Presence::Absent, ..) => return writeln!(out, "    {name}: no such key"),
        (Presence::Unreadable, ..) => return writeln!(out, "    {name}: cannot be read"),
        (_, Presence::Unreadable, _) => writeln!(out, "    {name}: not all values can be read")?,
        (_, _, Some(value)) => writeln!(out, "{}", value_line(&name, report.value_name, &data(value)))?,
        (_, _, None) if service.doubt.is_some() => writeln!(out, "    {name}: no value here")?,
        (_, _, None) if service.counts == Some(true) => {
            let default = if report.windows.is_xp_before_sp2() { 2 } else { 0 };
            writeln!(out, "    {name}: not set (Windows takes {default})")?;
        }
        _ => writeln!(out, "    {name}: not set")?,
    }
    match &service.last_written {
        Some(when) => writeln!(out, "    key last written {when}"),
        None => Ok(()),
    }
}

/// One line where it fits, else two.
fn value_line(service: &str, name: &str, data: &str) -> String {
    let line = format!("    {service}\\{name} = {data}");
    if line.chars().count() <= wrap::WIDTH { line } else { format!("    {service}\\{name}\n      = {data}") }
}

fn data(value: &SettingValue) -> String {
    match (value.number, &value.data_hex) {
        (Some(number), _) => format!("{number} ({})", value.data_type),
        (None, Some(hex)) if value.size > 0 => {
            let more = if hex.len() < value.size.saturating_mul(2) { "..." } else { "" };
            format!("0x{hex}{more} ({}, {} bytes)", value.data_type, value.size)
        }
        (None, Some(_)) => format!("nothing ({})", value.data_type),
        (None, None) => format!("data that cannot be read ({}, {} bytes)", value.data_type, value.size),
    }
}

fn hive_line(report: &SettingReport, hive: HiveState<'_>, out: &mut dyn Write, style: Style) -> fmt::Result {
    match hive {
        HiveState::Clean => writeln!(out, "Hive: clean"),
        HiveState::Recovered { recovery, primary_alone } => {
            writeln!(out, "{}", wrapped(&format!("Hive: dirty, read with {}", recovery::applied(recovery)), 0))?;
            let key = |verdict: &Verdict| (verdict.state, verdict.number);
            match primary_alone {
                None => writeln!(out, "      its primary file alone cannot be read"),
                Some(alone) if key(&alone.at_next_boot) == key(&report.at_next_boot) => {
                    writeln!(out, "      its primary file alone says the same")
                }
                Some(alone) => {
                    let says = alone.at_next_boot.number.map_or("not set".to_owned(), |n| n.to_string());
                    let text = format!("its primary file alone says: {says} at next boot");
                    writeln!(out, "      {}", style.paint(Colour::Warn, &text))
                }
            }
        }
        HiveState::DirtyAlone => {
            let text = "dirty, and read without its transaction logs: newer data may be missing";
            writeln!(out, "Hive: {}", style.paint(Colour::Warn, text))
        }
    }
}

/// What does not do what its author meant, and what could not be read.
///
/// # Errors
/// Those of `out`.
pub(crate) fn watch_out(mistakes: &[Mistake], out: &mut dyn Write, style: Style) -> fmt::Result {
    if !mistakes.is_empty() {
        writeln!(out, "{}", style.paint(Colour::Warn, "Watch out:"))?;
    }
    for mistake in mistakes {
        let place = if mistake.place.is_empty() { "the hive" } else { &mistake.place };
        writeln!(out, "  {}", plain(place))?;
        let at = mistake.offset.map_or_else(String::new, |offset| format!(" (hive {offset:#x})"));
        writeln!(out, "{}", wrapped(&plain(&format!("{}{at}", mistake.what)), 4))?;
        writeln!(out, "{}", wrapped(&plain(&format!("-> {}", mistake.advice)), 4))?;
    }
    Ok(())
}

fn nearby(report: &SettingReport, out: &mut dyn Write) -> fmt::Result {
    let on: Vec<_> = report.neighbours.iter().filter(|neighbour| neighbour.on).collect();
    if !on.is_empty() {
        writeln!(out, "Nearby:")?;
    }
    for neighbour in on {
        writeln!(out, "  {} = {}", plain(&neighbour.place), neighbour.number.unwrap_or_default())?;
        writeln!(out, "{}", wrapped(neighbour.meaning, 4))?;
    }
    Ok(())
}

#[cfg(test)]
mod get_text;
