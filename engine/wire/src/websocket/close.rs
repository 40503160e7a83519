//! Close frames: what a code means, and which may be sent (RFC 6455 section 7.4).

use super::{CONTROL_BYTES_MAX, Violation};

/// The purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// The server goes down, or the page was left.
pub const GOING_AWAY: u16 = 1001;
/// A rule of the protocol was broken.
pub const PROTOCOL_ERROR: u16 = 1002;
/// A kind of message that is not wanted here.
pub const UNSUPPORTED: u16 = 1003;
/// The payload is not what its kind says.
pub const INVALID_PAYLOAD: u16 = 1007;
/// A message that is not allowed; the general refusal.
pub const POLICY_VIOLATION: u16 = 1008;
/// A message that is too large.
pub const TOO_BIG: u16 = 1009;
/// The server met something that it did not expect.
pub const INTERNAL_ERROR: u16 = 1011;
/// The server restarts: come again (IANA's registry).
pub const SERVICE_RESTART: u16 = 1012;
/// The server has too much to do: come again later (IANA's registry).
pub const TRY_AGAIN_LATER: u16 = 1013;
/// A server behind this one failed (IANA's registry).
pub const BAD_GATEWAY: u16 = 1014;

/// Bytes of a reason: a control frame's payload without the code.
pub const REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Whether the code may stand in a frame: those that are registered for it, and 3000 to 4999, which belong to libraries and
/// applications. 1005, 1006 and 1015 only name what happened without a frame.
#[must_use]
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Why a peer closes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Close {
    /// The code; `None` when the frame had none, which is reported as 1005 (section 7.1.5).
    pub code: Option<u16>,
    /// For people who read logs; empty without a code. At most [`REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

impl Close {
    /// Reads the payload of a close frame (section 5.5.1).
    pub(super) fn read(payload: &[u8]) -> Result<Close, Violation> {
        let (code, reason) = match payload {
            [] => return Ok(Close::default()),
            [_] => return Err(Violation::CloseLength),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        if !may_be_sent(code) {
            return Err(Violation::CloseCode);
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Violation::CloseReason)?;
        Ok(Close { code: Some(code), reason: reason.to_owned() })
    }
}
