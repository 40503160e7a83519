//! nginx as the backend, curl and h2load as clients: programs that nobody wrote for these tests.

use ringway_tests::{Gateway, Nginx, tool, wait_until};

const SERVER: &str = "
    keepalive_requests 1000000;
    server {
        listen {listen};
        root {root}/www;
        location / { }
        location /hello { return 200 hello; }
        location /empty { return 204; }
        location /moved { return 302 /hello; }
        location /put/ { dav_methods PUT DELETE; create_full_put_path on; root {root}/www; }
    }";

fn pair() -> (Nginx, Gateway) {
    let nginx = Nginx::start(SERVER);
    let gateway = Gateway::before(&nginx.target());
    (nginx, gateway)
}

/// Bytes that differ everywhere, so that a lost, doubled or swapped piece shows.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).flat_map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()).take(length).collect()
}

#[test]
fn curl_gets_what_nginx_says() {
    let (_nginx, gateway) = pair();
    let url = format!("http://{}", gateway.http());
    assert_eq!(tool::curl(&format!("--fail {url}/hello")).ok(), "hello");
    assert_eq!(tool::curl(&format!("-o /dev/null -w %{{http_code}} {url}/empty")).ok(), "204");
    assert_eq!(tool::curl(&format!("-o /dev/null -w %{{http_code}} {url}/missing")).ok(), "404");
    let head = tool::curl(&format!("--head {url}/hello")).ok();
    assert!(head.starts_with("HTTP/1.1 200") && head.to_lowercase().contains("content-length: 5"), "{head}");
    assert_eq!(tool::curl(&format!("--http1.0 --fail {url}/hello")).ok(), "hello");
    // Twice on one connection.
    let twice = tool::curl(&format!("--fail -w %{{num_connects}} {url}/hello {url}/hello")).ok();
    assert_eq!(twice, "hello1hello0");
}

#[test]
fn bodies_of_any_size_arrive_whole_in_both_framings() {
    let (_nginx, gateway) = pair();
    for length in [0, 1, 4_095, 4_096, 4_097, 65_536, 1_000_001, 9_000_000] {
        let content = pattern(length);
        let file = gateway.folder().join("upload");
        std::fs::write(&file, &content).unwrap();
        let file = file.display();
        for (name, framing) in [("length", ""), ("chunked", "-H Transfer-Encoding:chunked")] {
            if length == 0 && name == "chunked" {
                // curl never sends the last chunk of an empty file.
                continue;
            }
            let url = format!("http://{}/put/{name}-{length}", gateway.http());
            let status = tool::curl(&format!("{framing} -o /dev/null -w %{{http_code}} -T {file} {url}")).ok();
            assert_eq!(status, "201", "PUT {name} {length}");
            let back = gateway.folder().join("back");
            tool::curl(&format!("--fail -o {} {url}", back.display())).ok();
            assert!(std::fs::read(back).unwrap() == content, "GET {name} {length} differs");
        }
    }
}

#[test]
fn backend_connections_are_kept_and_used_again() {
    let (nginx, gateway) = pair();
    let url = format!("http://{}/hello", gateway.http());
    let said = tool::run("h2load", ["--h1", "-n", "2000", "-c", "8", "-t", "1", &url]).ok();
    assert_eq!(tool::h2load_counts(&said), Some((2000, 0)), "{said}");
    wait_until("nginx to have logged every request", || nginx.requests().len() == 2000);
    let mut connections: Vec<String> =
        nginx.requests().iter().filter_map(|line| line.rsplit(' ').next().map(str::to_owned)).collect();
    connections.sort();
    connections.dedup();
    assert!(connections.len() <= 8, "8 clients took {} backend connections", connections.len());
}

#[test]
fn many_connections_and_a_connection_for_each_request_work_alike() {
    let (_nginx, gateway) = pair();
    let url = format!("http://{}/hello", gateway.http());
    let said = tool::run("h2load", ["--h1", "-n", "20000", "-c", "256", "-t", "1", &url]).ok();
    assert_eq!(tool::h2load_counts(&said), Some((20_000, 0)), "{said}");
    let said = tool::run("wrk", ["-t1", "-c16", "-d1s", "-H", "Connection: close", &url]).ok();
    assert!(!said.contains("Non-2xx") && !said.contains("Socket errors"), "{said}");
    assert_eq!(tool::curl(&format!("--fail {url}")).ok(), "hello");
}

#[test]
fn no_descriptor_is_left_behind() {
    let (_nginx, gateway) = pair();
    let url = format!("http://{}/hello", gateway.http());
    tool::curl(&format!("--fail {url}")).ok();
    let before = gateway.process().descriptors();
    tool::run("wrk", ["-t1", "-c32", "-d1s", "-H", "Connection: close", &url]).ok();
    // The pool may keep as many backend connections as there were clients.
    wait_until("closed connections to give their descriptors back", || gateway.process().descriptors() <= before + 32);
}
