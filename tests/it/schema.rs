//! Schemathesis over the API's own description: no answer is a server error, and none is outside of the description.
//!
//! `scripts/test` installs it into `target/schemathesis`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::common::{Process, Server, heavy, rows};
use crate::desktops_without_engine::NO_ENGINE;

/// The same cases each time.
const SEED: &str = "20261124";
/// Generated calls of each operation and run, beside those that cover the description's limits one by one.
const EXAMPLES: &str = "40";
/// One run takes some 10 s; one that hangs is no run.
const RUN_LIMIT: Duration = Duration::from_secs(240);
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

/// Operations that are left out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("connect_agent", "a WebSocket does not end"),
    ("watch_events", "a stream does not end"),
    // Whatever else could end the run's token is called with the ids of another account, or needs a browser's session.
];

/// Desktops cannot be had without an engine: 503 is the right answer, for them and nothing else.
const ENGINE_AWAY: &str = r#"
[[operations]]
include-path-regex = "^/api/desktops"
checks.not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]
"#;

/// Which calls are made.
enum Calls {
    /// With ids that are made up.
    OfNothing,
    /// With ids of what there is, but for those that remove it.
    OfSomething,
    /// Those that remove something that there is.
    Removals,
}

/// A server with a tunnel, an agent and an account that the calls may spoil, and the ids of these.
struct Ground {
    server: Server,
    directory: tempfile::TempDir,
}

impl Ground {
    fn prepare() -> Self {
        let mut server = Server::setup().under(NO_ENGINE).will_restart().start();
        server.enrol("pc1");
        let victim = server.user("victim", "user", &[]);
        let desktop = rows::give_stopped_desktop(&mut server, "victim");
        assert_eq!(victim.post("/api/agents", &json!({ "client_id": "victims" })).0, 201);
        let tunnel = server.create_tunnel("pc1", 22);
        let (user_id, token_id) = (server.user_id("victim"), victim.only_token_id());
        let directory = tempfile::tempdir().expect("a temporary directory");
        let parameters = [
            ("/api/proxy/.*", "id", tunnel.id.as_str()),
            ("/api/agents/.*", "client_id", "victims"),
            ("/api/desktops/.*", "id", &desktop),
            ("/api/desktop-types/.*", "name", "ubuntu-vscode"),
            ("/api/users/.*", "id", &user_id),
            ("/api/tokens/.*", "id", &token_id),
        ];
        let text: String = parameters
            .iter()
            .map(|(path, name, value)| {
                format!("[[operations]]\ninclude-path-regex = \"{path}\"\nparameters = {{ \"path.{name}\" = \"{value}\" }}\n")
            })
            .collect();
        std::fs::write(directory.path().join("ids.toml"), text + ENGINE_AWAY).expect("a file");
        std::fs::write(directory.path().join("none.toml"), ENGINE_AWAY).expect("a file");
        Self { server, directory }
    }

    /// Run it, with the administrator's token or without any.
    fn run(&mut self, with_token: bool, calls: &Calls) {
        let mut command = Command::new(program());
        let configuration = if matches!(calls, Calls::OfNothing) { "none.toml" } else { "ids.toml" };
        command.current_dir(self.directory.path()).env("NO_COLOR", "1");
        // What it learnt in an earlier run would make another of this one.
        command.env("HYPOTHESIS_STORAGE_DIRECTORY", self.directory.path().join("examples"));
        command.args(["--config-file", configuration, "run"]);
        command.arg(format!("http://127.0.0.1:{}/api/openapi.json", self.server.port));
        command.args(["--seed", SEED, "--max-examples", EXAMPLES, "--phases", "examples,coverage,fuzzing"]);
        command.args([
            "--checks",
            CHECKS,
            "--workers",
            "1",
            "--no-shrink",
            "--continue-on-failure",
            "--warnings",
            "off",
        ]);
        for (id, _) in LEFT_OUT {
            command.args(["--exclude-operation-id", id]);
        }
        match calls {
            Calls::OfNothing => {}
            Calls::OfSomething => drop(command.args(["--exclude-method", "DELETE"])),
            Calls::Removals => drop(command.args(["--include-method", "DELETE"])),
        }
        if with_token {
            command.arg("--header").arg(format!("Authorization: Bearer {}", self.server.token));
        }
        let mut process = Process::spawn("schemathesis", &mut command);
        let ended = process.wait_exit(RUN_LIMIT);
        assert!(ended.success(), "it found something; its report follows");
        let report = process.log_text();
        assert!(report.contains("Test cases:"), "it tested nothing: {report}");
        self.assert_sound();
    }

    fn assert_sound(&mut self) {
        assert_eq!(self.server.api().get("/api/agents").0, 200, "the token works as before");
        assert!(self.server.process().is_running());
        assert_eq!(self.server.process().line_with("panicked"), None);
    }
}

fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../schemathesis/bin/schemathesis");
    assert!(program.is_file(), "{} is missing: scripts/test installs it", program.display());
    program
}

#[test]
fn with_an_administrators_token() {
    let _turn = heavy();
    let mut ground = Ground::prepare();
    ground.run(true, &Calls::OfNothing);
    ground.run(true, &Calls::OfSomething);
    ground.run(true, &Calls::Removals);
}

#[test]
fn without_a_token() {
    let _turn = heavy();
    let mut ground = Ground::prepare();
    ground.run(false, &Calls::OfNothing);
    ground.run(false, &Calls::OfSomething);
}
