//! What a desktop's address is made of. Pure.

/// The number of the second desktop that would have the same path.
const SECOND: u32 = 2;

/// `{username}-{desktop-type}`; with a number behind it where somebody else has that, since `a-b` of type `c` and `a` of
/// type `b-c` are told apart by nothing else.
pub fn proxy_path(username: &str, desktop_type: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let plain = format!("{username}-{desktop_type}");
    if !is_taken(&plain) {
        return plain;
    }
    let mut numbered = (SECOND..).map(|number| format!("{plain}-{number}"));
    // There are more numbers than rows.
    numbered.find(|path| !is_taken(path)).unwrap_or(plain)
}

/// Where a desktop is opened, from its slash.
pub fn desktop_url(proxy_path: &str) -> String {
    format!("/desktop/{proxy_path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_owners_alone() {
        for (username, desktop_type, taken, path) in [
            ("alice", "ubuntu-vscode", &[][..], "alice-ubuntu-vscode"),
            ("alice", "ubuntu-desktop", &["alice-ubuntu-vscode"], "alice-ubuntu-desktop"),
            ("alice-ubuntu", "desktop", &["alice-ubuntu-desktop"], "alice-ubuntu-desktop-2"),
            ("a-b", "c", &["a-b-c", "a-b-c-2", "a-b-c-4"], "a-b-c-3"),
        ] {
            assert_eq!(proxy_path(username, desktop_type, |path| taken.contains(&path)), path);
        }
        assert_eq!(desktop_url("alice-x"), "/desktop/alice-x");
    }
}
