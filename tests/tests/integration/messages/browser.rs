//! A browser's `EventSource`: it reads a stream, is cut off, and goes on where it was.

use std::collections::VecDeque;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex};

use ringway_tests::{Backend, Client, Gateway, Peer, Process, Scratch, wait_for};
use serde_json::json;

use super::gateway;

/// Events that come before the cut, and all.
const BEFORE: usize = 5;
const ALL: usize = 20;

/// Reads all events, and tells what it has seen.
const PAGE: &str = "<!doctype html><title>events</title><script>
const seen = [], ids = [];
const events = new EventSource('/events');
events.onmessage = (event) => {
  seen.push(event.data);
  ids.push(event.lastEventId);
  if (seen.length === ALL) {
    events.close();
    fetch('/report', { method: 'POST', body: JSON.stringify({ seen, ids }) });
  }
};
</script>";

/// Passes a stream on, its first bytes with another `retry`: a browser need not wait for half a minute. Ends behind so many events.
fn relay(browser: &mut Peer, gateway: &Gateway, head: &str, events: usize) {
    let mut upstream = Client::connect(gateway.http());
    upstream.send(head);
    let mut stream = upstream.stream();
    let (mut bytes, mut count) = (Vec::new(), 0);
    while count < events {
        let mut piece = [0; 1024];
        let read = stream.read(&mut piece).unwrap_or_default();
        if read == 0 {
            return;
        }
        bytes.extend_from_slice(&piece[..read]);
        let mut text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((before, rest)) = text.split_once("retry: ") {
            let Some((digits, rest)) = rest.split_once('\n') else { continue };
            // As long as it was: it stands in a chunk.
            text = format!("{before}retry: {:0>width$}\n{rest}", 50, width = digits.len());
        }
        count += text.matches("\ndata: ").count();
        if browser.try_send(text.as_bytes()).is_err() {
            return;
        }
        bytes.clear();
    }
}

#[test]
fn a_browser_reads_a_stream_and_resumes_it_where_it_was_cut() {
    let gateway = Arc::new(gateway("sse", "AT_LEAST_ONCE", json!({})));
    let asked: Arc<Mutex<Vec<Option<String>>>> = Arc::default();
    let reports: Arc<Mutex<VecDeque<String>>> = Arc::default();
    let server = Backend::scripted({
        let (gateway, asked, reports) = (gateway.clone(), asked.clone(), reports.clone());
        move |browser, _| {
            while let Some(head) = browser.next_head() {
                let body = browser.try_body(&head).unwrap_or_default();
                let target = head.start.split(' ').nth(1).unwrap_or_default().to_owned();
                match target.as_str() {
                    "/events" => {
                        let last = head.field("last-event-id").map(str::to_owned);
                        let resumed = last.as_ref().map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
                        let events = if last.is_none() { BEFORE } else { usize::MAX };
                        asked.lock().unwrap().push(last);
                        let head = format!("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n{resumed}\r\n");
                        return relay(browser, &gateway, &head, events);
                    }
                    "/report" => {
                        reports.lock().unwrap().push_back(String::from_utf8_lossy(&body).into_owned());
                        browser.send("HTTP/1.1 204 No Content\r\n\r\n");
                    }
                    "/" => {
                        let page = PAGE.replace("ALL", &ALL.to_string());
                        let length = page.len();
                        browser.send(format!(
                            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{page}"
                        ));
                    }
                    _ => browser.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
                }
            }
        }
    });
    let profile = Scratch::new("chromium");
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--remote-debugging-port=0",
        &format!("--user-data-dir={}", profile.path().display()),
        &format!("{}/", server.target()),
    ];
    let _chromium = Process::start(Path::new("chromium"), &arguments, profile.path(), &profile.join("log"));
    let report = wait_for("the browser's report", || reports.lock().unwrap().pop_front());
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let wanted: Vec<String> = (0..ALL).map(|number| format!("tick {number}")).collect();
    assert_eq!(report["seen"], json!(wanted), "each once, in order");
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert_eq!(asked[0], None);
    // Where it was cut several events may have come at once.
    let last = report["ids"].as_array().unwrap().iter().position(|id| id.as_str() == asked[1].as_deref());
    assert!(last.is_some_and(|last| last + 1 >= BEFORE), "{asked:?} of {report}");
}
