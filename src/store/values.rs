//! What the application makes for rows itself, so that no backend needs to.

/// Bytes of randomness in an id.
const ID_BYTES: usize = 16;

/// A fresh id: 128 random bits as 32 hex digits.
pub fn new_id() -> String {
    random_bytes::<ID_BYTES>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from the system's random generator.
pub(crate) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Fails only on a system without a random source, where going on would hand out guessable secrets.
    getrandom::fill(&mut bytes).expect("the system has a random source");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_and_differ() {
        let (one, other) = (new_id(), new_id());
        assert_ne!(one, other);
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|b| b.is_ascii_hexdigit()));
    }
}
