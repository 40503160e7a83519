//! Whether a shard is to have few exchanges under way, found out by trying.
//!
//! ```text
//!             the core is short, and a crowd under way              as many were done as before
//!   unlimited ────────────────────────────────────────▶ trial ──────────────────────────────────▶ limited
//!    ▲  ▲                                                 │                                          │
//!    │  └──────── fewer: the next trial is far off ───────┘                                          │
//!    └──────────── the core has time to spare, somebody waits for long, or it is time for the next trial ┘
//! ```
//!
//! Against a backend that takes its time, few exchanges under way would keep the core idle and the clients waiting. That shows at once: the
//! core has time to spare. Against one that is short of time itself, or a core that is, nothing is lost: what is not begun here would wait there.

use std::time::Duration;

/// How often a shard that is watched is looked at.
pub(super) const TICK: Duration = Duration::from_millis(4);

/// From this share of its time on that the core works, it is short.
const SHORT: f64 = 0.85;
/// Below this one, it has time to spare.
const SPARE: f64 = 0.5;
/// Ticks after a change that are not counted: what began before has still to end.
const SETTLING: u32 = 3;
/// Ticks that are counted on either side of a trial.
const COUNTED: u32 = 6;
/// Of what was done without a limit, what must be done with it.
const ENOUGH: f64 = 0.95;
/// With less than this of it, the trial has failed beyond doubt.
const CLEARLY_LESS: f64 = 0.8;
/// Ticks in which the core has time to spare until that is believed: it may have been taken away for a moment.
const BELIEVED: u32 = 2;
/// Ticks with a limit before the next trial: 4 s.
const LIMITED: u32 = 1_000;
/// Ticks without one after a trial that failed: half a second at first, each time twice as long, up to a minute.
const REST: (u32, u32) = (125, 15_000);
/// Ticks without anything to decide, after which nobody watches any more: 100 ms.
const IDLE: u32 = 25;

/// What a tick sees.
pub(super) struct Sample {
    /// Exchanges that ended, per second.
    pub rate: f64,
    /// The share of its time that the core worked for the shard.
    pub busy: f64,
    /// Whether a crowd is under way, or would be.
    pub is_crowd: bool,
    /// Whether somebody has waited for too long.
    pub is_overdue: bool,
}

/// What is known so far.
pub(super) struct Concurrency {
    state: State,
    /// Ticks in this state.
    ticks: u32,
    /// Exchanges per second without a limit, and with it.
    without: Mean,
    with: Mean,
    /// Ticks of rest after the next trial that fails.
    rest: u32,
    /// Ticks in a row with time to spare.
    spare: u32,
    /// Ticks in a row without anything to decide.
    idle: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Whoever comes begins. The next trial is after so many ticks at the earliest.
    Unlimited(u32),
    /// Few at a time, to see what that does.
    Trial,
    /// Few at a time.
    Limited,
}

#[derive(Default)]
struct Mean {
    sum: f64,
    count: u32,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn get(&self) -> f64 {
        self.sum / f64::from(self.count.max(1))
    }
}

impl Default for Concurrency {
    fn default() -> Self {
        Self {
            state: State::Unlimited(0),
            ticks: 0,
            without: Mean::default(),
            with: Mean::default(),
            rest: REST.0,
            spare: 0,
            idle: 0,
        }
    }
}

impl Concurrency {
    /// The shard is watched again after this long, in which nothing was limited. What a trial has shown before still counts: load that
    /// comes and goes must not bring a trial each time.
    pub(super) fn resume(&mut self, since: Duration) {
        if !matches!(self.state, State::Unlimited(_)) {
            self.fail();
        }
        let ticks = u32::try_from(since.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX);
        self.ticks = self.ticks.saturating_add(ticks);
        (self.spare, self.idle) = (0, 0);
    }

    /// Whether the shard has to be watched further.
    pub(super) fn is_undecided(&self) -> bool {
        self.idle < IDLE
    }

