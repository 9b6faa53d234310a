//! Addresses that an upstream sends the browser to.

use super::{Passage, bare_authority};

/// The address as the browser must see it: what points at the upstream's root, or names the upstream or this server,
/// becomes a path on this server; an address elsewhere, or relative to the page, stays as it is.
pub fn rewritten(address: &str, passage: &Passage<'_>) -> String {
    let Some((scheme, authority, path)) = split(address) else {
        return if is_rooted(address) { rooted(address, passage) } else { address.to_owned() };
    };
    // Without its host such a path would be taken for one of another host.
    if !passage.strip_prefix && leads_away(path) {
        return address.to_owned();
    }
    if is_upstream(scheme, authority, passage) || is_this_server(scheme, authority, passage) {
        return rooted(path, passage);
    }
    address.to_owned()
}

/// The value of a Refresh header, whose address comes after `url=`.
pub fn rewritten_refresh(value: &str, passage: &Passage<'_>) -> String {
    let Some(at) = value.to_ascii_lowercase().find("url=").map(|at| at + "url=".len()) else { return value.to_owned() };
    let (before, address) = value.split_at(at);
    let quote = address.chars().next().filter(|first| "'\"".contains(*first));
    let address = match quote {
        Some(quote) => address[1..].split(quote).next().unwrap_or_default(),
        None => address.trim(),
    };
    format!("{before}{}", rewritten(address, passage))
}

/// The scheme (empty if it is the page's), authority and rest of an address that has an authority.
fn split(address: &str) -> Option<(&str, &str, &str)> {
    let (scheme, rest) = match address.strip_prefix("//") {
        Some(rest) => ("", rest),
        None => address.split_once("://")?,
    };
    let is_web = ["", "http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    is_web.then_some((scheme, authority, path))
}

/// Browsers take `/\` for `//`, so that leads elsewhere.
fn is_rooted(address: &str) -> bool {
    address.starts_with('/') && !address.starts_with("/\\")
}

/// As [`is_rooted`] of a path behind its host. Browsers pass over tabs.
fn leads_away(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| rest.trim_start_matches('\t').starts_with(['/', '\\']))
}

/// A path of the upstream as one of this server.
fn rooted(path: &str, passage: &Passage<'_>) -> String {
    let is_inside =
        path.strip_prefix(passage.prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']));
    let slash = if path.starts_with('/') { "" } else { "/" };
    let prefix = if passage.strip_prefix && !is_inside { passage.prefix } else { "" };
    format!("{prefix}{slash}{path}")
}

fn is_upstream(scheme: &str, authority: &str, passage: &Passage<'_>) -> bool {
    let own = passage.upstream.scheme.as_str();
    let scheme = if scheme.is_empty() { own } else { scheme };
    bare_authority(scheme, authority) == bare_authority(own, &passage.upstream.address.to_string())
}

fn is_this_server(scheme: &str, authority: &str, passage: &Passage<'_>) -> bool {
    // An upstream does not know by which of the two the browser came, so either means this server.
    let scheme = if scheme.is_empty() { if passage.client.https { "https" } else { "http" } } else { scheme };
    passage
        .client
        .authority
        .as_deref()
        .is_some_and(|own| bare_authority(scheme, own) == bare_authority(scheme, authority))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{client, passage, upstream};
    use super::*;
    use crate::desktop::Kind;

    fn of(address: &str, strip_prefix: bool) -> String {
        let (upstream, client) = (upstream(None), client(true));
        rewritten(address, &passage(Kind::Web, strip_prefix, &upstream, &client))
    }

    #[test]
    fn where_the_browser_is_sent() {
        // The upstream's word, and what it becomes with the prefix stripped and kept.
        let table = [
            ("/", "/desktop/alice-x/", "/"),
            ("/lab?a=b#c", "/desktop/alice-x/lab?a=b#c", "/lab?a=b#c"),
            ("/desktop/alice-x/lab", "/desktop/alice-x/lab", "/desktop/alice-x/lab"),
            ("/desktop/alice-x", "/desktop/alice-x", "/desktop/alice-x"),
            ("/desktop/alice-xy", "/desktop/alice-x/desktop/alice-xy", "/desktop/alice-xy"),
            ("lab", "lab", "lab"),
            ("../lab", "../lab", "../lab"),
            ("?a=/b", "?a=/b", "?a=/b"),
            ("", "", ""),
            ("https://127.0.0.1:7001/lab", "/desktop/alice-x/lab", "/lab"),
            ("http://127.0.0.1:7001", "/desktop/alice-x/", "/"),
            ("//127.0.0.1:7001?a", "/desktop/alice-x/?a", "/?a"),
            ("http://desk.example.org:8080/lab", "/desktop/alice-x/lab", "/lab"),
            ("HTTPS://Desk.Example.org:8080/desktop/alice-x/y", "/desktop/alice-x/y", "/desktop/alice-x/y"),
            ("https://desk.example.org/lab", "https://desk.example.org/lab", "https://desk.example.org/lab"),
            ("https://127.0.0.1/lab", "https://127.0.0.1/lab", "https://127.0.0.1/lab"),
            ("https://elsewhere.example/lab", "https://elsewhere.example/lab", "https://elsewhere.example/lab"),
            ("//elsewhere.example/", "//elsewhere.example/", "//elsewhere.example/"),
            ("/\\elsewhere.example/", "/\\elsewhere.example/", "/\\elsewhere.example/"),
            (
                "https://127.0.0.1:7001@evil.example/",
                "https://127.0.0.1:7001@evil.example/",
                "https://127.0.0.1:7001@evil.example/",
            ),
            ("http://desk.example.org:8080//evil/", "/desktop/alice-x//evil/", "http://desk.example.org:8080//evil/"),
            ("https://127.0.0.1:7001/\\evil/", "/desktop/alice-x/\\evil/", "https://127.0.0.1:7001/\\evil/"),
            ("https://127.0.0.1:7001/\t/evil/", "/desktop/alice-x/\t/evil/", "https://127.0.0.1:7001/\t/evil/"),
            ("mailto:a@b", "mailto:a@b", "mailto:a@b"),
            ("vscode://127.0.0.1:7001/", "vscode://127.0.0.1:7001/", "vscode://127.0.0.1:7001/"),
        ];
        for (address, stripped, kept) in table {
            assert_eq!((of(address, true).as_str(), of(address, false).as_str()), (stripped, kept), "{address}");
        }
    }

    #[test]
    fn a_refresh_is_rewritten_behind_its_time() {
        let (upstream, client) = (upstream(None), client(false));
        let passage = passage(Kind::Web, true, &upstream, &client);
        for (value, expected) in [
            ("5", "5"),
            ("5; url=/lab", "5; url=/desktop/alice-x/lab"),
            ("0;URL='/lab'", "0;URL=/desktop/alice-x/lab"),
            ("0,url=\"https://127.0.0.1:7001/\"", "0,url=/desktop/alice-x/"),
            ("1; url=https://elsewhere.example/", "1; url=https://elsewhere.example/"),
            ("1; url=", "1; url="),
        ] {
            assert_eq!(rewritten_refresh(value, &passage), expected, "{value}");
        }
    }
}
