//! The text of `get`: the answer first, then its basis, then the findings.

pub(crate) mod edit;
pub(crate) mod info;
pub(crate) mod recovery;
mod style;
mod wrap;

use std::fmt::{self, Write};

pub(crate) use style::{Style, set_colour};
pub(crate) use wrap::plain;

use crate::locate::Obstacle;
use crate::settings::nat_t::{
    ControlSetReport, Presence, ServiceReport, SettingReport, SettingState, SettingValue, Verdict,
};
use crate::windows::{Detection, Finding, Product};
use hivewright_hive::recover::Recovery;
use style::Colour;
use wrap::wrapped;

/// State of the hive for the answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HiveState<'a> {
    /// Clean.
    Clean,
    /// Dirty, with its transaction logs replayed in memory.
    Recovered {
        /// The replay.
        recovery: &'a Recovery,
        /// The answer without the replay.
        primary_alone: Option<&'a SettingReport>,
    },
    /// Dirty, and read without its transaction logs.
    DirtyAlone,
}

/// Writes the text of `get`.
///
/// # Errors
/// Those of `out`.
pub(crate) fn get(
    report: &SettingReport,
    software: Option<&Product>,
    hive: HiveState<'_>,
    out: &mut dyn Write,
    style: Style,
) -> fmt::Result {
    headline(&report.at_next_boot, "at next boot", out, style)?;
    let (next, captured) = (&report.at_next_boot, &report.at_capture);
    if (next.state, next.number, next.effective) != (captured.state, captured.number, captured.effective) {
        headline(captured, "at capture", out, style)?;
    }
    writeln!(out, "{}", windows_line(&report.windows, software))?;
    for set in &report.control_sets {
        writeln!(out)?;
        control_set(set, report, out, style)?;
    }
    writeln!(out)?;
    hive_line(report, hive, out, style)?;
    findings(&report.findings, out, style)?;
    related_values(report, out)
}

/// Writes the obstacles to a write that do not make the answer doubtful. The others have been printed as warnings.
///
/// # Errors
/// Those of `out`.
pub(crate) fn obstacles(all: &[Obstacle], out: &mut dyn Write, style: Style) -> fmt::Result {
    all.iter().filter(|it| !it.doubts).try_for_each(|obstacle| info::write_obstacle(out, obstacle, 0, style))
}

/// Writes the number of a 4-byte REG_DWORD in the right place at next boot. Returns whether there is one.
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
        (SettingState::Unset, _) => ("not set".to_owned(), Colour::Strong),
        (SettingState::Unknown, _) => ("unknown".to_owned(), Colour::Warn),
    };
    let text = format!("{what} {when}: {}", plain(&verdict.meaning));
    // Painted after wrapping, since colour codes have no width.
    let text = wrapped(&text, 0);
    writeln!(out, "{}{}", style.paint(colour, &what), &text[what.len()..])
}

fn windows_line(windows: &Detection, software: Option<&Product>) -> String {
    let family = || format!("{} ({})", windows.family, windows.because);
    let mut parts = vec![software.map_or_else(family, info::product)];
    if let Some(era) = windows.override_era {
        parts[0] = format!("{} by --windows (detected: {})", era.decision().as_str(), windows.family);
    }
    if let Some(pack) = windows.service_pack.filter(|&pack| pack > 0 && software.is_none()) {
        parts.push(format!("Service Pack {pack}"));
    }
    parts.extend(windows.architecture.as_deref().map(|name| match name {
        "AMD64" => "x64".to_owned(),
        other => plain(other),
    }));
    parts.extend(windows.product_type.map(|kind| kind.as_str().to_owned()));
    parts.extend(windows.host_name.as_deref().map(|name| format!("\"{}\"", plain(name))));
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
        (Presence::Absent, ..) => return writeln!(out, "    {name}: key absent"),
        (Presence::Unreadable, ..) => return writeln!(out, "    {name}: cannot be read"),
        (_, Presence::Unreadable, _) => writeln!(out, "    {name}: not all values can be read")?,
        (_, _, Some(value)) => writeln!(out, "{}", value_line(&name, report.value_name, &data(value)))?,
        (_, _, None) if service.doubt.is_some() => writeln!(out, "    {name}: no value here")?,
        (_, _, None) if service.counts == Some(true) => {
            let default = if report.windows.is_xp_before_sp2() { 2 } else { 0 };
            writeln!(out, "    {name}: not set (the default is {default})")?;
        }
        _ => writeln!(out, "    {name}: not set")?,
    }
    match &service.last_written {
        Some(when) => writeln!(out, "    key last written {when}"),
        None => Ok(()),
    }
}

/// Formats a value on one line if it fits, else on two.
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
                None => writeln!(out, "      the primary file alone cannot be read"),
                Some(alone) if key(&alone.at_next_boot) == key(&report.at_next_boot) => {
                    writeln!(out, "      the primary file alone has the same setting")
                }
                Some(alone) => {
                    let number = alone.at_next_boot.number.map_or("not set".to_owned(), |n| n.to_string());
                    let text = format!("the primary file alone: {number} at next boot");
                    writeln!(out, "      {}", style.paint(Colour::Warn, &text))
                }
            }
        }
        HiveState::DirtyAlone => {
            let text = "dirty, read without its transaction logs: newer data may be missing";
            writeln!(out, "Hive: {}", style.paint(Colour::Warn, text))
        }
    }
}

/// Writes the findings.
///
/// # Errors
/// Those of `out`.
pub(crate) fn findings(all: &[Finding], out: &mut dyn Write, style: Style) -> fmt::Result {
    if !all.is_empty() {
        writeln!(out, "{}", style.paint(Colour::Warn, "Findings:"))?;
    }
    for finding in all {
        let place = if finding.place.is_empty() { "the hive" } else { &finding.place };
        writeln!(out, "  {}", plain(place))?;
        let at = finding.offset.map_or_else(String::new, |offset| format!(" (hive {offset:#x})"));
        writeln!(out, "{}", wrapped(&plain(&format!("{}{at}", finding.what)), 4))?;
        writeln!(out, "{}", wrapped(&plain(&format!("-> {}", finding.advice)), 4))?;
    }
    Ok(())
}

fn related_values(report: &SettingReport, out: &mut dyn Write) -> fmt::Result {
    let on: Vec<_> = report.related.iter().filter(|related| related.on).collect();
    if !on.is_empty() {
        writeln!(out, "Related values:")?;
    }
    for related in on {
        writeln!(out, "  {} = {}", plain(&related.place), related.number.unwrap_or_default())?;
        writeln!(out, "{}", wrapped(related.meaning, 4))?;
    }
    Ok(())
}

#[cfg(test)]
mod get_text;
