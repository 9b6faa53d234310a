//! The audit log over HTTP, for administrators: `/api/audit`.

use actix_web::{HttpRequest, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::caller::Authorized;
use super::fields::Fault;
use super::paging::{DEFAULT_LIMIT, Page, parse_limit, query_pairs};
use super::problems::{BadPage, Refused};
use super::{AppState, Place};
use crate::clock::{parse_rfc3339, rfc3339};
use crate::error::{Error, FieldError};
use crate::identity::audit::Outcome;
use crate::identity::policy::Action;
use crate::store::audit::{self, AuditQuery};
use crate::store::models::AuditRow;

/// The most characters of a filter: no entry has more.
const FILTER_LIMIT: usize = 200;

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    vec![Place::at("/api/audit").get(list)]
}

/// What somebody did. Times RFC 3339 UTC.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditView {
    pub at: String,
    /// Name of an account, `command line`, or `-` for somebody unknown.
    #[schema(example = "alice")]
    pub actor: String,
    #[schema(example = "tunnel.create")]
    pub action: String,
    /// Name or id of what it was done to.
    #[schema(required)]
    pub object: Option<String>,
    /// Where it came from.
    #[schema(required)]
    pub address: Option<String>,
    /// `ok`; `denied` by a rule, a wrong password or a limit of attempts; or `failed`.
    pub outcome: String,
    /// What else there is to say; why, if it was not done.
    #[schema(required)]
    pub detail: Option<String>,
}

impl AuditView {
    fn new(row: AuditRow) -> Self {
        let AuditRow { id: _, at, actor, action, object, address, outcome, detail } = row;
        Self { at: rfc3339(at), actor, action, object, address, outcome, detail }
    }
}

/// Read the audit log
///
/// The newest entry first. All filters that are given have to fit.
#[utoipa::path(
    get, path = "/api/audit", tag = "Audit", operation_id = "read_audit",
    params(
        ("limit" = Option<u16>, Query, description = "The most items of this page", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "`next` of the page before"),
        ("actor" = Option<String>, Query, description = "Who did it"),
        ("action" = Option<String>, Query, description = "What was done: `tunnel.create`, or `tunnel` for all that begins with `tunnel.`"),
        ("object" = Option<String>, Query, description = "What it was done to"),
        ("outcome" = Option<String>, Query, description = "`ok`, `denied` or `failed`"),
        ("since" = Option<String>, Query, description = "Not before this time (RFC 3339)"),
        ("until" = Option<String>, Query, description = "Before this time (RFC 3339)"),
    ),
    responses((status = 200, description = "A page of entries", body = Page<AuditView>), Refused, BadPage)
)]
pub(super) async fn list(
    caller: Authorized,
    state: web::Data<AppState>,
    request: HttpRequest,
) -> Result<web::Json<Page<AuditView>>, Error> {
    caller.require(Action::ReadAudit)?;
    let (query, limit) = read_query(query_pairs(&request)?)?;
    let mut rows = state.store.run(move |c| audit::find(c, &query)).await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.id.to_string());
    Ok(web::Json(Page { items: rows.into_iter().map(AuditView::new).collect(), next }))
}

/// What is asked for, with one entry beyond the page to know whether there are more, and the length of the page. An
/// empty parameter is none.
fn read_query(pairs: Vec<(String, String)>) -> Result<(AuditQuery, usize), Error> {
    let (mut query, mut limit, mut faults) = (AuditQuery::default(), DEFAULT_LIMIT, Vec::new());
    for (name, value) in pairs {
        if name == "limit" {
            limit = parse_limit(&value)?;
        } else if !value.is_empty()
            && let Err((code, detail)) = take(&mut query, &name, value)
        {
            faults.push(FieldError::new(name, code, detail));
        }
    }
    query.limit = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    if faults.is_empty() { Ok((query, limit)) } else { Err(Error::Invalid(faults)) }
}

