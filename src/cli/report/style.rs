//! Colour, or none.

use std::fmt;

/// Whether text is coloured. The caller knows: a terminal, no `NO_COLOR`, no `--color never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Bare text.
    Plain,
    /// ANSI codes.
    Colour,
}

/// What a piece of text is.
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

impl Style {
    pub(super) fn paint(self, colour: Colour, text: &str) -> Painted<'_> {
        Painted { style: self, colour, text }
    }
}

/// Text with its colour.
pub(super) struct Painted<'a> {
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
