//! What a provider sends a browser back with.

use actix_web::HttpRequest;

use super::paging::query_pairs;
use crate::error::Error;
use crate::identity::oidc::shown;

/// The parameters of a request's query.
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// # Errors
    /// `BadRequest`.
    pub fn of(request: &HttpRequest) -> Result<Self, Error> {
        query_pairs(request).map(Self)
    }

    /// A parameter's value; of one that is given twice the first.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let found = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(found).1)
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct ProviderAnswer {
    pub state: String,
    /// The code, or why there is none.
    pub result: Result<String, Error>,
    pub issuer: Option<String>,
}

impl ProviderAnswer {
    /// # Errors
    /// `BadRequest`, or `SignInFailed` without `state`.
    pub fn of(request: &HttpRequest) -> Result<Self, Error> {
        let mut given = Parameters::of(request)?;
        let without_state = || Error::SignInFailed("the answer has no `state`; start again".into());
        let state = given.take("state").ok_or_else(without_state)?;
        let (code, error) = (given.take("code"), given.take("error"));
        let result = match (code, error) {
            (_, Some(error)) => Err(refusal(&error, given.take("error_description").as_deref())),
            (Some(code), None) => Ok(code),
            (None, None) => Err(Error::SignInFailed("the answer has no `code`; start again".into())),
        };
        Ok(Self { state, result, issuer: given.take("iss") })
    }
}

/// In the provider's own words, as far as they are fit to be shown.
fn refusal(error: &str, description: Option<&str>) -> Error {
    let words = match description {
        Some(description) => format!("{} ({})", shown(error), shown(description)),
        None => shown(error),
    };
    Error::SignInFailed(format!("the provider says: {words}"))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn answer(query: &str) -> Result<ProviderAnswer, Error> {
        ProviderAnswer::of(&TestRequest::with_uri(&format!("/?{query}")).to_http_request())
    }

    #[test]
    fn codes_and_refusals() {
        let table = [
            ("state=s&code=c", Ok("c")),
            ("state=s&code=c&code=d&state=t", Ok("c")),
            ("state=s&code=c&error=denied", Err("the provider says: denied")),
            ("state=s&error=denied&error_description=by%20you", Err("the provider says: denied (by you)")),
            ("state=s&error=%0d%0a%1b", Err("the provider says: \u{fffd}\u{fffd}\u{fffd}")),
            ("state=s", Err("the answer has no `code`; start again")),
        ];
        for (query, expected) in table {
            let answer = answer(query).unwrap();
            assert_eq!(answer.state, "s");
            let result = answer.result.map_err(|error| error.to_string());
            let expected = expected.map(str::to_owned).map_err(|text| format!("the sign-in did not succeed: {text}"));
            assert_eq!(result, expected, "{query}");
        }
        assert_eq!(answer("state=s&code=c&iss=https%3A%2F%2Fx").unwrap().issuer.as_deref(), Some("https://x"));
        assert_eq!(answer("code=c").unwrap_err().code(), "sign_in_failed");
    }

    #[test]
    fn what_a_provider_says_stays_short() {
        let long = "x".repeat(20_000);
        let text = answer(&format!("state=s&error={long}&error_description={long}")).unwrap().result.unwrap_err();
        assert!(text.to_string().len() < 500);
    }
}
