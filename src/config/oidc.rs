//! `[[oidc]]` tables of the TOML file: who else may sign people in.

use std::path::PathBuf;

use openidconnect::url::{Host, Url};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;

use super::{ConfigError, Environment, OidcProvider, Secret};

const SETTING: &str = "oidc";
/// The longest name of a provider: it becomes part of URLs.
const NAME_LIMIT: usize = 32;
/// The most characters of what a button says.
const LABEL_LIMIT: usize = 64;
/// The longest client id, scope, claim or group.
const WORD_LIMIT: usize = 255;

/// One table, as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcTable {
    name: String,
    label: Option<String>,
    issuer: String,
    client_id: String,
    client_secret_file: Option<PathBuf>,
    scopes: Option<Vec<String>>,
    username_claim: Option<String>,
    groups_claim: Option<String>,
    admin_group: Option<String>,
    sign_up: Option<bool>,
    ca_file: Option<PathBuf>,
}

/// Check the tables, and read the files that they name.
///
/// # Errors
/// The first key that cannot be taken as it is, by the name of its provider.
pub fn providers(tables: Vec<OidcTable>, environment: Environment<'_>) -> Result<Vec<OidcProvider>, ConfigError> {
    let mut known: Vec<OidcProvider> = Vec::new();
    for table in tables {
        let name = table.name.clone();
        let provider = table.resolve(environment);
        let provider =
            provider.map_err(|reason| ConfigError::invalid(SETTING, format!("provider `{name}`: {reason}")))?;
        if known.iter().any(|other| other.name == name) {
            return Err(ConfigError::invalid(SETTING, format!("name: two providers are called `{name}`")));
        }
        known.push(provider);
    }
    Ok(known)
}

impl OidcTable {
    fn resolve(self, environment: Environment<'_>) -> Result<OidcProvider, String> {
        verify_name(&self.name)?;
        let label = self.label.unwrap_or_else(|| self.name.clone());
        if label.trim().is_empty() || label.chars().count() > LABEL_LIMIT || label.chars().any(char::is_control) {
            return Err(format!("label: write 1 to {LABEL_LIMIT} characters"));
        }
        verify_issuer(&self.issuer)?;
        let client_secret = client_secret(&self.name, self.client_secret_file, environment)?;
        let scopes = self.scopes.unwrap_or_else(|| vec!["profile".into(), "email".into()]);
        scopes.iter().try_for_each(|scope| verify_scope(scope))?;
        if self.groups_claim.is_some() != self.admin_group.is_some() {
            return Err("groups_claim and admin_group: give both, or neither".into());
        }
        if let Some(path) = &self.ca_file {
            verify_ca_file(path)?;
        }
        Ok(OidcProvider {
            client_id: word("client_id", self.client_id)?,
            // Asked for in any case.
            scopes: scopes.into_iter().filter(|scope| scope != "openid").collect(),
            username_claim: word("username_claim", self.username_claim.unwrap_or("preferred_username".into()))?,
            groups_claim: self.groups_claim.map(|claim| word("groups_claim", claim)).transpose()?,
            admin_group: self.admin_group.map(|group| word("admin_group", group)).transpose()?,
            name: self.name,
            label,
            issuer: self.issuer,
            client_secret,
            sign_up: self.sign_up.unwrap_or(true),
            ca_file: self.ca_file,
        })
    }
}

fn verify_name(name: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > NAME_LIMIT || !name.bytes().all(fits) {
        return Err(format!("name: write 1 to {NAME_LIMIT} of a-z, 0-9 and `-`"));
    }
    Ok(())
}

/// A secret travels to the issuer and a person's identity back: in the clear only within this machine.
fn verify_issuer(issuer: &str) -> Result<(), String> {
    let wanted = || "issuer: write the provider's URL, like https://id.example.org/realms/main".to_owned();
    let url = Url::parse(issuer).map_err(|_| wanted())?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(wanted()),
    };
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(wanted());
    }
    match url.scheme() {
        "https" => Ok(()),
        "http" if local => Ok(()),
        "http" => Err("issuer: write an https URL; http is for a provider on this machine".into()),
        _ => Err(wanted()),
    }
}

/// A scope token of RFC 6749, section 3.3.
fn verify_scope(scope: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    if scope.is_empty() || scope.len() > WORD_LIMIT || !scope.bytes().all(fits) {
        return Err("scopes: write each scope as a word by itself".into());
    }
    Ok(())
}

fn word(key: &str, text: String) -> Result<String, String> {
    if text.is_empty() || text.len() > WORD_LIMIT || text.chars().any(char::is_control) {
        return Err(format!("{key}: write 1 to {WORD_LIMIT} characters"));
    }
    Ok(text)
}

/// From the environment, else from the file.
fn client_secret(name: &str, file: Option<PathBuf>, environment: Environment<'_>) -> Result<Option<Secret>, String> {
    let variable = format!("DOCKWAY_OIDC_{}_CLIENT_SECRET", name.to_uppercase().replace('-', "_"));
    let (source, text) = match (environment(&variable), file) {
        (Some(text), _) => (variable, text),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path);
            let text = text.map_err(|error| format!("client_secret_file: cannot read {}: {error}", path.display()))?;
            ("client_secret_file".to_owned(), text)
        }
        (None, None) => return Ok(None),
    };
    match text.trim() {
        "" => Err(format!("{source}: the secret is empty")),
        secret => Ok(Some(Secret(secret.to_owned()))),
    }
}

