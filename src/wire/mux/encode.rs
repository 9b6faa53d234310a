//! Data on its way out: headers and payload as slices for one vectored write, without a copy where the version allows.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::super::frame;
use super::super::json;
use super::super::stream::Stream;
use super::super::websocket::{MAX_HEADER, Opcode, Side, put_header};

/// Headers are cut from blocks of this size.
const HEADER_BLOCK: usize = 4096;

/// A DATA frame: its headers in one slice, the payload in as many as it was read in. Returns the frame's size.
pub(super) fn binary(
    side: Side,
    id: u32,
    stream: &mut Stream,
    size: usize,
    headers: &mut BytesMut,
    out: &mut VecDeque<Bytes>,
) -> usize {
    reserve(headers);
    put_header(side, Opcode::Binary, frame::HEADER + size, headers);
    frame::put_data_header(id, headers);
    let header = headers.split().freeze();
    let total = header.len() + size;
    out.push_back(header);
    stream.move_pending(size, out);
    total
}

/// A `proxy_data` message. Returns its size.
pub(super) fn json(
    side: Side,
    stream: &mut Stream,
    size: usize,
    headers: &mut BytesMut,
    out: &mut VecDeque<Bytes>,
) -> usize {
    let mut pieces = VecDeque::new();
    stream.move_pending(size, &mut pieces);
    let Some(names) = &stream.names else { return 0 };
    let text = match (pieces.len(), pieces.front()) {
        (1, Some(only)) => json::encode_data(&names.proxy_id, &names.user_id, only),
        _ => {
            let joined: Vec<u8> = pieces.iter().flatten().copied().collect();
            json::encode_data(&names.proxy_id, &names.user_id, &joined)
        }
    };
    reserve(headers);
    put_header(side, Opcode::Text, text.len(), headers);
    let header = headers.split().freeze();
    let total = header.len() + text.len();
    out.push_back(header);
    out.push_back(Bytes::from(text));
    total
}

fn reserve(headers: &mut BytesMut) {
    if headers.capacity() < MAX_HEADER + frame::HEADER {
        headers.reserve(HEADER_BLOCK);
    }
}
