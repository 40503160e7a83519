//! A simulation: one shard of the gateway as it is, among clients and backends that a seed makes good, slow, lying, rude or dead, on
//! wires that it makes slow, narrow or torn, under a clock that moves only when everybody waits.
//!
//! ```text
//!   seed ─▶ Plan     what the gateway's settings, the peers and the wires are like
//!        ─▶ World    the order of tasks, the pieces of reads and writes, delays          (ringway_net::sim)
//!   clients ══ wires ══ shard ══ wires ══ backends
//!        └──────────── Ledger ────────────┘    what was asked, sent, answered and read; what must hold of it
//! ```
//!
//! The ledger knows more than any peer can, so it sees what no test of one peer does: whose response came to whom, and whether what looks
//! whole is whole. [`run`] is one seed; the same seed is the same run to the byte.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a harness fails a test by panicking")]

mod backend;
mod client;
mod gateway;
mod http;
mod ledger;
mod plan;
mod socket;
mod source;
mod subscriber;
mod talks;
mod tunnel;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use ringway_net::sim::World;
use ringway_net::{AdmissionOptions, ShardOptions};

pub use self::ledger::Figures;
use self::ledger::Ledger;
use self::plan::Plan;

/// What came of a seed.
#[derive(Debug)]
pub struct Outcome {
    /// What must hold and did not; empty when all is well.
    pub breaches: Vec<String>,
    /// What happened, in figures.
    pub figures: Figures,
    /// The same for the same run.
    pub fingerprint: u64,
    /// How long it took in the world.
    pub took: Duration,
    /// What the peers did, line by line, if it was asked for.
    pub story: Vec<String>,
}

/// Runs a seed. With `tells` the outcome has a story.
pub fn run(seed: u64, tells: bool) -> Outcome {
    let world = World::new(seed);
    let plan = Rc::new(Plan::new(&world));
    let ledger = Rc::new(Ledger::new(Rc::clone(&world), tells));
    ledger.tell(|| format!("{plan:?}"));
    let mut options = ShardOptions::new(0);
    // In half of the worlds, exchanges have to wait for each other as soon as a few are under way.
    options.admission = match world.once_in(2) {
        true => AdmissionOptions { limit: 1 + u32::try_from(world.below(3)).unwrap_or_default(), arrivals: 2 },
        false => AdmissionOptions::UNLIMITED,
    };
    options.on_panic = |_, message| eprintln!("a task of the shard panicked: {message}");
    let main = {
        let (world, plan, ledger) = (Rc::clone(&world), Rc::clone(&plan), Rc::clone(&ledger));
        move |shard| async move { gateway::run(world, plan, ledger, shard).await }
    };
    // What the peers did is told also of a run that panics.
    match catch_unwind(AssertUnwindSafe(|| world.run(&options, main))) {
        Ok((control, left)) => {
            if left != Default::default() {
                ledger.breach(format!("the closed shard still holds {left:?}"));
            }
            if !control.is_alone() {
                ledger.breach("something of the shard is still there".to_owned());
            }
            ledger.judge_talks();
        }
        Err(payload) => {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
            ledger.breach(format!("a panic: {}", text.unwrap_or_default()));
        }
    }
    let (breaches, figures, story) = ledger.close();
    Outcome { breaches, figures, fingerprint: world.fingerprint(), took: world.elapsed(), story }
}
