//! Content codings between gateway and backend (RFC 9110 section 8.4).
//!
//! With `useCompression` the gateway accepts gzip in the name of clients that do not, and undoes it for them. For all others heads and
//! bodies pass as they are: what a client accepts it gets without the gateway looking into it.

use bytes::BytesMut;
use flate2::{Decompress, FlushDecompress, Status};
use http::{Method, StatusCode};
use ringway_contract::lane::send;
use ringway_contract::{Cause, Chunk, Fault, Frame};
use ringway_ring::Sender;
use ringway_wire::{Fields, Framing, Known, RequestHead, ResponseHead};

use super::config::{Header, HttpConfig};
use super::lane::Exchange;

/// The window of gzip, in bits (RFC 1952 knows no other).
const WINDOW_BITS: u8 = 15;
/// What a member of a gzip body begins with.
const MAGIC: u8 = 0x1F;
/// The line that a request gets.
const OFFER: &[u8] = b"Accept-Encoding: gzip\r\n";
/// Fields that speak of the content's or the representation's bytes, which are others now.
const OF_BYTES: [&str; 5] = ["accept-ranges", "content-md5", "content-digest", "repr-digest", "digest"];

/// What becomes of a client's `Accept-Encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codings {
    /// It reaches the backend, whose answer reaches the client.
    Passed,
    /// The backend hears of none, and sends its answers plain.
    Hidden,
    /// The gateway accepts gzip for clients that do not; whether it says so itself, or the definition's own fields do.
    Undone { offers: bool },
}

impl Codings {
    /// What a definition says.
    pub fn new(http: &HttpConfig, headers: &[Header]) -> Self {
        match http.use_compression {
            Some(true) => {
                let own = headers.iter().any(|header| header.name.eq_ignore_ascii_case("accept-encoding"));
                Self::Undone { offers: !own }
            }
            Some(false) if !http.propagate_client_accept_encoding => Self::Hidden,
            _ => Self::Passed,
        }
    }

    /// Prepares the head of a request that is about to be encoded. `true` when the response's gzip is to be undone.
    pub fn ask(self, head: &mut RequestHead) -> bool {
        match self {
            Self::Passed => false,
            Self::Hidden => {
                head.fields.remove_known(Known::AcceptEncoding);
                false
            }
            Self::Undone { .. } => {
                // A range is one of the bytes that the client will see, and what is not to be transformed is not.
                let as_it_is = head.upgrade
                    || head.fields.known(Known::Range).is_some()
                    || has_token(&head.fields, Known::CacheControl, b"no-transform");
                let undone = !as_it_is && !accepts_gzip(&head.fields);
                if undone {
                    head.fields.remove_known(Known::AcceptEncoding);
                }
                undone
            }
        }
    }

    /// Adds what is said of them to a head that was encoded to its end.
    pub fn append_to(self, out: &mut BytesMut) {
        const END: &[u8] = b"\r\n";
        if self == (Self::Undone { offers: true }) && out.ends_with(END) {
            out.truncate(out.len() - END.len());
            out.extend_from_slice(OFFER);
            out.extend_from_slice(END);
        }
    }
}

/// Whether a client takes gzip (RFC 9110 section 12.5.3). One that says nothing may take it and mostly cannot.
fn accepts_gzip(fields: &Fields) -> bool {
    let mut any = None;
    for item in fields.known_all(Known::AcceptEncoding).flat_map(|line| line.split(|byte| *byte == b',')) {
        let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let coding = parts.next().unwrap_or_default();
        let refused = parts.any(|part| match part.split_first_chunk() {
            Some((b"q=" | b"Q=", weight)) => !weight.iter().any(|byte| (b'1'..=b'9').contains(byte)),
            _ => false,
        });
        if is_gzip(coding) {
            return !refused;
        }
        if coding == b"*" {
            any = Some(!refused);
        }
    }
    any.unwrap_or(false)
}

