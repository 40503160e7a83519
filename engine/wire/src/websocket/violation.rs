//! What a peer did wrong: one table of close codes and sentences.

use super::close;

macro_rules! violations {
    ($($variant:ident = $code:ident, $message:literal;)*) => {
        /// A rule that a peer broke. The connection has failed (RFC 6455 section 7.1.7): it is told [`code`](Self::code), and nothing
        /// more of it is read.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Violation { $(#[doc = $message] $variant,)* }

        impl Violation {
            /// All of them, in the order of their declaration.
            pub const ALL: &[Violation] = &[$(Violation::$variant,)*];

            /// The close code to answer with.
            #[must_use]
            pub fn code(self) -> u16 {
                match self { $(Violation::$variant => close::$code,)* }
            }

            /// What is wrong, and which section of which RFC says so. Short enough for the reason of a close frame.
            #[must_use]
            pub fn message(self) -> &'static str {
                match self { $(Violation::$variant => $message,)* }
            }
        }
    };
}

violations! {
    ReservedBit = PROTOCOL_ERROR, "a reserved bit is set that nothing was agreed about (RFC 6455 section 5.2)";
    ReservedOpcode = PROTOCOL_ERROR, "the opcode is reserved (RFC 6455 section 5.2)";
    Unmasked = PROTOCOL_ERROR, "a frame of a client is not masked (RFC 6455 section 5.1)";
    LongForm = PROTOCOL_ERROR, "the length is written with more bytes than it needs (RFC 6455 section 5.2)";
    LengthSign = PROTOCOL_ERROR, "the highest bit of a 64-bit length is set (RFC 6455 section 5.2)";
    ControlFragment = PROTOCOL_ERROR, "a control frame is fragmented (RFC 6455 section 5.5)";
    ControlLength = PROTOCOL_ERROR, "a control frame has more than 125 bytes (RFC 6455 section 5.5)";
    NothingToContinue = PROTOCOL_ERROR, "a continuation without a message that has begun (RFC 6455 section 5.4)";
    Interleaved = PROTOCOL_ERROR, "a message begins before the last one has ended (RFC 6455 section 5.4)";
    CloseLength = PROTOCOL_ERROR, "a close frame has a single byte (RFC 6455 section 5.5.1)";
    CloseCode = PROTOCOL_ERROR, "a close code that no frame may have (RFC 6455 section 7.4)";
    CloseReason = INVALID_PAYLOAD, "the reason of a close frame is not UTF-8 (RFC 6455 section 5.5.1)";
    NotUtf8 = INVALID_PAYLOAD, "a text is not UTF-8 (RFC 6455 section 8.1)";
    NotDeflated = INVALID_PAYLOAD, "a compressed message can't be inflated (RFC 7692 section 7.2.2)";
    TooBig = TOO_BIG, "the message is larger than the limit (RFC 6455 section 10.4)";
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Violation {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_can_be_told_to_the_peer() {
        for violation in Violation::ALL {
            assert!(violation.message().len() <= close::REASON_BYTES_MAX, "{violation:?}");
            assert!(close::may_be_sent(violation.code()), "{violation:?}");
        }
    }
}
