//! Flags over environment over file over defaults. The variables that clap reads belong to the whole process, so they
//! are tried by starting the program, in the integration tests; here only the secrets' variables are passed in.

use clap::Parser;

use super::cli::{AgentArgs, ServeArgs};
use super::*;

#[derive(Debug, Parser)]
struct ServeLine {
    #[command(flatten)]
    args: ServeArgs,
}

#[derive(Debug, Parser)]
struct AgentLine {
    #[command(flatten)]
    args: AgentArgs,
}

fn nothing(_: &str) -> Option<String> {
    None
}

fn serve(flags: &[&str], environment: Environment<'_>) -> Result<(Config, LogConfig), String> {
    let line = std::iter::once("serve").chain(flags.iter().copied());
    let parsed = ServeLine::try_parse_from(line).map_err(|error| error.to_string())?;
    parsed.args.resolve_in(environment).map_err(|error| error.to_string())
}

fn agent(flags: &[&str], environment: Environment<'_>) -> Result<AgentConfig, String> {
    let line = ["agent", "--server", "http://localhost:8080/", "--client-id", "pc1"].into_iter();
    let parsed = AgentLine::try_parse_from(line.chain(flags.iter().copied())).map_err(|error| error.to_string())?;
    parsed.args.resolve_in(environment).map(|(config, _)| config).map_err(|error| error.to_string())
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn defaults() {
    let (config, log) = serve(&[], &nothing).unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.public_url, None);
    assert_eq!(config.http.agent_path, "/api/agent/ws");
    assert_eq!(config.data.data_dir, PathBuf::from("./data"));
    assert_eq!(config.data.database_url, "sqlite://./data/dockway.db");
    assert_eq!(config.data.secret_key_file, PathBuf::from("./data/secret.key"));
    assert_eq!(config.data.admin_password, None);
    assert_eq!(config.tunnel.bind.to_string(), "0.0.0.0");
    assert_eq!(config.tunnel.ports, 10_000..=60_000);
    assert_eq!((config.tunnel.hold, config.tunnel.drain), (Duration::from_secs(10), Duration::from_secs(10)));
    assert_eq!(log, LogConfig { format: LogFormat::Auto, directives: "info".into() });
}

#[test]
fn a_flag_beats_the_file_and_the_file_beats_the_default() {
    let (_directory, path) = file(
        "listen = '0.0.0.0:1'\npublic_url = 'desk.example.org'\nagent_path = '/a'\ndata_dir = '/var/d'\n\
         tunnel_bind = '::'\ntunnel_ports = '20000-20010'\ntunnel_hold = 3\ndrain = 0\n\
         log = 'warn'\nlog_format = 'json'\n",
    );
    let (config, log) = serve(&["--config", &path], &nothing).unwrap();
    assert_eq!(config.http.listen.to_string(), "0.0.0.0:1");
    assert_eq!(config.http.public_url.as_deref(), Some("http://desk.example.org"));
    assert_eq!(config.http.agent_path, "/a");
    assert_eq!(config.data.database_url, "sqlite:///var/d/dockway.db");
    assert_eq!(config.data.secret_key_file, PathBuf::from("/var/d/secret.key"));
    assert_eq!(config.tunnel.bind.to_string(), "::");
    assert_eq!(config.tunnel.ports, 20_000..=20_010);
    assert_eq!((config.tunnel.hold, config.tunnel.drain), (Duration::from_secs(3), Duration::ZERO));
    assert_eq!(log, LogConfig { format: LogFormat::Json, directives: "warn".into() });

    let file = ["--config", &path];
    let flags = ["--listen", "127.0.0.1:0", "--tunnel-ports", "5-6", "--data-dir", "/d", "--log", "debug"];
    let (config, log) = serve(&[file.as_slice(), flags.as_slice()].concat(), &nothing).unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:0");
    assert_eq!(config.tunnel.ports, 5..=6);
    assert_eq!(config.data.database_url, "sqlite:///d/dockway.db");
    assert_eq!(config.tunnel.hold, Duration::from_secs(3));
    assert_eq!(log, LogConfig { format: LogFormat::Json, directives: "debug".into() });
}

#[test]
fn wrong_values_are_refused_by_name() {
    let cases: &[(&[&str], &str)] = &[
        (&["--tunnel-ports", "60000-10000"], "ends before it begins"),
        (&["--listen", "nowhere"], "--listen"),
        (&["--tunnel-hold", "3601"], "--tunnel-hold"),
        (&["--config", "/does/not/exist"], "cannot read /does/not/exist"),
        (&["--admin-password-file", "/does/not/exist"], "--admin-password-file: cannot read"),
        (&["--log-format", "xml"], "--log-format"),
    ];
    for (flags, expected) in cases {
        let error = serve(flags, &nothing).unwrap_err();
        assert!(error.contains(expected), "{flags:?}: {error}");
    }
}

