//! The thread that asks name servers, for all shards.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc as std_mpsc;
use std::thread;
use std::time::{Duration, Instant};

use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as HickoryDnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::{Hosts, TokioResolver};
use ringway_ring::{Consumer, Producer, Ringer, Sleeper, doorbell, ring};
use tokio::sync::mpsc;

use super::cache::Answer;
use super::{DnsError, DnsOptions};

/// Questions that a shard may have open; as many answers fit into its ring.
pub(super) const OPEN_MAX: usize = 256;
/// Messages that wait for the thread.
const INBOX: usize = 1024;
/// Questions that may be open at name servers.
const QUERIES_MAX: usize = 512;

/// The thread that resolves names. It ends when the last handle is gone.
#[derive(Clone)]
pub struct Dns {
    inbox: mpsc::Sender<Message>,
    shards: Arc<AtomicUsize>,
    options: DnsOptions,
}

/// A shard's connection to the thread.
pub(super) struct Attachment {
    pub(super) shard: usize,
    pub(super) inbox: mpsc::Sender<Message>,
    pub(super) answers: Consumer<Answer>,
    pub(super) sleeper: Sleeper,
}

pub(super) enum Message {
    Attach {
        shard: usize,
        answers: Producer<Answer>,
        ringer: Ringer,
    },
    Detach {
        shard: usize,
    },
    /// `refresh`: the shard knows an answer and wants a newer one.
    Ask {
        shard: usize,
        name: Arc<str>,
        refresh: bool,
    },
    Done {
        answer: Answer,
    },
}

impl Dns {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the thread cannot be made, or `/etc/resolv.conf` cannot be read.
    pub fn start(options: &DnsOptions) -> io::Result<Self> {
        let (inbox, messages) = mpsc::channel(INBOX);
        let (report, started) = std_mpsc::sync_channel(1);
        let (own, back) = (options.clone(), inbox.downgrade());
        thread::Builder::new().name("dns".into()).spawn(move || {
            let ready = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .and_then(|runtime| Ok((resolver(&own)?, runtime)));
            match ready {
                Ok((resolver, runtime)) => {
                    let _ = report.send(Ok(()));
                    runtime.block_on(Service::new(resolver, own, back).serve(messages));
                }
                Err(error) => {
                    let _ = report.send(Err(error));
                }
            }
        })?;
        started.recv().unwrap_or_else(|_| Err(io::Error::other("the resolver died at its start")))?;
        Ok(Self { inbox, shards: Arc::default(), options: options.clone() })
    }

    pub(super) fn options(&self) -> &DnsOptions {
        &self.options
    }

    pub(super) fn attach(&self) -> io::Result<Attachment> {
        let shard = self.shards.fetch_add(1, Ordering::Relaxed);
        let (producer, consumer) = ring(OPEN_MAX);
        let (ringer, sleeper) = doorbell()?;
        self.inbox
            .try_send(Message::Attach { shard, answers: producer, ringer })
            .map_err(|_| io::Error::other("the resolver is gone, or swamped"))?;
        Ok(Attachment { shard, inbox: self.inbox.clone(), answers: consumer, sleeper })
    }
}

