//! The circuit: closed, open, half open.
//!
//! ```text
//!             rates reach a threshold                after a while
//!   closed ──────────────────────────▶ open ──────────────────────▶ half open ─▶ (a few calls)
//!     ▲                                 ▲                               │
//!     │                                 └── they fail, or take too long ┤
//!     └───────────────────────────────────────────── they are well ─────┘
//! ```

use std::collections::VecDeque;

/// How a circuit is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Percent of failed and of slow calls from which on it opens; 1 to 100.
    pub failures_percent: u32,
    pub slow_percent: u32,
    /// Calls that are looked at, and from how many on.
    pub window: usize,
    pub calls_min: usize,
    /// How long it stays open.
    pub open_ms: u64,
    /// Calls that it lets through when it is half open, and how long it stays so at most; 0: as long as they take.
    pub trials: usize,
    pub half_open_ms_max: u64,
}

/// How a call went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// It failed.
    pub failed: bool,
    /// It took too long.
    pub slow: bool,
}

/// Leave to call.
#[derive(Debug, PartialEq, Eq)]
pub struct Leave {
    /// Which state gave it: what is told of a call of an earlier state counts no more.
    turn: u64,
    trial: bool,
}

/// Percent of failed and of slow calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub failures: u32,
    pub slow: u32,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { until_ms: u64 },
    HalfOpen { since_ms: u64, given: usize },
}

/// A circuit. The time is given.
#[derive(Debug)]
pub struct Circuit {
    settings: Settings,
    state: State,
    turn: u64,
    /// The last calls of this state, and the sums over them.
    calls: VecDeque<Outcome>,
    failed: usize,
    slow: usize,
    /// As they were when it opened.
    opened_at: Rates,
}

