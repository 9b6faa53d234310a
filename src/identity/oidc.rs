//! OidcFlows: sign-ins with OpenID providers that have begun, and what is known of the providers.
//!
//! Started by [Server](crate::server), which builds another if it panics (sign-ins that have begun must then begin
//! again); ends with the server. A provider's metadata and keys are asked for when somebody first needs them, by one
//! request for all who wait, and kept for an hour. What waits for a provider waits beside the mailbox, for 10 s a
//! request.
//!
//! Pure: [`claims`], [`flows`], [`next`].

pub mod claims;
mod client;
pub mod flows;
pub mod next;
mod provider;

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use futures_util::FutureExt;
use futures_util::future::{LocalBoxFuture, Shared};

use self::flows::Flows;
pub use self::flows::{Flow, Linking};
use self::provider::Provider;
use super::directory::ProvenIdentity;
use super::secrets::{NO_PREFIX, new_token};
use crate::config::OidcProvider;
use crate::error::Error;
use crate::supervision::ChildGuard;

/// How long a provider's metadata and keys are believed to be the same.
const METADATA_LIFE: Duration = Duration::from_secs(3600);
/// The most characters of a provider's own words that an answer or the log repeats.
const SHOWN_LIMIT: usize = 200;
/// The most characters of a provider's name that an answer repeats.
const NAME_LIMIT: usize = 32;

/// A provider that people may choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub name: String,
    pub label: String,
}

/// Which providers are there?
#[derive(Message)]
#[rtype(result = "Vec<Choice>")]
pub struct ListProviders;

/// Begin a sign-in.
#[derive(Message)]
#[rtype(result = "Result<Begun, Error>")]
pub struct Begin {
    pub provider: String,
    pub redirect_uri: String,
    /// Checked by [`next::checked`].
    pub next: String,
    pub link: Option<Linking>,
    pub source: Option<IpAddr>,
}

/// A sign-in that has begun.
pub struct Begun {
    /// Where the browser goes now.
    pub url: String,
    /// For a cookie of the browser: 256 random bits that are stored nowhere.
    pub browser: String,
}

/// A browser came back: which sign-in is it? It is forgotten with this.
#[derive(Message)]
#[rtype(result = "Result<Flow, Error>")]
pub struct Take {
    pub provider: String,
    pub state: String,
    /// What its cookie holds.
    pub browser: Option<String>,
}

/// Have the provider prove who it was that signed in.
#[derive(Message)]
#[rtype(result = "Result<Proven, Error>")]
pub struct Prove {
    pub flow: Flow,
    pub code: String,
    /// Whose answer it says to be, if it says so (RFC 9207).
    pub issuer: Option<String>,
}

/// Somebody whom a provider knows.
pub struct Proven {
    pub identity: ProvenIdentity,
    /// Whether somebody without an account gets one.
    pub sign_up: bool,
}

/// A provider that is asked for its metadata, or has answered.
type Discovery = Shared<LocalBoxFuture<'static, Result<Rc<Provider>, Error>>>;

/// See the module's documentation.
pub struct OidcFlows {
    providers: Vec<Arc<OidcProvider>>,
    /// By the provider's name, with the time of asking.
    known: HashMap<String, (Discovery, Instant)>,
    flows: Flows,
    _guard: ChildGuard<&'static str>,
}

impl OidcFlows {
    pub fn new(providers: Vec<OidcProvider>, guard: ChildGuard<&'static str>) -> Self {
        let providers = providers.into_iter().map(Arc::new).collect();
        Self { providers, known: HashMap::new(), flows: Flows::default(), _guard: guard }
    }

    fn settings(&self, name: &str) -> Result<Arc<OidcProvider>, Error> {
        let found = self.providers.iter().find(|provider| provider.name == name).cloned();
        found.ok_or_else(|| Error::ProviderUnknown(name.chars().take(NAME_LIMIT).collect()))
    }

    /// What is known of a provider, else what it answers when asked now.
    fn discovery(&mut self, name: &str, now: Instant) -> Result<Discovery, Error> {
        let settings = self.settings(name)?;
        if let Some((known, since)) = self.known.get(name) {
            let failed = matches!(known.peek(), Some(Err(_)));
            if !failed && now.saturating_duration_since(*since) < METADATA_LIFE {
                return Ok(known.clone());
            }
        }
        let asked = async move { Provider::discover(settings).await.map(Rc::new) }.boxed_local().shared();
        self.known.insert(name.to_owned(), (asked.clone(), now));
        Ok(asked)
    }

    /// What a provider answers now, unless somebody has asked it since `stale` was known.
    fn discovery_after(&mut self, stale: &Rc<Provider>, now: Instant) -> Result<Discovery, Error> {
        let name = stale.settings().name.clone();
        let known = self.known.get(&name).and_then(|(known, _)| known.peek());
        if matches!(known, Some(Ok(known)) if Rc::ptr_eq(known, stale)) {
            self.known.remove(&name);
        }
        self.discovery(&name, now)
    }

