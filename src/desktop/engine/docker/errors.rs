//! What the words of an engine mean. Pure.
//!
//! Docker tells most things by the message only, Podman by other messages, and both change them over the years: each is
//! recognised by the few words that have stayed.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use bollard::errors::Error;

use super::EngineError;

/// Characters of an engine's message that are kept.
const MESSAGE_LENGTH: usize = 500;

/// What a call is about, which says what a 404 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    Engine,
    Image,
    /// A container, network or volume.
    Thing,
}

/// What an error of the client means. Without address: the caller knows it.
pub(super) fn told(error: &Error, about: About) -> EngineError {
    match error {
        Error::DockerResponseServerError { status_code, message } => refused(*status_code, message, about),
        Error::DockerStreamError { error } => refused(0, error, about),
        Error::RequestTimeoutError => EngineError::Unavailable("no answer in time".to_owned()),
        Error::SocketNotFoundError(_) => EngineError::Unavailable(of_io(ErrorKind::NotFound).to_owned()),
        other => EngineError::Unavailable(reason(other)),
    }
}

/// The engine has answered, and says no.
fn refused(status: u16, message: &str, about: About) -> EngineError {
    let said = one_line(message);
    let said = if said.is_empty() { format!("the engine answers with status {status}") } else { said };
    match about {
        About::Engine => EngineError::Unavailable(said),
        About::Image if status == 404 || names_no_image(&said) => EngineError::NoSuchImage(said),
        _ if says_no_such_image(&said) => EngineError::NoSuchImage(said),
        _ if says_name_taken(&said) => EngineError::NameTaken(said),
        About::Thing if status == 404 => EngineError::NotFound(said),
        _ => EngineError::Other(said),
    }
}

/// At a pull: the registry does not have it, or does not show it.
fn names_no_image(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    let words = ["manifest unknown", "pull access denied", "name unknown", "invalid reference format"];
    words.iter().any(|words| message.contains(words))
        || (message.contains("not found")
            && ["manifest", "repository", "tag"].iter().any(|what| message.contains(what)))
}

/// At the making of a container.
fn says_no_such_image(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("no such image") || message.contains("image not known")
}

fn says_name_taken(message: &str) -> bool {
    (message.contains("container name \"") && message.contains("already in use"))
        || (message.contains("network with name") && message.contains("already exists"))
        || (message.contains("network name") && message.contains("already used"))
}

/// At the start of a container: its port of the host belongs to somebody.
pub(super) fn says_port_taken(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("port is already allocated") || message.contains("address already in use")
}

/// At the making of a network: another one, or a route of the host, overlaps.
pub(super) fn says_subnet_taken(message: &str) -> bool {
    message.contains("Pool overlaps with other one")
        || message.contains("networks have overlapping")
        || message.contains("conflicts with existing route")
        || (message.contains("subnet") && message.contains("already used"))
}

