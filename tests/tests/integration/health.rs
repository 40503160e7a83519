//! Active health checks.

use ringway_tests::{Api, Backend, Gateway, Port, wait_until};
use serde_json::json;

fn checked(targets: &[&str]) -> Api {
    Api::balanced("/", targets).with(
        "endpointGroups/0/services/healthCheck",
        json!({ "enabled": true, "type": "http-health-check", "overrideConfiguration": false, "configuration": {
            "schedule": "*/1 * * * * *", "method": "GET", "target": "/health", "overrideEndpointPath": true,
            "headers": [], "assertion": "{#response.status == 200}", "successThreshold": 1, "failureThreshold": 1
        } }),
    )
}

fn answers(gateway: &Gateway) -> Vec<String> {
    (0..10)
        .map(|_| gateway.get("/"))
        .map(|(head, body)| format!("{} {}", head.status(), String::from_utf8_lossy(&body)))
        .collect()
}

#[test]
fn an_endpoint_that_fails_its_checks_gets_no_requests_until_it_passes_them_again() {
    let good = Backend::ok("good");
    let port = Port::new();
    let sick = Backend::replies_on(port, |head, _| {
        let status = if head.target() == "/health" { "503 Sick" } else { "200 OK" };
        format!("HTTP/1.1 {status}\r\nContent-Length: 4\r\n\r\nsick")
    });
    let gateway = Gateway::serving(&[checked(&[&good.target(), &sick.target()])]);
    wait_until("the sick endpoint to be left alone", || answers(&gateway).iter().all(|answer| answer == "200 good"));
    assert!(good.seen().iter().any(|(head, _)| head.target() == "/health"), "the good one is checked too");
    let well = Backend::ok_on(sick.stop(), "well");
    wait_until("the endpoint to be used again", || answers(&gateway).iter().any(|answer| answer == "200 well"));
    drop(well);
}

#[test]
fn an_assertion_sees_fields_and_body_however_they_are_framed() {
    let answers_with = |framing: &'static str, state: &'static str| {
        Backend::replies(move |head, _| match (head.target(), framing) {
            ("/health", "chunked") => {
                let (first, second) = ("{\"state\": ", format!("\"{state}\"}}"));
                format!(
                    "HTTP/1.1 200 OK\r\nX-Load: 3\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
                    first.len(),
                    second.len(),
                )
            }
            ("/health", _) => {
                let body = format!("{{\"state\": \"{state}\"}}");
                format!("HTTP/1.1 200 OK\r\nX-Load: 3\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            }
            _ => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{state}", state.len()),
        })
    };
    let (up, down) = (answers_with("chunked", "up"), answers_with("length", "down"));
    let api = checked(&[&up.target(), &down.target()]).with(
        "endpointGroups/0/services/healthCheck/configuration/assertion",
        json!("{#jsonPath(#response.content, '$.state') == 'up' && #response.headers['x-load'][0] == '3'}"),
    );
    let gateway = Gateway::serving(&[api]);
    wait_until("the one that is down to be left alone", || answers(&gateway).iter().all(|answer| answer == "200 up"));
}

#[test]
fn when_every_endpoint_is_down_the_answer_is_a_503_or_502() {
    let nobody = Port::new();
    let gateway = Gateway::serving(&[checked(&[&format!("http://{}", nobody.address())])]);
    wait_until("the endpoint to be down", || {
        answers(&gateway).iter().all(|answer| answer.starts_with("503") || answer.starts_with("502"))
    });
    let _up = Backend::ok_on(nobody, "up");
    wait_until("the endpoint to be up", || answers(&gateway).iter().all(|answer| answer == "200 up"));
}
