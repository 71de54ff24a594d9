//! Coloured text.

use std::fmt;
use std::io::IsTerminal;
use std::sync::OnceLock;

use crate::cli::args::ColorWhen;
use hivewright_hive::check::Severity;

/// Whether text is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Text without colour.
    Plain,
    /// ANSI codes.
    Colour,
}

/// Meaning of a piece of text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Colour {
    Strong,
    Good,
    Warn,
    Bad,
}

impl Colour {
    fn code(self) -> &'static str {
        match self {
            Colour::Strong => "\x1b[1m",
            Colour::Good => "\x1b[1;32m",
            Colour::Warn => "\x1b[1;33m",
            Colour::Bad => "\x1b[1;31m",
        }
    }
}

static WHEN: OnceLock<ColorWhen> = OnceLock::new();

/// Sets the user's choice of colour, once, before any output.
pub(crate) fn set_colour(when: ColorWhen) {
    let _ = WHEN.set(when);
}

impl Style {
    /// Returns the user's choice; by default, colour on a terminal unless `NO_COLOR` is set and not empty
    /// (no-color.org).
    pub(crate) fn of_stdout() -> Self {
        match WHEN.get() {
            Some(ColorWhen::Always) => return Style::Colour,
            Some(ColorWhen::Never) => return Style::Plain,
            Some(ColorWhen::Auto) | None => {}
        }
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !unwanted && !dumb && std::io::stdout().is_terminal() { Style::Colour } else { Style::Plain }
    }

    /// Emphasizes the most important text.
    pub(crate) fn strong(self, text: &str) -> Painted<'_> {
        self.paint(Colour::Strong, text)
    }

    /// Paints text about an expected state.
    pub(crate) fn good(self, text: &str) -> Painted<'_> {
        self.paint(Colour::Good, text)
    }

    /// Paints text about a state that needs a review.
    pub(crate) fn warn(self, text: &str) -> Painted<'_> {
        self.paint(Colour::Warn, text)
    }

    /// Paints text about an error.
    pub(crate) fn bad(self, text: &str) -> Painted<'_> {
        self.paint(Colour::Bad, text)
    }

    /// Paints text of a finding, by its severity.
    pub(crate) fn by_severity(self, severity: Severity, text: &str) -> Painted<'_> {
        let colour = match severity {
            Severity::Error => Colour::Bad,
            Severity::Warning => Colour::Warn,
            Severity::Note => Colour::Strong,
        };
        self.paint(colour, text)
    }

    pub(super) fn paint(self, colour: Colour, text: &str) -> Painted<'_> {
        Painted { style: self, colour, text }
    }
}

/// Text with its colour.
pub(crate) struct Painted<'a> {
    style: Style,
    colour: Colour,
    text: &'a str,
}

impl fmt::Display for Painted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            Style::Plain => f.write_str(self.text),
            Style::Colour => write!(f, "{}{}\x1b[0m", self.colour.code(), self.text),
        }
    }
}