fn resolver(options: &DnsOptions) -> io::Result<TokioResolver> {
    let mut builder = if options.servers.is_empty() {
        TokioResolver::builder_tokio().map_err(io::Error::other)?
    } else {
        let mut config = ResolverConfig::default();
        for server in &options.servers {
            let connection = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let mut server = NameServerConfig::udp_and_tcp(server.ip());
            server.connections = server.connections.into_iter().map(connection).collect();
            config.name_servers.push(server);
        }
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let settings = builder.options_mut();
    settings.timeout = options.timeout;
    settings.attempts = options.retries;
    settings.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    // What is known is kept here and on the shards; a third cache would only delay news.
    settings.cache_size = 0;
    settings.use_hosts_file = if options.hosts.is_some() { ResolveHosts::Never } else { ResolveHosts::Auto };
    let mut resolver = builder.build().map_err(io::Error::other)?;
    if let Some(text) = &options.hosts {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(text.as_bytes())?;
        resolver.set_hosts(Arc::new(hosts));
    }
    Ok(resolver)
}

struct Service {
    resolver: TokioResolver,
    options: DnsOptions,
    inbox: mpsc::WeakSender<Message>,
    shards: HashMap<usize, (Producer<Answer>, Ringer)>,
    /// At most as many as one shard remembers.
    names: HashMap<Arc<str>, Name>,
    queries: usize,
}

/// What the thread remembers of a name, so that shards that ask one after the other share a query.
struct Name {
    last: Option<(Answer, Instant)>,
    /// Shards that wait for the query under way.
    waiting: Vec<usize>,
}

impl Service {
    fn new(resolver: TokioResolver, options: DnsOptions, inbox: mpsc::WeakSender<Message>) -> Self {
        Self { resolver, options, inbox, shards: HashMap::new(), names: HashMap::new(), queries: 0 }
    }

    async fn serve(mut self, mut messages: mpsc::Receiver<Message>) {
        while let Some(message) = messages.recv().await {
            match message {
                Message::Attach { shard, answers, ringer } => {
                    self.shards.insert(shard, (answers, ringer));
                }
                Message::Detach { shard } => {
                    self.shards.remove(&shard);
                }
                Message::Ask { shard, name, refresh } => self.ask(shard, &name, refresh),
                Message::Done { answer } => self.done(answer),
            }
        }
    }

    fn ask(&mut self, shard: usize, name: &Arc<str>, refresh: bool) {
        let now = Instant::now();
        if let Some(known) = self.names.get_mut(name) {
            if !known.waiting.is_empty() {
                if !known.waiting.contains(&shard) {
                    known.waiting.push(shard);
                }
                return;
            }
            if let Some((answer, learnt)) = &known.last {
                // A refresh is content with what another shard's refresh has just brought.
                let age = now - *learnt;
                let good_for = if refresh { answer.ttl / 2 } else { answer.ttl };
                if answer.outcome.is_ok() && age < good_for {
                    let answer = Answer { ttl: answer.ttl - age, ..answer.clone() };
                    self.tell(shard, answer);
                    return;
                }
            }
        }
        self.forget(now);
        let Some(inbox) = self.inbox.upgrade().filter(|_| self.queries < QUERIES_MAX) else {
            let answer = Answer { name: Arc::clone(name), outcome: Err(DnsError::Busy), ttl: Duration::ZERO };
            self.tell(shard, answer);
            return;
        };
        self.queries += 1;
        self.names.entry(Arc::clone(name)).or_insert(Name { last: None, waiting: Vec::new() }).waiting.push(shard);
        let (resolver, name) = (self.resolver.clone(), Arc::clone(name));
        tokio::spawn(async move {
            let answer = query(&resolver, name).await;
            // The channel is closed only when everybody is gone.
            let _ = inbox.send(Message::Done { answer }).await;
        });
    }

    fn done(&mut self, answer: Answer) {
        self.queries = self.queries.saturating_sub(1);
        let Some(name) = self.names.get_mut(&answer.name) else { return };
        let waiting = std::mem::take(&mut name.waiting);
        name.last = Some((answer.clone(), Instant::now()));
        for shard in waiting {
            self.tell(shard, answer.clone());
        }
    }

    fn tell(&mut self, shard: usize, answer: Answer) {
        if let Some((answers, ringer)) = self.shards.get_mut(&shard) {
            // A full ring is that of a shard that is gone: a living one has no more questions open than fit.
            let _ = answers.push(answer);
            ringer.ring();
        }
    }

    /// Keeps the table within its bound: what is over goes, and if that is not enough, what is not waited for.
    fn forget(&mut self, now: Instant) {
        if self.names.len() < self.options.entries_max {
            return;
        }
        self.names.retain(|_, name| {
            !name.waiting.is_empty() || name.last.as_ref().is_some_and(|(answer, learnt)| now < *learnt + answer.ttl)
        });
        if self.names.len() >= self.options.entries_max {
            self.names.retain(|_, name| !name.waiting.is_empty());
        }
    }
}

async fn query(resolver: &TokioResolver, name: Arc<str>) -> Answer {
    match resolver.lookup_ip(&*name).await {
        Ok(found) => {
            let ttl = found.valid_until().saturating_duration_since(Instant::now());
            let mut addresses: Vec<IpAddr> = found.iter().collect();
            // IPv4 first: where both exist and only one works, it is the one. The order within each is the server's.
            addresses.sort_by_key(IpAddr::is_ipv6);
            let outcome = if addresses.is_empty() { Err(DnsError::NotFound) } else { Ok(addresses.into()) };
            Answer { name, outcome, ttl }
        }
        Err(error) => {
            let outcome = if denies(&error) { DnsError::NotFound } else { DnsError::Failed(error.to_string()) };
            Answer { name, outcome: Err(outcome), ttl: Duration::ZERO }
        }
    }
}

/// Whether the servers said that there is no such name or address, as opposed to not being able to say.
fn denies(error: &NetError) -> bool {
    match error {
        NetError::Dns(HickoryDnsError::NoRecordsFound(none)) => {
            matches!(none.response_code, ResponseCode::NXDomain | ResponseCode::NoError)
        }
        _ => false,
    }
}
