//! Shell completions and manual pages, from the same description as `--help`.

use std::path::Path;

use anyhow::Context;
use clap::CommandFactory;

use super::args::{Args, CompletionsArgs, ManArgs};
use super::exit::Outcome;

pub(crate) fn completions(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "hivewright", &mut script);
    super::print(&script)?;
    Ok(Outcome::Yes)
}

pub(crate) fn man(args: &ManArgs) -> anyhow::Result<Outcome> {
    match &args.output_dir {
        Some(folder) => write_pages(folder)?,
        None => {
            let mut page = Vec::new();
            // As in the folder of all pages: there is no page for `help`.
            clap_mangen::Man::new(Args::command().disable_help_subcommand(true)).render(&mut page)?;
            super::print(&page)?;
        }
    }
    Ok(Outcome::Yes)
}

fn write_pages(folder: &Path) -> anyhow::Result<()> {
    clap_mangen::generate_to(Args::command(), folder)
        .with_context(|| format!("writing manual pages to {}", folder.display()))
}
