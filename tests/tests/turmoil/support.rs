//! What the tests share: a network with nodes, clients and a judge, and how it goes on.

use std::time::Duration;

use tenure_redis::Quarantine;
use tenure_sim::adapter::Node;
use tenure_sim::choice::Choices;
use tenure_sim::fact::{Fact, Fault, Nanos, Record};
use tenure_sim::judge::{Checks, Judge, Rules};
use tenure_sim::network::{Life, Machine, Network};
use tenure_tests::rivals::{self, Habits};
use tenure_tests::witness::Witness;

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The largest TTL of all clients.
pub(crate) const MAX_TTL: Duration = secs(2);

pub(crate) const NODES: [&str; 5] = ["a", "b", "c", "d", "e"];
pub(crate) const CLIENTS: [&str; 4] = ["one", "two", "three", "four"];

/// What a scenario is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    pub(crate) clients: usize,
    pub(crate) keys: &'static [&'static str],
    pub(crate) latency: Duration,
    pub(crate) quarantine: Quarantine,
    pub(crate) habits: Habits,
}

impl Plan {
    /// Three nodes, three clients with two workers each, two keys.
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            nodes: 3,
            clients: 3,
            keys: &["k", "l"],
            latency: ms(4),
            quarantine: Quarantine::On,
            habits: Habits {
                workers: 2,
                max_ttl: MAX_TTL,
                hold: ms(2_500),
                pause: ms(700),
            },
        }
    }
}

/// A network with applications that want the same locks, and the judge.
pub(crate) struct Stage {
    pub(crate) net: Network,
    pub(crate) nodes: Vec<Node>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) witness: Witness,
    judge: Judge,
    /// Everything that was told, a line for each.
    pub(crate) told: Vec<String>,
    pub(crate) grants: u64,
}

impl Stage {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut net = Network::new(plan.seed, plan.latency);
        let witness = Witness::new(net.time().clone(), plan.keys);
        let nodes: Vec<Node> = NODES[..plan.nodes]
            .iter()
            .map(|name| net.node(name))
            .collect();
        nodes.iter().for_each(|node| witness.watch(node));
        let urls: Vec<String> = nodes.iter().map(Node::url).collect();
        let machines = (0..plan.clients)
            .map(|client| {
                let (witness, plan, urls) = (witness.clone(), plan.clone(), urls.clone());
                net.machine(CLIENTS[client], move |life: Life| {
                    let (diary, time) = (
                        witness.diary(client, life.machine().clock()),
                        life.time().clone(),
                    );
                    let seams = witness.listen(&diary, life.seams());
                    let builder = tenure_redis::Locks::builder()
                        .seams(seams)
                        .nodes(&urls)
                        .quarantine(plan.quarantine);
                    let choices = Choices::from_seed(life.seed());
                    let app = rivals::live(diary, time, builder, plan.habits.clone(), choices);
                    async move {
                        let locks = app.await;
                        // The client stays, with what it still owes.
                        std::mem::forget(locks);
                    }
                })
            })
            .collect();
        let judge = Judge::new(Rules {
            nodes: plan.nodes,
            max_ttl: nanos(plan.habits.max_ttl),
            clocks_and_clients_agree: true,
            quarantine: plan.quarantine == Quarantine::On,
            fencing: true,
            // The observer looks once in a millisecond.
            told_within: nanos(ms(2)),
            granted_within: Some(nanos(plan.habits.hold + plan.habits.max_ttl * 3)),
            pace: nanos(ms(12)),
        });
        Self {
            net,
            nodes,
            machines,
            witness,
            judge,
            told: Vec::new(),
            grants: 0,
        }
    }

    /// Goes on by one millisecond, and hears what was told.
    pub(crate) fn step(&mut self) {
        self.net.step();
        self.witness.look();
        self.hear();
    }

    fn hear(&mut self) {
        for record in self.witness.take() {
            self.told.push(record.to_string());
            self.grants += u64::from(matches!(record.fact, Fact::Granted { .. }));
            self.judge.hear(&record);
            self.acquit();
        }
    }

    fn acquit(&self) {
        if let Some(violation) = self.judge.violation() {
            let last = &self.told[self.told.len().saturating_sub(120)..];
            panic!("{}\n{violation}", last.join("\n"));
        }
    }

    pub(crate) fn run(&mut self, span: Duration) {
        let until = self.net.now() + span;
        while self.net.now() < until {
            self.step();
        }
    }

    /// Steps until it is so.
    pub(crate) fn until(&mut self, within: Duration, mut so: impl FnMut(&Self) -> bool) {
        let until = self.net.now() + within;
        while !so(self) {
            if self.net.now() >= until {
                let last = &self.told[self.told.len().saturating_sub(120)..];
                panic!("{}\nnot so within {within:?}", last.join("\n"));
            }
            self.step();
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault, client: Option<usize>, node: Option<usize>) {
        self.witness.tell(Fact::Fault(fault), client, node);
    }

    pub(crate) fn mended(&mut self, fault: Fault, client: Option<usize>, node: Option<usize>) {
        self.witness.tell(Fact::Mended(fault), client, node);
    }

    /// All faults are over: wanted keys are granted. Then nobody wants anything more, and nothing is
    /// left. Says what was looked at.
    pub(crate) fn end(&mut self) -> Checks {
        self.witness.tell(Fact::Healed, None, None);
        self.run(secs(10));
        self.witness.calm_down();
        self.until(secs(60), |stage| stage.witness.is_idle());
        self.witness.tell(Fact::Quiet, None, None);
        // Who was cancelled while a request was on its way owes a release.
        self.run(secs(1));
        self.witness.tell(Fact::Swept, None, None);
        self.run(MAX_TTL);
        self.judge.finish(nanos(self.net.now()));
        self.acquit();
        self.judge.checks()
    }
}

pub(crate) fn nanos(span: Duration) -> Nanos {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The kind of a record that a test counts.
pub(crate) fn is_lost(record: &Record) -> bool {
    matches!(record.fact, Fact::Lost(_))
}
