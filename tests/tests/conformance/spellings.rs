//! No spelling of a path leads where its plain spelling would not: to another API, past a flow, or to another path at the backend.

use ringway_tests::{Api, Backend, Client, Gateway};
use serde_json::json;

/// Two APIs whose backends see the path that was routed, and a flow that marks what it takes.
struct Doors {
    backend: Backend,
    gateway: Gateway,
}

/// What became of a target.
#[derive(Debug, PartialEq)]
enum Led {
    /// No request reached the backend.
    Nowhere(u16),
    /// The API, whether the flow took it, and the target that the backend got.
    To { api: String, flow: bool, target: String },
}

impl Doors {
    fn new(options: &str) -> Doors {
        let backend = Backend::replies(|head, _| {
            let field = |name| head.field(name).unwrap_or_default();
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Door: {}\r\nX-Guard: {}\r\nX-Target: {}\r\n\r\n",
                field("x-door"),
                field("x-guard"),
                head.target()
            )
        });
        let door = |path: &str| {
            Api::proxy(path, &format!("{}{}", backend.target(), path.trim_end_matches('/')))
                .with(
                    "endpointGroups/0/sharedConfiguration/headers",
                    json!([{ "name": "X-Door", "value": path }]),
                )
                .with(
                    "flows",
                    json!([{
                        "name": "guard", "enabled": true,
                        "selectors": [{ "type": "HTTP", "path": "/admin", "pathOperator": "STARTS_WITH" }],
                        "request": [{ "name": "mark", "enabled": true, "policy": "transform-headers",
                            "configuration": { "scope": "REQUEST", "addHeaders": [{ "name": "X-Guard", "value": "1" }] } }],
                    }]),
                )
        };
        let gateway = Gateway::configured(options, &[door("/open/"), door("/secret/")]);
        Doors { backend, gateway }
    }

    /// Asks for targets one after another, on one connection for as long as it lasts.
    fn lead(&self, targets: &[String]) -> Vec<Led> {
        let before = self.backend.seen().len();
        let mut client = Client::connect(self.gateway.http());
        let led: Vec<Led> = targets
            .iter()
            .map(|target| {
                client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
                let (head, _) = client.response();
                if head.has("connection", "close") {
                    client = Client::connect(self.gateway.http());
                }
                let said = |name: &str| head.field(name).map(str::to_owned);
                match (said("x-door"), said("x-target")) {
                    (Some(api), Some(target)) => Led::To { api, flow: head.field("x-guard") == Some("1"), target },
                    _ => Led::Nowhere(head.status()),
                }
            })
            .collect();
        let reached = led.iter().filter(|led| matches!(led, Led::To { .. })).count();
        assert_eq!(self.backend.seen().len(), before + reached, "a path became no request, or more than one");
        led
    }
}

