//! What can go wrong for a caller of the API, and the only place where an error becomes an HTTP answer (RFC 9457).

use std::ops::RangeInclusive;

use actix_web::{HttpResponse, ResponseError, http::StatusCode, http::header};
use serde::Serialize;
use utoipa::ToSchema;

/// An error that reaches the person or script that asked. Its text says what to do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Unauthenticated(&'static str),
    #[error("{0}")]
    Forbidden(String),
    #[error("{0}")]
    CrossSite(&'static str),
    #[error("name or password is wrong")]
    WrongPassword,
    #[error("there is no account `{0}`")]
    UserUnknown(String),
    #[error("an account called `{0}` exists already")]
    UserExists(String),
    #[error(
        "the account has {agents} agent(s), {tunnels} tunnel(s) and {desktops} desktop(s); hand over the agents and delete the tunnels and desktops first, or make it inactive"
    )]
    UserInUse { agents: usize, tunnels: usize, desktops: usize },
    #[error("this is the last active administrator; make another one first")]
    LastAdmin,
    #[error("no token has the id `{0}`")]
    TokenUnknown(String),
    #[error("the limit of {limit} {kind} for this account is reached; give one up first")]
    LimitReached { kind: &'static str, limit: u32 },
    #[error("no sign-in provider is called `{0}`; GET /api/oidc lists them")]
    ProviderUnknown(String),
    #[error("the sign-in provider `{provider}` does not answer as it should: {reason}; try again later")]
    ProviderUnavailable { provider: String, reason: String },
    #[error("the sign-in did not succeed: {0}")]
    SignInFailed(String),
    #[error("no account belongs to this sign-in with `{0}`; ask an administrator for one")]
    NoAccount(String),
    #[error("this account, or this sign-in with `{0}`, is linked already; unlink it first")]
    AlreadyLinked(String),
    #[error("this account is not linked to `{0}`")]
    NotLinked(String),
    #[error("this is the only way to sign in to this account; set a password first")]
    OnlySignIn,
    #[error("the request's headers are larger than {limit} bytes; a browser may have too many cookies of this site")]
    HeadersTooLarge { limit: usize },
    #[error("the request's address is longer than {limit} bytes")]
    AddressTooLong { limit: usize },
    #[error("no agent is called `{0}`; enrol it with POST /api/agents or `dockway admin agent add`")]
    AgentUnknown(String),
    #[error("no tunnel has the id `{0}`")]
    TunnelUnknown(String),
    #[error("the tunnel has no live connection `{0}`")]
    ConnectionUnknown(String),
    #[error("there is nothing at this address; /api/docs lists what there is")]
    NotFound,
    #[error("this address takes {allow} only")]
    MethodNotAllowed {
        /// Methods, separated by a comma and a space, as in the Allow header.
        allow: String,
    },
    #[error("an agent called `{0}` exists already; rotate its token if you lost it")]
    AgentExists(String),
    #[error("agent `{client_id}` is needed by {tunnels} tunnel(s); delete them first")]
    AgentInUse { client_id: String, tunnels: usize },
    #[error("port {port} belongs to {}; choose another", .tunnel.as_ref().map_or_else(|| "another tunnel".into(), |t| format!("tunnel `{t}`")))]
    PortInUse { port: u16, tunnel: Option<String> },
    #[error("port {port} cannot be bound: {reason}")]
    PortUnavailable { port: u16, reason: String },
    #[error("port {port} is outside the tunnel range {}-{}", .range.start(), .range.end())]
    PortOutOfRange { port: u16, range: RangeInclusive<u16> },
    #[error("no port is free in the tunnel range {}-{}; delete a tunnel, or have the range widened", .0.start(), .0.end())]
    NoPortFree(RangeInclusive<u16>),
    #[error("no desktop has the id `{0}`")]
    DesktopUnknown(String),
    #[error("there is no desktop type `{0}`; GET /api/desktop-types lists them")]
    DesktopTypeUnknown(String),
    #[error("the desktop type `{0}` is switched off; ask an administrator")]
    DesktopTypeDisabled(String),
    #[error("a desktop type called `{0}` exists already")]
    DesktopTypeExists(String),
    #[error("{desktops} desktop(s) are of the type `{name}`; delete them first, or switch the type off")]
    DesktopTypeInUse { name: String, desktops: usize },
    #[error("the desktop is {status}; wait until it is ready, or start it")]
    DesktopNotReady { status: &'static str },
    #[error("desktops of this type have no pictures")]
    NoThumbnail,
    #[error("the container engine cannot be used: {0}; try again later")]
    EngineUnavailable(String),
    #[error("only its owner may open a desktop: its pages would act with your rights here")]
    OwnerOnly,
    #[error("the desktop does not answer as it should: {0}")]
    BadGateway(String),
    #[error("the desktop does not answer in time: {0}")]
    GatewayTimeout(String),
    #[error("{}", field_summary(.0))]
    Invalid(Vec<FieldError>),
    #[error("{0}")]
    BadRequest(String),
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("{0}")]
    UnsupportedMediaType(String),
    #[error("{0}")]
    UpgradeRequired(&'static str),
    #[error("too many failed attempts; try again in {retry_after_s} s")]
    TooManyAttempts { retry_after_s: u64 },
    #[error("{0}")]
    Unavailable(String),
    #[error("something went wrong inside the server; its log says what")]
    Internal,
}

/// One field of a request that cannot be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    pub field: String,
    /// `missing`, `type`, `range`, `format`, `unknown`, `empty`, `too_long` or `reserved`.
    #[schema(value_type = String)]
    pub code: &'static str,
    pub detail: String,
}

