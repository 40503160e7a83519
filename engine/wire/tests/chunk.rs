//! Chunked content: the strict decoder, and what the encoder writes.

use bytes::BytesMut;
use ringway_wire::chunk::{self, Decoded, Decoder};
use ringway_wire::{Fields, Limits, Rejection};

/// Content, trailers and what follows. The bytes come whole and byte by byte, and must mean the same.
fn decode(bytes: &[u8]) -> Result<(String, Fields, String), Rejection> {
    let whole = feed(&[bytes]);
    let bytewise = feed(&bytes.chunks(1).collect::<Vec<_>>());
    match (&whole, &bytewise) {
        (Ok((content, _, rest)), Ok((other_content, _, other_rest))) => {
            assert_eq!((content, rest), (other_content, other_rest));
        }
        (Err(rejection), Err(other)) => assert_eq!(rejection, other),
        _ => panic!("whole {:?}, byte by byte {:?}", whole.err(), bytewise.err()),
    }
    whole
}

fn feed(pieces: &[&[u8]]) -> Result<(String, Fields, String), Rejection> {
    let (mut decoder, mut trailers, mut rest) = (Decoder::default(), Fields::new(), BytesMut::new());
    let mut content = Vec::new();
    for piece in pieces {
        let mut data = BytesMut::from(*piece);
        let decoded = decoder.decode(&mut data, &mut rest, &mut trailers)?;
        assert_eq!(decoded == Decoded::End, decoder.is_done());
        content.extend_from_slice(&data);
    }
    assert!(decoder.is_done(), "the content must end");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&content), trailers, text(&rest)))
}

#[test]
fn framing_is_stripped_and_what_follows_survives() {
    for (bytes, content, rest) in [
        ("0\r\n\r\n", "", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET / HTTP/1.1\r\n", "hello world", "GET / HTTP/1.1\r\n"),
        ("1\r\na\r\n1\r\nb\r\n2\r\ncd\r\n0\r\n\r\n\r\n", "abcd", "\r\n"),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""),
        ("0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n", "hello", ""),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        ("6\r\n0\r\n\r\nx\r\n0\r\n\r\n", "0\r\n\r\nx", ""),
        ("5;a\r\nhello\r\n0;b=c\r\n\r\n", "hello", ""),
        ("5;a=\"b;c\";d\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5 ;a\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5\t \t; a = b \r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5;\r\nhello\r\n0\r\n\r\n", "hello", ""),
    ] {
        let (got, trailers, left) = decode(bytes.as_bytes()).unwrap();
        assert_eq!((got.as_str(), left.as_str()), (content, rest), "{bytes:?}");
        assert!(trailers.is_empty());
    }
}

