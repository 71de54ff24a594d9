//! `reg extract`.

use std::path::Path;

use hivewright_error::{Code, Error, Kind};
use hivewright_storage::exact::field;
use serde::Serialize;

use super::args::ExtractArgs;
use super::{Target, full, output};
use crate::cli::exit::Outcome;
use crate::cli::{json, print_done};

#[derive(Serialize)]
struct Document<'a> {
    state: &'static str,
    /// The root of the registry that the hive is.
    key: String,
    #[serde(flatten, serialize_with = "field::file")]
    file: &'a Path,
    /// Whether transaction logs were replayed.
    recovered: bool,
}

pub(super) fn run(args: &ExtractArgs) -> anyhow::Result<Outcome> {
    let path = args.user.path(&args.hive)?;
    if path.needs_user() && args.user.is_all() {
        let what = "only one hive can be copied, but every user has one";
        return Err(Error::new(Kind::Unsupported, Code::UserUnnamed, what).advise("select one user").into());
    }
    let opened = Target::open(&args.target, &args.disk.choice())?.hive(path)?;
    if !opened.path.key().is_empty() {
        let what = format!("{} is a key inside a hive", args.hive);
        return Err(Error::new(Kind::Unsupported, Code::RegistryRoot, what)
            .advise("name the hive: HKLM\\SYSTEM, HKLM\\SOFTWARE, HKU\\<SID>")
            .into());
    }
    let bytes = opened.hive.to_bytes()?;
    output::to(Some(&args.output), |out| Ok(out.write_all(&bytes)?))?;
    let recovered = opened.hive.recovery().is_some();
    let words = if args.json {
        json(&Document { state: "written", key: full(&opened.shown), file: &args.output, recovered })
    } else {
        let recovered = if recovered { ", its logs replayed" } else { "" };
        Ok(format!("{} was written: {}{recovered}\n", args.output.display(), opened.shown).into_bytes())
    };
    print_done(words);
    Ok(Outcome::Yes)
}
