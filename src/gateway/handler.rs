//! Who may go where, and the passage of a plain request.

use std::sync::Arc;

use actix_web::body::{BodySize, BoxBody};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_LENGTH, LOCATION};
use actix_web::http::{Method, StatusCode, Version};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError, web};
use futures_util::TryStreamExt;
use hyper::http::uri::PathAndQuery;

use super::body::GatewayBody;
use super::headers::{HeadTooLarge, Passage, request_headers, response_headers};
use super::navigation::is_navigation;
use super::path::{self, BadTarget, Target, is_image_api};
use super::{Ended, Permit, pages, websocket};
use crate::clock::now_ms;
use crate::desktop::{Kind, Route, Status};
use crate::error::Error;
use crate::http::caller::{bearer, recognise};
use crate::http::client::Client;
use crate::http::client_socket::ClientSocket;
use crate::http::shield::OfDesktop;
use crate::http::upgrade::TakeSocket;
use crate::http::{AppState, cookies, csrf};
use crate::identity::policy::{Action, Object};
use crate::identity::{Caller, Credential};
use crate::upstream::{Answer, IDLE_LIMIT, Pool, Upload, Upstream};

/// Where people sign in, with the address to which they want to go after it.
const SIGN_IN: &str = "/?next=";
/// What a desktop's address takes; extensions of HTTP too.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/// With it a browser asks for the script of a service worker.
const SERVICE_WORKER: &str = "service-worker";
const DOTS: &str = "an address with `.` or `..` in it leads to no desktop: programs differ in what they make of them";
const SIGNED_OUT: &str = "you were signed out while the desktop was answering; sign in again";

/// One request and what is known of it.
struct Asked<'a> {
    request: &'a HttpRequest,
    state: &'a AppState,
    client: Client,
    /// Whether a person is to look at the answer.
    is_navigation: bool,
}

/// Whoever may, and to where.
struct Admitted<'a> {
    caller: Caller,
    route: Arc<Route>,
    target: Target<'a>,
}

/// Answer a request for a desktop, or for something in one.
pub async fn serve(request: HttpRequest, payload: web::Payload, state: web::Data<AppState>) -> HttpResponse {
    let client = Client::of(&request, &state.settings);
    let is_navigation = is_navigation(request.method(), request.headers());
    let asked = Asked { request: &request, state: &state, client, is_navigation };
    let error = match asked.answer(payload).await {
        Ok(answer) => return answer,
        Err(error) => error,
    };
    if !is_navigation {
        return error.error_response();
    }
    let name = Target::parse(request.uri().path(), None).map(|target| target.proxy_path).ok();
    pages::error_page(&error, name.filter(|_| error.status_code().is_server_error()))
}

impl<'a> Asked<'a> {
    async fn answer(&self, payload: web::Payload) -> Result<HttpResponse, Error> {
        if [Method::CONNECT, Method::TRACE].contains(self.request.method()) {
            return Err(Error::MethodNotAllowed { allow: METHODS.into() });
        }
        let admitted = match self.admit().await {
            Err(Error::Unauthenticated(_)) if self.is_navigation && !self.shows_token() => return Ok(self.sign_in()),
            other => other?,
        };
        let Admitted { caller, route, target } = &admitted;
        note(route);
        let upstream = match &route.upstream {
            Some(upstream) if route.status == Status::Ready => upstream,
            _ if self.is_navigation => return Ok(pages::start_page(route)),
            _ => return Err(Error::DesktopNotReady { status: route.status.as_str() }),
        };
        if route.kind == Kind::Kasm && is_image_api(target.rest) {
            return Err(Error::NotFound);
        }
        if let Some(entry) = self.entry(&admitted) {
            return Ok(found(StatusCode::FOUND, &entry));
        }
        // From an address without a slash at its end, a service worker would rule over all desktops of this browser.
        if target.rest.is_empty() && self.request.headers().contains_key(SERVICE_WORKER) {
            return Err(Error::NotFound);
        }
        let to = target.upstream(route.strip_prefix);
        if TakeSocket::is_offered(self.request) {
            return websocket::upgrade(self.request, self.state, caller, route, &to).await;
        }
        self.pass(&admitted, upstream, &to, payload).await
    }

