//! The client that a shard lends to extensions: a caller for each origin.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use ringway_contract::{Cause, FETCH_BYTES_MAX, Fault, Fetch, FetchRequest, FetchResponse, Fetching, Services};

use crate::caller::{Caller, Url, Wants};
use crate::http_proxy::config::SharedConfig;

/// Origins whose connections are kept; the one that was not called for longest gives way.
const ORIGINS_MAX: usize = 64;

/// Makes the client of a shard.
pub fn fetch(services: &Services) -> Option<Rc<dyn Fetch>> {
    Some(Rc::new(Fetcher { services: services.clone(), callers: RefCell::default() }))
}

struct Fetcher {
    services: Services,
    /// By origin, the one called last at the end.
    callers: RefCell<VecDeque<(String, Rc<Caller>)>>,
}

impl Fetcher {
    fn caller(&self, url: &Url) -> Result<Rc<Caller>, Fault> {
        let mut callers = self.callers.borrow_mut();
        if let Some(at) = callers.iter().position(|(origin, _)| *origin == url.origin)
            && let Some((origin, caller)) = callers.remove(at)
        {
            caller.sweep();
            callers.push_back((origin, caller.clone()));
            return Ok(caller);
        }
        let mut shared = SharedConfig::default();
        // The call has one deadline of its own.
        shared.http.read_timeout = 0;
        // Whoever writes the definition chose the URL: it may lie in the gateway's own network.
        let caller = Caller::new(url.clone(), shared, true, &self.services);
        let caller =
            Rc::new(caller.map_err(|_| Fault::new(Cause::BackendUnreachable).detail("no client for the URL"))?);
        if callers.len() >= ORIGINS_MAX {
            callers.pop_front();
        }
        callers.push_back((url.origin.clone(), caller.clone()));
        Ok(caller)
    }
}

impl Fetch for Fetcher {
    fn fetch(&self, request: FetchRequest) -> Fetching {
        let url = match Url::parse(&request.url) {
            Ok(url) => url,
            Err(_) => return failed(Fault::new(Cause::BackendUnresolved).detail("the URL is none")),
        };
        let caller = match self.caller(&url) {
            Ok(caller) => caller,
            Err(fault) => return failed(fault),
        };
        Box::pin(async move {
            let FetchRequest { method, headers, body, timeout, .. } = request;
            let fields = |head: &mut ringway_contract::RequestHead| {
                for (name, value) in &headers {
                    let _ = head.fields.append(name, value.as_bytes());
                }
            };
            let wants = Wants { headers: true, bytes_max: FETCH_BYTES_MAX };
            let mut call = pin!(caller.call(method, &url, fields, body, wants));
            let mut late = pin!(ringway_net::sleep(timeout));
            let answer = poll_fn(|cx| match call.as_mut().poll(cx) {
                Poll::Pending => late.as_mut().poll(cx).map(|()| Err(Fault::new(Cause::BackendTimeout))),
                ready => ready,
            });
            let answer = answer.await?;
            if !answer.whole {
                return Err(Fault::new(Cause::BackendBodyTooLarge));
            }
            Ok(FetchResponse { status: answer.status, headers: answer.headers, body: answer.body.freeze() })
        })
    }
}

fn failed(fault: Fault) -> Fetching {
    Box::pin(std::future::ready(Err(fault)))
}
