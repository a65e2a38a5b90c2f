//! The manager in random worlds. Requests and replies are lost, delayed and repeated, nodes go
//! down, the process stops: the laws hold. When all works again, nothing is left, and keys can be
//! had.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use support::{World, cannot_serve, id, key, ms, secs};
use tenure_core::{
    Answer, Backoff, Config, Doubt, EventKind, Law, LeaseId, LeaseOptions, Refusal, RenewalPolicy,
    Reply, RequestId,
};

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Acquire {
        key: u8,
        options: usize,
    },
    Release(usize),
    Cancel(usize),
    Renew(usize),
    /// The oldest request to a node arrives and is answered.
    Deliver(usize),
    /// It arrives, and its answer does not come yet.
    Apply(usize),
    /// Such an answer comes, however late. If the flag is set, it comes twice.
    Late(usize, bool),
    LoseReply(usize),
    LoseRequest(usize),
    /// The connection ends before the oldest request is answered. If the flag is set, it arrived.
    Break(usize, bool),
    Refuse(usize, bool),
    Withhold(usize),
    Resume(usize),
    Down(usize),
    Up(usize),
    /// The process stands still: time passes, and nothing is handled.
    Stall(u64),
    Spurious,
}

fn step() -> impl Strategy<Value = Step> {
    let pick = any::<usize>;
    prop_oneof![
        8 => (1..3_000_u64).prop_map(Step::Advance),
        6 => (0..2_u8, 0..4_usize).prop_map(|(key, options)| Step::Acquire { key, options }),
        3 => pick().prop_map(Step::Release),
        1 => pick().prop_map(Step::Cancel),
        1 => pick().prop_map(Step::Renew),
        12 => pick().prop_map(Step::Deliver),
        4 => pick().prop_map(Step::Apply),
        4 => (pick(), any::<bool>()).prop_map(|(n, twice)| Step::Late(n, twice)),
        2 => pick().prop_map(Step::LoseReply),
        2 => pick().prop_map(Step::LoseRequest),
        2 => (pick(), any::<bool>()).prop_map(|(n, arrived)| Step::Break(n, arrived)),
        2 => (pick(), any::<bool>()).prop_map(|(n, again)| Step::Refuse(n, again)),
        3 => pick().prop_map(Step::Withhold),
        3 => pick().prop_map(Step::Resume),
        1 => pick().prop_map(Step::Down),
        2 => pick().prop_map(Step::Up),
        1 => (1..8_000_u64).prop_map(Step::Stall),
        1 => Just(Step::Spurious),
    ]
}

/// One of the nodes to which a request is on its way.
fn waiting(world: &World, pick: usize) -> Option<usize> {
    let busy: Vec<usize> = (0..world.nodes.len())
        .filter(|node| !world.wire[*node].is_empty())
        .collect();
    (!busy.is_empty()).then(|| busy[pick % busy.len()])
}

struct Run {
    world: World,
    leases: Vec<LeaseId>,
    late: Vec<(RequestId, Answer)>,
    options: Vec<Arc<LeaseOptions>>,
}

impl Run {
    fn new(nodes: usize, seed: u64) -> Self {
        let config = Config::builder(nodes).max_leases(12).build().unwrap();
        let base = LeaseOptions::builder()
            .ttl(secs(3))
            .backoff(Backoff::new(ms(50), ms(400)));
        let options = [
            base.clone(),
            base.clone().renewal(RenewalPolicy::Off),
            base.clone().attempts(Some(2)).max_hold(Some(secs(7))),
            base.give_up_after(Some(secs(2))).ttl(secs(10)),
        ];
        let options = options.map(|o| Arc::new(o.build(&config).unwrap()));
        let mut world = World::with(config, seed);
        world.judged = true;
        for node in 0..nodes {
            world.nodes[node].wall_ahead = 300 * node as u64;
        }
        Self {
            world,
            leases: Vec::new(),
            late: Vec::new(),
            options: options.to_vec(),
        }
    }

    fn lease(&self, pick: usize) -> Option<LeaseId> {
        (!self.leases.is_empty()).then(|| self.leases[pick % self.leases.len()])
    }

    fn step(&mut self, step: Step) {
        let world = &mut self.world;
        match step {
            Step::Advance(span) => world.advance(ms(span)),
            Step::Stall(span) => world.stall(ms(span)),
            Step::Spurious => world.timeout(),
            Step::Acquire { key, options } => {
                let options = self.options[options].clone();
                if let Ok(lease) = world.try_acquire(&format!("k{key}"), options) {
                    self.leases.push(lease);
                }
            }
            Step::Release(pick) => {
                if let Some(lease) = self.lease(pick) {
                    self.world.release(lease);
                }
            }
            Step::Cancel(pick) => {
                if let Some(lease) = self.lease(pick) {
                    self.world.cancel(lease);
                }
            }
            Step::Renew(pick) => {
                if let Some(lease) = self.lease(pick) {
                    self.world.renew(lease);
                }
            }
            step => self.step_of_link(step),
        }
    }

