//! Entry functions of the fuzz targets. Each takes any bytes and panics when a property does not hold; the targets
//! themselves are one line each, and the property tests call the same functions.

use bytes::BytesMut;
use http::Method;

use crate::chunk::{self, Decoded, Decoder};
use crate::uri::{self, Normalised};
pub use crate::websocket::fuzz::{
    frame as websocket_frame, masked as websocket_masked, play as websocket_play, websocket,
};
use crate::{
    Connection, Fields, Framing, Limits, Parsed, Rejection, RequestHead, ResponseHead, TargetForm, TargetParts,
    UriOptions, proxy_protocol,
};

/// A request head is read the same whether it comes whole or byte by byte, and what it means obeys the rules.
pub fn request_head(data: &[u8]) {
    let limits = Limits::default();
    let whole = read_request(&[data], &limits);
    let bytewise = read_request(&data.chunks(1).collect::<Vec<_>>(), &limits);
    match (&whole, &bytewise) {
        (Ok(Some((head, rest))), Ok(Some((other, _)))) => {
            assert_eq!(Meaning::of(head), Meaning::of(other));
            assert!(data.ends_with(rest));
            check_request(head);
        }
        (Ok(None), Ok(None)) => {}
        // What is wrong at once may only show when the end of the head has come.
        (Err(_), Err(_) | Ok(None)) => {}
        _ => panic!("whole {:?}, byte by byte {:?}", whole.map(|_| ()), bytewise.map(|_| ())),
    }
}

/// A response head is read the same whether it comes whole or byte by byte.
pub fn response_head(data: &[u8]) {
    let Some((method, data)) = data.split_first() else { return };
    let method = [Method::GET, Method::HEAD, Method::CONNECT][usize::from(method % 3)].clone();
    let limits = Limits::default();
    let whole = read_response(&[data], &limits, &method);
    let bytewise = read_response(&data.chunks(1).collect::<Vec<_>>(), &limits, &method);
    match (&whole, &bytewise) {
        (Ok(Some((head, rest))), Ok(Some((other, _)))) => {
            assert_eq!((head.status, head.framing, head.persistent), (other.status, other.framing, other.persistent));
            assert_eq!(lines(&head.fields), lines(&other.fields));
            assert!(data.ends_with(rest));
            let mut out = BytesMut::new();
            head.encode(head.framing, Connection::Keep, &mut out);
            let (again, rest) = must(read_response(&[&out], &roomy(), &method));
            assert!(rest.is_empty());
            assert_eq!((head.status, head.framing), (again.status, again.framing));
            assert_eq!(end_to_end(&head.fields), end_to_end(&again.fields));
        }
        (Ok(None), Ok(None)) | (Err(_), Err(_) | Ok(None)) => {}
        _ => panic!("whole {:?}, byte by byte {:?}", whole.map(|_| ()), bytewise.map(|_| ())),
    }
}

/// Chunked content decodes the same however it is cut, and what was decoded encodes to content that decodes to the same.
pub fn chunked(data: &[u8]) {
    let Some((seed, data)) = data.split_first() else { return };
    let whole = decode(&[data]);
    assert_eq!(whole, decode(&cut(data, *seed)));
    assert_eq!(whole, decode(&data.chunks(1).collect::<Vec<_>>()));
    assert_eq!(whole.as_ref().map(|_| ()).map_err(|rejection| *rejection), Decoder::default().check(data));
    let Ok((content, trailers, rest, true)) = whole else { return };
    assert!(data.ends_with(&rest));
    let mut out = BytesMut::new();
    for part in cut(&content, seed.wrapping_add(1)) {
        chunk::head(part.len() as u64, &mut out);
        out.extend_from_slice(part);
        chunk::tail(&mut out);
    }
    let mut fields = Fields::new();
    for (name, value) in &trailers {
        let added = std::str::from_utf8(name).map(|name| fields.append(name, value));
        assert_eq!(added, Ok(Ok(())), "what was a trailer can be one again");
    }
    chunk::last(Some(&fields), &mut out);
    assert_eq!(decode(&[&out]), Ok((content, trailers, Vec::new(), true)));
}

