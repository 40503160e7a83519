//! Who is called back: a server that takes each message and says so, and the connections of somebody who calls it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::listen::Progress;

/// Messages that are under way to it at a time, each on a connection of its own.
pub const CONNECTIONS: usize = 16;

const ANSWER: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// The server, for as long as the program runs.
#[derive(Debug)]
pub struct Hook {
    address: SocketAddr,
    progress: Progress,
}

impl Hook {
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let (address, progress) = (listener.local_addr()?, Progress::new());
        let told = progress.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let told = told.clone();
                // It ends with its connection.
                thread::spawn(move || serve(&stream, &told));
            }
        });
        Ok(Self { address, progress })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many messages it was given.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

fn serve(stream: &TcpStream, told: &Progress) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    loop {
        let mut length = 0;
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line == "\r\n" {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        ensure!(
            std::io::copy(&mut Read::by_ref(&mut reader).take(length), &mut std::io::sink())? == length,
            "cut short"
        );
        told.add(1);
        let mut writer = stream;
        writer.write_all(ANSWER)?;
    }
}

/// A connection to it, with one message under way at most.
#[derive(Debug)]
pub struct Caller {
    stream: TcpStream,
    head: String,
    request: Vec<u8>,
    waits: bool,
}

impl Caller {
    pub fn new(hook: SocketAddr, bytes: usize) -> Result<Self> {
        let stream = TcpStream::connect(hook)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let head = format!("POST /hook HTTP/1.1\r\nHost: {hook}\r\nContent-Length: {bytes}\r\n\r\n");
        Ok(Self { stream, head, request: Vec::new(), waits: false })
    }

    /// Posts a message of the size that was given, behind the answer to the one before.
    pub fn post(&mut self, content: &[u8]) -> Result<()> {
        self.settle()?;
        self.request.clear();
        self.request.extend_from_slice(self.head.as_bytes());
        self.request.extend_from_slice(content);
        self.stream.write_all(&self.request)?;
        self.waits = true;
        Ok(())
    }

    /// Waits until nothing is under way.
    pub fn settle(&mut self) -> Result<()> {
        if std::mem::take(&mut self.waits) {
            let mut answer = [0; ANSWER.len()];
            self.stream.read_exact(&mut answer)?;
            ensure!(answer == ANSWER, "{}", String::from_utf8_lossy(&answer));
        }
        Ok(())
    }
}
