//! Lists in pages: `?limit=&after=` in, `{items, next}` out.

use actix_web::{HttpRequest, web::Query};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{Error, FieldError};

/// Items of a page when `limit` is not given.
pub const DEFAULT_LIMIT: usize = 100;
/// The most items of a page.
const HIGHEST_LIMIT: usize = 1000;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// What to give as `after` for the next page; null on the last one.
    #[schema(required)]
    pub next: Option<String>,
}

/// Which page of a list is asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct PageQuery {
    /// The most items that the page may hold.
    limit: usize,
    /// The key of the last item that was seen already.
    after: Option<String>,
}

impl PageQuery {
    /// Read the query of a request; 422 names a parameter that cannot be taken.
    pub fn of(request: &HttpRequest) -> Result<Self, Error> {
        Self::parse(request.query_string())
    }

    fn parse(query: &str) -> Result<Self, Error> {
        let mut page = Self { limit: DEFAULT_LIMIT, after: None };
        for (name, value) in pairs_of(query)? {
            match name.as_str() {
                "limit" => page.limit = parse_limit(&value)?,
                "after" => page.after = Some(value).filter(|after| !after.is_empty()),
                _ => {}
            }
        }
        Ok(page)
    }

    /// Cut this page out of a whole list, ordered by `key`.
    pub fn cut<T>(self, mut items: Vec<T>, key: impl Fn(&T) -> &str) -> Page<T> {
        items.sort_unstable_by(|a, b| key(a).cmp(key(b)));
        let start = self.after.map_or(0, |after| items.partition_point(|item| key(item) <= after.as_str()));
        let more = items.len() > start + self.limit;
        let items: Vec<T> = items.into_iter().skip(start).take(self.limit).collect();
        let next = items.last().filter(|_| more).map(|last| key(last).to_owned());
        Page { items, next }
    }
}

/// The names and values of a request's query, in order.
pub fn query_pairs(request: &HttpRequest) -> Result<Vec<(String, String)>, Error> {
    pairs_of(request.query_string())
}

fn pairs_of(query: &str) -> Result<Vec<(String, String)>, Error> {
    let pairs = Query::<Vec<(String, String)>>::from_query(query);
    let pairs = pairs.map_err(|error| Error::BadRequest(format!("the query cannot be read: {error}")))?;
    Ok(pairs.into_inner())
}

/// How many items a page may hold; 422 names the parameter.
pub fn parse_limit(text: &str) -> Result<usize, Error> {
    let limit = text.parse().ok().filter(|limit| (1..=HIGHEST_LIMIT).contains(limit));
    limit.ok_or_else(|| {
        let detail = format!("must be a number from 1 to {HIGHEST_LIMIT}");
        Error::Invalid(vec![FieldError::new("limit", "range", detail)])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str) -> (Vec<String>, Option<String>) {
        let items = ["d", "b", "a", "c"].map(str::to_owned).to_vec();
        let page = PageQuery::parse(query).unwrap().cut(items, |item| item);
        (page.items, page.next)
    }

    #[test]
    fn pages_follow_each_other_in_order() {
        let table = [
            ("", "abcd", None),
            ("limit=4", "abcd", None),
            ("limit=3", "abc", Some("c")),
            ("limit=3&after=c", "d", None),
            ("limit=1&after=a", "b", Some("b")),
            // The last item of the page before may be gone by now.
            ("limit=2&after=bb", "cd", None),
            ("after=d", "", None),
            ("after=&other=1", "abcd", None),
        ];
        for (query, items, next) in table {
            assert_eq!(page(query), (items.chars().map(String::from).collect(), next.map(String::from)), "{query}");
        }
    }

    #[test]
    fn bad_limits_are_named() {
        for query in
            ["limit=0", "limit=1001", "limit=-1", "limit=", "limit=x", "limit=1.5", "limit=99999999999999999999"]
        {
            let Err(Error::Invalid(errors)) = PageQuery::parse(query) else { panic!("taken: {query}") };
            assert_eq!(errors[0].field, "limit");
        }
    }
}
