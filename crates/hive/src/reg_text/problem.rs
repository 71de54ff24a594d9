//! Errors and warnings of registration files.

use std::fmt;

use hivewright_error::{Code, Error, Kind};

/// The most problems of one kind that are kept: errors of a strict reading.
pub(super) const MOST_ERRORS: usize = 20;
/// The most warnings that are kept.
pub(super) const MOST_WARNINGS: usize = 1000;

/// An error or warning of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: u64,
    /// The character in the line, counted from 1.
    pub column: u64,
    /// One sentence fragment, lower case, without a full stop.
    pub what: String,
    /// What to write instead.
    pub advice: Option<&'static str>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)?;
        self.advice.map_or(Ok(()), |advice| write!(f, "; {advice}"))
    }
}

/// Some problems of a file: the first ones, and the number of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    /// The first ones, in the order of their lines.
    pub first: Vec<Problem>,
    /// The number of those that were not kept.
    pub left_out: u64,
}

impl Problems {
    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    pub(super) fn add(&mut self, most: usize, problem: Problem) {
        if self.first.len() < most { self.first.push(problem) } else { self.left_out += 1 }
    }
}

impl fmt::Display for Problems {
    /// Writes one problem a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.first.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.left_out > 0 { write!(f, "\nand {} more", self.left_out) } else { Ok(()) }
    }
}

impl std::error::Error for Problems {}

impl From<Problems> for Error {
    /// Returns the first problem, with its advice, and the number of the others.
    fn from(problems: Problems) -> Error {
        let more = problems.left_out + problems.first.len().saturating_sub(1) as u64;
        let Some(first) = problems.first.into_iter().next() else {
            return Error::new(Kind::Corrupt, Code::RegText, "the registration file cannot be read");
        };
        let what = format!("line {}, column {}: {}", first.line, first.column, first.what);
        let error = Error::new(Kind::Corrupt, Code::RegText, what);
        let error = if more > 0 { error.adding(&format!("{more} more lines are invalid")) } else { error };
        match first.advice {
            Some(advice) => error.advise(advice),
            None => error,
        }
    }
}
