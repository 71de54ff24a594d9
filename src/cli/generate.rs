//! Shell completions and manual pages, from the same description as `--help`.

use std::path::Path;

use anyhow::Context;
use clap::builder::Resettable;
use clap::{Command, CommandFactory};

use super::args::{Args, CompletionsArgs, ManArgs};
use super::exit::Outcome;

pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    let mut command = Args::command();
    clap_complete::generate(args.shell, &mut command, "hivewright", &mut script);
    if args.shell == clap_complete::Shell::Fish {
        script.extend(positional_values_for_fish(&command).into_bytes());
    }
    super::print(&script)?;
    Ok(Outcome::Yes)
}

/// Returns the lines with the values of arguments that are no options: clap_complete has none for fish. Files stay,
/// for what follows.
fn positional_values_for_fish(command: &Command) -> String {
    let mut lines = String::new();
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set() && !verb.has_subcommands()) {
        for argument in verb.get_positionals() {
            let values = argument.get_possible_values();
            let names: Vec<&str> = values.iter().filter(|one| !one.is_hide_set()).map(|one| one.get_name()).collect();
            if !names.is_empty() {
                let condition = format!("__fish_hivewright_using_subcommand {}", verb.get_name());
                lines += &format!("complete -c hivewright -n \"{condition}\" -a \"{}\"\n", names.join(" "));
            }
        }
    }
    lines
}

pub(crate) fn man(args: &ManArgs) -> anyhow::Result<Outcome> {
    match &args.output_dir {
        Some(folder) => write_pages(folder)?,
        None => {
            let mut command = Args::command().disable_help_subcommand(true);
            command.build();
            super::print(&page(command)?)?;
        }
    }
    Ok(Outcome::Yes)
}

/// Writes a page for the command and for each subcommand, but `help`.
fn write_pages(folder: &Path) -> anyhow::Result<()> {
    let mut command = Args::command().disable_help_subcommand(true);
    command.build();
    let mut left = vec![command];
    while let Some(command) = left.pop() {
        left.extend(command.get_subcommands().filter(|one| !one.is_hide_set()).cloned());
        let name = clap_mangen::Man::new(command.clone()).get_filename();
        let failed = || format!("writing manual pages to {}", folder.display());
        #[expect(clippy::disallowed_methods, reason = "the pages of a build, where the user wants them")]
        std::fs::write(folder.join(name), page(command)?).with_context(failed)?;
    }
    Ok(())
}

/// Returns the page of a command. What its help says behind the options is a section for each subject.
fn page(command: Command) -> anyhow::Result<Vec<u8>> {
    let after = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    let command = command.after_help(Resettable::Reset).after_long_help(Resettable::Reset);
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    let page = String::from_utf8(page)?;
    let (head, version) = page.split_at(page.find("\n.SH VERSION").map_or(page.len(), |at| at + 1));
    Ok([head, &sections(after.as_deref().unwrap_or_default()), version].concat().into_bytes())
}

/// The most characters of a line that is the name of a section.
const LONGEST_SUBJECT: usize = 30;

/// Returns text as sections. A short line with a colon at its end names one, if what follows is indented; what has no
/// name is notes. Indented lines stay as they are, others are filled.
fn sections(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    let (mut is_named, mut is_indented, mut is_parted) = (false, false, false);
    while let Some(line) = lines.next() {
        let is_short = !line.starts_with(' ') && line.len() <= LONGEST_SUBJECT;
        let subject =
            line.strip_suffix(':').filter(|_| is_short && lines.peek().is_some_and(|next| next.starts_with("  ")));
        if subject.is_some() || !is_named {
            out += if std::mem::take(&mut is_indented) { ".fi\n" } else { "" };
            out += &format!(".SH \"{}\"\n", subject.unwrap_or("Notes").to_uppercase());
            (is_named, is_parted) = (true, false);
        }
        if subject.is_some() {
            continue;
        }
        if line.is_empty() {
            is_parted = true;
            continue;
        }
        let indented = line.starts_with(' ');
        if indented != is_indented {
            out += if indented { ".nf\n" } else { ".fi\n" };
            is_indented = indented;
        }
        out += if std::mem::take(&mut is_parted) { ".PP\n" } else { "" };
        out += &escaped(line);
        out.push('\n');
    }
    out += if is_indented { ".fi\n" } else { "" };
    out
}

/// A line of text that roff takes as it is, and shows with the characters that a shell wants.
fn escaped(line: &str) -> String {
    let mut out = String::from(if line.starts_with(['.', '\'']) { "\\&" } else { "" });
    for c in line.chars() {
        match c {
            '\\' => out += "\\e",
            '-' => out += "\\-",
            '~' => out += "\\(ti",
            '^' => out += "\\(ha",
            '`' => out += "\\(ga",
            '\'' => out += "\\(aq",
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subject_is_a_section() {
        let text = "First of all:\nit is said.\n\nExamples:\n  a -b 'c\\d'\n\nMore.\n\nExit status:\n  0  yes";
        let expected = ".SH \"NOTES\"\nFirst of all:\nit is said.\n.SH \"EXAMPLES\"\n.nf\n  a \\-b \\(aqc\\ed\\(aq\n\
                        .fi\n.PP\nMore.\n.SH \"EXIT STATUS\"\n.nf\n  0  yes\n.fi\n";
        assert_eq!(sections(text), expected);
        assert_eq!(sections(""), "");
    }
}
