//! TLS on both sides of the gateway, against curl, openssl, nginx and hellos that the tests write themselves.
//!
//! testssl.sh is run by hand (docs/conformance-tls.md).

mod backends;
mod clients;
mod hello;
mod offers;
mod serving;

use ringway_tests::{Api, Authority, Backend, Gateway, tool};

fn servers(authority: &Authority, more: &str) -> String {
    for name in ["one.test", "two.test"] {
        authority.sign(name);
    }
    let certificate = |name: &str| {
        format!(
            "{{ cert: '{}', key: '{}' }}",
            authority.path(&format!("{name}.pem")),
            authority.path(&format!("{name}.key"))
        )
    };
    format!(
        "servers:\n  - {{ id: http, listen: '{{http}}' }}\n  - id: https\n    listen: '{{tls}}'\n    tls:\n      certificates: [{}, {}]\n{more}",
        certificate("one.test"),
        certificate("two.test")
    )
}

fn start(authority: &Authority, more: &str) -> (Backend, Gateway) {
    let backend = Backend::ok("confidential");
    let gateway = Gateway::configured(&servers(authority, more), &[Api::proxy("/", &backend.target())]);
    (backend, gateway)
}

fn curl(authority: &Authority, gateway: &Gateway, name: &str, more: &str) -> tool::Said {
    let (address, port) = (gateway.tls().ip(), gateway.tls().port());
    tool::curl(&format!(
        "--fail --cacert {} --resolve {name}:{port}:{address} {more} https://{name}:{port}/",
        authority.path("ca.pem")
    ))
}

/// What `openssl s_client` says when it connects and asks for `/`.
fn s_client(gateway: &Gateway, more: &str) -> String {
    let ask = "printf 'GET / HTTP/1.1\\r\\nHost: one.test\\r\\nConnection: close\\r\\n\\r\\n'";
    let said =
        tool::run("bash", ["-c", &format!("{ask} | openssl s_client -connect {} -ign_eof {more} 2>&1", gateway.tls())]);
    said.out
}