    /// Whether exchanges are limited from now on.
    pub(super) fn tick(&mut self, sample: &Sample) -> bool {
        self.ticks = self.ticks.saturating_add(1);
        self.spare = if sample.busy < SPARE { self.spare + 1 } else { 0 };
        let fails = sample.is_overdue || self.spare >= BELIEVED;
        match self.state {
            State::Unlimited(earliest) => self.look(sample, earliest),
            // A crowd that leaves in the middle of it has proven nothing, but neither is it to be tried each time that one comes.
            State::Trial if fails || !sample.is_crowd => self.fail(),
            State::Trial if self.ticks > SETTLING => self.judge(sample.rate),
            State::Limited if sample.is_overdue => self.fail(),
            State::Limited if fails || !sample.is_crowd || self.ticks >= LIMITED => self.enter(State::Unlimited(0)),
            State::Trial | State::Limited => {}
        }
        !matches!(self.state, State::Unlimited(_))
    }

    /// Whether a trial is over, and what it has shown.
    fn judge(&mut self, rate: f64) {
        self.with.add(rate);
        if self.with.count < COUNTED {
            return;
        }
        let share = self.with.get() / self.without.get().max(1.0);
        if share >= ENOUGH {
            self.rest = REST.0;
            self.enter(State::Limited);
        } else if share >= CLEARLY_LESS {
            // On a machine that is shared that may be somebody else's doing.
            self.enter(State::Unlimited(REST.0));
        } else {
            self.fail();
        }
    }