#[test]
fn what_lax_parsers_let_pass_is_refused() {
    use Rejection::*;
    for (bytes, rejection) in [
        // What httparse's parser of chunk sizes accepts.
        ("\r\n", BadChunkSize),
        (";x\r\n", BadChunkSize),
        (" \r\n", BadChunkSize),
        ("1;a\nb\r\n", BadChunkExtension),
        ("1\t\r\n", BadChunkSize),
        ("1 \r\n", BadChunkSize),
        ("ffffffffffffffff\r\n", BadChunkSize),
        // Sizes.
        (" 5\r\n", BadChunkSize),
        ("\t5\r\n", BadChunkSize),
        ("+5\r\n", BadChunkSize),
        ("-5\r\n", BadChunkSize),
        ("0x5\r\n", BadChunkSize),
        ("5h\r\n", BadChunkSize),
        ("g\r\n", BadChunkSize),
        ("5_0\r\n", BadChunkSize),
        ("5,\r\n", BadChunkSize),
        ("5 5\r\n", BadChunkSize),
        ("5 a\r\n", BadChunkSize),
        ("\x005\r\n", BadChunkSize),
        ("5\x00\r\n", BadChunkSize),
        ("\"5\"\r\n", BadChunkSize),
        ("00000000000000005\r\n", BadChunkSize),
        ("10000000000000000\r\n", BadChunkSize),
        ("1000000000000001\r\n", BadChunkSize),
        ("8000000000000000\r\n", BadChunkSize),
        ("\u{b2}\r\n", BadChunkSize),
        // Line ends.
        ("5\nhello\r\n", BadChunkSize),
        ("5\rhello\r\n", BadChunkSize),
        ("5\r\rhello", BadChunkSize),
        ("5\n\rhello", BadChunkSize),
        ("5 \nhello", BadChunkSize),
        ("5 \r\nhello", BadChunkSize),
        ("5\r\nhello\n", BadChunkEnd),
        ("5\r\nhello\r5", BadChunkEnd),
        ("5\r\nhello0\r\n\r\n", BadChunkEnd),
        ("5\r\nhello \r\n", BadChunkEnd),
        ("5\r\nhellox\r\n", BadChunkEnd),
        ("4\r\nhello\r\n0\r\n\r\n", BadChunkEnd),
        ("5\r\nhello\n\n", BadChunkEnd),
        ("5\r\nhello\r\n\r\n", BadChunkSize),
        ("0\n\n", BadChunkSize),
        ("0\r\n\n", BareLineFeed),
        ("0\r\n\rx", BadChunkEnd),
        ("0\r\n\r\r\n", BadChunkEnd),
        // Extensions.
        ("5;a\nhello", BadChunkExtension),
        ("5;\n\r\n", BadChunkExtension),
        ("5;a\x00\r\n", BadChunkExtension),
        ("5;a\x7f\r\n", BadChunkExtension),
        ("5;\u{e9}\r\n", BadChunkExtension),
        ("5;a\r5", BadChunkSize),
        // Trailers.
        ("0\r\nx: y\n\r\n", BareLineFeed),
        ("0\r\nx: y\r\n\n", BareLineFeed),
        ("0\r\nx: y\rz", BadFieldValue),
        ("0\r\n x: y\r\n\r\n", FoldedLine),
        ("0\r\nx: y\r\n z\r\n\r\n", FoldedLine),
        ("0\r\nx : y\r\n\r\n", SpaceBeforeColon),
        ("0\r\n: y\r\n\r\n", BadFieldName),
        ("0\r\nx\r\n\r\n", BadFieldName),
        ("0\r\nx: y\x00\r\n\r\n", BadFieldValue),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", BadFieldName),
    ] {
        let refused = decode(bytes.as_bytes()).map(|_| ());
        assert_eq!(refused, Err(rejection), "{bytes:?}");
    }
}

#[test]
fn the_largest_size_is_2_to_the_60() {
    let (mut decoder, mut trailers, mut rest) = (Decoder::default(), Fields::new(), BytesMut::new());
    let mut data = BytesMut::from("1000000000000000\r\nabc");
    assert_eq!(decoder.decode(&mut data, &mut rest, &mut trailers), Ok(Decoded::More));
    assert_eq!(&data[..], b"abc");
}

#[test]
fn extensions_are_bounded_per_chunk_and_per_message() {
    let chunk = |extension_bytes: usize| format!("1;{}\r\nx\r\n", "e".repeat(extension_bytes));
    let end = "0\r\n\r\n";
    assert!(decode((chunk(256) + end).as_bytes()).is_ok());
    let refused = Err(Rejection::ChunkExtensionTooLong);
    assert_eq!(decode((chunk(257) + end).as_bytes()).map(|_| ()), refused);
    assert_eq!(decode(format!("1{}", " ".repeat(257)).as_bytes()).map(|_| ()), refused);
    assert!(decode((chunk(256).repeat(64) + end).as_bytes()).is_ok());
    assert_eq!(decode((chunk(256).repeat(64) + &chunk(1) + end).as_bytes()).map(|_| ()), refused);
}

