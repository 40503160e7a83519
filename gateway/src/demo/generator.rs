//! What happens in the demo's world: prices that move, and sensors that read.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ringway_connectors::Simulator;
use serde_json::json;

use super::mqtt::Readings;

/// The topic of the simulated cluster, and its partitions.
const PRICES: (&str, u16) = ("prices", 2);
/// What has a price, and what it costs at first, in cents.
const GOODS: [(&str, i64); 4] = [("ash", 2_150), ("elm", 1_480), ("oak", 3_990), ("yew", 8_720)];
/// Between two prices.
const PRICE_PACE: Duration = Duration::from_millis(250);

/// What a plant's sensors read at first, in tenths of their unit.
const SENSORS: [(&str, &str, i64); 4] = [
    ("press", "temperature", 645),
    ("press", "pressure", 1_013),
    ("oven", "temperature", 1_820),
    ("oven", "humidity", 125),
];

/// The same walk in every run (Marsaglia, "Xorshift RNGs").
struct Walk(u64);

impl Walk {
    /// A step: up, down, or none.
    fn step(&mut self, widest: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as i64 % (2 * widest + 1) - widest
    }
}

/// A simulated cluster with a price about to move. It ends when this is dropped.
pub struct Market {
    servers: String,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Market {
    /// Starts the cluster, and prices.
    ///
    /// # Errors
    /// The cluster or the thread cannot start.
    pub fn open() -> io::Result<Self> {
        let cluster = Simulator::start(&[PRICES])?;
        let servers = cluster.servers().to_owned();
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&over);
        let thread = thread::Builder::new().name("demo-market".to_owned()).spawn(move || trade(&cluster, &told))?;
        Ok(Self { servers, over, thread: Some(thread) })
    }

    /// Where the cluster listens: `host:port`.
    pub fn servers(&self) -> &str {
        &self.servers
    }
}

impl Drop for Market {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panicked: there is nobody to end.
            let _ = thread.join();
        }
    }
}

fn trade(cluster: &Simulator, over: &AtomicBool) {
    let mut walk = Walk(0x9E37_79B9_7F4A_7C15);
    let mut goods = GOODS;
    let mut next_at = Instant::now();
    for turn in 0.. {
        while let Some(rest) = next_at.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) {
            thread::park_timeout(rest);
            if over.load(Ordering::Acquire) {
                return;
            }
        }
        next_at = Instant::now() + PRICE_PACE;
        let Some((name, cents)) = goods.get_mut(turn % GOODS.len()) else { return };
        *cents = (*cents + walk.step(25)).max(1);
        let price = json!({ "item": name, "price": *cents as f64 / 100.0, "at": now_ms() }).to_string();
        if let Err(error) = cluster.publish(PRICES.0, name.as_bytes(), price.as_bytes()) {
            tracing::debug!(%error, "a price is left out");
        }
    }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// The sensors of a plant, one after the other.
pub struct Plant {
    walk: Walk,
    sensors: [(&'static str, &'static str, i64); 4],
    turn: usize,
}

impl Plant {
    /// A plant.
    pub fn new() -> Self {
        Self { walk: Walk(0xD1B5_4A32_D192_ED03), sensors: SENSORS, turn: 0 }
    }
}

impl Readings for Plant {
    const PACE: Duration = Duration::from_millis(500);

    fn next(&mut self) -> (String, String) {
        let at = self.turn % SENSORS.len();
        self.turn = at + 1;
        let (machine, quantity, tenths) = &mut self.sensors[at];
        *tenths = (*tenths + self.walk.step(4)).max(0);
        let content =
            json!({ "machine": machine, "quantity": quantity, "value": *tenths as f64 / 10.0, "at": now_ms() });
        (format!("plant/{machine}/{quantity}"), content.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sensor_has_its_turn_and_stays_in_reason() {
        let mut plant = Plant::new();
        let mut topics: Vec<String> = (0..SENSORS.len()).map(|_| plant.next().0).collect();
        topics.sort();
        topics.dedup();
        assert_eq!(topics.len(), SENSORS.len());
        for _ in 0..10_000 {
            let (_, content) = plant.next();
            let content: serde_json::Value = serde_json::from_str(&content).unwrap();
            assert!(content["value"].as_f64().is_some_and(|value| value >= 0.0), "{content}");
        }
    }

    #[test]
    fn a_walk_goes_both_ways_and_no_further_than_it_may() {
        let mut walk = Walk(1);
        let steps: Vec<i64> = (0..1_000).map(|_| walk.step(3)).collect();
        for step in -3..=3 {
            assert!(steps.contains(&step), "{step}");
        }
        assert!(steps.iter().all(|step| (-3..=3).contains(step)));
    }

    #[test]
    fn a_market_opens_and_closes() {
        let market = Market::open().unwrap();
        assert!(market.servers().starts_with("127.0.0.1:"), "{}", market.servers());
    }
}
