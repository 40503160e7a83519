//! A strict echo server: what the clients of the tests talk to, straight and through the gateway.

use ringway_tests::Peer;

use super::frames::{self, BINARY, CLOSE, CONTINUATION, Frame, PING, PONG, TEXT};
use super::switch;

/// The largest message that it takes; a larger one is answered 1009.
pub const MESSAGE_MAX: usize = 4 << 20;

const PROTOCOL_ERROR: u16 = 1002;
const NOT_UTF8: u16 = 1007;
const TOO_LARGE: u16 = 1009;

/// Serves one connection: echoes messages, answers pings, and closes with the code of RFC 6455 section 7.4 on what is wrong.
pub fn serve(peer: &mut Peer) {
    switch(peer);
    let mut message = None;
    let end = loop {
        let Some((frame, masked)) = frames::read(peer) else { return };
        match judge(&frame, masked, &mut message) {
            Ok(None) => {}
            Ok(Some(answer)) => {
                peer.send(answer.plain());
                if answer.opcode == CLOSE {
                    break None;
                }
            }
            Err(code) => break Some(code),
        }
    };
    if let Some(code) = end {
        peer.send(Frame::close(code, "").plain());
    }
    // Only this direction ends: what the client still sends is taken, so that no reset overtakes the close frame.
    peer.shut_write();
    peer.rest();
}

/// The message that has begun.
struct Message {
    opcode: u8,
    payload: Vec<u8>,
    /// How much of it is known to be UTF-8.
    checked: usize,
}

/// The answer to a frame, or the code to close with.
fn judge(frame: &Frame, masked: bool, message: &mut Option<Message>) -> Result<Option<Frame>, u16> {
    let control = frame.opcode >= CLOSE;
    if !masked || frame.rsv != 0 || control && (!frame.fin || frame.payload.len() > 125) {
        return Err(PROTOCOL_ERROR);
    }
    match (frame.opcode, &message) {
        (PING, _) => return Ok(Some(Frame::pong(frame.payload.clone()))),
        (PONG, _) => return Ok(None),
        (CLOSE, _) => return close(&frame.payload).map(Some),
        (TEXT | BINARY, None) => {
            *message = Some(Message { opcode: frame.opcode, payload: Vec::new(), checked: 0 });
        }
        (CONTINUATION, Some(_)) => {}
        _ => return Err(PROTOCOL_ERROR),
    }
    let Some(begun) = message.as_mut() else { return Err(PROTOCOL_ERROR) };
    if begun.payload.len() + frame.payload.len() > MESSAGE_MAX {
        return Err(TOO_LARGE);
    }
    begun.payload.extend_from_slice(&frame.payload);
    if begun.opcode == TEXT {
        match std::str::from_utf8(&begun.payload[begun.checked..]) {
            Ok(_) => begun.checked = begun.payload.len(),
            Err(error) if error.error_len().is_some() || frame.fin => return Err(NOT_UTF8),
            Err(error) => begun.checked += error.valid_up_to(),
        }
    }
    let whole = if frame.fin { message.take() } else { None };
    Ok(whole.map(|message| Frame::new(message.opcode, message.payload)))
}

/// The answer to a close frame: the same code (RFC 6455 section 5.5.1), unless it may not be sent (section 7.4).
fn close(payload: &[u8]) -> Result<Frame, u16> {
    let [high, low, reason @ ..] = payload else {
        return if payload.is_empty() { Ok(Frame::new(CLOSE, "")) } else { Err(PROTOCOL_ERROR) };
    };
    let code = u16::from_be_bytes([*high, *low]);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(PROTOCOL_ERROR);
    }
    std::str::from_utf8(reason).map_err(|_| NOT_UTF8)?;
    Ok(Frame::close(code, ""))
}
