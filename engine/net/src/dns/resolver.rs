//! A shard's side of name resolution.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringway_ring::Consumer;
use tokio::sync::mpsc;

use super::cache::{Answer, Cache, Look};
use super::service::{Attachment, Message, OPEN_MAX};
use super::{Dns, DnsError};
use crate::doorbell::Doorbell;
use crate::shard::Shard;

/// The longest that anybody waits for an answer, whatever the name servers' timeouts add up to.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// RFC 1035 section 2.3.4, with a dot at the end.
const NAME_BYTES_MAX: usize = 254;

/// The addresses of a name, or the one that was written in its place. Never empty. IPv4 comes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(List);

#[derive(Clone, Debug, PartialEq, Eq)]
enum List {
    One([IpAddr; 1]),
    Static(&'static [IpAddr]),
    Many(Arc<[IpAddr]>),
}

impl Deref for Addresses {
    type Target = [IpAddr];

    fn deref(&self) -> &[IpAddr] {
        match &self.0 {
            List::One(one) => one,
            List::Static(addresses) => addresses,
            List::Many(addresses) => addresses,
        }
    }
}

/// RFC 6761 section 6.3.
static LOCALHOST: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Resolves names on a shard.
pub struct Resolver {
    link: Option<Rc<Link>>,
}

struct Link {
    shard: usize,
    inbox: mpsc::Sender<Message>,
    cache: RefCell<Cache>,
    /// Questions without an answer yet.
    open: std::cell::Cell<usize>,
}

impl Resolver {
    /// Without a service it knows only what is written in figures, and localhost.
    pub(crate) fn off() -> Self {
        Self { link: None }
    }

    /// Attaches the shard to the service. Returns what has to run on the shard for the answers.
    pub(crate) fn attach(dns: &Dns) -> io::Result<(Self, impl Future<Output = ()> + 'static + use<>)> {
        let Attachment { shard, inbox, answers, sleeper } = dns.attach()?;
        let cache = RefCell::new(Cache::new(dns.options().clone()));
        let link = Rc::new(Link { shard, inbox, cache, open: std::cell::Cell::new(0) });
        let bell = Doorbell::new(sleeper)?;
        Ok((Self { link: Some(Rc::clone(&link)) }, listen(link, answers, bell)))
    }

    /// The addresses of `host`: an IP address (an IPv6 one may be in brackets) or a name.
    ///
    /// # Errors
    /// See [`DnsError`].
    pub async fn resolve(&self, host: &str) -> Result<Addresses, DnsError> {
        if let Some(addresses) = literal(host) {
            return Ok(addresses);
        }
        let Some(link) = &self.link else { return Err(DnsError::Off) };
        if host.is_empty() || host.len() > NAME_BYTES_MAX {
            return Err(DnsError::NotFound);
        }
        let lower;
        let name = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            lower = host.to_ascii_lowercase();
            &lower
        } else {
            host
        };
        link.resolve(name).await.map(|addresses| Addresses(List::Many(addresses)))
    }

    /// Names that the shard remembers.
    pub fn entries(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.cache.borrow().len())
    }
}

impl Link {
    async fn resolve(&self, name: &str) -> Result<Arc<[IpAddr]>, DnsError> {
        let look = self.cache.borrow_mut().look(name, Instant::now());
        let answered = match look {
            Look::Known(known) => return known,
            Look::Refresh(known, name) => {
                self.ask(name, true);
                return known;
            }
            Look::Full => return Err(DnsError::Busy),
            Look::Ask(name, answered) => {
                self.ask(name, false);
                answered
            }
            Look::Wait(answered) => answered,
        };
        let slot = Shard::current().timers.slot();
        slot.arm(ANSWER_MAX);
        if slot.guard(answered.wait()).await.is_err() {
            return Err(DnsError::Failed("no answer in time".into()));
        }
        let known = self.cache.borrow().known(name);
        known.unwrap_or(Err(DnsError::Busy))
    }

    fn ask(&self, name: Arc<str>, refresh: bool) {
        if self.open.get() >= OPEN_MAX {
            self.refuse(name, DnsError::Busy);
            return;
        }
        match self.inbox.try_send(Message::Ask { shard: self.shard, name: Arc::clone(&name), refresh }) {
            Ok(()) => self.open.set(self.open.get() + 1),
            Err(mpsc::error::TrySendError::Full(_)) => self.refuse(name, DnsError::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => self.refuse(name, DnsError::Off),
        }
    }

    /// Answers a question that cannot be asked.
    fn refuse(&self, name: Arc<str>, error: DnsError) {
        let answer = Answer { name, outcome: Err(error), ttl: Duration::ZERO };
        self.cache.borrow_mut().learn(&answer, Instant::now());
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let _ = self.inbox.try_send(Message::Detach { shard: self.shard });
    }
}

/// Takes the answers, until the shard closes.
async fn listen(link: Rc<Link>, mut answers: Consumer<Answer>, mut bell: Doorbell) {
    let shard = Shard::current();
    let mut closing = std::pin::pin!(shard.closing().wait());
    loop {
        while let Some(answer) = answers.pop() {
            link.open.set(link.open.get().saturating_sub(1));
            link.cache.borrow_mut().learn(&answer, Instant::now());
        }
        let mut rung = std::pin::pin!(bell.wait(|| answers.is_empty()));
        let go_on = std::future::poll_fn(|context| {
            if closing.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(false);
            }
            rung.as_mut().poll(context).map(|result| result.is_ok())
        });
        if !go_on.await || answers.is_closed() {
            return;
        }
    }
}

/// What needs no name server.
fn literal(host: &str) -> Option<Addresses> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = bare.parse() {
        return Some(Addresses(List::One([address])));
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    let is_local = name.len() >= 9
        && name.is_char_boundary(name.len() - 9)
        && name[name.len() - 9..].eq_ignore_ascii_case("localhost")
        && (name.len() == 9 || name.as_bytes()[name.len() - 10] == b'.');
    is_local.then_some(Addresses(List::Static(&LOCALHOST)))
}

#[cfg(test)]
mod tests {
    use super::literal;

    #[test]
    fn figures_and_localhost_need_no_server() {
        for (host, first, count) in [
            ("192.0.2.1", "192.0.2.1", 1),
            ("::1", "::1", 1),
            ("[2001:db8::1]", "2001:db8::1", 1),
            ("localhost", "127.0.0.1", 2),
            ("LocalHost.", "127.0.0.1", 2),
            ("a.localhost", "127.0.0.1", 2),
        ] {
            let addresses = literal(host).unwrap_or_else(|| panic!("{host}"));
            assert_eq!((addresses[0].to_string().as_str(), addresses.len()), (first, count), "{host}");
        }
        for host in ["example.com", "notlocalhost", "localhost.example", "", "1.2.3", "[x]", "éocalhost", "ocalhost"] {
            assert_eq!(literal(host), None, "{host}");
        }
    }
}
