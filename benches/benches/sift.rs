//! What it costs to look at what brokers send before their client libraries read it, for each message. What a receive would have put into the buffer
//! is copied in, and what the library takes is copied out, 8 KiB at a time: `copied` does only that, so the difference is the sieve's.
//!
//! The connectors' own files, which their crate shows to nobody.
#![allow(missing_docs, dead_code, unused_imports, reason = "as they are there")]

use std::convert::Infallible;
use std::hint::black_box;

use bytes::BufMut;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

#[path = "../../connectors/src/sifter.rs"]
mod sifter;

#[path = "../../connectors/src/rabbitmq/frames.rs"]
mod amqp091;

#[path = "../../connectors/src/solace/frames.rs"]
mod amqp10;

use sifter::{Sieve, Sifter};

/// What a library takes at once.
const TAKEN_BYTES: usize = 8 * 1024;

const HEADERS: [(&str, &str); 3] = [("x-trace", "4bf92f3577b34da6a3ce929d0e0e4736"), ("kind", "order"), ("tries", "1")];

/// Lets everything through.
#[derive(Debug, Default)]
struct Open;

impl Sieve for Open {
    type Malformed = Infallible;

    fn next(&mut self, bytes: &mut [u8]) -> Result<Option<usize>, Infallible> {
        Ok(Some(bytes.len()).filter(|count| *count > 0))
    }
}

/// Something behind its length in one byte.
fn short(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

/// Something behind its length in four bytes.
fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes(), bytes].concat()
}

/// A message of AMQP 0-9-1: `basic.deliver`, its head with a table of headers, its body.
fn message_091(body: &[u8]) -> Vec<u8> {
    let frame = |kind: u8, payload: &[u8]| [&[kind, 0, 1][..], &long(payload), &[0xCE]].concat();
    let tag = [&short(b"consumer")[..], &7_u64.to_be_bytes(), &[0]].concat();
    let deliver = [&[0, 60, 0, 60][..], &tag, &short(b"exchange"), &short(b"orders.new")].concat();
    let table = HEADERS.map(|(name, value)| [&short(name.as_bytes())[..], b"S", &long(value.as_bytes())].concat());
    let head = [&[0, 60, 0, 0][..], &(body.len() as u64).to_be_bytes(), &[0xB0, 0]].concat();
    let head = [&head[..], &short(b"application/json"), &long(&table.concat()), &[2]].concat();
    [frame(1, &deliver), frame(2, &head), frame(3, body)].concat()
}

/// A message of AMQP 1.0: a `transfer` of header, properties, application properties and data.
fn message_10(body: &[u8]) -> Vec<u8> {
    let text = |text: &str| [&[0xa1][..], &short(text.as_bytes())].concat();
    let of = |code: u8, form: u8, count: u8, values: &[u8]| {
        [&[0x00, 0x53, code, form, values.len() as u8 + 1, count][..], values].concat()
    };
    let transfer = of(0x14, 0xc0, 6, &[0x43, 0x52, 7, 0xa0, 1, 9, 0x43, 0x42, 0x42]);
    let properties = [&text("4711")[..], &[0x40], &text("orders")].concat();
    let headers = HEADERS.map(|(name, value)| [text(name), text(value)].concat()).concat();
    let data = [&[0x00, 0x53, 0x75, 0xb0][..], &long(body)].concat();
    let sections = [of(0x70, 0xc0, 2, &[0x41, 0x50, 4]), of(0x73, 0xc0, 3, &properties), of(0x74, 0xc1, 6, &headers)];
    let frame = [&transfer[..], &sections.concat(), &data].concat();
    [&(frame.len() as u32 + 8).to_be_bytes()[..], &[2, 0, 0, 0], &frame].concat()
}

fn pass<S: Sieve>(sifter: &mut Sifter<S>, message: &[u8], library: &mut Vec<u8>) {
    sifter.buffer().extend_from_slice(message);
    assert!(sifter.sift().is_ok());
    let mut passed = 0;
    loop {
        library.clear();
        let count = sifter.take(&mut (&mut *library).limit(TAKEN_BYTES));
        if count == 0 {
            break;
        }
        passed += count;
        black_box(&library);
    }
    assert_eq!(passed, message.len());
}

fn sift(c: &mut Criterion) {
    let mut library = Vec::with_capacity(TAKEN_BYTES);
    for (size, bytes) in [("100B", 100), ("10KB", 10_000)] {
        let body = vec![b'x'; bytes];
        let (first, second) = (message_091(&body), message_10(&body));
        let mut group = c.benchmark_group(format!("sift/{size}"));
        group.throughput(Throughput::Elements(1));
        let mut sifter = Sifter::<Open>::default();
        group.bench_function("copied/0-9-1", |b| b.iter(|| pass(&mut sifter, black_box(&first), &mut library)));
        group.bench_function("copied/1.0", |b| b.iter(|| pass(&mut sifter, black_box(&second), &mut library)));
        let mut sifter = Sifter::<amqp091::Frames>::default();
        group.bench_function("amqp/0-9-1", |b| b.iter(|| pass(&mut sifter, black_box(&first), &mut library)));
        let mut sifter = Sifter::<amqp10::Frames>::default();
        group.bench_function("amqp/1.0", |b| b.iter(|| pass(&mut sifter, black_box(&second), &mut library)));
    }
}

criterion_group!(benches, sift);
criterion_main!(benches);