/// A message without line breaks and of bounded length.
pub(super) fn one_line(message: &str) -> String {
    let words: Vec<&str> = message.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Why there was no answer, in plain words.
fn reason(error: &Error) -> String {
    let mut deepest: &dyn StdError = match error {
        // It shows itself as what it wraps, and leaves that out of its sources.
        Error::IOError { err } => err,
        other => other,
    };
    loop {
        if let Some(known) =
            deepest.downcast_ref::<io::Error>().map(|error| of_io(error.kind())).filter(|w| !w.is_empty())
        {
            return known.to_owned();
        }
        match deepest.source() {
            Some(source) => deepest = source,
            None => return one_line(&deepest.to_string()),
        }
    }
}

fn of_io(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "there is no socket; start the engine, or set DOCKER_HOST to where it listens",
        ErrorKind::PermissionDenied => {
            "permission denied; let this server's user into the group of the socket, which is mostly `docker`"
        }
        ErrorKind::ConnectionRefused => "nothing listens there; start the engine",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(status_code: u16, message: &str) -> Error {
        Error::DockerResponseServerError { status_code, message: message.into() }
    }

    #[test]
    fn an_image_that_nobody_has() {
        for (status, message) in [
            (404, "manifest for localhost:5000/x:9 not found: manifest unknown: manifest unknown"),
            (404, "pull access denied for nosuch, repository does not exist or may require 'docker login': denied"),
            (404, "No such image: nosuch:1"),
            (500, "initializing source docker://x:1: reading manifest 1 in x: manifest unknown: manifest unknown"),
            (500, "reading manifest 1 in quay.io/x: name unknown: repository not found"),
        ] {
            assert!(matches!(told(&server(status, message), About::Image), EngineError::NoSuchImage(_)), "{message}");
        }
        for (status, message) in [(404, "No such image: x:1"), (500, "x:1: image not known")] {
            assert!(matches!(told(&server(status, message), About::Thing), EngineError::NoSuchImage(_)), "{message}");
        }
        let cut = Error::DockerStreamError { error: "manifest for x:1 not found".into() };
        assert!(matches!(told(&cut, About::Image), EngineError::NoSuchImage(_)));
        let down = server(500, "Get \"http://127.0.0.1:9/v2/\": dial tcp 127.0.0.1:9: connect: connection refused");
        assert!(matches!(told(&down, About::Image), EngineError::Other(_)), "the registry is down, not the engine");
        let nowhere = server(500, "Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host");
        assert!(matches!(told(&nowhere, About::Image), EngineError::Other(_)));
    }

    #[test]
    fn names_that_are_taken() {
        for message in [
            "Conflict. The container name \"/b\" is already in use by container \"12\". You have to remove (or rename) it",
            "container create: creating container storage: the container name \"b\" is already in use by 12. You have to",
            "network with name b already exists",
            "network name b already used: network already exists",
        ] {
            for status in [409, 500] {
                let error = told(&server(status, message), About::Thing);
                assert!(matches!(error, EngineError::NameTaken(_)), "{message}");
            }
        }
        for message in [
            "endpoint with name b already exists in network n",
            "remove v: volume is in use - [1234]",
            "removal of container 12 is already in progress",
        ] {
            assert_eq!(told(&server(409, message), About::Thing), EngineError::Other(message.into()));
        }
        assert_eq!(
            told(&server(404, "No such container: b"), About::Thing),
            EngineError::NotFound("No such container: b".into())
        );
    }

    #[test]
    fn ports_and_subnets_that_are_taken() {
        for message in [
            "driver failed programming external connectivity on endpoint b (12): Bind for 127.0.0.1:7000 failed: port is already allocated",
            "driver failed programming external connectivity on endpoint b (12): Error starting userland proxy: listen tcp4 127.0.0.1:7000: bind: address already in use",
            "failed to set up container networking: driver failed programming external connectivity on endpoint b (12): failed to bind host port for 127.0.0.1:7000:172.17.0.2:80/tcp: address already in use",
            "cannot listen on the TCP port: listen tcp4 127.0.0.1:7000: bind: address already in use",
            "rootlessport listen tcp 127.0.0.1:7000: bind: address already in use",
            "pasta failed with exit code 1: Failed to bind port 7000 (Address already in use) for option '-t 7000'",
        ] {
            assert!(says_port_taken(message), "{message}");
        }
        assert!(!says_port_taken("network n not found"));
        for message in [
            "Pool overlaps with other one on this address space",
            "invalid pool request: Pool overlaps with other one on this address space",
            "cannot create network 1 (br-1): conflicts with network 2 (br-2): networks have overlapping IPv4",
            "subnet 10.214.9.0/24 is already used on the host or by another config",
        ] {
            assert!(says_subnet_taken(message), "{message}");
        }
        assert!(!says_subnet_taken("network with name b already exists"));
    }

    #[test]
    fn whatever_keeps_an_engine_from_answering_is_said_in_plain_words() {
        for (kind, words) in [
            (ErrorKind::PermissionDenied, "permission denied"),
            (ErrorKind::ConnectionRefused, "nothing listens there"),
            (ErrorKind::NotFound, "there is no socket"),
        ] {
            let EngineError::Unavailable(reason) = told(&Error::from(io::Error::from(kind)), About::Thing) else {
                panic!("{kind}")
            };
            assert!(reason.contains(words), "{reason}");
        }
        assert_eq!(
            told(&Error::RequestTimeoutError, About::Image),
            EngineError::Unavailable("no answer in time".into())
        );
        assert_eq!(
            told(&server(502, "Bad\r\n Gateway"), About::Engine),
            EngineError::Unavailable("Bad Gateway".into())
        );
        assert_eq!(
            told(&server(500, ""), About::Thing),
            EngineError::Other("the engine answers with status 500".into())
        );
    }

    #[test]
    fn a_message_stays_one_line_of_bounded_length() {
        assert_eq!(one_line(" a\n\tb\u{7}c\r\n"), "a b c");
        assert_eq!(one_line(&"ä".repeat(10_000)).chars().count(), MESSAGE_LENGTH + 1);
    }
}
