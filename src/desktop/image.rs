//! References to images, by the grammar of `github.com/distribution/reference` (`reference.go` and `normalize.go`,
//! v0.6.0). Pure.
//!
//! ```text
//! reference := name [ ":" tag ] [ "@" digest ]
//! name      := [ domain "/" ] path-component [ "/" path-component ]*
//! domain    := host [ ":" port-number ]
//! tag       := [\w][\w.-]{0,127}
//! digest    := algorithm ":" hex
//! ```

use std::net::Ipv6Addr;

/// The most bytes of a repository's path (`RepositoryNameTotalLengthMax`).
const LONGEST_PATH: usize = 255;
/// The most bytes of a domain: a DNS name has at most 253, and a port goes with it.
const LONGEST_DOMAIN: usize = 262;
/// The most bytes of a tag.
const LONGEST_TAG: usize = 128;
/// Digests that engines know, and how many hexadecimal digits they have (`github.com/opencontainers/go-digest`).
const ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// Why a type cannot have an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReference {
    #[error("must be an image like `kasmweb/vs-code:1.17.0` or `registry.example.org:5000/team/desk@sha256:…`")]
    Malformed,
    #[error("must have a tag or a digest, like `:1.17.0`: without one the image is another one each day")]
    Unpinned,
}

/// Whether this refers to one image.
///
/// # Errors
/// Why not.
pub fn verify(reference: &str) -> Result<(), BadReference> {
    let (tagged, digest) = split(reference, reference.split_once('@'));
    // A colon before the last slash belongs to the domain.
    let last = tagged.rfind('/').map_or(0, |slash| slash + 1);
    let colon = tagged[last..].find(':').map(|colon| tagged.split_at(last + colon));
    let (name, tag) = split(tagged, colon.map(|(name, tag)| (name, &tag[1..])));
    if !is_name(name) || !tag.is_none_or(is_tag) || !digest.is_none_or(is_digest) {
        return Err(BadReference::Malformed);
    }
    if tag.is_none() && digest.is_none() { Err(BadReference::Unpinned) } else { Ok(()) }
}

fn split<'a>(whole: &'a str, parts: Option<(&'a str, &'a str)>) -> (&'a str, Option<&'a str>) {
    parts.map_or((whole, None), |(before, after)| (before, Some(after)))
}

fn is_name(name: &str) -> bool {
    match name.split_once('/') {
        Some((domain, path)) if looks_like_domain(domain) => is_domain(domain) && is_path(path),
        _ => is_path(name),
    }
}

/// What stands before the first slash is a registry if it can be nothing else.
fn looks_like_domain(text: &str) -> bool {
    text == "localhost" || text.contains(['.', ':']) || text.contains(|c: char| c.is_ascii_uppercase())
}

fn is_domain(text: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if text.len() > LONGEST_DOMAIN {
        return false;
    }
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return false };
        let port_is_good = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        return address.parse::<Ipv6Addr>().is_ok() && port_is_good;
    }
    let (host, port) = split(text, text.split_once(':'));
    host.split('.').all(is_domain_component) && port.is_none_or(is_port)
}

fn is_domain_component(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    !text.is_empty() && plain && !text.starts_with('-') && !text.ends_with('-')
}

fn is_path(path: &str) -> bool {
    path.len() <= LONGEST_PATH && path.split('/').all(is_path_component)
}

/// Runs of lower-case letters and digits, with a separator between each two: `.`, `_`, `__` or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |run: &str| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|byte| byte == b'-');
    text.starts_with(is_plain) && text.ends_with(is_plain) && text.split(is_plain).all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = tag.as_bytes();
    let begins_well = bytes.first().copied().is_some_and(is_word);
    begins_well && bytes.len() <= LONGEST_TAG && bytes.iter().all(|byte| is_word(*byte) || b".-".contains(byte))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let digits = ALGORITHMS.into_iter().find(|(name, _)| *name == algorithm).map(|(_, digits)| digits);
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digits == Some(hex.len()) && hex.bytes().all(lower_hex)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn images_that_are_pinned() {
        let digest = format!("@sha256:{HEX}");
        let table = [
            "kasmweb/vs-code:1.17.0",
            "dockway/debian-desktop:1",
            "debian:12",
            "debian:Latest_1.2-x",
            "localhost/desk:1",
            "localhost:5000/desk:1",
            "127.0.0.1:5000/a/b/c:1",
            "[::1]:5000/desk:1",
            "[2001:db8::1]/desk:1",
            "registry.example.org/team/desk:v1",
            "Registry.Example.org:443/desk:1",
            "REGISTRY/desk:1",
            "a.b/c__d/e--f/g_h/i.j:1",
            &format!("desk{digest}"),
            &format!("kasmweb/desk:1{digest}"),
            &format!("localhost:5000/desk{digest}"),
            &format!("desk@sha512:{HEX}{HEX}"),
            &format!("desk:{}", "t".repeat(128)),
            &format!("{}:1", "a".repeat(255)),
        ];
        for reference in table {
            assert_eq!(verify(reference), Ok(()), "{reference}");
        }
    }

    #[test]
    fn images_that_may_change_any_day() {
        for reference in ["debian", "kasmweb/vs-code", "localhost:5000/desk", "registry.example.org/team/desk"] {
            assert_eq!(verify(reference), Err(BadReference::Unpinned), "{reference}");
        }
    }

    #[test]
    fn what_is_no_reference() {
        let table = [
            "",
            ":1",
            "@",
            "/desk:1",
            "desk/:1",
            "a//b:1",
            "Desk:1",
            "kasmweb/Desk:1",
            "desk:",
            "desk:-1",
            "desk:.1",
            "desk:1:2",
            "desk:a b",
            "desk:1\n",
            "de sk:1",
            "désk:1",
            "-desk:1",
            "desk-:1",
            "a___b:1",
            "a..b:1",
            "a._b:1",
            "a.-b:1",
            "https://registry.example.org/desk:1",
            "registry.example.org:/desk:1",
            "registry.example.org:x/desk:1",
            "-registry.example.org/desk:1",
            "registry..org/desk:1",
            "[::1/desk:1",
            "[::1]x/desk:1",
            "[db]/desk:1",
            "../desk:1",
            "desk@sha256:abc",
            "desk@md5:0123456789abcdef0123456789abcdef",
            &format!("desk@{HEX}"),
            &format!("desk@sha256:{}", HEX.to_uppercase()),
            &format!("desk@sha256:{HEX}@sha256:{HEX}"),
            &format!("desk@sha512:{HEX}"),
            &format!("desk:{}", "t".repeat(129)),
            &format!("{}:1", "a".repeat(256)),
            &format!("{}.org/desk:1", "a".repeat(262)),
        ];
        for reference in table {
            assert_eq!(verify(reference), Err(BadReference::Malformed), "{reference}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(any in ".{0,40}", near in "[a-z:/@.\\[\\]\u{e9}-]{0,40}") {
            let _ = (verify(&any), verify(&near));
        }
    }
}
