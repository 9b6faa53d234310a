//! Sign-ins that must not succeed: each with a real provider, each with nothing stored.

use std::process::Command;

use serde_json::{Value, json};

use crate::common::api::Answer;
use crate::common::oidc::{Desk, OidcProvider, Person, assert_problem, deny_at};
use crate::common::visitor::{Visitor, parameter, redirect};

/// What a failed sign-in leaves: an account, which is the fixture's, and an entry in the audit log.
fn assert_nothing_came_of_it(desk: &Desk, browser: &mut Visitor, code: &str) {
    assert_eq!(desk.stored(), json!([1, 0, 0]));
    assert!(!desk.is_signed_in(browser));
    assert_eq!(desk.last_audit(), json!(["-", "session.create", "corp", "failed", code]));
}

/// Sign in with a provider that meddles with what it proves.
fn sign_in_with(switches: &[&str], detail: &str) {
    let provider = OidcProvider::start(switches);
    let desk = Desk::with(&provider, "");
    let mut browser = Visitor::new();
    let answer = desk.sign_in(&mut browser, "corp", &Person::called("alice"));
    assert_problem(&answer, 400, "sign_in_failed", detail);
    assert_nothing_came_of_it(&desk, &mut browser, "sign_in_failed");
}

#[test]
fn a_token_with_another_nonce() {
    sign_in_with(&["--rewrite-nonce"], "nonce");
}

#[test]
fn a_token_that_has_expired() {
    sign_in_with(&["--expired-tokens"], "clock");
}

#[test]
fn userinfo_of_another_person() {
    sign_in_with(&["--other-person"], "another person");
}

#[test]
fn answers_that_were_used_or_tampered_with() {
    let provider = OidcProvider::start(&[]);
    let desk = Desk::with(&provider, "");
    let alice = Person::called("alice");
    let refuse = |browser: &mut Visitor, url: &str, detail: &str| {
        let answer = browser.get(url);
        assert_problem(&answer, 400, "sign_in_failed", detail);
        assert_nothing_came_of_it(&desk, browser, "sign_in_failed");
    };

    // Another `state`, and then the right one: the flow is still there, since nobody has named it.
    let mut browser = Visitor::new();
    let back = desk.to_provider_and_back(&mut browser, "corp", &alice);
    let state = parameter(&back, "state").unwrap().to_owned();
    refuse(&mut browser, &back.replace(&state, &state.to_lowercase()), "not known here");
    refuse(&mut browser, &back.replace(&format!("state={state}"), "s=1"), "no `state`");

    // A browser without its cookie, one with another's, and after each the right one: nobody gets a second try.
    refuse(&mut Visitor::new(), &back, "another browser");
    refuse(&mut browser, &back, "used already");
    let back = desk.to_provider_and_back(&mut browser, "corp", &alice);
    let mut other = Visitor::new();
    desk.to_provider_and_back(&mut other, "corp", &alice);
    refuse(&mut other, &back, "another browser");
    refuse(&mut browser, &back, "used already");

    // An answer that claims to be another provider's, and no code.
    let back = desk.to_provider_and_back(&mut browser, "corp", &alice);
    let issuer = parameter(&back, "iss").expect("this provider names itself").to_owned();
    refuse(&mut browser, &back.replace(&issuer, "https%3A%2F%2Fevil.test"), "another provider");
    let back = desk.to_provider_and_back(&mut browser, "corp", &alice);
    refuse(&mut browser, &back.replace("code=", "c="), "no `code`");
    let back = desk.to_provider_and_back(&mut browser, "corp", &alice);
    refuse(&mut browser, &back.replace("code=", "code=x"), "invalid_grant");
}

#[test]
fn a_code_is_good_for_one_sign_in() {
    let provider = OidcProvider::start(&[]);
    let desk = Desk::with(&provider, "");
    let mut victim = Visitor::new();
    let back = desk.to_provider_and_back(&mut victim, "corp", &Person::called("alice"));
    // Somebody who saw the code begins a sign-in of their own and answers it with that code.
    let inject = |code: &str| -> Answer {
        let mut thief = Visitor::new();
        let own = desk.to_provider_and_back(&mut thief, "corp", &Person::called("mallory"));
        let answer = thief.get(&own.replace(parameter(&own, "code").unwrap(), code));
        assert!(!desk.is_signed_in(&mut thief));
        answer
    };
    let code = parameter(&back, "code").unwrap();
    assert_problem(&inject(code), 400, "sign_in_failed", "invalid_grant");
    assert_eq!(desk.stored(), json!([1, 0, 0]));

    let mut person = Visitor::new();
    let back = desk.to_provider_and_back(&mut person, "corp", &Person::called("bob"));
    assert_eq!(person.get(&back).status, 303);
    let stored = desk.stored();
    assert_problem(&person.get(&back), 400, "sign_in_failed", "used already");
    assert_problem(&inject(parameter(&back, "code").unwrap()), 400, "sign_in_failed", "invalid_grant");
    assert_eq!(desk.stored(), stored);
    assert!(desk.is_signed_in(&mut person), "the sign-in itself stays");
}

