//! The protocol of Redis, version 2, without I/O: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
//!
//! ```text
//!   +OK\r\n   -ERR why\r\n   :42\r\n   $5\r\nbytes\r\n   $-1\r\n (nil)   *2\r\n…two replies…
//! ```

use bytes::{Bytes, BytesMut};

/// Bytes of a line: a status, an error, a number or a length.
const LINE_BYTES_MAX: usize = 4096;
/// Bytes of a reply beside those that it may be about: its lines.
const LINES_BYTES_MAX: usize = 4096;
/// Replies within one, all in all.
const WITHIN_MAX: usize = 64;
/// How deep they lie in each other.
const DEPTH_MAX: usize = 4;

/// What a server says to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status.
    Status(Bytes),
    /// The command was refused: why.
    Error(String),
    /// A number.
    Int(i64),
    /// Bytes.
    Bytes(Bytes),
    /// Nothing.
    Nil,
    /// Several replies.
    List(Vec<Reply>),
}

/// What comes is not of this protocol, or longer than anything that was asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a reply of Redis: {0}")]
pub struct Malformed(&'static str);

/// Appends a command.
pub fn encode(out: &mut BytesMut, parts: &[&[u8]]) {
    count(out, b'*', parts.len());
    for part in parts {
        count(out, b'$', part.len());
        out.extend_from_slice(part);
        out.extend_from_slice(b"\r\n");
    }
}

fn count(out: &mut BytesMut, mark: u8, count: usize) {
    out.extend_from_slice(&[mark]);
    out.extend_from_slice(count.to_string().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Takes the first reply out of what came. `None`: it is not whole yet. The reply has `bytes_max` bytes at most, besides its lines: as soon
/// as it says that it has more, it is refused, so that no more of it has to be kept.
///
/// # Errors
/// Nothing that comes after it can be understood.
pub fn decode(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Reply>, Malformed> {
    let mut left = Left { bytes_max, end: bytes_max.saturating_add(LINES_BYTES_MAX), replies: WITHIN_MAX };
    let Some(length) = measure(buffer, 0, &mut left, DEPTH_MAX)? else { return Ok(None) };
    let whole = buffer.split_to(length).freeze();
    let mut at = 0;
    Ok(read(&whole, &mut at))
}

/// A line's mark, what is behind it, and where the next line begins.
type Line<'a> = (u8, &'a [u8], usize);

/// The line that begins at `at`.
fn line(buffer: &[u8], at: usize) -> Result<Option<Line<'_>>, Malformed> {
    let rest = buffer.get(at..).unwrap_or_default();
    let Some(end) = rest.iter().take(LINE_BYTES_MAX).position(|byte| *byte == b'\n') else {
        return if rest.len() < LINE_BYTES_MAX { Ok(None) } else { Err(Malformed("a line without an end")) };
    };
    match rest.get(..end) {
        Some([mark, text @ .., b'\r']) => Ok(Some((*mark, text, at + end + 1))),
        _ => Err(Malformed("a line without a mark or its end")),
    }
}

fn number(text: &[u8]) -> Result<i64, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| Malformed("a number that is none"))?;
    text.parse().map_err(|_| Malformed("a number that is none"))
}

/// What the reply that is being measured may still have.
struct Left {
    /// Bytes of each of its parts.
    bytes_max: usize,
    /// Where it has to end.
    end: usize,
    /// Replies within it.
    replies: usize,
}

/// Where the reply at `at` ends. Nothing is taken or kept before all of it is there.
fn measure(buffer: &[u8], at: usize, left: &mut Left, depth: usize) -> Result<Option<usize>, Malformed> {
    let Some((mark, text, next)) = line(buffer, at)? else { return Ok(None) };
    let within = |end: Option<usize>| {
        end.filter(|end| *end <= left.end).ok_or(Malformed("a reply that is longer than anything that was asked for"))
    };
    within(Some(next))?;
    match mark {
        b'+' | b'-' => Ok(Some(next)),
        b':' => number(text).map(|_| Some(next)),
        b'$' => {
            let length = number(text)?;
            if length == -1 {
                return Ok(Some(next));
            }
            let length = usize::try_from(length).ok().filter(|length| *length <= left.bytes_max);
            let length = length.ok_or(Malformed("a length beyond its bound"))?;
            let end = within(next.checked_add(length).and_then(|end| end.checked_add(2)))?;
            match buffer.get(end - 2..end) {
                Some(b"\r\n") => Ok(Some(end)),
                Some(_) => Err(Malformed("bytes without their end")),
                None => Ok(None),
            }
        }
        b'*' => {
            let count = number(text)?;
            if count == -1 {
                return Ok(Some(next));
            }
            let rest = usize::try_from(count).ok().and_then(|count| left.replies.checked_sub(count));
            left.replies = rest.ok_or(Malformed("a list beyond its bound"))?;
            if depth == 0 {
                return Err(Malformed("lists within lists"));
            }
            let mut end = next;
            for _ in 0..count {
                match measure(buffer, end, left, depth - 1)? {
                    Some(next) => end = next,
                    None => return Ok(None),
                }
            }
            Ok(Some(end))
        }
        _ => Err(Malformed("an unknown mark")),
    }
}

