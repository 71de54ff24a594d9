//! `reg export`.

use hivewright_error::Code;
use std::io::Write;

use hivewright_hive::reg_text::{Exported, Form};

use super::args::{ExportArgs, ExportFormat};
use super::{Opened, Target, Tree, output, query};
use crate::cli::exit::Outcome;
use crate::cli::images::{self, OneOf};
use crate::cli::report::plain;
use crate::cli::warn;
use crate::locate::Image;
use crate::registry_path::RegistryPath;

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<Outcome> {
    let (choice, path) = (args.disk.choice(), args.user.path(&args.key)?);
    let image = Image::open_as(&args.target, &choice.image)?;
    if args.output.is_some() {
        // An output file contains the keys of one image.
        return export(args, Target::in_image(image, &choice)?, path, None);
    }
    images::each(&image, &choice, args.format() == ExportFormat::Json, |choice, one| {
        export(args, Target::in_image(image.clone(), choice)?, path.clone(), one)
    })
}

fn export(args: &ExportArgs, target: Target, path: RegistryPath, one: Option<&OneOf>) -> anyhow::Result<Outcome> {
    let opened = target.hives(path, &args.user)?;
    // Nothing is written if the key is missing in one hive.
    let trees = opened.into_iter().map(Opened::require_tree).collect::<Result<Vec<_>, _>>()?;
    let form = if args.output.is_some() { Form::Utf16 } else { Form::Utf8 };
    output::to(args.output.as_deref(), |out| match args.format() {
        ExportFormat::Json => query::all(&trees, one.map(|one| one.number), out),
        ExportFormat::Reg => {
            one.map_or(Ok(()), |one| writeln!(out, "; {}", plain(&one.heading)))?;
            registration_file(&trees, form, out)
        }
    })
}

impl ExportArgs {
    pub(super) fn format(&self) -> ExportFormat {
        if self.json { ExportFormat::Json } else { self.format }
    }
}

fn registration_file(trees: &[Tree], form: Form, out: &mut dyn Write) -> anyhow::Result<Outcome> {
    let exported = output::registration_file(out, form, |writer| {
        let mut all = Vec::new();
        for tree in trees {
            all.push(writer.export(&tree.key()?, &tree.shown)?);
        }
        Ok(all)
    })?;
    let outcomes = exported.iter().map(warn_of_left_out).collect::<Vec<_>>();
    Ok(if outcomes.contains(&false) { Outcome::CouldNot } else { Outcome::Yes })
}

/// Warns of keys and values that were left out. Returns whether all were written.
fn warn_of_left_out(exported: &Exported) -> bool {
    exported.left_out.iter().for_each(|error| warn(error.code(), &format!("left out: {error}")));
    let more = exported.left_out_count - exported.left_out.len() as u64;
    if more > 0 {
        warn(Code::MoreWarnings, &format!("{more} more keys and values were left out"));
    }
    exported.left_out_count == 0
}
