//! One large download or upload, timed from the request to the last byte.

use super::http::{Body, Client, DOWNLOAD, PLAIN_PREFIX, UPLOAD, invalid, read_head};
use crate::common::Outcome;
use crate::common::connection::BLOCK_BYTES;
use crate::common::process_tree::ProcessTree;
use crate::common::window::{Counted, Sample};
use std::io::{Read, Write};

/// Fetches a body of so many bytes.
pub fn download(client: &Client, bytes: u64, processes: Option<&ProcessTree>) -> Outcome<Counted> {
    let begin = Sample::take(0, processes);
    let mut stream = client.send("GET", &format!("{PLAIN_PREFIX}{DOWNLOAD}{bytes}"), "")?;
    let (head, rest) = read_head(&mut stream)?;
    head.expect(200)?;
    if head.body != Body::Length(bytes) {
        return Err(format!("the answer's length is {:?}", head.body).into());
    }
    let mut block = vec![0; BLOCK_BYTES];
    let mut arrived = rest.len() as u64;
    while arrived < bytes {
        match stream.read(&mut block)? {
            0 => return Err(format!("the body ended after {arrived} bytes").into()),
            length => arrived += length as u64,
        }
    }
    begin.until(&Sample::take(arrived, processes))
}

/// Sends a body of so many bytes; the upstream must have counted as many.
pub fn upload(client: &Client, bytes: u64, processes: Option<&ProcessTree>) -> Outcome<Counted> {
    let begin = Sample::take(0, processes);
    let headers = format!("Content-Type: application/octet-stream\r\nContent-Length: {bytes}\r\n");
    let mut stream = client.send("POST", &format!("{PLAIN_PREFIX}{UPLOAD}"), &headers)?;
    let block = vec![b'u'; BLOCK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let length = left.min(block.len() as u64);
        stream.write_all(&block[..length as usize])?;
        left -= length;
    }
    let (head, mut body) = read_head(&mut stream)?;
    head.expect(200)?;
    let Body::Length(length) = head.body else { return Err("the answer has no length".into()) };
    let missing = length.saturating_sub(body.len() as u64);
    stream.take(missing).read_to_end(&mut body)?;
    let arrived = String::from_utf8_lossy(&body).parse().map_err(|_| invalid("the answer is no number"))?;
    if arrived != bytes {
        return Err(format!("{arrived} bytes arrived of {bytes}").into());
    }
    begin.until(&Sample::take(arrived, processes))
}
