//! Whether a request with a session cookie comes from our own pages: a browser sends the cookie along for others too.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, ORIGIN, UPGRADE};

use super::Settings;
use super::client::Client;
use crate::error::Error;

/// A header that no other site can send without asking us first (CORS), for requests without a body.
pub const HEADER: &str = "x-dockway-csrf";

const OTHER_SITE: &str = "this may come from another site: neither Sec-Fetch-Site nor Origin names a page of this server; \
                          a script sends a token instead, and a server behind a reverse proxy needs --public-url";
const NO_ORIGIN: &str = "this may come from another site: a browser opens a desktop's WebSocket from a page of this \
                         server alone, which its Origin header names; a script sends a token instead";
const SIMPLE: &str = "send the body as application/json, or the header X-Dockway-Csrf: 1 if there is none";

/// # Errors
/// `CrossSite` for a request that would change something, or open a WebSocket, and may come from another site.
pub fn verify(request: &HttpRequest, client: &Client, settings: &Settings) -> Result<(), Error> {
    let headers = request.headers();
    if request.method().is_safe() && !is_upgrade(headers) {
        return Ok(());
    }
    verify_page(request, client, settings)?;
    if request.method().is_safe() || is_json(headers) || headers.contains_key(HEADER) {
        return Ok(());
    }
    Err(Error::CrossSite(SIMPLE))
}

/// As [`verify`], for what is sent to a desktop: its pages send bodies of every type, and nothing but a page's origin
/// opens a WebSocket to it.
///
/// # Errors
/// `CrossSite`.
pub fn verify_for_desktop(request: &HttpRequest, client: &Client, settings: &Settings) -> Result<(), Error> {
    let headers = request.headers();
    match is_upgrade(headers) {
        true if !has_own_origin(headers, client, settings) => Err(Error::CrossSite(NO_ORIGIN)),
        false if request.method().is_safe() => Ok(()),
        _ => verify_page(request, client, settings),
    }
}

fn verify_page(request: &HttpRequest, client: &Client, settings: &Settings) -> Result<(), Error> {
    if is_own(request.headers(), client, settings) { Ok(()) } else { Err(Error::CrossSite(OTHER_SITE)) }
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
}

/// Whether the browser says that the page is ours. One that says nothing is not believed.
pub fn is_own(headers: &HeaderMap, client: &Client, settings: &Settings) -> bool {
    match headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => has_own_origin(headers, client, settings),
    }
}

fn has_own_origin(headers: &HeaderMap, client: &Client, settings: &Settings) -> bool {
    let Some((scheme, page)) = headers.get(ORIGIN).and_then(|origin| split(origin.to_str().ok()?)) else {
        return false;
    };
    if settings.public_url.as_deref().and_then(split).is_some_and(|public| public == (scheme, page.clone())) {
        return true;
    }
    // Who is known to be asked by HTTPS is not asked by a page that came without: anybody on the way may have made it.
    // Otherwise the scheme is unknown, for a proxy that is not trusted may add HTTPS.
    let may_be = scheme == Scheme::Https || !client.https;
    may_be && client.authority.as_deref().is_some_and(|asked| scheme.bare(asked) == page)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    /// An authority without the scheme's own port.
    fn bare(self, authority: &str) -> &str {
        let port = if self == Self::Https { ":443" } else { ":80" };
        authority.strip_suffix(port).unwrap_or(authority)
    }
}

