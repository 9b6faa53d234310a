//! A real OpenID provider as a process, a server that lets it sign people in, and those people.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::api::Answer;
use super::process::{Process, output_of};
use super::visitor::{Visitor, redirect};
use super::{PYTHON, Server, wait_for};

/// What the client is called at every provider.
const CLIENT_ID: &str = "dockway";
/// Where `scripts/test` installs what the provider is made of.
const LIBRARY: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../oidc-provider");
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oidc_provider.mjs");

pub struct OidcProvider {
    process: Process,
    pub issuer: String,
    switches: Vec<String>,
}

impl OidcProvider {
    /// With the switches that `oidc_provider.mjs` describes.
    pub fn start(switches: &[&str]) -> Self {
        let module = Path::new(LIBRARY).join("node_modules/oidc-provider");
        assert!(module.is_dir(), "{} is missing: scripts/test installs it", module.display());
        let mut process = Process::spawn("provider", Command::new("node").arg(PROGRAM).arg(LIBRARY).args(switches));
        let line = wait_for("the provider's issuer", Duration::from_secs(30), || {
            let line = process.line_with("issuer http");
            assert!(line.is_some() || process.is_running(), "the provider ended:\n{}", process.log_text());
            line
        });
        let issuer = line.trim_start_matches("issuer ").to_owned();
        Self { process, issuer, switches: switches.iter().map(|text| (*text).to_owned()).collect() }
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Another process in the same place, with other keys and without memory.
    pub fn restart(&mut self) {
        self.kill();
        let port = self.issuer.rsplit(':').next().expect("a port").to_owned();
        let switches: Vec<_> = self.switches.iter().map(String::as_str).chain(["--port", port.as_str()]).collect();
        *self = Self::start(&switches);
    }

    /// Its table in the settings, with further keys.
    pub fn table(&self, name: &str, keys: &str) -> String {
        format!("[[oidc]]\nname = '{name}'\nissuer = '{}'\nclient_id = '{CLIENT_ID}'\n{keys}\n", self.issuer)
    }
}

/// A server with providers.
pub struct Desk {
    pub server: Server,
    pub base: String,
    _files: TempDir,
}

impl Desk {
    /// With these tables as its settings, and `secret` as the file that they may name `SECRET`.
    pub fn start(tables: &[String], secret: &str) -> Self {
        let files = tempfile::tempdir().expect("a temporary directory");
        let (settings, secret_file) = (files.path().join("dockway.toml"), files.path().join("secret"));
        let text = tables.concat().replace("SECRET", secret_file.to_str().expect("a plain path"));
        std::fs::write(&settings, text).expect("the settings");
        std::fs::write(&secret_file, format!("{secret}\n")).expect("the secret");
        let settings = settings.to_str().expect("a plain path");
        let server = Server::setup().args(["--config", settings, "--log", "debug"]).start();
        Self { base: format!("http://127.0.0.1:{}", server.port), server, _files: files }
    }

    /// With one provider, a public client at it, and further keys for it.
    pub fn with(provider: &OidcProvider, keys: &str) -> Self {
        Self::start(&[provider.table("corp", keys)], "")
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Go to the provider and sign in there as `person`; the URL that the provider leads back to.
    pub fn to_provider_and_back(&self, browser: &mut Visitor, provider: &str, person: &Person) -> String {
        let start = self.url(&format!("/api/oidc/{provider}/start"));
        let answer = browser.get(&start);
        person.answer_at(browser, &redirect(&start, &answer))
    }

    /// A whole sign-in; how the server answers it.
    pub fn sign_in(&self, browser: &mut Visitor, provider: &str, person: &Person) -> Answer {
        let back = self.to_provider_and_back(browser, provider, person);
        browser.get(&back)
    }

    /// Whose session the browser has: whoever enrols an agent owns it.
    pub fn who_is(&self, browser: &mut Visitor) -> String {
        let origin = [("origin", self.base.as_str()), ("content-type", "application/json")];
        let answer = browser.send("POST", &self.url("/api/agents"), &origin, r#"{"client_id":"whose"}"#);
        assert_eq!(answer.status, 201, "{}", answer.text);
        let gone = browser.call("DELETE", &self.url("/api/agents/whose"));
        assert_eq!(gone.status, 204, "{}", gone.text);
        answer.json()["owner"].as_str().expect("a name").to_owned()
    }

    pub fn is_signed_in(&self, browser: &mut Visitor) -> bool {
        browser.get(&self.url("/api/proxy")).status == 200
    }

    /// Rows of the database, each a list of its columns.
    pub fn rows(&self, query: &str) -> Vec<Value> {
        let program = "import json, sqlite3, sys\n\
                       print(json.dumps(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()))";
        let database = self.server.data_dir().join("dockway.db");
        let printed = output_of(Command::new(PYTHON).args(["-c", program]).arg(database).arg(query));
        serde_json::from_slice(&printed).expect("JSON")
    }

    /// How many accounts, links and sessions there are.
    pub fn stored(&self) -> Value {
        self.rows(
            "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM identities), (SELECT count(*) FROM sessions)",
        )
        .remove(0)
    }

    /// The last entry of the audit log: actor, action, object, outcome, detail.
    pub fn last_audit(&self) -> Value {
        self.rows("SELECT actor, action, object, outcome, detail FROM audit_log ORDER BY id DESC LIMIT 1").remove(0)
    }
}

/// Somebody with an account at a provider.
pub struct Person {
    subject: String,
    claims: Value,
}

impl Person {
    pub fn new(subject: &str, claims: Value) -> Self {
        Self { subject: subject.to_owned(), claims }
    }

    /// Whose name at the provider is also the name that they want.
    pub fn called(name: &str) -> Self {
        Self::new(name, json!({ "preferred_username": name }))
    }

    /// Sign in at the provider; the URL that it leads back to.
    pub fn answer_at(&self, browser: &mut Visitor, url: &str) -> String {
        at_provider(browser, url, &[("sub", &self.subject), ("claims", &self.claims.to_string())])
    }
}

/// Say no at the provider; the URL that it leads back to.
pub fn deny_at(browser: &mut Visitor, url: &str) -> String {
    at_provider(browser, url, &[("deny", "1")])
}

fn at_provider(browser: &mut Visitor, url: &str, form: &[(&str, &str)]) -> String {
    let mut url = url.to_owned();
    for _ in 0..10 {
        if url.contains("/api/oidc/") && url.contains("/callback?") && !url.contains("redirect_uri=") {
            return url;
        }
        let answer = if url.contains("/interaction/") { browser.post_form(&url, form) } else { browser.get(&url) };
        url = redirect(&url, &answer);
    }
    panic!("the provider does not lead back, but to {url}");
}

/// It is a problem document of this status and code that says `detail`.
pub fn assert_problem(answer: &Answer, status: u16, code: &str, detail: &str) {
    answer.assert_problem(status, code);
    assert!(answer.json()["detail"].as_str().is_some_and(|text| text.contains(detail)), "{detail}: {}", answer.text);
}