/// A normal form is its own normal form, has no dot segment, and no empty segment when these are merged.
pub fn uri(data: &[u8]) {
    let Some((options, path)) = data.split_first() else { return };
    let Ok(path) = std::str::from_utf8(path) else { return };
    let options = UriOptions {
        merge_slashes: options & 1 == 0,
        keep_encoded_slash: options & 2 != 0,
        keep_backslash: options & 4 != 0,
        keep_parameters: options & 8 != 0,
        keep_double_encoding: options & 16 != 0,
    };
    let Ok(once) = normal(path, &options) else { return };
    assert_eq!(normal(&once, &options).as_deref(), Ok(once.as_str()), "from {path:?}");
    assert_normal(&once, &options);
}

/// A PROXY protocol header never panics, never takes more than its bounds, and encodes to what it was.
pub fn proxy_protocol(data: &[u8]) {
    let mut input = BytesMut::from(data);
    let Ok(Some(header)) = proxy_protocol::parse(&mut input) else { return };
    assert!(data.ends_with(&input));
    let taken = data.len() - input.len();
    assert!(taken <= proxy_protocol::V2_BYTES_MAX);
    let mut out = BytesMut::new();
    proxy_protocol::encode_v2(&header, &mut out);
    // The checksum that the encoder adds may not fit behind a header of the largest size.
    if out.len() <= proxy_protocol::V2_BYTES_MAX {
        assert_eq!(proxy_protocol::parse(&mut out), Ok(Some(header)));
        assert!(out.is_empty());
    }
}

/// What is accepted here httparse accepts, too; and an accepted request, encoded again, is accepted again and means the same.
pub fn differential(data: &[u8]) {
    let limits = Limits::default();
    let Ok(Some((head, rest))) = read_request(&[data], &limits) else { return };
    let mut lines = [httparse::EMPTY_HEADER; 256];
    let status = httparse::Request::new(&mut lines).parse(data);
    assert_eq!(status, Ok(httparse::Status::Complete(data.len() - rest.len())));
    if head.method == Method::CONNECT {
        return;
    }
    let host = match head.port() {
        Some(port) => format!("{}:{port}", head.host()),
        None => head.host().to_owned(),
    };
    // HTTP/1.0 may come without a host, but what is written is HTTP/1.1.
    let host = if host.is_empty() { "backend".to_owned() } else { host };
    let mut out = BytesMut::new();
    let target = TargetParts { prefix: "", path: head.path(), query: head.query() };
    let connection = if head.persistent { Connection::Keep } else { Connection::Close };
    head.encode(&target, &host, head.framing, connection, &mut out);
    let (again, rest) = must(read_request(&[&out], &roomy()));
    assert!(rest.is_empty());
    assert_eq!(again.method, head.method);
    assert_eq!((again.path(), again.query()), (head.path(), head.query()));
    assert_eq!((again.framing, again.persistent), (head.framing, head.persistent));
    assert_eq!(end_to_end(&again.fields), end_to_end(&head.fields));
}

