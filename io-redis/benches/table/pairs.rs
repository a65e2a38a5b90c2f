//! What an acquire and its release cost each of the three, who take turns.

use support::Bench;
use support::clients::Who;
use support::machine::{Clocks, Pinned};

use crate::Effort;

/// What a pair cost in one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// How many pairs in a second.
    pub(crate) rate: f64,
    /// Microseconds of a processor that the servers took.
    pub(crate) servers: f64,
    /// Microseconds of a processor that the client took.
    pub(crate) client: f64,
}

/// All turns of the three.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) label: &'static str,
    /// By round, in the order of [`Who::ALL`].
    pub(crate) rounds: Vec<[Cost; 3]>,
}

/// Measures one row of the table.
pub(crate) async fn measure(
    bench: &mut Bench,
    label: &'static str,
    tasks: u64,
    one_core: bool,
    effort: Effort,
) -> Row {
    let _pinned = one_core.then(|| Pinned::to_one_core(&bench.servers.pids()));
    let mut pairs = [0; 3];
    for (pairs, who) in pairs.iter_mut().zip(Who::ALL) {
        *pairs = pairs_of_a_turn(bench, who, tasks, effort).await;
    }
    let mut rounds = Vec::new();
    for round in 0..effort.rounds {
        let mut costs = [None; 3];
        // Nobody is always behind the same one.
        for turn in 0..3 {
            let at = (round + turn) % 3;
            costs[at] = Some(turn_of(bench, Who::ALL[at], tasks, pairs[at]).await);
        }
        rounds.push(costs.map(|cost| cost.expect("everybody had a turn")));
    }
    Row { label, rounds }
}

/// How many pairs fill a turn.
async fn pairs_of_a_turn(bench: &mut Bench, who: Who, tasks: u64, effort: Effort) -> u64 {
    let mut pairs = 2 * tasks.max(32);
    loop {
        let before = Clocks::now();
        bench.clients.pairs(who, tasks, pairs).await;
        let passed = Clocks::now().since(before).passed;
        if passed >= effort.turn / 4 {
            let share = effort.turn.as_secs_f64() / passed.as_secs_f64();
            let each = (pairs as f64 * share / tasks as f64).ceil();
            return each.max(2.0) as u64 * tasks;
        }
        pairs *= 2;
    }
}

async fn turn_of(bench: &mut Bench, who: Who, tasks: u64, pairs: u64) -> Cost {
    let told = bench.servers.ask().await;
    let before = Clocks::now();
    bench.clients.pairs(who, tasks, pairs).await;
    let clocks = Clocks::now().since(before);
    let told = bench.servers.ask().await.since(&told);
    Cost {
        rate: pairs as f64 / clocks.passed.as_secs_f64(),
        servers: told.cpu / pairs as f64,
        client: clocks.worked.as_secs_f64() * 1e6 / pairs as f64,
    }
}
