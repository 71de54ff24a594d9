//! `reg add`, `reg delete` and `reg import`: operations on keys of one or several hives, made together.

use std::fmt::Write as _;
use std::io::Read;

use hivewright_error::{Code, Error, Kind};
use hivewright_hive::reg_text::{self, CodePage, ReadOptions};
use hivewright_hive::regf::name::Name;
use hivewright_hive::{KeyPath, ValueType};
use hivewright_storage::hex;
use serde_json::json;

use super::args::{AddArgs, DeleteArgs, ImportArgs, UserArgs, ValueArgs};
use super::{data, open};
use crate::RegistryPath;
use crate::cli::args::WriteArgs;
use crate::cli::exit::Outcome;
use crate::cli::report::{edit as report, plain};
use crate::cli::{print, set, tell, warn};
use crate::edit::{Action, Edits, PathOperation, Prepared, prepare};

pub(super) fn add(args: &AddArgs) -> anyhow::Result<Outcome> {
    let path = args.user.path(&args.key)?;
    let is_value = args.kind.is_some() || args.data.is_some() || args.data_file.is_some();
    let action = match value_name(&args.value).or_else(|| is_value.then(|| Name::encode(""))) {
        None => Action::CreateKey,
        Some(name) => {
            let kind = args.kind.as_deref().map_or(Ok(ValueType::SZ), data::type_of)?;
            let data = match (&args.data, &args.data_file) {
                (_, Some(file)) => read(file)?,
                (Some(text), None) => data::parse(kind, text)?,
                (None, None) if matches!(kind, ValueType::DWORD | ValueType::QWORD) => data::parse(kind, "0")?,
                (None, None) => data::parse(kind, "")?,
            };
            Action::SetValue { name, kind, data }
        }
    };
    run(&args.target, vec![PathOperation { path, action }], &args.write)
}

pub(super) fn delete(args: &DeleteArgs) -> anyhow::Result<Outcome> {
    let path = args.user.path(&args.key)?;
    let actions = match value_name(&args.value) {
        Some(name) => vec![Action::DeleteValue { name }],
        None if args.all_values => {
            let opened = open(&args.target, &args.write.choice(), path.clone())?;
            let Some(key) = opened.hive.key(opened.path.key().clone())? else {
                return run(&args.target, Vec::new(), &args.write);
            };
            let name = |value: Result<crate::Value<'_>, _>| value.map(|value| value.name().clone().into_owned());
            let names = key.values()?.map(name).collect::<Result<Vec<_>, _>>().map_err(Error::from)?;
            names.into_iter().map(|name| Action::DeleteValue { name }).collect()
        }
        None => vec![Action::DeleteKey],
    };
    let operations = actions.into_iter().map(|action| PathOperation { path: path.clone(), action });
    run(&args.target, operations.collect(), &args.write)
}

pub(super) fn import(args: &ImportArgs) -> anyhow::Result<Outcome> {
    let code_page = args.code_page.map(|number| {
        let advice = || CodePage::NUMBERS.map(|number| number.to_string()).join(", ");
        CodePage::new(number).ok_or_else(|| {
            Error::new(Kind::Unsupported, Code::RegText, format!("{number} is no code page that is read"))
                .advise(format!("it is one of {}", advice()))
        })
    });
    let options = ReadOptions { lenient: args.lenient, code_page: code_page.transpose()? };
    let mut operations = Vec::new();
    for file in &args.files {
        let name = file.display().to_string();
        let parsed = reg_text::parse(&read(file)?, &options).map_err(|problems| Error::from(problems).about(&name))?;
        parsed.warnings.first.iter().for_each(|problem| warn(&format!("{name}: {problem}")));
        if parsed.warnings.left_out > 0 {
            warn(&format!("{name}: {} more lines were passed over", parsed.warnings.left_out));
        }
        for operation in parsed.operations {
            let path = path_of(&operation.key, &args.user)
                .map_err(|error| error.about(&format!("{name}: line {}", operation.line)))?;
            let action = match operation.change {
                reg_text::Change::CreateKey => Action::CreateKey,
                reg_text::Change::DeleteKey => Action::DeleteKey,
                reg_text::Change::SetValue { name, data_type: kind, data } => Action::SetValue { name, kind, data },
                reg_text::Change::DeleteValue { name } => Action::DeleteValue { name },
            };
            operations.push(PathOperation { path, action });
        }
    }
    run(&args.target, operations, &args.write)
}

