//! `/static/…`: the parts of pages, which lie in the program itself.

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, EntityTag, Header, IfNoneMatch, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse};
use sha2::{Digest, Sha256};

use super::Place;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Of a page: everything that it may load is its own; nobody may frame it, and its forms go nowhere by themselves.
pub const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                               img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Bytes of a digest that are enough to tell one version of a file from the next.
const TAG_BYTES: usize = 12;

/// A file that is served as it is.
struct Asset {
    path: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

/// All of them; another page's are added here.
const ASSETS: &[Asset] = &[
    Asset { path: "/static/page.css", kind: STYLE, bytes: include_bytes!("../../static/page.css") },
    Asset { path: "/static/sign-in.css", kind: STYLE, bytes: include_bytes!("../../static/sign-in.css") },
    Asset { path: "/static/sign-in.js", kind: SCRIPT, bytes: include_bytes!("../../static/sign-in.js") },
    Asset { path: "/static/start.css", kind: STYLE, bytes: include_bytes!("../../static/start.css") },
    Asset { path: "/static/start.js", kind: SCRIPT, bytes: include_bytes!("../../static/start.js") },
];

/// The places of this file and what answers there.
pub fn places() -> Vec<Place> {
    let place = |asset: &'static Asset| {
        let tag = asset.tag();
        Place::at(asset.path).get(move |request: HttpRequest| {
            let answer = asset.answer(&request, &tag);
            async move { answer }
        })
    };
    ASSETS.iter().map(place).collect()
}

impl Asset {
    fn tag(&self) -> EntityTag {
        let digest = Sha256::digest(self.bytes);
        EntityTag::new_strong(digest[..TAG_BYTES].iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// A browser asks each time, so that a page and its parts are of one version; it is sent only what is new.
    fn answer(&self, request: &HttpRequest, tag: &EntityTag) -> HttpResponse {
        let mut answer = if is_known(request, tag) { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        answer.insert_header((ETAG, tag.to_string())).insert_header((CACHE_CONTROL, "no-cache"));
        if is_known(request, tag) {
            return answer.finish();
        }
        answer.insert_header((CONTENT_TYPE, self.kind)).insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
        answer.body(self.bytes)
    }
}

/// Whether the browser has this version already (RFC 9110 section 13.1.2).
fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(known)) => known.iter().any(|one| one.weak_eq(tag)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::Method;

    use super::*;
    use crate::http::test_support::TestApi;

    #[actix_web::test]
    async fn a_file_is_sent_once_and_asked_for_each_time() {
        let api = TestApi::start().await;
        for asset in ASSETS {
            let first = api.call(Method::GET, asset.path, "", "").await;
            assert_eq!((first.status.as_u16(), first.header("content-type")), (200, asset.kind));
            assert_eq!((first.body.as_bytes(), first.header("cache-control")), (asset.bytes, "no-cache"));
            assert!(!first.body.contains("://"), "{} names another host", asset.path);
            let tag = first.header("etag").to_owned();
            let weak = format!("\"other\", W/{tag}");
            for (known, status) in [(tag.as_str(), 304), (weak.as_str(), 304), ("*", 304), ("\"other\"", 200)] {
                let again = api.call_with(Method::GET, asset.path, &[("If-None-Match", known)], "").await;
                assert_eq!((again.status.as_u16(), again.header("etag")), (status, tag.as_str()), "{known}");
                assert_eq!(again.body.is_empty(), status == 304);
            }
        }
        for path in ["/static/", "/static/none.js", "/static/start.html", "/static/../start.css", "/static/%2e%2e"] {
            let answer = api.call(Method::GET, path, "", "").await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "not_found"), "{path}");
        }
    }
}
