//! What `ringway demo` serves: a backend of its own and sample definitions.

pub mod backend;
mod http;
mod websocket;

use std::net::SocketAddr;

/// A sample definition: the name that stands for its file, its text, and what to try.
pub struct Sample {
    /// The name that problems would be reported under.
    pub name: &'static str,
    text: &'static str,
    /// What it shows.
    pub shows: &'static str,
    /// A command to try; `{gateway}` stands for the address.
    command: &'static str,
}

impl Sample {
    /// The definition, with the addresses of the two backends filled in.
    pub fn definition(&self, backends: [SocketAddr; 2]) -> String {
        let [a, b] = backends.map(|address| address.to_string());
        self.text.replace("{backend-a}", &a).replace("{backend-b}", &b)
    }

    /// The command, with the address of the gateway filled in.
    pub fn command(&self, gateway: &str) -> String {
        self.command.replace("{gateway}", gateway)
    }
}

/// The samples.
pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "echo.yaml",
        text: include_str!("../../demo/echo.yaml"),
        shows: "two backends in turn, and a header that a policy adds",
        command: "curl -i 'http://{gateway}/echo/hello?name=world'",
    },
    Sample {
        name: "orders.yaml",
        text: include_str!("../../demo/orders.yaml"),
        shows: "a plan with a key, ten requests a minute; without the key: 401",
        command: "curl -i -H 'X-Gravitee-Api-Key: demo-key-of-shop' http://{gateway}/orders/7",
    },
    Sample {
        name: "events.yaml",
        text: include_str!("../../demo/events.yaml"),
        shows: "server-sent events, passed on as they come",
        command: "curl -N http://{gateway}/events",
    },
    Sample {
        name: "socket.yaml",
        text: include_str!("../../demo/socket.yaml"),
        shows: "a WebSocket that echoes (with Python's websockets)",
        command: "python3 -m websockets ws://{gateway}/socket",
    },
    Sample {
        name: "ticks.yaml",
        text: include_str!("../../demo/ticks.yaml"),
        shows: "messages as server-sent events, made up until a broker takes their place",
        command: "curl -N -H 'Accept: text/event-stream' http://{gateway}/ticks",
    },
    Sample {
        name: "teapot.yaml",
        text: include_str!("../../demo/teapot.yaml"),
        shows: "an answer of the gateway itself, without a backend",
        command: "curl -i http://{gateway}/teapot",
    },
];
