//! The error answers that several calls share, for the OpenAPI document.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

/// Describe `(status, text)` pairs as problem answers.
fn problems(described: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    described.iter().map(|(status, text)| ((*status).to_owned(), problem(text).into())).collect()
}

fn problem(text: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(text).content("application/problem+json", content).build()
}

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident: [$($described:expr),+ $(,)?];)+) => {$(
        $(#[$doc])*
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                problems(&[$($described),+])
            }
        }
    )+};
}

answers! {
    /// What every call with a token may answer.
    Refused: [
        ("400", "`bad_request`: both a session cookie and a token"),
        ("401", "`unauthenticated`: no token and no session, or one that is not valid"),
        ("403", "`forbidden`: this needs another scope, role or way to sign in; `cross_site`: a page of another site asks"),
        ("503", "`unavailable`: a part of the server restarts or the database does not answer; try again after `Retry-After`"),
    ];
    /// What any call may answer.
    TooLarge: [
        ("414", "`address_too_long`: the path and query are longer than 8 KiB"),
        ("431", "`headers_too_large`: the headers are larger than 32 KiB"),
    ];
    /// What a call with a body may answer.
    BadBody: [
        ("400", "`bad_request`: the body is empty or not a JSON object"),
        ("413", "`too_large`: the body has more than 64 KiB"),
        ("415", "`unsupported_media_type`: the body is not announced as JSON"),
        ("422", "`invalid`: `errors` names every bad field; `port_out_of_range`: the port is outside the server's range"),
    ];
    /// What a call with a body that names no port may answer.
    BadAgentBody: [
        ("400", "`bad_request`: the body is empty or not a JSON object"),
        ("413", "`too_large`: the body has more than 64 KiB"),
        ("415", "`unsupported_media_type`: the body is not announced as JSON"),
        ("422", "`invalid`: `errors` names every bad field"),
    ];
    /// What a body that must be JSON, with a password in it, may be answered with.
    BadPassword: [
        ("400", "`bad_request`: the body is empty or not a JSON object"),
        ("401", "`wrong_password`, or `unauthenticated` without a session that is needed"),
        ("403", "`cross_site`: a page of another site asks; `forbidden`: a token may not do this"),
        ("413", "`too_large`: the body has more than 64 KiB"),
        ("415", "`unsupported_media_type`: the body is not announced as JSON"),
        ("422", "`invalid`: `errors` names every bad field"),
        ("429", "`too_many_attempts`: too many wrong passwords; try again after `Retry-After`"),
        ("503", "`unavailable`: too many people sign in, or the database does not answer; try again after `Retry-After`"),
    ];
    /// What a list may answer.
    BadPage: [("400", "`bad_request`: the query cannot be read"), ("422", "`invalid`: a parameter cannot be taken; `errors` names it")];
    TunnelMissing: [("404", "`tunnel_unknown`")];
    ConnectionMissing: [("404", "`tunnel_unknown` or `connection_unknown`")];
    UserMissing: [("404", "`user_unknown`")];
    TokenMissing: [("404", "`token_unknown`")];
    DesktopMissing: [("404", "`desktop_unknown`")];
    DesktopTypeMissing: [("404", "`desktop_type_unknown`")];
    /// What a call that needs the container engine may answer; given after [`Refused`], whose 503 it widens.
    EngineNeeded: [
        ("503", "`engine_unavailable`: the container engine does not answer; `unavailable`: a part of the server restarts or the database does not answer; try again after `Retry-After`"),
    ];
    /// What a picture of a desktop may be refused with; given after [`Refused`].
    NoPicture: [
        ("403", "`owner_only`: an administrator sees no picture of somebody else's desktop; `forbidden`: this needs another scope"),
        ("404", "`desktop_unknown`; `no_thumbnail`: desktops of this type have no pictures"),
        ("502", "`bad_gateway`: the desktop does not answer with a picture"),
        ("503", "`desktop_not_ready`: wait until it is; `unavailable`: a part of the server restarts; try again after `Retry-After`"),
        ("504", "`gateway_timeout`: the desktop does not answer in time"),
    ];
    /// What a query with a flag may answer.
    BadFlag: [("400", "`bad_request`: the query cannot be read, or both a session cookie and a token"), ("422", "`invalid`: a parameter is neither `true` nor `false`; `errors` names it")];
    AgentMissing: [("404", "`agent_unknown`")];
    /// What an agent that cannot connect is told.
    AgentSocketRefused: [
        ("400", "`bad_request`: the WebSocket handshake is incomplete"),
        ("401", "`unauthenticated`: name or token is missing or wrong"),
        ("403", "`forbidden`: the account that the agent belongs to is not active"),
        ("426", "`upgrade_required`: this is no WebSocket handshake of version 13"),
        ("429", "`too_many_attempts`: too many wrong tokens from this address; try again after `Retry-After`"),
        ("503", "`unavailable`: the database does not answer; try again after `Retry-After`"),
    ];
    /// What the beginning of a sign-in with a provider may answer.
    BadStart: [
        ("400", "`bad_request`: the query cannot be read, or the Host header is missing or odd"),
        ("404", "`provider_unknown`"),
        ("422", "`invalid`: `next` is no path on this host"),
        ("502", "`provider_unavailable`: the provider does not answer as it should"),
        ("503", "`unavailable`: the sign-in restarts; try again after `Retry-After`"),
    ];
    /// What a browser that comes back from a provider may be told.
    SignInRefused: [
        ("400", "`sign_in_failed`: `detail` says why; `bad_request`: the query cannot be read"),
        ("401", "`unauthenticated`: the account was deleted meanwhile"),
        ("403", "`no_account`: nobody here is known to the provider by this name; `forbidden`: the account is not active"),
        ("404", "`provider_unknown`, or `user_unknown`: the account was deleted meanwhile"),
        ("409", "`already_linked`: this account, or this sign-in with the provider"),
        ("502", "`provider_unavailable`: the provider does not answer as it should"),
        ("503", "`unavailable`: the sign-in restarts or the database does not answer; try again after `Retry-After`"),
    ];
    /// What an unlinking may answer.
    LinkRefused: [
        ("400", "`bad_request`: both a session and a token"),
        ("404", "`not_linked`, or `user_unknown`: the account was deleted meanwhile"),
        ("409", "`only_sign_in`: nobody could sign in to the account any more"),
    ];
    /// What somebody who cannot watch is told.
    EventsRefused: [
        ("400", "`bad_request`: the WebSocket handshake is incomplete"),
        ("409", "`limit_reached`: the account has many streams of events already"),
        ("426", "`upgrade_required`: this is no WebSocket handshake of version 13"),
    ];
    /// What `/readyz` answers otherwise.
    NotReady: [("503", "`unavailable`: the database or the tunnels do not answer")];
}
