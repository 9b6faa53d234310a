//! Linking an account to a provider: only when both sides prove it, in one browser and one session.

use serde_json::json;

use crate::common::oidc::{Desk, OidcProvider, Person, assert_problem};
use crate::common::visitor::{Visitor, redirect};

/// Two providers, and a browser in which Alice is signed in with the first.
fn two_providers() -> (OidcProvider, OidcProvider, Desk, Visitor) {
    let (one, two) = (OidcProvider::start(&[]), OidcProvider::start(&[]));
    let desk = Desk::start(&[one.table("corp", ""), two.table("other", "sign_up = false")], "");
    let mut browser = Visitor::new();
    assert_eq!(desk.sign_in(&mut browser, "corp", &Person::called("alice")).status, 303);
    (one, two, desk, browser)
}

/// Begin a linking; where the provider would be.
fn begin(desk: &Desk, browser: &mut Visitor) -> String {
    let answer = browser.call("POST", &desk.url("/api/oidc/other/start?next=/profile"));
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["url"].as_str().expect("a URL").to_owned()
}

#[test]
fn a_linked_provider_signs_in_to_the_same_account() {
    let (_one, _two, desk, mut browser) = two_providers();
    let elsewhere = Person::called("alice-elsewhere");
    assert_problem(&desk.sign_in(&mut Visitor::new(), "other", &elsewhere), 403, "no_account", "other");

    let url = begin(&desk, &mut browser);
    assert_eq!(desk.last_audit(), json!(["alice", "identity.link", "other", "ok", "begun"]));
    let back = elsewhere.answer_at(&mut browser, &url);
    let answer = browser.get(&back);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/profile")), "{}", answer.text);
    assert_eq!(desk.last_audit(), json!(["alice", "identity.link", "other", "ok", null]));
    assert_eq!(desk.stored(), json!([2, 2, 1]), "no account, no session");
    let mut other = Visitor::new();
    assert_eq!(desk.sign_in(&mut other, "other", &elsewhere).status, 303);
    assert_eq!(desk.who_is(&mut other), "alice");

    // Linking the same again changes nothing; somebody else's is not given away.
    let url = begin(&desk, &mut browser);
    let back = elsewhere.answer_at(&mut browser, &url);
    assert_eq!(browser.get(&back).status, 303);
    let mut bob = Visitor::new();
    assert_eq!(desk.sign_in(&mut bob, "corp", &Person::called("bob")).status, 303);
    let url = begin(&desk, &mut bob);
    let back = elsewhere.answer_at(&mut bob, &url);
    assert_problem(&bob.get(&back), 409, "already_linked", "other");
    assert_eq!(desk.last_audit(), json!(["bob", "identity.link", "other", "failed", "already_linked"]));
    assert_eq!(desk.rows("SELECT count(*) FROM identities"), [json!([3])]);
}

#[test]
fn a_linking_needs_the_session_that_began_it() {
    let (_one, _two, desk, mut browser) = two_providers();
    let mallory = Person::called("mallory");
    // Mallory begins a linking and lets Alice's browser, tricked or not, come back with its answer.
    let mut attacker = Visitor::new();
    assert_eq!(desk.sign_in(&mut attacker, "corp", &Person::called("eve")).status, 303);
    let before = desk.rows("SELECT provider, subject FROM identities");
    let refuse = |browser: &mut Visitor, back: &str, detail: &str| {
        assert_problem(&browser.get(back), 400, "sign_in_failed", detail);
        assert_eq!(desk.rows("SELECT provider, subject FROM identities"), before);
    };
    let url = begin(&desk, &mut attacker);
    let back = mallory.answer_at(&mut attacker, &url);
    refuse(&mut browser, &back, "another browser");

    // Even with the attacker's cookie for it, the session is Alice's and not the one that began it.
    let url = begin(&desk, &mut attacker);
    let back = mallory.answer_at(&mut attacker, &url);
    let planted = attacker.cookie(&desk.base, "dockway_oidc").expect("the flow's cookie").to_owned();
    browser.set_cookie(&desk.base, "dockway_oidc", &planted);
    refuse(&mut browser, &back, "not signed in here any more");

    // Signed out meanwhile, or signed in as somebody else.
    let url = begin(&desk, &mut browser);
    let back = Person::called("alice-elsewhere").answer_at(&mut browser, &url);
    browser.set_cookie(&desk.base, "dockway_session", "gone");
    refuse(&mut browser, &back, "not signed in here any more");
    assert_eq!(desk.last_audit(), json!(["-", "identity.link", "other", "failed", "sign_in_failed"]));
}

#[test]
fn who_may_begin_a_linking() {
    let (_one, _two, desk, mut browser) = two_providers();
    let start = desk.url("/api/oidc/other/start");
    assert_problem(&Visitor::new().call("POST", &start), 401, "unauthenticated", "sign in");
    let token = desk.server.api();
    assert_eq!(token.post("/api/oidc/other/start", &json!({})).0, 403);
    let foreign = [("origin", "https://evil.test"), ("x-dockway-csrf", "1")];
    assert_problem(&browser.send("POST", &start, &foreign, ""), 403, "cross_site", "another site");
    assert_problem(&browser.send("POST", &start, &[("origin", &desk.base)], ""), 403, "cross_site", "X-Dockway-Csrf");
    let nobody = browser.call("POST", &desk.url("/api/oidc/nobody/start"));
    assert_problem(&nobody, 404, "provider_unknown", "nobody");
    let bad = browser.call("POST", &desk.url("/api/oidc/other/start?next=//evil.test"));
    assert_problem(&bad, 422, "invalid", "next");
    assert_eq!(browser.cookie(&desk.base, "dockway_oidc"), None);
}

#[test]
fn unlinking_leaves_a_way_in() {
    let (_one, _two, desk, mut browser) = two_providers();
    let link = |name: &str| desk.url(&format!("/api/oidc/{name}/link"));
    assert_problem(&browser.call("DELETE", &link("corp")), 409, "only_sign_in", "password");
    assert_eq!(desk.last_audit(), json!(["alice", "identity.unlink", "corp", "failed", "only_sign_in"]));
    let url = begin(&desk, &mut browser);
    let back = Person::called("alice-elsewhere").answer_at(&mut browser, &url);
    assert_eq!(redirect(&back, &browser.get(&back)), desk.url("/profile"));

    assert_eq!(browser.call("DELETE", &link("corp")).status, 204);
    assert_eq!(desk.last_audit(), json!(["alice", "identity.unlink", "corp", "ok", null]));
    assert!(desk.is_signed_in(&mut browser), "the session stays");
    assert_eq!(desk.rows("SELECT provider FROM identities"), [json!(["other"])]);
    assert_problem(&browser.call("DELETE", &link("other")), 409, "only_sign_in", "password");
    // The name is not enough: whom the provider calls alice is somebody else now.
    let mut again = Visitor::new();
    assert_eq!(desk.sign_in(&mut again, "corp", &Person::called("alice")).status, 303);
    assert_eq!(desk.who_is(&mut again), "alice-2");

    let (password, headers) =
        (desk.url("/api/me/password"), [("origin", &*desk.base), ("content-type", "application/json")]);
    let set = browser.send("POST", &password, &headers, &json!({ "new_password": "correct horse" }).to_string());
    assert_eq!(set.status, 204, "{}", set.text);
    assert_eq!(browser.call("DELETE", &link("other")).status, 204);
    assert_problem(&browser.call("DELETE", &link("nowhere")), 404, "not_linked", "nowhere");
}
