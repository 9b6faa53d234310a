//! Rows that the API cannot make without a container engine.

use std::process::Command;
use std::time::Duration;

use super::process::output_of;
use super::{PYTHON, Server};

/// The server that restarts may take so long to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);

const SCRIPT: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1])
database.execute(
    \"INSERT INTO containers (id, owner_id, type_id, proxy_path, status, created_at) VALUES (?, ?, ?, ?, 'stopped', 1)\",
    sys.argv[2:],
)
database.commit()
";

/// Give an account a desktop of the type `debian-desktop` that is stopped, and restart the server, which must have been
/// set up for that. The desktop's id.
pub fn give_stopped_desktop(server: &mut Server, username: &str) -> String {
    let (id, owner_id, path) =
        (format!("desk-{username}"), server.user_id(username), format!("{username}-debian-desktop"));
    assert!(server.terminate(STOP_LIMIT).success());
    let mut command = Command::new(PYTHON);
    command.args(["-c", SCRIPT]).arg(server.data_dir().join("dockway.db"));
    output_of(command.args([&id, &owner_id, "debian-desktop", &path]));
    server.restart();
    id
}
