//! WebSocket framing (RFC 6455 section 5), without copies: payloads are slices of the buffer that was read.
//!
//! A frame's length is checked when its header is there, before its payload is buffered.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::codes::SessionClose;

/// The longest header: 2 bytes, 8 of length, 4 of mask.
pub const MAX_HEADER: usize = 14;
/// RFC 6455 section 5.5: control frames carry at most this.
pub const MAX_CONTROL_PAYLOAD: usize = 125;
/// A message may come in this many pieces; more is an attempt to keep a reader busy with nothing.
const MAX_FRAGMENTS: usize = 16_384;

/// What a frame is (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// A whole message; fragments are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    Text(Bytes),
    Binary(Bytes),
    Ping(Bytes),
    Pong(Bytes),
    Close { code: Option<u16>, reason: String },
}

/// Which end of the WebSocket this is: clients mask what they send, servers do not (RFC 6455 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

struct Header {
    fin: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    header_len: usize,
    payload_len: u64,
}

/// Cuts the peer's bytes into messages.
pub struct Decoder {
    side: Side,
    max_message: usize,
    partial: Option<Partial>,
}

struct Partial {
    opcode: Opcode,
    data: BytesMut,
    fragments: usize,
}

impl Decoder {
    /// `max_message` limits a data message, its fragments taken together.
    pub fn new(side: Side, max_message: usize) -> Self {
        Self { side, max_message, partial: None }
    }

    /// The next message, or None when more bytes are needed. After an error the session must be closed with it.
    pub fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Message>, SessionClose> {
        loop {
            let Some(header) = self.header(input)? else { return Ok(None) };
            let frame_len = header.header_len + header.payload_len as usize;
            if input.len() < frame_len {
                return Ok(None);
            }
            input.advance(header.header_len);
            let mut payload = input.split_to(header.payload_len as usize);
            if let Some(key) = header.mask {
                apply_mask(key, &mut payload);
            }
            if let Some(message) = self.message(header.fin, header.opcode, payload)? {
                return Ok(Some(message));
            }
        }
    }

    /// Parse and check a header. `payload_len` fits the limits afterwards, so that it may be buffered.
    fn header(&self, input: &[u8]) -> Result<Option<Header>, SessionClose> {
        let [first, second, rest @ ..] = input else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(SessionClose::protocol("reserved bits are set, but no extension was negotiated"));
        }
        let Some(opcode) = Opcode::from_bits(first & 0x0f) else {
            return Err(SessionClose::protocol("unknown WebSocket opcode"));
        };
        let masked = second & 0x80 != 0;
        if masked != (self.side == Side::Server) {
            return Err(SessionClose::protocol("a client masks its frames, a server does not"));
        }
        let (length_bytes, payload_len) = match second & 0x7f {
            126 if rest.len() < 2 => return Ok(None),
            126 => (2, u64::from(u16::from_be_bytes([rest[0], rest[1]]))),
            127 if rest.len() < 8 => return Ok(None),
            127 => (8, (&rest[..8]).get_u64()),
            short => (0, u64::from(short)),
        };
        let fin = first & 0x80 != 0;
        self.check_size(fin, opcode, payload_len)?;
        let mask = match (masked, &rest[length_bytes..]) {
            (false, _) => None,
            (true, [a, b, c, d, ..]) => Some([*a, *b, *c, *d]),
            (true, _) => return Ok(None),
        };
        let header_len = 2 + length_bytes + if masked { 4 } else { 0 };
        Ok(Some(Header { fin, opcode, mask, header_len, payload_len }))
    }

    fn check_size(&self, fin: bool, opcode: Opcode, payload_len: u64) -> Result<(), SessionClose> {
        if opcode.is_control() {
            if !fin || payload_len > MAX_CONTROL_PAYLOAD as u64 {
                return Err(SessionClose::protocol("a control frame is whole and at most 125 bytes"));
            }
            return Ok(());
        }
        let before = self.partial.as_ref().map_or(0, |partial| partial.data.len());
        if payload_len > (self.max_message - before) as u64 {
            return Err(SessionClose::too_big(format!("a message is larger than {} bytes", self.max_message)));
        }
        Ok(())
    }

    fn message(&mut self, fin: bool, opcode: Opcode, payload: BytesMut) -> Result<Option<Message>, SessionClose> {
        match opcode {
            Opcode::Ping => Ok(Some(Message::Ping(payload.freeze()))),
            Opcode::Pong => Ok(Some(Message::Pong(payload.freeze()))),
            Opcode::Close => close_message(&payload).map(Some),
            Opcode::Text | Opcode::Binary => {
                if self.partial.is_some() {
                    return Err(SessionClose::protocol("a new message inside a fragmented one"));
                }
                if fin {
                    return Ok(Some(data_message(opcode, payload.freeze())));
                }
                // Copied, so that a fragment does not hold the whole read buffer.
                self.partial = Some(Partial { opcode, data: BytesMut::from(&payload[..]), fragments: 1 });
                Ok(None)
            }
            Opcode::Continuation => self.continuation(fin, &payload),
        }
    }

    fn continuation(&mut self, fin: bool, payload: &[u8]) -> Result<Option<Message>, SessionClose> {
        let Some(mut partial) = self.partial.take() else {
            return Err(SessionClose::protocol("a continuation without a beginning"));
        };
        partial.data.put_slice(payload);
        partial.fragments += 1;
        if fin {
            return Ok(Some(data_message(partial.opcode, partial.data.freeze())));
        }
        if partial.fragments > MAX_FRAGMENTS {
            return Err(SessionClose::too_big(format!("a message has more than {MAX_FRAGMENTS} fragments")));
        }
        self.partial = Some(partial);
        Ok(None)
    }
}

