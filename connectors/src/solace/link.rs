//! Connections to the broker: one for each subscription and each shard that publishes.

use std::sync::Arc;

use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::{Connection, Session};
use ringway_contract::{Cause, Fault, Retry};
use ringway_net::ClientTls;
use tokio::time::timeout;

use super::config::{Auth, Place};
use super::frames::Frames;
use crate::bridge::{DIAL_WITHIN, dial};
use crate::sifted::Sifted;

/// How long an idle connection may be silent, in milliseconds; the broker is asked to say something more often.
const IDLE_MS: u32 = 60_000;

/// A broker, and who the gateway is there.
pub struct Target {
    /// Where it is.
    pub place: Place,
    /// The message VPN.
    pub vpn: Option<String>,
    /// Who the gateway is.
    pub auth: Option<Auth>,
    /// TLS, if so wished.
    pub tls: Option<ClientTls>,
}

/// A session on a connection of its own.
pub struct Line {
    /// The session.
    pub session: SessionHandle<()>,
    /// What carries it.
    pub connection: ConnectionHandle<()>,
}

/// Connects and begins a session.
///
/// # Errors
/// See [`Trouble`].
pub async fn connect(target: &Arc<Target>, name: &str) -> Result<Line, Trouble> {
    let Place { host, port, .. } = &target.place;
    let stream = dial(host, *port, target.tls.as_ref()).await.map_err(|error| {
        tracing::warn!(host, %error, "cannot connect to the broker");
        match error.kind() {
            std::io::ErrorKind::InvalidData => Trouble::refused("the TLS handshake failed"),
            _ => Trouble::Lost(Fault::new(Cause::BrokerUnreachable).retry(Retry::Safe)),
        }
    })?;
    let opened = timeout(DIAL_WITHIN, async {
        // Encrypted already, where it is to be.
        let builder = Connection::builder().container_id(name).scheme("amqp").hostname(host.as_str());
        let builder = builder.idle_time_out(IDLE_MS).sasl_profile(profile(target));
        let mut connection =
            builder.open_with_stream(Sifted::<Frames>::new(stream)).await.map_err(|error| Trouble::of(&error))?;
        let session = Session::begin(&mut connection).await.map_err(|error| Trouble::of(&error))?;
        Ok(Line { session, connection })
    });
    opened.await.unwrap_or(Err(Trouble::Lost(Fault::new(Cause::BrokerTimeout))))
}

fn profile(target: &Target) -> SaslProfile {
    match &target.auth {
        None => SaslProfile::Anonymous,
        Some(Auth { username, password }) => SaslProfile::Plain {
            username: match target.vpn.as_deref().filter(|vpn| !vpn.is_empty()) {
                Some(vpn) => format!("{username}@{vpn}"),
                None => username.clone(),
            },
            password: password.clone(),
        },
    }
}

/// What an error of the client library means.
pub enum Trouble {
    /// The broker will not have it, now or later.
    Refused(Fault),
    /// It may be different next time.
    Lost(Fault),
}

/// Conditions (AMQP 1.0, sections 2.8.15 to 2.8.18) that will be the same next time, as the client library spells them.
const REFUSALS: [&str; 8] = [
    "SaslError",
    "UnauthorizedAccess",
    "NotFound",
    "NotAllowed",
    "NotImplemented",
    "InvalidField",
    "PreconditionFailed",
    "ResourceLocked",
];

impl Trouble {
    fn refused(detail: &'static str) -> Self {
        Self::Refused(Fault::new(Cause::BrokerRefused).detail(detail))
    }

    /// Tells them apart: the library has an enumeration of its own for each step, with the broker's condition somewhere in it.
    pub fn of<E: std::fmt::Debug>(error: &E) -> Self {
        let text = format!("{error:?}");
        tracing::warn!(error = text, "the broker");
        match REFUSALS.iter().any(|condition| text.contains(condition)) {
            true => Self::refused("user, permission, or there is no such queue or topic"),
            false => Self::Lost(Fault::new(Cause::BrokerClosed)),
        }
    }

    /// The fault, either way.
    pub fn fault(self) -> Fault {
        match self {
            Self::Refused(fault) | Self::Lost(fault) => fault,
        }
    }
}
