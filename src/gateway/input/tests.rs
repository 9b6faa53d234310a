use proptest::prelude::*;

use super::*;

const PING: u8 = 9;

fn frame(opcode: u8, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![opcode];
    match payload.len() {
        length @ 0..126 => bytes.push(MASKED | length as u8),
        length @ 126..65_536 => {
            bytes.push(MASKED | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(MASKED | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn message(kind: u8, length: usize) -> Vec<u8> {
    let mut payload = vec![0; length];
    payload[0] = kind;
    frame(0x80 | BINARY, [5, 6, 4, 180], &payload)
}

fn kasm_sees(frames: &[Vec<u8>]) -> bool {
    InputWatch::new(Kind::Kasm).sees_input(&frames.concat())
}

#[test]
fn keys_pointers_and_the_clipboard_are_input_and_nothing_else_is() {
    for kind in 0..=255 {
        let input = matches!(kind, 4 | 5 | 6 | 180 | 188 | 255);
        assert_eq!(kasm_sees(&[message(kind, 20)]), input, "{kind}");
    }
    // Another of QEMU's extensions: sound.
    assert!(!kasm_sees(&[frame(0x82, [9; 4], &[255, 1, 0, 0, 0, 0, 0, 0])]));
}

#[test]
fn the_frames_of_a_web_application_are_input_but_not_the_controls() {
    for (opcode, input) in [(0, true), (1, true), (2, true), (CLOSE, false), (PING, false), (10, false)] {
        assert_eq!(InputWatch::new(Kind::Web).sees_input(&frame(0x80 | opcode, [1; 4], b"x")), input, "{opcode}");
    }
    assert!(InputWatch::new(Kind::Web).sees_input(&frame(0x81, [1; 4], b"")));
}

#[test]
fn controls_and_continuations_carry_no_message() {
    let key = [KEY_EVENT, 1, 0, 0, 0, 0, 0, 97];
    for (opcode, input) in [(0x82, true), (0x02, true), (0x81, true), (0x80, false), (0x89, false), (0x8a, false)] {
        assert_eq!(kasm_sees(&[frame(opcode, [7; 4], &key)]), input, "{opcode:#x}");
    }
    // After a long clipboard's first piece, a request for an update.
    assert!(!kasm_sees(&[message(3, 10), frame(0x80, [1; 4], &key), message(150, 10)]));
}

#[test]
fn the_handshake_of_rfb_is_no_input() {
    let version = frame(0x82, [1, 2, 3, 4], b"RFB 003.008\n");
    let (none, ra2, response) = (message(1, 1), message(5, 1), message(POINTER_EVENT, 16));
    let (init, encodings, key) = (message(1, 1), message(2, 24), message(KEY_EVENT, 8));
    assert!(!kasm_sees(&[version.clone(), none.clone(), init.clone(), encodings.clone()]));
    assert!(!kasm_sees(&[version.clone(), message(2, 1), response, init.clone(), encodings.clone()]));
    assert!(!kasm_sees(&[ra2]), "too short, whatever came before");
    assert!(kasm_sees(&[version, none, init, encodings, key.clone()]));
    assert!(kasm_sees(&[key]), "a client that is seen from the middle on");
}

#[test]
fn a_frame_of_our_own_goes_between_two_others() {
    let mut frames = Frames::default();
    assert!(frames.may_add());
    let text = [0x81, 3, b'a', b'b', b'c'];
    for cut in 1..text.len() {
        let mut frames = Frames::default();
        frames.follow(&text[..cut], |_| ());
        assert!(!frames.may_add(), "{cut}");
        frames.follow(&text[cut..], |_| ());
        assert!(frames.may_add(), "{cut}");
    }
    frames.follow(&[0x88, 0], |_| ());
    assert!(!frames.may_add(), "nothing follows a close");
}

fn any_frame() -> impl Strategy<Value = (u8, [u8; 4], Vec<u8>)> {
    let lengths = prop_oneof![0..8usize, 120..130usize, Just(65_535), Just(65_536), Just(70_000)];
    (any::<u8>(), any::<[u8; 4]>(), lengths.prop_flat_map(|n| prop::collection::vec(any::<u8>(), n)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_are_followed_wherever_they_are_split(
        all in prop::collection::vec(any_frame(), 1..6),
        cuts in prop::collection::vec(1..5000usize, 0..40),
    ) {
        let bytes: Vec<u8> = all.iter().flat_map(|(opcode, mask, payload)| frame(*opcode, *mask, payload)).collect();
        let expected: Vec<_> = all.iter().map(|(opcode, _, payload)| Frame {
            opcode: opcode & OPCODE_BITS,
            length: payload.len() as u64,
            start: [payload.first().copied().unwrap_or(0), payload.get(1).copied().unwrap_or(0)],
        }).collect();
        let (mut frames, mut found) = (Frames::default(), Vec::new());
        let mut rest = &bytes[..];
        for cut in cuts.into_iter().chain([usize::MAX]) {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            frames.follow(piece, |frame| found.push(frame));
            rest = after;
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!((frames.left, frames.have), (0, 0));
    }

    #[test]
    fn input_is_seen_byte_by_byte_as_at_once(
        all in prop::collection::vec(any_frame(), 1..5),
        is_web in any::<bool>(),
    ) {
        let kind = if is_web { Kind::Web } else { Kind::Kasm };
        let bytes: Vec<u8> = all.iter().flat_map(|(opcode, mask, payload)| frame(*opcode, *mask, payload)).collect();
        let at_once = InputWatch::new(kind).sees_input(&bytes);
        let mut watch = InputWatch::new(kind);
        let by_byte = bytes.iter().fold(false, |seen, byte| seen | watch.sees_input(&[*byte]));
        prop_assert_eq!(by_byte, at_once);
    }
}