    fn begin(&mut self, provider: &Provider, begin: Begin, now: Instant) -> Result<Begun, Error> {
        let (state, browser) = (new_token(NO_PREFIX), new_token(NO_PREFIX));
        let flow = Flow {
            provider: begin.provider,
            redirect_uri: begin.redirect_uri,
            nonce: new_token(NO_PREFIX),
            verifier: new_token(NO_PREFIX),
            next: begin.next,
            link: begin.link,
        };
        let url = provider.sign_in_url(&flow, &state)?;
        self.flows.begin(&state, &browser, begin.source, flow, now);
        Ok(Begun { url, browser })
    }
}

/// The beginning of what somebody else wrote, without what would break a line or a terminal.
pub fn shown(text: impl ToString) -> String {
    let text = text.to_string();
    text.chars().take(SHOWN_LIMIT).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

impl Actor for OidcFlows {
    type Context = Context<Self>;
}

impl Handler<ListProviders> for OidcFlows {
    type Result = MessageResult<ListProviders>;

    fn handle(&mut self, _: ListProviders, _: &mut Self::Context) -> Self::Result {
        let choice =
            |provider: &Arc<OidcProvider>| Choice { name: provider.name.clone(), label: provider.label.clone() };
        MessageResult(self.providers.iter().map(choice).collect())
    }
}

impl Handler<Begin> for OidcFlows {
    type Result = ResponseActFuture<Self, Result<Begun, Error>>;

    fn handle(&mut self, begin: Begin, _: &mut Self::Context) -> Self::Result {
        let discovery = self.discovery(&begin.provider, Instant::now());
        let discovered = async move { discovery?.await }.into_actor(self);
        Box::pin(discovered.map(|provider, flows, _| flows.begin(&*provider?, begin, Instant::now())))
    }
}

impl Handler<Take> for OidcFlows {
    type Result = Result<Flow, Error>;

    fn handle(&mut self, take: Take, _: &mut Self::Context) -> Self::Result {
        self.settings(&take.provider)?;
        let taken = self.flows.take(&take.provider, &take.state, take.browser.as_deref(), Instant::now());
        taken.map_err(|refused| Error::SignInFailed(refused.to_string()))
    }
}

impl Handler<Prove> for OidcFlows {
    type Result = ResponseActFuture<Self, Result<Proven, Error>>;

    fn handle(&mut self, Prove { flow, code, issuer }: Prove, _: &mut Self::Context) -> Self::Result {
        let discovery = self.discovery(&flow.provider, Instant::now());
        let exchanged = async move {
            let provider = discovery?.await?;
            if issuer.is_some_and(|issuer| issuer != provider.settings().issuer) {
                return Err(Error::SignInFailed("the answer comes from another provider".into()));
            }
            let tokens = provider.exchange(code, &flow).await?;
            Ok((provider, tokens, flow))
        };
        Box::pin(exchanged.into_actor(self).then(|exchanged: Result<_, Error>, flows, _| {
            let newer = match &exchanged {
                Ok((provider, tokens, _)) if provider.has_newer_key(tokens) => {
                    Some(flows.discovery_after(provider, Instant::now()))
                }
                _ => None,
            };
            let proved = async move {
                let (known, tokens, flow) = exchanged?;
                let provider = match newer {
                    Some(discovery) => discovery?.await?,
                    None => known,
                };
                let identity = provider.prove(&tokens, &flow).await?;
                Ok(Proven { identity, sign_up: provider.settings().sign_up })
            };
            proved.into_actor(flows)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings of a provider that nobody asks anything.
    pub fn provider(name: &str) -> OidcProvider {
        OidcProvider {
            name: name.into(),
            label: name.to_uppercase(),
            issuer: "http://127.0.0.1:1".into(),
            client_id: "dockway".into(),
            client_secret: None,
            scopes: vec!["profile".into(), "email".into()],
            username_claim: "preferred_username".into(),
            groups_claim: None,
            admin_group: None,
            sign_up: true,
            ca_file: None,
        }
    }

    #[test]
    fn words_of_others_are_bounded_and_plain() {
        assert_eq!(shown("a\r\n\u{1b}[31mb"), "a\u{fffd}\u{fffd}\u{fffd}[31mb");
        assert_eq!(shown("é".repeat(1000)).chars().count(), SHOWN_LIMIT);
    }

    #[actix::test]
    async fn unknown_providers_and_answers() {
        let flows = OidcFlows::new(vec![provider("one"), provider("two")], ChildGuard::detached()).start();
        let choices = flows.send(ListProviders).await.unwrap();
        let expected = [("one", "ONE"), ("two", "TWO")];
        assert_eq!(choices, expected.map(|(name, label)| Choice { name: name.into(), label: label.into() }));
        let begin = |provider: String| Begin {
            provider,
            redirect_uri: "http://127.0.0.1/".into(),
            next: "/".into(),
            link: None,
            source: None,
        };
        let unknown = flows.send(begin("x".repeat(1000))).await.unwrap().err().unwrap();
        assert_eq!(unknown.to_string(), Error::ProviderUnknown("x".repeat(NAME_LIMIT)).to_string());
        let away = flows.send(begin("one".into())).await.unwrap().err().unwrap();
        assert_eq!(away.code(), "provider_unavailable");
        let take = Take { provider: "one".into(), state: "x".into(), browser: None };
        assert_eq!(flows.send(take).await.unwrap().err().unwrap().code(), "sign_in_failed");
    }
}
