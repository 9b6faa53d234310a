//! Takes the JSON object of a request's body, with every limit that keeps an odd body cheap.

use std::fmt;
use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpMessage, HttpRequest, web};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::caller::verify_still;
use crate::error::Error;

/// The largest body that is taken, in bytes.
const BODY_LIMIT: usize = 64 * 1024;
/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The JSON object in the body of a request. With an Authorization header a form's content type is taken for JSON, since
/// `curl -d` sends it; without one it is refused, since a page of another site can send it.
///
/// Errors: 415 for any other content type, 413 beyond [`BODY_LIMIT`], 400 for whatever is not one JSON object.
pub async fn take_object(request: &HttpRequest, payload: web::Payload) -> Result<Map<String, Value>, Error> {
    let form = request.headers().contains_key(AUTHORIZATION);
    take(request, payload, form).await
}

/// As [`take_object`], but JSON only, whatever the request shows.
pub async fn take_json(request: &HttpRequest, payload: web::Payload) -> Result<Map<String, Value>, Error> {
    take(request, payload, false).await
}

async fn take(request: &HttpRequest, payload: web::Payload, form: bool) -> Result<Map<String, Value>, Error> {
    verify_type(request, form)?;
    let body = timeout(BODY_TIME, read(request, payload)).await;
    let body =
        body.map_err(|_| Error::BadRequest(format!("the body did not arrive within {} s", BODY_TIME.as_secs())))?;
    let body = body?;
    verify_still(request)?;
    parse_object(&body)
}

fn verify_type(request: &HttpRequest, form: bool) -> Result<(), Error> {
    if request.headers().get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(Error::UnsupportedMediaType("send the body without a Content-Encoding".into()));
    }
    // No body and no type: that the body is missing says more.
    if !request.headers().contains_key(CONTENT_TYPE) && has_no_body(request) {
        return Ok(());
    }
    let kind = request.content_type().to_ascii_lowercase();
    let json = kind.starts_with("application/") && kind.ends_with("+json");
    if json || kind == "application/json" || form && kind == "application/x-www-form-urlencoded" {
        return Ok(());
    }
    Err(Error::UnsupportedMediaType("send the body as JSON, with Content-Type: application/json".into()))
}

fn has_no_body(request: &HttpRequest) -> bool {
    let length = request.headers().get(CONTENT_LENGTH);
    length.is_none_or(|length| length == "0") && !request.chunked().unwrap_or(true)
}