    /// Who asks, and whether they may: from memory, and for every request anew.
    async fn admit(&self) -> Result<Admitted<'a>, Error> {
        let target = Target::parse(self.request.uri().path(), self.request.uri().query());
        if target == Err(BadTarget::DotSegment) {
            return Err(Error::BadRequest(DOTS.into()));
        }
        let authorized = recognise(self.request, self.state, self.credential()?).await?;
        // Before it is looked whether there is such a desktop: a token that may not gets one answer.
        authorized.require(Action::OpenDesktop)?;
        let target = target.map_err(|_| Error::NotFound)?;
        let route = self.state.routes.borrow().get(target.proxy_path).cloned().ok_or(Error::NotFound)?;
        authorized.reach(Action::OpenDesktop, Object::Owned { owner_id: &route.owner_id }, || Error::NotFound)?;
        Ok(Admitted { caller: authorized.clone(), route, target })
    }

    /// The session, if there is one: beside it an Authorization header is meant for the desktop.
    fn credential(&self) -> Result<Credential, Error> {
        if let Some(session) = cookies::session(self.request, self.client.https) {
            csrf::verify_for_desktop(self.request, &self.client, &self.state.settings)?;
            return Ok(session);
        }
        Ok(Credential::of_bearer(bearer(self.request.headers())?))
    }

    fn shows_token(&self) -> bool {
        bearer(self.request.headers()).is_ok()
    }

    fn sign_in(&self) -> HttpResponse {
        let wanted = self.request.uri().path_and_query().map_or(path::ROOT, |wanted| wanted.as_str());
        found(StatusCode::SEE_OTHER, &format!("{SIGN_IN}{}", encoded(wanted)))
    }

    /// Where somebody is sent who asks for the desktop itself: to what its type is entered by. A query is not kept, for
    /// the entry has its own.
    fn entry(&self, admitted: &Admitted<'_>) -> Option<String> {
        let Admitted { route, target, .. } = admitted;
        let is_read = [Method::GET, Method::HEAD].contains(self.request.method());
        let is_there = target.rest == "/" && route.entry_path == "/";
        let leads_on = is_read && self.is_navigation && target.is_root() && !is_there;
        leads_on.then(|| format!("{}{}", path::prefix(&route.proxy_path), route.entry_path))
    }

    /// Pass the request on, and the answer back.
    async fn pass(
        &self,
        admitted: &Admitted<'_>,
        upstream: &Upstream,
        to: &str,
        payload: web::Payload,
    ) -> Result<HttpResponse, Error> {
        let Admitted { caller, route, .. } = admitted;
        let open = route.activity.connection();
        if let Some(socket) = ClientSocket::of(self.request) {
            socket.wait_for(IDLE_LIMIT);
        }
        let prefix = path::prefix(&route.proxy_path);
        let passage = Passage {
            kind: route.kind,
            prefix: &prefix,
            strip_prefix: route.strip_prefix,
            upstream,
            client: &self.client,
            by_token: matches!(caller.credential, Credential::Token(_)),
        };
        let outgoing = self.outgoing(to, &passage)?;
        let pool = self.request.app_data::<Pool>().ok_or(Error::Internal)?;
        let mut permit = Permit::of(self.request, self.state, caller, route.clone());
        let answer = tokio::select! {
            biased;
            answer = pool.send(upstream, outgoing, self.upload(payload)) => answer?,
            ended = permit.ended_or_left() => return Err(refusal(ended)),
        };
        if answer.status == StatusCode::UNAUTHORIZED.as_u16() && upstream.authorization.is_some() {
            return Err(Error::BadGateway("it refuses the credentials that the server has for it".into()));
        }
        self.incoming(answer, &passage, |answer, size, ends| {
            BoxBody::new(GatewayBody::new(answer, size, ends, permit, open))
        })
    }

    fn outgoing(&self, to: &str, passage: &Passage<'_>) -> Result<hyper::Request<()>, Error> {
        let method = self.request.method().as_str();
        let headers = request_headers(self.request.headers(), method, to, passage)
            .map_err(|HeadTooLarge { address_limit }| Error::AddressTooLong { limit: address_limit })?;
        let odd = |_| Error::BadRequest("the address has characters that no address has".into());
        let mut outgoing = hyper::Request::new(());
        *outgoing.method_mut() = hyper::Method::from_bytes(method.as_bytes()).map_err(|_| Error::Internal)?;
        *outgoing.uri_mut() = PathAndQuery::try_from(to).map_err(odd)?.into();
        *outgoing.headers_mut() = headers;
        Ok(outgoing)
    }

    fn upload(&self, payload: web::Payload) -> Upload {
        let length = self.request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        // The parser has seen to it that there is one of the two at most.
        if length.is_none_or(|length: u64| length == 0) && !self.request.chunked().unwrap_or(false) {
            return Upload::none();
        }
        Upload::of(Box::pin(payload.map_err(Into::into)), length)
    }

    fn incoming(
        &self,
        answer: Answer,
        passage: &Passage<'_>,
        body: impl FnOnce(crate::upstream::AnswerBody, BodySize, bool) -> BoxBody,
    ) -> Result<HttpResponse, Error> {
        let status = StatusCode::from_u16(answer.status.as_u16()).map_err(|_| Error::Internal)?;
        let size = self.size(status, &answer);
        // Clients of HTTP/1.0 know no chunks.
        let ends_with_connection = size == BodySize::Stream && self.request.version() == Version::HTTP_10;
        let mut built = HttpResponse::build(status);
        if ends_with_connection {
            built.force_close();
        }
        let mut response = built.body(body(answer.body, size, ends_with_connection));
        if ends_with_connection {
            response.head_mut().no_chunking(true);
        }
        *response.headers_mut() = response_headers(&answer.headers, passage);
        response.extensions_mut().insert(OfDesktop);
        Ok(response)
    }

    fn size(&self, status: StatusCode, answer: &Answer) -> BodySize {
        if self.request.method() == Method::HEAD {
            let told = answer.headers.get(hyper::header::CONTENT_LENGTH);
            return told.and_then(|told| told.to_str().ok()?.parse().ok()).map_or(BodySize::None, BodySize::Sized);
        }
        match answer.body.length() {
            _ if [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status) => BodySize::None,
            Some(length) => BodySize::Sized(length),
            None => BodySize::Stream,
        }
    }
}

/// What the idle are told apart by. Of a Kasm desktop only its WebSocket knows.
fn note(route: &Route) {
    match route.kind {
        Kind::Kasm => route.activity.note_access(now_ms()),
        Kind::Web => route.activity.note_input(now_ms()),
    }
}

/// What a caller is told whose permit ended before there was an answer.
pub(super) fn refusal(ended: Ended) -> Error {
    match ended {
        Ended::Void => Error::Unauthenticated(SIGNED_OUT),
        other => Error::Unavailable(other.reason().into()),
    }
}

fn found(status: StatusCode, address: &str) -> HttpResponse {
    HttpResponse::build(status).insert_header((LOCATION, address)).insert_header((CACHE_CONTROL, "no-store")).finish()
}

/// As the value of a query's parameter.
fn encoded(text: &str) -> String {
    let encoded = |byte: u8| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encoded).collect()
}
