//! A response that is kept, and the answer that is made of it.

use bytes::Bytes;
use http::StatusCode;
use ringway_contract::{RequestHead, ResponseHead};

use super::rules;
use crate::clock::now_ms;

/// Fields that are of one connection, of one answer, or written anew.
const LEFT_OUT: [&str; 11] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "age",
    "proxy-authenticate",
    "proxy-authentication-info",
];

/// A response.
#[derive(Debug, Default)]
pub struct Stored {
    /// Its status.
    pub status: StatusCode,
    /// Its fields, in their order.
    pub fields: Vec<(Box<[u8]>, Bytes)>,
    /// Its body, in the content coding that the backend gave it.
    pub body: Bytes,
    /// When it came, and how old it was then.
    pub came_ms: u64,
    pub age_ms: u64,
    /// How long it is fresh from when it came.
    pub fresh_ms: u64,
}

impl Stored {
    /// The head of a response, without its body.
    pub fn head(response: &ResponseHead, age_ms: u64, fresh_ms: u64) -> Self {
        let kept = |name: &[u8]| !LEFT_OUT.iter().any(|left| name.eq_ignore_ascii_case(left.as_bytes()));
        let fields = response.fields.iter().filter(|(name, _)| kept(name));
        Self {
            status: response.status,
            fields: fields.map(|(name, value)| (name.into(), Bytes::copy_from_slice(value))).collect(),
            body: Bytes::new(),
            came_ms: now_ms(),
            age_ms,
            fresh_ms,
        }
    }

    /// The same response, of which the backend says in `response` that it is still good (RFC 9111 section 3.2).
    pub fn renewed(&self, response: &ResponseHead, age_ms: u64, fresh_ms: u64) -> Self {
        let mut renewed = Self::head(response, age_ms, fresh_ms);
        let told = |name: &[u8], fields: &[(Box<[u8]>, Bytes)]| {
            fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let old = self.fields.iter().filter(|(name, _)| !told(name, &renewed.fields));
        let old: Vec<_> = old.cloned().collect();
        renewed.fields.extend(old);
        renewed.status = self.status;
        renewed.body = self.body.clone();
        renewed
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        let fields = self.fields.iter().map(|(name, value)| name.len() + value.len() + 64);
        self.body.len() + fields.sum::<usize>()
    }

    /// How old it is now (RFC 9111 section 4.2.3).
    pub fn age_ms(&self) -> u64 {
        self.age_ms.saturating_add(now_ms().saturating_sub(self.came_ms))
    }

    /// Whether it may be answered without asking the backend.
    pub fn is_fresh(&self) -> bool {
        now_ms().saturating_sub(self.came_ms) < self.fresh_ms
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| &**value)
    }

    /// Writes it as the response to a request, which may have it already (RFC 9110 section 13.2.2). What is to be sent as its body.
    pub fn answer(&self, request: &RequestHead, response: &mut ResponseHead) -> Bytes {
        response.clear();
        let unchanged = self.status == StatusCode::OK && rules::has_it(request, self);
        response.set_status(if unchanged { StatusCode::NOT_MODIFIED } else { self.status });
        for (name, value) in &self.fields {
            // They were fields of a response, which is no longer than one may be.
            if let Ok(name) = std::str::from_utf8(name) {
                let _ = response.fields.append(name, value);
            }
        }
        let _ = response.fields.set("Age", (self.age_ms() / 1000).to_string());
        if unchanged { Bytes::new() } else { self.body.clone() }
    }
}
