//! Who may go where, and what others are told.

use super::*;
use crate::upstream::testing::TestUpstream;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

async fn visitor(kind: Kind) -> (Visitor, TestUpstream) {
    let upstream = TestUpstream::saying(HELLO, false).await;
    (House::with(route(kind, Some(&upstream.upstream))).await.api().await, upstream)
}

#[actix_web::test]
async fn the_owner_alone_may() {
    let (visitor, _upstream) = visitor(Kind::Kasm).await;
    let bearer = |token: &str| format!("Bearer {token}");
    let (writer, reader) = (bearer(&visitor.writer), bearer(&visitor.reader));
    let (admin, wrong) = (bearer(&visitor.api.tokens.admin), bearer("dwt_wrong"));
    // The path, the cookie, the Authorization header, and the answer.
    let table = [
        ("/desktop/bob-x/a", visitor.bob.as_str(), "", (200, "")),
        ("/desktop/bob-x/a", "", writer.as_str(), (200, "")),
        ("/desktop/bob-x/a", "", reader.as_str(), (403, "forbidden")),
        ("/desktop/nobody/a", "", reader.as_str(), (403, "forbidden")),
        ("/desktop/bob-x/a", "", wrong.as_str(), (401, "unauthenticated")),
        ("/desktop/bob-x/a", "", "Basic eA==", (401, "unauthenticated")),
        ("/desktop/bob-x/a", "", "", (401, "unauthenticated")),
        ("/desktop/bob-x/a", "dockway_session=wrong", "", (401, "unauthenticated")),
        ("/desktop/bob-x/a", "dockway_session=wrong", writer.as_str(), (401, "unauthenticated")),
        ("/desktop/bob-x/a", visitor.admin.as_str(), "", (403, "owner_only")),
        ("/desktop/bob-x/a", "", admin.as_str(), (403, "owner_only")),
        ("/desktop/nobody/a", visitor.admin.as_str(), "", (404, "not_found")),
        ("/desktop/nobody/a", visitor.bob.as_str(), "", (404, "not_found")),
        ("/desktop", visitor.bob.as_str(), "", (404, "not_found")),
        ("/desktop/", visitor.bob.as_str(), "", (404, "not_found")),
        ("/%64esktop/bob-x/a", visitor.bob.as_str(), "", (404, "not_found")),
        ("/desktop/bob%2dx/a", visitor.bob.as_str(), "", (404, "not_found")),
        ("/desktop/bob-x/%2e%2e/api", visitor.bob.as_str(), "", (400, "bad_request")),
        ("/desktop/bob-x/%0A", visitor.bob.as_str(), "", (200, "")),
    ];
    for (path, cookie, authorization, (status, code)) in table {
        let headers = [("authorization", authorization)];
        let headers = if authorization.is_empty() { &[][..] } else { &headers[..] };
        let answer = visitor.call(Method::GET, path, cookie, headers, "").await;
        assert_eq!(answer.status.as_u16(), status, "{path} {cookie} {authorization} {}", answer.body);
        if status != 200 {
            assert_eq!((answer.code().as_str(), answer.header("content-type")), (code, "application/problem+json"));
        }
    }
}

#[actix_web::test]
async fn somebody_elses_looks_like_nobodys() {
    let upstream = TestUpstream::saying(HELLO, false).await;
    let route = Route { owner_id: "id-of-carol".into(), ..route(Kind::Kasm, Some(&upstream.upstream)) };
    let visitor = House::with(route).await.api().await;
    for headers in [&[][..], &[NAVIGATE][..]] {
        let (theirs, none) =
            (visitor.get("/desktop/bob-x/a", headers).await, visitor.get("/desktop/bob-y/a", headers).await);
        assert_eq!(theirs.status, 404, "{}", theirs.body);
        assert_eq!((theirs.status, theirs.body), (none.status, none.body));
        let names = |answer: &actix_web::http::header::HeaderMap| {
            answer.iter().map(|pair| format!("{pair:?}")).collect::<Vec<_>>()
        };
        assert_eq!(names(&theirs.headers), names(&none.headers));
    }
    assert_eq!(upstream.accepted(), 0);
}

