//! A table for a terminal, with its width, worst first, and with a line of counts at the end.
//!
//! To sort them, all rows have to be known before the first is printed. Only the cells of each are kept. Beyond a
//! limit, rows are printed as they are read, and a line of the table states this.

use hivewright_error::Code;
use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::audit::Record;
use crate::audit::record::{DriftState, Status};
use crate::audit::run::Summary;

use super::Renderer;
use super::cells::{fitted, fitted_in_the_middle, width};
use super::plain::{name, verdict};
use crate::cli::audit::summary::many;
use crate::cli::report::{Style, plain as shown};

/// The most rows that are kept and sorted.
const KEPT: usize = 10_000;

const HEADS: [&str; 6] = ["State", "Target", "Windows", "Host", "At next boot", "Findings"];
/// The least widths of the columns; a state is never cut.
const LEAST: [usize; 6] = [10, 16, 8, 6, 7, 8];
const GAP: usize = 2;

/// Returns the columns of the terminal on standard output.
pub(super) fn of_terminal() -> usize {
    terminal_size::terminal_size().map_or(80, |(terminal_size::Width(columns), _)| usize::from(columns))
}

pub(super) struct Table {
    style: Style,
    columns: usize,
    kept: Vec<Row>,
    /// Widths of the columns, after rows are printed as they are read.
    streaming: Option<[usize; 6]>,
    most: usize,
}

struct Row {
    state: State,
    cells: [String; 6],
}

/// State of a record, worst first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Differs,
    Error,
    Gone,
    Changed,
    Odd,
    Fine,
    Read,
    None,
}

impl State {
    fn of(record: &Record) -> Self {
        let boot = record.at_next_boot.as_ref();
        let unsure = boot.is_some_and(|it| ["undefined", "unknown"].contains(&it.state.as_str()));
        let alone = record.hive_state.as_deref() == Some("primary-alone");
        let odd = unsure || alone || !record.findings.is_empty() || !record.image_remarks.is_empty();
        match record.status {
            Status::Error => State::Error,
            Status::NoWindows => State::None,
            Status::Gone => State::Gone,
            Status::Read if record.compliant == Some(false) => State::Differs,
            Status::Read if record.drift.as_ref().is_some_and(|drift| drift.state != DriftState::Same) => {
                State::Changed
            }
            Status::Read if odd || hibernation(record).is_some() || record.confirmed == Some(false) => State::Odd,
            Status::Read if record.compliant == Some(true) => State::Fine,
            Status::Read => State::Read,
        }
    }

    fn word(self) -> &'static str {
        match self {
            State::Differs => "differs",
            State::Error => "error",
            State::Gone => "gone",
            State::Changed => "changed",
            State::Odd => "review",
            State::Fine => "fine",
            State::Read => "read",
            State::None => "no Windows",
        }
    }

    fn painted(self, style: Style, text: &str) -> String {
        match self {
            State::Differs | State::Error | State::Gone => style.bad(text).to_string(),
            State::Changed | State::Odd => style.warn(text).to_string(),
            State::Fine => style.good(text).to_string(),
            State::Read | State::None => text.to_owned(),
        }
    }
}

impl Row {
    fn of(record: &Record) -> Self {
        let state = State::of(record);
        let windows = record.product.as_ref().or(record.family.as_ref());
        let boot = match record.status {
            Status::Read => record.at_next_boot.as_ref().map_or_else(|| "unknown".to_owned(), verdict),
            Status::Error | Status::NoWindows | Status::Gone => String::new(),
        };
        let text = |text: Option<&String>| text.map_or_else(String::new, |text| shown(text));
        let cells = [
            state.word().to_owned(),
            name(record),
            text(windows),
            text(record.host_name.as_ref()),
            shown(&boot),
            findings(record),
        ];
        Row { state, cells }
    }
}

/// Returns the word for a saved session, or for one that cannot be ruled out.
fn hibernation(record: &Record) -> Option<&'static str> {
    let is_unknown = || record.obstacles.iter().any(|it| it.code == Code::VolumeHibernationUnknown);
    match record.hibernated {
        Some(true) => Some("hibernated"),
        None if is_unknown() => Some("hibernation-unknown"),
        _ => None,
    }
}