/// Scheme and authority of an origin or URL, in lower case and without the scheme's own port.
fn split(url: &str) -> Option<(Scheme, String)> {
    let lower = url.to_ascii_lowercase();
    let (scheme, rest) = lower.split_once("://")?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return None,
    };
    let authority = scheme.bare(rest.split('/').next()?);
    (!authority.is_empty()).then(|| (scheme, authority.to_owned()))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;
    use actix_web::test::TestRequest;

    use super::*;
    use crate::config::{DEFAULT_AGENT_PATH, Limits, RoleLimits};

    const JSON: (&str, &str) = ("content-type", "application/json");
    const SAME: (&str, &str) = ("sec-fetch-site", "same-origin");

    type Verify = fn(&HttpRequest, &Client, &Settings) -> Result<(), Error>;

    fn is_taken(method: Method, host: &str, https: bool, public_url: &str, headers: &[(&str, &str)]) -> bool {
        is_taken_by(verify, method, host, https, public_url, headers)
    }

    fn is_taken_by(
        verify: Verify,
        method: Method,
        host: &str,
        https: bool,
        public_url: &str,
        headers: &[(&str, &str)],
    ) -> bool {
        let limits = Limits { tunnels: None, desktops: None, agents: None, tokens: None };
        let settings = Settings {
            agent_path: DEFAULT_AGENT_PATH.into(),
            public_url: (!public_url.is_empty()).then(|| public_url.to_owned()),
            trusted_proxies: Vec::new(),
            limits: RoleLimits { user: limits, admin: limits },
            desktop_subnets: "10.213.0.0/16".parse().unwrap(),
        };
        let authority = (!host.is_empty()).then(|| host.to_owned());
        let client = Client { address: None, https, authority };
        let request =
            headers.iter().fold(TestRequest::default().method(method), |request, pair| request.append_header(*pair));
        match verify(&request.to_http_request(), &client, &settings) {
            Ok(()) => true,
            Err(Error::CrossSite(_)) => false,
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn which_origins_are_ours() {
        // Origin, the host that was asked for, whether by HTTPS, the public URL.
        let table = [
            ("http://desk", "desk", false, "", true),
            ("https://desk", "desk", false, "", true),
            ("https://desk", "desk", true, "", true),
            ("http://desk", "desk", true, "", false),
            ("HTTPS://Desk", "desk", true, "", true),
            ("http://desk:80", "desk", false, "", true),
            ("http://desk", "desk:80", false, "", true),
            ("https://desk:443", "desk", true, "", true),
            ("https://desk", "desk:443", true, "", true),
            ("http://desk", "desk:443", false, "", false),
            ("https://desk", "desk:80", true, "", false),
            ("http://desk:8080", "desk:8080", false, "", true),
            ("http://desk:8080", "desk", false, "", false),
            ("http://desk:8080", "desk:8081", false, "", false),
            ("http://desk:80:80", "desk", false, "", false),
            ("http://[::1]:8080", "[::1]:8080", false, "", true),
            ("http://evil", "desk", false, "", false),
            ("http://desk.evil", "desk", false, "", false),
            ("http://evildesk", "desk", false, "", false),
            ("http://desk@evil", "desk", false, "", false),
            ("http://evil/desk", "desk", false, "", false),
            ("null", "desk", false, "", false),
            ("null", "null", false, "", false),
            ("", "desk", false, "", false),
            ("desk", "desk", false, "", false),
            ("ftp://desk", "desk", false, "", false),
            ("chrome-extension://desk", "desk", false, "", false),
            ("http://", "", false, "", false),
            ("https://desk.example.org", "internal:8080", true, "https://desk.example.org", true),
            ("https://desk.example.org:443", "internal:8080", true, "https://desk.example.org", true),
            ("http://desk.example.org", "internal:8080", true, "https://desk.example.org", false),
            ("http://desk.example.org", "internal:8080", false, "http://desk.example.org:80", true),
            ("https://desk.example.org:8443", "internal:8080", true, "https://desk.example.org:8443", true),
            ("https://desk.example.org", "internal:8080", true, "https://desk.example.org:8443", false),
            ("https://internal:8080", "internal:8080", true, "https://desk.example.org", true),
            ("https://evil", "internal:8080", true, "https://desk.example.org", false),
        ];
        for (origin, host, https, public_url, expected) in table {
            let taken = is_taken(Method::POST, host, https, public_url, &[("origin", origin), JSON]);
            assert_eq!(taken, expected, "{origin} at {host}, {https}, {public_url}");
        }
    }

    #[test]
    fn what_the_browser_says_of_the_page_comes_first() {
        for (site, expected) in
            [("same-origin", true), ("same-site", false), ("cross-site", false), ("none", false), ("", false)]
        {
            let headers = [("sec-fetch-site", site), ("origin", "http://desk"), JSON];
            assert_eq!(is_taken(Method::POST, "desk", false, "", &headers), expected, "{site}");
        }
        assert!(is_taken(Method::POST, "desk", false, "", &[SAME, ("origin", "http://evil"), JSON]));
        assert!(!is_taken(Method::POST, "desk", false, "", &[JSON]), "a browser that says nothing");
    }

    #[test]
    fn no_form_of_another_site_can_send_it() {
        let table = [
            ("application/json", true),
            ("Application/JSON ; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("application/x-www-form-urlencoded", false),
            ("multipart/form-data; boundary=x", false),
            ("text/plain", false),
            ("text/plain; application/json", false),
            ("text/json", false),
            ("application/jsonp", false),
            ("", false),
        ];
        for (kind, expected) in table {
            let headers = [SAME, ("content-type", kind)];
            assert_eq!(is_taken(Method::POST, "desk", false, "", &headers), expected, "{kind}");
            let with_header = [SAME, ("content-type", kind), ("X-Dockway-Csrf", "1")];
            assert!(is_taken(Method::DELETE, "desk", false, "", &with_header), "{kind}");
            let elsewhere = [("origin", "http://evil"), ("content-type", kind), ("X-Dockway-Csrf", "1")];
            assert!(!is_taken(Method::DELETE, "desk", false, "", &elsewhere), "{kind}");
        }
        assert!(!is_taken(Method::DELETE, "desk", false, "", &[SAME]));
    }

    #[test]
    fn reading_is_free_but_a_socket_is_not() {
        let evil = ("origin", "http://evil");
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert!(is_taken(method.clone(), "desk", false, "", &[]));
            assert!(is_taken(method.clone(), "desk", false, "", &[evil, ("sec-fetch-site", "cross-site")]));
            for upgrade in ["websocket", "WebSocket, h2c", "x"] {
                assert!(!is_taken(method.clone(), "desk", false, "", &[("upgrade", upgrade)]));
                assert!(!is_taken(method.clone(), "desk", false, "", &[("upgrade", upgrade), evil]));
                assert!(is_taken(
                    method.clone(),
                    "desk",
                    false,
                    "",
                    &[("upgrade", upgrade), ("origin", "http://desk")]
                ));
            }
        }
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::from_bytes(b"ODD").unwrap()] {
            assert!(!is_taken(method.clone(), "desk", false, "", &[evil, JSON]), "{method}");
            assert!(is_taken(method.clone(), "desk", false, "", &[SAME, JSON]), "{method}");
        }
    }

    #[test]
    fn a_desktop_takes_bodies_of_every_type_from_our_pages() {
        let own = ("origin", "http://desk");
        let evil = ("origin", "http://evil");
        let socket = ("upgrade", "websocket");
        let cross = ("sec-fetch-site", "cross-site");
        type Row<'a> = (Method, &'a [(&'a str, &'a str)], bool);
        let table: &[Row<'_>] = &[
            (Method::POST, &[own, ("content-type", "multipart/form-data; boundary=x")], true),
            (Method::POST, &[SAME], true),
            (Method::POST, &[SAME, evil], true),
            (Method::POST, &[own, cross], false),
            (Method::POST, &[evil], false),
            (Method::DELETE, &[], false),
            (Method::GET, &[evil, cross], true),
            (Method::OPTIONS, &[evil], true),
            (Method::GET, &[socket, own], true),
            (Method::GET, &[socket, own, SAME], true),
            (Method::GET, &[socket, SAME], false),
            (Method::GET, &[socket], false),
            (Method::GET, &[socket, evil], false),
            (Method::GET, &[socket, evil, SAME], false),
            (Method::GET, &[socket, own, cross], false),
        ];
        for (method, headers, expected) in table {
            let taken = is_taken_by(verify_for_desktop, method.clone(), "desk", false, "", headers);
            assert_eq!(taken, *expected, "{method} {headers:?}");
        }
    }
}
