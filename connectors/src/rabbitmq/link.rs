//! The connection to a broker: one for all subscriptions and one for all publishers of a configuration, whatever shard they are of.
//!
//! Two, because a broker that runs out of memory stops reading from whoever publishes (`connection.blocked`), and acknowledgements must
//! not wait behind that.
//!
//! ```text
//!                  connected                 lost
//!   Connecting ───────────────▶ Up ───────────────────▶ Connecting
//!       │  ▲                                               │
//!       ▼  │ after a while (exponential, by chance)        ▼
//!     Down, Refused ◀──────────────────────────────────────┘
//! ```

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_rs::Runtime;
use futures_util::StreamExt;
use lapin::tcp::AsyncTcpStream;
use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo};
use lapin::{Connection, ConnectionProperties, ErrorKind};
use ringway_contract::{Cause, Fault, Retry};
use ringway_net::ClientTls;
use tokio::sync::watch;
use tokio::time::{interval, sleep};

use super::config::{EndpointConfig, Security};
use super::transport::{self, Kit};
use crate::bridge::{self, backoff};
use crate::tls::SslConfig;

/// Seconds between signs of life on an idle connection; after two without one it counts as dead.
const HEARTBEAT_S: u16 = 20;
/// How often it is looked whether a connection still stands, should its end not be told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A broker, and who the gateway is there.
pub struct Target {
    /// Where it is.
    pub endpoint: EndpointConfig,
    /// Who the gateway is.
    pub security: Security,
    /// TLS, with the paths of its files.
    pub ssl: Option<SslConfig>,
    /// TLS, ready to use.
    pub tls: Option<ClientTls>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Subscriptions.
    Consume,
    /// Publishers.
    Publish,
}

/// How a connection is.
#[derive(Clone)]
pub enum State {
    /// It is being made.
    Connecting,
    /// It stands, or its end was not noticed yet.
    Up(Arc<Connection>),
    /// The last attempt failed; there will be another.
    Down(Fault),
    /// The broker does not let the gateway in. That will be tried again, too.
    Refused(Fault),
}

/// A connection that is kept up for as long as somebody holds this.
pub struct Link {
    state: watch::Receiver<State>,
}

type Known = Vec<(Arc<Target>, Role, Weak<Link>)>;

static LINKS: Mutex<Known> = Mutex::new(Vec::new());

impl Link {
    /// The connection to a target, shared with all others of the process that ask for the same.
    ///
    /// # Errors
    /// The brokers' thread cannot be started.
    pub fn to(target: &Arc<Target>, role: Role) -> io::Result<Arc<Self>> {
        let mut links = LINKS.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|(_, _, link)| link.strong_count() > 0);
        let same = |known: &Target| {
            (&known.endpoint, &known.security, &known.ssl) == (&target.endpoint, &target.security, &target.ssl)
        };
        let found = links.iter().find(|(known, of, _)| *of == role && same(known));
        if let Some(link) = found.and_then(|(_, _, link)| link.upgrade()) {
            return Ok(link);
        }
        let (told, state) = watch::channel(State::Connecting);
        bridge::spawn(keep(target.clone(), role, told))?;
        let link = Arc::new(Self { state });
        links.push((target.clone(), role, Arc::downgrade(&link)));
        Ok(link)
    }

    /// Its state, to be watched.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }
}

