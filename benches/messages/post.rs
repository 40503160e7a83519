//! Clients that post, each on a connection that it keeps, and each waiting for its answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, ensure};

/// Posts `count` messages, and waits until the last is taken.
pub fn post(gateway: SocketAddr, path: &str, content: &[u8], clients: usize, count: u64) -> Result<()> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
        content.len()
    );
    let request = [head.as_bytes(), content].concat();
    let taken = AtomicU64::new(0);
    thread::scope(|scope| {
        let clients: Vec<_> =
            (0..clients.max(1)).map(|_| scope.spawn(|| client(gateway, &request, &taken, count))).collect();
        clients.into_iter().try_for_each(|client| client.join().unwrap_or_else(|_| anyhow::bail!("a client failed")))
    })
}

fn client(gateway: SocketAddr, request: &[u8], taken: &AtomicU64, count: u64) -> Result<()> {
    let stream = TcpStream::connect(gateway)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while taken.fetch_add(1, Ordering::Relaxed) < count {
        reader.get_mut().write_all(request)?;
        line.clear();
        reader.read_line(&mut line)?;
        ensure!(line.starts_with("HTTP/1.1 202"), "{line}");
        let mut length = 0;
        while line != "\r\n" {
            line.clear();
            ensure!(reader.read_line(&mut line)? > 0, "an answer is cut short");
            let field = line.to_ascii_lowercase();
            if let Some(value) = field.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        std::io::copy(&mut Read::by_ref(&mut reader).take(length), &mut std::io::sink())?;
    }
    Ok(())
}
