//! The HTTP client for one provider: no redirects, little patience, bounded answers, HTTPS unless the issuer is local.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse, http};

use crate::config::OidcProvider;
use crate::tls;

/// How long one request to a provider may take, from looking up its name to the last byte of its answer.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// The largest answer of a provider that is taken, in bytes.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// See the module's documentation.
#[derive(Clone)]
pub struct ProviderClient(reqwest::Client);

/// Why a provider gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("{0}")]
    Failed(String),
    #[error("its answer is larger than {ANSWER_LIMIT} bytes")]
    TooLarge,
}

impl ProviderClient {
    /// Reads certificates, so it may block.
    ///
    /// # Errors
    /// What is wrong with the CA file.
    pub fn new(provider: &OidcProvider) -> Result<Self, String> {
        let tls = tls::client_config(provider.ca_file.as_deref())?;
        let https_only = provider.issuer.starts_with("https://");
        let mut builder = reqwest::Client::builder()
            .use_preconfigured_tls(tls)
            .https_only(https_only)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("dockway/", env!("CARGO_PKG_VERSION")))
            .timeout(REQUEST_LIMIT);
        if !https_only {
            // A local issuer is not reached through a proxy.
            builder = builder.no_proxy();
        }
        builder.build().map(Self).map_err(|error| chain(&error))
    }

    async fn send(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, RequestError> {
        let request = reqwest::Request::try_from(request)?;
        let mut answer = client.execute(request).await?;
        let mut head = http::Response::new(Vec::new());
        *head.status_mut() = answer.status();
        *head.headers_mut() = std::mem::take(answer.headers_mut());
        while let Some(chunk) = answer.chunk().await? {
            if head.body().len() + chunk.len() > ANSWER_LIMIT {
                return Err(RequestError::TooLarge);
            }
            head.body_mut().extend_from_slice(&chunk);
        }
        Ok(head)
    }
}

impl<'c> AsyncHttpClient<'c> for ProviderClient {
    type Error = RequestError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, RequestError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(Self::send(self.0.clone(), request))
    }
}

impl From<reqwest::Error> for RequestError {
    fn from(error: reqwest::Error) -> Self {
        Self::Failed(chain(&error.without_url()))
    }
}

/// An error with what caused it.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.ends_with(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