/// Keeps a connection up until nobody watches it any more.
async fn keep(target: Arc<Target>, role: Role, told: watch::Sender<State>) {
    let mut failures = 0;
    loop {
        let connected = tokio::select! {
            connected = connect(&target, role) => connected,
            () = told.closed() => return,
        };
        match connected {
            Ok(connection) => {
                failures = 0;
                tracing::info!(host = target.endpoint.server_host, ?role, "connected to the broker");
                let connection = Arc::new(connection);
                told.send_replace(State::Up(connection.clone()));
                tokio::select! {
                    () = end(&connection) => {}
                    () = told.closed() => {
                        let _ = connection.close(200, "OK".into()).await;
                        return;
                    }
                }
                tracing::warn!(host = target.endpoint.server_host, ?role, "the connection to the broker is lost");
                told.send_replace(State::Connecting);
            }
            Err(error) => {
                let trouble = Trouble::of(&error, Cause::BrokerUnreachable);
                tracing::warn!(host = target.endpoint.server_host, ?role, %error, "cannot connect to the broker");
                told.send_replace(match trouble {
                    Trouble::Refused(fault) => State::Refused(fault),
                    Trouble::Lost(fault) => State::Down(fault.retry(Retry::Safe)),
                });
            }
        }
        tokio::select! {
            () = sleep(backoff(failures)) => {}
            () = told.closed() => return,
        }
        failures += 1;
    }
}

async fn end(connection: &Connection) {
    let mut events = Box::pin(connection.events_listener());
    let mut look = interval(LOOK_EVERY);
    while connection.status().connected() {
        tokio::select! {
            event = events.next() => if event.is_none() { return },
            _ = look.tick() => {}
        }
    }
}

async fn connect(target: &Arc<Target>, role: Role) -> Result<Connection, lapin::Error> {
    let auth = &target.security.auth;
    let uri = AMQPUri {
        scheme: if target.tls.is_some() { AMQPScheme::AMQPS } else { AMQPScheme::AMQP },
        authority: AMQPAuthority {
            userinfo: AMQPUserInfo { username: auth.username.clone(), password: auth.password.clone() },
            host: target.endpoint.server_host.clone(),
            port: target.endpoint.server_port,
        },
        vhost: target.endpoint.virtual_host.clone(),
        query: AMQPQueryString { heartbeat: Some(HEARTBEAT_S), ..AMQPQueryString::default() },
    };
    let name = format!("ringway-{}", if role == Role::Consume { "consume" } else { "publish" });
    let properties = ConnectionProperties::default().with_connection_name(name.into());
    let established = Arc::new(AtomicBool::new(false));
    let (to, flag) = (target.clone(), established.clone());
    let open = async move |_: AMQPUri, _: Runtime<Kit>| {
        let (endpoint, tls) = (&to.endpoint, to.tls.as_ref());
        let opened = transport::Connection::open(&endpoint.server_host, endpoint.server_port, tls, flag.clone());
        opened.await.map(AsyncTcpStream::Plain).map_err(lapin::Error::from)
    };
    let connection = Connection::connector(uri, Kit::current(), open, properties).await?;
    established.store(true, Ordering::Relaxed);
    Ok(connection)
}

/// What an error of the client library means.
pub enum Trouble {
    /// The broker will not have it, now or later.
    Refused(Fault),
    /// It may be different next time.
    Lost(Fault),
}

impl Trouble {
    /// Tells them apart. `lost` is the cause where a connection or channel was lost.
    pub fn of(error: &lapin::Error, lost: Cause) -> Self {
        let refused = |detail| Self::Refused(Fault::new(Cause::BrokerRefused).detail(detail));
        match error.kind() {
            ErrorKind::ProtocolError(error) => match error.get_id() {
                403 => refused("ACCESS_REFUSED: user, password, or a permission"),
                404 => refused("NOT_FOUND: there is no such exchange or queue"),
                405 => refused("RESOURCE_LOCKED: the queue is exclusively somebody else's"),
                406 => refused("PRECONDITION_FAILED: the exchange or queue is there, and declared otherwise"),
                530 => refused("NOT_ALLOWED: there is no such virtual host, or not for this user"),
                _ => Self::Lost(Fault::new(lost)),
            },
            ErrorKind::IOError(error) if error.kind() == io::ErrorKind::InvalidData => {
                refused("the TLS handshake failed")
            }
            _ => Self::Lost(Fault::new(lost)),
        }
    }
}
