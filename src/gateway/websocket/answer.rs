//! A desktop's answer to a WebSocket's handshake, read strictly: whatever follows it is passed on as it is. Pure.

use actix_http::ws::hash_key;
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderValue;
use bytes::{Buf, BytesMut};
use httparse::{EMPTY_HEADER, Header, Response, Status};

use crate::error::Error;

/// The most bytes of an answer's head.
const HEAD_LIMIT: usize = 16 * 1024;
/// And of its headers.
const HEADER_LIMIT: usize = 100;

/// What the desktop agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    pub protocol: Option<HeaderValue>,
    pub extensions: Option<HeaderValue>,
}

/// Take the answer off the beginning of `read`, once it is complete, for a handshake with this Sec-WebSocket-Key.
///
/// # Errors
/// `BadGateway` for anything but a WebSocket that has been opened.
pub fn take(read: &mut BytesMut, key: &[u8]) -> Result<Option<Accepted>, Error> {
    loop {
        let mut headers = [EMPTY_HEADER; HEADER_LIMIT];
        let mut response = Response::new(&mut headers);
        let parsed =
            response.parse(read).map_err(|error| bad(format!("it answers a WebSocket with no HTTP: {error}")))?;
        let Status::Complete(length) = parsed else {
            return if read.len() < HEAD_LIMIT { Ok(None) } else { Err(too_long()) };
        };
        if length > HEAD_LIMIT {
            return Err(too_long());
        }
        let code = response.code.unwrap_or_default();
        if code == 101 {
            let accepted = accepted(&response, key)?;
            read.advance(length);
            return Ok(Some(accepted));
        }
        if !(100..200).contains(&code) {
            let reason =
                StatusCode::from_u16(code).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
            return Err(bad(format!("it answers a WebSocket with {code} {reason}")));
        }
        // One that only says that the answer comes (RFC 9110 section 15.2).
        read.advance(length);
    }
}

fn accepted(response: &Response<'_, '_>, key: &[u8]) -> Result<Accepted, Error> {
    if response.version != Some(1) {
        return Err(bad("it opens a WebSocket with another HTTP than 1.1".into()));
    }
    let switches =
        has_word(response.headers, "upgrade", "websocket") && has_word(response.headers, "connection", "upgrade");
    if !switches {
        return Err(bad("it switches to something else than a WebSocket".into()));
    }
    if only(response.headers, "sec-websocket-accept")? != Some(hash_key(key).as_slice()) {
        return Err(bad("it accepts a WebSocket without proof that it understood the request".into()));
    }
    let value = |name| -> Result<Option<HeaderValue>, Error> {
        let bytes = only(response.headers, name)?;
        bytes
            .map(|bytes| HeaderValue::from_bytes(bytes).map_err(|_| bad(format!("its {name} is malformed"))))
            .transpose()
    };
    Ok(Accepted { protocol: value("sec-websocket-protocol")?, extensions: value("sec-websocket-extensions")? })
}

/// The value of a header that may come once.
fn only<'a>(headers: &[Header<'a>], name: &'static str) -> Result<Option<&'a [u8]>, Error> {
    let mut values = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value);
    let first = values.next();
    if values.next().is_some() { Err(bad(format!("it sends {name} twice"))) } else { Ok(first) }
}

/// Whether the header's list holds this word.
fn has_word(headers: &[Header<'_>], name: &str, word: &str) -> bool {
    let values = headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value);
    values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

fn bad(reason: String) -> Error {
    Error::BadGateway(reason)
}

fn too_long() -> Error {
    bad(format!("it answers a WebSocket with a head of more than {HEAD_LIMIT} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";
    const HEAD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    fn take_all(text: &str) -> Result<(Option<Accepted>, Vec<u8>), String> {
        let mut read = BytesMut::from(text);
        let accepted = take(&mut read, KEY).map_err(|error| error.to_string())?;
        Ok((accepted, read.to_vec()))
    }

    #[test]
    fn what_follows_the_head_is_the_streams() {
        let head = format!("{HEAD}Sec-WebSocket-Protocol: binary\r\n\r\n");
        for cut in 0..head.len() {
            assert_eq!(take_all(&head[..cut]).unwrap().0, None, "{cut}");
        }
        let (accepted, rest) = take_all(&format!("{head}\u{2}\0rest")).unwrap();
        let expected = Accepted { protocol: Some(HeaderValue::from_static("binary")), extensions: None };
        assert_eq!((accepted.unwrap(), rest.as_slice()), (expected, &b"\x02\0rest"[..]));
        let early =
            format!("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{HEAD}Sec-WebSocket-Extensions: a; b\r\n\r\nx");
        let (accepted, rest) = take_all(&early).unwrap();
        assert_eq!(
            (accepted.unwrap().extensions.unwrap(), rest.as_slice()),
            (HeaderValue::from_static("a; b"), &b"x"[..])
        );
    }

    #[test]
    fn everything_else_is_told_apart() {
        let table = [
            ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>".to_owned(), "with 200 OK"),
            ("HTTP/1.1 401 Unauthorized\r\n\r\n".to_owned(), "with 401 Unauthorized"),
            ("HTTP/1.0 404 x\r\n\r\n".to_owned(), "with 404 Not Found"),
            ("HTTP/1.1 799 x\r\n\r\n".to_owned(), "with 799"),
            ("SSH-2.0-OpenSSH_9.2\r\n".to_owned(), "no HTTP"),
            ("\0\u{1}\u{2}".to_owned(), "no HTTP"),
            (format!("HTTP/1.1 101 x\r\nA: {}\r\n", "x".repeat(HEAD_LIMIT)), "more than 16384 bytes"),
            (format!("HTTP/1.1 101 x\r\nA: {}\r\n\r\n", "x".repeat(HEAD_LIMIT)), "more than 16384 bytes"),
            (format!("HTTP/1.1 101 x\r\n{}\r\n", "A: b\r\n".repeat(HEADER_LIMIT + 1)), "no HTTP"),
            (format!("{}\r\n", HEAD.replace("1.1", "1.0")), "another HTTP"),
            (format!("{}\r\n", HEAD.replace("WebSocket\r", "h2c\r")), "something else"),
            (format!("{}\r\n", HEAD.replace("keep-alive, Upgrade", "close")), "something else"),
            (format!("{}\r\n", HEAD.replace("s3p", "S3p")), "without proof"),
            (format!("{}\r\n", HEAD.replace("Accept", "Other")), "without proof"),
            (format!("{HEAD}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), "twice"),
        ];
        for (text, said) in table {
            let refused = take_all(&text).expect_err(&text);
            assert!(refused.contains(said), "{said}: {refused}");
        }
    }
}