    /// Whether it is time for a trial. Only what was done in a row, and just before it, is compared.
    fn look(&mut self, sample: &Sample, earliest: u32) {
        if !sample.is_crowd || sample.busy < SHORT {
            self.without = Mean::default();
            self.idle += 1;
            return;
        }
        self.idle = 0;
        if self.ticks <= SETTLING || self.ticks.saturating_add(COUNTED) <= earliest {
            return;
        }
        self.without.add(sample.rate);
        if self.without.count >= COUNTED {
            self.enter(State::Trial);
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        (self.ticks, self.spare) = (0, 0);
        match state {
            State::Unlimited(_) => self.without = Mean::default(),
            State::Trial => self.with = Mean::default(),
            State::Limited => {}
        }
    }

    fn fail(&mut self) {
        self.enter(State::Unlimited(self.rest));
        self.rest = (2 * self.rest).min(REST.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shard at work: `serial` exchanges per second at most, and one that takes `latency` seconds each at the backend.
    struct Shard {
        concurrency: Concurrency,
        limited: bool,
        /// Exchanges per second that the core can do, cold and warm.
        core: (f64, f64),
        latency: f64,
        clients: f64,
        limit: f64,
    }

    impl Shard {
        fn new(core: (f64, f64), latency: f64, clients: f64) -> Self {
            Self { concurrency: Concurrency::default(), limited: false, core, latency, clients, limit: 64.0 }
        }

        fn rate(&self) -> (f64, f64) {
            let (core, under_way) = match self.limited {
                true => (self.core.1, self.limit.min(self.clients)),
                false => (self.core.0, self.clients),
            };
            let asked = if self.latency > 0.0 { under_way / self.latency } else { f64::MAX };
            (asked.min(core), (asked / core).min(1.0))
        }

        /// How many of so many ticks were limited.
        fn ticks(&mut self, count: u32) -> u32 {
            (0..count)
                .map(|_| {
                    let (rate, busy) = self.rate();
                    let is_crowd = self.clients >= 2.0 * self.limit;
                    self.limited = self.concurrency.tick(&Sample { rate, busy, is_crowd, is_overdue: false });
                    u32::from(self.limited)
                })
                .sum()
        }
    }

    #[test]
    fn a_core_that_is_short_has_few_under_way() {
        let mut shard = Shard::new((40_000.0, 55_000.0), 0.0, 512.0);
        let limited = shard.ticks(10_000);
        assert!(limited > 9_800, "{limited}");
        assert!(shard.concurrency.is_undecided());
    }

    #[test]
    fn a_backend_that_takes_its_time_is_hardly_ever_tried() {
        // 2,000 exchanges of 40 ms: 50,000 a second; with 64 under way it would be 1,600.
        let mut shard = Shard::new((50_000.0, 60_000.0), 0.04, 2_000.0);
        let first = shard.ticks(250);
        assert!((1..=3 * BELIEVED).contains(&first), "{first}");
        let later = shard.ticks(100_000);
        assert!(later < 20 * BELIEVED, "{later}");
    }

    #[test]
    fn a_trial_that_does_less_is_not_repeated_soon() {
        // With 64 under way the core is still at work for most of the time, but less is done.
        let mut shard = Shard::new((50_000.0, 50_000.0), 0.002, 512.0);
        let first = shard.ticks(100);
        assert!((1..20).contains(&first), "{first}");
        let later = shard.ticks(100_000);
        assert!(later < 200, "{later}");
    }

    #[test]
    fn without_a_crowd_or_with_time_to_spare_nobody_watches() {
        for (core, latency, clients) in [((40_000.0, 50_000.0), 0.0, 100.0), ((40_000.0, 50_000.0), 1.0, 1_000.0)] {
            let mut shard = Shard::new(core, latency, clients);
            assert_eq!(shard.ticks(IDLE), 0);
            assert!(!shard.concurrency.is_undecided());
        }
    }

    #[test]
    fn load_that_comes_and_goes_is_not_tried_each_time() {
        let mut shard = Shard::new((50_000.0, 50_000.0), 0.002, 512.0);
        assert!(shard.ticks(COUNTED + SETTLING + 1) > 0);
        let mut limited = 0;
        for _ in 0..100 {
            // The crowd leaves for longer than anybody watches, and comes back for some ticks.
            shard.clients = 20.0;
            shard.ticks(2 * IDLE);
            assert!(!shard.concurrency.is_undecided());
            shard.concurrency.resume(2 * TICK);
            assert!(shard.concurrency.is_undecided());
            shard.clients = 512.0;
            limited += shard.ticks(2 * COUNTED);
        }
        assert!(limited < 60, "{limited} ticks of {}", 100 * 2 * (IDLE + COUNTED));
        // A limit that was in force when the watch ended, however it did, is none.
        let mut shard = Shard::new((40_000.0, 55_000.0), 0.0, 512.0);
        shard.ticks(100);
        assert!(shard.limited);
        shard.concurrency.resume(Duration::ZERO);
        assert_eq!(shard.ticks(1), 0);
    }

    #[test]
    fn the_limit_goes_when_the_crowd_does() {
        let mut shard = Shard::new((40_000.0, 55_000.0), 0.0, 512.0);
        shard.ticks(100);
        assert!(shard.limited);
        shard.clients = 20.0;
        shard.ticks(1);
        assert!(!shard.limited);
        shard.ticks(IDLE);
        assert!(!shard.concurrency.is_undecided());
    }

    #[test]
    fn the_limit_goes_when_the_core_has_time_or_somebody_waits_for_long() {
        let limited = || {
            let mut shard = Shard::new((40_000.0, 55_000.0), 0.0, 512.0);
            shard.ticks(100);
            assert!(shard.limited);
            shard
        };
        let mut shard = limited();
        shard.latency = 10.0;
        shard.ticks(BELIEVED);
        assert!(!shard.limited);

        let mut shard = limited();
        shard.limited = shard.concurrency.tick(&Sample { rate: 55_000.0, busy: 1.0, is_crowd: true, is_overdue: true });
        assert!(!shard.limited);
        // And it is not tried at once again.
        assert_eq!(shard.ticks(REST.0 - 1), 0);
    }
}
