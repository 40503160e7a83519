//! The properties of the fuzz targets, on inputs that are made of the pieces that matter.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use ringway_wire::fuzz;

/// Concatenations of `pieces`, now and then with any bytes between.
fn made_of(pieces: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..3),
    ];
    vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

const REQUEST_START: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /a HTTP/1.1\r\n",
    "GET /a/../b?c HTTP/1.0\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "GET http://b:80/x HTTP/1.1\r\n",
    "CONNECT a:443 HTTP/1.1\r\n",
    "\r\nGET /%41 HTTP/1.1\r\n",
    "GET //a/./%7e{ HTTP/1.1\r\n",
];
const REQUEST_LINES: &[&str] = &[
    "Host: a\r\n",
    "host:b:80\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 5,5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding: gzip, chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive, x-a\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: websocket\r\n",
    "TE: trailers\r\n",
    "Expect: 100-continue\r\n",
    "X-A: 1\r\n",
    "x-a:  b \t\r\n",
    "X-Empty:\r\n",
    "Cookie: a=b\r\n",
    " folded\r\n",
    "a : b\r\n",
    "Keep-Alive: 5\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "\0",
    ": a\r\n",
];
const RESPONSE_START: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 101 S\r\n",
    "HTTP/1.1 999\r\n",
    "HTTP/1.1 500 \u{e9}\r\n",
    "HTTP/1.1 100 Continue\r\n",
];
const RESPONSE_LINES: &[&str] = &[
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: x-a, set-cookie\r\n",
    "Set-Cookie: a\r\n",
    "X-A: 1\r\n",
    "Server: b\r\n",
    "Trailer: x\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
];
const CHUNKS: &[&str] = &[
    "5\r\nhello\r\n",
    "0\r\n",
    "\r\n",
    "1\r\na\r\n",
    "A;x=\"y\"\r\n0123456789\r\n",
    "00001 ;x\r\nb\r\n",
    "x: y\r\n",
    "Content-Length: 5\r\n",
    "0\r\n\r\n",
    "0\r\nx: y\r\n\r\n",
    "GET / HTTP/1.1\r\n",
    "ffffffffffffffff\r\n",
    "\n",
    "2\r\n\r\n\r\n",
    " ",
];
const PATHS: &[&str] = &[
    "/",
    "/",
    "//",
    ".",
    "..",
    "/..",
    "/.",
    "%2e",
    "%2E%2e",
    "a",
    "b;c",
    ";",
    "%2f",
    "%2F",
    "%5c",
    "\\",
    "%25",
    "%252e",
    "%00",
    "%7e",
    "%7E",
    "{",
    "%c3%a9",
    "%C0%AF",
    "%ed%a0%80",
    "%f0%9f%92%a9",
    "%",
    "%4",
    "%zz",
    "|",
    "\"",
    "[",
    "%3b",
    "%3f",
    "%23",
    "~",
    ":",
    "@",
    "*",
];

