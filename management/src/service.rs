//! Words for the service manager: the `sd_notify` protocol (sd_notify(3)), one datagram per state.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::PathBuf;

use rustix::time::{ClockId, clock_gettime};

/// Tells the service manager how the process stands. Says nothing when none asked (`NOTIFY_SOCKET` is not set).
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl ServiceManager {
    /// Looks for `NOTIFY_SOCKET`. A name that cannot be used is logged and then ignored: a gateway serves without it.
    pub fn from_env() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        Self::at(&name.to_string_lossy())
    }

    /// Talks to the named socket; a leading `@` stands for the abstract namespace.
    pub fn at(name: &str) -> Self {
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(PathBuf::from(name)),
        };
        let socket = address.and_then(|address| Ok((UnixDatagram::unbound()?, address)));
        match socket {
            Ok(socket) => Self { socket: Some(socket) },
            Err(error) => {
                tracing::warn!(%error, name, "NOTIFY_SOCKET cannot be used");
                Self::default()
            }
        }
    }

    /// The gateway serves.
    pub fn ready(&self) {
        self.send("READY=1");
    }

    /// A reload begins; [`ServiceManager::ready`] ends it.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let now_us = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        // MONOTONIC_USEC lets the manager tell this reload from an older one; systemd asks for it with Type=notify-reload.
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}"));
    }

    /// The gateway drains and will exit.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    fn send(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::debug!(%error, state, "the service manager did not take the notice");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_arrive_as_datagrams_on_an_abstract_socket() {
        let name = format!("ringway-test-{}", std::process::id());
        let receiver = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let manager = ServiceManager::at(&format!("@{name}"));
        manager.ready();
        manager.reloading();
        manager.stopping();
        let mut buffer = [0; 128];
        let mut next = || {
            let count = receiver.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..count].to_vec()).unwrap()
        };
        assert_eq!(next(), "READY=1");
        assert!(next().starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(next(), "STOPPING=1");
    }

    #[test]
    fn nobody_listening_is_no_failure() {
        ServiceManager::at("@ringway-nobody-listens-here").ready();
        ServiceManager::default().stopping();
    }
}
