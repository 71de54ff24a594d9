//! Wraps text at 80 columns, and sanitizes names from hives for a terminal.

pub(crate) use crate::audit::report::plain;

/// Columns of a line.
pub(super) const WIDTH: usize = 80;

/// Wraps `text` into lines of at most 80 columns, each indented; a longer word has its own line.
pub(super) fn wrapped(text: &str, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let (mut out, mut line) = (String::new(), margin.clone());
    for word in text.split(' ') {
        let empty = line.len() == indent;
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line.clone_from(&margin);
        } else if !empty {
            line.push(' ');
        }
        line.push_str(word);
    }
    out.push_str(&line);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_before_the_80th_column() {
        let text = format!("{} {} c", "a".repeat(76), "b".repeat(3));
        assert_eq!(wrapped(&text, 0), format!("{} bbb\nc", "a".repeat(76)));
        assert_eq!(wrapped(&text, 2), format!("  {}\n  bbb c", "a".repeat(76)));
        assert_eq!(wrapped(&"w".repeat(90), 4), format!("    {}", "w".repeat(90)));
    }
}
