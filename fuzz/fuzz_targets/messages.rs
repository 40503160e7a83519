//! What message APIs make of others' bytes: cursors and resume ids, queries, `Accept`, and messages as JSON, XML and events.
//!
//! The connectors' own files without their crate, whose brokers' client libraries take minutes to build.
#![no_main]
#![allow(dead_code)]

use bytes::{Bytes, BytesMut};
use ringway_contract::{Message, Origin, Position, Render};

#[path = "../../connectors/src/kafka"]
mod kafka {
    pub mod cursor;
    pub mod place;
}

#[path = "../../connectors/src/http_get"]
mod http_get {
    pub mod media;
    pub mod query;
}

#[path = "../../connectors/src/sse"]
mod sse {
    pub mod event;

    #[derive(Default)]
    pub struct Config {
        pub metadata_as_comment: bool,
        pub headers_as_comment: bool,
    }
}

use http_get::media::{Item, Media};
use kafka::cursor::{self, Parts, Progress};

/// A cursor is one or none; one that is read is written again as one that says the same.
fn cursors(data: &[u8]) {
    let _ = cursor::decode(data, true);
    let Ok(places) = cursor::decode(data, false) else { return };
    let parts = Parts::default();
    let message = Message {
        position: Position { part: parts.number("another", 1), offset: 7 },
        ..Message::new(Bytes::copy_from_slice(data))
    };
    let mut progress = Progress::new(parts, places.clone(), true);
    progress.passed(&message);
    let mut id = BytesMut::new();
    progress.id(&message, &mut id);
    assert!(id.len() <= 4 * 1024, "an id of {} bytes", id.len());
    let again = cursor::decode(&id, true).expect("an id is a cursor");
    assert!(again.iter().any(|place| &*place.topic == "another" && place.offset == 7), "{again:?}");
    for place in again.iter().filter(|place| !(&*place.topic == "another" && place.partition == 1)) {
        assert!(places.contains(place), "{place:?} of {places:?}");
    }
}

struct Ids(Bytes);

impl Origin for Ids {
    fn passed(&mut self, _: &Message) {}

    /// Without the bytes that an id never has.
    fn id(&self, _: &Message, out: &mut BytesMut) {
        out.extend(self.0.iter().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
    }

    fn metadata(&self, _: &Message, each: &mut dyn FnMut(&str, &[u8])) {
        each("own", &self.0);
    }
}

/// What a message says stays what it says: it makes no member, element, field or event of its own.
fn rendered(data: &[u8]) {
    let mut pieces = data.splitn(4, |byte| *byte == 0xFE).map(Bytes::copy_from_slice);
    let mut piece = || pieces.next().unwrap_or_default();
    let (content, name, value, id) = (piece(), piece(), piece(), piece());
    let headers = vec![(name.clone(), value.clone()), (name.clone(), id.clone())];
    let metadata = vec![(String::from_utf8_lossy(&name).into_owned(), value.clone())];
    let item = Item { id: &id, content: &content, headers: Some(&headers), metadata: Some(&metadata) };

    let answer = |media: Media| {
        let mut out = BytesMut::new();
        media.open(&mut out);
        media.item(&item, true, &mut out);
        media.item(&item, false, &mut out);
        media.close(Some(&id), Some(&value), 2, &mut out);
        out
    };
    let json: serde_json::Value = serde_json::from_slice(&answer(Media::Json)).expect("JSON");
    let items = json["items"].as_array().expect("items");
    assert_eq!(items.len(), 2);
    if let Ok(text) = std::str::from_utf8(&content) {
        assert_eq!(items[1]["content"].as_str(), Some(text));
    }
    assert_eq!(items[0]["headers"].as_object().map(|headers| headers.len()), Some(1));
    let xml = answer(Media::Xml);
    let xml = std::str::from_utf8(&xml).expect("XML is UTF-8");
    assert_eq!((open_elements(xml, "item"), open_elements(xml, "pagination")), (2, 1), "{xml}");
    let _ = answer(Media::Text);

    let config = sse::Config { metadata_as_comment: true, headers_as_comment: true };
    let message = Message { headers, metadata: vec![("key", value)], ..Message::new(content) };
    let mut out = BytesMut::new();
    sse::event::Events::new(&config).render(&message, &Ids(id), &mut out);
    let body = out.strip_suffix(b"\n\n").expect("an event ends with an empty line");
    for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
        let known: [&[u8]; 4] = [b"id: ", b"event: message", b"data: ", b":"];
        assert!(known.iter().any(|start| line.starts_with(start)), "{:?}", String::from_utf8_lossy(line));
    }
}

/// How often an element begins outside of CDATA sections and comments.
fn open_elements(xml: &str, name: &str) -> usize {
    let mut plain = String::new();
    let mut rest = xml;
    while let Some((before, after)) = rest.split_once("<![CDATA[") {
        plain.push_str(before);
        rest = after.split_once("]]>").expect("a section ends").1;
    }
    plain.push_str(rest);
    plain.matches(&format!("<{name}>")).count()
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    cursors(data);
    rendered(data);
    let _ = Media::accepted(&[data]);
    let fields: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    let _ = Media::accepted(&fields);
    if let Ok(query) = std::str::from_utf8(data) {
        let _ = http_get::query::read(query);
    }
});