#[test]
fn trailers_are_kept_but_for_those_that_change_the_message() {
    let bytes = "1\r\nx\r\n0\r\nGrpc-Status: 0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: a\r\nAuthorization: b\r\n\
         Cookie: c\r\nContent-Type: d\r\nX-Sum:  e \r\nConnection: close\r\nExpect: f\r\nX-Forwarded-For: g\r\nTrailer: h\r\n\
         x-sum: i\r\nEmpty:\r\n\r\nnext";
    let (content, trailers, rest) = decode(bytes.as_bytes()).unwrap();
    assert_eq!((content.as_str(), rest.as_str()), ("x", "next"));
    let lines: Vec<_> = trailers.iter().collect();
    let wanted: [(&[u8], &[u8]); 4] = [(b"Grpc-Status", b"0"), (b"X-Sum", b"e"), (b"x-sum", b"i"), (b"Empty", b"")];
    assert_eq!(lines, wanted);
    let mut out = BytesMut::new();
    chunk::last(Some(&trailers), &mut out);
    assert_eq!(&out[..], b"0\r\nGrpc-Status: 0\r\nX-Sum:  e \r\nx-sum: i\r\nEmpty:\r\n\r\n");
}

#[test]
fn trailers_are_bounded() {
    let limits = Limits { head_bytes_max: 64, fields_max: 3, ..Limits::default() };
    let verdict = |lines: &str| {
        let mut data = BytesMut::from(format!("0\r\n{lines}\r\n").as_str());
        Decoder::new(&limits).decode(&mut data, &mut BytesMut::new(), &mut Fields::new())
    };
    assert_eq!(verdict("a: b\r\nc: d\r\ne: f\r\n"), Ok(Decoded::End));
    assert_eq!(verdict("a: b\r\nc: d\r\ne: f\r\ng: h\r\n"), Err(Rejection::TrailersTooLarge));
    assert_eq!(verdict(&format!("a: {}\r\n", "b".repeat(57))), Ok(Decoded::End));
    assert_eq!(verdict(&format!("a: {}\r\n", "b".repeat(58))), Err(Rejection::TrailersTooLarge));
}

#[test]
fn a_single_chunk_of_a_read_is_not_moved() {
    let mut data = BytesMut::with_capacity(64);
    data.extend_from_slice(b"5\r\nhello\r\n");
    let at = data.as_ptr() as usize;
    let decoded = Decoder::default().decode(&mut data, &mut BytesMut::new(), &mut Fields::new());
    assert_eq!(decoded, Ok(Decoded::More));
    assert_eq!((&data[..], data.as_ptr() as usize - at), (&b"hello"[..], 3));
}

#[test]
fn a_decoder_is_used_again_after_reset() {
    let (mut decoder, mut trailers, mut rest) = (Decoder::default(), Fields::new(), BytesMut::new());
    for _ in 0..3 {
        let mut data = BytesMut::from("3;x\r\nabc\r\n0\r\na: b\r\n\r\n");
        assert_eq!(decoder.decode(&mut data, &mut rest, &mut trailers), Ok(Decoded::End));
        assert_eq!((&data[..], trailers.len()), (&b"abc"[..], 1));
        let mut more = BytesMut::from("next");
        assert_eq!(decoder.decode(&mut more, &mut rest, &mut trailers), Ok(Decoded::End));
        assert_eq!((more.len(), &rest[..], trailers.len()), (0, &b"next"[..], 1));
        decoder.reset();
        trailers.clear();
        rest.clear();
    }
}

#[test]
fn chunks_are_written_in_canonical_form() {
    for (bytes, line) in [
        (1, "1\r\n"),
        (9, "9\r\n"),
        (10, "a\r\n"),
        (15, "f\r\n"),
        (16, "10\r\n"),
        (255, "ff\r\n"),
        (4096, "1000\r\n"),
        (16_384, "4000\r\n"),
        (0xdead_beef, "deadbeef\r\n"),
        (u64::MAX, "ffffffffffffffff\r\n"),
    ] {
        let mut out = BytesMut::new();
        chunk::head(bytes, &mut out);
        assert_eq!(out, line.as_bytes());
        assert!(out.len() <= chunk::HEAD_BYTES_MAX);
    }
    let mut out = BytesMut::new();
    chunk::tail(&mut out);
    chunk::last(None, &mut out);
    assert_eq!(&out[..], b"\r\n0\r\n\r\n");
}
