//! `Max-Forwards` of OPTIONS: how many gateways a request may pass (RFC 9110 section 7.6.2). TRACE, the other method that it is for, is
//! not served at all.

use http::{Method, StatusCode};
use ringway_contract::Reply;
use ringway_wire::{Known, RequestHead};

use crate::exchange::Stop;

/// What the gateway as a whole takes, to somebody who asks with OPTIONS.
pub const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Counts the request down, or answers it when it may go no further.
///
/// # Errors
/// The answer to a request that ends here: the gateway's own at 0, a refusal of what is no number.
pub fn check(head: &mut RequestHead) -> Result<(), Stop> {
    if head.method != Method::OPTIONS {
        return Ok(());
    }
    let Some(value) = head.fields.known(Known::MaxForwards) else { return Ok(()) };
    let count = if head.fields.is_repeated(Known::MaxForwards) { None } else { count(value) };
    match count {
        None => Err(Box::new(Reply::refusal(
            StatusCode::BAD_REQUEST,
            "BAD_MAX_FORWARDS",
            "Max-Forwards is not one number (RFC 9110 section 7.6.2).",
        ))
        .into()),
        Some(0) => Err(Box::new(options()).into()),
        Some(count) => {
            let _ = head.fields.set("Max-Forwards", (count - 1).to_string());
            Ok(())
        }
    }
}

/// The gateway's own answer to OPTIONS.
pub fn options() -> Reply {
    Reply { body: Some(bytes::Bytes::new()), ..Reply::refusal(StatusCode::NO_CONTENT, "", "") }.header("Allow", ALLOW)
}

/// `1*DIGIT`; what is too large to count is the largest that can be counted.
fn count(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0u64, |count, digit| count.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_and_never_wrap() {
        for (value, wanted) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551616", Some(u64::MAX)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1 2", None),
            ("1, 2", None),
            ("x", None),
        ] {
            assert_eq!(count(value.as_bytes()), wanted, "{value}");
        }
    }

    #[test]
    fn only_options_counts() {
        let mut head = RequestHead::new();
        head.fields.set("Max-Forwards", "0").unwrap();
        head.method = Method::GET;
        assert!(check(&mut head).is_ok());
        head.method = Method::OPTIONS;
        assert!(matches!(check(&mut head), Err(Stop::Reply(reply)) if reply.status == StatusCode::NO_CONTENT));
        head.fields.set("Max-Forwards", "3").unwrap();
        assert!(check(&mut head).is_ok());
        assert_eq!(head.fields.known(Known::MaxForwards), Some(&b"2"[..]));
    }
}
