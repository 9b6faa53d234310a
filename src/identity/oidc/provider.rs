//! A provider once its metadata and keys are known: where it signs people in, and what its answers prove.

use std::sync::Arc;

use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClientAuthMethod, CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey,
    CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreResponseType,
    CoreRevocableToken, CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AuthType, AuthenticationFlow, AuthorizationCode, ClaimsVerificationError, Client, ClientId,
    ClientSecret, CsrfToken, DiscoveryError, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet,
    IdToken, IdTokenFields, IssuerUrl, JwsSigningAlgorithm, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, StandardErrorResponse,
    StandardTokenResponse, TokenResponse, UserInfoClaims, UserInfoError,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::timeout;

use super::claims::{self, Claims};
use super::client::{ProviderClient, REQUEST_LIMIT, RequestError, chain};
use super::flows::Flow;
use super::shown;
use crate::config::OidcProvider;
use crate::error::Error;
use crate::identity::directory::ProvenIdentity;

/// Claims beside the standard's own.
#[derive(Debug, Clone, Deserialize, Serialize)]
struct OtherClaims(Claims);

impl AdditionalClaims for OtherClaims {}

type Fields = IdTokenFields<
    OtherClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
type Answer = StandardTokenResponse<Fields, CoreTokenType>;
type Token = IdToken<OtherClaims, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type ExchangeError = RequestTokenError<RequestError, StandardErrorResponse<CoreErrorResponseType>>;
type OidcClient = Client<
    OtherClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Answer,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// See the module's documentation.
pub struct Provider {
    settings: Arc<OidcProvider>,
    http: ProviderClient,
    oidc: OidcClient,
}

/// What a provider gave for a code. Proves nothing yet.
pub struct Tokens {
    answer: Answer,
    id_token: Token,
}

impl Provider {
    /// Ask for a provider's metadata and keys.
    ///
    /// # Errors
    /// `ProviderUnavailable`.
    pub async fn discover(settings: Arc<OidcProvider>) -> Result<Self, Error> {
        let for_client = settings.clone();
        let made = tokio::task::spawn_blocking(move || ProviderClient::new(&for_client)).await;
        let http = made.map_err(|_| Error::Internal)?;
        let http = http.map_err(|reason| unavailable(&settings, "its CA file cannot be used", &reason))?;
        let issuer = IssuerUrl::new(settings.issuer.clone());
        let issuer = issuer.map_err(|error| unavailable(&settings, "its issuer is no URL", &chain(&error)))?;
        let found = timeout(REQUEST_LIMIT, CoreProviderMetadata::discover_async(issuer, &http)).await;
        let found = found.map_err(|_| unavailable(&settings, "it takes too long", "no metadata in time"))?;
        let metadata = found.map_err(|error| {
            let public = match &error {
                DiscoveryError::Request(_) => "it cannot be reached",
                DiscoveryError::Validation(_) => "its issuer is not the one of the settings",
                _ => "its metadata cannot be understood",
            };
            unavailable(&settings, public, &chain(&error))
        })?;
        let oidc = oidc_client(&settings, metadata);
        Ok(Self { settings, http, oidc })
    }

    pub fn settings(&self) -> &OidcProvider {
        &self.settings
    }

