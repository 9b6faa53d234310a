//! Whether bytes are a picture that may be shown: JPEG or PNG, not too large. Pure.

/// The most bytes of a picture.
pub const MOST_BYTES: usize = 2 * 1024 * 1024;
/// The longest side, in pixels. Four hundred are asked for.
const LONGEST_SIDE: u32 = 4096;

/// Why it is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotShown {
    #[error("the picture is larger than {MOST_BYTES} bytes")]
    TooManyBytes,
    #[error("the picture measures {0}×{1} pixels")]
    BadSize(u32, u32),
    #[error("it sent no JPEG or PNG picture")]
    NoPicture,
}

/// The media type of a picture, by what it is and not by what somebody calls it.
///
/// # Errors
/// It is something else, or too large.
pub fn check(bytes: &[u8]) -> Result<&'static str, NotShown> {
    if bytes.len() > MOST_BYTES {
        return Err(NotShown::TooManyBytes);
    }
    let found = png_size(bytes).map(|size| ("image/png", size));
    let found = found.or_else(|| jpeg_size(bytes).map(|size| ("image/jpeg", size)));
    let (content_type, (width, height)) = found.ok_or(NotShown::NoPicture)?;
    match (1..=LONGEST_SIDE).contains(&width) && (1..=LONGEST_SIDE).contains(&height) {
        true => Ok(content_type),
        false => Err(NotShown::BadSize(width, height)),
    }
}

/// Width and height from the first chunk, which is always IHDR.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let rest = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    (rest.get(4..8)? == b"IHDR").then_some(())?;
    let number = |at: usize| Some(u32::from_be_bytes(rest.get(at..at + 4)?.try_into().ok()?));
    Some((number(8)?, number(12)?))
}

/// Width and height from the frame header, which comes after other segments.
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    loop {
        // Any number of 0xff may stand before a marker.
        let at = rest.iter().position(|byte| *byte != 0xff)?;
        let (marker, segment) = (*rest.get(at)?, rest.get(at + 1..)?);
        if at == 0 || marker == 0xda || marker == 0xd9 {
            return None;
        }
        let length = usize::from(number(segment, 0)?);
        if is_frame_header(marker) {
            return Some((number(segment, 5)?.into(), number(segment, 3)?.into()));
        }
        // A length counts itself, so it never stands still.
        rest = segment.get(length.max(2)..)?;
    }
}

const fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc)
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The head of a JPEG of this size: all that is looked at.
#[cfg(test)]
pub fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let mut bytes =
        b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xc0\x00\x11\x08".to_vec();
    bytes.extend(height.to_be_bytes());
    bytes.extend(width.to_be_bytes());
    bytes.extend([3, 1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes
    }

    #[test]
    fn pictures_are_told_by_their_bytes() {
        assert_eq!(check(&jpeg(400, 300)), Ok("image/jpeg"));
        assert_eq!(check(&png(400, 300)), Ok("image/png"));
        // Fill bytes before a marker, and a Huffman table before the frame.
        assert_eq!(
            check(b"\xff\xd8\xff\xff\xff\xc4\x00\x03\x00\xff\xc2\x00\x11\x08\x00\x01\x00\x02"),
            Ok("image/jpeg")
        );
    }

    #[test]
    fn anything_else_is_refused() {
        let script = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
        for bytes in [&b""[..], b"GIF89a", script, b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\x89PNG\r\n\x1a\n", b"<html>"] {
            assert_eq!(check(bytes), Err(NotShown::NoPicture));
        }
        for cut in 3..20 {
            assert_eq!(check(&jpeg(400, 300)[..cut]), Err(NotShown::NoPicture));
        }
    }

    #[test]
    fn too_large_is_refused() {
        for (width, height) in [(0, 300), (400, 0), (5000, 300), (400, u16::MAX)] {
            assert_eq!(check(&jpeg(width, height)), Err(NotShown::BadSize(width.into(), height.into())));
        }
        assert_eq!(check(&png(u32::MAX, 1)), Err(NotShown::BadSize(u32::MAX, 1)));
        let mut bytes = jpeg(400, 300);
        bytes.resize(MOST_BYTES, 0);
        assert_eq!(check(&bytes), Ok("image/jpeg"));
        bytes.push(0);
        assert_eq!(check(&bytes), Err(NotShown::TooManyBytes));
    }

    proptest! {
        #[test]
        fn no_bytes_hang_or_panic(mut bytes: Vec<u8>, start in 0..3usize) {
            let begin: &[u8] = [&b""[..], b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"][start];
            bytes.splice(0..0, begin.iter().copied());
            let _ = check(&bytes);
        }
    }
}
