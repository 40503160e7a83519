//! Responses that several gateways share, in a Redis.
//!
//! A value is what this gateway wrote, and is read with care all the same: anybody who reaches the Redis may write there.
//!
//! ```text
//!   "RW" 1  R  status  came (ms since 1970)  age ms  fresh ms  count  (length name  length value)*  body
//!   "RW" 1  V  count  (length name)*                            what responses differ by
//! ```

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::StatusCode;
use ringway_contract::subscriber::now_ms as unix_ms;

use super::rules::VARY_MAX;
use super::store::Value;
use super::stored::Stored;
use crate::clock::now_ms;
use crate::hashed::Key;
use crate::redis::{REPLY_BYTES_MAX, Redis, Reply};

const MARK: &[u8] = b"RW1";
/// Fields of a response; a head has no more.
const FIELDS_MAX: u16 = 1024;

/// One resource, as a shard reaches it.
pub struct Remote {
    /// The connection.
    pub redis: Rc<Redis>,
    /// What its keys begin with.
    pub prefix: String,
    /// How long an entry is kept at most; 0: as long as it is fresh.
    pub live_ms: u64,
    /// Runs what nobody waits for.
    pub spawn: fn(Pin<Box<dyn Future<Output = ()>>>),
}

impl Remote {
    /// What is there. Nothing, too, where the Redis is away.
    pub async fn get(&self, key: Key) -> Option<Value> {
        let key = self.name(key);
        match self.redis.ask(&[b"GET", key.as_bytes()]).await {
            Ok(Reply::Bytes(bytes)) => read(bytes),
            _ => None,
        }
    }

    /// Keeps values for so long, and drops `last` when they are there, or could not be kept.
    pub fn put(self: &Rc<Self>, values: Vec<(Key, Value)>, for_ms: u64, last: impl Sized + 'static) {
        let for_ms = if self.live_ms > 0 { for_ms.min(self.live_ms) } else { for_ms };
        let own = self.clone();
        (self.spawn)(Box::pin(async move {
            let for_ms = for_ms.max(1).to_string();
            for (key, value) in values {
                let (key, written) = (own.name(key), written(&value));
                if written.len() > REPLY_BYTES_MAX {
                    break;
                }
                let _ = own.redis.ask(&[b"SET", key.as_bytes(), &written, b"PX", for_ms.as_bytes()]).await;
            }
            drop(last);
        }));
    }

    /// Forgets what is there.
    pub fn remove(self: &Rc<Self>, key: Key) {
        let own = self.clone();
        (self.spawn)(Box::pin(async move {
            let _ = own.redis.ask(&[b"DEL", own.name(key).as_bytes()]).await;
        }));
    }

    fn name(&self, key: Key) -> String {
        format!("{}{}", self.prefix, key.text())
    }
}

fn written(value: &Value) -> BytesMut {
    let mut out = BytesMut::from(MARK);
    match value {
        Value::Response(stored) => {
            out.put_u8(b'R');
            out.put_u16(stored.status.as_u16());
            out.put_u64(unix_ms().saturating_sub(now_ms().saturating_sub(stored.came_ms)));
            out.put_u64(stored.age_ms);
            out.put_u64(stored.fresh_ms);
            let count = u16::try_from(stored.fields.len()).unwrap_or(u16::MAX);
            out.put_u16(count);
            for (name, value) in stored.fields.iter().take(usize::from(count)) {
                text(&mut out, name);
                text(&mut out, value);
            }
            out.extend_from_slice(&stored.body);
        }
        Value::Varies(names) => {
            out.put_u8(b'V');
            let count = names.len().min(VARY_MAX);
            out.put_u16(count as u16);
            names.iter().take(count).for_each(|name| text(&mut out, name.as_bytes()));
        }
        Value::Passes => {}
    }
    out
}

fn text(out: &mut BytesMut, text: &[u8]) {
    // A head is shorter than 64 KiB, and so is each part of it.
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.put_u16(length);
    out.extend_from_slice(text.get(..usize::from(length)).unwrap_or_default());
}

