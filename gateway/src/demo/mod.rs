//! What `ringway demo` serves: backends and brokers of its own, and sample definitions.

pub mod backend;
mod generator;
mod http;
mod mqtt;
mod websocket;

use std::net::SocketAddr;

use anyhow::Context;
use generator::{Market, Plant};

/// What the samples reach. All of it is in the process and ends with it.
pub struct Surroundings {
    backends: [SocketAddr; 2],
    market: Market,
    broker: SocketAddr,
}

impl Surroundings {
    /// Starts everything.
    ///
    /// # Errors
    /// No port or thread is to be had.
    pub fn start() -> anyhow::Result<Self> {
        Ok(Self {
            backends: [
                backend::start("a").context("the backend cannot start")?,
                backend::start("b").context("the backend cannot start")?,
            ],
            market: Market::open().context("the simulated Kafka cluster cannot start")?,
            broker: mqtt::start(Plant::new()).context("the demo's MQTT broker cannot start")?,
        })
    }

    /// What the samples reach.
    pub fn places(&self) -> Places {
        Places { backends: self.backends, cluster: self.market.servers().to_owned(), broker: self.broker }
    }
}

/// Where the samples reach something.
#[derive(Clone, Debug)]
pub struct Places {
    /// The backends.
    pub backends: [SocketAddr; 2],
    /// The simulated Kafka cluster: `host:port`.
    pub cluster: String,
    /// The MQTT broker.
    pub broker: SocketAddr,
}

/// A sample definition: the name that stands for its file, its text, and what to try.
pub struct Sample {
    /// The name that problems would be reported under.
    pub name: &'static str,
    text: &'static str,
    /// What to try, in its order.
    tries: &'static [Try],
}

/// Something to try.
struct Try {
    shows: &'static str,
    /// `{gateway}` stands for the address.
    command: &'static str,
}

impl Sample {
    /// The definition, with the places filled in.
    pub fn definition(&self, places: &Places) -> String {
        let [a, b] = places.backends.map(|address| address.to_string());
        let text = self.text.replace("{backend-a}", &a).replace("{backend-b}", &b);
        text.replace("{cluster}", &places.cluster).replace("{broker-port}", &places.broker.port().to_string())
    }

    /// What to try: what it shows, and the command, with the address of the gateway filled in.
    pub fn tries(&self, gateway: &str) -> impl Iterator<Item = (&'static str, String)> {
        self.tries.iter().map(move |Try { shows, command }| (*shows, command.replace("{gateway}", gateway)))
    }
}

/// The samples.
pub const SAMPLES: &[Sample] = &[
    Sample {
        name: "prices.yaml",
        text: include_str!("../../demo/prices.yaml"),
        tries: &[
            Try {
                shows: "live events of a Kafka topic (librdkafka's simulator, in this process)",
                command: "curl -N -H 'Accept: text/event-stream' http://{gateway}/prices",
            },
            Try {
                shows: "publish to it: the stream above, left open, shows it; 202 when the cluster has it",
                command: "curl -i -d '{\"item\":\"fir\",\"price\":9.99}' http://{gateway}/prices",
            },
            Try {
                shows: "the same topic as JSON, and over a WebSocket (with Python's websockets)",
                command: "curl -H 'Accept: application/json' http://{gateway}/prices",
            },
            Try { shows: "", command: "python3 -m websockets ws://{gateway}/prices" },
        ],
    },
    Sample {
        name: "plant.yaml",
        text: include_str!("../../demo/plant.yaml"),
        tries: &[
            Try {
                shows: "live readings of MQTT sensors (a small broker of the demo's own)",
                command: "curl -N -H 'Accept: text/event-stream' http://{gateway}/plant",
            },
            Try { shows: "publish to it, as above", command: "curl -i -d 'all is well' http://{gateway}/plant" },
        ],
    },
    Sample {
        name: "echo.yaml",
        text: include_str!("../../demo/echo.yaml"),
        tries: &[Try {
            shows: "two backends in turn, and a header that a policy adds",
            command: "curl -i 'http://{gateway}/echo/hello?name=world'",
        }],
    },
    Sample {
        name: "orders.yaml",
        text: include_str!("../../demo/orders.yaml"),
        tries: &[Try {
            shows: "a plan with a key, ten requests a minute; without the key: 401",
            command: "curl -i -H 'X-Gravitee-Api-Key: demo-key-of-shop' http://{gateway}/orders/7",
        }],
    },
    Sample {
        name: "events.yaml",
        text: include_str!("../../demo/events.yaml"),
        tries: &[Try {
            shows: "server-sent events of a backend, passed on as they come",
            command: "curl -N http://{gateway}/events",
        }],
    },
    Sample {
        name: "socket.yaml",
        text: include_str!("../../demo/socket.yaml"),
        tries: &[Try {
            shows: "a WebSocket of a backend that echoes",
            command: "python3 -m websockets ws://{gateway}/socket",
        }],
    },
    Sample {
        name: "ticks.yaml",
        text: include_str!("../../demo/ticks.yaml"),
        tries: &[Try {
            shows: "messages without any broker, made up by the gateway",
            command: "curl -N -H 'Accept: text/event-stream' http://{gateway}/ticks",
        }],
    },
    Sample {
        name: "teapot.yaml",
        text: include_str!("../../demo/teapot.yaml"),
        tries: &[Try {
            shows: "an answer of the gateway itself, without a backend",
            command: "curl -i http://{gateway}/teapot",
        }],
    },
];
