//! People beside the administrator of every server.

use std::process::Command;

use super::process::output_of;
use super::{Api, PYTHON, Server};

/// An account with this role, and the API as a token with these scopes sees it; without scopes, with all that the
/// account may have.
pub fn user(server: &Server, name: &str, role: &str, scopes: &[&str]) -> Api {
    server.admin(["user", "add", name, "--role", role]);
    token(server, name, scopes)
}

/// The API as another token of an account sees it.
pub fn token(server: &Server, name: &str, scopes: &[&str]) -> Api {
    let mut words = vec!["token", "create", "--user", name, "--name", "test"];
    words.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
    let token = server.admin(words);
    let api = server.api().with_token(Some(&token));
    // What another program writes is noticed a moment later.
    super::wait_until("the token is known", super::SOON, || api.get("/api/agents/nobody").0 != 401);
    api
}

/// What a Python script prints that is given the server's database file and these words.
pub fn asked(server: &Server, script: &str, words: &[&str]) -> String {
    let mut command = Command::new(PYTHON);
    command.args(["-c", script]).arg(server.data_dir().join("dockway.db")).args(words);
    String::from_utf8(output_of(&mut command)).expect("text")
}

/// The ids of an account and of a token of it.
pub fn ids(server: &Server, username: &str) -> (String, String) {
    const SCRIPT: &str = "
import sqlite3, sys
database = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro', uri=True)
query = 'SELECT u.id, t.id FROM users u JOIN api_tokens t ON t.user_id = u.id WHERE u.username = ?'
print(*database.execute(query, (sys.argv[2],)).fetchone())
";
    let found = asked(server, SCRIPT, &[username]);
    let (user_id, token_id) = found.trim_end().split_once(' ').expect("two ids");
    (user_id.to_owned(), token_id.to_owned())
}

/// Make an account inactive in the database, as another program could.
pub fn deactivate(server: &Server, username: &str) {
    const SCRIPT: &str = "
import sqlite3, sys
with sqlite3.connect(sys.argv[1], timeout=10) as database:
    database.execute('UPDATE users SET active = 0 WHERE username = ?', (sys.argv[2],))
";
    asked(server, SCRIPT, &[username]);
}
