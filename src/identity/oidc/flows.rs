//! The sign-ins that have begun: bounded in number and time, and each good for one answer in one browser. Pure.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::super::attempts::network;
use super::super::secrets::{hash_token, token_matches};

/// A sign-in may take this long, from its start to the provider's answer.
pub const FLOW_LIFE: Duration = Duration::from_secs(600);
/// Sign-ins at one time. When there are more, the address with the most loses its oldest.
const MOST_FLOWS: usize = 1024;

/// A sign-in that has begun, with what its answer is checked against.
pub struct Flow {
    /// Name of the provider in the settings.
    pub provider: String,
    /// Where the provider sends the browser back to.
    pub redirect_uri: String,
    /// What the ID token must repeat.
    pub nonce: String,
    /// What proves to the provider that the code is exchanged by whoever asked for it (RFC 7636).
    pub verifier: String,
    /// Where the person goes afterwards: a path on this host.
    pub next: String,
    /// For somebody who is signed in and wants to sign in with this provider from now on.
    pub link: Option<Linking>,
}

/// Whose account is to be linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Linking {
    pub user_id: String,
    /// Hash of the id of the session that asked for it.
    pub session_hash: String,
}

/// Why no flow answers to what a browser brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("it is not known here, was used already, or took more than 10 minutes; start again")]
    Unknown,
    #[error("it was begun in another browser, or this one does not keep cookies; start again")]
    OtherBrowser,
    #[error("it was begun with another provider; start again")]
    OtherProvider,
}

struct Waiting {
    flow: Flow,
    browser_hash: String,
    source: Option<IpAddr>,
    began: Instant,
}

/// See the module's documentation.
#[derive(Default)]
pub struct Flows {
    /// By the hash of `state`.
    waiting: HashMap<String, Waiting>,
}

impl Flows {
    /// Remember a flow until the browser that holds `browser` comes back with `state`.
    pub fn begin(&mut self, state: &str, browser: &str, source: Option<IpAddr>, flow: Flow, now: Instant) {
        if self.waiting.len() >= MOST_FLOWS {
            self.make_room(now);
        }
        let source = source.map(network);
        let waiting = Waiting { flow, browser_hash: hash_token(browser), source, began: now };
        self.waiting.insert(hash_token(state), waiting);
    }

    /// The flow of this answer. Whatever the outcome, it is gone afterwards: nobody gets a second try.
    ///
    /// # Errors
    /// There is none, or it belongs to another browser or provider.
    pub fn take(&mut self, provider: &str, state: &str, browser: Option<&str>, now: Instant) -> Result<Flow, Refused> {
        let waiting = self.waiting.remove(&hash_token(state)).filter(|waiting| waiting.is_alive(now));
        let waiting = waiting.ok_or(Refused::Unknown)?;
        if !browser.is_some_and(|browser| token_matches(browser, &waiting.browser_hash)) {
            return Err(Refused::OtherBrowser);
        }
        if waiting.flow.provider != provider {
            return Err(Refused::OtherProvider);
        }
        Ok(waiting.flow)
    }

    fn make_room(&mut self, now: Instant) {
        self.waiting.retain(|_, waiting| waiting.is_alive(now));
        if self.waiting.len() < MOST_FLOWS {
            return;
        }
        let mut counts: HashMap<Option<IpAddr>, usize> = HashMap::new();
        for waiting in self.waiting.values() {
            *counts.entry(waiting.source).or_default() += 1;
        }
        let busiest = counts.into_iter().max_by_key(|(_, count)| *count).and_then(|(source, _)| source);
        let of_busiest = self.waiting.iter().filter(|(_, waiting)| waiting.source == busiest);
        let oldest = of_busiest.min_by_key(|(_, waiting)| waiting.began).map(|(state, _)| state.clone());
        if let Some(state) = oldest {
            self.waiting.remove(&state);
        }
    }
}

impl Waiting {
    fn is_alive(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) < FLOW_LIFE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(provider: &str, next: &str) -> Flow {
        Flow {
            provider: provider.to_owned(),
            redirect_uri: String::new(),
            nonce: String::new(),
            verifier: String::new(),
            next: next.to_owned(),
            link: None,
        }
    }

    fn one(now: Instant) -> Flows {
        let mut flows = Flows::default();
        flows.begin("state", "browser", None, flow("corp", "/here"), now);
        flows
    }

    #[test]
    fn who_gets_a_flow_back() {
        let start = Instant::now();
        let almost = FLOW_LIFE - Duration::from_millis(1);
        let table = [
            ("corp", "state", Some("browser"), Duration::ZERO, None),
            ("corp", "state", Some("browser"), almost, None),
            ("corp", "state", Some("browser"), FLOW_LIFE, Some(Refused::Unknown)),
            ("corp", "State", Some("browser"), Duration::ZERO, Some(Refused::Unknown)),
            ("corp", "", Some("browser"), Duration::ZERO, Some(Refused::Unknown)),
            ("corp", "state", Some("other"), Duration::ZERO, Some(Refused::OtherBrowser)),
            ("corp", "state", Some(""), Duration::ZERO, Some(Refused::OtherBrowser)),
            ("corp", "state", None, Duration::ZERO, Some(Refused::OtherBrowser)),
            ("else", "state", Some("browser"), Duration::ZERO, Some(Refused::OtherProvider)),
        ];
        for (provider, state, browser, after, refused) in table {
            let taken = one(start).take(provider, state, browser, start + after);
            assert_eq!(taken.err(), refused, "{provider} {state} {browser:?} {after:?}");
        }
    }

    #[test]
    fn nobody_gets_a_second_try() {
        let now = Instant::now();
        let mut flows = one(now);
        assert_eq!(flows.take("corp", "state", Some("browser"), now).unwrap().next, "/here");
        assert_eq!(flows.take("corp", "state", Some("browser"), now).err(), Some(Refused::Unknown));
        for (provider, browser) in [("corp", Some("other")), ("corp", None), ("else", Some("browser"))] {
            let mut flows = one(now);
            assert!(flows.take(provider, "state", browser, now).is_err());
            assert_eq!(flows.take("corp", "state", Some("browser"), now).err(), Some(Refused::Unknown));
        }
    }

    #[test]
    fn their_number_is_bounded_and_nobody_pushes_others_out() {
        let start = Instant::now();
        let mut flows = Flows::default();
        let (flooder, person) = (Some("192.0.2.1".parse().unwrap()), Some("192.0.2.2".parse().unwrap()));
        flows.begin("person", "browser", person, flow("corp", "/"), start);
        for n in 0..MOST_FLOWS + 100 {
            let at = start + Duration::from_millis(u64::try_from(n).unwrap());
            flows.begin(&n.to_string(), "browser", flooder, flow("corp", "/"), at);
        }
        assert_eq!(flows.waiting.len(), MOST_FLOWS);
        let soon = start + Duration::from_secs(5);
        assert!(flows.take("corp", "0", Some("browser"), soon).is_err(), "the flooder's oldest went");
        assert!(flows.take("corp", &(MOST_FLOWS + 99).to_string(), Some("browser"), soon).is_ok());
        assert!(flows.take("corp", "person", Some("browser"), soon).is_ok());
        for n in 0..MOST_FLOWS {
            flows.begin(&n.to_string(), "browser", person, flow("corp", "/"), start + FLOW_LIFE * 2);
        }
        assert_eq!(flows.waiting.len(), MOST_FLOWS, "what is over goes first");
    }
}
