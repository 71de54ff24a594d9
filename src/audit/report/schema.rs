//! The JSON Schema of a record.

use schemars::generate::SchemaSettings;

use crate::audit::Record;

/// Returns the schema of a line of JSON Lines (JSON Schema, draft 2020-12). It allows fields that a later version adds.
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<Record>().to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_required_and_described() {
        let schema = schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        let record = serde_json::to_value(Record::default()).unwrap();
        let required = schema["required"].as_array().unwrap();
        for name in record.as_object().unwrap().keys() {
            assert!(schema["properties"][name]["description"].is_string(), "{name} has no description");
            assert!(required.contains(&name.as_str().into()), "{name} need not be there");
        }
        assert_eq!(schema["properties"]["form"]["const"], 2);
        assert_eq!(schema["additionalProperties"], serde_json::Value::Null);
        let parts = schema["$defs"].as_object().unwrap();
        assert!(parts.len() >= 9, "{parts:?}");
    }
}