    /// Where to send a browser so that it comes back with `state`.
    ///
    /// # Errors
    /// `BadRequest`: the address that it would come back to is no URL.
    pub fn sign_in_url(&self, flow: &Flow, state: &str) -> Result<String, Error> {
        let redirect = redirect_url(flow)?;
        let verifier = PkceCodeVerifier::new(flow.verifier.clone());
        let (state, nonce) = (CsrfToken::new(state.to_owned()), Nonce::new(flow.nonce.clone()));
        let code_flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let request = self.oidc.authorize_url(code_flow, move || state, move || nonce);
        let request = request
            .add_scopes(self.settings.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .set_redirect_uri(std::borrow::Cow::Owned(redirect));
        Ok(request.url().0.into())
    }

    /// Exchange a code for tokens.
    ///
    /// # Errors
    /// `SignInFailed`: the provider refuses the code; `ProviderUnavailable`.
    pub async fn exchange(&self, code: String, flow: &Flow) -> Result<Tokens, Error> {
        let request = self.oidc.exchange_code(AuthorizationCode::new(code));
        let request = request.map_err(|error| self.unavailable("it has no token endpoint", &chain(&error)))?;
        let request = request
            .set_pkce_verifier(PkceCodeVerifier::new(flow.verifier.clone()))
            .set_redirect_uri(std::borrow::Cow::Owned(redirect_url(flow)?));
        let answer = request.request_async(&self.http).await.map_err(|error| self.explain_exchange(&error))?;
        let id_token = answer.id_token().cloned();
        let id_token = id_token.ok_or_else(|| self.unavailable("it sent no ID token", "scope `openid` is ignored"))?;
        Ok(Tokens { answer, id_token })
    }

    fn explain_exchange(&self, error: &ExchangeError) -> Error {
        match error {
            RequestTokenError::ServerResponse(refusal) => match refusal.error() {
                CoreErrorResponseType::InvalidClient | CoreErrorResponseType::UnauthorizedClient => {
                    self.unavailable("it does not accept this server's client id or secret", &shown(refusal))
                }
                _ => Error::SignInFailed(format!("the provider refuses its code: {}", shown(refusal))),
            },
            RequestTokenError::Request(error) => self.unavailable("it cannot be reached", &error.to_string()),
            // Only where it went wrong: the answer itself may hold tokens.
            RequestTokenError::Parse(error, _) => {
                self.unavailable("its answer cannot be understood", &format!("at `{}`", error.path()))
            }
            RequestTokenError::Other(reason) => self.unavailable("its answer cannot be understood", &shown(reason)),
        }
    }

    /// Whether the token is signed with a key that was not known when the keys were asked for.
    pub fn has_newer_key(&self, tokens: &Tokens) -> bool {
        let by_secret = tokens.id_token.signing_alg().is_ok_and(JwsSigningAlgorithm::uses_shared_secret);
        let verifier = self.oidc.id_token_verifier();
        let key = tokens.id_token.signing_key(&verifier);
        !by_secret && matches!(key, Err(SignatureVerificationError::NoMatchingKey))
    }

    /// Verify the ID token of this flow, and find out who it is.
    ///
    /// # Errors
    /// `SignInFailed`: the token proves nothing; `ProviderUnavailable`.
    pub async fn prove(&self, tokens: &Tokens, flow: &Flow) -> Result<ProvenIdentity, Error> {
        let verifier = self.oidc.id_token_verifier();
        let verified = tokens.id_token.claims(&verifier, &Nonce::new(flow.nonce.clone()));
        let token_claims = verified.map_err(|error| self.explain_refusal(&error))?;
        // Left to its users by the library.
        if token_claims.authorized_party().is_some_and(|party| **party != self.settings.client_id) {
            return Err(Error::SignInFailed("its token was made for another application".into()));
        }
        let subject = token_claims.subject();
        let mut known = as_claims(token_claims);
        if claims::lacks(&known, &self.settings) {
            claims::supplement(&mut known, self.user_info(tokens, subject.clone()).await?);
        }
        let proven = claims::identity(&self.settings, subject, &known);
        proven.map_err(|reason| Error::SignInFailed(reason.into()))
    }

    async fn user_info(&self, tokens: &Tokens, subject: openidconnect::SubjectIdentifier) -> Result<Claims, Error> {
        let access_token = tokens.answer.access_token().clone();
        // A provider without this endpoint has told everything in its token.
        let Ok(request) = self.oidc.user_info(access_token, Some(subject)) else { return Ok(Claims::new()) };
        let answer: Result<UserInfoClaims<OtherClaims, CoreGenderClaim>, _> = request.request_async(&self.http).await;
        let answer = answer.map_err(|error| match &error {
            UserInfoError::ClaimsVerification(error) => self.explain_refusal(error),
            UserInfoError::Request(_) => self.unavailable("it cannot be reached", &chain(&error)),
            _ => self.unavailable("what it says of this person cannot be understood", &error.to_string()),
        })?;
        Ok(as_claims(&answer))
    }

    fn explain_refusal(&self, error: &ClaimsVerificationError) -> Error {
        let reason = match error {
            ClaimsVerificationError::Expired(_) => {
                "its token has expired already; the provider's clock or this server's may be wrong"
            }
            ClaimsVerificationError::InvalidNonce(_) => "its token was made for another sign-in (wrong nonce)",
            ClaimsVerificationError::InvalidAudience(_) => "its token was made for another application",
            ClaimsVerificationError::InvalidIssuer(_) => "its token was made by another provider",
            ClaimsVerificationError::InvalidSubject(_) => "the provider tells of another person than its token",
            ClaimsVerificationError::SignatureVerification(_) => "the signature of its token cannot be verified",
            _ => "its token cannot be taken",
        };
        tracing::warn!(provider = self.settings.name, error = shown(chain(error)), "an ID token is refused");
        Error::SignInFailed(reason.into())
    }

    fn unavailable(&self, public: &str, details: &str) -> Error {
        unavailable(&self.settings, public, details)
    }
}

/// What the person is told, while the log has the details.
fn unavailable(settings: &OidcProvider, public: &str, details: &str) -> Error {
    tracing::warn!(provider = settings.name, details, "a sign-in provider does not answer as it should: {public}");
    Error::ProviderUnavailable { provider: settings.name.clone(), reason: public.to_owned() }
}

fn redirect_url(flow: &Flow) -> Result<RedirectUrl, Error> {
    let parsed = RedirectUrl::new(flow.redirect_uri.clone());
    parsed.map_err(|_| Error::BadRequest("the Host header is no host and port".into()))
}

fn oidc_client(settings: &OidcProvider, metadata: CoreProviderMetadata) -> OidcClient {
    // Without a list the standard's default is meant, HTTP Basic.
    let only_body = metadata.token_endpoint_auth_methods_supported().is_some_and(|methods| {
        methods.contains(&CoreClientAuthMethod::ClientSecretPost)
            && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
    });
    let secret = settings.client_secret.as_ref().map(|secret| ClientSecret::new(secret.0.clone()));
    let client = OidcClient::from_provider_metadata(metadata, ClientId::new(settings.client_id.clone()), secret);
    client.set_auth_type(if only_body { AuthType::RequestBody } else { AuthType::BasicAuth })
}

/// All claims by their names, the standard's and others alike.
fn as_claims(verified: &impl Serialize) -> Claims {
    match serde_json::to_value(verified) {
        Ok(Value::Object(claims)) => claims,
        // Claims were an object when they came.
        _ => Claims::new(),
    }
}
