//! A broker for the demo: MQTT 5 over TCP on loopback, on a thread of its own, in memory only.
//!
//! ```text
//!   mod.rs     sockets and time        client.rs  what a client is sent        topic.rs  topics and filters
//!   broker.rs  what a broker does      packet.rs  bytes to packets
//! ```
//!
//! It has subscriptions with wildcards, shared ones too, QoS 0 and 1, retained messages and wills. It has no QoS 2, and sessions end with their
//! connections; clients are told. Everybody is let in.

mod broker;
mod client;
mod packet;
#[cfg(test)]
mod tests;
mod topic;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use broker::{Broker, Key};
use client::Client;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Publish, PublishProperties};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Clients at once; more are closed at the door.
const CLIENTS_MAX: usize = 64;
/// Bytes that are read at once.
const READ_BYTES: usize = 16 * 1024;
/// How long nobody is let in after the door could not be opened: descriptors are used up.
const DOOR_REST: Duration = Duration::from_millis(100);

/// What the broker publishes by itself.
pub trait Readings: Send + 'static {
    /// Between two readings.
    const PACE: Duration;

    /// The next: its topic, and what it says, in JSON.
    fn next(&mut self) -> (String, String);
}

/// Starts a broker on a free port of loopback, which publishes `readings` at QoS 0 and keeps the last of each topic. It serves until the
/// process ends.
///
/// # Errors
/// No port or thread is to be had.
pub fn start<R: Readings>(readings: R) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let house = House { listener, rests_until: None, streams: BTreeMap::new(), broker: Broker::default(), readings };
    thread::Builder::new().name("demo-mqtt".to_owned()).spawn(move || house.serve())?;
    Ok(address)
}

struct House<R> {
    listener: TcpListener,
    rests_until: Option<Instant>,
    streams: BTreeMap<Key, TcpStream>,
    broker: Broker,
    readings: R,
}

impl<R: Readings> House<R> {
    fn serve(mut self) {
        let mut reading_at = Instant::now();
        loop {
            let now = Instant::now();
            if reading_at <= now {
                let (topic, content) = self.readings.next();
                self.broker.publish(&reading(topic, content), None, now);
                // A machine that slept is not made up for.
                reading_at = now + R::PACE;
            }
            for key in self.broker.tick(now) {
                self.close(key, now);
            }
            self.rests_until = self.rests_until.filter(|until| now < *until);
            let wake_at =
                [self.broker.deadline(), self.rests_until].into_iter().flatten().fold(reading_at, Instant::min);
            let ready = self.wait(wake_at.saturating_duration_since(now));
            let now = Instant::now();
            for key in ready {
                match key {
                    None => self.admit(now),
                    Some(key) => {
                        if self.exchange(key, now).is_err() {
                            self.close(key, now);
                        }
                    }
                }
            }
        }
    }

    /// Waits until something can be done: for a client, or (`None`) at the door.
    fn wait(&self, timeout: Duration) -> Vec<Option<Key>> {
        let mut keys = Vec::with_capacity(1 + self.streams.len());
        let mut places = Vec::with_capacity(1 + self.streams.len());
        if self.rests_until.is_none() {
            keys.push(None);
            places.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        for (key, stream) in &self.streams {
            let mut wanted = PollFlags::empty();
            if let Some(client) = self.broker.client(*key) {
                wanted.set(PollFlags::IN, client.reads());
                wanted.set(PollFlags::OUT, !client.output().is_empty() || client.is_ending());
            }
            keys.push(Some(*key));
            places.push(PollFd::new(stream, wanted));
        }
        let timeout = Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        // An interrupted wait is another turn.
        let _ = poll(&mut places, Some(&timeout));
        let ready = places.iter().map(|place| !place.revents().is_empty());
        keys.into_iter().zip(ready).filter_map(|(key, ready)| ready.then_some(key)).collect()
    }

    fn admit(&mut self, now: Instant) {
        loop {
            match self.listener.accept() {
                // Dropped: closed.
                Ok((stream, _)) if self.streams.len() < CLIENTS_MAX => {
                    if stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).is_ok() {
                        self.streams.insert(self.broker.opened(now), stream);
                    }
                }
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    self.rests_until = (error.kind() != ErrorKind::WouldBlock).then(|| now + DOOR_REST);
                    return;
                }
            }
        }
    }

    /// Reads and writes once each: the others have their turn, too.
    ///
    /// # Errors
    /// The connection is over.
    fn exchange(&mut self, key: Key, now: Instant) -> io::Result<()> {
        let Some(stream) = self.streams.get_mut(&key) else { return Ok(()) };
        if self.broker.client(key).is_some_and(Client::reads) {
            let mut buffer = [0; READ_BYTES];
            match stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => self.broker.received(key, buffer.get(..count).unwrap_or_default(), now),
                Err(error) => passes(error)?,
            }
        }
        let Some(client) = self.broker.client(key) else { return Ok(()) };
        if !client.output().is_empty() {
            match stream.write(client.output()) {
                Ok(count) => self.broker.sent(key, count, now),
                Err(error) => passes(error)?,
            }
        }
        match self.broker.client(key) {
            Some(client) if client.is_ending() && client.output().is_empty() => {
                Err(ErrorKind::ConnectionAborted.into())
            }
            _ => Ok(()),
        }
    }

    fn close(&mut self, key: Key, now: Instant) {
        self.streams.remove(&key);
        self.broker.closed(key, now);
    }
}

/// Whether it is only not the time.
fn passes(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

fn reading(topic: String, content: String) -> Publish {
    let properties = PublishProperties {
        // Text (section 3.3.2.3.2).
        payload_format_indicator: Some(1),
        content_type: Some("application/json".to_owned()),
        ..PublishProperties::default()
    };
    Publish { retain: true, ..Publish::new(topic, QoS::AtMostOnce, content, Some(properties)) }
}
