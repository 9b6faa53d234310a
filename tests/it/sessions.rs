//! Signing in with a password: cookies, how sessions end, pages of other sites, and people who guess.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::browser::cookie_of;
use crate::common::{Browser, Server, wait_until};
use crate::storage::Lock;

/// Within this time a server has noticed what an administration command changed: 2 s, and some for a busy machine.
const NOTICED: Duration = Duration::from_secs(4);
const WRONG: &str = "wrong horse";

type Headers<'a> = &'a [(&'a str, &'a str)];

/// A server that believes X-Forwarded-For, so that a test can come from anywhere.
fn behind_a_proxy() -> Server {
    Server::setup().args(["--trusted-proxies", "127.0.0.1/32"]).start()
}

fn from(address: &str) -> [(&'static str, &str); 1] {
    [("x-forwarded-for", address)]
}

fn admin(server: &Server) -> Browser {
    Browser::sign_in(server, "admin", &server.password)
}

fn assert_signed_out(browser: &Browser) {
    browser.send("GET", "/api/me", &[], "").assert_problem(401, "unauthenticated");
}

#[test]
fn sign_in_work_and_sign_out() {
    let server = Server::start();
    let answer = Browser::new(server.port).try_sign_in("admin", &server.password, &[]);
    assert_eq!(answer.status, 201, "{}", answer.text);
    let set = answer.header("set-cookie").expect("a cookie");
    let (pair, attributes) = set.split_once("; ").expect("attributes");
    let (name, id) = pair.split_once('=').expect("a value");
    assert_eq!((name, attributes), ("dockway_session", "HttpOnly; SameSite=Lax; Path=/; Max-Age=604800"));
    assert!(id.len() >= 43 && !answer.text.contains(id), "256 bits, and in the cookie alone");

    let browser = Browser::new(server.port).with_cookie(pair);
    let (status, me) = browser.get("/api/me");
    assert_eq!(status, 200, "{me}");
    assert_eq!((&me["username"], &me["role"], &me["by"]), (&json!("admin"), &json!("admin"), &json!("session")));
    let body = json!({ "client_id": "pc1" });
    assert_eq!(browser.post("/api/agents", &body).0, 201);
    assert_eq!(browser.patch("/api/agents/pc1", &json!({ "shared": true })).0, 200);
    assert_eq!(browser.delete("/api/agents/pc1").0, 204);

    let other = admin(&server);
    assert_eq!(browser.delete("/api/session").0, 204);
    assert_signed_out(&browser);
    assert_eq!(other.get("/api/me").0, 200, "another browser stays signed in");
    assert_eq!(browser.delete("/api/session").0, 401);
}

#[test]
fn cookie_over_https() {
    let server =
        Server::setup().args(["--public-url", "https://dock.example", "--trusted-proxies", "127.0.0.1/32"]).start();
    let browser = Browser::new(server.port);
    let body = json!({ "username": "admin", "password": server.password }).to_string();
    let headers =
        [("origin", "https://dock.example"), ("content-type", "application/json"), ("x-forwarded-proto", "https")];
    let answer = browser.send("POST", "/api/session", &headers, &body);
    let set = answer.header("set-cookie").expect("a cookie");
    let (pair, attributes) = set.split_once("; ").expect("attributes");
    assert!(pair.starts_with("__Host-dockway_session="), "{set}");
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=604800");

    let secure = browser.with_cookie(pair);
    assert_eq!(secure.get("/api/me").0, 200);
    // A host beside ours can set a cookie without the prefix, so that one is nothing here.
    let plain = pair.replace("__Host-", "");
    assert_signed_out(&browser.with_cookie(&plain));
    let own = [("origin", "https://dock.example"), ("x-dockway-csrf", "1")];
    let ended = secure.send("DELETE", "/api/session", &own, "");
    assert_eq!(ended.status, 204, "{}", ended.text);
    let set = ended.header("set-cookie").expect("the cookie is taken away");
    assert_eq!(set, "__Host-dockway_session=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0");
    assert_signed_out(&secure);
}

#[test]
fn sign_out_everywhere() {
    let server = Server::start();
    let alice = json!({ "username": "alice", "password": "correct horse" });
    assert_eq!(server.api().post("/api/users", &alice).0, 201);
    let (one, two) = (admin(&server), admin(&server));
    let alice = Browser::sign_in(&server, "alice", "correct horse");
    assert_eq!(one.delete("/api/sessions").0, 204);
    assert_signed_out(&one);
    assert_signed_out(&two);
    assert_eq!(alice.get("/api/me").0, 200, "somebody else's session goes on");
    assert_eq!(server.api().get("/api/me").0, 200, "so does a token");
}

#[test]
fn each_sign_in_has_a_new_id() {
    let server = Server::start();
    let first = admin(&server);
    let again = first.try_sign_in("admin", &server.password, &[]);
    assert_eq!(again.status, 201);
    assert_ne!(cookie_of(&again), first.cookie);
    assert_signed_out(&first);
    let chosen = Browser::new(server.port).with_cookie("dockway_session=chosen");
    let answer = chosen.try_sign_in("admin", &server.password, &[]);
    assert!(answer.status == 201 && cookie_of(&answer) != chosen.cookie);
    assert_signed_out(&chosen);
}

#[test]
fn idle_sessions_end() {
    let server = Server::setup().args(["--session-idle", "2s"]).start();
    let (used, unused) = (admin(&server), admin(&server));
    // Used for twice the time that it may be idle.
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        assert_eq!(used.get("/api/me").0, 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_signed_out(&unused);
    // Whoever looks uses it; so the looks are further apart than the idle time.
    std::thread::sleep(Duration::from_millis(2_100));
    assert_signed_out(&used);
}

#[test]
fn sessions_end_even_if_they_are_used() {
    let server = Server::setup().args(["--session-lifetime", "2s"]).start();
    let browser = admin(&server);
    assert_eq!(browser.get("/api/me").0, 200);
    wait_until("the session ends", Duration::from_secs(10), || browser.get("/api/me").0 == 401);
    assert_signed_out(&browser);
}

#[test]
fn restart_of_the_server() {
    let mut server = Server::setup().will_restart().start();
    let browser = admin(&server);
    server.kill9();
    server.restart();
    assert_eq!(browser.get("/api/me").0, 200);
    assert_eq!(browser.delete("/api/session").0, 204);
    server.kill9();
    server.restart();
    assert_signed_out(&browser);
}

#[test]
fn database_is_away() {
    let server = Server::start();
    let browser = admin(&server);
    let lock = Lock::take(&server.data_dir().join("dockway.db"));
    assert_eq!(browser.get("/api/me").0, 200);
    assert_eq!(browser.get("/api/proxy").0, 200);
    assert_eq!(server.api().get("/api/me").0, 200);
    let answer = Browser::new(server.port).try_sign_in("admin", &server.password, &[]);
    answer.assert_problem(503, "unavailable");
    assert_eq!(answer.header("set-cookie"), None);
    let wrong = Browser::new(server.port).try_sign_in("admin", WRONG, &[]);
    wrong.assert_problem(401, "wrong_password");
    lock.release();
    admin(&server);
}

#[test]
fn pages_of_other_sites() {
    let server = Server::start();
    let browser = admin(&server);
    let own = format!("http://127.0.0.1:{}", server.port);
    let json = ("content-type", "application/json");
    let csrf = ("x-dockway-csrf", "1");
    let rows: [(&str, Headers<'_>, u16); 10] = [
        ("no origin", &[json], 403),
        ("no origin, with our header", &[json, csrf], 403),
        ("foreign", &[json, csrf, ("origin", "http://evil.example")], 403),
        ("another port", &[json, csrf, ("origin", "http://127.0.0.1:1")], 403),
        ("hidden", &[json, ("origin", "null")], 403),
        ("same site only", &[json, ("origin", &own), ("sec-fetch-site", "same-site")], 403),
        ("a form's type", &[("content-type", "text/plain"), ("origin", &own)], 403),
        ("a form", &[("content-type", "application/x-www-form-urlencoded"), csrf, ("origin", &own)], 415),
        ("own", &[json, ("origin", &own)], 201),
        ("own by fetch metadata", &[json, ("sec-fetch-site", "same-origin")], 201),
    ];
    for (nth, (what, headers, status)) in rows.iter().enumerate() {
        let body = json!({ "client_id": format!("pc{nth}") }).to_string();
        let answer = browser.send("POST", "/api/agents", headers, &body);
        assert_eq!(answer.status, *status, "{what}: {}", answer.text);
        if *status == 403 {
            answer.assert_problem(403, "cross_site");
        }
    }
    assert_eq!(server.api().items("/api/agents").len(), 2);
    let bare = browser.send("DELETE", "/api/agents/pc8", &[("origin", &own)], "");
    bare.assert_problem(403, "cross_site");
    assert_eq!(browser.send("DELETE", "/api/agents/pc8", &[("origin", &own), csrf], "").status, 204);
    let looked = browser.send("GET", "/api/agents", &[("origin", "http://evil.example")], "");
    assert_eq!(looked.status, 200, "reading changes nothing, and no other site can see the answer");
    assert_eq!(looked.header("access-control-allow-origin"), None);
}

#[test]
fn cookie_and_token_together() {
    let server = Server::start();
    let browser = admin(&server);
    let bearer = format!("Bearer {}", server.token);
    let both = browser.send("GET", "/api/me", &[("authorization", &bearer)], "");
    both.assert_problem(400, "bad_request");
    for cookie in ["dockway_session=", "dockway_session=x", "dockway_session=' OR 1=1 --", "dockway_session=%00"] {
        assert_signed_out(&browser.with_cookie(cookie));
    }
    let id = browser.cookie.as_deref().and_then(|cookie| cookie.split('=').nth(1)).expect("an id").to_owned();
    for cut in [format!("dockway_session={}", &id[1..]), format!("dockway_session={}", &id[..id.len() - 1])] {
        assert_signed_out(&browser.with_cookie(&cut));
    }
    let as_token = server.api().with_token(Some(&id));
    assert_eq!(as_token.get("/api/me").0, 401, "a session's id is no token");
    assert_signed_out(&browser.with_cookie(&format!("dockway_session={}", server.token)));
}

#[test]
fn change_of_password() {
    let server = Server::start();
    let (mine, other) = (admin(&server), admin(&server));
    let change = |current: &str, new: &str| {
        mine.post("/api/me/password", &json!({ "current_password": current, "new_password": new }))
    };
    let (status, answer) = change(&server.password, "short");
    assert_eq!((status, &answer["errors"][0]["field"]), (422, &json!("new_password")), "{answer}");
    let (status, answer) = change(WRONG, "another horse");
    assert_eq!((status, &answer["code"]), (401, &json!("wrong_password")), "{answer}");
    assert_eq!(other.get("/api/me").0, 200, "nothing has changed");
    assert_eq!(change(&server.password, "another horse").0, 204);
    assert_eq!(mine.get("/api/me").0, 200);
    assert_signed_out(&other);
    let old = Browser::new(server.port).try_sign_in("admin", &server.password, &[]);
    old.assert_problem(401, "wrong_password");
    Browser::sign_in(&server, "admin", "another horse");
}

#[test]
fn change_of_password_by_command() {
    let server = Server::start();
    let browser = admin(&server);
    let password = server.admin(["user", "passwd", "admin"]);
    wait_until("the session ends", NOTICED, || browser.get("/api/me").0 == 401);
    assert_signed_out(&browser);
    Browser::sign_in(&server, "admin", &password);
}

/// Nobody has to wait until the server has noticed it by itself.
#[test]
fn password_of_a_command_works_at_once() {
    let server = Server::start();
    let password = server.admin(["user", "passwd", "admin"]);
    Browser::sign_in(&server, "admin", &password);
    let old = Browser::new(server.port).try_sign_in("admin", &server.password, &[]);
    old.assert_problem(401, "wrong_password");
}

#[test]
fn cookie_of_another_server() {
    let (server, other) = (Server::start(), Server::start());
    let cookie = admin(&other).cookie.expect("a cookie");
    assert_signed_out(&Browser::new(server.port).with_cookie(&cookie));
    let mut cut = cookie.clone();
    cut.pop();
    for odd in [cut.as_str(), "dockway_session=", "dockway_session=\u{e9}", "__Host-dockway_session=x"] {
        assert_signed_out(&Browser::new(other.port).with_cookie(odd));
    }
    assert_eq!(Browser::new(other.port).with_cookie(&cookie).get("/api/me").0, 200);
}

#[test]
fn names_that_are_none_and_bodies_that_are_odd() {
    let server = behind_a_proxy();
    let names = ["nobody", "Admin", "admin ", "' OR 1=1 --", "<b>admin</b>", "日本", &"a".repeat(200)];
    let mut answers: Vec<Value> = Vec::new();
    for (nth, name) in names.iter().enumerate() {
        let address = format!("10.1.0.{nth}");
        let answer = Browser::new(server.port).try_sign_in(name, &server.password, &from(&address));
        answer.assert_problem(401, "wrong_password");
        answers.push(answer.json());
    }
    let known = Browser::new(server.port).try_sign_in("admin", WRONG, &from("10.1.0.99"));
    assert!(answers.iter().all(|answer| *answer == known.json()), "one answer for all: {answers:?}");

    let own = format!("http://127.0.0.1:{}", server.port);
    let right = json!({ "username": "admin", "password": server.password }).to_string();
    let deep = format!("{{\"username\":{}", "[".repeat(60_000));
    let rows = [
        ("application/x-www-form-urlencoded", right.as_str(), 415),
        ("application/json", "", 400),
        ("application/json", "[]", 400),
        ("application/json", &deep, 400),
        ("application/json", r#"{"username":"ad\u0000min","password":"x"}"#, 422),
        ("application/json", r#"{"username":["admin"],"password":{}}"#, 422),
    ];
    for (kind, body, status) in rows {
        let headers = [("origin", own.as_str()), ("content-type", kind)];
        let answer = Browser::new(server.port).send("POST", "/api/session", &headers, body);
        assert_eq!(answer.status, status, "{kind}: {}", answer.text);
        assert_eq!(answer.header("set-cookie"), None);
    }
}

#[test]
fn failures_are_delayed() {
    let server = behind_a_proxy();
    let start = Instant::now();
    for _ in 0..3 {
        let answer = Browser::new(server.port).try_sign_in("admin", WRONG, &from("10.0.0.1"));
        answer.assert_problem(401, "wrong_password");
    }
    // 250 ms before the second, 500 ms before the third.
    assert!(start.elapsed() >= Duration::from_millis(750), "{:?}", start.elapsed());
    let right = Browser::new(server.port).try_sign_in("admin", &server.password, &from("10.0.0.1"));
    assert_eq!(right.status, 201, "nobody is locked out");
    assert!(start.elapsed() >= Duration::from_millis(1_750), "{:?}", start.elapsed());
}

#[test]
fn failures_of_one_address_are_limited() {
    let server = behind_a_proxy();
    let browser = Browser::new(server.port);
    for nth in 0..10 {
        let answer = browser.try_sign_in(&format!("name-{nth}"), WRONG, &from("10.0.0.1"));
        answer.assert_problem(401, "wrong_password");
    }
    let refused = browser.try_sign_in("admin", &server.password, &from("10.0.0.1"));
    refused.assert_problem(429, "too_many_attempts");
    let seconds: u64 = refused.header("retry-after").and_then(|text| text.parse().ok()).expect("when to come back");
    assert!((1..=60).contains(&seconds), "{seconds}");
    let elsewhere = browser.try_sign_in("admin", &server.password, &from("10.0.0.2"));
    assert_eq!(elsewhere.status, 201, "{}", elsewhere.text);
    let agent = crate::common::Agent::start(&server, "pc1", "binary");
    agent.wait_online();
}

/// Whoever guesses at an account, as fast as they can, delays neither its owner elsewhere nor anybody else.
#[test]
fn crowd_that_guesses() {
    let server = behind_a_proxy();
    let (browser, answered) = (Browser::new(server.port), AtomicUsize::new(0));
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let guess = || {
            let answer = browser.try_sign_in("admin", WRONG, &from("10.0.0.1"));
            answered.fetch_add(1, Ordering::SeqCst);
            answer.status
        };
        let guesses: Vec<_> = (0..40).map(|_| scope.spawn(guess)).collect();
        // All but the ten that an address has at most; of those, some still wait for their turn.
        wait_until("most guesses are refused", NOTICED, || answered.load(Ordering::SeqCst) >= 30);
        let owner = browser.try_sign_in("admin", &server.password, &from("10.0.0.2"));
        assert_eq!(owner.status, 201, "{}", owner.text);
        assert!(answered.load(Ordering::SeqCst) < 40, "the owner waited for the guesses");
        guesses.into_iter().map(|guess| guess.join().expect("an answer")).collect()
    });
    let count = |status| statuses.iter().filter(|answer| **answer == status).count();
    assert_eq!(count(401) + count(429), 40, "{statuses:?}");
    assert!((2..=10).contains(&count(401)), "{statuses:?}");
}