#[actix_web::test]
async fn no_service_worker_rules_over_other_desktops() {
    let (visitor, _upstream) = visitor(Kind::Web).await;
    for (path, script, plain) in [
        ("/desktop/bob-x", 404, 200),
        ("/desktop/bob-x?a=b", 404, 200),
        ("/desktop/bob-x/", 200, 200),
        ("/desktop/bob-x/worker.js", 200, 200),
    ] {
        assert_eq!(visitor.get(path, &[("service-worker", "script")]).await.status, script, "{path}");
        assert_eq!(visitor.get(path, &[]).await.status, plain, "{path}");
    }
}

#[actix_web::test]
async fn people_get_pages() {
    let (visitor, _upstream) = visitor(Kind::Kasm).await;
    for (path, cookie, status, shown) in [
        ("/desktop/bob-y/", visitor.bob.as_str(), 404, "There is no such desktop"),
        ("/desktop/bob-x/", visitor.admin.as_str(), 403, "somebody else"),
        ("/desktop/bob-x/..%2f", visitor.bob.as_str(), 400, "cannot be done"),
    ] {
        let answer = visitor.call(Method::GET, path, cookie, &[NAVIGATE], "").await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, "text/html; charset=utf-8"));
        assert!(answer.body.contains(shown), "{}", answer.body);
        assert_eq!((answer.header("cache-control"), answer.header("x-frame-options")), ("no-store", "DENY"));
    }
}

#[actix_web::test]
async fn who_is_not_signed_in_is_sent_to_the_sign_in() {
    let (visitor, _upstream) = visitor(Kind::Kasm).await;
    for cookie in ["", "dockway_session=wrong"] {
        for path in ["/desktop/bob-x/a%20b?c=d&e", "/desktop/nobody/a%20b?c=d&e"] {
            let answer = visitor.call(Method::GET, path, cookie, &[NAVIGATE], "").await;
            assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (303, "no-store"));
            let next = path.replace('%', "%25").replace('?', "%3F").replace('=', "%3D").replace('&', "%26");
            assert_eq!(answer.header("location"), format!("/?next={next}"));
        }
    }
    let script = visitor.call(Method::GET, "/desktop/bob-x/", "", &[NAVIGATE, ("authorization", "Bearer x")], "").await;
    assert_eq!(script.status, 401);
}

#[actix_web::test]
async fn pages_of_other_sites_change_nothing() {
    let (visitor, upstream) = visitor(Kind::Web).await;
    let own = ("origin", "http://desk.example.org");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let token = format!("Bearer {}", visitor.writer);
    type Row<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], u16);
    let table: &[Row<'_>] = &[
        (Method::POST, &visitor.bob, &[form], 403),
        (Method::POST, &visitor.bob, &[form, ("origin", "http://evil.example")], 403),
        (Method::POST, &visitor.bob, &[form, own, ("sec-fetch-site", "cross-site")], 403),
        (Method::POST, &visitor.bob, &[form, own], 200),
        (Method::POST, &visitor.bob, &[form, SAME_ORIGIN], 200),
        (Method::DELETE, &visitor.bob, &[], 403),
        (Method::GET, &visitor.bob, &[("origin", "http://evil.example")], 200),
        (Method::POST, "", &[form, ("authorization", &token)], 200),
    ];
    for (method, cookie, headers, status) in table {
        let before = upstream.accepted();
        let answer = visitor.call(method.clone(), "/desktop/bob-x/a", cookie, headers, "").await;
        assert_eq!(answer.status.as_u16(), *status, "{method} {headers:?}");
        assert!(*status == 200 || answer.code() == "cross_site" && upstream.accepted() == before);
    }
}

