//! The opening handshake (RFC 6455 sections 4.1 to 4.4) and the negotiation of compression (RFC 7692 section 7.1).

use bytes::BytesMut;
use http::StatusCode;
use ringway_wire::websocket::compression::{Malformed, Preferences, negotiate};
use ringway_wire::websocket::handshake::{Opening, Refusal, accept, answer};
use ringway_wire::{Fields, Limits, Parsed, RequestHead};

/// A head that is right, with its lines replaced or left out.
fn request(start: &str, changes: &[(&str, &str)]) -> RequestHead {
    let mut lines = vec![
        ("Host", "server.example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];
    for (name, _) in changes {
        lines.retain(|(line, _)| line != name);
    }
    lines.extend(changes.iter().filter(|(_, value)| *value != "(none)"));
    let lines: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let mut head = RequestHead::new();
    let mut input = BytesMut::from(format!("{start}\r\n{lines}\r\n").as_str());
    assert_eq!(head.parse(&mut input, &Limits::default()), Ok(Parsed::Complete), "{start} {changes:?}");
    head
}

const GET: &str = "GET /chat HTTP/1.1";

#[test]
fn the_example_of_the_rfc() {
    assert_eq!(&accept(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let head = request(GET, &[("Sec-WebSocket-Protocol", "chat, superchat"), ("Origin", "http://example.com")]);
    let opening = Opening::read(&head).unwrap();
    assert_eq!(opening.protocol(&["superchat", "chat"]), Some("chat"), "the client's order decides");
    let mut fields = Fields::new();
    assert_eq!(answer(&opening.accept(), opening.protocol(&["chat"]), None, &mut fields), Ok(()));
    let lines: Vec<_> = fields.iter().collect();
    let wanted: [(&[u8], &[u8]); 3] = [
        (b"upgrade", b"websocket"),
        (b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        (b"sec-websocket-protocol", b"chat"),
    ];
    assert_eq!(lines, wanted);
}

#[test]
fn what_must_be_there_is_demanded() {
    use Refusal::*;
    for (start, changes, wanted) in [
        (GET, &[][..], Ok(())),
        (GET, &[("Connection", "keep-alive, Upgrade")], Ok(())),
        (GET, &[("Upgrade", "WebSocket")], Ok(())),
        (GET, &[("Upgrade", "foo/1, websocket")], Ok(())),
        (GET, &[("Content-Length", "0")], Ok(())),
        (GET, &[("Upgrade", "(none)")], Err(NotAnUpgrade)),
        (GET, &[("Upgrade", "websocket2")], Err(NotAnUpgrade)),
        (GET, &[("Upgrade", "foo")], Err(NotAnUpgrade)),
        (GET, &[("Connection", "(none)")], Err(NotAnUpgrade)),
        (GET, &[("Connection", "keep-alive")], Err(NotAnUpgrade)),
        ("GET /chat HTTP/1.0", &[], Err(NotAnUpgrade)),
        ("POST /chat HTTP/1.1", &[], Err(NotGet)),
        ("HEAD /chat HTTP/1.1", &[], Err(NotGet)),
        (GET, &[("Content-Length", "1")], Err(HasContent)),
        (GET, &[("Transfer-Encoding", "chunked")], Err(HasContent)),
        (GET, &[("Sec-WebSocket-Version", "(none)")], Err(Version)),
        (GET, &[("Sec-WebSocket-Version", "8")], Err(Version)),
        (GET, &[("Sec-WebSocket-Version", "14")], Err(Version)),
        (GET, &[("Sec-WebSocket-Version", "13, 8")], Err(Version)),
        (GET, &[("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Version", "13")], Err(Version)),
        (GET, &[("Sec-WebSocket-Key", "(none)")], Err(Key)),
        (GET, &[("Sec-WebSocket-Key", "")], Err(Key)),
        (GET, &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ")], Err(Key)),
        (GET, &[("Sec-WebSocket-Key", "SGVsbG8sIHdvcmxkIQ==")], Err(Key)),
        (GET, &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZXM=")], Err(Key)),
        (GET, &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZ***")], Err(Key)),
        (
            GET,
            &[("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")],
            Err(Key),
        ),
        (GET, &[("Sec-WebSocket-Protocol", "a, b"), ("Sec-WebSocket-Protocol", "c")], Ok(())),
        (GET, &[("Sec-WebSocket-Protocol", "a b")], Err(Protocols)),
        (GET, &[("Sec-WebSocket-Protocol", "a, \"b\"")], Err(Protocols)),
        (GET, &[("Sec-WebSocket-Protocol", "a, b, a")], Err(Protocols)),
    ] {
        let head = request(start, changes);
        assert_eq!(Opening::read(&head).map(|_| ()), wanted, "{start} {changes:?}");
    }
    let many: Vec<String> = (0..65).map(|at| format!("p{at}")).collect();
    assert!(Opening::read(&request(GET, &[("Sec-WebSocket-Protocol", &many[..64].join(","))])).is_ok());
    let head = request(GET, &[("Sec-WebSocket-Protocol", &many.join(","))]);
    assert_eq!(Opening::read(&head).map(|_| ()), Err(Protocols));
}

#[test]
fn a_refusal_says_what_would_do() {
    for (refusal, status, fields) in [
        (Refusal::NotAnUpgrade, StatusCode::UPGRADE_REQUIRED, &[("upgrade", "websocket")][..]),
        (Refusal::NotGet, StatusCode::METHOD_NOT_ALLOWED, &[("allow", "GET")]),
        (Refusal::Version, StatusCode::UPGRADE_REQUIRED, &[("upgrade", "websocket"), ("sec-websocket-version", "13")]),
        (Refusal::Key, StatusCode::BAD_REQUEST, &[]),
    ] {
        assert_eq!((refusal.status(), refusal.fields()), (status, fields));
    }
}

#[test]
fn a_subprotocol_is_chosen_only_among_those_that_were_offered() {
    let chosen = |offer: &'static str, supported: &[&'static str]| {
        Opening::read(&request(GET, &[("Sec-WebSocket-Protocol", offer)])).unwrap().protocol(supported)
    };
    assert_eq!(chosen("(none)", &["mqtt"]), None);
    assert_eq!(chosen("mqtt", &[]), None);
    assert_eq!(chosen("a, mqtt", &["mqtt", "b"]), Some("mqtt"));
    assert_eq!(chosen("MQTT", &["mqtt"]), None, "tokens are compared as they are");
}

const LIKE_IT: Preferences = Preferences {
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
const SMALL: Preferences = Preferences {
    server_no_context_takeover: true,
    client_no_context_takeover: true,
    server_max_window_bits: 10,
    client_max_window_bits: 9,
};

#[track_caller]
fn answered(offer: &str, preferences: &Preferences, wanted: &str) {
    let answer = negotiate([offer.as_bytes()], preferences).map(|agreement| agreement.map(|agreed| agreed.answer()));
    let wanted = match wanted {
        "malformed" => Err(Malformed),
        "none" => Ok(None),
        rest => Ok(Some(format!("permessage-deflate{rest}"))),
    };
    assert_eq!(answer, wanted, "{offer}");
}

#[test]
fn offers_are_answered_as_they_allow() {
    for (offer, plain, small) in [
        (
            "permessage-deflate",
            "",
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10",
        ),
        (
            "permessage-deflate; client_max_window_bits",
            "",
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9",
        ),
        (
            "permessage-deflate; client_max_window_bits=12",
            "; client_max_window_bits=12",
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=9",
        ),
        (
            "permessage-deflate; client_max_window_bits=8; server_max_window_bits=9",
            "; server_max_window_bits=9; client_max_window_bits=8",
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9; client_max_window_bits=8",
        ),
        (
            "permessage-deflate;server_max_window_bits=15",
            "; server_max_window_bits=15",
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "; server_no_context_takeover; client_no_context_takeover",
            "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10",
        ),
    ] {
        answered(offer, &LIKE_IT, plain);
        answered(offer, &SMALL, small);
    }
}

#[test]
fn an_offer_that_can_t_be_met_is_declined_for_the_next() {
    for (offer, wanted) in [
        ("", "none"),
        ("x-webkit-deflate-frame", "none"),
        ("foo; bar=\"baz\"; qux, permessage-deflate", ""),
        ("permessage-deflate; unknown", "none"),
        ("permessage-deflate; unknown=1, permessage-deflate", ""),
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10",
            "; server_max_window_bits=10",
        ),
        ("permessage-deflate; server_max_window_bits=10, permessage-deflate", "; server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits", "none"),
        ("permessage-deflate; server_max_window_bits=7", "none"),
        ("permessage-deflate; server_max_window_bits=16", "none"),
        ("permessage-deflate; server_max_window_bits=010", "none"),
        ("permessage-deflate; server_max_window_bits=1e1", "none"),
        ("permessage-deflate; client_max_window_bits=0", "none"),
        ("permessage-deflate; client_max_window_bits=100", "none"),
        ("permessage-deflate; server_no_context_takeover=1", "none"),
        ("permessage-deflate; server_no_context_takeover; server_no_context_takeover", "none"),
        ("permessage-deflate; client_max_window_bits; client_max_window_bits=10", "none"),
        ("permessage-deflate; SERVER_NO_CONTEXT_TAKEOVER", "none"),
        // Quoted, as the grammar allows (RFC 6455 section 9.1), and empty elements of a list.
        ("permessage-deflate; server_max_window_bits=\"10\"", "; server_max_window_bits=10"),
        ("permessage-deflate; server_max_window_bits=\"1\\0\"", "; server_max_window_bits=10"),
        (" , ,permessage-deflate\t;  server_max_window_bits = 11 ,", "; server_max_window_bits=11"),
    ] {
        answered(offer, &LIKE_IT, wanted);
    }
}

#[test]
fn what_is_no_list_of_extensions_is_refused() {
    for offer in [
        "permessage-deflate;",
        "permessage-deflate; =1",
        "permessage-deflate; a=",
        "permessage-deflate a",
        "permessage-deflate; a=\"",
        "permessage-deflate; a=\"\"",
        "permessage-deflate; a=\"b c\"",
        "permessage-deflate; a=\"b\\",
        "permessage-deflate; a=\"b\" c",
        "permessage-deflate, ;",
        "=",
        "\"permessage-deflate\"",
        "permessage-deflate; a=b=c",
        "permessage-deflate, foo\u{e9}",
    ] {
        answered(offer, &LIKE_IT, "malformed");
    }
    let head = request(GET, &[("Sec-WebSocket-Extensions", "permessage-deflate;;")]);
    assert_eq!(Opening::read(&head).unwrap().compression(&LIKE_IT), Err(Refusal::Extensions));
}

#[test]
fn offers_of_several_lines_are_one_list() {
    let head = request(
        GET,
        &[
            ("Sec-WebSocket-Extensions", "foo"),
            ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
        ],
    );
    let opening = Opening::read(&head).unwrap();
    let agreement = opening.compression(&SMALL).unwrap().unwrap();
    let mut fields = Fields::new();
    assert_eq!(answer(&opening.accept(), None, Some(&agreement), &mut fields), Ok(()));
    assert_eq!(fields.get("sec-websocket-extensions"), Some(agreement.answer().as_bytes()));
    assert_eq!((agreement.server_max_window_bits, agreement.client_max_window_bits), (10, 9));
}