#[test]
fn a_person_who_says_no() {
    let provider = OidcProvider::start(&[]);
    let desk = Desk::with(&provider, "");
    let mut browser = Visitor::new();
    let start = desk.url("/api/oidc/corp/start");
    let answer = browser.get(&start);
    let back = deny_at(&mut browser, &redirect(&start, &answer));
    assert!(back.contains("error=access_denied"), "{back}");
    assert_problem(&browser.get(&back), 400, "sign_in_failed", "access_denied (this person said no)");
    assert_nothing_came_of_it(&desk, &mut browser, "sign_in_failed");
}

#[test]
fn a_provider_that_is_away_and_comes_back_with_other_keys() {
    let mut provider = OidcProvider::start(&[]);
    let mut desk = Desk::with(&provider, "");
    provider.kill();
    let (alice, mut browser) = (Person::called("alice"), Visitor::new());
    let away = browser.get(&desk.url("/api/oidc/corp/start"));
    assert_problem(&away, 502, "provider_unavailable", "`corp`");
    assert_eq!(away.header("set-cookie"), None);
    provider.restart();
    let back = desk.to_provider_and_back(&mut browser, "corp", &alice);
    provider.kill();
    assert_problem(&browser.get(&back), 502, "provider_unavailable", "cannot be reached");
    assert_nothing_came_of_it(&desk, &mut browser, "provider_unavailable");
    // Its metadata is known already, but the key that it signs with now is not.
    provider.restart();
    assert_eq!(desk.sign_in(&mut Visitor::new(), "corp", &alice).status, 303);
    assert_eq!(desk.stored(), json!([2, 1, 1]));
    assert!(desk.server.process().is_running());
}

#[test]
fn a_provider_that_is_somebody_else() {
    let provider = OidcProvider::start(&[]);
    // The same place by another name: what it says of itself does not fit.
    let table = provider.table("corp", "").replace("127.0.0.1", "localhost");
    let desk = Desk::start(&[table], "");
    let answer = Visitor::new().get(&desk.url("/api/oidc/corp/start"));
    assert_problem(&answer, 502, "provider_unavailable", "issuer");
}

#[test]
fn a_provider_with_its_own_certificate_authority() {
    let files = crate::tls::certificates();
    let both = files.path().join("both.pem");
    let provider = OidcProvider::start(&["--tls", both.to_str().expect("a plain path")]);
    let authority = format!("ca_file = '{}'", files.path().join("ca.pem").display());
    let desk = Desk::start(&[provider.table("strange", ""), provider.table("known", &authority)], "");
    let strange = Visitor::new().get(&desk.url("/api/oidc/strange/start"));
    assert_problem(&strange, 502, "provider_unavailable", "cannot be reached");
    let known = Visitor::new().get(&desk.url("/api/oidc/known/start"));
    assert!(redirect(&desk.base, &known).starts_with(&provider.issuer), "{}", known.text);
}

#[test]
fn settings_that_cannot_be_taken_stop_the_start() {
    let files = tempfile::tempdir().expect("a temporary directory");
    let settings = files.path().join("dockway.toml");
    std::fs::write(&settings, "[[oidc]]\nname = 'corp'\nissuer = 'http://id.test'\nclient_id = 'x'\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockway"));
    crate::common::server::clean_environment(&mut command);
    let output = command.arg("serve").arg("--config").arg(&settings).current_dir(files.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("provider `corp`: issuer: write an https URL"), "{said}");
}

#[test]
fn odd_answers_are_problems() {
    let provider = OidcProvider::start(&[]);
    let desk = Desk::with(&provider, "");
    let long = "x".repeat(3000);
    for (query, code) in [
        ("", "sign_in_failed"),
        ("?state=", "sign_in_failed"),
        ("?state=x&code=%00", "sign_in_failed"),
        (&format!("?state={long}&code={long}"), "sign_in_failed"),
        ("?state=x&error=%1b[31m", "sign_in_failed"),
        ("?state=%ff", "sign_in_failed"),
    ] {
        let mut browser = Visitor::new();
        browser.set_cookie(&desk.base, "dockway_oidc", "x");
        let answer = browser.get(&desk.url(&format!("/api/oidc/corp/callback{query}")));
        let problem: Value = answer.json();
        assert_eq!((answer.status, problem["code"].as_str()), (400, Some(code)), "{query}: {}", answer.text);
        assert!(answer.text.len() < 1000);
    }
}
