//! Calls over the lanes of an HTTP backend: connections are kept, and checked before they are used again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::IpAddr;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use ringway_contract::{Cause, Chunk, Endpoint, Fault, Frame, Lane, Refusal, Request, RequestHead, Services};
use ringway_wire::{Framing, UriOptions};

use crate::address;
use crate::http_proxy::config::{EndpointConfig, SharedConfig};
use crate::http_proxy::endpoint::HttpProxy;
use crate::http_proxy::target::{Place, Target};

/// Bytes of an answer to [`Caller::post`] that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Connections that are kept for later calls; more are closed when their call is over.
const IDLE_MAX: usize = 64;
/// Bytes of a message that cross the link to the connection at once.
const PIECE_BYTES: usize = 64 * 1024;

/// A URL, taken apart.
#[derive(Clone, Debug)]
pub struct Url {
    /// Scheme and authority.
    pub origin: String,
    /// Path, and query.
    path: String,
    query: Option<String>,
}

impl Url {
    /// Reads an `http` or `https` URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("a URL begins with http:// or https://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(format!("scheme `{scheme}` is not one of http, https"));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let path = if path.is_empty() { "/" } else { path };
        let origin = format!("{scheme}://{authority}");
        let target = Target::parse(&origin)?;
        if matches!(target.place, Place::Unix(_)) {
            return Err("a Unix socket is no consumer".into());
        }
        let mut head = RequestHead::new();
        head.set_path(path, &UriOptions::default()).map_err(|_| format!("`{path}` is no path"))?;
        head.set_query(query).map_err(|_| "the query has bytes that none may have".to_owned())?;
        Ok(Self { origin, path: path.to_owned(), query: query.map(str::to_owned) })
    }
}

/// Calls one URL.
pub struct Caller {
    endpoint: Rc<HttpProxy>,
    url: Url,
    idle: RefCell<Vec<(Lane, Instant)>>,
    idle_for: Duration,
}

/// What was answered.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Its fields, if they were asked for.
    pub headers: Vec<(String, Bytes)>,
    /// The body, as far as it is small.
    pub body: BytesMut,
    /// Whether that is all of it.
    pub whole: bool,
}

/// How much of an answer is read.
#[derive(Clone, Copy)]
pub struct Wants {
    /// Whether its fields are.
    pub headers: bool,
    /// Bytes of its body.
    pub bytes_max: usize,
}

impl Caller {
    /// Built on its shard. Addresses that are not public are refused when they are dialled, unless `private`.
    ///
    /// # Errors
    /// The configuration says something that cannot be done.
    pub fn new(url: Url, shared: SharedConfig, private: bool, services: &Services) -> Result<Self, Refusal> {
        let idle_for = Duration::from_millis(shared.http.keep_alive_timeout);
        let mut endpoint = HttpProxy::new(EndpointConfig { target: url.origin.clone() }, shared, services)?;
        endpoint.admits = (!private).then_some(address::is_public as fn(IpAddr) -> bool);
        Ok(Self { endpoint: Rc::new(endpoint), url, idle: RefCell::default(), idle_for })
    }

