//! As much of HTTP/1.1 as the peers need, and not the gateway's own.

use std::rc::Rc;
use std::time::Duration;

use ringway_net::sim::{Conn, World};

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order.
    Closed,
    /// With a reset.
    Reset,
    /// It has not, but nothing came for as long as anybody would wait.
    Silence,
}

/// How somebody reads.
#[derive(Clone, Copy, Debug)]
pub struct Habit {
    /// So much at a time.
    pub bytes: usize,
    /// With such a pause before it.
    pub pause: Duration,
    /// For how long silence is waited for.
    pub patience: Duration,
}

/// What comes over a connection.
pub struct Reader {
    world: Rc<World>,
    pub conn: Conn,
    pub habit: Habit,
    bytes: Vec<u8>,
    pub ended: Option<End>,
}

/// A head.
#[derive(Debug)]
pub struct Head {
    pub start: String,
    fields: Vec<(String, String)>,
}

impl Head {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name).and_then(|value| value.parse().ok())
    }

    pub fn has(&self, name: &str, value: &str) -> bool {
        self.field(name).is_some_and(|field| field.eq_ignore_ascii_case(value))
    }

    /// A response's status.
    pub fn status(&self) -> u16 {
        self.start.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
    }
}

/// What comes next of a body that is read as it comes.
#[derive(Debug)]
pub enum Piece {
    /// Some of it.
    Bytes(Vec<u8>),
    /// Its end, in order.
    End,
    /// It broke off.
    Cut,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    None,
    Length(usize),
    Chunked,
    UntilEnd,
}

impl Reader {
    pub fn new(world: Rc<World>, conn: Conn, habit: Habit) -> Self {
        Self { world, conn, habit, bytes: Vec::new(), ended: None }
    }

    /// Whether more came.
    async fn fill(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        if !self.habit.pause.is_zero() {
            self.world.sleep(self.habit.pause).await;
        }
        match self.world.within(self.habit.patience, self.conn.read(self.habit.bytes)).await {
            Some(Ok(bytes)) if bytes.is_empty() => self.ended = Some(End::Closed),
            Some(Ok(bytes)) => self.bytes.extend_from_slice(&bytes),
            Some(Err(_)) => self.ended = Some(End::Reset),
            None => self.ended = Some(End::Silence),
        }
        self.ended.is_none()
    }

    /// Everything up to and with `mark`; what there is of it at the end.
    async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.bytes.windows(mark.len()).position(|window| window == mark) {
                let rest = self.bytes.split_off(at + mark.len());
                return Some(std::mem::replace(&mut self.bytes, rest));
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Whether anything comes, ever.
    pub async fn any(&mut self) -> bool {
        !self.bytes.is_empty() || self.fill().await
    }

    /// What comes next, whatever it is. Nothing when it has ended.
    pub async fn bytes(&mut self) -> Option<Vec<u8>> {
        self.any().await.then(|| std::mem::take(&mut self.bytes))
    }

    /// The next piece of a body that is chunked, or as long as the connection.
    pub async fn piece(&mut self, framing: Framing) -> Piece {
        if framing != Framing::Chunked {
            return match self.bytes().await {
                Some(bytes) => Piece::Bytes(bytes),
                None if self.ended == Some(End::Closed) => Piece::End,
                None => Piece::Cut,
            };
        }
        let Some(line) = self.until(b"\r\n").await else { return Piece::Cut };
        let Ok(size) = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16) else { return Piece::Cut };
        let (piece, is_whole) = self.some(size).await;
        if !is_whole || self.until(b"\r\n").await.is_none() {
            return Piece::Cut;
        }
        if size == 0 { Piece::End } else { Piece::Bytes(piece) }
    }

    pub async fn head(&mut self) -> Option<Head> {
        let block = self.until(b"\r\n\r\n").await?;
        let text = String::from_utf8_lossy(&block).into_owned();
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let start = lines.next()?.to_owned();
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Some(Head { start, fields })
    }

    /// A body, as far as it comes, but for what is beyond `enough`; whether it came to its end.
    pub async fn body(&mut self, framing: Framing, enough: usize) -> (Vec<u8>, bool) {
        match framing {
            Framing::None => (Vec::new(), true),
            Framing::Length(length) => {
                let (body, is_whole) = self.some(length.min(enough)).await;
                (body, is_whole && length <= enough)
            }
            Framing::UntilEnd => {
                while self.bytes.len() < enough && self.fill().await {}
                (std::mem::take(&mut self.bytes), self.ended == Some(End::Closed))
            }
            Framing::Chunked => {
                let mut body = Vec::new();
                loop {
                    let Some(line) = self.until(b"\r\n").await else { return (body, false) };
                    let size = String::from_utf8_lossy(&line).trim().to_owned();
                    let Ok(size) = usize::from_str_radix(&size, 16) else { return (body, false) };
                    if size == 0 {
                        // No trailers are sent here.
                        return (body, self.until(b"\r\n").await.is_some());
                    }
                    let (piece, whole) = self.some(size).await;
                    body.extend_from_slice(&piece);
                    if !whole || body.len() >= enough || self.until(b"\r\n").await.is_none() {
                        return (body, false);
                    }
                }
            }
        }
    }

    /// So many bytes; what there is of them, and whether it is all, at the end.
    pub async fn some(&mut self, count: usize) -> (Vec<u8>, bool) {
        while self.bytes.len() < count && self.fill().await {}
        let rest = self.bytes.split_off(count.min(self.bytes.len()));
        let some = std::mem::replace(&mut self.bytes, rest);
        let is_whole = some.len() == count;
        (some, is_whole)
    }
}

/// Frames a body as chunks of at most `size`, without the last one.
pub fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in body.chunks(size.max(1)) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The last chunk.
pub const LAST: &[u8] = b"0\r\n\r\n";