fn path_of(key: &reg_text::RegKey, user: &UserArgs) -> hivewright_error::Result<RegistryPath> {
    let root = std::iter::once(Name::encode(key.root.name()));
    let path = RegistryPath::from_names(KeyPath::from_names(root.chain(key.names.iter().cloned())))?;
    Ok(match user.kind() {
        Some(user) => path.of_user(&user),
        None => path,
    })
}

fn value_name(args: &ValueArgs) -> Option<Name<'static>> {
    match &args.name {
        Some(name) => Some(Name::from_escaped(name)),
        None => args.default.then(|| Name::encode("")),
    }
}

/// The bytes of a file; `-` is standard input.
fn read(file: &std::path::Path) -> hivewright_error::Result<Vec<u8>> {
    let failed =
        |error: std::io::Error| Error::io(format!("cannot read {}: {error}", file.display()), error).of_file(file);
    if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        return std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes).map_err(failed);
    }
    std::fs::read(file).map_err(failed)
}

fn run(target: &std::path::Path, operations: Vec<PathOperation>, args: &WriteArgs) -> anyhow::Result<Outcome> {
    let request = set::request(Edits::Paths(operations.into()), args, false);
    let prepared = prepare(target, &request)?;
    set::warn_before(&prepared);
    let ending = set::finish(&prepared, args)?;
    set::warn_after(&prepared, &ending);
    let words =
        if args.json { crate::cli::json(&document(&prepared, &ending)) } else { Ok(text(&prepared, &ending).into()) };
    match ending {
        report::Ending::Written(_) => tell(words),
        report::Ending::DryRun | report::Ending::AlreadySo => print(&words?)?,
    }
    Ok(Outcome::Yes)
}

fn text(prepared: &Prepared, ending: &report::Ending) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    if prepared.is_already_so() {
        let _ = writeln!(out, "already so: nothing was changed");
    }
    for hive in prepared.hives.iter().filter(|hive| !hive.is_already_so()) {
        let changes = hive.changes.iter().filter(|change| change.changes).count();
        let verb = if matches!(ending, report::Ending::DryRun) { "would make" } else { "made" };
        let (name, extent) = (plain(&hive.hive.description()), report::extent(&hive.edited.patches));
        let _ = writeln!(out, "{name}: {verb} {changes} of {} changes: {extent}", hive.changes.len());
    }
    match ending {
        report::Ending::AlreadySo => {}
        report::Ending::DryRun => out.push_str("nothing was written\n"),
        report::Ending::Written(committed) => {
            let _ = report::write_committed(&mut out, "all changes", committed, prepared.is_already_so());
        }
    }
    out
}

fn document(prepared: &Prepared, ending: &report::Ending) -> serde_json::Value {
    let hive = |hive: &crate::PreparedHive| {
        let patches = &hive.edited.patches;
        let change = |change: &crate::Change| {
            let before = change.before.iter().map(|before| {
                json!({ "data_type": before.kind.to_string(), "data_type_number": before.kind.0,
                        "data_hex": hex::encode(&before.data), "tombstone": before.tombstone })
            });
            json!({
                "key": change.operation.path.to_string(),
                "action": action(&change.operation.action),
                "value": change.operation.action.value_name().map(Name::to_escaped),
                "before": before.collect::<Vec<_>>(),
                "changes": change.changes,
            })
        };
        json!({
            "hive": hive.hive.description(),
            "changed_bytes": patches.changed_bytes(),
            "old_len": patches.old_len,
            "new_len": patches.new_len,
            "changes": hive.changes.iter().map(change).collect::<Vec<_>>(),
        })
    };
    let (state, commit) = match ending {
        report::Ending::Written(committed) => ("written", Some(committed)),
        report::Ending::DryRun if !prepared.is_already_so() => ("dry-run", None),
        report::Ending::DryRun | report::Ending::AlreadySo => ("already-so", None),
    };
    json!({ "state": state, "hives": prepared.hives.iter().map(hive).collect::<Vec<_>>(), "commit": commit })
}

fn action(action: &Action) -> &'static str {
    match action {
        Action::CreateKey => "create-key",
        Action::DeleteKey => "delete-key",
        Action::SetValue { .. } => "set-value",
        Action::DeleteValue { .. } => "delete-value",
    }
}