fn data_message(opcode: Opcode, payload: Bytes) -> Message {
    if opcode == Opcode::Text { Message::Text(payload) } else { Message::Binary(payload) }
}

fn close_message(payload: &[u8]) -> Result<Message, SessionClose> {
    match payload {
        [] => Ok(Message::Close { code: None, reason: String::new() }),
        [_] => Err(SessionClose::protocol("a close code has two bytes")),
        [high, low, reason @ ..] => Ok(Message::Close {
            code: Some(u16::from_be_bytes([*high, *low])),
            reason: String::from_utf8_lossy(reason).into_owned(),
        }),
    }
}

/// XOR `data` with the key. A client may choose the key zero, and then there is nothing to do.
fn apply_mask(key: [u8; 4], data: &mut [u8]) {
    if key == [0; 4] {
        return;
    }
    let wide = u64::from_ne_bytes([key[0], key[1], key[2], key[3], key[0], key[1], key[2], key[3]]);
    let mut chunks = data.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (index, byte) in chunks.into_remainder().iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
}

/// Write the header of an unfragmented frame. A client's key is zero: masking protects caches between browsers and
/// servers, which no agent is, and would cost a pass over every byte.
pub fn put_header(side: Side, opcode: Opcode, payload_len: usize, out: &mut BytesMut) {
    out.put_u8(0x80 | opcode as u8);
    let mask_bit = if side == Side::Client { 0x80 } else { 0 };
    match payload_len {
        0..=125 => out.put_u8(mask_bit | payload_len as u8),
        126..=0xffff => {
            out.put_u8(mask_bit | 126);
            out.put_u16(payload_len as u16);
        }
        _ => {
            out.put_u8(mask_bit | 127);
            out.put_u64(payload_len as u64);
        }
    }
    if side == Side::Client {
        out.put_u32(0);
    }
}

/// Write a whole unfragmented frame.
pub fn put_frame(side: Side, opcode: Opcode, payload: &[u8], out: &mut BytesMut) {
    put_header(side, opcode, payload.len(), out);
    out.put_slice(payload);
}

