//! Where an engine is: `DOCKER_HOST`, and the certificates for TLS.

use std::env;
use std::fmt;
use std::path::{Path, PathBuf};

use bollard::{API_DEFAULT_VERSION, Docker, errors::Error};
use hyper::Uri;

use super::EngineError;
use super::errors::{About, told};

/// Where a local engine listens: Docker, and Podman run by root. The first that is there counts.
const LOCAL_SOCKETS: [&str; 2] = ["/var/run/docker.sock", "/run/podman/podman.sock"];

/// The ports of `tcp://` without one, plain and with TLS.
const PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// Seconds of the client's own limit on the head of an answer: a year, as each call here brings a limit of its own.
const NO_LIMIT: u64 = 365 * 24 * 60 * 60;

/// An engine's address. [`fmt::Display`] is for messages.
pub(super) enum Address {
    Sockets(Vec<PathBuf>),
    Remote { docker: Docker, shown: String },
}

/// Where the certificates are, when TLS is wanted.
pub(super) fn certificates(host: Option<&str>) -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let directory = set("DOCKER_CERT_PATH").map(PathBuf::from);
    let wanted = directory.is_some()
        || set("DOCKER_TLS_VERIFY").is_some()
        || host.is_some_and(|host| host.starts_with("https://"));
    wanted.then(|| directory.unwrap_or_else(|| PathBuf::from(set("HOME").unwrap_or_default()).join(".docker")))
}

impl Address {
    /// `certificates`: the directory of `ca.pem`, `cert.pem` and `key.pem`, for TLS with a remote engine.
    pub(super) fn new(host: Option<&str>, certificates: Option<&Path>) -> Result<Self, EngineError> {
        let Some(host) = host else {
            return Ok(Self::Sockets(LOCAL_SOCKETS.map(PathBuf::from).into()));
        };
        if let Some(path) = host.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(wrong(host, "the path of a socket starts with /"));
            }
            return Ok(Self::Sockets(vec![path.into()]));
        }
        let (scheme, authority) = remote(host)?;
        match certificates {
            Some(directory) if scheme != "http" => Self::tls(&authority, directory),
            _ if scheme == "https" => Err(wrong(host, "https:// needs certificates: set DOCKER_CERT_PATH")),
            _ => Self::plain(&authority),
        }
    }

    fn plain(authority: &Authority) -> Result<Self, EngineError> {
        let at = authority.at(PORT);
        let docker = Docker::connect_with_http(&at, NO_LIMIT, API_DEFAULT_VERSION)
            .map_err(|error| told(&error, About::Engine))?;
        Ok(Self::Remote { docker, shown: format!("tcp://{at}") })
    }

    fn tls(authority: &Authority, directory: &Path) -> Result<Self, EngineError> {
        let at = authority.at(TLS_PORT);
        let [ca, certificate, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| directory.join(name));
        for file in [&ca, &certificate, &key] {
            std::fs::File::open(file).map_err(|error| {
                EngineError::Other(format!("TLS needs {}: {error}; see DOCKER_CERT_PATH", file.display()))
            })?;
        }
        let docker = Docker::connect_with_ssl(&at, &key, &certificate, &ca, NO_LIMIT, API_DEFAULT_VERSION)
            .map_err(|error| EngineError::Other(error.to_string()))?;
        Ok(Self::Remote { docker, shown: format!("https://{at}") })
    }

    /// A client; nothing is connected before the first call.
    pub(super) fn connect(&self) -> Result<Docker, Error> {
        match self {
            Self::Remote { docker, .. } => Ok(docker.clone()),
            Self::Sockets(paths) => {
                let path = first_there(paths).to_string_lossy();
                Docker::connect_with_unix(&path, NO_LIMIT, API_DEFAULT_VERSION)
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote { shown, .. } => f.write_str(shown),
            Self::Sockets(paths) => write!(f, "unix://{}", first_there(paths).display()),
        }
    }
}

/// The first that exists, otherwise the first.
fn first_there(paths: &[PathBuf]) -> &Path {
    paths.iter().find(|path| path.exists()).or(paths.first()).map_or(Path::new("/"), PathBuf::as_path)
}

struct Authority {
    host: String,
    port: Option<u16>,
}

impl Authority {
    fn at(&self, default_port: u16) -> String {
        format!("{}:{}", self.host, self.port.unwrap_or(default_port))
    }
}

/// `tcp`, `http` or `https`, and who listens there.
fn remote(host: &str) -> Result<(&str, Authority), EngineError> {
    let known = ["tcp", "http", "https"];
    let Some((scheme, rest)) = host.split_once("://").filter(|(scheme, _)| known.contains(scheme)) else {
        return Err(wrong(host, "it is unix://PATH, tcp://HOST:PORT, http://HOST:PORT or https://HOST:PORT"));
    };
    let uri: Uri = format!("http://{rest}").parse().map_err(|_| wrong(host, "HOST:PORT is not an address"))?;
    let authority = uri.authority().filter(|authority| !authority.host().is_empty());
    let authority = authority.ok_or_else(|| wrong(host, "it names no host"))?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() || authority.as_str().contains('@') {
        return Err(wrong(host, "nothing may stand beside HOST:PORT"));
    }
    let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
        Some(port) => Some(port.parse().map_err(|_| wrong(host, "the port is not one"))?),
        None => None,
    };
    Ok((scheme, Authority { host: authority.host().to_owned(), port }))
}

fn wrong(host: &str, what: &str) -> EngineError {
    EngineError::Other(format!("`{host}` is not the address of an engine: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(host: &str) -> String {
        Address::new(Some(host), None).unwrap_or_else(|error| panic!("{host}: {error}")).to_string()
    }

    #[test]
    fn every_form_of_docker_host_is_understood() {
        for (host, expected) in [
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("tcp://10.0.0.1:2375", "tcp://10.0.0.1:2375"),
            ("tcp://engine", "tcp://engine:2375"),
            ("tcp://engine:2376/", "tcp://engine:2376"),
            ("http://engine:80", "tcp://engine:80"),
            ("tcp://[::1]:99", "tcp://[::1]:99"),
        ] {
            assert_eq!(shown(host), expected);
        }
        assert!(Address::new(None, None).is_ok());
    }

    #[test]
    fn a_wrong_one_is_refused() {
        for host in [
            "",
            "engine",
            "ssh://engine",
            "unix://",
            "unix://relative",
            "tcp://",
            "tcp://:2375",
            "tcp://engine:",
            "tcp://engine:99999",
            "tcp://engine:1/path",
            "tcp://me:pass@engine",
            "https://engine",
            "npipe:////./x",
        ] {
            assert!(Address::new(Some(host), None).is_err(), "{host}");
        }
    }

    #[test]
    fn tls_without_its_files_is_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        for host in ["tcp://engine", "https://engine:1"] {
            let Err(error) = Address::new(Some(host), Some(directory.path())) else { panic!("{host}") };
            assert!(error.to_string().contains("ca.pem"), "{error}");
        }
        assert!(Address::new(Some("http://engine"), Some(directory.path())).is_ok(), "plain is what http:// says");
        assert!(Address::new(Some("unix:///x"), Some(directory.path())).is_ok());
    }
}