impl Circuit {
    /// A closed one.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            state: State::Closed,
            turn: 0,
            calls: VecDeque::new(),
            failed: 0,
            slow: 0,
            opened_at: Rates::default(),
        }
    }

    /// Leave to call.
    ///
    /// # Errors
    /// The circuit is open: the rates that opened it.
    pub fn admit(&mut self, now_ms: u64) -> Result<Leave, Rates> {
        match self.state {
            State::Open { until_ms } if now_ms >= until_ms => {
                self.enter(State::HalfOpen { since_ms: now_ms, given: 0 });
            }
            State::HalfOpen { since_ms, .. }
                if self.settings.half_open_ms_max > 0
                    && now_ms.saturating_sub(since_ms) >= self.settings.half_open_ms_max =>
            {
                self.open(now_ms);
            }
            _ => {}
        }
        match &mut self.state {
            State::Closed => Ok(Leave { turn: self.turn, trial: false }),
            State::HalfOpen { given, .. } if *given < self.settings.trials => {
                *given += 1;
                Ok(Leave { turn: self.turn, trial: true })
            }
            State::Open { .. } | State::HalfOpen { .. } => Err(self.opened_at),
        }
    }

    /// A call has ended.
    pub fn record(&mut self, leave: Leave, outcome: Outcome, now_ms: u64) {
        if leave.turn != self.turn {
            return;
        }
        let window = if leave.trial { self.settings.trials } else { self.settings.window };
        while self.calls.len() >= window {
            let Some(oldest) = self.calls.pop_front() else { break };
            self.failed -= usize::from(oldest.failed);
            self.slow -= usize::from(oldest.slow);
        }
        self.calls.push_back(outcome);
        self.failed += usize::from(outcome.failed);
        self.slow += usize::from(outcome.slow);
        if self.calls.len() < self.settings.calls_min.min(window) {
            return;
        }
        let rates = self.rates();
        if rates.failures >= self.settings.failures_percent || rates.slow >= self.settings.slow_percent {
            self.opened_at = rates;
            self.open(now_ms);
        } else if leave.trial && self.calls.len() >= window {
            self.enter(State::Closed);
        }
    }

    /// A call was broken off, and says nothing: another one may be tried in its place.
    pub fn give_back(&mut self, leave: Leave) {
        if let State::HalfOpen { given, .. } = &mut self.state
            && leave.trial
            && leave.turn == self.turn
        {
            *given = given.saturating_sub(1);
        }
    }

    fn rates(&self) -> Rates {
        let percent = |part: usize| (part * 100 / self.calls.len().max(1)) as u32;
        Rates { failures: percent(self.failed), slow: percent(self.slow) }
    }

    fn open(&mut self, now_ms: u64) {
        self.enter(State::Open { until_ms: now_ms.saturating_add(self.settings.open_ms) });
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.turn += 1;
        self.calls.clear();
        (self.failed, self.slow) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Outcome = Outcome { failed: false, slow: false };
    const FAILED: Outcome = Outcome { failed: true, slow: false };
    const SLOW: Outcome = Outcome { failed: false, slow: true };

    fn settings() -> Settings {
        Settings {
            failures_percent: 50,
            slow_percent: 50,
            window: 4,
            calls_min: 4,
            open_ms: 1000,
            trials: 2,
            half_open_ms_max: 0,
        }
    }

    fn call(circuit: &mut Circuit, outcome: Outcome, now_ms: u64) -> bool {
        let leave = circuit.admit(now_ms);
        let admitted = leave.is_ok();
        if let Ok(leave) = leave {
            circuit.record(leave, outcome, now_ms);
        }
        admitted
    }

    #[test]
    fn it_opens_at_the_threshold_and_not_before_enough_calls() {
        let mut circuit = Circuit::new(settings());
        for outcome in [FAILED, FAILED, WELL] {
            assert!(call(&mut circuit, outcome, 0));
        }
        assert!(call(&mut circuit, WELL, 0), "three calls say nothing yet");
        assert_eq!(circuit.admit(0), Err(Rates { failures: 50, slow: 0 }));
        assert!(!call(&mut circuit, WELL, 999));
    }

    #[test]
    fn old_calls_are_forgotten() {
        let mut circuit = Circuit::new(settings());
        for _ in 0..1000 {
            for outcome in [FAILED, WELL, WELL, SLOW, WELL] {
                assert!(call(&mut circuit, outcome, 0));
            }
        }
        assert!(circuit.calls.len() <= 4);
        assert!(call(&mut circuit, SLOW, 0) && !call(&mut circuit, WELL, 0), "two of the last four were slow");
    }

    #[test]
    fn after_a_while_a_few_calls_decide() {
        let mut circuit = Circuit::new(settings());
        for _ in 0..4 {
            call(&mut circuit, FAILED, 0);
        }
        let (first, second) = (circuit.admit(1000).unwrap(), circuit.admit(1000).unwrap());
        assert!(circuit.admit(1000).is_err(), "two at a time");
        circuit.record(first, WELL, 1001);
        circuit.record(second, WELL, 1001);
        assert!(call(&mut circuit, WELL, 1002) && call(&mut circuit, WELL, 1002) && call(&mut circuit, WELL, 1002));

        for _ in 0..4 {
            call(&mut circuit, FAILED, 2000);
        }
        let trial = circuit.admit(3000).unwrap();
        circuit.record(trial, WELL, 3000);
        call(&mut circuit, FAILED, 3000);
        assert!(circuit.admit(3999).is_err(), "one of two failed: open again");
        assert!(circuit.admit(4000).is_ok());
    }

    #[test]
    fn a_call_that_is_broken_off_makes_room_for_another() {
        let mut circuit = Circuit::new(Settings { trials: 1, ..settings() });
        for _ in 0..4 {
            call(&mut circuit, FAILED, 0);
        }
        let trial = circuit.admit(1000).unwrap();
        assert!(circuit.admit(1000).is_err());
        circuit.give_back(trial);
        assert!(circuit.admit(1000).is_ok());
    }

    #[test]
    fn half_open_may_have_an_end() {
        let mut circuit = Circuit::new(Settings { trials: 1, half_open_ms_max: 500, ..settings() });
        for _ in 0..4 {
            call(&mut circuit, FAILED, 0);
        }
        let trial = circuit.admit(1000).unwrap();
        assert!(circuit.admit(1499).is_err());
        assert!(circuit.admit(1500).is_err(), "open again");
        circuit.record(trial, WELL, 1501);
        assert!(circuit.admit(2499).is_err(), "what began before counts no more");
        assert!(circuit.admit(2500).is_ok());
    }

    #[test]
    fn what_began_before_it_opened_counts_no_more() {
        let mut circuit = Circuit::new(settings());
        let late = circuit.admit(0).unwrap();
        for _ in 0..4 {
            call(&mut circuit, FAILED, 0);
        }
        circuit.record(late, WELL, 1);
        assert!(circuit.admit(999).is_err());
    }
}