impl FieldError {
    pub fn new(field: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self { field: field.into(), code, detail: detail.into() }
    }
}

fn field_summary(errors: &[FieldError]) -> String {
    let parts: Vec<_> = errors.iter().map(|e| format!("{}: {}", e.field, e.detail)).collect();
    parts.join("; ")
}

/// The body of every error answer, `application/problem+json`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: &'static str,
    pub title: String,
    pub status: u16,
    /// Stable: scripts may compare it.
    #[schema(value_type = String)]
    pub code: &'static str,
    pub detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

impl Error {
    /// The stable word of this error in `problem.code`.
    pub fn code(&self) -> &'static str {
        self.kind().1
    }

    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthenticated(_) => (StatusCode::UNAUTHORIZED, "unauthenticated"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::CrossSite(_) => (StatusCode::FORBIDDEN, "cross_site"),
            Self::WrongPassword => (StatusCode::UNAUTHORIZED, "wrong_password"),
            Self::UserUnknown(_) => (StatusCode::NOT_FOUND, "user_unknown"),
            Self::UserExists(_) => (StatusCode::CONFLICT, "user_exists"),
            Self::UserInUse { .. } => (StatusCode::CONFLICT, "user_in_use"),
            Self::LastAdmin => (StatusCode::CONFLICT, "last_admin"),
            Self::TokenUnknown(_) => (StatusCode::NOT_FOUND, "token_unknown"),
            Self::LimitReached { .. } => (StatusCode::CONFLICT, "limit_reached"),
            Self::ProviderUnknown(_) => (StatusCode::NOT_FOUND, "provider_unknown"),
            Self::ProviderUnavailable { .. } => (StatusCode::BAD_GATEWAY, "provider_unavailable"),
            Self::SignInFailed(_) => (StatusCode::BAD_REQUEST, "sign_in_failed"),
            Self::NoAccount(_) => (StatusCode::FORBIDDEN, "no_account"),
            Self::AlreadyLinked(_) => (StatusCode::CONFLICT, "already_linked"),
            Self::NotLinked(_) => (StatusCode::NOT_FOUND, "not_linked"),
            Self::OnlySignIn => (StatusCode::CONFLICT, "only_sign_in"),
            Self::HeadersTooLarge { .. } => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large"),
            Self::AddressTooLong { .. } => (StatusCode::URI_TOO_LONG, "address_too_long"),
            Self::AgentUnknown(_) => (StatusCode::NOT_FOUND, "agent_unknown"),
            Self::TunnelUnknown(_) => (StatusCode::NOT_FOUND, "tunnel_unknown"),
            Self::ConnectionUnknown(_) => (StatusCode::NOT_FOUND, "connection_unknown"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::AgentExists(_) => (StatusCode::CONFLICT, "agent_exists"),
            Self::AgentInUse { .. } => (StatusCode::CONFLICT, "agent_in_use"),
            Self::PortInUse { .. } => (StatusCode::CONFLICT, "port_in_use"),
            Self::PortUnavailable { .. } => (StatusCode::CONFLICT, "port_unavailable"),
            Self::PortOutOfRange { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "port_out_of_range"),
            Self::NoPortFree(_) => (StatusCode::CONFLICT, "no_port_free"),
            Self::DesktopUnknown(_) => (StatusCode::NOT_FOUND, "desktop_unknown"),
            Self::DesktopTypeUnknown(_) => (StatusCode::NOT_FOUND, "desktop_type_unknown"),
            Self::DesktopTypeDisabled(_) => (StatusCode::UNPROCESSABLE_ENTITY, "desktop_type_disabled"),
            Self::DesktopTypeExists(_) => (StatusCode::CONFLICT, "desktop_type_exists"),
            Self::DesktopTypeInUse { .. } => (StatusCode::CONFLICT, "desktop_type_in_use"),
            Self::DesktopNotReady { .. } => (StatusCode::SERVICE_UNAVAILABLE, "desktop_not_ready"),
            Self::NoThumbnail => (StatusCode::NOT_FOUND, "no_thumbnail"),
            Self::EngineUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "engine_unavailable"),
            Self::OwnerOnly => (StatusCode::FORBIDDEN, "owner_only"),
            Self::BadGateway(_) => (StatusCode::BAD_GATEWAY, "bad_gateway"),
            Self::GatewayTimeout(_) => (StatusCode::GATEWAY_TIMEOUT, "gateway_timeout"),
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            Self::UnsupportedMediaType(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"),
            Self::UpgradeRequired(_) => (StatusCode::UPGRADE_REQUIRED, "upgrade_required"),
            Self::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "too_many_attempts"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    fn problem(&self) -> Problem {
        let (status, code) = self.kind();
        let errors = match self {
            Self::Invalid(errors) => errors.clone(),
            Self::PortOutOfRange { .. } => vec![FieldError::new("local_port", "range", self.to_string())],
            _ => Vec::new(),
        };
        Problem {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            code,
            detail: self.to_string(),
            errors,
        }
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        self.kind().0
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        match self {
            Self::Unauthenticated(_) | Self::WrongPassword => {
                answer.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"dockway\""));
            }
            Self::MethodNotAllowed { allow } => {
                answer.insert_header((header::ALLOW, allow.as_str()));
            }
            Self::UpgradeRequired(_) => {
                answer.insert_header((header::UPGRADE, "websocket"));
                answer.insert_header((header::SEC_WEBSOCKET_VERSION, "13"));
            }
            Self::TooManyAttempts { retry_after_s } => {
                answer.insert_header((header::RETRY_AFTER, retry_after_s.to_string()));
            }
            Self::Unavailable(_) | Self::DesktopNotReady { .. } | Self::EngineUnavailable(_) => {
                answer.insert_header((header::RETRY_AFTER, "2"));
            }
            _ => {}
        }
        // Plain data always serializes; an empty body beats a panic if that ever changes.
        let body = serde_json::to_string(&self.problem()).unwrap_or_default();
        answer.content_type("application/problem+json").body(body)
    }
}