async fn read(request: &HttpRequest, mut payload: web::Payload) -> Result<BytesMut, Error> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_LIMIT as u64) {
        return Err(Error::TooLarge { limit: BODY_LIMIT });
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Error::BadRequest(format!("the body ended early: {error}")))?;
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(Error::TooLarge { limit: BODY_LIMIT });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Parse one JSON object. A key given twice is an error: which of the two was meant, nobody can tell.
pub fn parse_object(body: &[u8]) -> Result<Map<String, Value>, Error> {
    if body.trim_ascii().is_empty() {
        return Err(Error::BadRequest("the body is empty; send a JSON object".into()));
    }
    let mut parser = serde_json::Deserializer::from_slice(body);
    let object = parser.deserialize_map(ObjectVisitor).and_then(|object| parser.end().map(|()| object));
    object.map_err(|error| Error::BadRequest(format!("the body is not a JSON object that can be taken: {error}")))
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format_args!("field `{key}` is given twice")));
            }
            object.insert(key, access.next_value()?);
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::dev::Service;
    use actix_web::test::{TestRequest, init_service};
    use actix_web::{FromRequest, error::ResponseError};
    use futures_util::FutureExt;

    use super::*;
    use crate::http::test_support::{AGENT, TestServer, read_head, state};
    use crate::http::{AppState, app, serve};
    use crate::identity::Role;
    use crate::identity::directory::{ChangeUser, RevokeToken, UserChanges};
    use crate::store::testing::user;
    use crate::store::users;

    async fn status_of(request: TestRequest, body: impl Into<Vec<u8>>) -> (u16, String) {
        let (request, mut payload) = request.set_payload(body.into()).to_http_parts();
        let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
        match take_object(&request, payload).await {
            Ok(object) => (200, Value::Object(object).to_string()),
            Err(error) => (error.status_code().as_u16(), error.to_string()),
        }
    }

    fn typed(kind: &str) -> TestRequest {
        TestRequest::post().insert_header((CONTENT_TYPE, kind))
    }

    #[actix_web::test]
    async fn content_types() {
        let table = [
            ("application/json", 200),
            ("Application/JSON; charset=utf-8", 200),
            ("application/x-www-form-urlencoded", 415),
            ("application/merge-patch+json", 200),
            ("text/plain", 415),
            ("text/x+json", 415),
            ("application/jsonp", 415),
            ("multipart/form-data; boundary=x", 415),
            ("", 415),
        ];
        for (kind, status) in table {
            assert_eq!(status_of(typed(kind), "{}").await.0, status, "{kind}");
        }
        let with_token = || typed("application/x-www-form-urlencoded").insert_header((AUTHORIZATION, "Bearer x"));
        assert_eq!(status_of(with_token(), "{}").await.0, 200, "what `curl -d` sends");
        let (request, mut payload) = with_token().set_payload("{}").to_http_parts();
        let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
        assert!(matches!(take_json(&request, payload).await, Err(Error::UnsupportedMediaType(_))));
        let compressed = typed("application/json").insert_header((CONTENT_ENCODING, "gzip"));
        assert_eq!(status_of(compressed, "{}").await.0, 415);
        assert_eq!(status_of(TestRequest::post().insert_header((CONTENT_LENGTH, 2)), "{}").await.0, 415);
        assert_eq!(status_of(TestRequest::post(), "").await.0, 400);
    }

    /// Ask for another administrator, and send the body only after `meanwhile`. The status, and whether there is one.
    async fn late_body(meanwhile: impl AsyncFnOnce(&AppState)) -> (u16, bool) {
        let (state, tokens) = state().await;
        state.store.run(|c| users::insert(c, &user("ann"))).await.unwrap();
        let app = init_service(app(state.clone())).await;
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<bytes::Bytes>(1);
        let body = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx).map(|chunk| chunk.map(Ok)));
        let request = typed("application/json").uri("/api/users");
        let request = request.insert_header((AUTHORIZATION, format!("Bearer {}", tokens.admin))).to_request();
        let (request, _) = request.replace_payload(actix_http::Payload::Stream { payload: body.boxed_local() });
        let mut call = app.call(request).boxed_local();
        assert!((&mut call).now_or_never().is_none(), "it waits for the body");
        meanwhile(&state).await;
        sender.send(r#"{"username":"eve","role":"admin"}"#.into()).await.unwrap();
        drop(sender);
        let status = call.await.unwrap().status().as_u16();
        (status, state.snapshot().user_named("eve").is_some())
    }

    #[actix_web::test]
    async fn who_was_stopped_while_the_body_came_changes_nothing() {
        assert_eq!(late_body(async |_| {}).await, (201, true));
        let revoke = async |state: &AppState| state.tell(RevokeToken("all".into())).await.unwrap().unwrap();
        assert_eq!(late_body(revoke).await, (401, false));
        let change = |changes| {
            async move |state: &AppState| {
                state.tell(ChangeUser { user_id: "id-of-admin".into(), changes }).await.unwrap().unwrap();
            }
        };
        let demoted = UserChanges { role: Some(Role::User), ..UserChanges::default() };
        assert_eq!(late_body(change(demoted)).await, (403, false));
        let inactive = UserChanges { active: Some(false), ..UserChanges::default() };
        assert_eq!(late_body(change(inactive)).await, (401, false));
    }

    #[actix_web::test]
    async fn the_limit_counts_announced_and_arrived_bytes() {
        let (state, tokens) = state().await;
        let server = TestServer::start(|listener| serve(listener, state, 1));
        let head =
            format!("PATCH /api/agents/{AGENT} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {}\r\n", tokens.admin);
        let head = head + "Content-Type: application/json\r\n";
        let zeros = "0".repeat(BODY_LIMIT);
        let table = [
            (format!("Content-Length: {}\r\n\r\n{{}}", u64::MAX), " 413 "),
            (format!("Content-Length: {}\r\n\r\n{zeros}{zeros}", 2 * BODY_LIMIT), " 413 "),
            (format!("Transfer-Encoding: chunked\r\n\r\n10001\r\n{zeros}0\r\n0\r\n\r\n"), " 413 "),
            (format!("Transfer-Encoding: chunked\r\n\r\n10000\r\n{zeros}\r\n0\r\n\r\n"), " 400 "),
            (format!("Content-Length: {BODY_LIMIT}\r\n\r\n{zeros}"), " 400 "),
        ];
        for (rest, status) in table {
            let answer = read_head(&mut server.connect((head.clone() + &rest).as_bytes()).await).await;
            assert!(answer.lines().next().unwrap().contains(status), "{answer}");
        }
    }

    #[actix_web::test]
    async fn a_body_that_does_not_come_is_given_up() {
        tokio::time::pause();
        let (request, _) = typed("application/json").to_http_parts();
        let never = futures_util::stream::pending::<Result<bytes::Bytes, actix_http::error::PayloadError>>();
        let mut payload = actix_http::Payload::Stream { payload: never.boxed_local() };
        let payload = web::Payload::from_request(&request, &mut payload).await.unwrap();
        let begun = tokio::time::Instant::now();
        let Err(Error::BadRequest(text)) = take_object(&request, payload).await else { panic!("taken") };
        assert!(text.contains("30 s"), "{text}");
        assert_eq!(begun.elapsed().as_secs(), BODY_TIME.as_secs());
    }

    #[test]
    fn what_is_not_one_object_is_named_with_its_place() {
        let table = [
            (&b""[..], "empty"),
            (b" \n", "empty"),
            (b"{\n \"a\": }", "line 2 column 7"),
            (b"a=1&b=2", "line 1 column 1"),
            (b"[1]", "expected a JSON object"),
            (b"\"text\"", "expected a JSON object"),
            (b"null", "expected a JSON object"),
            (b"{} {}", "trailing characters at line 1 column 4"),
            (b"{\"a\":1,\"a\":2}", "field `a` is given twice"),
            (b"{\"a\":\"\xff\"}", "line 1"),
            (b"{\"a\":\"\\ud800\"}", "line 1"),
            (b"{\"a\":1e999}", "line 1"),
            (b"\xef\xbb\xbf{}", "line 1"),
            (b"{\"a\":", "EOF"),
        ];
        for (body, part) in table {
            let Err(Error::BadRequest(text)) = parse_object(body) else { panic!("taken: {body:?}") };
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_an_error_and_no_crash() {
        let deep = format!("{{\"a\":{}", "[".repeat(60_000));
        assert!(matches!(parse_object(deep.as_bytes()), Err(Error::BadRequest(_))));
    }
}
