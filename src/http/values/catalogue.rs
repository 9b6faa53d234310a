//! What the values of desktop types may be.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::{Map, Value};

use super::super::fields::Fault;
use super::{integer, limited_text, text};
use crate::desktop::{Kind, image as reference};
use crate::upstream::Scheme;

/// The longest name of a type: it becomes part of URLs and of container names.
const LONGEST_NAME: usize = 40;
/// The most characters of a name that is looked up.
const LONGEST_ASKED: usize = 200;
/// The most characters of what people read.
const LONGEST_LABEL: usize = 80;
/// The most bytes of an entry path.
const LONGEST_ENTRY: usize = 1024;
/// The most bytes of the path of a home.
const LONGEST_HOME: usize = 255;
/// The most characters of a user's name for basic authentication.
const LONGEST_USER: usize = 64;
/// The most entries of a list or an environment.
const MOST_ENTRIES: usize = 100;
/// The most bytes of one entry.
const LONGEST_ENTRY_TEXT: usize = 8 * 1024;
/// The most characters of a host's name (RFC 1035).
const LONGEST_HOST: usize = 253;
/// The least memory that Docker takes for a container, in bytes.
const LEAST_MEMORY: u64 = 6 << 20;
const MOST_MEMORY: u64 = 64 << 40;
const MOST_SHM: u64 = 1 << 40;
/// The kernel knows no more processes (`PID_MAX_LIMIT`).
const MOST_PIDS: u64 = 1 << 22;
/// The least part of a processor that Docker takes.
const LEAST_CPUS: f64 = 0.01;
const MOST_CPUS: f64 = 1024.0;
/// In seconds: a minute to a year.
const IDLE: (u32, u32) = (60, 365 * 24 * 3600);

/// What Linux can let a process do beyond the ordinary: capabilities(7), without `CAP_`.
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// The name of a type that is to be made.
pub fn type_name(value: Value) -> Result<String, Fault> {
    let text = text(value)?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    let good = plain(bytes[0]) && bytes.len() <= LONGEST_NAME && bytes.iter().all(|b| plain(*b) || *b == b'-');
    if good { Ok(text) } else { Err(("format", "must be 1 to 40 of a-z, 0-9 and `-`, with no `-` first".into())) }
}

/// The name of a type that is looked up.
pub fn asked_type(value: Value) -> Result<String, Fault> {
    limited_text(value, LONGEST_ASKED)
}

pub fn type_label(value: Value) -> Result<String, Fault> {
    limited_text(value, LONGEST_LABEL)
}

pub fn kind(value: Value) -> Result<Kind, Fault> {
    word(text(value)?).ok_or_else(|| ("format", "must be `kasm` or `web`".into()))
}

pub fn scheme(value: Value) -> Result<Scheme, Fault> {
    word(text(value)?).ok_or_else(|| ("format", "must be `http` or `https`".into()))
}

fn word<T: serde::de::DeserializeOwned>(text: String) -> Option<T> {
    serde_json::from_value(Value::String(text)).ok()
}

pub fn image(value: Value) -> Result<String, Fault> {
    let text = text(value)?;
    reference::verify(&text).map_err(|bad| ("format", bad.to_string()))?;
    Ok(text)
}

/// Where `/desktop/{proxy_path}` leads, below it: a path, and a query or fragment with it.
pub fn entry_path(value: Value) -> Result<String, Fault> {
    let entry = text(value)?;
    if entry.len() > LONGEST_ENTRY {
        return Err(("too_long", format!("must have at most {LONGEST_ENTRY} bytes")));
    }
    if !entry.starts_with('/') {
        return Err(("format", "must begin with `/`".into()));
    }
    // A browser takes a backslash for a slash.
    if !entry.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
        return Err(("format", "must be ASCII without spaces and backslashes; write others as %XX".into()));
    }
    let path = entry.split(['?', '#']).next().unwrap_or_default();
    if path.split('/').any(is_dot_segment) {
        return Err(("format", "must have no segment `.` or `..`".into()));
    }
    Ok(entry)
}

