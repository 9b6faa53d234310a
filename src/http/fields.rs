//! The fields of a JSON object, taken one by one; every bad one is remembered, so that one answer names them all.

use serde_json::{Map, Value};

use crate::error::{Error, FieldError};

/// The most bad fields that one answer names.
const REPORT_LIMIT: usize = 50;
/// The most characters of an unknown field's name that an answer repeats.
const NAME_LIMIT: usize = 64;

/// Why a value cannot be taken: a code of [`FieldError`] and what would be right.
pub type Fault = (&'static str, String);

/// The fields of an object that were not taken yet, and what was wrong with those that were.
pub struct Fields {
    left: Map<String, Value>,
    errors: Vec<FieldError>,
}

impl Fields {
    pub fn new(object: Map<String, Value>) -> Self {
        Self { left: object, errors: Vec::new() }
    }

    /// A field that must be there. None when it is missing or bad, which [`Fields::finish`] reports.
    pub fn required<T>(&mut self, name: &str, parse: impl FnOnce(Value) -> Result<T, Fault>) -> Option<T> {
        match self.left.remove(name) {
            Some(value) => self.parsed(name, value, parse),
            None => {
                self.errors.push(FieldError::new(name, "missing", "is required"));
                None
            }
        }
    }

    /// A field that may be left out.
    pub fn optional<T>(&mut self, name: &str, parse: impl FnOnce(Value) -> Result<T, Fault>) -> Option<T> {
        let value = self.left.remove(name)?;
        self.parsed(name, value, parse)
    }

    /// A field that may be left out, or null: `Some(None)`.
    pub fn nullable<T>(&mut self, name: &str, parse: impl FnOnce(Value) -> Result<T, Fault>) -> Option<Option<T>> {
        match self.left.remove(name)? {
            Value::Null => Some(None),
            value => self.parsed(name, value, parse).map(Some),
        }
    }

    fn parsed<T>(&mut self, name: &str, value: Value, parse: impl FnOnce(Value) -> Result<T, Fault>) -> Option<T> {
        let (code, detail) = match parse(value) {
            Ok(parsed) => return Some(parsed),
            Err(fault) => fault,
        };
        self.errors.push(FieldError::new(name, code, detail));
        None
    }

    /// Whether every field so far was good and no unknown one is left; otherwise 422 with all that is wrong.
    pub fn finish(mut self) -> Result<(), Error> {
        for name in self.left.keys().take(REPORT_LIMIT) {
            let shown: String = name.chars().take(NAME_LIMIT).collect();
            self.errors.push(FieldError::new(shown, "unknown", "is not a field of this request"));
        }
        if self.errors.is_empty() {
            return Ok(());
        }
        self.errors.truncate(REPORT_LIMIT);
        Err(Error::Invalid(self.errors))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::http::values;

    fn fields(value: Value) -> Fields {
        let Value::Object(object) = value else { panic!("not an object") };
        Fields::new(object)
    }

    fn report(fields: Fields) -> Vec<(String, &'static str)> {
        match fields.finish() {
            Ok(()) => Vec::new(),
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| (error.field, error.code)).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn every_bad_field_is_named() {
        let mut taken = fields(json!({"port": 0, "flag": "yes", "colour": 1, "size": null}));
        assert_eq!(taken.required("host", values::host), None);
        assert_eq!(taken.required("port", values::port), None);
        assert_eq!(taken.optional("flag", values::boolean), None);
        assert_eq!(taken.optional("absent", values::boolean), None);
        let expected =
            [("host", "missing"), ("port", "range"), ("flag", "type"), ("colour", "unknown"), ("size", "unknown")];
        assert_eq!(report(taken), expected.map(|(field, code)| (field.to_owned(), code)));
    }

    #[test]
    fn null_is_told_from_absence() {
        let mut taken = fields(json!({"name": null, "port": null}));
        assert_eq!(taken.nullable("name", values::port), Some(None));
        assert_eq!(taken.nullable("other", values::port), None);
        assert_eq!(taken.optional("port", values::port), None);
        assert_eq!(report(taken), [("port".to_owned(), "type")]);
    }

    #[test]
    fn a_report_stays_short() {
        let object = (0..10_000).map(|n| (format!("{n}{}", "x".repeat(1000)), Value::Null)).collect();
        let errors = report(Fields::new(object));
        assert_eq!(errors.len(), REPORT_LIMIT);
        assert!(errors.iter().all(|(field, _)| field.len() <= NAME_LIMIT));
    }
}