    /// Posts a body, with the fields that `fields` sets.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn post(&self, fields: impl FnOnce(&mut RequestHead), body: Bytes) -> Result<Answer, Fault> {
        let wants = Wants { headers: false, bytes_max: ANSWER_BYTES_MAX };
        self.call(Method::POST, &self.url, fields, body, wants).await
    }

    /// Calls a URL of the origin.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn call(
        &self,
        method: Method,
        url: &Url,
        fields: impl FnOnce(&mut RequestHead),
        body: Bytes,
        wants: Wants,
    ) -> Result<Answer, Fault> {
        let mut head = RequestHead::new();
        let bodiless = body.is_empty() && matches!(method, Method::GET | Method::HEAD);
        head.framing = if bodiless { Framing::None } else { Framing::Length(body.len() as u64) };
        head.method = method;
        let invalid = |_| Fault::new(Cause::Internal).detail("a path that was valid is not");
        head.set_path(&url.path, &UriOptions::default()).map_err(invalid)?;
        head.set_query(url.query.as_deref()).map_err(invalid)?;
        fields(&mut head);
        let mut lane = self.take().unwrap_or_else(|| self.endpoint.clone().lane());
        let (answer, kept) = self.exchange(&mut lane, head, body, wants).await?;
        if kept && self.idle.borrow().len() < IDLE_MAX {
            self.idle.borrow_mut().push((lane, Instant::now()));
        }
        Ok(answer)
    }

    /// Drops connections that have been idle for too long, or whose other end has gone.
    pub fn sweep(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        let idle_for = self.idle_for;
        self.idle
            .borrow_mut()
            .retain_mut(|(lane, since)| since.elapsed() < idle_for && lane.poll(&mut cx).is_pending());
    }

    fn take(&self) -> Option<Lane> {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            let (mut lane, since) = self.idle.borrow_mut().pop()?;
            if since.elapsed() < self.idle_for && lane.poll(&mut cx).is_pending() {
                return Some(lane);
            }
        }
    }

    /// One request and its response; whether the connection may be kept.
    async fn exchange(
        &self,
        lane: &mut Lane,
        head: RequestHead,
        body: Bytes,
        wants: Wants,
    ) -> Result<(Answer, bool), Fault> {
        let mut frames = VecDeque::from([Frame::Open(Box::new(Request { head, ..Request::default() }))]);
        let mut rest = body;
        while !rest.is_empty() {
            frames.push_back(Frame::Data(Chunk::Shared(rest.split_to(rest.len().min(PIECE_BYTES)))));
        }
        frames.push_back(Frame::End);
        let (mut status, mut headers, mut whole) = (None, Vec::new(), true);
        let mut answer = BytesMut::new();
        poll_fn(|cx| {
            loop {
                let before = (lane.inbox.moves(), lane.outbox.moves());
                while let Some(frame) = frames.pop_front() {
                    let weight = frame.weight();
                    if let Err(full) = lane.outbox.send(frame, weight) {
                        frames.push_front(full.value);
                        break;
                    }
                }
                let ended = lane.poll(cx).is_ready();
                while let Some(frame) = lane.inbox.recv() {
                    let kept = match frame {
                        Frame::Reply(_, mut head) => {
                            status = Some(head.status);
                            if wants.headers {
                                let text = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
                                let own = |(name, value): (&[u8], &[u8])| (text(name), Bytes::copy_from_slice(value));
                                headers = head.fields.iter().map(own).collect();
                            }
                            head.clear();
                            self.endpoint.responses.put(head);
                            continue;
                        }
                        Frame::Data(chunk) => {
                            lane.inbox.grant(chunk.len());
                            let room = wants.bytes_max.saturating_sub(answer.len());
                            answer.extend_from_slice(chunk.as_slice().get(..room).unwrap_or(chunk.as_slice()));
                            let fits = chunk.len() <= room;
                            if let Chunk::Pooled(buffer) = chunk {
                                self.endpoint.shard.buffers.put(buffer);
                            }
                            if fits {
                                continue;
                            }
                            // The connection is not worth the rest.
                            whole = false;
                            false
                        }
                        Frame::End => frames.is_empty(),
                        Frame::Fail(_, fault) => return Poll::Ready(Err(fault)),
                        Frame::Abort(_) => {
                            whole = false;
                            false
                        }
                        Frame::Upgraded(_) | Frame::Open(_) => {
                            return Poll::Ready(Err(Fault::new(Cause::BackendInvalid)));
                        }
                        Frame::Ready | Frame::Interim(_) | Frame::Trailers(_) => continue,
                    };
                    let Some(status) = status else { return Poll::Ready(Err(Fault::new(Cause::BackendInvalid))) };
                    let (headers, body) = (std::mem::take(&mut headers), std::mem::take(&mut answer));
                    return Poll::Ready(Ok((Answer { status, headers, body, whole }, kept)));
                }
                if ended {
                    return Poll::Ready(Err(Fault::new(Cause::BackendClosed)));
                }
                if before == (lane.inbox.moves(), lane.outbox.moves()) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::parse("https://sink.example:8443/in/a?x=1#top").unwrap();
        assert_eq!((url.origin.as_str(), url.path.as_str()), ("https://sink.example:8443", "/in/a"));
        assert_eq!(url.query.as_deref(), Some("x=1"));
        assert_eq!(Url::parse("http://a?b").unwrap().path, "/");
        for bad in ["sink", "ftp://a", "ws://a", "http://unix:/run/a.sock", "http://u:p@a/", "http://a/%zz", "http://"]
        {
            assert!(Url::parse(bad).is_err(), "{bad}");
        }
    }
}
