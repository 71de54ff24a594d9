//! `hivewright schema`: JSON Schemas (draft 2020-12) of documents, records and policies.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::args::SchemaOf;
use super::exit::Outcome;

/// The definitions of all documents but records and policies, whose schemas come from their types.
const DOCUMENTS: &str = include_str!("documents.schema.json");

pub(crate) fn run(of: SchemaOf) -> anyhow::Result<Outcome> {
    super::print_json(&schema(of)?)?;
    Ok(Outcome::Yes)
}

fn schema(of: SchemaOf) -> anyhow::Result<Value> {
    let mut schema = match (of, definition(of)) {
        (_, Some(definition)) => document(definition)?,
        (SchemaOf::Policy, None) => crate::policy::schema(),
        (_, None) => crate::audit::report::schema::schema(),
    };
    // One version for all: that of records.
    let version = crate::audit::record::FORM;
    schema["$id"] = json!(format!("urn:hivewright:schema:{version}:{}", of.name()));
    Ok(schema)
}

/// Returns the name of the definition in [`DOCUMENTS`].
fn definition(of: SchemaOf) -> Option<&'static str> {
    Some(match of {
        SchemaOf::Record | SchemaOf::Audit | SchemaOf::Policy => return None,
        SchemaOf::Get => "get",
        SchemaOf::Set | SchemaOf::Unset | SchemaOf::Recover => "edit",
        SchemaOf::Check => "check",
        SchemaOf::Info => "info",
        SchemaOf::Undo => "undo",
        SchemaOf::Apply => "apply",
        SchemaOf::RegQuery | SchemaOf::RegExport => "reg-query",
        SchemaOf::RegCompare => "reg-compare",
        SchemaOf::RegExtract => "reg-extract",
        SchemaOf::RegAdd | SchemaOf::RegDelete | SchemaOf::RegCopy | SchemaOf::RegRename | SchemaOf::RegImport => {
            "reg-write"
        }
        SchemaOf::Error => "error",
    })
}

/// Returns the schema of a definition, with the definitions that it leads to.
fn document(definition: &str) -> anyhow::Result<Value> {
    let mut all: Value = serde_json::from_str(DOCUMENTS)?;
    let mut wanted = BTreeSet::new();
    let mut open = vec![definition.to_owned()];
    while let Some(name) = open.pop() {
        references(&all["$defs"][&name], &mut open);
        wanted.insert(name);
        open.retain(|name| !wanted.contains(name));
    }
    if let Some(definitions) = all["$defs"].as_object_mut() {
        definitions.retain(|name, _| wanted.contains(name));
    }
    all["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    all["$ref"] = json!(format!("#/$defs/{definition}"));
    Ok(all)
}

/// Adds the names of the definitions that a schema refers to.
fn references(schema: &Value, names: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            let name = members.get("$ref").and_then(|to| to.as_str()?.strip_prefix("#/$defs/"));
            names.extend(name.map(str::to_owned));
            members.values().for_each(|member| references(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_schema_has_a_name_and_all_definitions_that_it_needs() {
        for &of in SchemaOf::value_variants() {
            let schema = schema(of).unwrap();
            assert_eq!(schema["$id"], format!("urn:hivewright:schema:{}:{}", crate::audit::record::FORM, of.name()));
            let mut names = Vec::new();
            references(&schema, &mut names);
            let missing: Vec<_> = names.iter().filter(|name| schema["$defs"][name.as_str()].is_null()).collect();
            assert!(missing.is_empty(), "{of:?}: {missing:?}");
        }
        let all: Value = serde_json::from_str(DOCUMENTS).unwrap();
        let used = SchemaOf::value_variants().iter().filter_map(|&of| definition(of));
        let used: std::collections::BTreeMap<_, _> =
            used.flat_map(|name| document(name).unwrap()["$defs"].as_object().unwrap().clone()).collect();
        assert_eq!(used.len(), all["$defs"].as_object().unwrap().len(), "a definition is not used");
    }
}