fn verify_ca_file(path: &std::path::Path) -> Result<(), String> {
    let fail = |error: &dyn std::fmt::Display| format!("ca_file: cannot use {}: {error}", path.display());
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| fail(&error))?;
    let certificates: Result<Vec<_>, _> = certificates.collect();
    match certificates.map_err(|error| fail(&error))?.len() {
        0 => Err(fail(&"it holds no certificate")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::FileConfig;
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    fn resolved(text: &str, environment: Environment<'_>) -> Result<Vec<OidcProvider>, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("file"), text).unwrap();
        let file = FileConfig::read(Some(&directory.path().join("file"))).map_err(|error| error.to_string())?;
        providers(file.oidc, environment).map_err(|error| error.to_string())
    }

    /// A table of what must be there, and one more line.
    fn table(line: &str) -> String {
        let keys = ["name = 'corp'", "issuer = 'https://id.test'", "client_id = 'dockway'"];
        let given = line.split(' ').next().unwrap();
        let kept: Vec<_> = keys.into_iter().filter(|key| key.split(' ').next() != Some(given)).collect();
        format!("[[oidc]]\n{}\n{line}\n", kept.join("\n"))
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let [provider] = resolved(&table(""), &nothing).unwrap().try_into().unwrap();
        assert_eq!((provider.name.as_str(), provider.label.as_str()), ("corp", "corp"));
        assert_eq!((provider.issuer.as_str(), provider.client_id.as_str()), ("https://id.test", "dockway"));
        assert_eq!((provider.client_secret, provider.scopes), (None, vec!["profile".into(), "email".into()]));
        assert_eq!((provider.username_claim.as_str(), provider.sign_up), ("preferred_username", true));
        assert_eq!((provider.groups_claim, provider.admin_group, provider.ca_file), (None, None, None));
    }

    #[test]
    fn everything_can_be_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, " hush\n").unwrap();
        let text = format!(
            "listen = '127.0.0.1:1'\n[[oidc]]\nname = 'a-1'\nlabel = 'Länger & mehr'\nissuer = 'http://[::1]:9/x/'\n\
             client_id = 'c'\nclient_secret_file = '{}'\nscopes = ['openid', 'groups']\nusername_claim = 'nick'\n\
             groups_claim = 'groups'\nadmin_group = 'staff'\nsign_up = false\n{}",
            path.display(),
            table("")
        );
        let [provider, other] = resolved(&text, &nothing).unwrap().try_into().unwrap();
        assert_eq!((provider.label.as_str(), provider.issuer.as_str()), ("Länger & mehr", "http://[::1]:9/x/"));
        assert_eq!((provider.client_secret, provider.scopes), (Some(Secret("hush".into())), vec!["groups".into()]));
        assert_eq!((provider.username_claim.as_str(), provider.sign_up), ("nick", false));
        assert_eq!(
            (provider.groups_claim.as_deref(), provider.admin_group.as_deref()),
            (Some("groups"), Some("staff"))
        );
        assert_eq!(other.name, "corp");
        let environment = |name: &str| (name == "DOCKWAY_OIDC_A_1_CLIENT_SECRET").then(|| "louder ".to_owned());
        let [provider, other] = resolved(&text, &environment).unwrap().try_into().unwrap();
        assert_eq!((provider.client_secret, other.client_secret), (Some(Secret("louder".into())), None));
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        let long = "x".repeat(256);
        let lines = [
            ("name = 'Corp'", "name: write"),
            ("name = ''", "name: write"),
            ("name = 'a_b'", "name: write"),
            (&format!("name = '{}'", &long[..33]), "name: write"),
            ("label = ' '", "label: write"),
            (&format!("label = '{long}'"), "label: write"),
            ("issuer = 'id.test'", "issuer: write"),
            ("issuer = 'http://id.test'", "issuer: write an https URL"),
            ("issuer = 'http://127.0.0.1.id.test'", "issuer: write an https URL"),
            ("issuer = 'http://192.0.2.1'", "issuer: write an https URL"),
            ("issuer = 'ftp://localhost'", "issuer: write"),
            ("issuer = 'https://a:b@id.test'", "issuer: write"),
            ("issuer = 'https://id.test?a'", "issuer: write"),
            ("issuer = 'https://id.test#a'", "issuer: write"),
            ("client_id = ''", "client_id: write"),
            (&format!("client_id = '{long}'"), "client_id: write"),
            ("client_secret_file = '/nonexistent'", "client_secret_file: cannot read /nonexistent"),
            ("client_secret_file = '/dev/null'", "client_secret_file: the secret is empty"),
            ("scopes = ['a b']", "scopes: write"),
            ("scopes = ['']", "scopes: write"),
            ("username_claim = ''", "username_claim: write"),
            ("groups_claim = 'groups'", "groups_claim and admin_group: give both"),
            ("admin_group = 'staff'", "groups_claim and admin_group: give both"),
            ("ca_file = '/nonexistent'", "ca_file: cannot use /nonexistent"),
            ("ca_file = '/dev/null'", "it holds no certificate"),
            ("sign_up = 'no'", "sign_up"),
            ("client_secret = 'x'", "unknown field `client_secret`"),
            ("colour = 'red'", "unknown field `colour`"),
        ];
        for (line, part) in lines {
            let refused = resolved(&table(line), &nothing).expect_err(line);
            assert!(refused.contains(part), "{line}: {refused}");
        }
        let twice = resolved(&format!("{}{}", table(""), table("")), &nothing).unwrap_err();
        assert!(twice.contains("two providers are called `corp`"), "{twice}");
        let missing = resolved("[[oidc]]\nname = 'corp'\n", &nothing).unwrap_err();
        assert!(missing.contains("missing field `issuer`"), "{missing}");
        let empty = resolved(&table(""), &|_| Some(String::new())).unwrap_err();
        assert!(empty.contains("DOCKWAY_OIDC_CORP_CLIENT_SECRET: the secret is empty"), "{empty}");
    }
}
