//! Sign-in with a real OpenID provider: accounts, their names and roles, and where the browser ends up.

use serde_json::json;

use crate::common::oidc::{Desk, OidcProvider, Person, assert_problem};
use crate::common::visitor::{Visitor, encoded, parameter, redirect};
use crate::common::{SOON, wait_until};

/// The accounts but for the administrator of the fixture: name, role, display name, e-mail.
const ACCOUNTS: &str =
    "SELECT username, role, display_name, email FROM users WHERE username != 'admin' ORDER BY created_at, username";

#[test]
fn a_sign_in_makes_an_account_and_a_session_and_the_next_finds_it() {
    let provider = OidcProvider::start(&["--secret", "hush"]);
    let desk = Desk::start(&[provider.table("corp", "label = 'The Corp'\nclient_secret_file = 'SECRET'")], "hush");
    let (status, list) = desk.server.api().with_token(None).get("/api/oidc");
    assert_eq!((status, list), (200, json!({"items": [{"name": "corp", "label": "The Corp"}], "next": null})));

    let alice = json!({"preferred_username": "Alice", "name": "Alice A.", "email": "alice@example.org"});
    let (alice, mut browser) = (Person::new("sub-1", alice), Visitor::new());
    assert!(!desk.is_signed_in(&mut browser));
    let answer = desk.sign_in(&mut browser, "corp", &alice);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(desk.is_signed_in(&mut browser));
    assert_eq!(browser.cookie(&desk.base, "dockway_oidc"), None, "the flow's cookie is gone");
    assert_eq!(desk.who_is(&mut browser), "alice");
    assert_eq!(desk.rows(ACCOUNTS), [json!(["alice", "user", "Alice A.", "alice@example.org"])]);
    assert_eq!(desk.rows("SELECT provider, subject FROM identities"), [json!(["corp", "sub-1"])]);
    assert_eq!(desk.rows("SELECT method FROM sessions"), [json!(["corp"])]);
    let entry = desk.rows("SELECT actor, object, outcome, detail FROM audit_log WHERE action = 'session.create'");
    assert_eq!(entry, [json!(["alice", "corp", "ok", "account made, role user"])]);

    // Another browser, and a provider that calls her something else by now.
    let mut elsewhere = Visitor::new();
    let renamed = Person::new("sub-1", json!({"preferred_username": "carol"}));
    assert_eq!(desk.sign_in(&mut elsewhere, "corp", &renamed).status, 303);
    assert_eq!(desk.who_is(&mut elsewhere), "alice");
    assert!(desk.is_signed_in(&mut browser));
    // The same browser again: its session is another, and the one before is over.
    let before = browser.cookie(&desk.base, "dockway_session").unwrap().to_owned();
    assert_eq!(desk.sign_in(&mut browser, "corp", &alice).status, 303);
    assert_ne!(browser.cookie(&desk.base, "dockway_session").unwrap(), before);
    assert_eq!(desk.stored(), json!([2, 1, 2]));
    elsewhere.set_cookie(&desk.base, "dockway_session", &before);
    assert!(!desk.is_signed_in(&mut elsewhere));
}

#[test]
fn what_goes_to_the_provider_and_what_stays_here() {
    let provider = OidcProvider::start(&[]);
    let desk = Desk::with(&provider, "scopes = ['groups']");
    let mut browser = Visitor::new();
    let start = desk.url("/api/oidc/corp/start?next=/x");
    let answer = browser.get(&start);
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("dockway_oidc=") && cookie.contains("; HttpOnly; SameSite=Lax; Path=/; Max-Age=600"));
    let url = redirect(&start, &answer);
    assert!(url.starts_with(&format!("{}/", provider.issuer)), "{url}");
    let callback = encoded(&desk.url("/api/oidc/corp/callback"));
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "dockway"),
        ("code_challenge_method", "S256"),
        ("scope", "openid+groups"),
        ("redirect_uri", callback.as_str()),
    ] {
        assert_eq!(parameter(&url, name), Some(value), "{name}");
    }
    for name in ["state", "nonce", "code_challenge"] {
        assert_eq!(parameter(&url, name).map(str::len), Some(43), "{name}: 256 bits");
    }
    let again = redirect(&start, &browser.get(&start));
    for name in ["state", "nonce", "code_challenge"] {
        assert_ne!(parameter(&url, name), parameter(&again, name), "{name}");
    }
    let back = Person::called("alice").answer_at(&mut browser, &again);
    assert_eq!(browser.get(&back).header("location"), Some("/x"));
    // Neither the log nor the audit log repeats what could be used again.
    let audit = desk.rows("SELECT * FROM audit_log").into_iter().map(|row| row.to_string()).collect::<String>();
    let mut desk = desk;
    let log = desk.server.process().log_text();
    let session = browser.cookie(&desk.base, "dockway_session").unwrap();
    for secret in [parameter(&back, "code").unwrap(), parameter(&back, "state").unwrap(), session, "eyJ"] {
        assert!(!log.contains(secret) && !audit.contains(secret), "{secret}");
    }
}

