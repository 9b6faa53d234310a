//! The installation's key, and what it encrypts: secrets that have to be read again, such as a desktop's password.
//!
//! The key file is made at the first start. ChaCha20-Poly1305 (RFC 8439) with a random nonce; a sealed secret is bound
//! to what it belongs to, so that one row's secret put into another row is not read.

use std::fs::{OpenOptions, Permissions, read, set_permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::store::values::random_bytes;

/// Bytes of the key; in the file they stand in base64.
const KEY_BYTES: usize = 32;
/// Nobody but the server's own account reads it.
const MODE: u32 = 0o600;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("the secret key file {0} cannot be read or made: {1}")]
    File(PathBuf, std::io::Error),
    #[error("the secret key file {0} does not hold 32 bytes in base64")]
    Content(PathBuf),
    #[error(
        "the secret key file {0} is missing, but the database holds secrets that it encrypted; put the file back, or name it with --secret-key-file"
    )]
    Missing(PathBuf),
    #[error("the secret key file {0} holds another key than the one that encrypted the database's secrets")]
    Wrong(PathBuf),
}

/// This was not sealed with this key for this purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret was encrypted with another key, or is damaged")]
pub struct NotReadable;

/// Encrypts and decrypts. Clones share the key.
#[derive(Clone)]
pub struct Vault(Arc<LessSafeKey>);

impl Vault {
    /// Read the key, or make it if the database holds nothing yet that it would have to read. Blocks.
    /// `sealed` is what it must be able to read: purposes, and what stands in the database for them.
    ///
    /// # Errors
    /// A file that cannot be read or made, that holds something else, or another key than the one that is needed.
    pub fn open(path: &Path, sealed: &[(String, String)]) -> Result<Self, VaultError> {
        if sealed.is_empty() {
            ensure(path)?;
        }
        let vault = Self::of_key(&read_key(path)?);
        match sealed.iter().all(|(purpose, text)| vault.read(purpose, text).is_ok()) {
            true => Ok(vault),
            false => Err(VaultError::Wrong(path.to_owned())),
        }
    }

    fn of_key(key: &[u8; KEY_BYTES]) -> Self {
        // The key has the length that the algorithm wants, which is all that is checked.
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("a key of 32 bytes");
        Self(Arc::new(LessSafeKey::new(key)))
    }

    /// Encrypt a secret for a purpose, such as the id of the row that it will stand in.
    pub fn seal(&self, purpose: &str, secret: &str) -> String {
        let nonce = random_bytes::<NONCE_LEN>();
        let mut sealed = secret.as_bytes().to_vec();
        let aad = Aad::from(purpose.as_bytes());
        // Fails only beyond 256 GiB.
        let done = self.0.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed);
        done.expect("a short secret");
        STANDARD.encode([&nonce[..], &sealed].concat())
    }

    /// The secret that was sealed for this purpose.
    ///
    /// # Errors
    /// Another key, another purpose, or damage.
    pub fn read(&self, purpose: &str, sealed: &str) -> Result<String, NotReadable> {
        let mut bytes = STANDARD.decode(sealed).map_err(|_| NotReadable)?;
        let (nonce, text) = bytes.split_at_mut_checked(NONCE_LEN).ok_or(NotReadable)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| NotReadable)?;
        let plain = self.0.open_in_place(nonce, Aad::from(purpose.as_bytes()), text).map_err(|_| NotReadable)?;
        String::from_utf8(plain.to_vec()).map_err(|_| NotReadable)
    }
}

#[cfg(test)]
impl Vault {
    /// One with a key of its own.
    pub fn for_tests() -> Self {
        Self::of_key(&random_bytes())
    }
}

/// Make the key file if it is missing, for nobody but this account.
fn ensure(path: &Path) -> Result<(), VaultError> {
    let failed = |error| VaultError::File(path.to_owned(), error);
    match OpenOptions::new().write(true).create_new(true).mode(MODE).open(path) {
        Ok(mut file) => writeln!(file, "{}", STANDARD.encode(random_bytes::<KEY_BYTES>())).map_err(failed),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

fn read_key(path: &Path) -> Result<[u8; KEY_BYTES], VaultError> {
    let content = read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => VaultError::Missing(path.to_owned()),
        _ => VaultError::File(path.to_owned(), error),
    })?;
    let key = STANDARD.decode(content.trim_ascii()).ok().and_then(|key| key.try_into().ok());
    let key = key.ok_or_else(|| VaultError::Content(path.to_owned()))?;
    set_permissions(path, Permissions::from_mode(MODE)).map_err(|error| VaultError::File(path.to_owned(), error))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::fs::{metadata, remove_file, write};

    use super::*;

    #[test]
    fn the_key_is_made_once_and_for_the_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        Vault::open(&path, &[]).unwrap();
        let made = read(&path).unwrap();
        assert_eq!(metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        Vault::open(&path, &[]).unwrap();
        assert_eq!(read(&path).unwrap(), made);
    }

    #[test]
    fn another_file_is_not_taken_for_a_key() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        write(&path, "c2hvcnQ=").unwrap();
        assert!(matches!(Vault::open(&path, &[]), Err(VaultError::Content(_))));
        assert!(matches!(Vault::open(&directory.path().join("no/such/dir"), &[]), Err(VaultError::File(..))));
    }

    #[test]
    fn a_secret_is_read_for_its_purpose_alone() {
        let vault = Vault::for_tests();
        let (one, other) = (vault.seal("row 1", "hunter2"), vault.seal("row 1", "hunter2"));
        assert_ne!(one, other, "each has a nonce of its own");
        assert_eq!(vault.read("row 1", &one).unwrap(), "hunter2");
        assert_eq!(vault.read("row 2", &one), Err(NotReadable));
        assert_eq!(Vault::for_tests().read("row 1", &one), Err(NotReadable));
        for damaged in ["", "AAAA", "%", &one[4..]] {
            assert_eq!(vault.read("row 1", damaged), Err(NotReadable), "{damaged}");
        }
    }

    #[test]
    fn a_key_that_is_missing_or_wrong_while_secrets_exist_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret.key");
        let sealed = [("row".to_owned(), Vault::open(&path, &[]).unwrap().seal("row", "secret"))];
        assert!(Vault::open(&path, &sealed).is_ok());
        remove_file(&path).unwrap();
        assert!(matches!(Vault::open(&path, &sealed), Err(VaultError::Missing(_))));
        assert!(!path.exists(), "no other key takes its place");
        Vault::open(&path, &[]).unwrap();
        assert!(matches!(Vault::open(&path, &sealed), Err(VaultError::Wrong(_))));
    }
}