#[test]
fn each_spelling_leads_where_the_plain_one_leads() {
    let to = |api: &str, flow, target: &str| Led::To { api: api.to_owned(), flow, target: target.to_owned() };
    let table = [
        ("/open/x", to("/open/", false, "/open/x")),
        ("/open/admin/x", to("/open/", true, "/open/admin/x")),
        ("/open/%61dmin/x", to("/open/", true, "/open/admin/x")),
        ("/open//admin//x", to("/open/", true, "/open/admin/x")),
        ("/open/./admin", to("/open/", true, "/open/admin")),
        ("/open/x/../admin", to("/open/", true, "/open/admin")),
        ("/open/x/%2E%2e/admin", to("/open/", true, "/open/admin")),
        ("/open/%41dmin", to("/open/", false, "/open/Admin")),
        ("/open/admins", to("/open/", false, "/open/admins")),
        ("/open/admin%20", to("/open/", false, "/open/admin%20")),
        ("/open/../secret/admin", to("/secret/", true, "/secret/admin")),
        ("/open/%2e%2E/secret/admin", to("/secret/", true, "/secret/admin")),
        ("//secret///admin", to("/secret/", true, "/secret/admin")),
        ("/./%73%65cret/x", to("/secret/", false, "/secret/x")),
        ("http://a/open/../secret/x", to("/secret/", false, "/secret/x")),
        ("/SECRET/x", Led::Nowhere(404)),
        ("/secret%20/x", Led::Nowhere(404)),
        ("/open/../../secret/x", Led::Nowhere(400)),
        ("/open/..%2fsecret/x", Led::Nowhere(400)),
        ("/open/%2e%2e%2fsecret/x", Led::Nowhere(400)),
        ("/open/..%5csecret/x", Led::Nowhere(400)),
        ("/open/..\\secret/x", Led::Nowhere(400)),
        ("/open/..;/secret/x", Led::Nowhere(400)),
        ("/open/..;a=b/secret/x", Led::Nowhere(400)),
        ("/open/admin;x", Led::Nowhere(400)),
        ("/open/admin%3bx", Led::Nowhere(400)),
        ("/secret;/x", Led::Nowhere(400)),
        ("/open/%252e%252e/secret/x", Led::Nowhere(400)),
        ("/open/%2561dmin", Led::Nowhere(400)),
        ("/open/%c0%ae%c0%ae/secret/x", Led::Nowhere(400)),
        ("/open/%c1%a1dmin", Led::Nowhere(400)),
        ("/open/admin%00", Led::Nowhere(400)),
        ("/open/admin%", Led::Nowhere(400)),
        ("/open/admin#", Led::Nowhere(400)),
        ("/open/\u{e1}dmin", Led::Nowhere(400)),
    ];
    let doors = Doors::new("");
    let targets: Vec<String> = table.iter().map(|(target, _)| (*target).to_owned()).collect();
    let wrong: Vec<String> = table
        .iter()
        .zip(doors.lead(&targets))
        .filter(|((_, wanted), led)| wanted != led)
        .map(|((target, wanted), led)| format!("{target}: {led:?}, not {wanted:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Pieces that paths are made of; the plain ones come often enough that many a path leads somewhere.
const PIECES: [&str; 40] = [
    "/",
    "/",
    "/",
    "/",
    "open",
    "open",
    "secret",
    "secret",
    "admin",
    "admin",
    "x",
    "/../",
    "/..",
    "/./",
    "//",
    ".",
    "..",
    "%2e",
    "%2E",
    "%2e%2e",
    "/%2E./",
    "%6fpen",
    "%73ecret",
    "%61dmin",
    "SECRET",
    "~",
    "%7e",
    "%20",
    "%41",
    ";",
    ";x=y",
    "%3B",
    "%2f",
    "%2F",
    "\\",
    "%5c",
    "%252e",
    "%2573ecret",
    "%c0%ae",
    "%00",
];

/// Paths of a few pieces, by a little generator: the same ones in every run.
fn paths(count: usize, mut state: u64) -> Vec<String> {
    let mut next = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    (0..count)
        .map(|_| {
            let start = ["/open/", "/secret/", "/", "/open", "/open/admin"][next(5)];
            let pieces: String = (0..next(7)).map(|_| PIECES[next(PIECES.len())]).collect();
            format!("{start}{pieces}")
        })
        .collect()
}

/// What the most forgiving backend makes of a path: it decodes until nothing changes, takes backslashes for slashes, cuts
/// parameters off, merges slashes, and stops at the root.
fn forgiving(path: &str) -> String {
    let mut bytes = path.as_bytes().to_vec();
    loop {
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
            let byte = digits.filter(|_| bytes[at] == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
            decoded.push(byte.unwrap_or(bytes[at]));
            at += if byte.is_some() { 3 } else { 1 };
        }
        if decoded == bytes {
            break;
        }
        bytes = decoded;
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    let mut kept: Vec<&str> = Vec::new();
    for segment in text.split('/').map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[test]
fn not_even_the_most_forgiving_backend_reads_another_path_than_the_one_that_was_routed() {
    let doors = Doors::new("");
    let targets = paths(1500, 0x5eed);
    let mut wrong = Vec::new();
    let mut reached = Vec::new();
    for (asked, led) in targets.iter().zip(doors.lead(&targets)) {
        let Led::To { api, flow, target } = led else { continue };
        let read = forgiving(asked);
        let below = |path: &str| format!("{}/", forgiving(path)).starts_with(&api);
        if !below(asked) || !below(&target) || read != forgiving(&target) {
            wrong.push(format!("{asked} led to {api} as {target}, and may be read as {read}"));
        }
        let guarded =
            format!("{}/", read.strip_prefix(api.trim_end_matches('/')).unwrap_or_default()).starts_with("/admin/");
        if guarded != flow {
            wrong.push(format!("{asked}: the flow took it: {flow}, and it may be read as {read}"));
        }
        reached.push((api, flow, target));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(reached.len() > 300, "only {} of {} paths led somewhere", reached.len(), targets.len());

    // What was forwarded is a normal form: asked for again, it leads to the same place, unchanged.
    let again: Vec<String> = reached.iter().map(|(.., target)| target.clone()).collect();
    for (led, (api, flow, target)) in doors.lead(&again).into_iter().zip(reached) {
        assert_eq!(led, Led::To { api, flow, target });
    }
}

#[test]
fn options_that_keep_more_route_what_they_forward_all_the_same() {
    let doors = Doors::new(
        "http: { encodedSlash: keep, backslash: keep, pathParameters: keep, doubleEncoding: keep, mergeSlashes: false }\n",
    );
    let targets = paths(700, 0xace);
    let reached: Vec<Led> = doors.lead(&targets).into_iter().filter(|led| matches!(led, Led::To { .. })).collect();
    assert!(reached.len() > 150, "only {} of {} paths led somewhere", reached.len(), targets.len());
    let again: Vec<String> = reached
        .iter()
        .map(|led| if let Led::To { target, .. } = led { target.clone() } else { String::new() })
        .collect();
    for (again, first) in doors.lead(&again).into_iter().zip(reached) {
        let Led::To { api, target, .. } = &first else { continue };
        // One decoding, as every server does: no dot segment may come of it.
        assert!(target.starts_with(api.trim_end_matches('/')), "{first:?}");
        assert!(!target.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | ".."))), "{first:?}");
        assert_eq!(again, first);
    }
}