/// A reply that [`measure`] has found whole.
fn read(whole: &Bytes, at: &mut usize) -> Option<Reply> {
    let (mark, text, next) = line(whole, *at).ok()??;
    *at = next;
    Some(match mark {
        b'+' => Reply::Status(whole.slice_ref(text)),
        b'-' => Reply::Error(String::from_utf8_lossy(text).into_owned()),
        b':' => Reply::Int(number(text).ok()?),
        b'$' => match usize::try_from(number(text).ok()?) {
            Ok(length) => {
                *at = next + length + 2;
                Reply::Bytes(whole.slice_ref(whole.get(next..next + length)?))
            }
            Err(_) => Reply::Nil,
        },
        _ => match usize::try_from(number(text).ok()?) {
            Ok(count) => Reply::List((0..count).map(|_| read(whole, at)).collect::<Option<_>>()?),
            Err(_) => Reply::Nil,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 100;

    fn decoded(text: &[u8]) -> Result<Option<Reply>, Malformed> {
        decode(&mut BytesMut::from(text), MAX)
    }

    #[test]
    fn replies_are_read_whole_however_they_come() {
        let bytes = |text: &'static str| Reply::Bytes(Bytes::from(text));
        let list = Reply::List(vec![Reply::Int(-3), bytes("a\r\nb"), Reply::Nil, Reply::List(Vec::new())]);
        for (text, wanted) in [
            (&b"+OK\r\n"[..], Reply::Status(Bytes::from("OK"))),
            (b"-ERR no\r\n", Reply::Error("ERR no".into())),
            (b":42\r\n", Reply::Int(42)),
            (b"$-1\r\n", Reply::Nil),
            (b"*-1\r\n", Reply::Nil),
            (b"$0\r\n\r\n", bytes("")),
            (b"*4\r\n:-3\r\n$4\r\na\r\nb\r\n$-1\r\n*0\r\n", list),
        ] {
            assert_eq!(decoded(text), Ok(Some(wanted.clone())), "{}", text.escape_ascii());
            for cut in 0..text.len() {
                assert_eq!(decoded(&text[..cut]), Ok(None), "{} cut at {cut}", text.escape_ascii());
            }
            let mut two = BytesMut::from([text, text].concat().as_slice());
            assert_eq!(decode(&mut two, MAX).unwrap(), Some(wanted));
            assert_eq!(&two[..], text, "the next one stays");
        }
    }

    #[test]
    fn what_is_no_reply_or_too_long_is_refused() {
        let endless = vec![b'+'; LINE_BYTES_MAX];
        for text in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"\r\n",
            b"\n",
            b":x\r\n",
            b"$101\r\n",
            b"$-2\r\n",
            b"$9223372036854775807\r\n",
            b"$99999999999999999999\r\n",
            b"$1\r\nabc",
            b"*65\r\n",
            b"*-2\r\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
            &endless,
        ] {
            assert!(decoded(text).is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn all_that_lies_within_a_reply_is_within_its_bound() {
        // Each of its parts would be, and together they had no end.
        let value = [&b"$90\r\n"[..], &[b'x'; 90], b"\r\n"].concat();
        let list = [&b"*64\r\n"[..], &value.repeat(64)].concat();
        let mut refused_at = None;
        for end in 0..list.len() {
            if decoded(&list[..end]).is_err() {
                refused_at.get_or_insert(end);
            }
        }
        assert!(refused_at.is_some_and(|at| at <= MAX + LINES_BYTES_MAX), "{refused_at:?}");
        let lists = [&b"*8\r\n"[..], &[&b"*8\r\n"[..], &b":1\r\n".repeat(8)].concat().repeat(8)].concat();
        assert_eq!(decoded(&lists), Err(Malformed("a list beyond its bound")));
    }

    #[test]
    fn commands_are_written_with_their_lengths() {
        let mut out = BytesMut::new();
        encode(&mut out, &[b"SET", b"k", b"a\r\nb"]);
        assert_eq!(&out[..], b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n");
    }
}