/// What a request says, for comparing.
#[derive(Debug, PartialEq)]
struct Meaning {
    method: Method,
    path: String,
    query: Option<String>,
    host: String,
    framing: Framing,
    flags: [bool; 4],
    lines: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Meaning {
    fn of(head: &RequestHead) -> Meaning {
        Meaning {
            method: head.method.clone(),
            path: head.path().to_owned(),
            query: head.query().map(str::to_owned),
            host: head.host().to_owned(),
            framing: head.framing,
            flags: [head.persistent, head.expect_continue, head.upgrade, head.te_trailers],
            lines: lines(&head.fields),
        }
    }
}

fn check_request(head: &RequestHead) {
    assert_ne!(head.framing, Framing::UntilClose);
    match head.form() {
        TargetForm::Origin | TargetForm::Absolute => assert_normal(head.path(), &UriOptions::default()),
        TargetForm::Asterisk => assert_eq!(head.path(), "*"),
        TargetForm::Authority => assert!(!head.host().is_empty() && head.port().is_some()),
    }
    assert!(head.host().bytes().all(|byte| !byte.is_ascii_uppercase() && byte > b' ' && byte < 0x7f));
    for (name, value) in head.fields.iter() {
        assert!(!name.is_empty() && !value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')));
    }
}

fn assert_normal(path: &str, options: &UriOptions) {
    assert!(path.starts_with('/'), "{path:?}");
    assert!(path.bytes().all(|byte| byte > b' ' && byte < 0x7f && !b"#?\\".contains(&byte)), "{path:?}");
    assert!(!options.merge_slashes || !path.contains("//"), "{path:?}");
    for segment in path.split('/') {
        let name = segment.split(';').next().unwrap_or_default();
        assert!(name != "." && name != "..", "{path:?}");
    }
    assert!(!path.contains("%00") && (options.keep_encoded_slash || !path.contains("%2F")), "{path:?}");
    assert!(options.keep_backslash || !path.contains("%5C"), "{path:?}");
    assert!(options.keep_parameters || !(path.contains(';') || path.contains("%3B")), "{path:?}");
    let twice =
        path.as_bytes().windows(5).any(|part| part.starts_with(b"%25") && part[3..].iter().all(u8::is_ascii_hexdigit));
    assert!(options.keep_double_encoding || !twice, "{path:?}");
}

fn normal(path: &str, options: &UriOptions) -> Result<String, Rejection> {
    let mut out = String::new();
    Ok(match uri::normalise(path, options, &mut out)? {
        Normalised::Unchanged => path.to_owned(),
        Normalised::Rewritten => out,
    })
}

/// Limits for our own output: it has lines that the input had not, and a normal form may be longer than what it was made from.
fn roomy() -> Limits {
    Limits { head_bytes_max: usize::MAX, fields_max: usize::MAX, target_bytes_max: usize::MAX, ..Limits::default() }
}

type Read<T> = Result<Option<(T, Vec<u8>)>, Rejection>;

fn must<T>(read: Read<T>) -> (T, Vec<u8>) {
    match read {
        Ok(Some(read)) => read,
        Ok(None) => panic!("our own output is partial"),
        Err(rejection) => panic!("our own output is refused: {rejection}"),
    }
}

/// Feeds the pieces one by one. Once complete, the pieces that were not fed count as rest.
fn read_request(pieces: &[&[u8]], limits: &Limits) -> Read<RequestHead> {
    let mut head = RequestHead::new();
    let mut input = BytesMut::new();
    for (at, piece) in pieces.iter().enumerate() {
        input.extend_from_slice(piece);
        if head.parse(&mut input, limits)? == Parsed::Complete {
            return Ok(Some((head, [&input, &*pieces[at + 1..].concat()].concat())));
        }
    }
    Ok(None)
}

fn read_response(pieces: &[&[u8]], limits: &Limits, method: &Method) -> Read<ResponseHead> {
    let mut head = ResponseHead::new();
    let mut input = BytesMut::new();
    for (at, piece) in pieces.iter().enumerate() {
        input.extend_from_slice(piece);
        if head.parse(&mut input, limits, method)? == Parsed::Complete {
            return Ok(Some((head, [&input, &*pieces[at + 1..].concat()].concat())));
        }
    }
    Ok(None)
}

type Lines = Vec<(Vec<u8>, Vec<u8>)>;

fn lines(fields: &Fields) -> Lines {
    fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// The lines that every hop passes on, `Host` aside.
fn end_to_end(fields: &Fields) -> Lines {
    let mut out = BytesMut::from("GET / HTTP/1.0\r\n");
    fields.encode(&mut out);
    out.extend_from_slice(b"\r\n");
    let mut parsed = [httparse::EMPTY_HEADER; 512];
    let mut request = httparse::Request::new(&mut parsed);
    assert!(matches!(request.parse(&out), Ok(httparse::Status::Complete(_))));
    let ends = request.headers.iter().filter(|line| !line.name.eq_ignore_ascii_case("host"));
    ends.map(|line| (line.name.as_bytes().to_vec(), line.value.to_vec())).collect()
}

/// Content, trailers, what follows, and whether the end was reached.
type Content = (Vec<u8>, Lines, Vec<u8>, bool);

fn decode(pieces: &[&[u8]]) -> Result<Content, Rejection> {
    let mut decoder = Decoder::default();
    let (mut content, mut rest, mut trailers) = (Vec::new(), BytesMut::new(), Fields::new());
    let mut ended = false;
    for piece in pieces {
        let mut data = BytesMut::from(*piece);
        ended = decoder.decode(&mut data, &mut rest, &mut trailers)? == Decoded::End;
        content.extend_from_slice(&data);
    }
    if !ended {
        // How much of a head that never ends was kept is nobody's concern.
        trailers.clear();
    }
    Ok((content, lines(&trailers), rest.to_vec(), ended))
}

/// Pieces of 1 to 16 bytes, by a little generator.
pub(crate) fn cut(mut data: &[u8], seed: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut state = u32::from(seed) | 0x100;
    while !data.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (piece, rest) = data.split_at(((state >> 24) as usize % 16 + 1).min(data.len()));
        pieces.push(piece);
        data = rest;
    }
    pieces
}
