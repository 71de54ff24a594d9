//! `reg add`, `delete`, `copy`, `rename` and `import`: operations on keys of one or several hives, made together.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use hivewright_error::{Code, Error, Kind};
use hivewright_hive::ValueType;
use hivewright_hive::reg_text::{self, CodePage, ReadOptions};
use hivewright_hive::regf::name::Name;
use hivewright_hive::security_descriptor::{SecurityDescriptor, control};
use hivewright_storage::exact::field;
use hivewright_storage::probe::read_named;
use serde::Serialize;
use serde_json::{Value, json};

use super::args::{AddArgs, CopyArgs, DeleteArgs, ImportArgs, RegWriteArgs, RenameArgs, UserArgs, ValueArgs};
use super::data;
use super::document::sddl_or_hex;
use crate::RegistryPath;
use crate::cli::args::WriteArgs;
use crate::cli::exit::Outcome;
use crate::cli::report::edit::{self as report, Ending};
use crate::cli::report::plain;
use crate::cli::subject::Subject;
use crate::cli::{set, warn};
use crate::edit::commit::Committed;
use crate::edit::{Action, Change, Edits, PathOperation, Prepared, PreparedHive, Request, prepare};
use crate::policy;

/// Bytes of a registration or data file at most.
const MOST_BYTES: u64 = 1 << 30;

pub(super) fn add(args: &AddArgs) -> anyhow::Result<Outcome> {
    let path = args.to.user.path(&args.at.key)?;
    let mut actions = Vec::new();
    if let Some(sddl) = &args.security {
        actions.push(Action::SetSecurity { descriptor: descriptor(sddl)? });
    }
    let is_value = args.kind.is_some() || args.data.is_some() || args.data_file.is_some();
    if let Some(name) = value_name(&args.value).or_else(|| is_value.then(|| Name::encode(""))) {
        let kind = args.kind.as_deref().map_or(Ok(ValueType::SZ), data::type_of)?;
        let data = match (&args.data, &args.data_file) {
            (_, Some(file)) => read_named(file, MOST_BYTES)?,
            (Some(text), None) => data::parse(kind, text)?,
            (None, None) if matches!(kind, ValueType::DWORD | ValueType::QWORD) => data::parse(kind, "0")?,
            (None, None) => data::parse(kind, "")?,
        };
        actions.push(Action::SetValue { name, kind, data });
    }
    if actions.is_empty() {
        actions.push(Action::CreateKey);
    }
    let operations = actions.into_iter().map(|action| PathOperation { path: path.clone(), action });
    Writing::of(&args.at.target, &args.to).run(operations.collect())
}

/// Parses a security descriptor. It replaces the whole existing one, so an incomplete one is refused.
fn descriptor(sddl: &str) -> hivewright_error::Result<Vec<u8>> {
    let descriptor = SecurityDescriptor::from_sddl(sddl)?;
    let has_rights = descriptor.control & control::DACL_PRESENT != 0;
    if descriptor.owner.is_none() || descriptor.group.is_none() || !has_rights {
        let what = "the security descriptor of a key needs an owner (O:), a group (G:) and rights (D:)";
        return Err(Error::new(Kind::Unsupported, Code::Sddl, what)
            .advise("`hivewright reg query --security` shows the existing one"));
    }
    descriptor.to_bytes()
}

pub(super) fn delete(args: &DeleteArgs) -> anyhow::Result<Outcome> {
    let action = match value_name(&args.value) {
        Some(name) => Action::DeleteValue { name },
        None if args.all_values => Action::DeleteAllValues,
        None => Action::DeleteKey,
    };
    let operation = PathOperation { path: args.to.user.path(&args.at.key)?, action };
    Writing::of(&args.at.target, &args.to).run(vec![operation])
}

pub(super) fn copy(args: &CopyArgs) -> anyhow::Result<Outcome> {
    let action = Action::CopyKey { from: args.to.user.path(&args.at.key)? };
    let operation = PathOperation { path: args.to.user.path(&args.copy)?, action };
    Writing::of(&args.at.target, &args.to).run(vec![operation])
}

pub(super) fn rename(args: &RenameArgs) -> anyhow::Result<Outcome> {
    let action = Action::RenameKey { name: Name::from_escaped(&args.name) };
    let operation = PathOperation { path: args.to.user.path(&args.at.key)?, action };
    Writing::of(&args.at.target, &args.to).run(vec![operation])
}

pub(super) fn import(args: &ImportArgs) -> anyhow::Result<Outcome> {
    let code_page = args.code_page.map(|number| {
        let advice = || CodePage::NUMBERS.map(|number| number.to_string()).join(", ");
        CodePage::new(number).ok_or_else(|| {
            Error::new(Kind::Unsupported, Code::RegText, format!("code page {number} is not supported"))
                .advise(format!("use one of {}", advice()))
        })
    });
    let options = ReadOptions { lenient: args.lenient, code_page: code_page.transpose()? };
    let mut operations = Vec::new();
    for file in &args.files {
        let name = file.display().to_string();
        let parsed = reg_text::parse(&read_named(file, MOST_BYTES)?, &options)
            .map_err(|problems| Error::from(problems).about(&name))?;
        parsed.warnings.first.iter().for_each(|problem| warn(Code::RegText, &format!("{name}: {problem}")));
        if parsed.warnings.left_out > 0 {
            warn(Code::MoreWarnings, &format!("{name}: skipped {} more lines", parsed.warnings.left_out));
        }
        let mut last: Option<(Arc<reg_text::RegKey>, RegistryPath)> = None;
        for operation in parsed.operations {
            // The operations of a section share their key.
            let path = match last.take() {
                Some((key, path)) if Arc::ptr_eq(&key, &operation.key) => path,
                _ => path_of(&operation.key, &args.to.user)
                    .map_err(|error| error.about(&format!("{name}: line {}", operation.line)))?,
            };
            last = Some((operation.key, path.clone()));
            operations.push(PathOperation { path, action: policy::action(operation.change) });
        }
    }
    Writing::of(&args.target, &args.to).run(operations)
}

