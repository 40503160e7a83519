//! A client that sends the bytes it is told.

use std::net::{SocketAddr, TcpStream};

use crate::deadline::DEADLINE;
use crate::head::Head;
use crate::peer::Peer;

/// Opens connections on which a [`Peer`] is the client.
#[derive(Clone, Copy, Debug)]
pub struct Client;

impl Client {
    /// Connects.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect_timeout(&address, DEADLINE);
        Peer::client(stream.unwrap_or_else(|error| panic!("cannot connect to {address}: {error}")))
    }

    /// Asks one question on a connection of its own and closes it.
    #[track_caller]
    pub fn ask(address: SocketAddr, request: &str) -> (Head, Vec<u8>) {
        let mut peer = Client::connect(address);
        peer.send(request);
        peer.response()
    }

    /// `GET`s a target, with `host` as its host.
    #[track_caller]
    pub fn get(address: SocketAddr, host: &str, target: &str) -> (Head, Vec<u8>) {
        Client::ask(address, &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    }
}