/// Formats the codes, each once, with its count.
fn findings(record: &Record) -> String {
    let mut codes: BTreeMap<&str, usize> = BTreeMap::new();
    for code in record
        .error
        .iter()
        .map(|it| &it.code)
        .chain(record.violations.iter().filter(|it| it.key.is_some()).map(|it| &it.setting))
        .chain(record.drift.iter().flat_map(|it| &it.changes).map(|it| &it.fact))
        .chain(record.findings.iter().map(|it| &it.code))
        .chain(record.image_remarks.iter().map(|it| &it.code))
    {
        *codes.entry(code).or_default() += 1;
    }
    codes.extend(hibernation(record).map(|code| (code, 1)));
    let counted = |(code, count): (&str, usize)| if count > 1 { format!("{code} ({count})") } else { code.to_owned() };
    let mut found: Vec<String> = codes.into_iter().map(counted).collect();
    found.extend((!record.dependents.is_empty()).then(|| format!("dependents: {}", record.dependents.len())));
    shown(&found.join(", "))
}

impl Table {
    pub(super) fn new(style: Style, columns: usize) -> Self {
        Table { style, columns, kept: Vec::new(), streaming: None, most: KEPT }
    }

    /// Returns the widths of the columns: their full widths, or else the widest are reduced first. Targets distinguish
    /// rows, so they keep twice as much.
    fn widths(&self) -> [usize; 6] {
        let mut widths = HEADS.map(width);
        for row in &self.kept {
            for (most, cell) in widths.iter_mut().zip(&row.cells) {
                *most = width(cell).max(*most);
            }
        }
        let room = self.columns.saturating_sub(GAP * (HEADS.len() - 1));
        while widths.iter().sum::<usize>() > room {
            let can = |&i: &usize| widths[i] > LEAST[i];
            let Some(widest) = (0..widths.len()).filter(can).max_by_key(|&i| widths[i] / if i == 1 { 2 } else { 1 })
            else {
                break;
            };
            widths[widest] -= 1;
        }
        widths
    }

    fn line(&self, cells: &[String; 6], state: Option<State>, widths: &[usize; 6]) -> String {
        let mut line = String::new();
        for (i, (cell, &wide)) in cells.iter().zip(widths).enumerate() {
            let text = if i == 1 { fitted_in_the_middle(cell, wide) } else { fitted(cell, wide) };
            let is_last = cells[i + 1..].iter().all(String::is_empty);
            let space = if is_last { 0 } else { wide.saturating_sub(width(&text)) + GAP };
            line += &match (i, state) {
                (_, None) => self.style.strong(&text).to_string(),
                (0, Some(state)) => state.painted(self.style, &text),
                _ => text,
            };
            if is_last {
                break;
            }
            line += &" ".repeat(space);
        }
        line.push('\n');
        line
    }

    /// Prints the kept rows.
    fn print(&mut self, out: &mut dyn Write) -> io::Result<[usize; 6]> {
        let widths = self.widths();
        let mut text = self.line(&HEADS.map(str::to_owned), None, &widths);
        for row in std::mem::take(&mut self.kept) {
            text += &self.line(&row.cells, Some(row.state), &widths);
        }
        out.write_all(text.as_bytes())?;
        Ok(widths)
    }
}

impl Renderer for Table {
    fn record(&mut self, record: &Record, out: &mut dyn Write) -> io::Result<()> {
        let row = Row::of(record);
        if let Some(widths) = &self.streaming {
            return out.write_all(self.line(&row.cells, Some(row.state), widths).as_bytes());
        }
        self.kept.push(row);
        if self.kept.len() > self.most {
            writeln!(out, "More than {} records: not sorted, but printed as they are read.", self.most)?;
            self.streaming = Some(self.print(out)?);
        }
        Ok(())
    }

    fn end(&mut self, summary: &Summary, out: &mut dyn Write) -> io::Result<()> {
        if self.streaming.is_none() && !self.kept.is_empty() {
            self.kept.sort_by(|a, b| (a.state, &a.cells[1]).cmp(&(b.state, &b.cells[1])));
            self.print(out)?;
        }
        let mut line = many(summary.records, "record", "records");
        for (count, what, state) in [
            (summary.not_compliant, "NOT as expected", State::Differs),
            (summary.errors, "could not be read", State::Error),
            (summary.compliant, "as expected", State::Fine),
            (summary.no_windows, "without Windows", State::None),
            (summary.drifted, "changed since the baseline", State::Changed),
        ] {
            if count > 0 {
                line += &format!(", {}", state.painted(self.style, &format!("{count} {what}")));
            }
        }
        writeln!(out, "\n{line}")
    }
}

#[cfg(test)]
mod tests;
