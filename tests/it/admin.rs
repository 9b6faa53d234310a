//! `dockway admin`: what it prints where, and that a running server takes it up.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::common::server::{NOTICED_WITHIN, admin, clean_environment, said};
use crate::common::{Agent, Server, wait_until};

/// One word of at least 16 characters and a line end: a secret and nothing else.
fn assert_secret_alone(output: &std::process::Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    let secret = text.strip_suffix('\n').expect("a line end").to_owned();
    assert!(secret.len() >= 16 && !secret.contains(char::is_whitespace), "{text:?}");
    let elsewhere = String::from_utf8_lossy(&output.stderr);
    assert!(!elsewhere.contains(&secret), "standard error shows the secret");
    secret
}

#[test]
fn secrets_alone_on_standard_output() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = |args: &[&str]| admin(&directory.path().join("data"), args);
    let password = assert_secret_alone(&run(&["user", "add", "admin", "--role", "admin"]));
    let other = assert_secret_alone(&run(&["user", "passwd", "admin"]));
    assert_ne!(password, other);
    assert_secret_alone(&run(&["token", "create", "--user", "admin", "--name", "one"]));
    let token = assert_secret_alone(&run(&["agent", "add", "pc1"]));
    assert!(token.len() >= 43, "256 bits");
    assert_ne!(assert_secret_alone(&run(&["agent", "rotate", "pc1"])), token);
    assert!(said(&run(&["user", "list"])).contains("admin"));
    assert!(said(&run(&["agent", "list"])).contains("pc1"));
    run(&["agent", "remove", "pc1"]);
    assert!(!said(&run(&["agent", "list"])).contains("pc1"));
}

#[test]
fn password_from_standard_input() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dockway"));
    clean_environment(&mut command).env("DOCKWAY_DATA_DIR", directory.path().join("data"));
    command.args(["admin", "user", "add", "admin", "--role", "admin"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    child.stdin.take().expect("it was piped").write_all(b"correct horse battery\n").expect("taken");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.stdout, b"", "nothing was made, so nothing is printed");
}

#[test]
fn mistakes_fail_with_a_reason() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = |args: &[&str]| admin(&directory.path().join("data"), args);
    said(&run(&["user", "add", "admin", "--role", "admin"]));
    said(&run(&["agent", "add", "pc1"]));
    let mistakes: [&[&str]; 7] = [
        &["user", "add", "admin"],
        &["user", "add", "bob", "--role", "emperor"],
        &["user", "passwd", "nobody"],
        &["agent", "add", "pc1"],
        &["agent", "add", "two words"],
        &["agent", "rotate", "pc9"],
        &["token", "create", "--user", "nobody", "--name", "x"],
    ];
    for mistake in mistakes {
        let output = run(mistake);
        assert!(!output.status.success(), "{mistake:?} works");
        assert_eq!(output.stdout, b"", "{mistake:?}");
        let reason = String::from_utf8_lossy(&output.stderr);
        assert!(!reason.trim().is_empty() && !reason.contains("panicked"), "{mistake:?}: {reason}");
    }
}

#[test]
fn running_server_takes_it_up() {
    let server = Server::start();
    let token = server.admin(["agent", "add", "pc7"]);
    let agent = Agent::launch(&server, "pc7", &token, "binary", &[]);
    agent.wait_online();
    let api_token = server.admin(["token", "create", "--user", "admin", "--name", "second"]);
    let second = server.api().with_token(Some(&api_token));
    assert_eq!(second.get("/api/agents").0, 200, "it works at once");
}

#[test]
fn openapi_without_a_server() {
    let server = Server::start();
    let printed: serde_json::Value = serde_json::from_str(&server.admin(["openapi"])).expect("JSON");
    assert_eq!(printed["paths"], server.api().get("/api/openapi.json").1["paths"]);
}

#[test]
fn running_server_takes_up_changes() {
    let server = Server::start();
    let alice = server.user("alice", "user", &[]);
    let status = || alice.get("/api/tokens").0;
    server.admin(["user", "disable", "alice"]);
    wait_until("her token is void", NOTICED_WITHIN, || status() == 401);
    server.admin(["user", "enable", "alice"]);
    wait_until("her token works", NOTICED_WITHIN, || status() == 200);
    server.admin(["user", "role", "alice", "admin"]);
    wait_until("she is an administrator", NOTICED_WITHIN, || server.account("alice")["role"] == "admin");
    server.admin(["user", "role", "alice", "user"]);
    let hers = || server.api().get("/api/agents/pc1").1;
    server.enrol("pc1");
    server.admin(["agent", "owner", "pc1", "alice"]);
    wait_until("the agent is hers", NOTICED_WITHIN, || hers()["owner"] == "alice");
    server.admin(["agent", "share", "pc1"]);
    wait_until("it is shared", NOTICED_WITHIN, || hers()["shared"] == true);
    server.admin(["agent", "unshare", "pc1"]);
    wait_until("it is not shared", NOTICED_WITHIN, || hers()["shared"] == false);
    assert!(!admin(server.data_dir(), ["user", "remove", "alice"]).status.success(), "she has an agent");
    server.admin(["agent", "owner", "pc1", "admin"]);
    server.admin(["user", "remove", "alice"]);
    wait_until("she is gone", NOTICED_WITHIN, || status() == 401);
}

#[test]
fn what_the_api_refuses_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let run = |args: &[&str]| admin(&directory.path().join("data"), args);
    assert!(run(&["user", "add", "admin", "--role", "admin"]).status.success(), "the one reserved name");
    assert!(run(&["agent", "add", "pc1"]).status.success());
    let (long, too_long) = ("n".repeat(101), "a".repeat(33));
    let refused: [&[&str]; 14] = [
        &["user", "add", "api"],
        &["user", "add", "root"],
        &["user", "add", "Alice"],
        &["user", "add", &too_long],
        &["user", "add", "alice", "--email", "no address"],
        &["user", "add", "alice", "--display-name", &long],
        &["user", "disable", "nobody"],
        &["user", "role", "admin", "emperor"],
        &["user", "remove", "nobody"],
        &["token", "create", "--user", "admin", "--name", &long],
        &["token", "create", "--user", "admin", "--name", ""],
        &["agent", "share", "pc2"],
        &["agent", "owner", "pc1", "nobody"],
        &["agent", "owner", "pc2", "admin"],
    ];
    for args in refused {
        let output = run(args);
        let reason = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !reason.trim().is_empty(), "{args:?} works");
        assert!(!reason.contains("panicked"), "{args:?}: {reason}");
    }
    let listed = String::from_utf8(run(&["user", "list"]).stdout).expect("text");
    assert_eq!(listed.lines().count(), 2, "{listed}");
}