/// Write a Close frame; the reason is cut to what a control frame holds.
pub fn put_close(side: Side, close: &SessionClose, out: &mut BytesMut) {
    let mut payload = close.code.to_be_bytes().to_vec();
    let mut end = close.reason.len().min(MAX_CONTROL_PAYLOAD - 2);
    while !close.reason.is_char_boundary(end) {
        end -= 1;
    }
    payload.extend_from_slice(&close.reason.as_bytes()[..end]);
    put_frame(side, Opcode::Close, &payload, out);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode_all(side: Side, limit: usize, bytes: &[u8]) -> Result<Vec<Message>, SessionClose> {
        let mut decoder = Decoder::new(side, limit);
        let mut input = BytesMut::from(bytes);
        let mut messages = Vec::new();
        while let Some(message) = decoder.decode(&mut input)? {
            messages.push(message);
        }
        Ok(messages)
    }

    fn masked(first: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first, 0x80 | payload.len() as u8];
        frame.extend_from_slice(&key);
        let mut data = payload.to_vec();
        data.iter_mut().enumerate().for_each(|(i, b)| *b ^= key[i % 4]);
        frame.extend_from_slice(&data);
        frame
    }

    #[test]
    fn frames_of_the_rfc_examples() {
        // RFC 6455 section 5.7.
        assert_eq!(
            decode_all(Side::Client, 100, b"\x81\x05Hello").unwrap(),
            [Message::Text(Bytes::from_static(b"Hello"))]
        );
        assert_eq!(
            decode_all(Side::Server, 100, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58").unwrap(),
            [Message::Text(Bytes::from_static(b"Hello"))]
        );
        assert_eq!(
            decode_all(Side::Client, 100, b"\x01\x03Hel\x89\x00\x80\x02lo").unwrap(),
            [Message::Ping(Bytes::new()), Message::Text(Bytes::from_static(b"Hello"))]
        );
    }

    #[test]
    fn wrong_frames_close_the_session() {
        let cases: &[(&str, &[u8], u16)] = &[
            ("reserved bit", b"\xc1\x80\0\0\0\0", 1002),
            ("unknown opcode", b"\x83\x80\0\0\0\0", 1002),
            ("unmasked from a client", b"\x81\x01x", 1002),
            ("fragmented ping", b"\x09\x80\0\0\0\0", 1002),
            ("long ping", b"\x89\xfe\x00\x7e", 1002),
            ("continuation alone", b"\x80\x80\0\0\0\0", 1002),
            ("one-byte close", b"\x88\x81\0\0\0\0x", 1002),
            ("larger than the limit", b"\x82\xff\x00\x00\x00\x00\x12\xc0\x00\x00", 1009),
            ("length beyond 63 bits", b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff", 1009),
        ];
        for (name, bytes, code) in cases {
            let error = decode_all(Side::Server, 100, bytes).expect_err(name);
            assert_eq!(error.code, *code, "{name}");
        }
        let mut nested = masked(0x01, [1, 2, 3, 4], b"a");
        nested.extend(masked(0x81, [1, 2, 3, 4], b"b"));
        assert_eq!(decode_all(Side::Server, 100, &nested).unwrap_err().code, 1002);
    }

    #[test]
    fn fragments_are_limited_together_and_in_number() {
        let mut frames = masked(0x02, [9, 8, 7, 6], &[1; 60]);
        frames.extend(masked(0x00, [9, 8, 7, 6], &[2; 41]));
        assert_eq!(decode_all(Side::Server, 100, &frames).unwrap_err().code, 1009);
        let mut empty = masked(0x02, [0; 4], b"");
        (0..MAX_FRAGMENTS).for_each(|_| empty.extend(masked(0x00, [0; 4], b"")));
        assert_eq!(decode_all(Side::Server, 100, &empty).unwrap_err().code, 1009);
    }

    #[test]
    fn close_reason_is_cut_at_a_character() {
        let mut out = BytesMut::new();
        put_close(Side::Server, &SessionClose::protocol("é".repeat(100)), &mut out);
        let messages = decode_all(Side::Client, 10, &out).unwrap();
        assert_eq!(messages, [Message::Close { code: Some(1002), reason: "é".repeat(61) }]);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_all(Side::Server, 64, &bytes);
            let _ = decode_all(Side::Client, 64, &bytes);
        }

        #[test]
        fn encode_then_decode_is_the_identity(payload in proptest::collection::vec(any::<u8>(), 0..70_000), cut in any::<prop::sample::Index>()) {
            for (from, to) in [(Side::Server, Side::Client), (Side::Client, Side::Server)] {
                let mut out = BytesMut::new();
                put_frame(from, Opcode::Binary, &payload, &mut out);
                let mut decoder = Decoder::new(to, 70_000);
                let split = cut.index(out.len());
                let mut input = BytesMut::from(&out[..split]);
                prop_assert_eq!(decoder.decode(&mut input).unwrap(), None);
                input.extend_from_slice(&out[split..]);
                prop_assert_eq!(decoder.decode(&mut input).unwrap(), Some(Message::Binary(Bytes::from(payload.clone()))));
                prop_assert!(input.is_empty());
            }
        }

        #[test]
        fn any_key_unmasks(key in any::<[u8; 4]>(), payload in proptest::collection::vec(any::<u8>(), 0..125)) {
            let frame = masked(0x82, key, &payload);
            prop_assert_eq!(decode_all(Side::Server, 125, &frame).unwrap(), vec![Message::Binary(Bytes::from(payload))]);
        }
    }
}
