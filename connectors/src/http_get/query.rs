//! `limit` and `cursor` of a query.

use bytes::Bytes;

/// What a query asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Most messages.
    pub limit: Option<u32>,
    /// Where to go on.
    pub cursor: Option<Bytes>,
}

/// Longest cursor that is looked at, in bytes.
const CURSOR_BYTES_MAX: usize = 4 * 1024;

/// Reads a query; parameters of other names are not this entrypoint's.
///
/// # Errors
/// One sentence about what is wrong.
pub fn read(query: &str) -> Result<Query, &'static str> {
    let mut read = Query::default();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "limit" => {
                let limit = value.parse().ok().filter(|limit| *limit > 0);
                read.limit = Some(limit.ok_or("`limit` is no positive number.")?);
            }
            "cursor" if !value.is_empty() => {
                let cursor = decoded(value).ok_or("`cursor` is not validly percent-encoded.")?;
                if cursor.len() > CURSOR_BYTES_MAX {
                    return Err("`cursor` is too long.");
                }
                read.cursor = Some(cursor);
            }
            _ => {}
        }
    }
    Ok(read)
}

/// A value without its percent-encoding (RFC 3986 section 2.1). A `+` stays: it is a digit of Base64, and cursors are no forms.
fn decoded(value: &str) -> Option<Bytes> {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(out.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_and_cursor_are_read_and_others_are_not() {
        let read = read("a=1&limit=5&cursor=dG9waWM%2BQDA+&b").unwrap();
        assert_eq!(read, Query { limit: Some(5), cursor: Some("dG9waWM+QDA+".into()) });
    }

    #[test]
    fn what_is_no_number_and_what_is_no_encoding_is_refused() {
        for query in ["limit=0", "limit=-1", "limit=ten", "limit=", "cursor=%zz", "cursor=%4"] {
            assert!(read(query).is_err(), "{query}");
        }
    }
}