fn is_gzip(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")
}

fn has_token(fields: &Fields, name: Known, token: &[u8]) -> bool {
    let items = fields.known_all(name).flat_map(|line| line.split(|byte| *byte == b','));
    items.map(<[u8]>::trim_ascii).any(|item| item.eq_ignore_ascii_case(token))
}

/// Makes a head that of the plain response, if its coding is gzip alone and there is a whole representation. Answers whether a body is to
/// be undone.
pub fn undo(method: &Method, head: &mut ResponseHead) -> bool {
    let partial =
        matches!(head.status, StatusCode::PARTIAL_CONTENT | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let fields = &mut head.fields;
    let gzip = fields.known(Known::ContentEncoding).is_some_and(|coding| is_gzip(coding.trim_ascii()));
    if partial || !gzip || fields.is_repeated(Known::ContentEncoding) {
        return false;
    }
    fields.remove_known(Known::ContentEncoding);
    for name in OF_BYTES {
        fields.remove(name);
    }
    // Another representation than the one that the tag is of, but one that means the same (RFC 9110 section 8.8.3.3).
    if let Some(tag) = fields.known(Known::Etag).filter(|tag| tag.starts_with(b"\"")) {
        let weak = [b"W/", tag].concat();
        // Without room for it, no tag is better than a wrong one.
        if fields.set("ETag", weak).is_err() {
            fields.remove_known(Known::Etag);
        }
    }
    if !has_token(fields, Known::Vary, b"accept-encoding") && !has_token(fields, Known::Vary, b"*") {
        // A cache that would lack it is the client's own: it asks in the same way again.
        let _ = fields.append("Vary", "Accept-Encoding");
    }
    head.declared_bytes = None;
    match head.framing {
        Framing::None | Framing::Length(0) => false,
        _ if *method == Method::HEAD => false,
        _ => {
            head.framing = Framing::Chunked;
            true
        }
    }
}

/// A gzip body that is being undone: one member after another (RFC 1952 section 2.2), each with its checksum checked.
pub struct Gunzip {
    inflate: Decompress,
    at: At,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first byte.
    Begin,
    /// In a member.
    Within,
    /// Behind one.
    Behind,
}

impl Gunzip {
    /// At the begin. Takes about 48 KiB.
    pub fn new() -> Box<Self> {
        Box::new(Self { inflate: Decompress::new_gzip(WINDOW_BITS), at: At::Begin })
    }

    /// Whether a body may end here. One without a byte is one of nothing.
    pub fn is_complete(&self) -> bool {
        self.at != At::Within
    }

    /// Undoes a part of `packed` that fits into `plain`, which has room and no bytes. Answers how much of it, and whether there may be more to
    /// come of the same bytes.
    ///
    /// # Errors
    /// It is no gzip, or its checksum is wrong.
    fn step(&mut self, packed: &[u8], plain: &mut BytesMut) -> Result<(usize, bool), Fault> {
        let malformed = || Fault::new(Cause::BackendInvalid).detail("the body is not the gzip that it is said to be");
        if self.at == At::Behind {
            match packed.first() {
                None => return Ok((0, false)),
                // Padding, which some writers leave.
                Some(0) => return Ok((1, true)),
                Some(&MAGIC) => self.inflate.reset(true),
                Some(_) => return Err(malformed()),
            }
        }
        if !packed.is_empty() {
            self.at = At::Within;
        }
        let room = plain.capacity();
        plain.resize(room, 0);
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(packed, plain, FlushDecompress::Sync).map_err(|_| malformed())?;
        let used = (self.inflate.total_in() - read) as usize;
        let made = (self.inflate.total_out() - written) as usize;
        plain.truncate(made);
        if status == Status::StreamEnd {
            self.at = At::Behind;
            return Ok((used, true));
        }
        Ok((used, made == room))
    }
}

/// Hands on what is in `packed` undone, piece by piece: however much it becomes, there is never more of it than the client's credit allows.
///
/// # Errors
/// The body is malformed.
pub async fn pass(
    exchange: &Exchange<'_>,
    outbox: &mut Sender<Frame>,
    packed: &[u8],
    gunzip: &mut Gunzip,
) -> Result<(), Fault> {
    let buffers = &exchange.endpoint.shard.buffers;
    let mut packed = packed;
    loop {
        let mut plain = buffers.take();
        let step = gunzip.step(packed, &mut plain);
        if plain.is_empty() || step.is_err() {
            buffers.put(plain);
        } else {
            send(outbox, Frame::Data(Chunk::Pooled(plain))).await;
        }
        let (used, more) = step?;
        packed = packed.get(used..).unwrap_or_default();
        if !more {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        lines.iter().for_each(|(name, value)| fields.append(name, value).unwrap());
        fields
    }

    #[test]
    fn whether_a_client_takes_gzip() {
        for (value, takes) in [
            ("gzip", true),
            ("GZip", true),
            ("x-gzip", true),
            ("br, gzip;q=0.001", true),
            ("deflate, *", true),
            ("*;q=0, gzip", true),
            ("gzip ; q=1.000", true),
            ("", false),
            ("identity", false),
            ("br", false),
            ("gzip;q=0", false),
            ("gzip;q=0.000, *", false),
            ("gzip; Q=0", false),
            ("*;q=0", false),
            ("gzipped", false),
        ] {
            assert_eq!(accepts_gzip(&fields(&[("accept-encoding", value)])), takes, "{value}");
        }
        assert!(accepts_gzip(&fields(&[("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")])));
        assert!(!accepts_gzip(&fields(&[])));
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// Undoes pieces of `size` bytes in rooms of `room`.
    fn undone(packed: &[u8], size: usize, room: usize) -> Result<Vec<u8>, Fault> {
        let (mut gunzip, mut all) = (Gunzip::new(), Vec::new());
        for piece in packed.chunks(size) {
            let mut rest = piece;
            loop {
                let mut plain = BytesMut::with_capacity(room);
                let (used, more) = gunzip.step(rest, &mut plain)?;
                assert!(plain.len() <= plain.capacity().max(room), "never more than there is room for");
                all.extend_from_slice(&plain);
                rest = &rest[used..];
                if !more {
                    break;
                }
            }
            assert!(rest.is_empty(), "all of a piece is taken");
        }
        if gunzip.is_complete() { Ok(all) } else { Err(Fault::new(Cause::BackendClosed)) }
    }

    #[test]
    fn bodies_in_pieces_of_any_size_are_undone() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(|number| (number / 7).to_le_bytes()).collect();
        let two = [gzip(&text), gzip(b"and more"), vec![0; 9]].concat();
        let wanted = [&text[..], b"and more"].concat();
        for size in [1, 7, 1000, usize::MAX >> 1] {
            assert_eq!(undone(&two, size, 4096).as_ref(), Ok(&wanted), "{size}");
        }
        assert_eq!(undone(b"", 1, 64), Ok(Vec::new()));
        assert_eq!(undone(&gzip(b""), 1, 64), Ok(Vec::new()));
    }

    #[test]
    fn what_is_cut_changed_or_no_gzip_is_a_fault() {
        let packed = gzip(b"hello hello hello");
        for length in 1..packed.len() {
            assert!(undone(&packed[..length], 5, 64).is_err(), "cut at {length}");
        }
        for at in packed.len() - 8..packed.len() {
            let mut changed = packed.clone();
            changed[at] ^= 1;
            assert!(undone(&changed, 5, 64).is_err(), "checksum and length, byte {at}");
        }
        assert!(undone(b"hello", 5, 64).is_err());
        assert!(undone(&[&packed[..], b"x"].concat(), 100, 64).is_err(), "rubbish behind");
    }
}
