//! Whether a request with a session cookie comes from our own pages: a browser sends the cookie along for others too.

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap, ORIGIN};

use super::Settings;
use super::client::Client;
use crate::error::Error;

/// A header that no other site can send without asking us first (CORS), for requests without a body.
pub const HEADER: &str = "x-dockway-csrf";

const OTHER_SITE: &str = "this request comes from another site, or its browser does not say from where";
const SIMPLE: &str = "send the body as application/json, or the header X-Dockway-Csrf: 1 if there is none";

/// # Errors
/// `CrossSite` for a request that would change something, or open a WebSocket, and may come from another site.
pub fn verify(request: &HttpRequest, client: &Client, settings: &Settings) -> Result<(), Error> {
    let headers = request.headers();
    let upgrade = headers.contains_key("upgrade");
    if request.method().is_safe() && !upgrade {
        return Ok(());
    }
    if !is_own(headers, client, settings) {
        return Err(Error::CrossSite(OTHER_SITE));
    }
    if request.method().is_safe() || is_json(headers) || headers.contains_key(HEADER) {
        return Ok(());
    }
    Err(Error::CrossSite(SIMPLE))
}

/// Whether the browser says that the page is ours. One that says nothing is not believed.
pub fn is_own(headers: &HeaderMap, client: &Client, settings: &Settings) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()) else { return false };
    // Without a public URL the scheme is unknown behind a proxy; whoever can read our host's pages has the right one.
    let public = settings.public_url.as_deref().and_then(authority_of);
    let asked = client.authority.as_deref();
    authority_of(origin).is_some_and(|origin| {
        public.as_deref() == Some(origin.as_str()) || asked.is_some_and(|asked| same_authority(&origin, asked))
    })
}

/// Host and port of an origin or URL, in lower case, without the scheme's own port.
fn authority_of(url: &str) -> Option<String> {
    let lower = url.to_ascii_lowercase();
    let (scheme, rest) = lower.split_once("://")?;
    let authority = rest.split('/').next()?;
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    Some(authority.strip_suffix(default).unwrap_or(authority).to_owned())
}

fn same_authority(origin: &str, asked: &str) -> bool {
    let bare = |text: &str| text.trim_end_matches(":443").trim_end_matches(":80").to_owned();
    bare(origin) == bare(asked)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence.starts_with("application/") && essence.ends_with("+json")
}