/// `None`: nobody of ours wrote this.
fn read(mut bytes: Bytes) -> Option<Value> {
    if !bytes.starts_with(MARK) {
        return None;
    }
    bytes.advance(MARK.len());
    match bytes.try_get_u8().ok()? {
        b'R' => response(bytes).map(|stored| Value::Response(Arc::new(stored))),
        b'V' => {
            let count = usize::from(bytes.try_get_u16().ok()?);
            let names = (count <= VARY_MAX).then(|| (0..count).map(|_| name(&mut bytes)).collect::<Option<_>>())?;
            names.map(Value::Varies)
        }
        _ => None,
    }
}

fn response(mut bytes: Bytes) -> Option<Stored> {
    let status = StatusCode::from_u16(bytes.try_get_u16().ok()?).ok().filter(|status| !status.is_informational())?;
    let came_ms = bytes.try_get_u64().ok()?;
    let (age_ms, fresh_ms) = (bytes.try_get_u64().ok()?, bytes.try_get_u64().ok()?);
    let count = bytes.try_get_u16().ok().filter(|count| *count <= FIELDS_MAX)?;
    let mut fields = Vec::new();
    for _ in 0..count {
        let name = piece(&mut bytes)?;
        fields.push((Box::from(&*name), piece(&mut bytes)?));
    }
    // As if it had come now, and were older and fresh for less long. Clocks of gateways differ a little.
    let since_ms = unix_ms().saturating_sub(came_ms);
    Some(Stored {
        status,
        fields,
        body: bytes,
        came_ms: now_ms(),
        age_ms: age_ms.saturating_add(since_ms),
        fresh_ms: fresh_ms.saturating_sub(since_ms),
    })
}

fn piece(bytes: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(bytes.try_get_u16().ok()?);
    (bytes.len() >= length).then(|| bytes.split_to(length))
}

fn name(bytes: &mut Bytes) -> Option<Box<str>> {
    Some(Box::from(std::str::from_utf8(&piece(bytes)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        Stored {
            status: StatusCode::NOT_FOUND,
            fields: vec![(Box::from(&b"Content-Type"[..]), Bytes::from("text/plain"))],
            body: Bytes::from("a body"),
            came_ms: now_ms(),
            age_ms: 2000,
            fresh_ms: 60_000,
        }
    }

    #[test]
    fn a_value_is_read_as_it_was_written() {
        let Some(Value::Response(read_again)) = read(written(&Value::Response(Arc::new(stored()))).freeze()) else {
            panic!("it is a response");
        };
        assert_eq!((read_again.status, &*read_again.body), (StatusCode::NOT_FOUND, &b"a body"[..]));
        assert_eq!(read_again.fields, stored().fields);
        assert!(read_again.is_fresh() && read_again.age_ms >= 2000 && read_again.fresh_ms <= 60_000);
        let names: Arc<[Box<str>]> = Arc::from(["accept".into(), "origin".into()]);
        let Some(Value::Varies(again)) = read(written(&Value::Varies(names.clone())).freeze()) else {
            panic!("these are names");
        };
        assert_eq!(again, names);
    }

    #[test]
    fn what_others_wrote_is_nothing() {
        let whole = written(&Value::Response(Arc::new(stored()))).freeze();
        for cut in 0..whole.len() - stored().body.len() {
            assert!(read(whole.slice(..cut)).is_none(), "cut at {cut}");
        }
        let mut other = BytesMut::from(&whole[..]);
        other[4..6].copy_from_slice(&[0, 7]);
        assert!(read(other.freeze()).is_none(), "a status that is none");
        for text in [&b""[..], b"RW", b"RW1", b"RW1V\xff\xff", b"RW1V\0\x01\xff\xff", b"RW1V\0\x01\0\x01\xff", b"hello"]
        {
            assert!(read(Bytes::from_static(text)).is_none(), "{}", text.escape_ascii());
        }
    }
}
