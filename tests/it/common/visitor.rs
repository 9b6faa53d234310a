//! A browser that visits several hosts: it keeps cookies for each host and port, and goes where it is sent when it is
//! told to.

use std::collections::{BTreeMap, HashMap};

use ureq::http::{Request, Response};

use super::api::{Answer, http};

pub struct Visitor {
    http: ureq::Agent,
    /// Name and value by host and port.
    cookies: HashMap<String, BTreeMap<String, String>>,
}

impl Visitor {
    pub fn new() -> Self {
        Self { http: http(), cookies: HashMap::new() }
    }

    pub fn get(&mut self, url: &str) -> Answer {
        self.send("GET", url, &[], "")
    }

    /// As a form on a page of the same host sends it.
    pub fn post_form(&mut self, url: &str, fields: &[(&str, &str)]) -> Answer {
        let pairs: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        self.send("POST", url, &[("content-type", "application/x-www-form-urlencoded")], &pairs.join("&"))
    }

    /// As a script of our own page calls the API.
    pub fn call(&mut self, method: &str, url: &str) -> Answer {
        let origin = format!("http://{}", host_of(url));
        self.send(method, url, &[("origin", &origin), ("x-dockway-csrf", "1")], "")
    }

    pub fn send(&mut self, method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(kept) = self.cookies.get(host_of(url)).filter(|kept| !kept.is_empty()) {
            let pairs: Vec<_> = kept.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", pairs.join("; "));
        }
        let request = request.body(body.to_owned()).expect("a request");
        let response = self.http.run(request).unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        self.keep_cookies(url, &response);
        Answer::read(response).expect("a text")
    }

    fn keep_cookies<B>(&mut self, url: &str, response: &Response<B>) {
        let kept = self.cookies.entry(host_of(url).to_owned()).or_default();
        for header in response.headers().get_all("set-cookie") {
            let header = header.to_str().expect("a plain cookie");
            let (name, value) = header.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            if value.is_empty() || header.contains("Max-Age=0") {
                kept.remove(name);
            } else {
                kept.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub fn cookie(&self, url: &str, name: &str) -> Option<&str> {
        self.cookies.get(host_of(url))?.get(name).map(String::as_str)
    }

    pub fn set_cookie(&mut self, url: &str, name: &str, value: &str) {
        self.cookies.entry(host_of(url).to_owned()).or_default().insert(name.to_owned(), value.to_owned());
    }
}

/// Where a redirect of `url` leads.
pub fn redirect(url: &str, answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{url} does not lead on: {}", answer.text);
    let location = answer.header("location").expect("a Location header");
    match location.strip_prefix('/') {
        Some(path) => format!("http://{}/{path}", host_of(url)),
        None => location.to_owned(),
    }
}

/// Host and port.
fn host_of(url: &str) -> &str {
    url.split('/').nth(2).expect("an absolute URL")
}

/// For a query or a form.
pub fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// A parameter of a URL's query, as it stands there.
pub fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let pairs = url.split_once('?')?.1.split('#').next()?.split('&');
    pairs.filter_map(|pair| pair.split_once('=')).find(|(known, _)| *known == name).map(|(_, value)| value)
}
