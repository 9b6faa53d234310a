//! Names of images, taken apart as the engine wants them. Pure.

use super::EngineError;

/// The longest name that is passed on.
const MOST_CHARACTERS: usize = 512;

/// An image's name without its tag, and the tag or digest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference<'a> {
    pub(super) name: &'a str,
    pub(super) tag: &'a str,
}

/// Without tag and digest it means `latest`; a digest makes a tag beside it void.
///
/// # Errors
/// `NoSuchImage` for what cannot be the name of one, and would be another path of the engine's API.
pub(super) fn split(image: &str) -> Result<Reference<'_>, EngineError> {
    if !is_plausible(image) {
        return Err(EngineError::NoSuchImage(format!(
            "`{}` is not the name of an image",
            super::errors::one_line(image)
        )));
    }
    if let Some((name, digest)) = image.split_once('@') {
        return Ok(Reference { name: without_tag(name).0, tag: digest });
    }
    let (name, tag) = without_tag(image);
    Ok(Reference { name, tag: tag.unwrap_or("latest") })
}

/// A colon before the last slash belongs to the registry's port.
fn without_tag(image: &str) -> (&str, Option<&str>) {
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (image, None),
    }
}

fn is_plausible(image: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:/@+[]".contains(c);
    let parts_are_names = image.split(['/', '@']).all(|part| part.contains(|c: char| c.is_ascii_alphanumeric()));
    image.len() <= MOST_CHARACTERS && image.chars().all(plain) && parts_are_names && !image.ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_digests_and_registry_ports_are_told_apart() {
        for (image, name, tag) in [
            ("busybox", "busybox", "latest"),
            ("busybox:1", "busybox", "1"),
            ("kasmweb/chrome:1.17.0", "kasmweb/chrome", "1.17.0"),
            ("localhost:5000/x", "localhost:5000/x", "latest"),
            ("localhost:5000/x:1", "localhost:5000/x", "1"),
            ("[::1]:5000/x:1", "[::1]:5000/x", "1"),
            ("x@sha256:00ff", "x", "sha256:00ff"),
            ("r.example:5000/a/b@sha256:00ff", "r.example:5000/a/b", "sha256:00ff"),
            ("r.example:5000/a/b:2@sha256:00ff", "r.example:5000/a/b", "sha256:00ff"),
        ] {
            assert_eq!(split(image), Ok(Reference { name, tag }), "{image}");
        }
    }

    #[test]
    fn what_would_lead_elsewhere_is_no_image() {
        for image in
            ["", "x?force=1", "../containers", "x/../../y", "x y", "x%2f", "x#y", "x:", "/x", "x//y", "x@", "ä"]
        {
            assert!(matches!(split(image), Err(EngineError::NoSuchImage(_))), "{image}");
        }
        assert!(split(&"x".repeat(MOST_CHARACTERS + 1)).is_err());
    }
}