#[test]
fn names_are_made_safe_and_unique_and_nobody_is_taken_over() {
    let provider = OidcProvider::start(&["--claims-in-token"]);
    let desk = Desk::with(&provider, "");
    desk.server.admin(["user", "add", "bob", "--email", "bob@example.org"]);
    let of_bob = json!({"client_id": "bobs", "owner": "bob"});
    wait_until("bob is known", SOON, || desk.server.api().post("/api/agents", &of_bob).0 == 201);
    let injection = "x'; DROP TABLE users;-- <script>alert(1)</script>";
    let people = [
        ("s1", json!({"preferred_username": "bob", "email": "bob@example.org"}), "bob-2"),
        ("s2", json!({"preferred_username": "bob"}), "bob-3"),
        ("s3", json!({"preferred_username": "admin"}), "admin-2"),
        ("s4", json!({"preferred_username": "../../Root"}), "root-2"),
        ("s5", json!({"preferred_username": "Zoë Müller", "name": "Zoë Müller"}), "zo-m-ller"),
        ("s6", json!({"preferred_username": injection, "name": injection}), "x-drop-table-users-script"),
        ("s7", json!({"email": "eve@example.org", "email_verified": false}), "user"),
        ("s8", json!({"email": "eve@example.org", "email_verified": true}), "eve"),
        ("s9", json!({"preferred_username": "\u{0}\r\n"}), "user-2"),
        ("s10", json!({"preferred_username": "api"}), "api-2"),
        ("s11", json!({"preferred_username": "x".repeat(5000)}), &"x".repeat(32)),
    ];
    for (subject, claims, name) in &people {
        let mut browser = Visitor::new();
        let answer = desk.sign_in(&mut browser, "corp", &Person::new(subject, claims.clone()));
        assert_eq!(answer.status, 303, "{claims}: {}", answer.text);
        assert_eq!(desk.who_is(&mut browser), *name, "{claims}");
    }
    let stored = "SELECT display_name, email FROM users WHERE username IN ('x-drop-table-users-script', 'user', \
                  'eve') ORDER BY username";
    assert_eq!(desk.rows(stored), [json!([null, "eve@example.org"]), json!([null, null]), json!([injection, null])]);
    assert_eq!(desk.rows("SELECT count(*) FROM users WHERE role = 'admin'"), [json!([1])]);
    assert_eq!(
        desk.rows("SELECT count(*) FROM identities i JOIN users u ON u.id = i.user_id WHERE username = 'bob'"),
        [json!([0])]
    );
}

#[test]
fn groups_make_administrators_and_take_it_back() {
    for place in ["--claims-in-token", "--port"] {
        // At the userinfo endpoint without the switch; the port stays any.
        let switches: &[&str] = if place == "--port" { &["--port", "0"] } else { &["--claims-in-token"] };
        let provider = OidcProvider::start(switches);
        let keys = "scopes = ['profile', 'groups']\ngroups_claim = 'groups'\nadmin_group = 'staff'";
        let desk = Desk::with(&provider, keys);
        for (groups, role, told) in [
            (json!(["guests"]), "user", json!("account made, role user")),
            (json!(["guests", "staff"]), "admin", json!("role admin")),
            (json!(["staff"]), "admin", json!(null)),
            (json!([]), "user", json!("role user")),
            (json!("staff"), "admin", json!("role admin")),
            (json!(null), "user", json!("role user")),
        ] {
            let claims = json!({"preferred_username": "alice", "groups": groups});
            let answer = desk.sign_in(&mut Visitor::new(), "corp", &Person::new("s", claims));
            assert_eq!(answer.status, 303, "{}", answer.text);
            assert_eq!(desk.rows(ACCOUNTS), [json!(["alice", role, null, null])], "{groups} {place}");
            assert_eq!(desk.last_audit(), json!(["alice", "session.create", "corp", "ok", told]), "{groups} {place}");
        }
    }
}

