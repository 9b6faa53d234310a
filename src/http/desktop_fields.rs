//! What is asked of desktops: the body of `POST /api/desktops`, and the flag of a deletion.

use actix_web::HttpRequest;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::fields::Fields;
use super::paging::query_pairs;
use super::values;
use crate::error::{Error, FieldError};

// The body struct only describes; the function below reads, to name every bad field at once.

/// The desktop that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDesktopBody {
    /// Name of its type.
    #[schema(min_length = 1, max_length = 200, example = "ubuntu-vscode")]
    pub desktop_type: String,
}

/// Read the body: the name of a type.
///
/// # Errors
/// `Invalid`, naming every field that cannot be taken.
pub fn wanted_type(object: Map<String, Value>) -> Result<String, Error> {
    let mut fields = Fields::new(object);
    let wanted = fields.required("desktop_type", values::asked_type);
    fields.finish()?;
    // A required field that is None was reported by finish.
    wanted.ok_or(Error::Internal)
}

/// Whether the home is to go as well: `?home=true`. Other parameters are passed over.
///
/// # Errors
/// `BadRequest`, or `Invalid` for anything but `true` and `false`.
pub fn home_goes(request: &HttpRequest) -> Result<bool, Error> {
    let mut goes = false;
    for (name, value) in query_pairs(request)? {
        if name == "home" {
            goes = value
                .parse()
                .map_err(|_| Error::Invalid(vec![FieldError::new("home", "format", "must be `true` or `false`")]))?;
        }
    }
    Ok(goes)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_type_is_named() {
        let read = |value: Value| wanted_type(value.as_object().unwrap().clone());
        assert_eq!(read(json!({"desktop_type": "ubuntu-vscode"})).unwrap(), "ubuntu-vscode");
        let bad = [
            (json!({}), "missing"),
            (json!({"desktop_type": 1}), "type"),
            (json!({"desktop_type": ""}), "empty"),
            (json!({"desktop_type": "a\u{0}"}), "format"),
            (json!({"desktop_type": "a".repeat(201)}), "too_long"),
            (json!({"desktop_type": "a", "image": "b"}), "unknown"),
        ];
        for (body, code) in bad {
            let Err(Error::Invalid(errors)) = read(body.clone()) else { panic!("taken: {body}") };
            assert_eq!((errors.len(), errors[0].code), (1, code), "{body}");
        }
    }

    #[test]
    fn homes_go_only_when_told() {
        let flag = |query: &str| home_goes(&TestRequest::with_uri(&format!("/x{query}")).to_http_request());
        for (query, expected) in [("", false), ("?home=true", true), ("?home=false", false), ("?homes=true", false)] {
            assert_eq!(flag(query).unwrap(), expected, "{query}");
        }
        for query in ["?home", "?home=", "?home=1", "?home=True", "?home=true%20", "?home=true&home=x"] {
            let Err(Error::Invalid(errors)) = flag(query) else { panic!("taken: {query}") };
            assert_eq!(errors[0].field, "home");
        }
    }
}
