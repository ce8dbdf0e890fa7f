//! JSON Schemas for the bodies of messages: per tenant and content type, off unless configured. A session checks what it
//! takes in, beside others; decide refuses what does not follow its schema, after the look-up of repetitions.

use std::{collections::HashMap, fmt, fmt::Write as _, fs};

use jsonschema::{PatternOptions, Validator};
use postrider_protocol::{Tlvs, tag};

use crate::config;

/// A detail has at most so many bytes.
const DETAIL_BYTES: usize = 200;

/// See the module.
#[derive(Default)]
pub struct Schemas {
    by_type: HashMap<(u32, String), Validator>,
}

impl fmt::Debug for Schemas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schemas").field("count", &self.by_type.len()).finish_non_exhaustive()
    }
}

impl Schemas {
    /// Reads the files that `config` names. A schema refers to nothing outside of its file, and its patterns take time
    /// that grows with the text alone.
    ///
    /// # Errors
    /// Which file cannot be used, why, and where in it.
    pub fn load(config: &[config::Schema]) -> Result<Self, String> {
        let mut by_type = HashMap::new();
        for config::Schema { tenant, content_type, file } in config {
            let name = format!("messages.schemas: {}", file.display());
            let text = fs::read(file).map_err(|error| format!("{name}: {error}"))?;
            let schema = serde_json::from_slice(&text).map_err(|error| format!("{name}: {error}"))?;
            let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
            let validator =
                options.build(&schema).map_err(|error| format!("{name}: {}: {error}", error.schema_path()))?;
            by_type.insert((*tenant, content_type.clone()), validator);
        }
        Ok(Self { by_type })
    }

    /// What is wrong with a message of the tenant, if something is: where, and by which rule. It has no part of the body
    /// but names that lead to the place.
    #[must_use]
    pub fn refuse(&self, tenant: u32, tlvs: &Tlvs, body: &[u8]) -> Option<String> {
        if self.by_type.is_empty() {
            return None;
        }
        let content_type = tlvs.get_text(tag::CONTENT_TYPE)?;
        let validator = self.by_type.get(&(tenant, content_type.to_owned()))?;
        let Ok(value) = serde_json::from_slice(body) else { return Some("the body is no JSON".to_owned()) };
        let error = validator.validate(&value).err()?;
        let mut detail = String::new();
        let _ =
            write!(detail, "{} does not follow \"{}\"", place(error.instance_path().as_str()), error.kind().keyword());
        let mut end = detail.len().min(DETAIL_BYTES);
        while !detail.is_char_boundary(end) {
            end -= 1;
        }
        detail.truncate(end);
        Some(detail)
    }
}

/// A place in a body; the whole of it has no name.
fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "the body" } else { pointer }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schemas(schema: &str) -> Result<Schemas, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), schema).unwrap();
        Schemas::load(&[config::Schema { tenant: 7, content_type: "app/order".to_owned(), file: file.path().into() }])
    }

    fn of_type(content_type: &str) -> Tlvs {
        Tlvs::from_pairs([(tag::CONTENT_TYPE, content_type.as_bytes())])
    }

    #[test]
    fn a_body_is_checked_by_the_schema_of_its_tenant_and_type_alone() {
        let all =
            schemas(r#"{"type": "object", "required": ["price"], "properties": {"price": {"minimum": 1}}}"#).unwrap();
        let order = of_type("app/order");
        assert_eq!(all.refuse(7, &order, br#"{"price": 5}"#), None);
        assert_eq!(all.refuse(8, &order, b"{}"), None);
        assert_eq!(all.refuse(7, &of_type("text/plain"), b"{}"), None);
        assert_eq!(all.refuse(7, &Tlvs::new(), b"{}"), None);
        assert_eq!(all.refuse(7, &order, b"{}").unwrap(), "the body does not follow \"required\"");
        assert_eq!(all.refuse(7, &order, br#"{"price": 0}"#).unwrap(), "/price does not follow \"minimum\"");
        assert_eq!(all.refuse(7, &order, b"{").unwrap(), "the body is no JSON");
        let deep = [b"[".repeat(60_000), b"]".repeat(60_000)].concat();
        assert!(all.refuse(7, &order, &deep).is_some(), "depth is bounded");
    }

    #[test]
    fn what_is_told_is_short_whatever_the_body_has() {
        let all = schemas(r#"{"additionalProperties": {"type": "string"}}"#).unwrap();
        let body = format!("{{\"{}\": 1}}", "ü".repeat(500));
        assert!(all.refuse(7, &of_type("app/order"), body.as_bytes()).unwrap().len() <= DETAIL_BYTES);
    }

    #[test]
    fn a_schema_that_is_none_or_asks_for_another_file_is_not_loaded() {
        for bad in
            ["{", r#"{"type": 7}"#, r#"{"$ref": "https://example.com/a.json"}"#, r#"{"$ref": "file:///etc/passwd"}"#]
        {
            let why = schemas(bad).unwrap_err();
            assert!(why.starts_with("messages.schemas: "), "{why}");
        }
    }
}