#[test]
fn without_sign_up_only_those_with_an_account_come_in() {
    let provider = OidcProvider::start(&[]);
    let desk = Desk::with(&provider, "sign_up = false");
    let mut browser = Visitor::new();
    let before = desk.stored();
    let answer = desk.sign_in(&mut browser, "corp", &Person::called("alice"));
    assert_problem(&answer, 403, "no_account", "ask an administrator");
    assert_eq!(desk.stored(), before);
    assert!(!desk.is_signed_in(&mut browser));
    assert_eq!(desk.last_audit(), json!(["-", "session.create", "corp", "denied", "no_account"]));
}

#[test]
fn next_leads_nowhere_but_to_this_host() {
    let provider = OidcProvider::start(&[]);
    let desk = Desk::with(&provider, "");
    let long = format!("/{}", "a".repeat(2048));
    for next in [
        "//evil.test",
        "///evil.test",
        "/\\evil.test",
        "\\\\evil.test",
        "/\t/evil.test",
        "/\r\nSet-Cookie: a=b",
        "https://evil.test",
        "evil.test",
        "javascript:alert(1)",
        "",
        "/\0",
        long.as_str(),
    ] {
        let answer = Visitor::new().get(&desk.url(&format!("/api/oidc/corp/start?next={}", encoded(next))));
        assert_problem(&answer, 422, "invalid", "next");
        assert_eq!(answer.header("set-cookie"), None);
    }
    for (next, location) in [("/a?b=%2F%2Fc&d#e", "/a?b=%2F%2Fc&d#e"), ("/é x", "/%C3%A9%20x")] {
        let mut browser = Visitor::new();
        let start = desk.url(&format!("/api/oidc/corp/start?next={}", encoded(next)));
        let answer = browser.get(&start);
        let back = Person::called("alice").answer_at(&mut browser, &redirect(&start, &answer));
        assert_eq!(browser.get(&back).header("location"), Some(location));
    }
}

#[test]
fn two_providers_at_once_and_three_ways_to_show_the_secret() {
    let (one, two) = (OidcProvider::start(&[]), OidcProvider::start(&["--secret", "hush & more", "--post"]));
    let tables = [one.table("corp", ""), two.table("other", "client_secret_file = 'SECRET'")];
    let desk = Desk::start(&tables, "hush & more");
    let (mut first, mut second) = (Visitor::new(), Visitor::new());
    // Both are on their way at the same time, and both providers call theirs by the same name.
    let at_one = desk.to_provider_and_back(&mut first, "corp", &Person::called("alice"));
    let at_two = desk.to_provider_and_back(&mut second, "other", &Person::called("alice"));
    assert_eq!(second.get(&at_two).status, 303);
    assert_eq!(first.get(&at_one).status, 303);
    assert_eq!(desk.who_is(&mut second), "alice");
    assert_eq!(desk.who_is(&mut first), "alice-2");
    // The answer of one provider at the place of the other.
    let mut browser = Visitor::new();
    let back = desk.to_provider_and_back(&mut browser, "corp", &Person::called("eve"));
    let answer = browser.get(&back.replace("/api/oidc/corp/", "/api/oidc/other/"));
    assert_problem(&answer, 400, "sign_in_failed", "another provider");
    let answer = browser.get(&desk.url("/api/oidc/nobody/start"));
    assert_problem(&answer, 404, "provider_unknown", "nobody");

    let desk = Desk::start(&[two.table("other", "client_secret_file = 'SECRET'")], "wrong");
    let answer = desk.sign_in(&mut Visitor::new(), "other", &Person::called("alice"));
    assert_problem(&answer, 502, "provider_unavailable", "client id or secret");
}