#[test]
fn wrong_files_are_refused_by_key() {
    let cases = [
        ("colour = 'red'", "unknown field `colour`"),
        ("listen = 8080", "listen"),
        ("tunnel_ports = '60000-10000'", "ends before it begins"),
        ("tunnel_hold = 1000000", "whole seconds"),
        ("listen = ", "TOML"),
    ];
    for (text, expected) in cases {
        let (_directory, path) = file(text);
        let error = serve(&["--config", &path], &nothing).unwrap_err();
        assert!(error.contains(expected) && error.contains(&path), "{text}: {error}");
    }
}

#[test]
fn another_database_is_refused_without_repeating_its_password() {
    let (_directory, path) = file("database_url = 'mysql://u:hunter2@h/d'");
    for flags in [["--config", &path], ["--database-url", "postgres://u:hunter2@h/d"]] {
        assert_eq!(serve(&flags, &nothing).unwrap_err(), "--database-url: only sqlite:// for now");
    }
}

#[test]
fn the_admins_password_comes_from_flag_then_environment_then_file() {
    let (_first, flag_file) = file("from the flag \n");
    let (_second, toml_secret) = file("from the file\n");
    let (_third, toml) = file(&format!("admin_password_file = '{toml_secret}'"));
    let variable = |name: &str| (name == "DOCKWAY_ADMIN_PASSWORD").then(|| "from the variable".to_owned());
    let password = |flags: &[&str], environment: Environment<'_>| {
        serve(flags, environment).unwrap().0.data.admin_password.map(|Secret(text)| text)
    };
    let all = ["--config", &toml, "--admin-password-file", &flag_file];
    assert_eq!(password(&all, &variable).as_deref(), Some("from the flag"));
    assert_eq!(password(&all[..2], &variable).as_deref(), Some("from the variable"));
    assert_eq!(password(&all[..2], &nothing).as_deref(), Some("from the file"));

    let (_fourth, empty) = file(" \n");
    let error = serve(&["--admin-password-file", &empty], &nothing).unwrap_err();
    assert_eq!(error, "--admin-password-file: the secret is empty");
    let error = serve(&[], &|name| (name == "DOCKWAY_ADMIN_PASSWORD").then(String::new)).unwrap_err();
    assert_eq!(error, "DOCKWAY_ADMIN_PASSWORD: the secret is empty");
}

#[test]
fn an_agents_settings() {
    let (_directory, path) = file("dwa_token\n");
    let config = agent(&["--token-file", &path, "--allow", "10.0.0.0/8:22", "--allow", "db:5432,web:80-90"], &nothing);
    let config = config.unwrap();
    assert_eq!(config.server, "http://localhost:8080");
    assert_eq!(config.token, Secret("dwa_token".into()));
    assert_eq!(config.allow, ["10.0.0.0/8:22", "db:5432", "web:80-90"]);
    assert_eq!((config.protocol, config.agent_path.as_str()), (AgentProtocol::Binary, "/api/agent/ws"));
    assert!(!format!("{config:?}").contains("dwa_token"));

    let token = |name: &str| (name == "DOCKWAY_TOKEN").then(|| " dwa_variable ".to_owned());
    let config = agent(&["--protocol", "json"], &token).unwrap();
    assert_eq!((config.token, config.protocol), (Secret("dwa_variable".into()), AgentProtocol::Json));
    assert!(config.allow.is_empty());
}

#[test]
fn an_agent_without_a_token_or_with_a_wrong_setting_is_refused() {
    let (_directory, empty) = file("\n");
    let (_other, two_lines) = file("one\ntwo\n");
    assert!(agent(&[], &nothing).unwrap_err().contains("DOCKWAY_TOKEN"));
    assert_eq!(agent(&["--token-file", &empty], &nothing).unwrap_err(), "--token-file: the secret is empty");
    assert!(agent(&["--token-file", &two_lines], &nothing).is_err());
    assert!(agent(&["--token-file", "/does/not/exist"], &nothing).unwrap_err().contains("cannot read"));
    let token = |name: &str| (name == "DOCKWAY_TOKEN").then(|| "dwa_x".to_owned());
    assert!(agent(&["--allow", ""], &token).unwrap_err().contains("an entry is empty"));
    assert!(agent(&["--ca-file", "/does/not/exist"], &token).unwrap_err().contains("--ca-file"));
    assert!(agent(&["--protocol", "grpc"], &token).is_err());
}