/// Heads, keys and payloads of frames; the masks of most are 0.
const FRAMES: &[&[u8]] = &[
    b"\x81\x85\0\0\0\0Hello",
    b"\x82\x82\0\0\0\0\xff\0",
    b"\x01\x83\0\0\0\0\xce\xba\xe1",
    b"\x80\x82\0\0\0\0\xbd\xb9",
    b"\0\x80\0\0\0\0",
    b"\0\x81\0\0\0\0a",
    b"\x80\x80\0\0\0\0",
    b"\x89\x81\x01\x02\x03\x04p",
    b"\x8a\x80\0\0\0\0",
    b"\x88\x80\0\0\0\0",
    b"\x88\x84\0\0\0\0\x03\xe8ok",
    b"\x82\xfe\0\x80\0\0\0\0",
    b"\x82\xff\0\0\0\0\0\x01\0\0",
    b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00",
    b"\x41\x83\0\0\0\0\xf2\x48\xcd",
    b"\x80\x84\0\0\0\0\xc9\xc9\x07\x00",
    b"\xc2\x88\0\0\0\0\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
    b"\xc2\x81\0\0\0\0\x00",
    b"\xc2\x85\0\0\0\0\xf2\x00\x11\x00\x00",
    // 258 zeros of 8 bytes, over and over.
    b"\xc2\x91\0\0\0\0\xec\xc1\x01\x01\0\0\0\x80\x90\xfe\xaf\xee\x08\x0a\0\0\0",
];
const EXTENSIONS: &[&str] = &[
    "permessage-deflate",
    "permessage-deflate; ",
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits=",
    "client_max_window_bits",
    "; ",
    "=",
    ", ",
    "10",
    "\"1\\5\"",
    "8",
    "\"",
    "x",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn request_heads((start, lines) in (made_of(REQUEST_START, 2), made_of(REQUEST_LINES, 12))) {
        let data = [start, lines].concat();
        fuzz::request_head(&data);
        fuzz::differential(&data);
    }

    #[test]
    fn valid_requests_with_any_lines((start, lines) in (select(REQUEST_START), made_of(REQUEST_LINES, 4))) {
        let data = [start.as_bytes(), b"Host: a\r\n", &lines, b"\r\n"].concat();
        fuzz::request_head(&data);
        fuzz::differential(&data);
    }

    #[test]
    fn response_heads((method, start, lines) in (any::<u8>(), made_of(RESPONSE_START, 2), made_of(RESPONSE_LINES, 8))) {
        fuzz::response_head(&[vec![method], start, lines, b"\r\n".to_vec()].concat());
    }

    #[test]
    fn chunked_content((seed, data) in (any::<u8>(), made_of(CHUNKS, 12))) {
        fuzz::chunked(&[vec![seed], data].concat());
    }

    #[test]
    fn chunked_content_of_any_size((seed, sizes) in (any::<u8>(), vec(1usize..700, 0..6))) {
        let mut data = vec![seed];
        for size in sizes {
            data.extend_from_slice(format!("{size:x}\r\n").as_bytes());
            data.extend(std::iter::repeat_n(b'x', size));
            data.extend_from_slice(b"\r\n");
        }
        data.extend_from_slice(b"0\r\nx-sum: 1\r\n\r\nGET ");
        fuzz::chunked(&data);
    }

    #[test]
    fn paths((options, path) in (any::<u8>(), made_of(PATHS, 14))) {
        fuzz::uri(&[&[options], &b"/"[..], &path].concat());
    }

    #[test]
    fn proxy_headers((start, rest) in (
        select(&[
            "PROXY ", "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", "PROXY UNKNOWN x\r\n", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
            "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c123456789abc", "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x12123456789abc\x01\0\x03h2c",
            "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24", "\r\n\r\n\0\r\nQUIT\n\x21\x11",
        ][..]),
        vec(any::<u8>(), 0..80),
    )) {
        fuzz::proxy_protocol(&[start.as_bytes(), &rest].concat());
    }

    #[test]
    fn websocket_frames((options, frames) in (0u8..0x80, vec(select(FRAMES), 0..10))) {
        fuzz::websocket(&[vec![options], frames.concat()].concat());
    }

    #[test]
    fn websocket_offers((wanted, offers) in (any::<u8>(), made_of(EXTENSIONS, 12))) {
        fuzz::websocket(&[vec![0x80, wanted], offers].concat());
    }

    #[test]
    fn any_bytes(data in vec(any::<u8>(), 0..200)) {
        fuzz::request_head(&data);
        fuzz::response_head(&data);
        fuzz::chunked(&data);
        fuzz::uri(&data);
        fuzz::proxy_protocol(&data);
        fuzz::websocket(&data);
        fuzz::differential(&data);
    }
}

proptest! {
    // Each is read byte by byte, too.
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn websocket_frames_of_any_size((options, sizes) in (0u8..0x80, vec((any::<bool>(), 0usize..70_000), 0..4))) {
        let frames = sizes.iter().flat_map(|(text, size)| {
            fuzz::websocket_frame(if *text { 0x81 } else { 0x82 }, [1, 2, 3, 4], &vec![b'x'; *size])
        });
        fuzz::websocket(&[vec![options], frames.collect()].concat());
    }
}
