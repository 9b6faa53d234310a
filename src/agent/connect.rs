//! Logging in: the WebSocket handshake with the server, by awc, which then hands over its socket.

use std::sync::Arc;
use std::time::Duration;

use actix_service::ServiceExt;
use actix_web::http::{StatusCode, Uri, header};
use awc::Client;
use awc::error::WsClientError;
use rustls::ClientConfig;
use socket2::SockRef;

use crate::config::{AgentConfig, AgentProtocol, Secret};
use crate::link::Link;
use crate::link::socket::prepare;
use crate::tls;
use crate::wire::frame::SUBPROTOCOL;
use crate::wire::mux::{Role, Version};

/// Looking up, connecting, TLS and the handshake together.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Why a login did not work.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("the server answered 401: it does not accept this token for this client id")]
    Unauthorized,
    #[error("the server answered 429: too many failed logins from this address")]
    TooManyAttempts,
    #[error("the server answered {0}; is this its address, and is the agent path right?")]
    Status(StatusCode),
    #[error("the server does not speak the binary protocol; try --protocol json")]
    NoBinary,
    #[error("cannot reach the server: {0}")]
    Unreachable(String),
}

/// Why an agent cannot start with these settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("`{0}` is not a server address; write http://host:port or https://host")]
    Server(String),
    #[error("the CA file cannot be read: {0}")]
    CaFile(String),
}

/// Connects as often as it is asked to.
pub struct Connector {
    uri: Uri,
    client_id: String,
    token: Secret,
    version: Version,
    tls: Arc<ClientConfig>,
}

impl Connector {
    pub fn new(config: &AgentConfig) -> Result<Self, SettingsError> {
        let base = config.server.trim_end_matches('/');
        let uri = format!("{base}{}", config.agent_path);
        let uri: Uri = uri.parse().map_err(|_| SettingsError::Server(config.server.clone()))?;
        if uri.host().is_none() || !matches!(uri.scheme_str(), Some("http" | "https" | "ws" | "wss")) {
            return Err(SettingsError::Server(config.server.clone()));
        }
        let version = match config.protocol {
            AgentProtocol::Json => Version::Json,
            AgentProtocol::Binary => Version::Binary,
        };
        let tls = tls::client_config(config.ca_file.as_deref()).map_err(SettingsError::CaFile)?;
        let (client_id, token) = (config.client_id.clone(), config.token.clone());
        Ok(Self { uri, client_id, token, version, tls: Arc::new(tls) })
    }

    pub fn server(&self) -> &Uri {
        &self.uri
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// Log in once.
    pub async fn connect(&self) -> Result<Link, ConnectError> {
        let mut request = self
            .client()
            .ws(self.uri.clone())
            .set_header("X-Client-Id", self.client_id.as_str())
            .set_header(header::USER_AGENT, concat!("dockway/", env!("CARGO_PKG_VERSION")))
            .set_header(header::AUTHORIZATION, format!("Bearer {}", self.token.0));
        if self.version == Version::Binary {
            request = request.protocols([SUBPROTOCOL]);
        }
        let (response, framed) = request.connect().await.map_err(explain)?;
        let agreed = response.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
        if self.version == Version::Binary && agreed.is_none_or(|agreed| agreed != SUBPROTOCOL) {
            return Err(ConnectError::NoBinary);
        }
        let parts = framed.into_parts();
        let now = std::time::Instant::now();
        Ok(Link::new(Box::new(parts.io), &parts.read_buf, Role::Agent, self.version, now))
    }

    fn client(&self) -> Client {
        let connect = actix_tls::connect::Connector::default().service().map(
            |connection: actix_tls::connect::Connection<Uri, tokio::net::TcpStream>| {
                if let Err(error) = prepare(SockRef::from(connection.io_ref())) {
                    tracing::warn!(%error, "the socket to the server keeps its defaults");
                }
                connection
            },
        );
        let connector = awc::Connector::new()
            .connector(connect)
            .timeout(CONNECT_LIMIT)
            .handshake_timeout(CONNECT_LIMIT)
            .rustls_0_23(self.tls.clone());
        Client::builder().connector(connector).timeout(CONNECT_LIMIT).disable_redirects().finish()
    }
}

fn explain(error: WsClientError) -> ConnectError {
    match error {
        WsClientError::InvalidResponseStatus(StatusCode::UNAUTHORIZED) => ConnectError::Unauthorized,
        WsClientError::InvalidResponseStatus(StatusCode::TOO_MANY_REQUESTS) => ConnectError::TooManyAttempts,
        WsClientError::InvalidResponseStatus(status) => ConnectError::Status(status),
        other => ConnectError::Unreachable(other.to_string()),
    }
}
