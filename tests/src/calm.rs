//! What a gateway holds when nobody wants anything from it, and whether it holds no more afterwards.

use crate::deadline::wait_until;
use crate::gateway::Gateway;

/// Descriptors, memory, connections and exchanges of a calm gateway.
#[derive(Clone, Copy, Debug)]
pub struct Calm {
    descriptors: usize,
    resident_kib: u64,
}

impl Calm {
    /// A gateway that has served `target` before, so that what it makes once is made.
    #[track_caller]
    pub fn of(gateway: &Gateway, target: &str) -> Calm {
        assert_eq!(gateway.get(target).0.status(), 200, "a gateway that serves");
        wait_until("the first connection to be gone", || gateway.metric("ringway_connections", &[]) == 0.0);
        let process = gateway.process();
        Calm { descriptors: process.descriptors(), resident_kib: process.memory_kib("VmRSS") }
    }

    /// By how much its memory has grown, in bytes.
    pub fn grown(&self, gateway: &Gateway) -> u64 {
        gateway.process().memory_kib("VmRSS").saturating_sub(self.resident_kib) * 1024
    }

    /// Waits until every connection and exchange has ended and every descriptor is given back.
    #[track_caller]
    pub fn returns(&self, gateway: &Gateway) {
        let open = |gauge| gateway.metric(gauge, &[]);
        wait_until("every exchange to end", || open("ringway_exchanges") == 0.0);
        wait_until("every connection to end", || open("ringway_connections") == 0.0);
        wait_until("every backend connection to be given back", || open("ringway_endpoint_connections_busy") == 0.0);
        wait_until("every descriptor to be given back", || gateway.process().descriptors() <= self.descriptors);
        assert_eq!(open("ringway_panics_total"), 0.0);
        let (requests, ended) = (open("ringway_requests_total"), self.ended(gateway));
        assert_eq!(requests, ended, "every request is answered or aborted");
    }

    /// What became of requests, all added up.
    #[track_caller]
    fn ended(&self, gateway: &Gateway) -> f64 {
        let counters = [
            "ringway_api_responses_total",
            "ringway_api_aborted_total",
            "ringway_requests_rejected_total",
            "ringway_requests_shed_total",
        ];
        counters.iter().map(|counter| gateway.metric(counter, &[])).sum()
    }
}