#[actix_web::test]
async fn some_methods_are_for_no_desktop() {
    let (visitor, _upstream) = visitor(Kind::Web).await;
    for method in [Method::TRACE, Method::CONNECT] {
        let answer = visitor.call(method, "/desktop/bob-x/a", &visitor.bob, &[SAME_ORIGIN], "").await;
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (405, "method_not_allowed"));
        assert!(answer.header("allow").contains("PATCH"));
    }
    for method in [Method::PUT, Method::PATCH, Method::OPTIONS, Method::from_bytes(b"PROPFIND").unwrap()] {
        let answer = visitor.call(method.clone(), "/desktop/bob-x/a", &visitor.bob, &[SAME_ORIGIN], "").await;
        assert_eq!(answer.status.as_u16(), 200, "{method}");
    }
}

#[actix_web::test]
async fn a_kasm_images_api_is_closed() {
    for (kind, status) in [(Kind::Kasm, 404), (Kind::Web, 200)] {
        let (visitor, _upstream) = visitor(kind).await;
        for path in ["/api", "/api/get_users", "/%61pi/x", "//api/x", "/%2561pi"] {
            let answer = visitor.get(&format!("/desktop/bob-x{path}"), &[]).await;
            assert_eq!(answer.status.as_u16(), status, "{kind:?} {path}");
        }
    }
}

#[actix_web::test]
async fn a_desktop_that_is_not_ready_shows_its_start() {
    let visitor = House::with(route(Kind::Web, None)).await.api().await;
    for path in ["/desktop/bob-x", "/desktop/bob-x/", "/desktop/bob-x/a?b"] {
        let page = visitor.get(path, &[NAVIGATE]).await;
        assert_eq!((page.status.as_u16(), page.header("cache-control")), (200, "no-store"));
        assert!(page.body.contains("data-path=\"bob-x\" data-status=\"starting\""), "{}", page.body);
        let other = visitor.get(path, &[]).await;
        assert_eq!((other.status.as_u16(), other.code().as_str()), (503, "desktop_not_ready"));
        assert_eq!(other.header("retry-after"), "2");
    }
    assert!(visitor.route.activity.accessed() > 0);
}

#[actix_web::test]
async fn a_desktops_own_address_leads_to_its_entry() {
    // The entry, the path, and where it leads for a person (None: to the upstream).
    let table = [
        ("/", "/desktop/bob-x", Some("/desktop/bob-x/")),
        ("/", "/desktop/bob-x?a", Some("/desktop/bob-x/")),
        ("/", "/desktop/bob-x/", None),
        ("/", "/desktop/bob-x/?a", None),
        ("/vnc.html?path=x&y", "/desktop/bob-x", Some("/desktop/bob-x/vnc.html?path=x&y")),
        ("/vnc.html?path=x&y", "/desktop/bob-x/", Some("/desktop/bob-x/vnc.html?path=x&y")),
        ("/vnc.html?path=x&y", "/desktop/bob-x/?a", None),
        ("/vnc.html", "/desktop/bob-x/vnc.html", None),
        ("/?folder=/home", "/desktop/bob-x/", Some("/desktop/bob-x/?folder=/home")),
        ("/?folder=/home", "/desktop/bob-x/?folder=/tmp", None),
    ];
    for (entry, path, expected) in table {
        let upstream = TestUpstream::saying(HELLO, false).await;
        let route = Route { entry_path: entry.into(), ..route(Kind::Kasm, Some(&upstream.upstream)) };
        let visitor = House::with(route).await.api().await;
        let answer = visitor.get(path, &[NAVIGATE]).await;
        match expected {
            Some(address) => {
                assert_eq!((answer.status.as_u16(), answer.header("location")), (302, address), "{entry} {path}");
                assert_eq!(answer.header("cache-control"), "no-store");
            }
            None => assert_eq!(answer.status, 200, "{entry} {path}"),
        }
        assert_eq!(visitor.get(path, &[]).await.status, 200, "a script gets what is there");
    }
}

#[actix_web::test]
async fn use_is_noted() {
    for (kind, is_input) in [(Kind::Kasm, false), (Kind::Web, true)] {
        let (visitor, _upstream) = visitor(kind).await;
        visitor.get("/desktop/bob-x/a", &[]).await;
        let activity = &visitor.route.activity;
        assert!(activity.accessed() > 0);
        assert_eq!((activity.input() > 0, activity.open()), (is_input, 0), "{kind:?}");
    }
}
