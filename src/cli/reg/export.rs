//! `reg export`.

use std::io::Write;

use hivewright_error::Error;
use hivewright_hive::reg_text::{Exported, Form, Writer};

use super::args::ExportArgs;
use super::{Opened, create, open};
use crate::cli::exit::Outcome;
use crate::cli::warn;

pub(super) fn run(args: &ExportArgs) -> anyhow::Result<Outcome> {
    let opened = open(&args.target, &args.disk.choice(), args.user.path(&args.key)?)?;
    let exported = match &args.output {
        Some(file) => {
            let mut exported = Exported::default();
            create(file, |out| {
                exported = write(&opened, Form::Utf16, out)?;
                Ok(())
            })?;
            exported
        }
        None => write(&opened, Form::Utf8, &mut std::io::stdout().lock())?,
    };
    exported.left_out.iter().for_each(|error| warn(&format!("left out: {error}")));
    let more = exported.left_out_count - exported.left_out.len() as u64;
    if more > 0 {
        warn(&format!("{more} more keys and values were left out"));
    }
    Ok(if exported.left_out_count == 0 { Outcome::Yes } else { Outcome::CouldNot })
}

fn write(opened: &Opened, form: Form, out: &mut dyn Write) -> anyhow::Result<Exported> {
    let key = opened.key()?;
    let sink = |piece: &[u8]| out.write_all(piece).map_err(|error| Error::io(format!("cannot write: {error}"), error));
    let mut writer = Writer::new(form, sink)?;
    let exported = writer.export(&key, &opened.shown)?;
    writer.finish()?;
    out.flush()?;
    Ok(exported)
}
