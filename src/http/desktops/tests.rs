//! The handlers on desktops that lie in the database, with an engine that is not there.

use actix_web::http::Method;
use serde_json::json;

use crate::http::test_support::{Answer, TestApi, desktops};
use crate::store::audit;

const HOST: (&str, &str) = ("Host", "desk.example.org:8080");

/// Call as a program behind a real host would.
async fn call(api: &TestApi, method: Method, path: &str, token: &str, body: &str) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [HOST, ("Authorization", authorization.as_str()), ("Content-Type", "application/json")];
    api.call_with(method, path, &headers, body).await
}

fn ids(list: &Answer) -> Vec<String> {
    let list = list.json();
    list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

#[actix_web::test]
async fn everybody_sees_the_own_and_administrators_all() {
    let (api, tokens) = desktops().await;
    for (token, expected) in [
        (&tokens.alice, vec!["d-alice"]),
        (&tokens.admin, vec!["d-admin", "d-alice"]),
        (&tokens.admin_without_scope, vec!["d-admin"]),
    ] {
        assert_eq!(ids(&call(&api, Method::GET, "/api/desktops", token, "").await), expected);
    }
    let first = call(&api, Method::GET, "/api/desktops?limit=1", &tokens.admin, "").await;
    assert_eq!((ids(&first), first.json()["next"].as_str()), (vec!["d-admin".into()], Some("d-admin")));
    let bad = call(&api, Method::GET, "/api/desktops?limit=0", &tokens.admin, "").await;
    assert_eq!((bad.status.as_u16(), bad.code().as_str()), (422, "invalid"));
}

#[actix_web::test]
async fn a_desktop_tells_where_it_is() {
    let (api, tokens) = desktops().await;
    let shown = call(&api, Method::GET, "/api/desktops/d-alice", &tokens.alice, "").await.json();
    assert_eq!(shown["url"], "http://desk.example.org:8080/desktop/alice-debian-desktop");
    assert_eq!((&shown["owner"], &shown["status"]), (&json!("alice"), &json!("stopped")));
    assert_eq!((&shown["desktop_type"], shown.get("owner_id")), (&json!("debian-desktop"), None));
    let listed = call(&api, Method::GET, "/api/desktops", &tokens.alice, "").await.json();
    assert_eq!(listed["items"][0], shown);
    let nowhere = api.call(Method::GET, "/api/desktops", &tokens.alice, "").await;
    assert_eq!((nowhere.status.as_u16(), nowhere.code().as_str()), (400, "bad_request"), "no host is named");
}

#[actix_web::test]
async fn the_desktops_of_others_are_not_there() {
    let (api, tokens) = desktops().await;
    let calls = [
        (Method::GET, ""),
        (Method::DELETE, "?home=true"),
        (Method::POST, "/start"),
        (Method::POST, "/stop"),
        (Method::GET, "/logs"),
        (Method::GET, "/thumbnail"),
    ];
    for (method, rest) in calls {
        for token in [&tokens.alice, &tokens.admin_without_scope] {
            let other = if *token == tokens.alice { "d-admin" } else { "d-alice" };
            let there = call(&api, method.clone(), &format!("/api/desktops/{other}{rest}"), token, "").await;
            let none = call(&api, method.clone(), &format!("/api/desktops/none{rest}"), token, "").await;
            assert_eq!((there.status.as_u16(), there.code().as_str()), (404, "desktop_unknown"), "{method} {rest}");
            assert_eq!(there.body.replace(other, "none"), none.body, "{method} {rest}");
        }
        let reader = call(&api, method.clone(), &format!("/api/desktops/d-alice{rest}"), &tokens.reader, "").await;
        let expected = if matches!((&method, rest), (&Method::GET, "" | "/logs")) { None } else { Some(403) };
        assert!(expected.is_none_or(|status| status == reader.status.as_u16()), "{method} {rest}: {}", reader.body);
    }
    assert_eq!(call(&api, Method::GET, "/api/desktops/d-alice", &tokens.alice, "").await.status.as_u16(), 200);
}

#[actix_web::test]
async fn an_administrator_sees_no_picture_of_what_others_do() {
    let (api, tokens) = desktops().await;
    let other = call(&api, Method::GET, "/api/desktops/d-alice/thumbnail", &tokens.admin, "").await;
    assert_eq!((other.status.as_u16(), other.code().as_str()), (403, "owner_only"));
    let own = call(&api, Method::GET, "/api/desktops/d-alice/thumbnail", &tokens.alice, "").await;
    assert_eq!((own.status.as_u16(), own.code().as_str()), (503, "desktop_not_ready"));
    assert_eq!(own.header("retry-after"), "2");
}

#[actix_web::test]
async fn what_is_asked_for_is_verified_before_anything_is_done() {
    let (api, tokens) = desktops().await;
    let table = [
        ("", 400, "bad_request"),
        ("{}", 422, "invalid"),
        (r#"{"desktop_type":"none"}"#, 404, "desktop_type_unknown"),
        (r#"{"desktop_type":"ubuntu-vscode","image":"x:1"}"#, 422, "invalid"),
        (r#"{"desktop_type":"ubuntu-vscode"}"#, 503, "engine_unavailable"),
    ];
    for (body, status, code) in table {
        let answer = call(&api, Method::POST, "/api/desktops", &tokens.alice, body).await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code), "{body}");
        let reader = call(&api, Method::POST, "/api/desktops", &tokens.reader, body).await;
        assert_eq!((reader.status.as_u16(), reader.code().as_str()), (403, "forbidden"), "{body}");
    }
    for value in ["1", "", "True"] {
        let path = format!("/api/desktops/d-alice?home={value}");
        let answer = call(&api, Method::DELETE, &path, &tokens.alice, "").await;
        assert_eq!((answer.status.as_u16(), answer.json()["errors"][0]["field"].as_str()), (422, Some("home")));
    }
    let started = call(&api, Method::POST, "/api/desktops/d-alice/start", &tokens.alice, "{}").await;
    assert_eq!((started.status.as_u16(), started.code().as_str()), (503, "engine_unavailable"));
    assert_eq!(ids(&call(&api, Method::GET, "/api/desktops", &tokens.alice, "").await), ["d-alice"]);
}

#[actix_web::test]
async fn what_was_tried_is_written_down() {
    let (api, tokens) = desktops().await;
    call(&api, Method::POST, "/api/desktops", &tokens.alice, r#"{"desktop_type":"ubuntu-vscode"}"#).await;
    call(&api, Method::POST, "/api/desktops/d-alice/start", &tokens.alice, "").await;
    call(&api, Method::DELETE, "/api/desktops/d-admin", &tokens.alice, "").await;
    call(&api, Method::GET, "/api/desktops/d-alice", &tokens.alice, "").await;
    let query = audit::AuditQuery { limit: 100, ..audit::AuditQuery::default() };
    let rows = api.state.store.run(move |c| audit::find(c, &query)).await.unwrap();
    let mut told: Vec<_> = rows
        .iter()
        .map(|row| (row.action.as_str(), row.object.as_deref().unwrap(), row.outcome.as_str(), row.detail.as_deref()))
        .collect();
    told.reverse();
    let expected = [
        ("desktop.create", "ubuntu-vscode", "failed", Some("engine_unavailable")),
        ("desktop.start", "d-alice", "failed", Some("engine_unavailable")),
        ("desktop.delete", "d-admin", "denied", Some("desktop_unknown")),
    ];
    assert_eq!(told, expected);
}