/// `.` or `..`, as it stands or with its dots written as `%2e`.
fn is_dot_segment(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

/// Without a colon, which ends the name in basic authentication (RFC 7617).
pub fn basic_user(value: Value) -> Result<String, Fault> {
    let user = limited_text(value, LONGEST_USER)?;
    if user.contains(':') { Err(("format", "must have no `:`".into())) } else { Ok(user) }
}

pub fn environment(value: Value) -> Result<BTreeMap<String, String>, Fault> {
    let Value::Object(object) = value else { return Err(("type", "must be an object of strings".into())) };
    if object.len() > MOST_ENTRIES {
        return Err(("too_long", format!("must have at most {MOST_ENTRIES} entries")));
    }
    object.into_iter().enumerate().map(|(n, (name, value))| variable(n, name, value)).collect()
}

fn variable(n: usize, name: String, value: Value) -> Result<(String, String), Fault> {
    let begins = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let bytes = name.as_bytes();
    let named = bytes.first().copied().is_some_and(begins) && bytes.len() <= LONGEST_HOST;
    if !named || !bytes.iter().all(|byte| begins(*byte) || byte.is_ascii_digit()) {
        return Err(("format", format!("name {} must be of A-Z, a-z, 0-9 and `_`, with no digit first", n + 1)));
    }
    Ok((name, argument(n, value)?))
}

/// What to run in place of the image's own.
pub fn command(value: Value) -> Result<Vec<String>, Fault> {
    let words = list(value, argument)?;
    match words.first().map(String::as_str) {
        None | Some("") => Err(("empty", "must begin with a program; null is the image's own".into())),
        Some(_) => Ok(words),
    }
}

/// A text that a program can be given.
fn argument(n: usize, value: Value) -> Result<String, Fault> {
    let Value::String(text) = value else { return Err(("type", format!("entry {} must be a string", n + 1))) };
    if text.contains('\0') {
        return Err(("format", format!("entry {} must not contain NUL", n + 1)));
    }
    if text.len() > LONGEST_ENTRY_TEXT {
        return Err(("too_long", format!("entry {} must have at most {LONGEST_ENTRY_TEXT} bytes", n + 1)));
    }
    Ok(text)
}

fn list<T>(value: Value, entry: impl Fn(usize, Value) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
    let Value::Array(entries) = value else { return Err(("type", "must be a list of strings".into())) };
    if entries.len() > MOST_ENTRIES {
        return Err(("too_long", format!("must have at most {MOST_ENTRIES} entries")));
    }
    entries.into_iter().enumerate().map(|(n, value)| entry(n, value)).collect()
}

pub fn shm_bytes(value: Value) -> Result<u64, Fault> {
    size(&value, 1, MOST_SHM)
}

pub fn memory_bytes(value: Value) -> Result<u64, Fault> {
    size(&value, LEAST_MEMORY, MOST_MEMORY)
}

pub fn pids(value: Value) -> Result<u64, Fault> {
    size(&value, 1, MOST_PIDS)
}

fn size(value: &Value, lowest: u64, highest: u64) -> Result<u64, Fault> {
    let Value::Number(number) = value else { return Err(("type", "must be a number".into())) };
    if number.is_f64() {
        return Err(("type", "must be a whole number".into()));
    }
    let within = number.as_u64().filter(|whole| (lowest..=highest).contains(whole));
    within.ok_or_else(|| ("range", format!("must be from {lowest} to {highest}")))
}

pub fn cpus(value: Value) -> Result<f64, Fault> {
    let number = value.as_f64().ok_or_else(|| ("type", "must be a number".into()))?;
    let within = (LEAST_CPUS..=MOST_CPUS).contains(&number);
    if within { Ok(number) } else { Err(("range", format!("must be from {LEAST_CPUS} to {MOST_CPUS}"))) }
}

/// Names of capabilities; `CAP_` in front is taken off.
pub fn capabilities(value: Value) -> Result<Vec<String>, Fault> {
    let mut names = list(value, |n, value| {
        let Value::String(text) = value else { return Err(("type", format!("entry {} must be a string", n + 1))) };
        let name = text.strip_prefix("CAP_").unwrap_or(&text);
        if CAPABILITIES.contains(&name) {
            return Ok(name.to_owned());
        }
        Err(("format", format!("entry {} is no capability of Linux; write it like `SYS_NICE`", n + 1)))
    })?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// `unconfined`, or a profile as the text of a JSON object.
pub fn seccomp(value: Value) -> Result<String, Fault> {
    let Value::String(text) = value else { return Err(("type", "must be a string".into())) };
    if text == "unconfined" || serde_json::from_str::<Map<String, Value>>(&text).is_ok() {
        return Ok(text);
    }
    Err(("format", "must be `unconfined`, or a profile: the text of a JSON object".into()))
}

/// `name:address` each; the address may be `host-gateway`, the engine's host.
pub fn extra_hosts(value: Value) -> Result<Vec<String>, Fault> {
    list(value, |n, value| {
        let Value::String(entry) = value else { return Err(("type", format!("entry {} must be a string", n + 1))) };
        if is_host_entry(&entry) {
            return Ok(entry);
        }
        Err(("format", format!("entry {} must be like `db:10.0.0.7` or `db:host-gateway`", n + 1)))
    })
}

fn is_host_entry(entry: &str) -> bool {
    let Some((name, address)) = entry.split_once(':') else { return false };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let named = (1..=LONGEST_HOST).contains(&name.len()) && name.bytes().all(plain);
    named && (address == "host-gateway" || address.parse::<IpAddr>().is_ok())
}

/// Where the home is mounted. A colon ends a path in what engines are told of mounts.
pub fn home_path(value: Value) -> Result<String, Fault> {
    let path = text(value)?;
    if path.len() > LONGEST_HOME {
        return Err(("too_long", format!("must have at most {LONGEST_HOME} bytes")));
    }
    let Some(below) = path.strip_prefix('/') else { return Err(("format", "must begin with `/`".into())) };
    if below.split('/').any(|segment| matches!(segment, "" | "." | "..")) || below.contains(':') {
        return Err(("format", "must be a directory like `/home/kasm-user`".into()));
    }
    Ok(path)
}

/// After how many seconds without use a desktop is stopped.
pub fn idle_limit_s(value: Value) -> Result<u64, Fault> {
    integer(value, IDLE.0, IDLE.1).map(u64::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each value, and the code that it is refused with; `ok` if it is taken.
    fn assert_codes<T>(parse: impl Fn(Value) -> Result<T, Fault>, table: &[(Value, &str)]) {
        for (value, expected) in table {
            let code = parse(value.clone()).err().map_or("ok", |(code, _)| code);
            let shown: String = value.to_string().chars().take(60).collect();
            assert_eq!(code, *expected, "{shown}");
        }
    }

    #[test]
    fn names_labels_and_words() {
        assert_codes(
            type_name,
            &[
                (json!("ubuntu-vscode"), "ok"),
                (json!("9-"), "ok"),
                (json!("a".repeat(40)), "ok"),
                (json!("a".repeat(41)), "format"),
                (json!("-a"), "format"),
                (json!("Ubuntu"), "format"),
                (json!("a.b"), "format"),
                (json!("a/b"), "format"),
                (json!("\u{e9}"), "format"),
                (json!(""), "empty"),
                (json!(1), "type"),
            ],
        );
        assert_codes(
            type_label,
            &[(json!("Büro – 1"), "ok"), (json!("l".repeat(81)), "too_long"), (json!("a\nb"), "format")],
        );
        assert_codes(
            kind,
            &[(json!("kasm"), "ok"), (json!("web"), "ok"), (json!("Kasm"), "format"), (json!(1), "type")],
        );
        assert_codes(scheme, &[(json!("https"), "ok"), (json!("ftp"), "format")]);
        assert_codes(image, &[(json!("a/b:1"), "ok"), (json!("a/b"), "format"), (json!("A"), "format")]);
        assert!(image(json!("a/b")).unwrap_err().1.contains("tag or a digest"));
    }

    #[test]
    fn paths() {
        assert_codes(
            entry_path,
            &[
                (json!("/"), "ok"),
                (json!("/vnc.html?path=desktop/{proxy_path}/websockify&autoconnect=1#a=../b"), "ok"),
                (json!("/a/..b/.c/...?x=/../y"), "ok"),
                (json!("/a%20b/%2f"), "ok"),
                (json!(format!("/{}", "a".repeat(1023))), "ok"),
                (json!(format!("/{}", "a".repeat(1024))), "too_long"),
                (json!("vnc.html"), "format"),
                (json!("https://example.org/"), "format"),
                (json!("/a/../b"), "format"),
                (json!("/.."), "format"),
                (json!("/./a"), "format"),
                (json!("/%2e%2E/a"), "format"),
                (json!("/.%2e?x"), "format"),
                (json!("/..\\a"), "format"),
                (json!("/a b"), "format"),
                (json!("/é"), "format"),
                (json!("/a\r\nX: y"), "format"),
                (json!(""), "empty"),
            ],
        );
        assert_codes(
            home_path,
            &[
                (json!("/home/kasm-user"), "ok"),
                (json!("/config"), "ok"),
                (json!("/"), "format"),
                (json!("home"), "format"),
                (json!("/home/"), "format"),
                (json!("/home//x"), "format"),
                (json!("/home/../etc"), "format"),
                (json!("/home:ro"), "format"),
                (json!("/a\0"), "format"),
                (json!(format!("/{}", "a".repeat(255))), "too_long"),
            ],
        );
    }

    #[test]
    fn what_the_container_is_given() {
        assert_codes(
            environment,
            &[
                (json!({}), "ok"),
                (json!({"VNC_PW": "{password}", "_x9": "two\nlines", "EMPTY": ""}), "ok"),
                (json!({"9X": "a"}), "format"),
                (json!({"A=B": "a"}), "format"),
                (json!({"": "a"}), "format"),
                (json!({"É": "a"}), "format"),
                (json!({"A": 1}), "type"),
                (json!({"A": "x\0"}), "format"),
                (json!({"A": "x".repeat(8193)}), "too_long"),
                (json!(["A=B"]), "type"),
                (json!((0..101).map(|n| (format!("A{n}"), "x")).collect::<BTreeMap<_, _>>()), "too_long"),
            ],
        );
        assert_codes(
            command,
            &[
                (json!(["/bin/sh", "-c", ""]), "ok"),
                (json!([]), "empty"),
                (json!([""]), "empty"),
                (json!(["a", 1]), "type"),
                (json!(["a\0"]), "format"),
                (json!("sh"), "type"),
                (json!(vec!["a"; 101]), "too_long"),
            ],
        );
        assert_codes(
            extra_hosts,
            &[
                (json!(["db:10.0.0.7", "db.lan:fd00::7", "host.docker.internal:host-gateway"]), "ok"),
                (json!(["db"]), "format"),
                (json!(["db:"]), "format"),
                (json!([":10.0.0.7"]), "format"),
                (json!(["db:other"]), "format"),
                (json!(["d b:10.0.0.7"]), "format"),
                (json!(["db:10.0.0.7/8"]), "format"),
                (json!([1]), "type"),
            ],
        );
        assert_codes(
            basic_user,
            &[(json!("kasm_user"), "ok"), (json!("a:b"), "format"), (json!(""), "empty"), (json!(null), "type")],
        );
    }

    #[test]
    fn sizes_and_limits() {
        let table = [(json!(0), "range"), (json!(-1), "range"), (json!(1.5), "type"), (json!("1"), "type")];
        for parse in [shm_bytes, memory_bytes, pids, idle_limit_s] {
            assert_codes(parse, &table);
            assert_codes(parse, &[(json!(u64::MAX), "range")]);
        }
        assert_codes(shm_bytes, &[(json!(1), "ok"), (json!(1_u64 << 40), "ok"), (json!((1_u64 << 40) + 1), "range")]);
        assert_codes(memory_bytes, &[(json!(LEAST_MEMORY), "ok"), (json!(LEAST_MEMORY - 1), "range")]);
        assert_codes(pids, &[(json!(1), "ok"), (json!(4_194_305), "range")]);
        assert_codes(
            idle_limit_s,
            &[(json!(59), "range"), (json!(60), "ok"), (json!(31_536_000), "ok"), (json!(31_536_001), "range")],
        );
        assert_codes(
            cpus,
            &[
                (json!(0.5), "ok"),
                (json!(2), "ok"),
                (json!(1024), "ok"),
                (json!(1024.5), "range"),
                (json!(0), "range"),
                (json!(0.001), "range"),
                (json!(-1), "range"),
                (json!("2"), "type"),
            ],
        );
    }

    #[test]
    fn what_the_kernel_allows() {
        let taken = capabilities(json!(["CAP_SYS_NICE", "CHOWN", "SYS_NICE"]));
        assert_eq!(taken, Ok(vec!["CHOWN".to_owned(), "SYS_NICE".to_owned()]));
        assert_codes(
            capabilities,
            &[
                (json!([]), "ok"),
                (json!(["ALL"]), "format"),
                (json!(["sys_nice"]), "format"),
                (json!(["CAP_CAP_CHOWN"]), "format"),
                (json!([1]), "type"),
                (json!("CHOWN"), "type"),
            ],
        );
        assert!(CAPABILITIES.is_sorted());
        assert_codes(
            seccomp,
            &[
                (json!("unconfined"), "ok"),
                (json!("{\n \"defaultAction\": \"SCMP_ACT_ALLOW\"}"), "ok"),
                (json!("/etc/profile.json"), "format"),
                (json!("[]"), "format"),
                (json!("{"), "format"),
                (json!(""), "format"),
                (json!({}), "type"),
            ],
        );
    }
}
