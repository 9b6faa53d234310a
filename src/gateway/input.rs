//! What a person does, seen in passing: the first bytes of each WebSocket frame that a browser sends. Pure.
//!
//! Bytes alone say nothing of use: a VNC client answers every update with a request, and Kasm's sends keepalives. So for
//! `kasm` types a frame counts as input when its first message is one of a key, a pointer or the clipboard. The types of
//! messages are those of RFB (RFC 6143), of its registered extensions, and of KasmVNC's `common/rfb/msgTypes.h`. Clients
//! send each message in a frame of its own, so that only the first of a frame is looked at.

use crate::desktop::Kind;

/// Keys, pointers and cut text (RFC 6143 section 7.5).
const KEY_EVENT: u8 = 4;
const POINTER_EVENT: u8 = 5;
const CLIENT_CUT_TEXT: u8 = 6;
/// KasmVNC's clipboard, and its pointer while a game holds it.
const BINARY_CLIPBOARD: u8 = 180;
const DIRECT_MOUSE_EVENT: u8 = 188;
/// QEMU's extensions, of which the first is the key that clients send in place of the plain one where they can.
const QEMU: u8 = 255;
const QEMU_KEY: u8 = 0;

/// No message of input is shorter; the one byte with which a client chooses its security type may look like one.
const SHORTEST_INPUT: u64 = 6;
/// A client begins with `RFB 003.008`, which no other message does.
const HANDSHAKE_START: u8 = b'R';
/// Version, security type, and the answer to a challenge, which may begin with any byte.
const HANDSHAKE_FRAMES: u8 = 3;

const OPCODE_BITS: u8 = 0x0f;
const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const MASKED: u8 = 0x80;

/// The most bytes of a frame's header: two, the longest length, a mask.
const HEADER_LIMIT: usize = 14;

/// Follows the frames of one side, wherever its bytes are split.
#[derive(Debug)]
pub struct Frames {
    header: [u8; HEADER_LIMIT],
    /// Bytes of the header that are there.
    have: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
    /// The payload's first bytes while they are wanted.
    start: Start,
    closed: bool,
}

/// The first two bytes of a payload.
#[derive(Debug, Clone, Copy, Default)]
struct Start {
    bytes: [u8; 2],
    have: usize,
    wanted: usize,
}

/// A frame whose payload has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    /// Bytes of the payload.
    pub length: u64,
    /// The payload's first two bytes, unmasked; 0 where it is shorter.
    pub start: [u8; 2],
}

impl Default for Frames {
    fn default() -> Self {
        Self { header: [0; HEADER_LIMIT], have: 0, left: 0, start: Start::default(), closed: false }
    }
}

impl Frames {
    /// Take the next bytes, and tell `found` of every frame whose first bytes are complete.
    pub fn follow(&mut self, mut bytes: &[u8], mut found: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.take_header(bytes, &mut found);
            } else {
                bytes = self.take_payload(bytes, &mut found);
            }
        }
    }

    /// Whether a frame of our own may follow: between two frames, and not after a close.
    pub fn may_add(&self) -> bool {
        self.left == 0 && self.have == 0 && !self.closed
    }

    fn take_header<'a>(&mut self, bytes: &'a [u8], found: &mut impl FnMut(Frame)) -> &'a [u8] {
        let mut taken = 0;
        while self.have < self.header_length() && taken < bytes.len() {
            self.header[self.have] = bytes[taken];
            self.have += 1;
            taken += 1;
        }
        if self.have == self.header_length() {
            self.begin_payload(found);
        }
        &bytes[taken..]
    }

    /// How long the header is, as far as that is known; two bytes tell.
    fn header_length(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let mask = if self.header[1] & MASKED == 0 { 0 } else { 4 };
        2 + self.length_bytes() + mask
    }

    fn length_bytes(&self) -> usize {
        match self.header[1] & !MASKED {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn begin_payload(&mut self, found: &mut impl FnMut(Frame)) {
        self.left = match self.header[1] & !MASKED {
            126 | 127 => {
                self.header[2..2 + self.length_bytes()].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
            }
            short => u64::from(short),
        };
        self.closed |= self.header[0] & OPCODE_BITS == CLOSE;
        // A length fits where it is less than two.
        self.start = Start { bytes: [0; 2], have: 0, wanted: usize::try_from(self.left.min(2)).unwrap_or(2) };
        if self.left == 0 {
            self.tell(0, found);
        }
    }

    fn take_payload<'a>(&mut self, bytes: &'a [u8], found: &mut impl FnMut(Frame)) -> &'a [u8] {
        if self.start.have < self.start.wanted {
            let mask =
                if self.header[1] & MASKED == 0 { 0 } else { self.header[2 + self.length_bytes() + self.start.have] };
            self.start.bytes[self.start.have] = bytes[0] ^ mask;
            self.start.have += 1;
            self.left -= 1;
            if self.start.have == self.start.wanted {
                self.tell(self.left + self.start.wanted as u64, found);
            }
            return &bytes[1..];
        }
        let taken = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        self.left -= taken as u64;
        self.end_if_complete();
        &bytes[taken..]
    }

    fn tell(&mut self, length: u64, found: &mut impl FnMut(Frame)) {
        found(Frame { opcode: self.header[0] & OPCODE_BITS, length, start: self.start.bytes });
        self.end_if_complete();
    }

    fn end_if_complete(&mut self) {
        if self.left == 0 {
            self.have = 0;
        }
    }
}

/// Tells input from everything else in what one browser sends over one WebSocket.
#[derive(Debug)]
pub struct InputWatch {
    kind: Kind,
    frames: Frames,
    handshake: Handshake,
}

/// How far an RFB client is with its handshake.
#[derive(Debug, Clone, Copy)]
enum Handshake {
    /// Nothing was seen yet.
    Unknown,
    /// So many of its frames may still come.
    Under(u8),
    Over,
}

impl InputWatch {
    pub fn new(kind: Kind) -> Self {
        Self { kind, frames: Frames::default(), handshake: Handshake::Unknown }
    }

    /// Whether there is input in the next bytes.
    pub fn sees_input(&mut self, bytes: &[u8]) -> bool {
        let Self { kind, frames, handshake } = self;
        let mut input = false;
        frames.follow(bytes, |frame| {
            input |= match kind {
                Kind::Kasm => handshake.lets_pass(frame) && is_rfb_input(frame),
                Kind::Web => matches!(frame.opcode, CONTINUATION | TEXT | BINARY),
            };
        });
        input
    }
}

impl Handshake {
    /// Whether this frame may be one of messages.
    fn lets_pass(&mut self, frame: Frame) -> bool {
        if !matches!(frame.opcode, TEXT | BINARY) {
            return true;
        }
        let (next, passes) = match *self {
            Self::Unknown if frame.start[0] == HANDSHAKE_START => (Self::Under(HANDSHAKE_FRAMES - 1), false),
            Self::Under(left) if left > 1 => (Self::Under(left - 1), false),
            Self::Under(_) => (Self::Over, false),
            Self::Unknown | Self::Over => (Self::Over, true),
        };
        *self = next;
        passes
    }
}

fn is_rfb_input(frame: Frame) -> bool {
    let is_message = matches!(frame.opcode, TEXT | BINARY) && frame.length >= SHORTEST_INPUT;
    is_message
        && match frame.start {
            [KEY_EVENT | POINTER_EVENT | CLIENT_CUT_TEXT | BINARY_CLIPBOARD | DIRECT_MOUSE_EVENT, _] => true,
            start => start == [QEMU, QEMU_KEY],
        }
}

#[cfg(test)]
mod tests;