fn path_of(key: &reg_text::RegKey, user: &UserArgs) -> hivewright_error::Result<RegistryPath> {
    user.resolve(policy::path_of(key)?)
}

fn value_name(args: &ValueArgs) -> Option<Name<'static>> {
    match &args.name {
        Some(name) => Some(Name::from_escaped(name)),
        None => args.default.then(|| Name::encode("")),
    }
}

/// The target of operations, and the options of the write.
struct Writing<'a> {
    target: &'a Path,
    write: &'a WriteArgs,
    request: Request,
}

impl<'a> Writing<'a> {
    fn of(target: &'a Path, to: &'a RegWriteArgs) -> Self {
        let RegWriteArgs { user, disk, write } = to;
        let request = set::request(Edits::Recovery, disk.choice(), write);
        Writing { target, write, request: Request { all_users: user.is_all(), ..request } }
    }

    fn run(self, operations: Vec<PathOperation>) -> anyhow::Result<Outcome> {
        let Writing { target, write, request } = self;
        let prepared = prepare(target, &Request { edits: Edits::of_paths(operations), ..request })?;
        set::warn_before(&prepared);
        let ending = set::finish(&prepared, write)?;
        set::warn_after(&prepared, &ending);
        let words = match write.json {
            true => document(target, &prepared, &ending).and_then(|document| crate::cli::json(&document)),
            false => Ok(text(&prepared, &ending).into()),
        };
        ending.print(words)?;
        // The process ends: to free thousands of changes one by one takes longer.
        std::mem::forget(prepared);
        Ok(Outcome::Yes)
    }
}

pub(in crate::cli) fn text(prepared: &Prepared, ending: &Ending) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    if prepared.is_already_so() {
        let _ = writeln!(out, "already so: nothing was changed");
    }
    for hive in prepared.hives.iter().filter(|hive| !hive.is_already_so()) {
        let changes = hive.changes.iter().filter(|change| change.changes).count();
        let verb = if matches!(ending, Ending::DryRun) { "would make" } else { "made" };
        let (name, extent) = (plain(&hive.hive.description()), report::extent(&hive.edited.patches));
        let _ = writeln!(out, "{name}: {verb} {changes} of {} changes: {extent}", hive.changes.len());
    }
    match ending {
        Ending::AlreadySo => {}
        Ending::DryRun => out.push_str("nothing was written\n"),
        Ending::Written(committed) => {
            let _ = report::write_committed(&mut out, "all changes", committed, prepared.is_already_so());
        }
    }
    out
}

/// The JSON document of writes to several hives.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten, serialize_with = "field::target")]
    target: &'a Path,
    state: &'static str,
    hives: Vec<HiveChange<'a>>,
    commit: Option<&'a Committed>,
}

#[derive(Serialize)]
struct HiveChange<'a> {
    #[serde(flatten)]
    subject: Subject<'a>,
    changed_bytes: u64,
    old_len: u64,
    new_len: u64,
    changes: Vec<Value>,
}

impl<'a> HiveChange<'a> {
    fn of(hive: &'a PreparedHive) -> Self {
        let patches = &hive.edited.patches;
        HiveChange {
            subject: Subject::of(&hive.hive),
            changed_bytes: patches.changed_bytes(),
            old_len: patches.old_len,
            new_len: patches.new_len,
            changes: hive.changes.iter().map(change).collect(),
        }
    }
}

/// Returns the JSON document.
pub(in crate::cli) fn document(target: &Path, prepared: &Prepared, ending: &Ending) -> anyhow::Result<Value> {
    let state = ending.state(prepared.is_already_so());
    let hives = prepared.hives.iter().map(HiveChange::of).collect();
    Ok(serde_json::to_value(Document { target, state, hives, commit: ending.committed() })?)
}

fn change(change: &Change) -> Value {
    let mut document = json!({
        "key": change.operation.path.to_string(),
        "action": action(&change.operation.action),
        "value_name": change.operation.action.value_name().map(Name::to_escaped),
        "before": report::before(change),
        "changes": change.changes,
    });
    match &change.operation.action {
        Action::CopyKey { from } => document["from"] = from.key().to_string().into(),
        Action::RenameKey { name } => document["new_name"] = name.to_escaped().into(),
        Action::SetSecurity { descriptor } => document["security"] = sddl_or_hex(descriptor).into(),
        _ => {}
    }
    document
}

fn action(action: &Action) -> &'static str {
    match action {
        Action::CreateKey => "create-key",
        Action::DeleteKey => "delete-key",
        Action::SetValue { .. } => "set-value",
        Action::DeleteValue { .. } => "delete-value",
        Action::RenameKey { .. } => "rename-key",
        Action::CopyKey { .. } => "copy-key",
        Action::SetSecurity { .. } => "set-security",
        Action::DeleteAllValues => "delete-all-values",
    }
}
