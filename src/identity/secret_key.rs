//! The key that encrypts what has to be read again, such as a desktop's password. Made at the first start.

use std::fs::{OpenOptions, Permissions, read, set_permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::store::values::random_bytes;

/// Bytes of the key; in the file they stand in base64.
const KEY_BYTES: usize = 32;
/// Nobody but the server's own account reads it.
const MODE: u32 = 0o600;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum SecretKeyError {
    #[error("the secret key file {0} cannot be read or made: {1}")]
    File(PathBuf, std::io::Error),
    #[error("the secret key file {0} does not hold 32 bytes in base64")]
    Content(PathBuf),
}

/// Make the key file if it is missing, and check it otherwise. Blocks.
///
/// # Errors
/// A file that cannot be read or made, or that holds something else.
pub fn ensure(path: &Path) -> Result<(), SecretKeyError> {
    let failed = |error| SecretKeyError::File(path.to_owned(), error);
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Ok(mut file) => writeln!(file, "{}", STANDARD.encode(random_bytes::<KEY_BYTES>())).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => check(path),
        Err(error) => Err(failed(error)),
    }
}

fn check(path: &Path) -> Result<(), SecretKeyError> {
    let failed = |error| SecretKeyError::File(path.to_owned(), error);
    let content = read(path).map_err(failed)?;
    let key = STANDARD.decode(content.trim_ascii());
    if !key.is_ok_and(|key| key.len() == KEY_BYTES) {
        return Err(SecretKeyError::Content(path.to_owned()));
    }
    set_permissions(path, Permissions::from_mode(MODE)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs::{metadata, write};

    use super::*;

    #[test]
    fn the_key_is_made_once_and_for_the_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        ensure(&path).unwrap();
        let made = read(&path).unwrap();
        assert_eq!(metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        ensure(&path).unwrap();
        assert_eq!(read(&path).unwrap(), made);
    }

    #[test]
    fn another_file_is_not_taken_for_a_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        write(&path, "c2hvcnQ=").unwrap();
        assert!(matches!(ensure(&path), Err(SecretKeyError::Content(_))));
        assert!(matches!(ensure(&directory.path().join("no/such/dir")), Err(SecretKeyError::File(..))));
    }
}