fn take(query: &mut AuditQuery, name: &str, value: String) -> Result<(), Fault> {
    match name {
        "after" => query.before_id = Some(value.parse().map_err(|_| ("format", "must be `next` of a page".into()))?),
        "actor" => query.actor = Some(text(value)?),
        "action" => query.action = Some(text(value)?),
        "object" => query.object = Some(text(value)?),
        "outcome" => query.outcome = Some(outcome(value)?),
        "since" => query.since = Some(time(&value)?),
        "until" => query.until = Some(time(&value)?),
        _ => {}
    }
    Ok(())
}

fn text(value: String) -> Result<String, Fault> {
    if value.contains(char::is_control) {
        return Err(("format", "must not contain control characters".into()));
    }
    if value.chars().count() > FILTER_LIMIT {
        return Err(("too_long", format!("must have at most {FILTER_LIMIT} characters")));
    }
    Ok(value)
}

fn outcome(value: String) -> Result<String, Fault> {
    if Outcome::ALL.iter().any(|outcome| outcome.as_str() == value) {
        return Ok(value);
    }
    Err(("format", format!("must be one of {}", Outcome::ALL.map(Outcome::as_str).join(", "))))
}

fn time(value: &str) -> Result<i64, Fault> {
    parse_rfc3339(value).ok_or_else(|| ("format", "must be a time like 2027-01-31T12:00:00Z".into()))
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use super::*;
    use crate::http::test_support::TestApi;

    fn query(text: &str) -> Result<(AuditQuery, usize), Error> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(text).unwrap();
        read_query(pairs.into_inner())
    }

    #[test]
    fn filters() {
        let whole = "limit=7&after=12&actor=alice&action=tunnel&object=p1&outcome=denied&since=1970-01-01T00:00:01Z\
                     &until=1970-01-01T00:00:02%2B00:00&other=x";
        let expected = AuditQuery {
            actor: Some("alice".into()),
            action: Some("tunnel".into()),
            object: Some("p1".into()),
            outcome: Some("denied".into()),
            since: Some(1000),
            until: Some(2000),
            before_id: Some(12),
            limit: 8,
        };
        assert_eq!(query(whole).unwrap(), (expected, 7));
        let none = AuditQuery { limit: 101, ..AuditQuery::default() };
        assert_eq!(query("actor=&after=&since=").unwrap(), (none, 100));
    }

    #[test]
    fn bad_parameters_are_named() {
        let too_long = format!("object={}", "x".repeat(201));
        let table = [
            ("limit=0", "limit", "range"),
            ("after=x", "after", "format"),
            ("after=99999999999999999999", "after", "format"),
            ("actor=a%00", "actor", "format"),
            (too_long.as_str(), "object", "too_long"),
            ("outcome=fine", "outcome", "format"),
            ("since=yesterday", "since", "format"),
            ("until=2026-01-01", "until", "format"),
        ];
        for (text, field, code) in table {
            let Err(Error::Invalid(errors)) = query(text) else { panic!("taken: {text}") };
            assert_eq!((errors[0].field.as_str(), errors[0].code), (field, code), "{text}");
        }
        let Err(Error::Invalid(errors)) = query("since=x&until=y") else { panic!("taken") };
        assert_eq!(errors.len(), 2);
    }

    #[actix_web::test]
    async fn what_was_done_is_read_by_administrators_alone() {
        let api = TestApi::start().await;
        let made = api.call(Method::POST, "/api/users", &api.tokens.admin, r#"{"username":"alice"}"#).await;
        assert_eq!(made.status.as_u16(), 201);
        let denied = api.call(Method::POST, "/api/users", &api.tokens.reader, r#"{"username":"bob"}"#).await;
        assert_eq!(denied.status.as_u16(), 403);
        let entries = api.call(Method::GET, "/api/audit?action=user", &api.tokens.admin, "").await.json();
        let outcomes: Vec<_> = entries["items"].as_array().unwrap().iter().map(|entry| &entry["outcome"]).collect();
        assert_eq!(outcomes, ["denied", "ok"], "{entries}");
        assert_eq!(entries["items"][1]["object"], "alice");
        assert_eq!(api.call(Method::GET, "/api/audit", &api.tokens.reader, "").await.status.as_u16(), 403);
    }
}