    /// Something happens on the way to a node or back.
    fn step_of_link(&mut self, step: Step) {
        let world = &mut self.world;
        let nodes = world.nodes.len();
        match step {
            Step::Deliver(pick) => {
                if let Some(node) = waiting(world, pick) {
                    world.deliver(node);
                    world.pump();
                }
            }
            Step::Apply(pick) => {
                if let Some(node) = waiting(world, pick) {
                    let reply = world.apply(node);
                    self.late.push(reply);
                }
            }
            Step::Late(pick, twice) => {
                if !self.late.is_empty() {
                    let (request, answer) = self.late.swap_remove(pick % self.late.len());
                    world.reply(request, Reply::Applied(answer.clone()));
                    if twice {
                        world.reply(request, Reply::Applied(answer));
                    }
                }
            }
            Step::LoseReply(pick) => {
                if let Some(node) = waiting(world, pick) {
                    world.lose_reply(node);
                }
            }
            Step::LoseRequest(pick) => {
                if let Some(node) = waiting(world, pick) {
                    world.lose_request(node);
                }
            }
            Step::Break(pick, arrived) => {
                if let Some(node) = waiting(world, pick) {
                    if arrived {
                        world.break_answer(node);
                    } else {
                        world.break_connection(node);
                    }
                }
            }
            Step::Refuse(pick, again) => {
                if let Some(node) = waiting(world, pick) {
                    let refusal = [cannot_serve(), Refusal::Again][usize::from(again)].clone();
                    world.refuse(node, refusal);
                }
            }
            Step::Withhold(pick) => world.withhold([pick % nodes]),
            Step::Resume(pick) => world.resume([pick % nodes]),
            Step::Down(pick) => {
                // What had arrived and was not answered is lost with the connection.
                let node = id(pick % nodes);
                for (request, _) in self.late.extract_if(.., |(r, _)| r.node == node) {
                    world.reply(request, Reply::Unknown(Doubt::Silent));
                }
                world.down(node.index());
            }
            Step::Up(pick) => world.up(pick % nodes),
            other => unreachable!("{other:?} is no step of a link"),
        }
    }

    /// All works again, and all leases are cancelled. Nothing may be left, and each key can be had.
    fn heal(mut self) -> World {
        for (request, answer) in std::mem::take(&mut self.late) {
            self.world.reply(request, Reply::Applied(answer));
        }
        for node in 0..self.world.nodes.len() {
            self.world.up(node);
        }
        self.world.advance(secs(2));
        for lease in std::mem::take(&mut self.leases) {
            self.world.cancel(lease);
        }
        let mut world = self.world;
        world.advance(secs(2));
        assert!(world.manager.is_empty(), "{:?}", world.manager);
        assert_eq!(world.manager.poll_timeout(), None);
        for name in ["k0", "k1"] {
            assert!(!world.is_locked(name), "{}", Law::NoOrphan);
            let lease = world.acquire(name);
            world.advance(secs(2));
            assert!(world.may_act(lease), "{}", Law::Progress);
            assert!(world.manager.lease(lease).unwrap().key() == &key(name));
        }
        world
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_laws_hold_in_random_worlds(
        nodes in 1..=3_usize,
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut run = Run::new(nodes, seed);
        for step in steps {
            run.step(step);
        }
        run.heal();
    }
}

#[test]
fn the_random_worlds_are_not_idle() {
    // Otherwise a generator that never acquires would pass.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let steps = prop::collection::vec(step(), 150);
    let mut seen = [0_usize; 6];
    for seed in 0..100 {
        let mut run = Run::new(1 + seed as usize % 3, seed);
        let tree = steps.new_tree(&mut runner).unwrap();
        for step in tree.current() {
            run.step(step);
        }
        for (_, event) in run.heal().told {
            seen[match event.kind {
                EventKind::Acquired { .. } => 0,
                EventKind::Renewed { .. } => 1,
                EventKind::Lost { .. } => 2,
                EventKind::Released { .. } => 3,
                EventKind::Suspect { .. } => 4,
                EventKind::Failed { .. }
                | EventKind::Queued { .. }
                | EventKind::Waiting { .. }
                | EventKind::Shortened { .. } => 5,
            }] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
}
